#include "member/cluster_clock.h"

#include <algorithm>
#include <cstdint>

namespace tenure::member {

std::int64_t ClusterClock::Advance(Instant now, std::int64_t committed_stamp_ns) {
  const std::int64_t elapsed =
      std::clamp<std::int64_t>(now.LeaderElapsedNs(last_turn_), 0, limit_ns_);
  last_turn_ = now;
  const std::int64_t ceiling = committed_stamp_ns + limit_ns_;
  time_ns_ = std::max(time_ns_, std::min(time_ns_ + elapsed, ceiling));
  return time_ns_;
}

}  // namespace tenure::member
