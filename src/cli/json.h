// What the cluster says, as JSON. Numbers are numbers, and no field is left out.
#ifndef CLI_JSON_H_
#define CLI_JSON_H_

#include <string>
#include <vector>

#include "tenure/command.h"

namespace tenure::cli {

// Each one object on one line.
std::string StatusJson(const ClusterStatus& status);
std::string LocksJson(const std::vector<LockDescription>& locks);
std::string LockJson(const LockDescription& lock);
std::string SessionsJson(const std::vector<SessionDescription>& sessions);

}  // namespace tenure::cli

#endif  // CLI_JSON_H_
