// tenure inspect: locks, elections, sessions and keys.
#ifndef CLI_INSPECT_H_
#define CLI_INSPECT_H_

#include "cli/flags.h"

namespace tenure::cli {

// Returns the exit status.
int RunInspect(const InspectFlags& flags);

}  // namespace tenure::cli

#endif  // CLI_INSPECT_H_
