// The core's state, and its parts by the role that they serve: core.cc takes events and durability,
// election.cc votes, follower.cc takes appends, leader.cc sends them, linearizable reads and
// trimming included, snapshots.cc takes, sends and installs them, membership.cc changes who takes
// part, transfer.cc hands over. What each needs beside the others lives in small types of its own.
#ifndef TENURE_RAFT_IMPL_H_
#define TENURE_RAFT_IMPL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "raft/core.h"
#include "raft/durable.h"
#include "raft/log.h"
#include "raft/peers.h"
#include "raft/prng.h"
#include "raft/reads.h"
#include "raft/rounds.h"

namespace tenure::raft {

class Core::Impl {
 public:
  Impl(Options options, Initial initial, Instant now);

  Output Step(Instant now, Event event);

  Role role() const { return role_; }
  Term term() const { return term_; }
  const MemberId& leader() const { return leader_; }
  const Log& log() const { return log_; }
  Index commit() const { return commit_; }
  Index term_start() const { return role_ == Role::kLeader ? term_start_ : 0; }
  std::optional<Core::Progress> progress(const MemberId& id) const;
  bool short_handed() const { return short_handed_; }
  bool lost(const MemberId& id) const { return peers_.Lost(id); }
  bool transferring() const { return transfer_.has_value(); }
  bool HasLease(Instant now) const;
  Core::Lease lease(Instant now) const;
  const SnapshotInfo& snapshot() const { return snapshot_; }
  Index making_snapshot() const { return making_.index; }
  bool snapshot_wanted() const;
  bool sending_snapshot() const;

 private:
  // ---- core.cc: events, durability, what every role does
  void On(Received& received);
  void On(const WriteDurable& durable);
  void On(const WriteFailed& failed);
  void On(Propose& propose);
  void On(const Read& read);
  void On(const Applied& applied);
  void On(const Timer& timer);

  // The batch of this step, made at its first use.
  WriteBatch& Batch();
  // Makes term and vote durable with this step's batch.
  void SaveHardState();
  // Appends to the log and to this step's batch.
  void AppendToLog(Entry entry);
  void TruncateLog(Index from);
  void FollowConfiguration();
  void CommitThrough(Index index);
  // Drops the log up to `through`, if that is enough to be worth a write.
  void TrimLog(Index through);
  // Sends once term and vote, and the write `after` if not 0, are durable: nothing is said of a
  // term that could be forgotten (section 3.8).
  void Send(const MemberId& to, Message message, WriteId after = 0);
  void BecomeFollower(Term term, MemberId leader);
  void Finish();
  Instant Deadline() const;

  // ---- election.cc
  void On(const MemberId& from, const VoteRequest& request);
  void On(const MemberId& from, const VoteResponse& response);
  void ResetElectionTimer();
  // Nanoseconds until this member may campaign, or, if its configuration does not let it, until a
  // silent leader counts as none; absent if it has none either.
  std::optional<std::int64_t> UntilElection() const;
  bool MayCampaign() const;
  bool HeardFromLeader() const;
  void On(const AllowVotes& allow);
  bool MayVote() const { return !votes_withheld_ && now_.LeaderElapsedNs(may_vote_from_) >= 0; }
  bool UpToDate(Index last_index, Term last_term) const;
  void StartPreVote();
  // `transfer`: the leader asked for it.
  void StartElection(bool transfer = false);
  void AskForVotes(Term term, bool pre_vote, bool transfer = false);
  void CountVotes();

  // ---- follower.cc
  void On(const MemberId& from, AppendRequest& request);
  void HearLeader(Term term, const MemberId& leader);
  // True of what no leader can say: that a committed entry is another one.
  bool ContradictsCommitted(const AppendRequest& request) const;
  // Takes the entries from position `first` on: what precedes them agrees, and none is committed.
  void TakeEntries(std::vector<Entry>& entries, std::size_t first);
  void RefuseAppend(const MemberId& from, const AppendRequest& request);

