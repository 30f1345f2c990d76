// tenure watch: what happens to a lock or an election, one JSON object a line.
#ifndef CLI_WATCH_H_
#define CLI_WATCH_H_

#include "cli/flags.h"

namespace tenure::cli {

// Returns the exit status.
int RunWatch(const WatchFlags& flags);

}  // namespace tenure::cli

#endif  // CLI_WATCH_H_
