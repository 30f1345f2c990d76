#include "cli/leased_run.h"

#include <algorithm>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cli/exit_status.h"

namespace tenure::cli {
namespace {

// How long a cluster may be silent when nothing is waited for.
constexpr absl::Duration kTryPatience = absl::Seconds(5);
// When nothing was acquired: the wait that was given is over, and the lease ends by itself.
constexpr absl::Duration kGiveUpPatience = absl::Milliseconds(300);

}  // namespace

LeasedRun::LeasedRun(const char* subcommand, const LeaseFlags& flags,
                     std::unique_ptr<Watchdog> watchdog)
    : subcommand_(subcommand),
      flags_(flags),
      watchdog_(std::move(watchdog)),
      signals_(CommandSignals()),
      started_(ReadMonotonicClocks()) {}

int LeasedRun::Run() {
  absl::StatusOr<Coordinator> coordinator = ConnectTo(flags_.endpoints);
  if (!coordinator.ok()) return Fail(coordinator.status());
  coordinator_ = *std::move(coordinator);
  while (true) {
    const absl::Status status = OpenAndAcquire();
    if (status.ok()) break;
    if (signal_ != 0) {
      Close().IgnoreError();
      return kExitSignalBase + signal_;
    }
    // The session ended while it waited, with its place in the queue: begin again.
    const bool again = session_.id() != 0 && !session_.Valid() &&
                       (status.code() == absl::StatusCode::kFailedPrecondition ||
                        status.code() == absl::StatusCode::kUnknown);
    if (!again || Left() <= absl::ZeroDuration()) return Fail(status);
    session_ = Session();
  }
  return Hold();
}

RunResult LeasedRun::RunUnderLease(std::vector<std::string> environment,
                                   const std::function<bool()>& valid, std::function<void()> tend) {
  environment.push_back(absl::StrCat("TENURE_NAME=", flags_.name));
  const RunResult result = RunCommand(
      *watchdog_, signals_,
      {.environment = std::move(environment),
       .ttl = ttl_,
       .grace = flags_.grace,
       // What is lost although its session lives, broken by an administrator, is lost too.
       .remaining = [this,
                     &valid] { return valid() ? session_.remaining() : absl::ZeroDuration(); },
       .tend = std::move(tend)});
  watchdog_.reset();
  return result;
}

std::string LeasedRun::WhyLost(const absl::Status& status) {
  // Others chose what it quotes.
  return status.ok() ? "" : absl::StrCat(": ", absl::Utf8SafeCEscape(status.message()));
}

absl::Duration LeasedRun::Left() const {
  const absl::Duration limit = flags_.wait > absl::ZeroDuration() ? flags_.wait : kTryPatience;
  if (limit == absl::InfiniteDuration()) return limit;
  const absl::Duration over = absl::Nanoseconds(ReadMonotonicClocks().HolderElapsedNs(started_));
  // Rounded up, because messages tell it.
  return absl::Ceil(std::max(limit - over, absl::ZeroDuration()), absl::Milliseconds(10));
}

absl::Status LeasedRun::OpenAndAcquire() {
  Outcome<absl::StatusOr<Session>> opened;
  coordinator_.OpenSession({.ttl = flags_.ttl, .open_timeout = Left()}, opened.callback());
  std::optional<absl::StatusOr<Session>> session = Await(opened);
  if (!session.has_value()) return absl::CancelledError("interrupted");
  if (!session->ok()) return session->status();
  session_ = **std::move(session);
  ttl_ = session_.ttl();
  if (ttl_ < flags_.ttl) {
    Say(absl::StrCat("the cluster grants leases of ", absl::FormatDuration(ttl_),
                     " at most: --ttl is taken for that"));
  }
  return Acquire();
}

bool LeasedRun::AwaitOne(int descriptor) {
  pollfd ready[] = {{descriptor, POLLIN, 0},
                    {signals_.descriptor(), POLLIN, 0},
                    {watchdog_ == nullptr ? -1 : watchdog_->descriptor(), POLLIN, 0}};
  poll(ready, 3, -1);
  while (const int signal = signals_.Next()) {
    if (signal == SIGTSTP) {
      kill(getpid(), SIGSTOP);
    } else if (signal != SIGCONT) {
      signal_ = signal;
      return false;
    }
  }
  if (watchdog_ != nullptr && ready[2].revents != 0) {
    Say("the watchdog was ended; giving up");
    signal_ = SIGKILL;
    return false;
  }
  return true;
}

int LeasedRun::Fail(const absl::Status& status) {
  Say(status.message());
  // What is asked for conflicts with how others use it: with the session all is well.
  const bool conflict = status.code() == absl::StatusCode::kFailedPrecondition && session_.Valid();
  Close(kGiveUpPatience).IgnoreError();
  return conflict ? kExitUsage : ExitStatusFor(status);
}

absl::Status LeasedRun::Close(absl::Duration patience) {
  if (session_.id() == 0) return absl::OkStatus();
  Outcome<absl::Status> closed;
  session_.Close(patience, closed.callback());
  std::optional<absl::Status> status =
      closed.Take(static_cast<int>(absl::ToInt64Milliseconds(patience)));
  return status.has_value() ? *std::move(status) : absl::UnavailableError("no answer");
}

}  // namespace tenure::cli
