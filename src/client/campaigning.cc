#include "client/campaigning.h"

#include <algorithm>
#include <utility>

#include "tenure/errors.h"

namespace tenure::client {

std::optional<absl::Duration> Recampaign::After(const absl::Status& why) {
  // A session that is over is the implicit one's, which is opened anew, or the end of it.
  const bool over = why.code() == absl::StatusCode::kFailedPrecondition && !core_.HasOwnSession() &&
                    !core_.InForkedChild();
  if (KindOf(why) == ErrorKind::kRefused && !over) return std::nullopt;
  pause_ = std::clamp(2 * pause_, absl::Milliseconds(20), absl::Seconds(1));
  return std::max(pause_, RetryAfter(why));
}

// What is called, or dropped, when a term is over.
class Campaigning::TermsEnd {
 public:
  explicit TermsEnd(std::shared_ptr<Campaigning> campaigning)
      : campaigning_(std::move(campaigning)) {}
  TermsEnd(TermsEnd&&) noexcept = default;
  TermsEnd& operator=(TermsEnd&&) = delete;
  ~TermsEnd() { (*this)(); }

  void operator()() {
    if (const auto campaigning = std::exchange(campaigning_, nullptr)) campaigning->GoOn();
  }

 private:
  std::shared_ptr<Campaigning> campaigning_;
};

void Campaigning::Start(Election election, std::shared_ptr<HandleCore> core,
                        CampaignOptions options, Lead lead, Done done) {
  const std::shared_ptr<Campaigning> self(new Campaigning(
      std::move(election), std::move(core), std::move(options), std::move(lead), std::move(done)));
  self->on_cancel_.emplace(self->options_.cancel, [weak = self->weak_from_this()] {
    // A campaign that is under way ends by the same token, and a term by whoever leads.
    const std::shared_ptr<Campaigning> stopped = weak.lock();
    if (stopped != nullptr)
      stopped->core_->backend().loop().Post([stopped] { stopped->EndPause(); });
  });
  self->GoOn();
}

Campaigning::Campaigning(Election election, std::shared_ptr<HandleCore> core,
                         CampaignOptions options, Lead lead, Done done)
    : election_(std::move(election)),
      core_(std::move(core)),
      options_(std::move(options)),
      next_(*core_),
      lead_(std::move(lead)),
      done_(std::move(done)) {}

void Campaigning::GoOn() {
  core_->backend().loop().Post([self = shared_from_this()] { self->Campaign(); });
}

void Campaigning::Campaign() {
  if (options_.cancel.stop_requested()) return std::move(done_)(absl::OkStatus());
  Election(election_).Campaign(options_,
                               [self = shared_from_this()](absl::StatusOr<Leadership> answer) {
                                 self->OnAnswer(std::move(answer));
                               });
}

void Campaigning::OnAnswer(absl::StatusOr<Leadership> answer) {
  if (answer.ok()) {
    next_.Elected();
    return lead_(*std::move(answer), TermsEnd(shared_from_this()));
  }
  const bool cancelled = answer.status().code() == absl::StatusCode::kCancelled;
  if (cancelled && options_.cancel.stop_requested()) return std::move(done_)(absl::OkStatus());
  const std::optional<absl::Duration> pause =
      cancelled ? std::nullopt : next_.After(answer.status());
  if (!pause.has_value()) return std::move(done_)(answer.status());
  PauseFor(*pause);
}

void Campaigning::PauseFor(absl::Duration pause) {
  Loop& loop = core_->backend().loop();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    pauses_ = true;
    pause_ = loop.At(loop.Now() + pause, [self = shared_from_this()] { self->EndPause(); });
  }
  // It may have been stopped before there was a pause to end.
  if (options_.cancel.stop_requested())
    loop.Post([self = shared_from_this()] { self->EndPause(); });
}

// By its end, or early because it was stopped.
void Campaigning::EndPause() {
  TimerHandle ended;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!std::exchange(pauses_, false)) return;
    ended = std::move(pause_);
  }
  Campaign();
}

}  // namespace tenure::client
