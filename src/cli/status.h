// tenure status: what the cluster looks like.
#ifndef CLI_STATUS_H_
#define CLI_STATUS_H_

#include "cli/flags.h"

namespace tenure::cli {

// Returns the exit status.
int RunStatus(const StatusFlags& flags);

}  // namespace tenure::cli

#endif  // CLI_STATUS_H_
