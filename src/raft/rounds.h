// The leader's broadcasts, numbered within its term, and when each began. An answer that echoes a
// number proves that its sender still followed this leader at some moment after the round's
// beginning: what reads, check-quorum and the lease count by (sections 6.2 and 6.4).
#ifndef TENURE_RAFT_ROUNDS_H_
#define TENURE_RAFT_ROUNDS_H_

#include <cstdint>
#include <deque>
#include <optional>

#include "tenure/types.h"

namespace tenure::raft {

class Rounds {
 public:
  // Beginnings are remembered for `window_ns`: an older answer says nothing about the present.
  explicit Rounds(std::int64_t window_ns) : window_ns_(window_ns) {}

  std::uint64_t current() const { return current_; }

  std::uint64_t Start(Instant now) {
    ++current_;
    while (!begun_.empty() && now.HolderElapsedNs(begun_.front().at) > window_ns_) {
      begun_.pop_front();
    }
    // Rounds within a millisecond share one beginning, the first: a busy leader remembers few.
    if (begun_.empty() || now.HolderElapsedNs(begun_.back().at) >= kGrainNs) {
      begun_.push_back({current_, now});
    }
    return current_;
  }
  // A moment not after the beginning of `round`; absent if it is too long ago.
  std::optional<Instant> BeganAt(std::uint64_t round) const {
    for (auto it = begun_.rbegin(); it != begun_.rend(); ++it) {
      if (it->round <= round) return it->at;
    }
    return std::nullopt;
  }

 private:
  static constexpr std::int64_t kGrainNs = 1'000'000;
  struct Beginning {
    std::uint64_t round;
    Instant at;
  };
  std::int64_t window_ns_;
  std::uint64_t current_ = 0;
  std::deque<Beginning> begun_;
};

}  // namespace tenure::raft

#endif  // TENURE_RAFT_ROUNDS_H_
