// The object that a program keeps: one connection to wherever commands run, and what is made from
// it.
#ifndef TENURE_COORDINATOR_H_
#define TENURE_COORDINATOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tenure/backend.h"
#include "tenure/command.h"
#include "tenure/election.h"
#include "tenure/idempotency.h"
#include "tenure/lock_set.h"
#include "tenure/mutex.h"
#include "tenure/semaphore.h"
#include "tenure/session.h"

namespace tenure {

namespace client {
class CoordinatorCore;  // src/client/coordinator_core.h
}

struct CoordinatorOptions {
  // Of the implicit session, opened when it is first needed, and opened anew when it was lost.
  SessionOptions session;
  // Of the random keys of its sessions; 0 draws them from the system. For simulation only: two
  // coordinators with one seed take each other's sessions for their own.
  std::uint64_t seed = 0;
};

// Cheap to copy; all copies are one. Thread-safe.
//
// Handles own what they stand on. A Mutex of the implicit session counts as a copy of its
// Coordinator, a LockGuard keeps its session, and a Session the connection; so all of them are safe
// to use and to destroy in any order. With the last of them a session is closed, in the background,
// and with the last session the connection ends: promptly, whatever the network does. Callbacks
// that wait own nothing: a wait whose handles are all gone ends with an error (kFailedPrecondition
// or kCancelled).
//
// Callbacks run on the backend's Loop: on its own thread, or on a thread that waits in a blocking
// call of the same connection, which the Loop may borrow meanwhile. So neither block in a callback,
// nor hold a lock during a blocking call that a callback takes.
//
// In a child of fork() they do nothing, also when they are destroyed, and answer
// kFailedPrecondition.
class Coordinator {
 public:
  Coordinator() = default;  // empty: every call answers kFailedPrecondition
  // Takes a backend; what Open, OpenLocal and Member::coordinator() call.
  explicit Coordinator(std::shared_ptr<Backend> backend, CoordinatorOptions options = {});

  // A lock under the implicit session.
  Mutex mutex(absl::string_view name) const;
  // A lock that can be shared, and a semaphore of `total` permits; likewise.
  SharedMutex shared_mutex(absl::string_view name) const;
  Semaphore semaphore(absl::string_view name, std::uint64_t total) const;
  // Several locks, all or none, without deadlock (lock_set.h); likewise. One round trip when all
  // are free. Errors as of Mutex and SharedMutex, for any of the names; kInvalidArgument also for
  // no name, a name twice, LockMode::kPermits, or more than 64 names.
  absl::StatusOr<LockSetGuard> AcquireAll(std::vector<LockInSet> locks,
                                          AcquireAllOptions options = {});
  void AcquireAll(std::vector<LockInSet> locks, AcquireAllOptions options, LockSetCallback done);
  // An election; its campaigns hang on the implicit session.
  Election election(absl::string_view name) const;
  // Operations that take effect once, of one scope; likewise.
  IdempotencyStore idempotency(absl::string_view scope) const;

  // A session of its own lifetime. Blocks for one round trip. Errors: kUnavailable if no cluster
  // answered within the options' open_timeout, kCancelled, kInvalidArgument, kResourceExhausted.
  absl::StatusOr<Session> OpenSession(SessionOptions options = {});
  void OpenSession(SessionOptions options,
                   absl::AnyInvocable<void(absl::StatusOr<Session>) &&> done);

