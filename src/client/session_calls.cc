// Commands that take effect once, and the events that end some of them.
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/describe.h"
#include "client/session_core.h"
#include "client/session_parts.h"
#include "tenure/errors.h"

namespace tenure::client {
namespace {

// The machine's own bound on a session (machine::Limits::window); half of it for ordinary calls, so
// that what frees something finds room.
constexpr std::size_t kWindow = 8192;
constexpr std::size_t kOrdinaryWindow = kWindow / 2;
// Waits that have no place yet, those that were left meanwhile among them. What frees something
// needs no such bound: each was granted, or sent, before.
constexpr std::size_t kHeldBackMax = 100'000;

bool AsksForDelay(const Operation& operation) {
  if (const auto* one = std::get_if<AcquireLock>(&operation)) return one->delay_ns > 0;
  if (const auto* several = std::get_if<AcquireAll>(&operation)) return several->delay_ns > 0;
  return false;
}

}  // namespace

bool SessionCore::HasPlace(const SequencedCall& call) const {
  return sequences_.ahead() < (call.OutlastsLimit() ? kWindow : kOrdinaryWindow);
}

void SessionCore::Number(const std::shared_ptr<SequencedCall>& call) {
  call->held_back_ = false;
  call->sequence_ = sequences_.Next();
  calls_.emplace(call->sequence_, call);
}

std::vector<std::shared_ptr<SequencedCall>> SessionCore::TakeHeldBack() {
  std::vector<std::shared_ptr<SequencedCall>> taken;
  for (auto& queue : held_back_) {
    for (std::shared_ptr<SequencedCall>& call : std::exchange(queue, {})) {
      if (std::exchange(call->held_back_, false)) taken.push_back(std::move(call));
    }
  }
  return taken;
}

Command SessionCore::MakeCommand(Operation operation) {
  Command command;
  command.session = id();
  command.key = key_;
  command.events_seen_through = events_seen_;
  command.operation = std::move(operation);
  sequences_.Acknowledge(command);
  return command;
}

absl::Status SessionCore::Start(std::shared_ptr<SequencedCall> call) {
  if (InForkedChild()) return ForkedStatus();
  std::unique_lock<std::mutex> lock(mutex_);
  if (!usable()) return over_;
  call->core_ = weak_from_this();
  auto& before = held_back_[call->OutlastsLimit() ? 1 : 0];
  // Not past one that waits, nor past one that is just being sent: callers rely on their order.
  if (sends_held_back_ || !before.empty() || !HasPlace(*call)) {
    if (before.size() >= kHeldBackMax && !call->OutlastsLimit()) {
      return absl::ResourceExhaustedError(
          absl::StrCat(kHeldBackMax,
                       " calls of this session wait to be sent; try again when some are answered"));
    }
    call->held_back_ = true;
    before.push_back(std::move(call));
    holds_back_.store(true, std::memory_order_relaxed);
    return absl::OkStatus();
  }
  Number(call);
  Send(call, std::move(lock));
  return absl::OkStatus();
}

void SessionCore::SendHeldBack() {
  if (!holds_back_.load(std::memory_order_relaxed)) return;
  std::unique_lock<std::mutex> lock(mutex_);
  if (std::exchange(sends_held_back_, true)) return;  // who does so looks again
  while (true) {
    std::shared_ptr<SequencedCall> next;
    for (auto& queue : held_back_) {
      if (next != nullptr || queue.empty() || !HasPlace(*queue.front())) continue;
      next = std::move(queue.front());
      queue.pop_front();
    }
    if (next == nullptr) break;
    if (!next->held_back_) continue;  // it has left
    Number(next);
    Send(next, std::move(lock));
    lock = std::unique_lock<std::mutex>(mutex_);
  }
  sends_held_back_ = false;
  holds_back_.store(!held_back_[0].empty() || !held_back_[1].empty(), std::memory_order_relaxed);
}

void SessionCore::Send(const std::shared_ptr<SequencedCall>& call,
                       std::unique_lock<std::mutex> lock) {
  Command command = MakeCommand(call->MakeOperation());
  command.sequence = call->sequence_;
  asked_for_delay_ |= AsksForDelay(command.operation);
  const absl::Duration timeout = call->Timeout(loop());
  std::vector<Sequence> said = command.acknowledged;
  lock.unlock();
  if (said.empty()) {  // nearly always; the capture then needs no memory of its own
    backend_->Call(std::move(command), {.timeout = timeout, .retry = true},
                   [call](absl::StatusOr<Reply> answer) {
                     if (const auto self = call->core_.lock()) {
                       self->OnAnswer(call, {}, std::move(answer));
                     }
                   });
    return;
  }
  backend_->Call(std::move(command), {.timeout = timeout, .retry = true},
                 [call, said = std::move(said)](absl::StatusOr<Reply> answer) {
                   if (const auto self = call->core_.lock()) {
                     self->OnAnswer(call, said, std::move(answer));
                   }
                 });
}

void SessionCore::OnAnswer(const std::shared_ptr<SequencedCall>& call,
                           const std::vector<Sequence>& said, absl::StatusOr<Reply> answer) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!answer.ok()) {
    sequences_.Unsay(said);
    return OnFailure(call, answer.status(), std::move(lock));
  }
  if (answer->code == ReplyCode::kSessionEnded || answer->code == ReplyCode::kWrongKey) {
    const bool open = calls_.erase(call->sequence_) > 0;  // `call` keeps it
    lock.unlock();
    End(SessionState::kExpired, RefusalStatus(*answer), /*told=*/true);
    if (open) call->OnReply(shared_from_this(), *std::move(answer));
    return;
  }
  const auto it = calls_.find(call->sequence_);
  if (it == calls_.end()) return;  // ended before; whoever did so acknowledges
  if (answer->code == ReplyCode::kLimit && call->OutlastsLimit()) {
    return OnFailure(call, RefusalStatus(*answer), std::move(lock));
  }
  sequences_.Finish(call->sequence_);
  const bool settled = call->Settles(*answer);
  if (settled) calls_.erase(it);  // `call` keeps it
  lock.unlock();
  SendHeldBack();
  if (settled) call->OnReply(shared_from_this(), *std::move(answer));
}

