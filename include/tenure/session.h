// A session: one lease, on which everything hangs that a client holds.
//
// The cluster ends a session whose renewals stop arriving for its TTL; the client's own deadline
// comes earlier, so that a holder knows first. It counts from the moment at which the last
// acknowledged renewal was *sent*, and lasts TTL*(1-r)/(1+r) for clocks that may be off by r:
// whatever the network does, a session is over for its holder before it is over for anybody else
// (docs/architecture.md, Time).
#ifndef TENURE_SESSION_H_
#define TENURE_SESSION_H_

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tenure/types.h"

namespace tenure {

class Election;
class IdempotencyStore;
class LockSetGuard;
class Mutex;
class Semaphore;
class SharedMutex;
struct AcquireAllOptions;
struct LockInSet;

namespace client {
class SessionCore;  // src/client/session_core.h
}

enum class SessionState {
  kSafe,      // renewals are answered
  kJeopardy,  // renewals are failing; the deadline has not passed yet: what is held is still held
  kExpired,   // the deadline passed, or the cluster said that it ended. Final.
  kClosed,    // closed by its owner. Final.
};

struct SessionOptions {
  // How long a holder that vanished keeps others waiting. 10 s rides out a fail-over (about 1 s)
  // and a long pause of the process; shorter finds dead holders sooner. From 1 s to the cluster's
  // maximum, 60 s by default; the cluster clamps what is outside.
  absl::Duration ttl = absl::Seconds(10);
  // Shown to people who inspect a lock; "host:pid" if empty.
  std::string label;
  // The bound on how far this machine's clocks run off real time; the cluster's members must keep
  // it too. 1 % is a hundred times what an undisciplined quartz does.
  double clock_drift_max = 0.01;
  // How long opening may take.
  absl::Duration open_timeout = absl::Seconds(10);
  // Of OpenSession alone: ends the opening with kCancelled. What the cluster opens all the same is
  // closed when its answer comes; without an answer, nobody renews it. Once the session is here
  // this has no meaning any more, and for the implicit session none at all: there each call has its
  // own.
  std::stop_token cancel;
};

// A handle: cheap to copy; all copies are one session. Thread-safe. The session is closed when the
// last handle, mutex and guard on it is gone, or by Close.
class Session {
 public:
  Session() = default;  // empty: every call answers kFailedPrecondition
  explicit Session(std::shared_ptr<client::SessionCore> core) : core_(std::move(core)) {}

  // The cluster's number for this session; 0 if it is empty.
  SessionId id() const;
  SessionState state() const;
  // True while what this session holds is certainly still held: asks this machine's clocks, never
  // the network, so it is right also right after a pause of the process. Costs two clock readings.
  bool Valid() const;
  // OK while Valid() is true; otherwise kFailedPrecondition, and the message says why it is over.
  absl::Status status() const;
  // How long Valid() stays true if no renewal succeeds any more. Zero when it is over.
  absl::Duration remaining() const;
  // The TTL that the cluster granted, which may be less than was asked for. Zero if it is empty.
  absl::Duration ttl() const;
  // Fires once, when the session is lost: never for one that its owner closed before. On the thread
  // that learnt of it.
  std::stop_token lost() const;
  // Calls `watcher` on each change of state, on the backend's Loop: it must not block.
  void Watch(absl::AnyInvocable<void(SessionState)> watcher);

  // Locks whose grants hang on this session.
  Mutex mutex(absl::string_view name) const;
  SharedMutex shared_mutex(absl::string_view name) const;
  Semaphore semaphore(absl::string_view name, std::uint64_t total) const;
  // Several locks, all or none, whose grants hang on this session: see Coordinator::AcquireAll.
  absl::StatusOr<LockSetGuard> AcquireAll(std::vector<LockInSet> locks, AcquireAllOptions options);
  void AcquireAll(std::vector<LockInSet> locks, AcquireAllOptions options,
                  absl::AnyInvocable<void(absl::StatusOr<LockSetGuard>) &&> done);
  // An election whose campaigns hang on this session.
  Election election(absl::string_view name) const;
  // Operations whose attempts hang on this session.
  IdempotencyStore idempotency(absl::string_view scope) const;

  // Gives back all that the session holds, in one step: its guards stop to be Valid(), its waits
  // end with kFailedPrecondition. Waits for the cluster's answer at most `timeout`, and tells what
  // came of it (kNotFound: it had been lost before); the session is over for this process in any
  // case.
  absl::Status Close(absl::Duration timeout = absl::Seconds(5));
  void Close(absl::Duration timeout, absl::AnyInvocable<void(absl::Status) &&> done);

 private:
  std::shared_ptr<client::SessionCore> core_;
};

}  // namespace tenure

#endif  // TENURE_SESSION_H_
