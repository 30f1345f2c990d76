// Tells a forked child from the process that opened a session.
#ifndef TENURE_CLIENT_FORK_CHECK_H_
#define TENURE_CLIENT_FORK_CHECK_H_

#include <sys/types.h>

#include <atomic>

namespace tenure::client {

// A page that the kernel wipes in a child, so that asking costs a load; where the kernel cannot, a
// getpid(). One for each coordinator: a library keeps no state for the whole process.
//
// A child has no Loop thread, and the parent's session is not its own: handles refuse to work
// there, and their destructors leave everything as it is.
class ForkCheck {
 public:
  ForkCheck();
  ~ForkCheck();
  ForkCheck(const ForkCheck&) = delete;
  ForkCheck& operator=(const ForkCheck&) = delete;

  bool InChild() const {
    if (page_ != nullptr) return page_->load(std::memory_order_relaxed) == 0;
    return InChildByPid();
  }

 private:
  bool InChildByPid() const;

  std::atomic<int>* page_ = nullptr;
  const pid_t pid_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_FORK_CHECK_H_