  using StatusCallback = absl::AnyInvocable<void(absl::StatusOr<ClusterStatus>) &&>;
  // What the cluster looks like, from the member that answers; works without a leader. The blocking
  // forms here and below are refused on a Loop's thread; `done` runs once, on the backend's Loop or
  // inside the call, and must not block.
  absl::StatusOr<ClusterStatus> Status(absl::Duration timeout = absl::Seconds(5));
  void Status(absl::Duration timeout, StatusCallback done);
  // Changes who takes part: each answers once it is done, and may be repeated. A member to add must
  // have been started with a list of members that has it; it becomes a voter once it has caught up.
  // One to remove need not live. kDeadlineExceeded: it may still happen.
  absl::StatusOr<ClusterStatus> AddMember(absl::string_view name, absl::string_view address,
                                          absl::Duration timeout = absl::Seconds(30));
  void AddMember(absl::string_view name, absl::string_view address, absl::Duration timeout,
                 StatusCallback done);
  absl::StatusOr<ClusterStatus> RemoveMember(absl::string_view name,
                                             absl::Duration timeout = absl::Seconds(30));
  void RemoveMember(absl::string_view name, absl::Duration timeout, StatusCallback done);
  absl::StatusOr<ClusterStatus> PromoteMember(absl::string_view name,
                                              absl::Duration timeout = absl::Seconds(30));
  void PromoteMember(absl::string_view name, absl::Duration timeout, StatusCallback done);
  // To whichever voter lags least, if `name` is empty.
  absl::StatusOr<ClusterStatus> TransferLeadership(absl::string_view name = "",
                                                   absl::Duration timeout = absl::Seconds(30));
  void TransferLeadership(absl::string_view name, absl::Duration timeout, StatusCallback done);
  // For administrators: takes a lock, or a semaphore's permits, from whoever holds them with that
  // token (see Mutex::Inspect). Its guards stop to be Valid() as soon as they hear of it, and their
  // status() says by whom and why; but what they do until then no coordinator can stop: that takes
  // a fencing gate. It also stands in the lock's journal (Mutex::Observe). kNotFound: nobody holds
  // it with that token. It counts as a loss, so a lock_delay follows. A lock that is held back by a
  // lock_delay after a loss has a token for that (LockDescription::delay): with it, this ends the
  // delay, for who knows that the lost holder does nothing any more.
  absl::Status BreakLock(absl::string_view name, Revision token, absl::string_view reason,
                         absl::Duration timeout = absl::Seconds(5));
  void BreakLock(absl::string_view name, Revision token, absl::string_view reason,
                 absl::Duration timeout, absl::AnyInvocable<void(absl::Status) &&> done);
  // The same of the lead of an election, by its term, and of an attempt at an operation.
  absl::Status BreakLeadership(absl::string_view name, Revision term, absl::string_view reason,
                               absl::Duration timeout = absl::Seconds(5));
  void BreakLeadership(absl::string_view name, Revision term, absl::string_view reason,
                       absl::Duration timeout, absl::AnyInvocable<void(absl::Status) &&> done);
  absl::Status BreakAttempt(absl::string_view scope, absl::string_view key, Revision token,
                            absl::string_view reason, absl::Duration timeout = absl::Seconds(5));
  void BreakAttempt(absl::string_view scope, absl::string_view key, Revision token,
                    absl::string_view reason, absl::Duration timeout,
                    absl::AnyInvocable<void(absl::Status) &&> done);
  // Locks that are held or waited for, by name, after `after`; linearizable, a page at a time.
  absl::StatusOr<LockList> ListLocks(absl::string_view after = "", std::uint32_t limit = 1000,
                                     absl::Duration timeout = absl::Seconds(5));
  void ListLocks(absl::string_view after, std::uint32_t limit, absl::Duration timeout,
                 absl::AnyInvocable<void(absl::StatusOr<LockList>) &&> done);
  // Elections that are led or campaigned for, by name, after `after`; the same.
  absl::StatusOr<ElectionList> ListElections(absl::string_view after = "",
                                             std::uint32_t limit = 1000,
                                             absl::Duration timeout = absl::Seconds(5));
  void ListElections(absl::string_view after, std::uint32_t limit, absl::Duration timeout,
                     absl::AnyInvocable<void(absl::StatusOr<ElectionList>) &&> done);
  // Sessions by id, after `after`; the same.
  absl::StatusOr<SessionList> ListSessions(SessionId after = 0, std::uint32_t limit = 1000,
                                           absl::Duration timeout = absl::Seconds(5));
  void ListSessions(SessionId after, std::uint32_t limit, absl::Duration timeout,
                    absl::AnyInvocable<void(absl::StatusOr<SessionList>) &&> done);

  // The seam below, for what has no handle yet. Null if this is empty.
  std::shared_ptr<Backend> backend() const;

 private:
  std::shared_ptr<client::CoordinatorCore> core_;
};

}  // namespace tenure

#endif  // TENURE_COORDINATOR_H_
