// How the forked processes become what they are.
#ifndef CLI_COMMAND_H_
#define CLI_COMMAND_H_

#include <signal.h>

#include <string>
#include <vector>

#include "cli/descriptor.h"

namespace tenure::cli {

// In the child of Watchdog::Fork, with all signals blocked: forks the process that is to be
// COMMAND, lets go of everything that was the caller's, and watches. `callers` is the caller's
// signal mask.
[[noreturn]] void BecomeWatchdog(Descriptor control, const std::vector<std::string>& command,
                                 const sigset_t& callers, volatile int* exec_failed);

// In the watchdog's child: waits for its variables at `go`, then runs COMMAND; or sets
// `exec_failed`, which is shared with the caller.
[[noreturn]] void BecomeCommand(Descriptor go, const std::vector<std::string>& command,
                                const sigset_t& callers, volatile int* exec_failed);

}  // namespace tenure::cli

#endif  // CLI_COMMAND_H_
