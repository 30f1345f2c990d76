#include "allocations.h"

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/testing/sanitized.h"

namespace {

std::atomic<std::uint64_t> allocations{0};
std::atomic<std::uint64_t> bytes{0};

}  // namespace

#ifdef TENURE_TEST_THREAD_SANITIZED
// The thread sanitizer brings these operators itself, and says what it hands out.
extern "C" void __sanitizer_malloc_hook(const volatile void*, std::size_t size) {
  ++allocations;
  bytes += size;
}
#else
void* operator new(std::size_t size) {
  ++allocations;
  bytes += size;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace tenure::machine {

std::uint64_t Allocations() { return allocations; }
std::uint64_t AllocatedBytes() { return bytes; }

}  // namespace tenure::machine
