#include "raft/core.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "raft/impl.h"

namespace tenure::raft {
namespace {

// Trimming is a write: less than this is not worth one.
constexpr Index kTrimEntries = 256;
constexpr std::size_t kTrimBytes = 64 << 10;

Log MakeLog(Initial& initial) {
  return Log({initial.trimmed_through, initial.trimmed_term, initial.trimmed_stamp_ns,
              std::move(initial.trimmed_configuration)},
             std::move(initial.entries));
}

}  // namespace

Core::Impl::Impl(Options options, Initial initial, Instant now)
    : options_(std::move(options)),
      prng_(options_.seed),
      log_(MakeLog(initial)),
      durable_(log_.last_index()),
      peers_(options_.self),
      now_(now),
      term_(initial.hard_state.term),
      vote_(initial.hard_state.vote),
      snapshot_(std::move(initial.snapshot)),
      commit_(std::clamp(initial.applied, log_.trimmed_through(), log_.last_index())),
      applied_(commit_),
      timeout_min_ns_(absl::ToInt64Nanoseconds(options_.election_timeout_min)),
      may_vote_from_(initial.may_vote_from),
      votes_withheld_(initial.votes_withheld),
      lease_ns_(static_cast<std::int64_t>(static_cast<double>(timeout_min_ns_) *
                                          (1 - options_.clock_drift_max) /
                                          (1 + options_.clock_drift_max))),
      rounds_(timeout_min_ns_) {
  peers_.Follow(log_.configuration(), {});
  ResetElectionTimer();
  if (peers_.SelfAlone()) election_timeout_ns_ = 0;  // there is nobody to wait for
  told_ = {role_, term_, leader_};
}

Output Core::Impl::Step(Instant now, Event event) {
  now_ = now;
  out_ = Output{};
  if (role_ == Role::kStopped) {
    if (const Read* read = std::get_if<Read>(&event)) out_.reads_refused.push_back(read->id);
    return std::exchange(out_, {});
  }
  std::visit([this](auto& e) { On(e); }, event);
  Finish();
  return std::exchange(out_, {});
}

void Core::Impl::On(Received& received) {
  std::visit([&](auto& message) { On(received.from, message); }, received.message);
}

void Core::Impl::On(const WriteDurable& durable) {
  durable_.Notice(durable.id);
  disk_moved_ = now_;
  if (role_ == Role::kCandidate && durable_.write() >= hard_state_write_) {
    if (Peer* self = peers_.self()) self->ballot = Ballot::kYes;
    CountVotes();
  } else if (role_ == Role::kLeader) {
    MaybeCommit();
    if (role_ == Role::kLeader) ServeReads();
    if (role_ == Role::kLeader) MaybeTrim();
  }
  MaybeAdoptSnapshot();
}

void Core::Impl::On(const WriteFailed&) {
  // What reached the disk is unknown and stays so: no retry can tell (Rebello et al., ATC'20).
  reads_.RefuseAll(out_.reads_refused);
  transfer_.reset();
  role_ = Role::kStopped;
  leader_ = {};
}

void Core::Impl::On(Propose& propose) {
  if (role_ != Role::kLeader || transfer_.has_value()) return;
  Entry entry;
  entry.index = log_.last_index() + 1;
  entry.term = term_;
  entry.kind = propose.kind;
  entry.stamp_ns = std::max(propose.stamp_ns, log_.last_stamp_ns());
  entry.payload = std::move(propose.payload);
  out_.proposed = Output::Proposed{entry.index, entry.term};
  AppendToLog(std::move(entry));
  SendToAll();
}

void Core::Impl::On(const Read& read) {
  if (role_ != Role::kLeader || reads_.size() >= options_.pending_reads_max) {
    out_.reads_refused.push_back(read.id);
    return;
  }
  if (options_.lease_reads && HasLease(now_)) {
    out_.reads_ready.push_back({read.id, commit_});
    return;
  }
  reads_.Add(read.id);
  ServeReads();
}

void Core::Impl::On(const Applied& applied) {
  applied_ = std::max(applied_, std::min(applied.through, commit_));
  if (role_ == Role::kLeader) MaybeTrim();
}

void Core::Impl::On(const Timer&) {
  if (role_ == Role::kLeader) {
    OnHeartbeatTimer();
  } else if (UntilElection() == 0) {
    if (MayCampaign()) {
      StartPreVote();
    } else {
      leader_ = {};  // silent for too long to be called one
    }
  }
}

WriteBatch& Core::Impl::Batch() {
  if (!out_.write.has_value()) {
    if (!durable_.waiting()) disk_moved_ = now_;
    out_.write.emplace().id = ++last_write_;
    durable_.Written(last_write_, log_.last_index());
  }
  return *out_.write;
}

void Core::Impl::SaveHardState() {
  WriteBatch& batch = Batch();
  batch.hard_state = HardState{term_, vote_};
  hard_state_write_ = batch.id;
}

void Core::Impl::AppendToLog(Entry entry) {
  WriteBatch& batch = Batch();
  batch.entries.push_back(entry);
  log_.Append(std::move(entry));
  durable_.Written(batch.id, log_.last_index());
  FollowConfiguration();
}

void Core::Impl::TruncateLog(Index from) {
  Batch().truncate_from = from;
  log_.TruncateFrom(from);
  durable_.Truncated(from);
  FollowConfiguration();
}

void Core::Impl::FollowConfiguration() {
  if (peers_.Follows(log_.configuration())) return;
  peers_.Follow(log_.configuration(), raft::Progress(log_.last_index() + 1, now_));
  if (role_ == Role::kLeader && peers_.ShortHanded()) short_handed_ = true;
}

void Core::Impl::CommitThrough(Index index) {
  for (Index i = commit_ + 1; i <= index; ++i) out_.committed.push_back(log_.At(i));
  commit_ = std::max(commit_, index);
}

void Core::Impl::TrimLog(Index through) {
  through = std::min({through, applied_, commit_});
  if (!options_.trim_without_snapshot) through = std::min(through, snapshot_.index);
  // The log goes on where the snapshot ends.
  if (making_.index != 0) through = std::min(through, making_.index);
  if (through <= log_.trimmed_through()) return;
  if (through - log_.trimmed_through() < kTrimEntries && log_.BytesThrough(through) < kTrimBytes) {
    return;
  }
  Batch().trim_through = through;
  log_.TrimThrough(through);
}

void Core::Impl::Send(const MemberId& to, Message message, WriteId after) {
  if (hard_state_write_ > durable_.write()) after = std::max(after, hard_state_write_);
  if (after == 0) {
    out_.messages.push_back({to, std::move(message)});
  } else {
    out_.after_write.push_back({after, {to, std::move(message)}});
  }
}

void Core::Impl::BecomeFollower(Term term, MemberId leader) {
  if (term > term_) {
    term_ = term;
    vote_ = {};
    SaveHardState();
    transfer_heard_ = 0;
  }  // else the vote of this term stands, whatever the role was (redpanda#19)
  if (role_ == Role::kLeader) {
    reads_.RefuseAll(out_.reads_refused);
    transfer_.reset();
    short_handed_ = false;
    ResetElectionTimer();
  }
  role_ = Role::kFollower;
  leader_ = std::move(leader);
}

void Core::Impl::Finish() {
  if (role_ != told_.role || term_ != told_.term || leader_ != told_.leader) {
    told_ = {role_, term_, leader_};
    out_.role_change = told_;
  }
  out_.deadline = Deadline();
}

Instant Core::Impl::Deadline() const {
  if (role_ == Role::kStopped) return Instant::InfiniteFuture();
  if (role_ == Role::kLeader) {
    Instant deadline = heartbeat_due_;
    if (transfer_.has_value()) {
      deadline = Instant::Earlier(deadline, transfer_->since.PlusNs(timeout_min_ns_));
    }
    if (peers_.SelfAlone()) return deadline;
    return Instant::Earlier(deadline, QuorumContact().PlusNs(timeout_min_ns_));
  }
  const std::optional<std::int64_t> wait = UntilElection();
  return wait.has_value() ? now_.PlusNs(*wait) : Instant::InfiniteFuture();
}

std::optional<Core::Progress> Core::Impl::progress(const MemberId& id) const {
  const Peer* peer = role_ == Role::kLeader ? peers_.Find(id) : nullptr;
  if (peer == nullptr) return std::nullopt;
  if (peer->self) return Core::Progress{durable_.index(), applied_, true, options_.priority};
  const raft::Progress& known = peer->progress;
  const bool active =
      known.answered_round() > 0 && now_.HolderElapsedNs(known.contact()) < timeout_min_ns_;
  return Core::Progress{known.match(), known.applied(), active, known.priority(),
                        known.state() == raft::Progress::State::kSnapshot};
}

// ---- Core ----

Core::Core(Options options, Initial initial, Instant now)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(initial), now)) {}
Core::~Core() = default;
Core::Core(Core&&) noexcept = default;
Core& Core::operator=(Core&&) noexcept = default;

