#include "tenure/election.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/campaigning.h"
#include "client/grant.h"
#include "client/handle_core.h"
#include "client/lead_state.h"
#include "client/observer_core.h"
#include "client/read.h"
#include "client/release.h"
#include "tenure/errors.h"

namespace tenure {

using client::EmptyStatus;

namespace {

using Done = absl::AnyInvocable<void(absl::Status) &&>;

// Changes what the leader says of itself.
class Proclaiming final : public client::Errand {
 public:
  // Clears state->proclaiming when it is settled.
  Proclaiming(tenure::Proclaim proclaim, std::shared_ptr<client::LeadState> state,
              absl::Duration timeout, Done done)
      : Errand(timeout, std::move(done)),
        proclaim_(std::move(proclaim)),
        state_(std::move(state)) {}

 private:
  Operation MakeOperation() const override { return proclaim_; }
  std::string What() const override { return absl::StrCat("the proclamation of ", proclaim_.name); }
  absl::Status TooLate(const absl::Status& why) const override {
    return absl::NotFoundError(
        absl::StrCat("this one leads ", proclaim_.name, " no more: ", why.message()));
  }
  absl::Status Verdict(const Reply& reply) override {
    if (reply.code == ReplyCode::kOk) state_->set_value(proclaim_.value);
    return Errand::Verdict(reply);
  }
  void OnSettled(const Core& /*core*/) override {
    state_->proclaiming.store(false, std::memory_order_release);
  }

  const tenure::Proclaim proclaim_;
  const std::shared_ptr<client::LeadState> state_;
};

class HandingOver final : public client::Errand {
 public:
  HandingOver(tenure::HandOver hand_over, std::shared_ptr<client::LeadState> state,
              absl::Duration timeout, Done done)
      : Errand(timeout, std::move(done)),
        hand_over_(std::move(hand_over)),
        state_(std::move(state)) {}

 private:
  Operation MakeOperation() const override { return hand_over_; }
  std::string What() const override { return absl::StrCat("handing over ", hand_over_.name); }
  absl::Status TooLate(const absl::Status& why) const override {
    return absl::NotFoundError(
        absl::StrCat("this one leads ", hand_over_.name, " no more: ", why.message()));
  }
  // Only who knows that nothing happened brings it back. Otherwise it stays away, until the
  // session's end at the latest.
  absl::Status Verdict(const Reply& reply) override {
    over_ = reply.code == ReplyCode::kOk || reply.code == ReplyCode::kNotHeld;
    answered_ = true;
    return Errand::Verdict(reply);
  }
  void OnSettled(const Core& core) override {
    if (over_) {
      state_->lead.Leave();
    } else if (!answered_ && !undone()) {
      return;
    } else if (!state_->lead.BringBack() && core != nullptr) {
      client::Release::Start(core, client::GrantKind::kElection, hand_over_.name, hand_over_.term,
                             absl::ZeroDuration(), nullptr);
    }
  }

  const tenure::HandOver hand_over_;
  const std::shared_ptr<client::LeadState> state_;
  bool answered_ = false;
  bool over_ = false;
};

// Waits, unless it is stopped meanwhile.
void Pause(absl::Duration duration, const std::stop_token& cancel) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock<std::mutex> lock(mutex);
  stopped.wait_for(lock, cancel, absl::ToChronoNanoseconds(duration), [] { return false; });
}

}  // namespace

// ---- Leadership
// ------------------------------------------------------------------------------------

Leadership::Leadership() noexcept = default;
Leadership::Leadership(std::unique_ptr<client::Grant> grant)
    : grant_(std::move(grant)), state_(std::make_shared<client::LeadState>()) {}
Leadership::Leadership(Leadership&&) noexcept = default;

Leadership& Leadership::operator=(Leadership&& other) noexcept {
  // What this one leads is resigned only when the other is safely in its place.
  Leadership former(std::move(other));
  grant_.swap(former.grant_);
  state_.swap(former.state_);
  return *this;
}

Leadership::~Leadership() {
  if (grant_ == nullptr || grant_->core()->InForkedChild()) return;
  if (!state_->lead.Leave()) return;  // it is being handed over, or was
  client::Release::Start(grant_->core(), grant_->kind(), grant_->TakeName(), grant_->token(),
                         absl::ZeroDuration(), nullptr);
}

