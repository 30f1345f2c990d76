// What the cluster says, as JSON. Numbers are numbers, and no field is left out.
#ifndef CLI_JSON_H_
#define CLI_JSON_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tenure/command.h"
#include "tenure/observer.h"

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
std::string ElectionJson(const ElectionDescription& election);
std::string ElectionsJson(const std::vector<ElectionDescription>& elections);
// The line of `tenure watch` for it, with its end; two lines if there was a gap before.
std::string NewsJson(absl::string_view kind, absl::string_view name, const News& news);
std::string SessionsJson(const std::vector<SessionDescription>& sessions);

}  // namespace tenure::cli

#endif  // CLI_JSON_H_
