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

// Of `n` voters all but `left` are attested lost. Too few for an ordinary quorum may be left; where
// they meet every ordinary one all the same, they are a quorum if they all agree (BOOTSTRAP rule
// 9). In practice: one of two, two of four, three of six.
constexpr bool RestIsQuorum(std::size_t n, std::size_t left) {
  return left > 0 && left < QuorumSize(n) && left >= n - QuorumSize(n) + 1;
}

// What a half of a configuration reached: `all` by any quorum, or `left`, the part of it that is
// not attested lost, by its weakest.
template <typename T>
T HalfValue(absl::Span<T> all, absl::Span<T> left) {
  const T ordinary = QuorumValue(all);
  if (!RestIsQuorum(all.size(), left.size())) return ordinary;
  return std::max(ordinary, *std::min_element(left.begin(), left.end()));
}

enum class Ballot : std::uint8_t { kNone, kYes, kNo };
enum class VoteResult : std::uint8_t { kPending, kWon, kLost };

// How a half's vote stands: all ballots, and those of them that are not of attested lost voters.
VoteResult CountVotes(absl::Span<const Ballot> ballots, absl::Span<const Ballot> left);
// Of two halves, both must be won.
VoteResult Both(VoteResult a, VoteResult b);

}  // namespace tenure::raft

#endif  // TENURE_RAFT_QUORUM_H_
