// Locks, exclusive and shared, held under a session's lease.
#ifndef TENURE_MUTEX_H_
#define TENURE_MUTEX_H_

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tenure/command.h"
#include "tenure/observer.h"
#include "tenure/session.h"
#include "tenure/types.h"

namespace tenure {

namespace client {
class Grant;       // src/client/grant.h
class HandleCore;  // src/client/handle_core.h
}  // namespace client

// Holds a lock from Lock() to Unlock() or destruction. Move-only. Thread-safe but for moves and
// destruction.
//
// A guard does not hold off a process that was paused past its lease and writes before it looks:
// give token() along with every write to what the lock protects, and let it refuse lower ones
// (fencing.h).
class LockGuard {
 public:
  LockGuard() noexcept;  // holds nothing
  explicit LockGuard(std::unique_ptr<client::Grant> grant);
  LockGuard(LockGuard&&) noexcept;
  LockGuard& operator=(LockGuard&&) noexcept;
  // Gives the lock back in the background: returns at once, whatever the network does.
  ~LockGuard();

  const std::string& name() const;
  // The fencing token: greater than that of every earlier grant in the cluster, below 2^53.
  Revision token() const;
  // What a FencingGate compares: the token, but for those who share a lock, who have that of the
  // first of them, so that the gate refuses none who are rightly there together.
  Revision fence() const;
  // Of a semaphore's holders, each has a seat of its own below the total: keep one FencingGate for
  // each. 0 for others.
  std::uint64_t seat() const;
  // True while the lock is certainly held; see Session::Valid. Once false, never true again.
  bool Valid() const;
  // Fires when the lock is lost: with the session, or because an administrator broke it. It stays
  // silent after Session::Close and after Unlock().
  std::stop_token lost() const;
  // OK while Valid() is true; otherwise why it is not: kAborted, if an administrator broke the
  // lock, with by whom and for what reason ("invoices/42 was broken by root@ops (session 7340041):
  // it is stuck"); kFailedPrecondition, if the session is over, or the guard empty. Costs what
  // Valid() does.
  absl::Status status() const;

  // Gives the lock back. One round trip to the leader and one round of replication; retried until
  // `timeout`, then in the background until the lease is over. OK: it was held until now.
  // kNotFound: it was not held any more. kDeadlineExceeded: no answer yet. kUnknown: the lease was
  // over before an answer came. The guard is empty in any case.
  absl::Status Unlock(absl::Duration timeout = absl::Seconds(5));
  void Unlock(absl::Duration timeout, absl::AnyInvocable<void(absl::Status) &&> done);

 private:
  friend class SharedMutex;

  std::unique_ptr<client::Grant> grant_;
};

struct LockOptions {
  // How long to wait for the lock, from the call, on this machine's clocks. Zero tries once;
  // negative is refused. Waiting is FIFO, costs no thread, and is answered by a push. A try gives
  // up with kUnavailable when nothing has answered for 5 s.
  absl::Duration wait = absl::InfiniteDuration();
  // Shown to whoever inspects the lock, up to 4 KiB.
  std::string value;
  // Ends the wait with kCancelled when it is stopped.
  std::stop_token cancel;
  // How long nobody gets the lock after its holder was lost, or an administrator took it from it,
  // not after it was given back: time for
  // what the holder had begun to come to its end, where the lock protects something that checks no
  // token. Of exclusive locks only; an hour at most; an administrator can end it before
  // (Coordinator::BreakLock).
  absl::Duration lock_delay = absl::ZeroDuration();
  // Tells apart who uses the lock within the session; up to 256 bytes. Two owners of one session
  // are as two sessions.
  std::string owner;
  // Lets session and owner that hold the lock exclusively have it again at once, in a guard of its
  // own with the same token. The last of these guards frees the lock; a break takes all of them.
  // Off by default: it hides that a function is entered under a lock which its caller holds too.
  // Needs an owner.
  bool reentrant = false;
  // Refuses a wait at once, with kAborted, that would close a cycle of owners that wait for each
  // other; DeadlockOf() tells who they are. Off by default: owners have to be named with care. An
  // owner is one line of work, a transaction for example, that goes on only when all it waits for
  // was granted: not a process whose threads go on by themselves. Owners that did not ask for
  // this count too, but nobody looks when they begin to wait. A cycle of more than 16 owners, or
  // one that takes thousands of steps to find, goes unnoticed, so a wait should have an end as
  // well. Needs an owner.
  bool detect_deadlock = false;
};

// A handle on a lock's name: cheap to copy, thread-safe. Calls on one handle contend with one
// another like those of different processes, unless LockOptions::reentrant says otherwise.
//
// Errors of Lock and TryLock:
//   kAborted             not acquired: held by somebody else, and the wait is over. The message
//                        says who holds it, since when, and how many wait. Or it would never be:
//                        see LockOptions::detect_deadlock
//   kCancelled           `cancel` was stopped, or the backend was shut down
//   kUnavailable         no cluster answered within the wait, or not any more (retry-safe)
//   kResourceExhausted   the cluster is overloaded or full (retry-safe)
//   kFailedPrecondition  the session is over; open a new one
//   kInvalidArgument     an empty or overlong name or value
// None of them leaves a lock behind: what is granted too late is given back by itself.
class Mutex {
 public:
  using LockCallback = absl::AnyInvocable<void(absl::StatusOr<LockGuard>) &&>;

