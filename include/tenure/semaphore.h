// A semaphore: so many permits, held under sessions' leases.
#ifndef TENURE_SEMAPHORE_H_
#define TENURE_SEMAPHORE_H_

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/command.h"
#include "tenure/mutex.h"
#include "tenure/observer.h"
#include "tenure/types.h"

namespace tenure {

struct AcquireOptions {
  // How many, at once; from 1 to the total. First come, first served: who wants many is not passed
  // by those who want few.
  std::uint64_t permits = 1;
  // As in LockOptions.
  absl::Duration wait = absl::InfiniteDuration();
  std::string value;
  std::stop_token cancel;
  std::string owner;
  // A semaphore closes a cycle only if nobody outside it could give back enough.
  bool detect_deadlock = false;
};

// A handle on a semaphore's name and total: cheap to copy, thread-safe. Its name is one of a Mutex;
// the total is fixed for as long as anybody holds or waits for permits.
//
// A guard gives all its permits back at once. Errors as of Mutex, and
//   kFailedPrecondition  it is in use with another total, or as a lock
//   kInvalidArgument     no permits, or more than the total; a total above 1,000,000
class Semaphore {
 public:
  Semaphore() = default;  // empty: every call answers kFailedPrecondition
  Semaphore(std::shared_ptr<client::HandleCore> core, std::uint64_t total)
      : core_(std::move(core)), total_(total) {}

  const std::string& name() const;
  std::uint64_t total() const { return total_; }

  // One round trip where there are enough.
  absl::StatusOr<LockGuard> Acquire(AcquireOptions options = {});
  void Acquire(AcquireOptions options, Mutex::LockCallback done);
  // With no wait.
  absl::StatusOr<LockGuard> TryAcquire(std::uint64_t permits = 1);
  void TryAcquire(std::uint64_t permits, Mutex::LockCallback done);

  // Who has permits, and who waits: a linearizable read.
  absl::StatusOr<LockDescription> Inspect(absl::Duration timeout = absl::Seconds(5));
  void Inspect(absl::Duration timeout,
               absl::AnyInvocable<void(absl::StatusOr<LockDescription>) &&> done);
  // As Mutex::Observe.
  Observer Observe(Revision after = 0);

 private:
  std::shared_ptr<client::HandleCore> core_;
  std::uint64_t total_ = 0;
};

}  // namespace tenure

#endif  // TENURE_SEMAPHORE_H_
