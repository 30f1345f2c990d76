// tenure status: what the cluster looks like.
#ifndef CLI_STATUS_H_
#define CLI_STATUS_H_

#include <string>

#include "cli/flags.h"
#include "tenure/command.h"

namespace tenure::cli {

// One line for each member, under a headline.
std::string MemberTable(const ClusterStatus& status);

// Returns the exit status.
int RunStatus(const StatusFlags& flags);

}  // namespace tenure::cli

#endif  // CLI_STATUS_H_