  Mutex() = default;  // empty: every call answers kFailedPrecondition
  explicit Mutex(std::shared_ptr<client::HandleCore> core) : core_(std::move(core)) {}

  const std::string& name() const;

  // Blocks the calling thread. Not to be called on a Loop's thread (in a callback): answers
  // kFailedPrecondition there. One round trip when the lock is free.
  absl::StatusOr<LockGuard> Lock(LockOptions options = {});
  // Same, without blocking. `done` runs once: on the backend's Loop, inside this call, or inside
  // the call that ended the wait (a cancel, a Close, with the local backend an Unlock). It must not
  // block.
  void Lock(LockOptions options, LockCallback done);

  // Lock with no wait.
  absl::StatusOr<LockGuard> TryLock();
  void TryLock(LockCallback done);

  // Who holds it and who waits: a linearizable read.
  absl::StatusOr<LockDescription> Inspect(absl::Duration timeout = absl::Seconds(5));
  void Inspect(absl::Duration timeout,
               absl::AnyInvocable<void(absl::StatusOr<LockDescription>) &&> done);

  // Every change from now on, after first who holds it now; or, with a revision, every change after
  // it. What happened before somebody first observed the lock is not known, and is a gap.
  Observer Observe(Revision after = 0);

 private:
  std::shared_ptr<client::HandleCore> core_;
};

// A lock that is held by one, or by many who share it. Cheap to copy, thread-safe. Its name is one
// of a Mutex: a Mutex of that name contends with it.
//
// First come, first served, whatever the mode: whoever asks to share waits behind one who waits for
// it alone, so that no stream of readers starves a writer. Errors as of Mutex, and
//   kFailedPrecondition  an exclusive lock for a session and owner that shares it (threads of one
//                        process that contend need an owner each, LockOptions): an upgrade would
//                        wait for itself (PITFALLS L19). Release it first; what it protects may
//                        change meanwhile
class SharedMutex {
 public:
  using LockCallback = Mutex::LockCallback;

  SharedMutex() = default;  // empty: every call answers kFailedPrecondition
  explicit SharedMutex(std::shared_ptr<client::HandleCore> core) : core_(std::move(core)) {}

  const std::string& name() const;

  absl::StatusOr<LockGuard> Lock(LockOptions options = {});
  void Lock(LockOptions options, LockCallback done);
  absl::StatusOr<LockGuard> LockShared(LockOptions options = {});
  void LockShared(LockOptions options, LockCallback done);

  // The same with no wait.
  absl::StatusOr<LockGuard> TryLock();
  void TryLock(LockCallback done);
  absl::StatusOr<LockGuard> TryLockShared();
  void TryLockShared(LockCallback done);

  // Turns an exclusive guard of this lock into a shared one, with the same token, without letting
  // anybody else in between; those who wait to share come in. The guard stays as it is on any
  // error. kNotFound: the lock was not held exclusively with that token any more.
  // kFailedPrecondition: its owner holds it more than once.
  absl::Status Downgrade(LockGuard& guard, absl::Duration timeout = absl::Seconds(5));
  void Downgrade(LockGuard& guard, absl::Duration timeout,
                 absl::AnyInvocable<void(absl::Status) &&> done);

  // As those of Mutex.
  absl::StatusOr<LockDescription> Inspect(absl::Duration timeout = absl::Seconds(5));
  void Inspect(absl::Duration timeout,
               absl::AnyInvocable<void(absl::StatusOr<LockDescription>) &&> done);
  Observer Observe(Revision after = 0);

 private:
  std::shared_ptr<client::HandleCore> core_;
};

}  // namespace tenure

#endif  // TENURE_MUTEX_H_
