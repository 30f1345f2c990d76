// Snapshots: taken of the own state, sent to who lags behind the log, installed (section 5).
#include <algorithm>
#include <utility>

#include "raft/impl.h"

namespace tenure::raft {

// ---- Taking

void Core::Impl::On(SnapshotPiece& piece) {
  if (piece.data == nullptr) return;
  if (piece.offset == 0) {
    // What is applied is committed, and so is the configuration in force there
    // (canonical/raft#250).
    // What was being received and is of no use any more forbids no own one: the log has come from
    // another leader meanwhile.
    if (incoming_.index <= commit_) incoming_ = {};
    const bool useful = piece.through > snapshot_.index && piece.through <= applied_ &&
                        piece.through >= log_.trimmed_through() && incoming_.empty();
    if (!useful || made_by_ != 0) return;
    making_ = {};
    making_.index = piece.through;
    making_.term = log_.TermAt(piece.through).value_or(0);
    making_.stamp_ns = log_.StampAt(piece.through).value_or(0);
    making_.configuration = log_.ConfigurationAt(piece.through);
  } else if (piece.through != making_.index || piece.offset != making_.bytes || made_by_ != 0) {
    return;
  }
  making_.bytes += piece.data->size();
  Batch().chunk = SnapshotChunk{making_.index, piece.offset, std::move(piece.data)};
  if (!piece.last) return;
  Batch().snapshot = making_;
  made_by_ = Batch().id;
}

void Core::Impl::MaybeAdoptSnapshot() {
  if (made_by_ == 0 || durable_.write() < made_by_) return;
  made_by_ = 0;
  snapshot_ = std::exchange(making_, {});
  if (role_ != Role::kLeader) return TrimLog(snapshot_.index);
  for (Peer& peer : peers_) {
    if (peer.progress.state() == raft::Progress::State::kSnapshot) BeginSnapshot(peer);
  }
  MaybeTrim();
}

bool Core::Impl::snapshot_wanted() const {
  if (role_ != Role::kLeader || making_.index != 0) return false;
  return std::any_of(peers_.begin(), peers_.end(), [](const Peer& peer) {
    return peer.progress.state() == raft::Progress::State::kSnapshot &&
           peer.progress.snapshot() == 0;
  });
}

bool Core::Impl::sending_snapshot() const {
  if (role_ != Role::kLeader) return false;
  return std::any_of(peers_.begin(), peers_.end(), [this](const Peer& peer) {
    return peer.progress.state() == raft::Progress::State::kSnapshot &&
           peer.progress.snapshot() != 0 && peer.progress.answered_round() > 0 &&
           now_.HolderElapsedNs(peer.progress.contact()) < timeout_min_ns_;
  });
}

// ---- Sending

void Core::Impl::BeginSnapshot(Peer& peer) {
  // One that ends before the log begins would leave a gap.
  const bool usable = !snapshot_.empty() && snapshot_.index >= log_.trimmed_through();
  peer.progress.BecomeSnapshot(usable ? snapshot_.index : 0);
  if (usable) SendChunk(peer);
}

void Core::Impl::SendChunk(Peer& peer) {
  peer.progress.SentChunk();
  SnapshotRequest request;
  request.term = term_;
  request.snapshot = snapshot_;
  request.offset = peer.progress.snapshot_offset();
  request.round = rounds_.current();
  Send(peer.id, std::move(request));
}

void Core::Impl::On(const MemberId& from, const SnapshotResponse& response) {
  Peer* peer = peers_.Find(from);
  if (peer == nullptr || peer->self) return;
  if (response.term > term_) {
    BecomeFollower(response.term, {});
    return;
  }
  if (role_ != Role::kLeader || response.term < term_ || response.round > rounds_.current()) return;
  raft::Progress& progress = peer->progress;
  if (auto began = rounds_.BeganAt(response.round)) progress.Answered(response.round, *began);
  ServeReads();
  if (progress.state() != raft::Progress::State::kSnapshot || response.index != snapshot_.index ||
      progress.snapshot() != response.index || response.offset >= snapshot_.bytes) {
    return;
  }
  // A repeated answer asks for nothing new. A follower that lost what it had goes back, but not
  // because of an answer from before it got here.
  const bool back = response.offset < progress.snapshot_offset();
  if (back && response.round <= progress.chunk_round()) return;
  if (response.offset == progress.snapshot_offset() && progress.chunk_sent()) return;
  progress.WantsChunk(response.offset, rounds_.current());
  SendChunk(*peer);
}

// ---- Installing

void Core::Impl::On(const MemberId& from, SnapshotRequest& request) {
  const SnapshotInfo& snapshot = request.snapshot;
  if (request.term < term_) {
    AppendResponse refusal;
    refusal.term = term_;
    Send(from, std::move(refusal));
    return;
  }
  if (snapshot.empty() || snapshot.term == 0 || snapshot.term > request.term ||
      snapshot.configuration == nullptr || request.data == nullptr || request.data->empty() ||
      request.offset > snapshot.bytes || request.data->size() > snapshot.bytes - request.offset) {
    return;
  }
  if (request.term == term_) {
    if (role_ == Role::kLeader || (!leader_.empty() && leader_ != from)) return;
  }
  HearLeader(request.term, from);
  if (snapshot.index <= commit_) {  // it caught up otherwise
    incoming_ = {};
    AppendResponse response;
    response.term = term_;
    response.accepted = true;
    response.round = request.round;
    response.transfer = transfer_heard_;
    response.priority = Priority();
    response.applied = std::min(applied_, durable_.index());
    response.match_index = std::min(commit_, durable_.index());
    Send(from, std::move(response));
    return;
  }
  // Two leaders may write down one state in two ways, so nothing is put together of both.
  const bool same = incoming_.index == snapshot.index && incoming_.bytes == snapshot.bytes &&
                    incoming_term_ == term_;
  if (!same) {
    incoming_ = snapshot;
    incoming_bytes_ = 0;
    incoming_term_ = term_;
    if (made_by_ == 0) making_ = {};
  }
  if (request.offset == incoming_bytes_) {
    incoming_bytes_ += request.data->size();
    const bool last = incoming_bytes_ == snapshot.bytes;
    out_.install = InstallPiece{snapshot, request.offset, request.data, last};
    Batch().chunk = SnapshotChunk{snapshot.index, request.offset, request.data};
    if (last) return Install(from, request);
  }
  // Asks for what comes next, once what it has is durable.
  Send(from, SnapshotResponse{term_, snapshot.index, incoming_bytes_, request.round},
       durable_.write() < last_write_ ? last_write_ : 0);
}

void Core::Impl::Install(const MemberId& from, const SnapshotRequest& request) {
  const SnapshotInfo snapshot = std::exchange(incoming_, {});
  incoming_bytes_ = 0;
  making_ = {};
  made_by_ = 0;
  snapshot_ = snapshot;  // with this write, before anything that follows from it
  WriteBatch& batch = Batch();
  batch.snapshot = snapshot;
  if (log_.TermAt(snapshot.index) == snapshot.term) {
    // What follows it in the log agrees with the leader's as much as it did before.
    batch.trim_through = snapshot.index;
    log_.TrimThrough(snapshot.index);
    durable_.Written(batch.id, log_.last_index());
  } else {
    log_.Reset({snapshot.index, snapshot.term, snapshot.stamp_ns, snapshot.configuration});
    durable_.Replaced(batch.id, snapshot.index);
  }
  FollowConfiguration();
  commit_ = snapshot.index;
  applied_ = snapshot.index;
  AppendResponse response;
  response.term = term_;
  response.accepted = true;
  response.round = request.round;
  response.transfer = transfer_heard_;
  response.priority = Priority();
  response.match_index = snapshot.index;
  response.applied = snapshot.index;
  Send(from, std::move(response), batch.id);
}

}  // namespace tenure::raft
