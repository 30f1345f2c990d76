// Who leads: votes, pre-votes, and when to refuse them (sections 3.4, 3.6.1, 4.2.3 and 9.6).
#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "raft/impl.h"

namespace tenure::raft {

void Core::Impl::ResetElectionTimer() {
  election_since_ = now_;
  // Strictly between the two bounds: a timeout equal to the minimum would race the check-quorum
  // interval and the followers' stickiness, which last exactly that long (etcd#10483).
  const std::int64_t max = absl::ToInt64Nanoseconds(options_.election_timeout_max);
  const std::int64_t spread = std::max<std::int64_t>(max - timeout_min_ns_ - 1, 1);
  election_timeout_ns_ = timeout_min_ns_ + 1 +
                         static_cast<std::int64_t>(prng_.Below(static_cast<std::uint64_t>(spread)));
}

std::optional<std::int64_t> Core::Impl::UntilElection() const {
  // Who does not stand has a leader to miss, or waits for nothing.
  if (!MayCampaign() && leader_.empty()) return std::nullopt;
  // Both waits keep a promise to a leader, so the slower clock counts.
  const std::int64_t timeout = election_timeout_ns_ - now_.LeaderElapsedNs(election_since_);
  const std::int64_t start = -now_.LeaderElapsedNs(may_vote_from_);
  return std::max<std::int64_t>({timeout, start, 0});
}

// A member that the newest configuration in its log leaves out is still needed until that is
// committed: it may be the only one whose log its successor's voters cannot refuse (section 4.2.2).
bool Core::Impl::MayCampaign() const {
  return !votes_withheld_ && (peers_.SelfVotes() || log_.NamesVoterSince(commit_, options_.self));
}

void Core::Impl::On(const AllowVotes&) {
  if (std::exchange(votes_withheld_, false)) ResetElectionTimer();
}

bool Core::Impl::HeardFromLeader() const {
  if (role_ == Role::kLeader) return true;  // while check-quorum lets it
  return heard_.has_value() && now_.LeaderElapsedNs(*heard_) < timeout_min_ns_;
}

bool Core::Impl::UpToDate(Index last_index, Term last_term) const {
  if (last_term != log_.last_term()) return last_term > log_.last_term();
  return last_index >= log_.last_index();
}

// The configuration is not asked whether it names the candidate: a member that lags behind an
// exchange must be able to elect a member that it does not know yet (section 4.1).
void Core::Impl::On(const MemberId& from, const VoteRequest& request) {
  // A live leader is kept: its followers refuse, and do not even take the candidate's term (4.2.3).
  // Nor does anyone vote while it may have forgotten such a promise.
  // But where the leader itself asked for the election, its lease is void already (section 3.10).
  const bool deaf = (HeardFromLeader() && !request.transfer) || !MayVote();
  // Every refusal tells the responder's term, so that a candidate of a lower one catches up rather
  // than ask in vain for ever (etcd#8243).
  if (deaf || request.term < term_) {
    Send(from, VoteResponse{term_, request.term, request.pre_vote, false});
    return;
  }
  const bool up_to_date = UpToDate(request.last_index, request.last_term);
  if (request.pre_vote) {  // promises nothing, changes nothing
    const bool free = request.term > term_ || vote_.empty() || vote_ == from;
    Send(from, VoteResponse{term_, request.term, true, free && up_to_date});
    return;
  }
  if (request.term > term_) BecomeFollower(request.term, {});
  const bool granted = (vote_.empty() || vote_ == from) && up_to_date;
  if (granted) {
    if (vote_ != from) {
      vote_ = from;
      SaveHardState();
    }
    ResetElectionTimer();
  }
  // Leaves once the vote is durable, as does all that speaks of a term.
  Send(from, VoteResponse{term_, request.term, false, granted});
}

void Core::Impl::On(const MemberId& from, const VoteResponse& response) {
  Peer* peer = peers_.Find(from);
  if (peer == nullptr || peer->self) return;
  const bool current = response.pre_vote
                           ? role_ == Role::kPreCandidate && response.request_term == term_ + 1
                           : role_ == Role::kCandidate && response.request_term == term_;
  // A pre-vote may be granted from within the very term that it asks for.
  const bool granted = response.granted && response.term <= response.request_term;
  if (response.term > term_ && !(granted && current)) {
    BecomeFollower(response.term, {});
    return;
  }
  if (!current) return;
  peer->ballot = granted ? Ballot::kYes : Ballot::kNo;
  CountVotes();
}

void Core::Impl::StartPreVote() {
  role_ = Role::kPreCandidate;
  leader_ = {};
  ResetElectionTimer();
  peers_.ClearBallots();
  if (Peer* self = peers_.self()) self->ballot = Ballot::kYes;
  AskForVotes(term_ + 1, true);
  CountVotes();
}

void Core::Impl::StartElection(bool transfer) {
  role_ = Role::kCandidate;
  asked_to_lead_ = transfer;
  ++term_;
  vote_ = options_.self;
  leader_ = {};
  transfer_heard_ = 0;
  SaveHardState();
  ResetElectionTimer();
  peers_.ClearBallots();
  // The own vote counts once it is durable. The requests wait too: the log that they boast of must
  // not shrink in a crash, or a late answer would elect a member that lacks what its voters saw.
  AskForVotes(term_, false, transfer);
}

void Core::Impl::AskForVotes(Term term, bool pre_vote, bool transfer) {
  for (const Peer& peer : peers_) {
    if (peer.self || !peer.voter()) continue;
    Send(peer.id, VoteRequest{term, pre_vote, log_.last_index(), log_.last_term(), transfer});
  }
}

void Core::Impl::CountVotes() {
  const VoteResult result = peers_.Votes();
  if (result == VoteResult::kPending) return;
  if (result == VoteResult::kLost) {
    BecomeFollower(term_, {});
  } else if (role_ == Role::kPreCandidate) {
    StartElection();
  } else {
    BecomeLeader();
  }
}

}  // namespace tenure::raft
