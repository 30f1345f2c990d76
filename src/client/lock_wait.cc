#include "client/lock_wait.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "client/describe.h"
#include "client/grant.h"
#include "client/release.h"
#include "client/session_core.h"
#include "tenure/errors.h"

namespace tenure::client {
namespace {

// How long one sending may take; also, how long a try waits for its answer.
constexpr absl::Duration kSendingMax = absl::Seconds(5);

// Cancels a wait that its caller has left.
class Cancel final : public SequencedCall {
 public:
  Cancel(std::string name, Sequence acquire) : name_(std::move(name)), acquire_(acquire) {}

 private:
  Operation MakeOperation() const override { return CancelWait{acquire_}; }
  bool OutlastsLimit() const override { return true; }
  void OnReply(const Core& core, Reply reply) override {
    core->Finish(acquire_);
    if (const auto* granted = std::get_if<LockGranted>(&reply.result)) {
      Release::Start(core, name_, granted->token, absl::ZeroDuration(), nullptr);
    }
  }
  void OnFailed(const Core& /*core*/, absl::Status /*why*/, bool /*settled*/) override {}
  void OnOver(absl::Status /*why*/) override {}

  const std::string name_;
  const Sequence acquire_;
};

}  // namespace

LockWait::LockWait(const std::string& name, LockOptions options, Mutex::LockCallback done,
                   absl::Duration spent)
    : name_(name),
      value_(std::move(options.value)),
      asked_(options.wait),
      wait_(spent == absl::ZeroDuration() || is_try() || asked_ == absl::InfiniteDuration()
                ? asked_
                : std::max(asked_ - spent, absl::Milliseconds(1))),
      done_(std::move(done)) {}

void LockWait::Start(const std::shared_ptr<SessionCore>& core, const std::string& name,
                     LockOptions options, Mutex::LockCallback done, absl::Duration spent) {
  std::stop_token cancel = std::move(options.cancel);
  if (cancel.stop_requested()) {
    return std::move(done)(
        absl::CancelledError(absl::StrCat("cancelled before asking for ", name)));
  }
  const auto wait = std::make_shared<LockWait>(name, std::move(options), std::move(done), spent);
  wait->session_ = core;
  if (absl::Status over = core->Start(wait); !over.ok()) return wait->OnOver(std::move(over));
  // An answer that has come already needs neither clock nor timer. A try has its call's own time
  // limit.
  if (!wait->is_try() && wait->wait_ != absl::InfiniteDuration()) {
    core->IfOpen(*wait, [&] {
      wait->deadline_ = core->loop().Now() + wait->wait_;
      wait->deadline_timer_ =
          core->loop().At(wait->deadline_, [weak = std::weak_ptr<LockWait>(wait)] {
            if (const auto late = weak.lock()) late->Leave(absl::OkStatus());
          });
    });
  }
  if (cancel.stop_possible()) wait->on_stop_.emplace(std::move(cancel), OnStop{wait});
}

void LockWait::OnStop::operator()() const {
  const std::shared_ptr<LockWait> open = wait.lock();
  if (open != nullptr) {
    open->Leave(absl::CancelledError(absl::StrCat("the wait for ", open->name_, " was cancelled")));
  }
}

Operation LockWait::MakeOperation() const {
  AcquireLock acquire;
  acquire.name = name_;
  acquire.value = value_;
  acquire.wait_ns =
      wait_ == absl::InfiniteDuration() ? kWaitForever : absl::ToInt64Nanoseconds(wait_);
  return acquire;
}

absl::Duration LockWait::Timeout(Loop& /*loop*/) const {
  // Its own timer ends it earlier if need be.
  return is_try() ? kSendingMax : std::min(wait_, kSendingMax);
}

bool LockWait::Settles(const Reply& reply) {
  const auto* queued = std::get_if<LockQueued>(&reply.result);
  if (queued == nullptr) return true;
  queued_ = *queued;
  return false;
}

bool LockWait::GivesUp(const absl::Status& why) {
  last_failure_ = why;
  return is_try();
}

void LockWait::OnReply(const Core& core, Reply reply) {
  if (const auto* granted = std::get_if<LockGranted>(&reply.result))
    return Grant(core, granted->token);
  if (const auto* held = std::get_if<LockHeld>(&reply.result)) {
    return std::move(done_)(HeldStatus(name_, *held));
  }
  std::move(done_)(RefusalStatus(reply));
}

void LockWait::OnFailed(const Core& core, absl::Status why, bool settled) {
  if (!settled) core->Start(std::make_shared<Cancel>(name_, sequence())).IgnoreError();
  if (KindOf(why) == ErrorKind::kRefused) return std::move(done_)(std::move(why));
  std::move(done_)(NoAnswerStatus(name_, kSendingMax, why));
}

void LockWait::OnEvent(const Core& core, const SessionEvent& event) {
  if (const auto* granted = std::get_if<LockGrantedEvent>(&event.body)) {
    return Grant(core, granted->token);
  }
  std::move(done_)(WhyNot());
}

void LockWait::OnOver(absl::Status why) { std::move(done_)(std::move(why)); }

void LockWait::Grant(const Core& core, Revision token) {
  deadline_timer_.Cancel();
  std::move(done_)(LockGuard(std::make_unique<client::Grant>(core, name_, token)));
}

void LockWait::Leave(const absl::Status& why) {
  const std::shared_ptr<SessionCore> core = session_.lock();
  if (core == nullptr || !core->Take(*this)) return;
  core->Start(std::make_shared<Cancel>(name_, sequence())).IgnoreError();
  std::move(done_)(why.ok() ? WhyNot() : why);
}

absl::Status LockWait::WhyNot() const {
  if (queued_.has_value()) return WaitOverStatus(name_, asked_, *queued_);
  return NoAnswerStatus(name_, asked_, last_failure_);
}

}  // namespace tenure::client