Output Core::Step(Instant now, Event event) { return impl_->Step(now, std::move(event)); }

Role Core::role() const { return impl_->role(); }
Term Core::term() const { return impl_->term(); }
const MemberId& Core::leader() const { return impl_->leader(); }
Index Core::last_index() const { return impl_->log().last_index(); }
std::int64_t Core::last_stamp_ns() const { return impl_->log().last_stamp_ns(); }
Term Core::TermAt(Index index) const { return impl_->log().TermAt(index).value_or(0); }
Index Core::commit_index() const { return impl_->commit(); }
std::int64_t Core::committed_stamp_ns() const {
  return impl_->log().StampAt(impl_->commit()).value_or(0);
}
Index Core::term_start_index() const { return impl_->term_start(); }
const Configuration& Core::configuration() const { return *impl_->log().configuration(); }
Index Core::configuration_index() const { return impl_->log().configuration_index(); }
bool Core::short_handed() const { return impl_->short_handed(); }
bool Core::lost(const MemberId& id) const { return impl_->lost(id); }
bool Core::transferring() const { return impl_->transferring(); }
bool Core::HasLease(Instant now) const { return impl_->HasLease(now); }
Core::Lease Core::lease(Instant now) const { return impl_->lease(now); }
const SnapshotInfo& Core::snapshot() const { return impl_->snapshot(); }
Index Core::making_snapshot() const { return impl_->making_snapshot(); }
bool Core::snapshot_wanted() const { return impl_->snapshot_wanted(); }
bool Core::sending_snapshot() const { return impl_->sending_snapshot(); }
std::size_t Core::log_bytes() const { return impl_->log().bytes(); }
bool Core::HoldsCommands() const {
  const Log& log = impl_->log();
  for (Index i = log.trimmed_through() + 1; i <= log.last_index(); ++i) {
    if (log.At(i).kind == EntryKind::kCommands && log.At(i).payload_bytes() > 0) return true;
  }
  return false;
}
std::size_t Core::log_bytes_after_snapshot() const {
  return impl_->log().bytes() - impl_->log().BytesThrough(impl_->snapshot().index);
}
std::optional<Core::Progress> Core::progress(const MemberId& id) const {
  return impl_->progress(id);
}

}  // namespace tenure::raft
