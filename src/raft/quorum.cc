#include "raft/quorum.h"

namespace tenure::raft {

VoteResult CountVotes(absl::Span<const Ballot> ballots) {
  const std::size_t need = QuorumSize(ballots.size());
  const auto yes =
      static_cast<std::size_t>(std::count(ballots.begin(), ballots.end(), Ballot::kYes));
  const auto no = static_cast<std::size_t>(std::count(ballots.begin(), ballots.end(), Ballot::kNo));
  if (yes >= need) return VoteResult::kWon;
  if (ballots.size() - no < need) return VoteResult::kLost;
  return VoteResult::kPending;
}

VoteResult CountJointVotes(absl::Span<const Ballot> incoming, absl::Span<const Ballot> outgoing) {
  const VoteResult in = CountVotes(incoming);
  if (outgoing.empty()) return in;
  const VoteResult out = CountVotes(outgoing);
  if (in == VoteResult::kLost || out == VoteResult::kLost) return VoteResult::kLost;
  if (in == VoteResult::kPending || out == VoteResult::kPending) return VoteResult::kPending;
  return VoteResult::kWon;
}

}  // namespace tenure::raft
