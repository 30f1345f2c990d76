// What tests that involve threads wait for.
#ifndef TENURE_TESTS_LOOP_AWAIT_H_
#define TENURE_TESTS_LOOP_AWAIT_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace tenure {

// Happens once, on whatever thread.
class Happening {
 public:
  void Set() {
    std::lock_guard<std::mutex> lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  bool IsSet() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return set_;
  }
  // False if it does not happen: only then does it take long.
  [[nodiscard]] bool Await(std::chrono::nanoseconds limit = std::chrono::seconds(20)) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, limit, [this] { return set_; });
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

}  // namespace tenure

#endif  // TENURE_TESTS_LOOP_AWAIT_H_