const std::string& Leadership::name() const {
  return grant_ == nullptr ? client::NoName() : grant_->name();
}
Revision Leadership::term() const { return grant_ == nullptr ? 0 : grant_->token(); }
std::string Leadership::value() const { return grant_ == nullptr ? "" : state_->value(); }
bool Leadership::Valid() const {
  return grant_ != nullptr && state_->lead.here() && grant_->Valid();
}
std::stop_token Leadership::lost() const {
  return grant_ == nullptr ? std::stop_token() : grant_->lost();
}
absl::Status Leadership::status() const {
  if (grant_ == nullptr) return EmptyStatus("Leadership");
  absl::Status status = grant_->status();
  if (!status.ok() || state_->lead.here()) return status;
  return absl::FailedPreconditionError(
      absl::StrCat("the lead of ", name(), " is given to a successor"));
}

absl::Status Leadership::Proclaim(absl::string_view value, absl::Duration timeout) {
  if (grant_ == nullptr) return EmptyStatus("Leadership");
  return client::BlockOn<absl::Status>(
      grant_->core(), [&](auto done) { Proclaim(value, timeout, std::move(done)); });
}

void Leadership::Proclaim(absl::string_view value, absl::Duration timeout, Done done) {
  if (grant_ == nullptr) return std::move(done)(EmptyStatus("Leadership"));
  if (grant_->core()->InForkedChild()) return std::move(done)(client::ForkedStatus());
  if (state_->proclaiming.exchange(true, std::memory_order_acq_rel)) {
    return std::move(done)(absl::UnavailableError(
        absl::StrCat("an earlier proclamation of ", name(), " is still under way; try again")));
  }
  client::Errand::Start(grant_->core(), std::make_shared<Proclaiming>(
                                            tenure::Proclaim{name(), term(), std::string(value)},
                                            state_, timeout, std::move(done)));
}

absl::Status Leadership::Resign(absl::Duration timeout) {
  if (grant_ == nullptr) return EmptyStatus("Leadership");
  return client::BlockOn<absl::Status>(grant_->core(),
                                       [&](auto done) { Resign(timeout, std::move(done)); });
}

void Leadership::Resign(absl::Duration timeout, Done done) {
  if (grant_ == nullptr) return std::move(done)(EmptyStatus("Leadership"));
  const std::unique_ptr<client::Grant> grant = std::exchange(grant_, nullptr);
  client::Release::Start(grant->core(), grant->kind(), grant->TakeName(), grant->token(), timeout,
                         std::move(done));
}

absl::Status Leadership::HandOver(const Candidate& candidate, absl::Duration timeout) {
  if (grant_ == nullptr) return EmptyStatus("Leadership");
  absl::Status status = client::BlockOn<absl::Status>(
      grant_->core(), [&](auto done) { HandOver(candidate, timeout, std::move(done)); });
  if (status.ok()) grant_ = nullptr;
  return status;
}

void Leadership::HandOver(const Candidate& candidate, absl::Duration timeout, Done done) {
  if (grant_ == nullptr) return std::move(done)(EmptyStatus("Leadership"));
  if (grant_->core()->InForkedChild()) return std::move(done)(client::ForkedStatus());
  // Before it is sent: whoever looks from now on leads no more.
  if (!state_->lead.SendAway()) {
    return std::move(done)(absl::FailedPreconditionError(
        absl::StrCat("the lead of ", name(), " is being handed over already, or was")));
  }
  client::Errand::Start(grant_->core(),
                        std::make_shared<HandingOver>(
                            tenure::HandOver{name(), term(), candidate.session, candidate.campaign},
                            state_, timeout, std::move(done)));
}

// ---- Election
// --------------------------------------------------------------------------------------

const std::string& Election::name() const {
  return core_ == nullptr ? client::NoName() : core_->name();
}

absl::StatusOr<Leadership> Election::Campaign(CampaignOptions options) {
  if (core_ == nullptr) return EmptyStatus("Election");
  return client::BlockOn<absl::StatusOr<Leadership>>(
      *core_, [&](auto done) { Campaign(std::move(options), std::move(done)); });
}

