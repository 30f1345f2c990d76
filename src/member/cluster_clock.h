// Cluster time, as its leader counts it (docs/architecture.md, Time).
#ifndef TENURE_MEMBER_CLUSTER_CLOCK_H_
#define TENURE_MEMBER_CLUSTER_CLOCK_H_

#include <cstdint>

#include "tenure/types.h"

namespace tenure::member {

// Counts the time that its leader saw pass, and rather less than more: it must never end a lease
// whose holder may still believe in it. What is not counted is dropped, never made up. Pure.
class ClusterClock {
 public:
  // `limit_ns`: the least election timeout. At most so much passes in one turn of the actor, and
  // time is never further than that past the last committed stamp.
  explicit ClusterClock(std::int64_t limit_ns) : limit_ns_(limit_ns) {}

  // A reign begins: from the stamp of the last entry in the leader's own log, and from nothing
  // else.
  void Lead(Instant now, std::int64_t last_stamp_ns) {
    leading_ = true;
    last_turn_ = now;
    time_ns_ = last_stamp_ns;
  }
  void Resign() { leading_ = false; }
  bool leading() const { return leading_; }

  // Once in each turn of the leading actor, after the turn's last command was taken. Returns the
  // stamp for what the turn appends.
  std::int64_t Advance(Instant now, std::int64_t committed_stamp_ns);

 private:
  const std::int64_t limit_ns_;
  bool leading_ = false;
  Instant last_turn_;
  std::int64_t time_ns_ = 0;
};

}  // namespace tenure::member

#endif  // TENURE_MEMBER_CLUSTER_CLOCK_H_
