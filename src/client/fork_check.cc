#include "client/fork_check.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <new>

namespace tenure::client {
namespace {

std::size_t PageSize() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

ForkCheck::ForkCheck() : pid_(getpid()) {
  void* page =
      mmap(nullptr, PageSize(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return;
  if (madvise(page, PageSize(), MADV_WIPEONFORK) != 0) {
    munmap(page, PageSize());
    return;
  }
  page_ = new (page) std::atomic<int>(1);
}

ForkCheck::~ForkCheck() {
  if (page_ != nullptr) munmap(page_, PageSize());
}

bool ForkCheck::InChildByPid() const { return getpid() != pid_; }

}  // namespace tenure::client
