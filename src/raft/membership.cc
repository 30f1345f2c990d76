// Who takes part: joint configurations and what follows from their commit (section 4.3), and voters
// whose loss is attested (BOOTSTRAP rules 9 to 11).
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "raft/impl.h"
#include "raft/validate.h"

namespace tenure::raft {
namespace {

void Sort(std::vector<Server>& servers) {
  std::sort(servers.begin(), servers.end(),
            [](const Server& a, const Server& b) { return a.id < b.id; });
}

}  // namespace

absl::Status Core::Impl::MayConfigure() const {
  if (role_ != Role::kLeader) return absl::UnavailableError("this member does not lead");
  if (transfer_.has_value())
    return absl::FailedPreconditionError("leadership is being handed over");
  // Before an entry of the own term is committed, an earlier leader's change may still be on its
  // way to another majority than this one's (Ongaro 2015).
  if (commit_ < term_start_) {
    return absl::FailedPreconditionError("no entry of the leader's term is committed yet");
  }
  if (log_.configuration()->joint() || log_.configuration_index() > commit_) {
    return absl::FailedPreconditionError("another change of members is under way");
  }
  return absl::OkStatus();
}

void Core::Impl::On(Configure& configure) {
  out_.refused = MayConfigure();
  if (!out_.refused.ok()) return;
  Configuration next;
  next.voters = std::move(configure.voters);
  next.learners = std::move(configure.learners);
  Sort(next.voters);
  Sort(next.learners);
  out_.refused = CheckConfiguration(next);
  if (!out_.refused.ok() || next == *log_.configuration()) return;
  if (next.voters != log_.configuration()->voters) {
    next.voters_outgoing = log_.configuration()->voters;
  }
  AppendConfiguration(std::move(next));
  out_.proposed = Output::Proposed{log_.last_index(), term_};
}

void Core::Impl::AppendConfiguration(Configuration configuration) {
  Entry entry;
  entry.index = log_.last_index() + 1;
  entry.term = term_;
  entry.kind = EntryKind::kConfiguration;
  entry.stamp_ns = log_.last_stamp_ns();
  entry.configuration = std::make_shared<const Configuration>(std::move(configuration));
  AppendToLog(std::move(entry));
  SendToAll();
}

void Core::Impl::OnCommitted() {
  // A leader leaves what an earlier one began once an entry of its own term stands above it.
  if (commit_ < term_start_ || log_.configuration_index() > commit_) return;
  if (log_.configuration()->joint()) {
    Configuration next = *log_.configuration();
    next.voters_outgoing.clear();
    AppendConfiguration(std::move(next));
    return;
  }
  if (!peers_.ShortHanded()) short_handed_ = false;
  if (peers_.SelfVotes() || transfer_.has_value()) return;
  // This leader manages a cluster that it does not vote in, up to here (section 4.2.2).
  StartRound(/*everybody=*/true);
  if (const Peer* successor = BestSuccessor()) {
    BeginTransfer(successor->id);
  } else {
    BecomeFollower(term_, {});
  }
}

void Core::Impl::On(const AttestLost& attest) {
  peers_.AttestLost(attest.who);
  if (role_ == Role::kLeader) {
    if (peers_.ShortHanded()) short_handed_ = true;
    MaybeCommit();
    if (role_ == Role::kLeader) ServeReads();
  } else if (role_ == Role::kPreCandidate || role_ == Role::kCandidate) {
    CountVotes();
  }
}

}  // namespace tenure::raft
