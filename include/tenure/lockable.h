// A Mutex for std::unique_lock and std::scoped_lock: the one place in the library that throws, as
// they have no other way to say that a lock was not acquired. No other header includes this one.
//
//   tenure::StdLockable a(coordinator.mutex("accounts/1"));
//   tenure::StdLockable b(coordinator.mutex("accounts/2"));
//   const std::scoped_lock both(a, b);   // in whatever order others name them: no deadlock
//   Transfer(a.token(), b.token());
//
// std::scoped_lock waits for one and tries the other, and begins again when that fails: no
// deadlock, but with busy locks neither fair nor cheap, at two round trips for each attempt.
#ifndef TENURE_LOCKABLE_H_
#define TENURE_LOCKABLE_H_

#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/mutex.h"
#include "tenure/types.h"

namespace tenure {

// What Mutex::Lock answered.
class LockError : public std::runtime_error {
 public:
  explicit LockError(absl::Status status)
      : std::runtime_error(std::string(status.message())), status_(std::move(status)) {}
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

// Meets the standard's Lockable. Like the object that it stands for, it belongs to one holder at a
// time: it is not thread-safe but for lost(); threads that contend have one each. Neither copied
// nor moved, as std::mutex is not.
class StdLockable {
 public:
  // `options`: of each lock(); of try_lock() all but `wait`.
  explicit StdLockable(Mutex mutex, LockOptions options = {})
      : mutex_(std::move(mutex)), options_(std::move(options)) {}
  StdLockable(const StdLockable&) = delete;
  StdLockable& operator=(const StdLockable&) = delete;

  // Throws a LockError if the lock is not acquired, whatever the reason: see Mutex.
  void lock() {
    if (absl::Status status = Take(options_); !status.ok()) throw LockError(std::move(status));
  }
  // False if somebody else holds it, or waits for it. Throws a LockError for any other reason.
  bool try_lock() {
    LockOptions once = options_;
    once.wait = absl::ZeroDuration();
    absl::Status status = Take(std::move(once));
    if (status.ok()) return true;
    if (status.code() == absl::StatusCode::kAborted) return false;
    throw LockError(std::move(status));
  }
  // Gives it back in the background: returns at once, and does not fail.
  void unlock() noexcept { guard_ = LockGuard(); }

  // Of the guard that lock() took: 0, false and nothing while there is none.
  Revision token() const { return guard_.token(); }
  bool Valid() const { return guard_.Valid(); }
  std::stop_token lost() const { return guard_.lost(); }

 private:
  absl::Status Take(LockOptions options) {
    absl::StatusOr<LockGuard> guard = mutex_.Lock(std::move(options));
    if (!guard.ok()) return guard.status();
    guard_ = *std::move(guard);
    return absl::OkStatus();
  }

  Mutex mutex_;
  const LockOptions options_;
  LockGuard guard_;
};

}  // namespace tenure

#endif  // TENURE_LOCKABLE_H_
