#include "client/release.h"

#include <algorithm>
#include <variant>

#include "absl/strings/str_cat.h"
#include "client/describe.h"
#include "client/session_core.h"

namespace tenure::client {
namespace {

constexpr absl::Duration kSendingMax = absl::Seconds(5);

}  // namespace

void Release::Start(const std::shared_ptr<SessionCore>& core, GrantKind kind, std::string name,
                    Revision token, absl::Duration timeout, Done done) {
  const bool asked = static_cast<bool>(done);
  const auto release =
      std::make_shared<Release>(kind, std::move(name), token, timeout, std::move(done));
  if (asked) release->keep_ = core;
  if (const absl::Status over = core->Start(release); !over.ok()) {
    if (core->InForkedChild()) return release->Tell(over);
    return release->Tell(absl::NotFoundError(absl::StrCat(
        release->name_, " was not held any more when it was given back: ", over.message())));
  }
  if (!asked || timeout == absl::InfiniteDuration()) return;
  // Read only now: a local answer has come already, and needs no clock.
  core->IfOpen(*release, [&] {
    release->deadline_ = core->loop().Now() + std::max(timeout, absl::ZeroDuration());
    release->timed_ = true;
  });
}

Operation Release::MakeOperation() const {
  if (kind_ == GrantKind::kElection) return Resign{name_, token_};
  return ReleaseLock{name_, token_};
}

absl::Duration Release::Timeout(Loop& loop) const {
  if (!done_ || told_.load(std::memory_order_relaxed)) return kSendingMax;
  absl::Duration left = timeout_;
  if (timed_) {
    const Instant now = loop.Now();
    left = absl::Nanoseconds(std::min(deadline_.boottime_ns() - now.boottime_ns(),
                                      deadline_.monotonic_raw_ns() - now.monotonic_raw_ns()));
  }
  return std::clamp(left, absl::Milliseconds(1), kSendingMax);
}

void Release::OnRetry(const Core& core, const absl::Status& why) {
  bool late = timeout_ <= absl::ZeroDuration();
  core->IfOpen(*this, [&] { late = late || (timed_ && core->loop().Now().Reached(deadline_)); });
  if (!late) return;
  Tell(absl::DeadlineExceededError(absl::StrCat(
      "no answer to the release of ", name_, " within ", absl::FormatDuration(timeout_), " (",
      why.message(), "); it goes on in the background until the lease is over")));
}

void Release::OnReply(const Core& /*core*/, Reply reply) {
  if (std::holds_alternative<LockReleased>(reply.result)) return Tell(absl::OkStatus());
  if (reply.code != ReplyCode::kSessionEnded) return Tell(RefusalStatus(reply));
  if (uncertain()) return OnOver(RefusalStatus(reply));
  Tell(absl::NotFoundError(
      absl::StrCat(name_, " was not held any more when it was given back: ", reply.message)));
}

void Release::OnFailed(const Core& /*core*/, absl::Status why, bool settled) {
  if (settled) return Tell(std::move(why));
  Tell(absl::UnknownError(absl::StrCat("the release of ", name_,
                                       " was sent, and no answer will come: ", why.message())));
}

void Release::OnOver(absl::Status why) {
  Tell(absl::UnknownError(absl::StrCat("the lease was over before the release of ", name_,
                                       " was answered: it was given back, in time or not (",
                                       why.message(), ")")));
}

void Release::Tell(absl::Status status) {
  if (!done_ || told_.exchange(true)) return;
  const Core kept = std::move(keep_);
  std::move(done_)(std::move(status));
}

}  // namespace tenure::client
