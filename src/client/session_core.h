// What all handles of one session share: the lease, the exactly-once window, the events.
#ifndef TENURE_CLIENT_SESSION_CORE_H_
#define TENURE_CLIENT_SESSION_CORE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/fork_check.h"
#include "client/grant_list.h"
#include "client/lease.h"
#include "client/sequenced_call.h"
#include "client/sequences.h"
#include "tenure/backend.h"
#include "tenure/command.h"
#include "tenure/session.h"
#include "tenure/types.h"

namespace tenure::client {

// Thread-safe. Callbacks run outside of its lock. Handles own it; what it has under way refers to
// it weakly, so that it ends, and closes its session, with its last handle.
class SessionCore : public std::enable_shared_from_this<SessionCore> {
 public:
  using OpenDone = absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<SessionCore>>) &&>;

  SessionCore(std::shared_ptr<Backend> backend, std::shared_ptr<const ForkCheck> fork_check,
              SessionOptions options, InstanceKey key);
  // Closes the session in the background. Ends what is under way.
  ~SessionCore();

  // Opens the session, once; kept trying until options.open_timeout. `done` gets this.
  void Open(OpenDone done);
  // Ends the opening with kCancelled, if it is under way. Whoever calls this lets go of it then,
  // which closes what the cluster opens all the same.
  void CancelOpening();

  SessionId id() const { return id_.load(std::memory_order_acquire); }
  Backend& backend() const { return *backend_; }
  const std::shared_ptr<Backend>& shared_backend() const { return backend_; }
  Loop& loop() const { return backend_->loop(); }
  bool InForkedChild() const { return fork_check_->InChild(); }

  SessionState state() const;
  // False once a new session is needed to do anything; does not ask the clocks.
  bool usable() const { return state_.load(std::memory_order_acquire) <= SessionState::kJeopardy; }
  bool Valid() const;
  // OK while it is Valid(); otherwise why it is over.
  absl::Status status() const;
  absl::Duration remaining() const;
  absl::Duration ttl() const;
  std::stop_token lost() const { return lost_.get_token(); }
  void Watch(absl::AnyInvocable<void(SessionState)> watcher);

  void Close(absl::Duration timeout, absl::AnyInvocable<void(absl::Status) &&> done);

  // ---- for what hangs on the session ----

  // Numbers `call` and sends it, as soon as the session's window has a place for it. Not OK,
  // without having done anything, if the session is over, or (kResourceExhausted, and only of calls
  // that free nothing) if too many wait for a place.
  absl::Status Start(std::shared_ptr<SequencedCall> call);
  // True if the call was open; it is not any more, and the caller ends it. If it was sent, its
  // sequence stays unacknowledged, and its events arrive as late ones, until Finish.
  bool Take(SequencedCall& call);
  // Acknowledges the reply of a call that was taken before it came.
  void Finish(Sequence sequence);
  // Runs `touch` under the lock if the call is open.
  void IfOpen(const SequencedCall& call, absl::FunctionRef<void()> touch);
  // Runs `touch` under the lock.
  void WithGrants(absl::FunctionRef<void(GrantList&)> touch);

 private:
  class Sink;
  struct Watchers;
  friend class Sink;

  // ---- opening (session_core.cc)
  void SendOpen();
  void OnOpenAnswer(absl::StatusOr<Reply> answer);
  void OnOpened(const SessionOpened& opened);
  void FinishOpening(absl::Status status);

  // ---- renewal (session_renewal.cc)
  void ArmTimer();  // under mutex_
  void OnTimer();
  absl::Status LeaseOver() const;
  void SendRenewal(std::unique_lock<std::mutex> lock);
  void OnRenewalAnswer(std::uint64_t attempt, const std::vector<Sequence>& said,
                       absl::StatusOr<Reply> answer);
  void SetState(SessionState state);  // under mutex_
  // Ends the session for this process, once; false if it was over. `told`: by the cluster.
  bool End(SessionState state, absl::Status why, bool told);

  // ---- calls and events (session_calls.cc)
  Command MakeCommand(Operation operation);  // under mutex_
  void Send(const std::shared_ptr<SequencedCall>& call, std::unique_lock<std::mutex> lock);
  // The machine keeps replies for so many sequences above the last that is acknowledged: what has
  // no place yet waits here.
  bool HasPlace(const SequencedCall& call) const;           // under mutex_
  void Number(const std::shared_ptr<SequencedCall>& call);  // likewise
  // Those that are open, which they are not any more; likewise.
  std::vector<std::shared_ptr<SequencedCall>> TakeHeldBack();
  void SendHeldBack();
  void OnAnswer(const std::shared_ptr<SequencedCall>& call, const std::vector<Sequence>& said,
                absl::StatusOr<Reply> answer);
  void OnFailure(const std::shared_ptr<SequencedCall>& call, const absl::Status& why,
                 std::unique_lock<std::mutex> lock);
  void OnEvent(SessionEvent event);

  static void SendClose(Backend& backend, SessionId id, InstanceKey key, absl::Duration timeout,
                        Backend::Done done);

  const std::shared_ptr<Backend> backend_;
  const std::shared_ptr<const ForkCheck> fork_check_;
  const SessionOptions options_;
  const InstanceKey key_;
  std::atomic<SessionId> id_{0};
  std::atomic<SessionState> state_{SessionState::kSafe};
  std::stop_source lost_;
  const std::shared_ptr<Watchers> watchers_;

  mutable std::mutex mutex_;
  Lease lease_;
  TimerHandle timer_;
  absl::Status over_;  // why, once it is
  Sequences sequences_;
  Revision events_seen_ = 0;
  absl::flat_hash_map<Sequence, std::shared_ptr<SequencedCall>> calls_;
  // Not numbered yet: ordinary ones, and those that free something.
  std::array<std::deque<std::shared_ptr<SequencedCall>>, 2> held_back_;
  std::atomic<bool> holds_back_{false};
  bool asked_for_delay_ = false;  // after a loss, of any lock
  bool sends_held_back_ = false;
  // Ended from this side, without knowing what became of them; a cancel is on its way.
  absl::flat_hash_map<Sequence, std::shared_ptr<SequencedCall>> left_;
  GrantList grants_;

  // While it is being opened.
  OpenDone open_done_;
  Instant open_sent_;  // the first attempt's
  Instant open_deadline_;
  std::int64_t open_backoff_ns_ = 0;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_SESSION_CORE_H_
