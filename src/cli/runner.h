// COMMAND's life under a lease.
#ifndef CLI_RUNNER_H_
#define CLI_RUNNER_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/signals.h"
#include "cli/watchdog.h"

namespace tenure::cli {

struct RunOptions {
  // Variables for COMMAND, "NAME=value".
  std::vector<std::string> environment;
  // What the lease was granted for, and what the user wants between TERM and KILL.
  absl::Duration ttl = absl::Seconds(10);
  absl::Duration grace = absl::Seconds(5);
  // How long the lease certainly lasts if nothing renews it any more. Asks the clock, not the
  // network.
  std::function<absl::Duration()> remaining;
  // Called some fifty times a second while COMMAND runs, if it is there.
  std::function<void()> tend;
};

struct RunResult {
  int exit_status = 0;
  // The lease was being lost, and COMMAND was ended.
  bool lost = false;
  // A signal ended it.
  bool signalled = false;
  // False: it could not be run, or was not found.
  bool ran = true;
};

// The signals that `signals` must have for Run: those passed on to COMMAND, and job control's.
Signals CommandSignals();

// Runs the command that `watchdog` was forked for, to its end. Passes signals on; lends it the
// terminal when it asks for it; stops with it at ^Z (the lease is then not renewed, and lasts until
// its deadline).
RunResult RunCommand(Watchdog& watchdog, Signals& signals, const RunOptions& options);

}  // namespace tenure::cli

#endif  // CLI_RUNNER_H_
