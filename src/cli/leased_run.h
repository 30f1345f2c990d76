// A COMMAND that runs under a lease: what `lock`, `elect` and `once` have in common.
#ifndef CLI_LEASED_RUN_H_
#define CLI_LEASED_RUN_H_

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/connection.h"
#include "cli/flags.h"
#include "cli/outcome.h"
#include "cli/runner.h"
#include "cli/signals.h"
#include "cli/watchdog.h"
#include "tenure/coordinator.h"
#include "tenure/loop.h"
#include "tenure/session.h"

namespace tenure::cli {

// Connects, opens a session, lets the derived class acquire what it is about, and then run COMMAND;
// gives all back in the end. Ends early when a signal comes while it waits.
class LeasedRun {
 public:
  LeasedRun(const char* subcommand, const LeaseFlags& flags, std::unique_ptr<Watchdog> watchdog);
  virtual ~LeasedRun() = default;

  // The exit status of the program.
  int Run();

 protected:
  // Waits for it under session(), at most Left(). kFailedPrecondition and kUnknown: the session was
  // lost meanwhile, and it is tried again with another. kCancelled: see Await.
  virtual absl::Status Acquire() = 0;
  // What is to be done once it is acquired: the exit status.
  virtual int Hold() = 0;

  // Runs COMMAND with these variables, besides TENURE_NAME, for as long as `valid` and the lease
  // last. Says so if that is lost. `tend` is called again and again meanwhile, if it is there.
  RunResult RunUnderLease(std::vector<std::string> environment, const std::function<bool()>& valid,
                          std::function<void()> tend = nullptr);

  // For the end of what it says of a loss: ": " and why.
  static std::string WhyLost(const absl::Status& status);

  // What is left of the wait; a try has as long as a cluster may be silent.
  absl::Duration Left() const;
  bool once() const { return flags_.wait <= absl::ZeroDuration(); }
  // What to wait for the grant: nothing for a try, and else no try, though opening the session took
  // all of it.
  absl::Duration Wait() const {
    return once() ? absl::ZeroDuration() : std::max(Left(), absl::Milliseconds(1));
  }

  // Nothing if a signal that ends `tenure` comes first.
  template <typename T>
  std::optional<T> Await(Outcome<T>& outcome) {
    while (!outcome.ready()) {
      if (!AwaitOne(outcome.descriptor())) return std::nullopt;
    }
    return outcome.Take(0);
  }

  // Gives back all that the session holds, and its place in the queue, in one step.
  // Waits so long for the answer; by default, two seconds.
  absl::Status Close(absl::Duration patience = absl::Seconds(2));

  const LeaseFlags& flags() const { return flags_; }
  Coordinator& coordinator() { return coordinator_; }
  Session& session() { return session_; }
  Watchdog& watchdog() { return *watchdog_; }
  absl::Duration ttl() const { return ttl_; }
  void Say(absl::string_view text) const { Complain(subcommand_, text); }

 private:
  absl::Status OpenAndAcquire();
  // False if a signal came that ends `tenure`.
  bool AwaitOne(int descriptor);
  int Fail(const absl::Status& status);

  const char* const subcommand_;
  const LeaseFlags& flags_;
  std::unique_ptr<Watchdog> watchdog_;
  Signals signals_;
  Instant started_;
  int signal_ = 0;
  Coordinator coordinator_;
  absl::Duration ttl_;
  Session session_;
};

}  // namespace tenure::cli

#endif  // CLI_LEASED_RUN_H_
