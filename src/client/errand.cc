#include "client/errand.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/describe.h"
#include "client/session_core.h"

namespace tenure::client {
namespace {

constexpr absl::Duration kSendingMax = absl::Seconds(5);

}  // namespace

void Errand::Start(const std::shared_ptr<SessionCore>& core,
                   const std::shared_ptr<Errand>& errand) {
  const bool asked = static_cast<bool>(errand->done_);
  if (asked) errand->keep_ = core;
  if (const absl::Status over = core->Start(errand); !over.ok()) {
    errand->OnSettled(core);
    return errand->Tell(core->InForkedChild() ? over : errand->TooLate(over));
  }
  if (!asked || errand->timeout_ == absl::InfiniteDuration()) return;
  // Read only now: a local answer has come already, and needs no clock.
  core->IfOpen(*errand, [&] {
    errand->deadline_ = core->loop().Now() + std::max(errand->timeout_, absl::ZeroDuration());
    errand->timed_ = true;
    if (!errand->held_back()) return;  // else each sending's own limit sees to it
    errand->held_back_until_ = core->loop().At(
        errand->deadline_, [weak = std::weak_ptr<SequencedCall>(errand->weak_from_this())] {
          const std::shared_ptr<SequencedCall> late = weak.lock();
          if (late == nullptr) return;
          static_cast<Errand&>(*late).TellLate("earlier calls of its session are not answered");
        });
  });
}

absl::Status Errand::Verdict(const Reply& reply) {
  return reply.code == ReplyCode::kOk ? absl::OkStatus() : RefusalStatus(reply);
}

absl::Duration Errand::Timeout(Loop& loop) const {
  if (!done_ || told_.load(std::memory_order_relaxed)) return kSendingMax;
  absl::Duration left = timeout_;
  if (timed_) {
    const Instant now = loop.Now();
    left = absl::Nanoseconds(std::min(deadline_.boottime_ns() - now.boottime_ns(),
                                      deadline_.monotonic_raw_ns() - now.monotonic_raw_ns()));
  }
  return std::clamp(left, absl::Milliseconds(1), kSendingMax);
}

void Errand::OnRetry(const Core& core, const absl::Status& why) {
  bool late = timeout_ <= absl::ZeroDuration();
  core->IfOpen(*this, [&] { late = late || (timed_ && core->loop().Now().Reached(deadline_)); });
  if (late) TellLate(why.message());
}

void Errand::TellLate(absl::string_view why) {
  Tell(absl::DeadlineExceededError(
      absl::StrCat("no answer to ", What(), " within ", absl::FormatDuration(timeout_), " (", why,
                   "); it goes on in the background until the lease is over")));
}

void Errand::OnReply(const Core& core, Reply reply) {
  if (reply.code == ReplyCode::kSessionEnded && uncertain()) return OnOver(RefusalStatus(reply));
  absl::Status verdict = reply.code == ReplyCode::kSessionEnded
                             ? TooLate(absl::FailedPreconditionError(reply.message))
                             : Verdict(reply);
  OnSettled(core);
  Tell(std::move(verdict));
}

void Errand::OnFailed(const Core& core, absl::Status why, bool settled) {
  undone_ = settled;
  OnSettled(core);
  if (settled) return Tell(std::move(why));
  Tell(absl::UnknownError(
      absl::StrCat(What(), " was sent, and no answer will come: ", why.message())));
}

void Errand::OnOver(absl::Status why) {
  OnSettled(nullptr);
  Tell(absl::UnknownError(absl::StrCat("the lease was over before ", What(),
                                       " was answered: it happened, or it did not (", why.message(),
                                       ")")));
}

void Errand::Tell(absl::Status status) {
  if (!done_ || told_.exchange(true)) return;
  const Core kept = std::move(keep_);
  std::move(done_)(std::move(status));
}

}  // namespace tenure::client
