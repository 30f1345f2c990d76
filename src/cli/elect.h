// tenure elect: COMMAND, while elected.
#ifndef CLI_ELECT_H_
#define CLI_ELECT_H_

#include "cli/flags.h"

namespace tenure::cli {

// Returns the exit status. To be called before the process has threads: it forks.
int RunElect(const ElectFlags& flags);

}  // namespace tenure::cli

#endif  // CLI_ELECT_H_
