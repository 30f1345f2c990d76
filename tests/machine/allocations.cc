#include "allocations.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::uint64_t> allocations{0};
std::atomic<std::uint64_t> bytes{0};

}  // namespace

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TENURE_SANITIZER_COUNTS 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TENURE_SANITIZER_COUNTS 1
#endif

#ifdef TENURE_SANITIZER_COUNTS
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