  // ---- leader.cc
  void On(const MemberId& from, const AppendResponse& response);
  void BecomeLeader();
  void OnHeartbeatTimer();
  void OnRefused(Peer& peer, const AppendResponse& response);
  // Begins a round of empty appends, to the voters alone or to everybody.
  void StartRound(bool everybody);
  void SendHeartbeat(Peer& peer, bool repeat_chunk = true);
  // Sends what the peer's state and limits allow.
  void SendEntries(Peer& peer);
  void SendToAll();
  void SendAppend(Peer& peer, std::vector<Entry> entries);
  void SendAppendAfter(Peer& peer, Index prev_index, std::vector<Entry> entries);
  void MaybeCommit();
  void ServeReads();
  void MaybeTrim();
  // How far the log may go because the snapshot stands for it.
  Index SnapshotTrim() const;
  // When the newest round began that a quorum has answered.
  Instant QuorumContact() const;
  // The same, clock by clock, of `contact(peer)`.
  template <typename F>
  Instant QuorumInstant(F contact) const {
    return Instant::FromReadings(
        peers_.QuorumOf([&](const Peer& peer) { return contact(peer).boottime_ns(); }),
        peers_.QuorumOf([&](const Peer& peer) { return contact(peer).monotonic_raw_ns(); }));
  }

  // ---- snapshots.cc
  void On(SnapshotPiece& piece);
  void On(const MemberId& from, SnapshotRequest& request);
  void On(const MemberId& from, const SnapshotResponse& response);
  // The own snapshot counts from when it is durable on.
  void MaybeAdoptSnapshot();
  void Install(const MemberId& from, const SnapshotRequest& request);
  // Whether an append to a peer at `next` needs what the log does not hold any more.
  bool BehindLog(Index next) const { return next <= log_.trimmed_through(); }
  void BeginSnapshot(Peer& peer);
  void SendChunk(Peer& peer);

  // ---- membership.cc
  void On(Configure& configure);
  void On(const AttestLost& attest);
  // Empty if the leader may propose another configuration now.
  absl::Status MayConfigure() const;
  void AppendConfiguration(Configuration configuration);
  // What follows once the configuration in force is committed: a joint one is left, and a leader
  // that it does not name hands over.
  void OnCommitted();

  // ---- transfer.cc
  void On(const Transfer& transfer);
  void On(const MemberId& from, const TimeoutNow& now);
  // The voter that lags least among those that answer; null if there is none.
  const Peer* BestSuccessor() const;
  void BeginTransfer(const MemberId& target);
  // Sends TimeoutNow once the target has all that this leader has.
  void GoOnWithTransfer();
  void AbortTransfer();
  bool DiskStalls() const;
  // As it is told: nothing while this member could not take leadership.
  std::uint32_t Priority() const { return peers_.SelfVotes() && MayVote() ? options_.priority : 0; }
  // A stalled disk, a voter of greater priority.
  void MaybeTransfer();

  const Options options_;
  Prng prng_;
  Log log_;
  Durable durable_;
  Peers peers_;

  Instant now_;
  Role role_ = Role::kFollower;
  Term term_ = 0;
  MemberId vote_;
  MemberId leader_;
  SnapshotInfo snapshot_;  // durable and whole
  Index commit_ = 0;
  Index applied_ = 0;
  WriteId last_write_ = 0;
  WriteId hard_state_write_ = 0;  // the last one that carried the hard state

  Instant disk_moved_;  // when a write last became durable, or the first of those under way began

  SnapshotInfo making_;    // of the own state, so far
  WriteId made_by_ = 0;    // the write that completes it; 0: none yet
  SnapshotInfo incoming_;  // from the leader
  std::uint64_t incoming_bytes_ = 0;
  Term incoming_term_ = 0;  // the leader's

  const std::int64_t timeout_min_ns_;
  const Instant may_vote_from_;
  bool votes_withheld_;
  const std::int64_t lease_ns_;
  std::optional<Instant> heard_;  // when a leader last was
  Instant election_since_;
  std::int64_t election_timeout_ns_ = 0;
  std::uint64_t transfer_heard_ = 0;  // of this term's leader

  // Of a leader alone.
  struct Handover {
    MemberId target;
    Instant since;
    bool sent = false;
  };
  std::optional<Handover> transfer_;
  std::uint64_t transfer_number_ = 0;  // of this term
  // TimeoutNows that were sent in this term and may still be obeyed.
  struct Loose {
    MemberId target;
    std::uint64_t number = 0;
  };
  std::vector<Loose> loose_;
  // When it last handed over to a greater priority, or was handed leadership itself.
  std::optional<Instant> preferred_at_;
  bool asked_to_lead_ = false;  // by the leader before it, in the last election that it began
  bool short_handed_ = false;
  Index term_start_ = 0;
  Rounds rounds_;
  Reads reads_;
  Instant heartbeat_due_;

  RoleChange told_;
  Output out_;
};

}  // namespace tenure::raft

#endif  // TENURE_RAFT_IMPL_H_
