// Counting, as pure functions: what a quorum has reached, and how a vote stands. Joint
// configurations need a quorum of each half (section 4.3).
#ifndef TENURE_RAFT_QUORUM_H_
#define TENURE_RAFT_QUORUM_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>

#include "absl/types/span.h"

namespace tenure::raft {

// The least number of a set of `n` that intersects every other such number.
constexpr std::size_t QuorumSize(std::size_t n) { return n / 2 + 1; }

// The greatest value that a quorum of the set has reached; `values` holds one per voter and is
// reordered. Nobody decides nothing: an empty set has reached the lowest value.
template <typename T>
T QuorumValue(absl::Span<T> values) {
  if (values.empty()) return std::numeric_limits<T>::lowest();
  auto nth = values.begin() + (QuorumSize(values.size()) - 1);
  std::nth_element(values.begin(), nth, values.end(), std::greater<T>());
  return *nth;
}

// The same for a configuration of two halves, of which `outgoing` is empty unless it is joint.
template <typename T>
T JointQuorumValue(absl::Span<T> incoming, absl::Span<T> outgoing) {
  const T reached = QuorumValue(incoming);
  return outgoing.empty() ? reached : std::min(reached, QuorumValue(outgoing));
}

enum class Ballot : std::uint8_t { kNone, kYes, kNo };
enum class VoteResult : std::uint8_t { kPending, kWon, kLost };

VoteResult CountVotes(absl::Span<const Ballot> ballots);
VoteResult CountJointVotes(absl::Span<const Ballot> incoming, absl::Span<const Ballot> outgoing);

}  // namespace tenure::raft

#endif  // TENURE_RAFT_QUORUM_H_
