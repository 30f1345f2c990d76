#include "raft/validate.h"

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace tenure::raft {

bool WellFormed(const AppendRequest& request) {
  if (request.term == 0 || request.prev_term > request.term) return false;
  if ((request.prev_index == 0) != (request.prev_term == 0)) return false;
  if (request.prev_index > std::numeric_limits<Index>::max() - request.entries.size()) return false;
  Index index = request.prev_index;
  Term term = request.prev_term;
  std::int64_t stamp = std::numeric_limits<std::int64_t>::min();
  for (const Entry& entry : request.entries) {
    if (entry.index != ++index) return false;
    if (entry.term == 0 || entry.term < term || entry.term > request.term) return false;
    if (entry.stamp_ns < stamp) return false;
    if ((entry.kind == EntryKind::kConfiguration) != (entry.configuration != nullptr)) return false;
    term = entry.term;
    stamp = entry.stamp_ns;
  }
  return true;
}

absl::Status CheckConfiguration(const Configuration& configuration) {
  if (configuration.voters.empty()) {
    return absl::InvalidArgumentError("a cluster needs a voter");
  }
  for (const std::vector<Server>* servers : {&configuration.voters, &configuration.learners}) {
    std::set<std::string> names;
    for (const Server& server : *servers) {
      if (server.id.empty() || server.id.incarnation == 0 || server.address.empty()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "'", server.id.name, "' cannot take part: its incarnation or address is unknown"));
      }
      if (!names.insert(server.id.name).second) {
        return absl::InvalidArgumentError(absl::StrCat(server.id.name, " is named twice"));
      }
    }
  }
  for (const Server& learner : configuration.learners) {
    for (const Server& voter : configuration.voters) {
      if (learner.id == voter.id) {
        return absl::InvalidArgumentError(
            absl::StrCat(learner.id.name, " cannot be voter and learner"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace tenure::raft
