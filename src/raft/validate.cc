#include "raft/validate.h"

#include <cstdint>
#include <limits>

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

}  // namespace tenure::raft
