// Keeping the lease, and losing it.
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/describe.h"
#include "client/session_core.h"
#include "client/session_parts.h"

namespace tenure::client {

void SessionCore::ArmTimer() {
  Instant when = lease_.next_attempt();
  // Nobody has what is still being opened: its deadline ends nothing.
  if (!open_done_) when = Instant::Earlier(when, lease_.deadline());
  timer_ = loop().At(when, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->OnTimer();
  });
}

// May run once too often: it looks at the time, not at who called.
void SessionCore::OnTimer() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!usable()) return;
  const Instant now = loop().Now();
  if (lease_.Over(now) && !open_done_) {
    lock.unlock();
    End(SessionState::kExpired, LeaseOver(), /*told=*/false);
    return;
  }
  if (now.Reached(lease_.next_attempt())) return SendRenewal(std::move(lock));
  ArmTimer();
}

absl::Status SessionCore::LeaseOver() const {
  return absl::FailedPreconditionError(absl::StrCat(
      "session ", id(),
      " was lost: no renewal was answered for the time of its lease; open a new session"));
}

void SessionCore::SendRenewal(std::unique_lock<std::mutex> lock) {
  // The clocks are read before the bytes leave (PITFALLS L6).
  const Instant now = loop().Now();
  const std::uint64_t attempt = lease_.NewAttempt(now);
  if (lease_.in_jeopardy()) SetState(SessionState::kJeopardy);
  const absl::Duration left = absl::Nanoseconds(lease_.RemainingNs(now));
  Command command = MakeCommand(RenewSession{attempt});
  std::vector<Sequence> said = command.acknowledged;
  ArmTimer();
  lock.unlock();
  // Each attempt is a command of its own: never sent twice, and its answer counts for it alone
  // (T3).
  backend_->Call(std::move(command), {.timeout = std::max(left, absl::Seconds(1)), .retry = false},
                 [weak = weak_from_this(), attempt,
                  said = std::move(said)](absl::StatusOr<Reply> answer) mutable {
                   if (const auto self = weak.lock()) {
                     self->OnRenewalAnswer(attempt, said, std::move(answer));
                   }
                 });
}

void SessionCore::OnRenewalAnswer(std::uint64_t attempt, const std::vector<Sequence>& said,
                                  absl::StatusOr<Reply> answer) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!usable()) return;  // no late answer revives it
  const Instant now = loop().Now();
  const bool opening = open_done_ != nullptr;
  if (!answer.ok()) sequences_.Unsay(said);
  if (!opening && lease_.Over(now)) {
    lock.unlock();
    return OnTimer();
  }
  const SessionRenewed* renewed =
      answer.ok() ? std::get_if<SessionRenewed>(&answer->result) : nullptr;
  if (renewed != nullptr) {
    if (renewed->attempt != attempt) return;
    lease_.Renewed(attempt, renewed->ttl_ns, now);
    SetState(SessionState::kSafe);
    ArmTimer();
    const bool opened = opening && !lease_.Over(now);
    lock.unlock();
    if (opened) FinishOpening(absl::OkStatus());
    return;
  }
  // That a session is over is the machine's verdict, or it is not known (PITFALLS T4, T8).
  if (answer.ok() &&
      (answer->code == ReplyCode::kSessionEnded || answer->code == ReplyCode::kWrongKey)) {
    lock.unlock();
    const absl::Status why = RefusalStatus(*answer);
    End(SessionState::kExpired, why, /*told=*/true);
    return;
  }
  lease_.Failed(attempt, now);
  SetState(SessionState::kJeopardy);
  if (opening && now.Reached(open_deadline_)) {
    lock.unlock();
    return FinishOpening(
        absl::UnavailableError("the session was opened, but could not be renewed"));
  }
  ArmTimer();
}

void SessionCore::SetState(SessionState state) {
  if (state_.load(std::memory_order_relaxed) == state) return;
  state_.store(state, std::memory_order_release);
  const std::lock_guard<std::mutex> lock(watchers_->mutex);
  if (watchers_->all.empty()) return;
  loop().Post([watchers = watchers_, state] { watchers->Notify(state); });
}

bool SessionCore::End(SessionState state, absl::Status why, bool told) {
  absl::flat_hash_map<Sequence, std::shared_ptr<SequencedCall>> calls;
  absl::flat_hash_map<Sequence, std::shared_ptr<SequencedCall>> left;
  std::vector<std::shared_ptr<SequencedCall>> held_back;
  TimerHandle timer;
  bool delay = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!usable()) return false;
    SetState(state);
    over_ = why;
    calls.swap(calls_);
    left.swap(left_);
    held_back = TakeHeldBack();
    delay = asked_for_delay_;
    timer = std::exchange(timer_, TimerHandle());  // renewals stop here (PITFALLS L16)
  }
  timer.Cancel();
  // A session that is closed has lost nothing, so no delay would follow: where one was asked for,
  // the cluster has to find out by itself.
  const bool close = state == SessionState::kExpired && !told && !delay;
  // Who holds something must know first.
  if (state == SessionState::kExpired) lost_.request_stop();
  backend_->Unlisten(id());
  if (close) {
    // It is over for its holder; others need not wait until the cluster finds out.
    SendClose(*backend_, id(), key_, absl::Nanoseconds(lease_.ttl_ns()),
              [](absl::StatusOr<Reply>) {});
  }
  EndInOrder(calls, [&](SequencedCall& call) { call.OnOver(why); });
  for (const auto& call : held_back) call->OnOver(why);
  // It may have ended before whoever opened it had it.
  FinishOpening(absl::UnavailableError(why.message()));
  return true;
}

}  // namespace tenure::client
