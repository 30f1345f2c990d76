// tenure status: what the cluster looks like.
#ifndef CLI_STATUS_H_
#define CLI_STATUS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/flags.h"
#include "tenure/command.h"
#include "tenure/coordinator.h"

namespace tenure::cli {

// One line for each member, under a headline.
std::string MemberTable(const ClusterStatus& status);

// From whichever member answers, and then from the leader that it names, who knows best; without an
// answer from there, what the first one said.
absl::StatusOr<ClusterStatus> AskStatus(Coordinator& coordinator, absl::Duration timeout);

// Returns the exit status.
int RunStatus(const StatusFlags& flags);

}  // namespace tenure::cli

#endif  // CLI_STATUS_H_
