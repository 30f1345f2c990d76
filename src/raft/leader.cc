// Leading: replication, the commit rule, linearizable reads, trimming
// (sections 3.5, 3.6.2, 6.2, 6.4).
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "raft/impl.h"

namespace tenure::raft {

void Core::Impl::BecomeLeader() {
  role_ = Role::kLeader;
  leader_ = options_.self;
  term_start_ = log_.last_index() + 1;
  rounds_ = Rounds(timeout_min_ns_);
  reads_ = Reads();
  transfer_.reset();
  transfer_number_ = 0;
  loose_.clear();
  // Whoever handed over had a reason: it is not handed back at once, whatever the priorities.
  preferred_at_ = asked_to_lead_ ? std::optional(now_) : std::nullopt;
  short_handed_ = peers_.ShortHanded();
  for (Peer& peer : peers_) peer.progress = raft::Progress(term_start_, now_);

  // Commits what earlier terms left behind, which counting alone must not (section 3.6.2). It
  // repeats the last stamp: a new leader's time starts from its own log and from nothing else.
  Entry entry;
  entry.index = term_start_;
  entry.term = term_;
  entry.kind = EntryKind::kNoOp;
  entry.stamp_ns = log_.last_stamp_ns();
  AppendToLog(std::move(entry));

  rounds_.Start(now_);
  heartbeat_due_ = now_ + options_.heartbeat_interval;
  SendToAll();
}

void Core::Impl::OnHeartbeatTimer() {
  // Nobody may think of this member as leader any more, so neither does it (section 6.2).
  if (!peers_.SelfAlone() && now_.Reached(QuorumContact().PlusNs(timeout_min_ns_))) {
    BecomeFollower(term_, {});
    return;
  }
  if (transfer_.has_value() && now_.Reached(transfer_->since.PlusNs(timeout_min_ns_))) {
    AbortTransfer();
    if (role_ != Role::kLeader) return;
  }
  if (!now_.Reached(heartbeat_due_)) return;
  MaybeTransfer();
  heartbeat_due_ = now_ + options_.heartbeat_interval;
  StartRound(/*everybody=*/true);
}

Instant Core::Impl::QuorumContact() const {
  return QuorumInstant([this](const Peer& p) { return p.self ? now_ : p.progress.contact(); });
}

Core::Lease Core::Impl::lease(Instant now) const {
  // Every follower that answered a round keeps to this leader for one least election timeout from
  // then on, as the slower of its clocks counts it; here the faster one counts.
  if (role_ != Role::kLeader || commit_ < term_start_ || !loose_.empty() || short_handed_) {
    return {};
  }
  const Instant never = Instant::FromReadings(now.boottime_ns() - 2 * timeout_min_ns_,
                                              now.monotonic_raw_ns() - 2 * timeout_min_ns_);
  const Instant since = QuorumInstant([&](const Peer& p) {
    if (p.self) return now;
    return p.progress.answered_round() > 0 ? p.progress.contact() : never;
  });
  return {since, now.HolderElapsedNs(since) < lease_ns_ ? lease_ns_ : 0};
}

bool Core::Impl::HasLease(Instant now) const { return lease(now).ns > 0; }

void Core::Impl::StartRound(bool everybody) {
  const std::uint64_t round = rounds_.Start(now_);
  if (commit_ >= term_start_) reads_.Join(round, commit_);
  for (Peer& peer : peers_) {
    if (!peer.self && (everybody || peer.voter())) SendHeartbeat(peer, everybody);
  }
}

void Core::Impl::SendHeartbeat(Peer& peer, bool repeat_chunk) {
  if (peer.progress.state() == raft::Progress::State::kSnapshot) {
    // A chunk, or its answer, may have been lost; but not each round of reads repeats it.
    const bool due = repeat_chunk || !peer.progress.chunk_sent();
    if (peer.progress.snapshot() != 0 && due) return SendChunk(peer);
    // With nothing to send yet: it agrees with an empty log, as everybody does.
    return SendAppendAfter(peer, 0, {});
  }
  if (BehindLog(peer.progress.next())) return BeginSnapshot(peer);
  // It follows all that was sent, so a refusal betrays what was lost on the way, and a lost probe
  // is made good.
  SendAppend(peer, {});
}

void Core::Impl::SendToAll() {
  for (Peer& peer : peers_) {
    if (!peer.self) SendEntries(peer);
  }
}

void Core::Impl::SendEntries(Peer& peer) {
  raft::Progress& progress = peer.progress;
  if (progress.state() == raft::Progress::State::kSnapshot) {
    if (progress.snapshot() != 0 && !progress.chunk_sent()) SendChunk(peer);
    return;
  }
  if (BehindLog(progress.next())) return BeginSnapshot(peer);
  if (progress.state() == raft::Progress::State::kProbe) {
    if (progress.probe_sent()) return;
    progress.SentProbe();
    SendAppend(peer,
               log_.Slice(progress.next(), options_.append_entries_max, options_.append_bytes_max));
    return;
  }
  while (progress.next() <= log_.last_index() &&
         progress.HasRoom(options_.inflight_appends_max, options_.inflight_bytes_max)) {
    std::vector<Entry> entries =
        log_.Slice(progress.next(), options_.append_entries_max, options_.append_bytes_max);
    std::size_t bytes = 0;
    for (const Entry& entry : entries) bytes += Log::Charge(entry);
    const Index last = entries.back().index;
    SendAppend(peer, std::move(entries));
    progress.SentAppend(last, bytes);
  }
}

void Core::Impl::SendAppend(Peer& peer, std::vector<Entry> entries) {
  SendAppendAfter(peer, peer.progress.next() - 1, std::move(entries));
}

void Core::Impl::SendAppendAfter(Peer& peer, Index prev_index, std::vector<Entry> entries) {
  AppendRequest request;
  request.term = term_;
  request.prev_index = prev_index;
  request.prev_term = log_.TermAt(request.prev_index).value_or(0);
  request.entries = std::move(entries);
  request.commit = commit_;
  request.round = rounds_.current();
  request.trim_through = log_.trimmed_through();
  request.transfer = transfer_number_;
  request.durable = durable_.index();
  Send(peer.id, std::move(request));
}

void Core::Impl::On(const MemberId& from, const AppendResponse& response) {
  Peer* peer = peers_.Find(from);
  // An earlier incarnation's word is not its successor's (BOOTSTRAP rule 13).
  if (peer == nullptr || peer->self) return;
  if (response.term > term_) {
    BecomeFollower(response.term, {});
    return;
  }
  // Of another term, or about what this leader never sent: proof of nothing.
  if (role_ != Role::kLeader || response.term < term_ || response.round > rounds_.current()) return;
  const Index claimed = std::max(response.accepted ? response.match_index : 0, response.applied);
  if (claimed > log_.last_index()) return;

  raft::Progress& progress = peer->progress;
  if (auto began = rounds_.BeganAt(response.round)) progress.Answered(response.round, *began);
  progress.Told(response.transfer, response.priority);
  std::erase_if(loose_, [&](const Loose& sent) {
    return sent.target == from && response.transfer > sent.number;
  });
  progress.Applied(response.applied);
  progress.Matched(response.applied);  // what it applied is committed, and durable there
  if (response.accepted) {
    progress.Matched(response.match_index);
    // What answers the probe, or knows more; a late answer from before it does not end it.
    const bool found = response.match_index + 1 >= progress.next();
    if (progress.state() == raft::Progress::State::kProbe && found) progress.BecomeReplicate();
    // The snapshot is installed, or what it lacked came otherwise: the log can go on from there.
    if (progress.state() == raft::Progress::State::kSnapshot && !BehindLog(progress.match() + 1)) {
      progress.BecomeReplicate();
    }
  } else {
    OnRefused(*peer, response);
  }
  MaybeCommit();
  if (role_ != Role::kLeader) return;
  ServeReads();
  peer = peers_.Find(from);  // a committed configuration may have been followed by another
  if (peer != nullptr) SendEntries(*peer);
  if (transfer_.has_value()) GoOnWithTransfer();
  MaybeTrim();
}

void Core::Impl::OnRefused(Peer& peer, const AppendResponse& response) {
  raft::Progress& progress = peer.progress;
  const bool stale = progress.state() == raft::Progress::State::kProbe
                         ? response.rejected_prev != progress.next() - 1
                         : response.rejected_prev <= progress.match();
  if (stale || response.rejected_prev == 0) return;
  if (progress.state() == raft::Progress::State::kSnapshot) return;
  // Neither what it lacks nor what is of a later term than it can hold there will agree.
  const Index hint = std::min(response.match_index, response.rejected_prev - 1);
  if (hint < log_.trimmed_through() && BehindLog(progress.match() + 1)) return BeginSnapshot(peer);
  progress.BecomeProbe(log_.LastNotAfter(hint, response.hint_term) + 1);
}

void Core::Impl::MaybeCommit() {
  const Index reached = peers_.QuorumOf(
      [this](const Peer& peer) { return peer.self ? durable_.index() : peer.progress.match(); });
  // An entry of an earlier term is committed only beneath one of the own (section 3.6.2,
  // figure 3.7).
  if (reached <= commit_ || log_.TermAt(reached) != term_) return;
  CommitThrough(reached);
  OnCommitted();
}

void Core::Impl::ServeReads() {
  if (!reads_.waiting() && !reads_.under_way()) return;
  const auto confirm = [this] {
    reads_.Confirm(peers_.QuorumOf([this](const Peer& peer) {
      return peer.self ? rounds_.current() : peer.progress.answered_round();
    }),
                   out_.reads_ready);
  };
  confirm();
  // Before an entry of the own term is committed, the commit index may lag behind an earlier
  // leader's.
  if (commit_ < term_start_ || !reads_.waiting() || reads_.under_way()) return;
  StartRound(/*everybody=*/false);
  if (peers_.SelfAlone()) confirm();
}

void Core::Impl::MaybeTrim() {
  Index applied = std::min(applied_, durable_.index());
  for (const Peer& peer : peers_) {
    if (!peer.self) applied = std::min(applied, peer.progress.applied());
  }
  // Whoever is away does not hold the log back for ever: it gets the snapshot (etcd#18055).
  TrimLog(std::max(applied, SnapshotTrim()));
}

Index Core::Impl::SnapshotTrim() const {
  Index through = snapshot_.index;
  for (const Peer& peer : peers_) {
    if (peer.self || now_.HolderElapsedNs(peer.progress.contact()) >= timeout_min_ns_) continue;
    // One that answers and follows closely is not made to start over for the sake of a few entries.
    const Index match = peer.progress.match();
    if (match < through &&
        log_.BytesThrough(through) - log_.BytesThrough(match) <= options_.append_bytes_max) {
      through = match;
    }
  }
  return through;
}

}  // namespace tenure::raft