void SessionCore::OnFailure(const std::shared_ptr<SequencedCall>& call, const absl::Status& why,
                            std::unique_lock<std::mutex> lock) {
  const auto it = calls_.find(call->sequence_);
  if (it == calls_.end()) return;
  const ErrorKind kind = KindOf(why);
  if (kind == ErrorKind::kUncertain) call->uncertain_ = true;
  if (kind == ErrorKind::kRefused || call->GivesUp(why)) {
    const bool settled = !call->uncertain_;
    if (!settled && call->EndsByCancel()) {
      left_.emplace(call->sequence_, call);  // and stays unacknowledged until then
    } else {
      sequences_.Finish(call->sequence_);  // it will never be sent again
    }
    calls_.erase(it);
    lock.unlock();
    SendHeldBack();
    return call->OnFailed(shared_from_this(), why, settled);
  }
  call->backoff_ns_ = NextBackoffNs(call->backoff_ns_, why);
  const Instant when = loop().Now().PlusNs(call->backoff_ns_);
  call->retry_timer_ =
      loop().At(when, [weak = std::weak_ptr<SequencedCall>(call->weak_from_this())] {
        const std::shared_ptr<SequencedCall> again = weak.lock();
        const std::shared_ptr<SessionCore> self = again == nullptr ? nullptr : again->core_.lock();
        if (self == nullptr) return;
        std::unique_lock<std::mutex> relock(self->mutex_);
        if (self->calls_.contains(again->sequence_)) self->Send(again, std::move(relock));
      });
  lock.unlock();
  call->OnRetry(shared_from_this(), why);
}

bool SessionCore::Take(SequencedCall& call) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (call.held_back_) {
    call.held_back_ = false;  // and it is passed over when its turn comes
    return true;
  }
  const auto it = calls_.find(call.sequence_);
  if (it == calls_.end()) return false;
  left_.emplace(call.sequence_, std::move(it->second));
  calls_.erase(it);
  return true;
}

void SessionCore::Finish(Sequence sequence) {
  std::shared_ptr<SequencedCall> left;  // dropped outside of the lock
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    sequences_.Finish(sequence);
    const auto it = left_.find(sequence);
    if (it != left_.end()) {
      left = std::move(it->second);
      left_.erase(it);
    }
  }
  SendHeldBack();
}

void SessionCore::IfOpen(const SequencedCall& call, absl::FunctionRef<void()> touch) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (call.held_back_ || calls_.contains(call.sequence_)) touch();
}

void SessionCore::WithGrants(absl::FunctionRef<void(GrantList&)> touch) {
  const std::lock_guard<std::mutex> lock(mutex_);
  touch(grants_);
}

// ---- Events
// ----------------------------------------------------------------------------------------

namespace {

// The command whose wait the event ends; 0: none.
struct EndedWait {
  Sequence operator()(const LockGrantedEvent& event) const { return event.acquire; }
  Sequence operator()(const WaitEndedEvent& event) const { return event.acquire; }
  Sequence operator()(const ChangedEvent& event) const { return event.observe; }
  Sequence operator()(const AttemptStartedEvent& event) const { return event.begin; }
  Sequence operator()(const OperationEndedEvent& event) const { return event.begin; }
  Sequence operator()(const LockLostEvent& /*event*/) const { return 0; }
  Sequence operator()(const SessionEndedEvent& /*event*/) const { return 0; }
};

}  // namespace

void SessionCore::OnEvent(SessionEvent event) {
  std::shared_ptr<SequencedCall> call;
  std::shared_ptr<SequencedCall> left;
  std::vector<std::stop_source> broken;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (event.session != id() || event.revision <= events_seen_ || !usable()) return;
    events_seen_ = event.revision;
    if (const auto* lost = std::get_if<LockLostEvent>(&event.body)) {
      broken = grants_.Break(*lost);
    } else if (const Sequence ended = std::visit(EndedWait(), event.body); ended != 0) {
      const auto it = calls_.find(ended);
      if (it != calls_.end()) {
        call = std::move(it->second);
        calls_.erase(it);
        // The event answers the command, whether or not its reply came.
        sequences_.Finish(ended);
      } else if (const auto late = left_.find(ended); late != left_.end()) {
        left = late->second;  // until its cancel is answered
      }
    }
  }
  if (std::holds_alternative<SessionEndedEvent>(event.body)) {
    End(SessionState::kExpired,
        absl::FailedPreconditionError("the cluster has ended the session; open a new one"),
        /*told=*/true);
    return;
  }
  SendHeldBack();
  for (std::stop_source& source : broken) source.request_stop();
  if (call != nullptr) return call->OnEvent(shared_from_this(), event);
  if (left != nullptr) left->OnLateEvent(shared_from_this(), event);
}

}  // namespace tenure::client
