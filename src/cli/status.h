// tenure status: what the cluster looks like.
#ifndef CLI_STATUS_H_
#define CLI_STATUS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/flags.h"
#include "tenure/command.h"

namespace tenure::cli {

// One line for each member, under a headline.
std::string MemberTable(const ClusterStatus& status);

// Asks several of the members and takes the word of the leader, who alone knows whom it reaches;
// failing that, of whoever knows of a leader.
absl::StatusOr<ClusterStatus> AskStatus(const std::string& endpoints, absl::Duration timeout);

// Returns the exit status.
int RunStatus(const StatusFlags& flags);

}  // namespace tenure::cli

#endif  // CLI_STATUS_H_
