// Commands that take effect once, and the events that end some of them.
#include <utility>
#include <variant>

#include "client/describe.h"
#include "client/release.h"
#include "client/session_core.h"
#include "client/session_parts.h"
#include "tenure/errors.h"

namespace tenure::client {

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
  call->sequence_ = sequences_.Next();
  calls_.emplace(call->sequence_, call);
  Send(call, std::move(lock));
  return absl::OkStatus();
}

void SessionCore::Send(const std::shared_ptr<SequencedCall>& call,
                       std::unique_lock<std::mutex> lock) {
  Command command = MakeCommand(call->MakeOperation());
  command.sequence = call->sequence_;
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
  if (!call->Settles(*answer)) return;
  calls_.erase(it);  // `call` keeps it
  lock.unlock();
  call->OnReply(shared_from_this(), *std::move(answer));
}

void SessionCore::OnFailure(const std::shared_ptr<SequencedCall>& call, const absl::Status& why,
                            std::unique_lock<std::mutex> lock) {
  const auto it = calls_.find(call->sequence_);
  if (it == calls_.end()) return;
  const ErrorKind kind = KindOf(why);
  if (kind == ErrorKind::kUncertain) call->uncertain_ = true;
  if (kind == ErrorKind::kRefused || call->GivesUp(why)) {
    const bool settled = !call->uncertain_;
    if (settled) sequences_.Finish(call->sequence_);
    calls_.erase(it);
    lock.unlock();
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

bool SessionCore::Take(const SequencedCall& call) {
  std::shared_ptr<SequencedCall> taken;  // dropped outside of the lock
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = calls_.find(call.sequence_);
  if (it == calls_.end()) return false;
  taken = std::move(it->second);
  calls_.erase(it);
  return true;
}

void SessionCore::Finish(Sequence sequence) {
  const std::lock_guard<std::mutex> lock(mutex_);
  sequences_.Finish(sequence);
}

void SessionCore::IfOpen(const SequencedCall& call, absl::FunctionRef<void()> touch) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (calls_.contains(call.sequence_)) touch();
}

// ---- Events
// ----------------------------------------------------------------------------------------

void SessionCore::OnEvent(SessionEvent event) {
  std::shared_ptr<SequencedCall> call;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (event.session != id() || event.revision <= events_seen_ || !usable()) return;
    events_seen_ = event.revision;
    if (const auto* ended = std::get_if<SessionEndedEvent>(&event.body)) {
      (void)ended;
    } else {
      const Sequence acquire = std::holds_alternative<LockGrantedEvent>(event.body)
                                   ? std::get<LockGrantedEvent>(event.body).acquire
                                   : std::get<WaitEndedEvent>(event.body).acquire;
      const auto it = calls_.find(acquire);
      if (it != calls_.end()) {
        call = std::move(it->second);
        calls_.erase(it);
      }
      // The event answers the acquire, whether or not its reply came.
      sequences_.Finish(acquire);
    }
  }
  if (std::holds_alternative<SessionEndedEvent>(event.body)) {
    End(SessionState::kExpired,
        absl::FailedPreconditionError("the cluster has ended the session; open a new one"),
        /*told=*/true);
    return;
  }
  if (call != nullptr) return call->OnEvent(shared_from_this(), event);
  // A grant that nobody wants is given back: no ghost (PITFALLS L14).
  if (const auto* granted = std::get_if<LockGrantedEvent>(&event.body)) {
    Release::Start(shared_from_this(), granted->name, granted->token, absl::ZeroDuration(),
                   nullptr);
  }
}

}  // namespace tenure::client
