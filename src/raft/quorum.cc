#include "raft/quorum.h"

namespace tenure::raft {
namespace {

std::size_t Count(absl::Span<const Ballot> ballots, Ballot ballot) {
  return static_cast<std::size_t>(std::count(ballots.begin(), ballots.end(), ballot));
}

}  // namespace

VoteResult CountVotes(absl::Span<const Ballot> ballots, absl::Span<const Ballot> left) {
  const std::size_t need = QuorumSize(ballots.size());
  const bool rest = RestIsQuorum(ballots.size(), left.size());
  if (Count(ballots, Ballot::kYes) >= need) return VoteResult::kWon;
  if (rest && Count(left, Ballot::kYes) == left.size()) return VoteResult::kWon;
  const bool hopeless = ballots.size() - Count(ballots, Ballot::kNo) < need;
  if (hopeless && !(rest && Count(left, Ballot::kNo) == 0)) return VoteResult::kLost;
  return VoteResult::kPending;
}

VoteResult Both(VoteResult a, VoteResult b) {
  if (a == VoteResult::kLost || b == VoteResult::kLost) return VoteResult::kLost;
  if (a == VoteResult::kPending || b == VoteResult::kPending) return VoteResult::kPending;
  return VoteResult::kWon;
}

}  // namespace tenure::raft
