#include "client/wait.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/describe.h"
#include "client/session_core.h"
#include "tenure/errors.h"

namespace tenure::client {
namespace {

// How long one sending may take; also, how long a try waits for its answer.
constexpr absl::Duration kSendingMax = absl::Seconds(5);

}  // namespace

// Cancels a wait that its caller has left.
class Wait::Cancel final : public SequencedCall {
 public:
  explicit Cancel(std::shared_ptr<Wait> left) : left_(std::move(left)) {}

 private:
  Operation MakeOperation() const override { return CancelWait{left_->sequence()}; }
  bool OutlastsLimit() const override { return true; }
  void OnReply(const Core& core, Reply reply) override {
    core->Finish(left_->sequence());
    left_->GiveBack(core, reply);
  }
  void OnFailed(const Core& /*core*/, absl::Status /*why*/, bool /*settled*/) override {}
  void OnOver(absl::Status /*why*/) override {}

  const std::shared_ptr<Wait> left_;
};

Wait::Wait(std::string name, absl::Duration asked, absl::Duration spent)
    : name_(std::move(name)),
      asked_(asked),
      wait_(spent == absl::ZeroDuration() || is_try() || asked_ == absl::InfiniteDuration()
                ? asked_
                : std::max(asked_ - spent, absl::Milliseconds(1))) {}

void Wait::Launch(const std::shared_ptr<SessionCore>& core, const std::shared_ptr<Wait>& wait,
                  std::stop_token cancel) {
  if (cancel.stop_requested()) {
    return wait->Fail(
        absl::CancelledError(absl::StrCat("cancelled before asking for ", wait->name_)));
  }
  wait->session_ = core;
  if (absl::Status over = core->Start(wait); !over.ok()) return wait->Fail(std::move(over));
  // An answer that has come already needs neither clock nor timer. A try has its call's own time
  // limit, unless it has to wait to be sent.
  if (wait->wait_ != absl::InfiniteDuration()) {
    core->IfOpen(*wait, [&] {
      if (wait->is_try() && wait->sequence() != 0) return;
      const absl::Duration limit = wait->is_try() ? kSendingMax : wait->wait_;
      wait->deadline_ = core->loop().Now() + limit;
      wait->deadline_timer_ = core->loop().At(wait->deadline_, [weak = std::weak_ptr<Wait>(wait)] {
        const auto late = weak.lock();
        if (late == nullptr) return;
        late->Leave(late->is_try() ? late->NoAnswer(kSendingMax) : absl::OkStatus());
      });
    });
  }
  if (cancel.stop_possible()) wait->on_stop_.emplace(std::move(cancel), OnStop{wait});
}

void Wait::OnStop::operator()() const {
  const std::shared_ptr<Wait> open = wait.lock();
  if (open != nullptr) {
    open->Leave(absl::CancelledError(absl::StrCat("the wait for ", open->name_, " was cancelled")));
  }
}

std::int64_t Wait::wait_ns() const {
  return wait_ == absl::InfiniteDuration() ? kWaitForever : absl::ToInt64Nanoseconds(wait_);
}

absl::Status Wait::NoAnswer(absl::Duration within) const {
  return NoAnswerStatus(name_, within, last_failure_);
}

absl::Status Wait::NoAnswerAnyMore() const {
  return absl::UnavailableError(
      absl::StrCat("nothing came of ", name_, " within ", absl::FormatDuration(asked_),
                   ": it was waited for, and then the cluster did not answer any more"));
}

absl::Duration Wait::Timeout(Loop& /*loop*/) const {
  // Its own timer ends it earlier if need be.
  return is_try() ? kSendingMax : std::min(wait_, kSendingMax);
}

bool Wait::GivesUp(const absl::Status& why) {
  last_failure_ = why;
  return is_try();
}

void Wait::OnFailed(const Core& core, absl::Status why, bool settled) {
  if (!settled) CancelInBackground(core);
  if (KindOf(why) == ErrorKind::kRefused) return Fail(std::move(why));
  last_failure_ = std::move(why);
  Fail(NoAnswer(kSendingMax));
}

void Wait::Leave(const absl::Status& why) {
  const std::shared_ptr<SessionCore> core = session_.lock();
  if (core == nullptr || !core->Take(*this)) return;
  if (sequence() != 0) CancelInBackground(core);  // else it was never sent
  silent_ = core->state() == SessionState::kJeopardy;
  if (why.ok()) return EndOfTime();
  Fail(why);
}

void Wait::CancelInBackground(const Core& core) {
  core->Start(std::make_shared<Cancel>(Self())).IgnoreError();
}

std::shared_ptr<Wait> Wait::Self() { return std::static_pointer_cast<Wait>(shared_from_this()); }

}  // namespace tenure::client
