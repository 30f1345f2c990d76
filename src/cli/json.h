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
std::string KeysJson(const std::vector<OperationDescription>& keys);
// With what is stored of it, which may be bytes: `response_base64` has them as they are.
std::string KeyJson(const OperationDescription& key);
// "absent", "in progress", "claimable", "done" or "failed".
const char* NameOf(OperationState state);
std::string SessionsJson(const std::vector<SessionDescription>& sessions);

}  // namespace tenure::cli

#endif  // CLI_JSON_H_
