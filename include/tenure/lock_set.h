// Several locks at once: all or none.
#ifndef TENURE_LOCK_SET_H_
#define TENURE_LOCK_SET_H_

#include <cstddef>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tenure/command.h"
#include "tenure/mutex.h"
#include "tenure/types.h"

namespace tenure {

// What Coordinator::AcquireAll and Session::AcquireAll ask for, each with one command:
//
//   coordinator.AcquireAll({{"accounts/1"}, {"accounts/2"}, {"rates", tenure::LockMode::kShared}});
//
// The request stands in the queues of all its names from one moment on, and is granted when it is
// at the head of each and none keeps it out. So callers who want the same locks never wait for one
// another in a circle, in whatever order they name them; and since nothing later passes the
// request on any of them, no stream of callers with one name starves one with many. The price: a
// name that is free already waits, for everybody, until the others are.
//
// Several calls of Mutex::Lock in a row do form circles: prefer this, or take them in one order.
//
// There is no LockOptions::reentrant here: a set is granted at one revision, which is the token of
// all its locks, while a lock that is held already has an older one, under which the gates of what
// it protects know its holder. Such a set would have its token for some of its locks and not for
// others. So whoever may hold one of the names already asks for the others alone; one that would
// wait for itself is refused with `detect_deadlock`, and otherwise ends with its wait.
struct AcquireAllOptions {
  // As in LockOptions, for all of them together.
  absl::Duration wait = absl::InfiniteDuration();
  std::string value;
  std::stop_token cancel;
  std::string owner;
  bool detect_deadlock = false;  // with locks that the owner holds already
  // As in LockOptions, of each of them that is exclusive, whichever is lost. kInvalidArgument if
  // all are shared.
  absl::Duration lock_delay = absl::ZeroDuration();
};

// Holds several locks, with one token for all. Move-only. Thread-safe but for moves, destruction
// and what is done with the single guards.
class LockSetGuard {
 public:
  LockSetGuard() noexcept;  // holds nothing
  // In the order of the request.
  explicit LockSetGuard(std::vector<std::unique_ptr<client::Grant>> grants);
  LockSetGuard(LockSetGuard&&) noexcept;
  LockSetGuard& operator=(LockSetGuard&&) noexcept;
  // Gives back all of them in the background, as LockGuard does.
  ~LockSetGuard();

  std::size_t size() const;
  // The guard of one lock, in the order of the request: to be given back, downgraded or fenced by
  // itself. `i` must be below size().
  LockGuard& operator[](std::size_t i);
  const LockGuard& operator[](std::size_t i) const;
  // The revision of the grant, which is the token of each of them. 0 if this is empty.
  Revision token() const;
  // True while all are certainly held: not after one was given back or moved away. An administrator
  // may break one, and the others are held on.
  bool Valid() const;
  // Fires when any of them is lost.
  std::stop_token lost() const;
  // OK while Valid() is true; otherwise that of the first guard that is not, as LockGuard::status.
  absl::Status status() const;

  // Gives back all that are still held, with a command for each, which travel together. OK if all
  // were held until now; otherwise the first other status, as LockGuard::Unlock. The guard is empty
  // in any case.
  absl::Status Unlock(absl::Duration timeout = absl::Seconds(5));
  void Unlock(absl::Duration timeout, absl::AnyInvocable<void(absl::Status) &&> done);

 private:
  struct State;

  std::unique_ptr<State> state_;
};

using LockSetCallback = absl::AnyInvocable<void(absl::StatusOr<LockSetGuard>) &&>;

}  // namespace tenure

#endif  // TENURE_LOCK_SET_H_
