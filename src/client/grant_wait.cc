#include "client/grant_wait.h"

#include <utility>

#include "client/describe.h"
#include "client/release.h"

namespace tenure::client {

GrantWait::GrantWait(Wanted wanted, absl::Duration wait, absl::Duration spent)
    : Wait(std::visit([](const auto& operation) { return operation.name; }, wanted), wait, spent),
      wanted_(std::move(wanted)) {}

GrantKind GrantWait::kind() const {
  return std::holds_alternative<Campaign>(wanted_) ? GrantKind::kElection : GrantKind::kLock;
}

Operation GrantWait::MakeOperation() const {
  return std::visit(
      [this](auto operation) -> Operation {
        operation.wait_ns = wait_ns();
        return operation;
      },
      wanted_);
}

bool GrantWait::Queues(const Reply& reply) {
  const auto* queued = std::get_if<LockQueued>(&reply.result);
  if (queued == nullptr) return false;
  queued_ = *queued;
  return true;
}

void GrantWait::OnReply(const Core& core, Reply reply) {
  if (const auto* granted = std::get_if<LockGranted>(&reply.result)) return Granted(core, *granted);
  if (const auto* held = std::get_if<LockHeld>(&reply.result)) {
    return Fail(HeldStatus(name(), kind() == GrantKind::kElection, *held));
  }
  Fail(RefusalStatus(reply));
}

void GrantWait::OnEvent(const Core& core, const SessionEvent& event) {
  if (const auto* granted = std::get_if<LockGrantedEvent>(&event.body)) {
    return Granted(core, {granted->token, granted->fence, granted->seat});
  }
  EndOfTime();
}

void GrantWait::Granted(const Core& core, const LockGranted& granted) {
  StopTimer();
  Succeed(std::make_unique<Grant>(core, kind(), name(), granted));
}

void GrantWait::GiveBack(const Core& core, const Reply& reply) {
  if (const auto* granted = std::get_if<LockGranted>(&reply.result)) {
    Release::Start(core, kind(), name(), granted->token, absl::ZeroDuration(), nullptr);
  }
}

void GrantWait::OnLateEvent(const Core& core, const SessionEvent& event) {
  if (const auto* granted = std::get_if<LockGrantedEvent>(&event.body)) {
    Release::Start(core, kind(), name(), granted->token, absl::ZeroDuration(), nullptr);
  }
}

void GrantWait::EndOfTime() {
  Fail(queued_.has_value()
           ? WaitOverStatus(name(), kind() == GrantKind::kElection, asked(), *queued_)
           : NoAnswer(asked()));
}

}  // namespace tenure::client