void Election::Campaign(CampaignOptions options, CampaignCallback done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("Election"));
  tenure::Campaign wanted;
  wanted.name = core_->name();
  wanted.value = std::move(options.value);
  wanted.priority = options.priority;
  CampaignCallback then = [value = wanted.value,
                           done = std::move(done)](absl::StatusOr<Leadership> won) mutable {
    if (won.ok()) won->state_->set_value(std::move(value));
    std::move(done)(std::move(won));
  };
  core_->Ask<Leadership>(std::move(wanted), options.wait, std::move(options.cancel),
                         std::move(then));
}

absl::Status Election::Run(const CampaignOptions& options,
                           absl::FunctionRef<void(Leadership&)> lead) {
  if (core_ == nullptr) return EmptyStatus("Election");
  client::Recampaign next(*core_);
  while (!options.cancel.stop_requested()) {
    absl::StatusOr<Leadership> leadership = Campaign(options);
    if (leadership.ok()) {
      next.Elected();
      lead(*leadership);
      continue;  // resigns
    }
    if (leadership.status().code() == absl::StatusCode::kCancelled) {
      return options.cancel.stop_requested() ? absl::OkStatus() : leadership.status();
    }
    // On a Loop's own thread it may not wait, and never will.
    const std::optional<absl::Duration> pause = next.After(leadership.status());
    if (!pause.has_value() || core_->backend().loop().OnLoop()) return leadership.status();
    Pause(*pause, options.cancel);
  }
  return absl::OkStatus();
}

void Election::Run(CampaignOptions options, absl::AnyInvocable<void(Leadership, Again again)> lead,
                   Done done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("Election"));
  if (core_->InForkedChild()) return std::move(done)(client::ForkedStatus());
  client::Campaigning::Start(*this, core_, std::move(options), std::move(lead), std::move(done));
}

absl::StatusOr<ElectionDescription> Election::Describe(absl::Duration timeout) {
  if (core_ == nullptr) return EmptyStatus("Election");
  return client::BlockOn<absl::StatusOr<ElectionDescription>>(
      *core_, [&](auto done) { Describe(timeout, std::move(done)); });
}

void Election::Describe(absl::Duration timeout,
                        absl::AnyInvocable<void(absl::StatusOr<ElectionDescription>) &&> done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("Election"));
  if (core_->InForkedChild()) return std::move(done)(client::ForkedStatus());
  client::Read<ElectionDescription>(core_->backend(), GetElection{core_->name(), 0}, timeout,
                                    std::move(done));
}

Observer Election::Observe(Revision after) {
  if (core_ == nullptr) return Observer();
  return Observer(std::make_shared<client::ObserverCore>(core_, ObjectKind::kElection, after));
}

// ---- Observer
// --------------------------------------------------------------------------------------

Observer::Observer() noexcept = default;
Observer::Observer(std::shared_ptr<client::ObserverCore> core) : core_(std::move(core)) {}
Observer::Observer(Observer&&) noexcept = default;

Observer& Observer::operator=(Observer&& other) noexcept {
  const Observer former(std::exchange(core_, std::exchange(other.core_, nullptr)));
  return *this;
}

Observer::~Observer() {
  if (core_ != nullptr && !core_->handle().InForkedChild()) core_->Stop();
}

absl::StatusOr<News> Observer::Next(absl::Duration wait, const std::stop_token& cancel) {
  if (core_ == nullptr) return EmptyStatus("Observer");
  return client::BlockOn<absl::StatusOr<News>>(
      core_->handle(), [&](auto done) { core_->Next(wait, cancel, std::move(done)); });
}

void Observer::Next(absl::Duration wait, absl::AnyInvocable<void(absl::StatusOr<News>) &&> done) {
  Next(wait, {}, std::move(done));
}

void Observer::Next(absl::Duration wait, const std::stop_token& cancel,
                    absl::AnyInvocable<void(absl::StatusOr<News>) &&> done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("Observer"));
  core_->Next(wait, cancel, std::move(done));
}

Revision Observer::revision() const { return core_ == nullptr ? 0 : core_->revision(); }

}  // namespace tenure
