#include "cli/lock.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/connection.h"
#include "cli/exit_status.h"
#include "cli/outcome.h"
#include "cli/runner.h"
#include "cli/signals.h"
#include "cli/watchdog.h"
#include "tenure/errors.h"
#include "tenure/loop.h"
#include "tenure/mutex.h"
#include "tenure/session.h"

namespace tenure::cli {
namespace {

// How long a cluster may be silent when the lock itself is not waited for; and at the end.
constexpr absl::Duration kTryPatience = absl::Seconds(5);
constexpr absl::Duration kClosePatience = absl::Seconds(2);

class LockRun {
 public:
  LockRun(const LockFlags& flags, std::unique_ptr<Watchdog> watchdog)
      : flags_(flags),
        watchdog_(std::move(watchdog)),
        signals_(CommandSignals()),
        started_(ReadMonotonicClocks()) {}

  int Run() {
    absl::StatusOr<Coordinator> coordinator = ConnectTo(flags_.endpoints);
    if (!coordinator.ok()) return Fail(coordinator.status());
    coordinator_ = *std::move(coordinator);
    while (true) {
      const absl::Status status = Acquire();
      if (status.ok()) break;
      if (signal_ != 0) {
        Close().IgnoreError();
        return kExitSignalBase + signal_;
      }
      // The session ended while it waited, with its place in the queue: begin again.
      const bool again = status.code() == absl::StatusCode::kFailedPrecondition ||
                         status.code() == absl::StatusCode::kUnknown;
      if (!again || Left() <= absl::ZeroDuration()) return Fail(status);
      session_ = Session();
    }
    const RunResult result =
        RunCommand(*watchdog_, signals_,
                   {.environment = {absl::StrCat("TENURE_FENCING_TOKEN=", guard_.token()),
                                    absl::StrCat("TENURE_NAME=", flags_.name)},
                    .ttl = ttl_,
                    .grace = flags_.grace,
                    .remaining = [this] {
                      // A lock that is lost although its session lives, broken by an administrator,
                      // is lost too.
                      return guard_.Valid() ? session_.remaining() : absl::ZeroDuration();
                    }});
    if (result.lost) {
      Complain("lock", absl::StrCat("lost ", flags_.name, ", token ", guard_.token(),
                                    ", while COMMAND was running; COMMAND was ended"));
    }
    watchdog_.reset();
    const absl::Status closed = Close();
    if (!closed.ok() && !result.lost) {
      Complain("lock", absl::StrCat("COMMAND is done, but nobody answers to giving ", flags_.name,
                                    " back; it is free within ", absl::FormatDuration(ttl_)));
    }
    return result.exit_status;
  }

 private:
  // What is left of the wait; a try has as long as a cluster may be silent.
  absl::Duration Left() const {
    const absl::Duration limit = flags_.wait > absl::ZeroDuration() ? flags_.wait : kTryPatience;
    if (limit == absl::InfiniteDuration()) return limit;
    const absl::Duration over = absl::Nanoseconds(ReadMonotonicClocks().HolderElapsedNs(started_));
    // Rounded up, because messages tell it.
    return absl::Ceil(std::max(limit - over, absl::ZeroDuration()), absl::Milliseconds(10));
  }

  absl::Status Acquire() {
    Outcome<absl::StatusOr<Session>> opened;
    coordinator_.OpenSession({.ttl = flags_.ttl, .open_timeout = Left()}, opened.callback());
    std::optional<absl::StatusOr<Session>> session = Await(opened);
    if (!session.has_value()) return absl::CancelledError("interrupted");
    if (!session->ok()) return session->status();
    session_ = **std::move(session);
    // The cluster may have granted less than was asked for; 2 % is for the clocks' drift.
    ttl_ = std::min(flags_.ttl, session_.remaining() * 1.03);

    Outcome<absl::StatusOr<LockGuard>> locked;
    std::stop_source cancel;
    const bool once = flags_.wait <= absl::ZeroDuration();
    session_.mutex(flags_.name)
        .Lock({.wait = once ? absl::ZeroDuration() : Left(),
               .value = flags_.value,
               .cancel = cancel.get_token()},
              locked.callback());
    std::optional<absl::StatusOr<LockGuard>> guard = Await(locked);
    if (!guard.has_value()) {
      cancel.request_stop();
      locked.Take(1000);
      return absl::CancelledError("interrupted");
    }
    if (!guard->ok()) return guard->status();
    guard_ = **std::move(guard);
    return absl::OkStatus();
  }

  // Nothing if a signal that ends `tenure` comes first.
  template <typename T>
  std::optional<T> Await(Outcome<T>& outcome) {
    while (!outcome.ready()) {
      pollfd ready[] = {{outcome.descriptor(), POLLIN, 0},
                        {signals_.descriptor(), POLLIN, 0},
                        {watchdog_->descriptor(), POLLIN, 0}};
      poll(ready, 3, -1);
      while (const int signal = signals_.Next()) {
        if (signal == SIGTSTP) {
          kill(getpid(), SIGSTOP);
        } else if (signal != SIGCONT) {
          signal_ = signal;
          return std::nullopt;
        }
      }
      if (ready[2].revents != 0) {
        Complain("lock", "the watchdog was ended; giving up");
        signal_ = SIGKILL;
        return std::nullopt;
      }
    }
    return outcome.Take(0);
  }

  int Fail(const absl::Status& status) {
    Complain("lock", status.message());
    Close().IgnoreError();
    return ExitStatusFor(status);
  }

  // Gives back all that the session holds, and its place in the queue, in one step.
  absl::Status Close() {
    if (session_.id() == 0) return absl::OkStatus();
    Outcome<absl::Status> closed;
    session_.Close(kClosePatience, closed.callback());
    std::optional<absl::Status> status =
        closed.Take(static_cast<int>(absl::ToInt64Milliseconds(kClosePatience)));
    return status.has_value() ? *std::move(status) : absl::UnavailableError("no answer");
  }

  const LockFlags& flags_;
  std::unique_ptr<Watchdog> watchdog_;
  Signals signals_;
  Instant started_;
  int signal_ = 0;
  Coordinator coordinator_;
  absl::Duration ttl_;
  Session session_;
  LockGuard guard_;
};

}  // namespace

int RunLock(const LockFlags& flags) {
  absl::StatusOr<std::unique_ptr<Watchdog>> watchdog = Watchdog::Fork(flags.command);
  if (!watchdog.ok()) {
    Complain("lock", watchdog.status().message());
    return kExitUnavailable;
  }
  return LockRun(flags, *std::move(watchdog)).Run();
}

}  // namespace tenure::cli
