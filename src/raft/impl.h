// The core's state, and its parts by the role that they serve: core.cc takes events and durability,
// election.cc votes, follower.cc takes appends, leader.cc sends them, linearizable reads and
// trimming included. What each needs beside the others lives in small types of its own.
#ifndef TENURE_RAFT_IMPL_H_
#define TENURE_RAFT_IMPL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

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
  // Nanoseconds until this member may campaign; absent if its configuration does not let it.
  std::optional<std::int64_t> UntilElection() const;
  bool HeardFromLeader() const;
  bool MayVote() const { return now_.LeaderElapsedNs(may_vote_from_) >= 0; }
  bool UpToDate(Index last_index, Term last_term) const;
  void StartPreVote();
  void StartElection();
  void AskForVotes(Term term, bool pre_vote);
  void CountVotes();

  // ---- follower.cc
  void On(const MemberId& from, AppendRequest& request);
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
  void SendHeartbeat(Peer& peer);
  // Sends what the peer's state and limits allow.
  void SendEntries(Peer& peer);
  void SendToAll();
  void SendAppend(Peer& peer, std::vector<Entry> entries);
  void MaybeCommit();
  void ServeReads();
  void MaybeTrim();
  // When the newest round began that a quorum has answered.
  Instant QuorumContact() const;

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
  Index commit_ = 0;
  Index applied_ = 0;
  WriteId last_write_ = 0;
  WriteId hard_state_write_ = 0;  // the last one that carried the hard state

  const std::int64_t timeout_min_ns_;
  const Instant may_vote_from_;
  std::optional<Instant> heard_;  // when a leader last was
  Instant election_since_;
  std::int64_t election_timeout_ns_ = 0;

  // Of a leader alone.
  Index term_start_ = 0;
  Rounds rounds_;
  Reads reads_;
  Instant heartbeat_due_;

  RoleChange told_;
  Output out_;
};

}  // namespace tenure::raft

#endif  // TENURE_RAFT_IMPL_H_
