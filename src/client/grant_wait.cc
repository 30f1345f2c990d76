#include "client/grant_wait.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/describe.h"
#include "client/release.h"

namespace tenure::client {

namespace {

// For messages.
struct Name {
  std::string operator()(const AcquireAll& all) const {
    constexpr std::size_t kNamed = 3;
    std::string names;
    for (std::size_t i = 0; i < all.locks.size() && i < kNamed; ++i) {
      absl::StrAppend(&names, i == 0 ? "" : " + ", all.locks[i].name);
    }
    if (all.locks.size() > kNamed)
      absl::StrAppend(&names, " + ", all.locks.size() - kNamed, " more");
    return names;
  }
  template <typename One>
  std::string operator()(const One& one) const {
    return one.name;
  }
};

}  // namespace

GrantWait::GrantWait(Wanted wanted, absl::Duration wait, absl::Duration spent)
    : Wait(std::visit(Name(), wanted), wait, spent), wanted_(std::move(wanted)) {}

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
    LockGranted grant;
    grant.token = granted->token;
    grant.fence = granted->fence;
    grant.seat = granted->seat;
    grant.fences = granted->fences;
    return Granted(core, grant);
  }
  EndOfTime();
}

void GrantWait::Granted(const Core& core, const LockGranted& granted) {
  StopTimer();
  Succeed(core, granted);
}

std::unique_ptr<Grant> GrantWait::MakeGrant(const Core& core, const LockGranted& granted) const {
  return std::make_unique<Grant>(core, kind(), name(), granted);
}

std::vector<std::unique_ptr<Grant>> GrantWait::MakeGrants(const Core& core,
                                                          const LockGranted& granted) const {
  std::vector<std::unique_ptr<Grant>> grants;
  const auto* all = std::get_if<AcquireAll>(&wanted_);
  if (all == nullptr) return grants;
  grants.reserve(all->locks.size());
  for (std::size_t i = 0; i < all->locks.size(); ++i) {
    LockGranted one;
    one.token = granted.token;
    one.fence = i < granted.fences.size() ? granted.fences[i] : granted.fence;
    grants.push_back(std::make_unique<Grant>(core, kind(), all->locks[i].name, one));
  }
  return grants;
}

void GrantWait::Return(const Core& core, Revision token) {
  const auto* all = std::get_if<AcquireAll>(&wanted_);
  if (all == nullptr) {
    return Release::Start(core, kind(), name(), token, absl::ZeroDuration(), nullptr);
  }
  for (const LockInSet& one : all->locks) {
    Release::Start(core, kind(), one.name, token, absl::ZeroDuration(), nullptr);
  }
}

void GrantWait::GiveBack(const Core& core, const Reply& reply) {
  if (const auto* granted = std::get_if<LockGranted>(&reply.result)) {
    Return(core, granted->token);
  }
}

void GrantWait::OnLateEvent(const Core& core, const SessionEvent& event) {
  if (const auto* granted = std::get_if<LockGrantedEvent>(&event.body)) {
    Return(core, granted->token);
  }
}

void GrantWait::EndOfTime() {
  if (queued_.has_value() && silent()) return Fail(NoAnswerAnyMore());
  Fail(queued_.has_value()
           ? WaitOverStatus(name(), kind() == GrantKind::kElection, asked(), *queued_)
           : NoAnswer(asked()));
}

}  // namespace tenure::client
