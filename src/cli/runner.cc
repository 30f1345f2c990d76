#include "cli/runner.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "absl/status/statusor.h"
#include "cli/exit_status.h"
#include "cli/terminal.h"
#include "tenure/loop.h"

namespace tenure::cli {
namespace {

// KILL comes that long before the deadline: what is to be over must have time to be over.
absl::Duration KillMargin(absl::Duration ttl) {
  return std::clamp(ttl / 20, absl::Milliseconds(50), absl::Milliseconds(250));
}

// How often the deadline is told: often against the TTL's quarter, seldom against a processor's
// time.
absl::Duration FeedPeriod(absl::Duration ttl) {
  return std::clamp(ttl / 40, absl::Milliseconds(20), absl::Milliseconds(250));
}

constexpr absl::Duration kTendPeriod = absl::Milliseconds(20);

int ExitStatusOf(int status) {
  return WIFSIGNALED(status) ? kExitSignalBase + WTERMSIG(status) : WEXITSTATUS(status);
}

class Run {
 public:
  Run(Watchdog& watchdog, Signals& signals, const RunOptions& options)
      : watchdog_(watchdog), signals_(signals), options_(options), terminal_(watchdog.group()) {}

  RunResult ToItsEnd() {
    const absl::Duration window = std::min(options_.grace, options_.ttl / 4);
    const absl::Duration margin = KillMargin(options_.ttl);
    const Instant first = Deadline();
    const absl::Duration period =
        options_.tend ? std::min(FeedPeriod(options_.ttl), kTendPeriod) : FeedPeriod(options_.ttl);
    if (!watchdog_.Start(options_.environment, window, margin, first).ok()) return Abandon();
    while (true) {
      pollfd ready[] = {{watchdog_.descriptor(), POLLIN, 0}, {signals_.descriptor(), POLLIN, 0}};
      poll(ready, 2, static_cast<int>(absl::ToInt64Milliseconds(period)));
      if (options_.tend) options_.tend();
      const Instant deadline = Deadline();
      if (!watchdog_.Feed(deadline).ok()) return Abandon();
      PassSignalsOn();
      while (true) {
        absl::StatusOr<std::optional<Report>> report = watchdog_.Read();
        if (!report.ok()) return Abandon();
        if (!report->has_value()) break;
        if (const std::optional<RunResult> result = Heed(**report)) return *result;
      }
      // The watchdog should have done it by now. It may have been stopped.
      const Instant past_margin = ReadMonotonicClocks() + margin / 2;
      if (past_margin.Reached(deadline)) kill(-watchdog_.group(), SIGKILL);
      if (ReadMonotonicClocks().Reached(deadline + absl::Seconds(1))) return Abandon();
    }
  }

 private:
  // The clocks are read first: the deadline comes out early rather than late.
  Instant Deadline() {
    const Instant now = ReadMonotonicClocks();
    const Instant deadline = now + std::max(options_.remaining(), absl::ZeroDuration());
    // Once there was none left, there is none: it does not move on with the clock.
    if (deadline == now) {
      if (!over_at_.has_value()) over_at_ = now;
      return *over_at_;
    }
    return deadline;
  }

  std::optional<RunResult> Heed(const Report& report) {
    switch (report.kind) {
      case Report::Kind::kStopped:
        OnStopped(report.value);
        return std::nullopt;
      case Report::Kind::kEnding:
        std::fprintf(stderr, "tenure: the lease is being lost; ending COMMAND\n");
        return std::nullopt;
      case Report::Kind::kEnded:
        terminal_.TakeBack();
        // COMMAND may have ended by itself in the very moment.
        const bool lost = report.lost || options_.remaining() <= absl::ZeroDuration();
        return RunResult{.exit_status = lost ? kExitLost : ExitStatusOf(report.value),
                         .lost = lost,
                         .signalled = WIFSIGNALED(report.value),
                         .ran = !watchdog_.exec_failed()};
    }
    return std::nullopt;
  }

  void PassSignalsOn() {
    while (const int signal = signals_.Next()) {
      if (signal == SIGCONT) {
        // `fg` has given the terminal to us: it is COMMAND's if it was.
        if (lend_again_) terminal_.Lend();
        lend_again_ = false;
      }
      kill(-watchdog_.group(), signal);
    }
  }

  void OnStopped(int signal) {
    if (signal == SIGTTIN || signal == SIGTTOU) {
      if (terminal_.Lend()) {
        kill(-watchdog_.group(), SIGCONT);
        return;
      }
      lend_again_ = true;
    } else if (signal == SIGTSTP) {
      lend_again_ = terminal_.lent();
      terminal_.TakeBack();
    } else {
      return;  // somebody stopped COMMAND, and nobody asked for the job to be stopped
    }
    kill(getpid(), SIGSTOP);
  }

  // The watchdog is gone or beyond reach: COMMAND does not go on without it.
  RunResult Abandon() {
    std::fprintf(stderr, "tenure: the watchdog is gone; ending COMMAND\n");
    kill(-watchdog_.group(), SIGKILL);
    // With the watchdog, if it still is; what it guarded falls to this process.
    KillDescendants(0, absl::Seconds(2));
    terminal_.TakeBack();
    return {.exit_status = kExitLost, .lost = true};
  }

  Watchdog& watchdog_;
  Signals& signals_;
  const RunOptions& options_;
  Terminal terminal_;
  bool lend_again_ = false;
  std::optional<Instant> over_at_;
};

}  // namespace

Signals CommandSignals() {
  return Signals({SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT});
}

RunResult RunCommand(Watchdog& watchdog, Signals& signals, const RunOptions& options) {
  return Run(watchdog, signals, options).ToItsEnd();
}

}  // namespace tenure::cli
