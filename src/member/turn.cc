// One turn of the actor: everything that arrived, one entry for all its commands, one message for
// everybody who is answered.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "machine/codec.h"
#include "member/actor.h"

namespace tenure::member {
namespace {

// All listed members start at about the same time: before that nothing need be said.
constexpr absl::Duration kTroublePatience = absl::Seconds(2);

// What one turn takes on, so that heartbeats and timers are never late for long.
constexpr std::size_t kRequestsPerTurn = 8192;
// An entry's payload is cut near this, so that it fits into one append.
constexpr std::size_t kEntryBytes = 512 << 10;

}  // namespace

void Actor::Turn() {
  scheduled_ = false;
  if (closed_) return;
  in_turn_ = true;
  now_ = loop_.Now();
  if (!begun_) Begin();
  TakePeers();
  TakeDurable();
  TakeTimers();
  TakeRequests();
  ProposeTurn();
  Settle();
  GoOnWithSnapshot();
  GiveUpLostForwards();
  FlushAskers();
  in_turn_ = false;
  if (closed_) return;  // whom it answered may have stopped it
  Arm();
  // The rest is for the next turn: the sockets come first.
  if ((!requests_in_.empty() || SnapshotWaits()) && !std::exchange(scheduled_, true)) {
    loop_.Defer([anchor = anchor_] {
      Enter(anchor, [&anchor](Actor& actor) {
        actor.loop_.Post([anchor] { Enter(anchor, [](Actor& a) { a.Turn(); }); });
      });
    });
  }
}

void Actor::Begin() {
  begun_ = true;
  UpdatePeers();

  if (recovered_.cluster.empty()) {
    Log(absl::StrCat("starts as a new incarnation, ", self_.ToString()));
    trouble_due_ = now_ + kTroublePatience;
    DoBootstrap(bootstrap_.Timer(now_));
    return;
  }
  cluster_ = recovered_.cluster;
  Log(absl::StrCat("resumes as ", self_.ToString(), " in cluster ", cluster_.ToString()));
  std::optional<raft::Entry> first;
  if (!recovered_.entries.empty() && recovered_.entries.front().index == 1)
    first = recovered_.entries.front();
  bootstrap_.Resume(cluster_, first);
  BeginRecall(recovered_);
  raft::Initial initial;
  initial.hard_state = recovered_.hard_state;
  initial.trimmed_through = recovered_.trimmed_through;
  initial.trimmed_term = recovered_.trimmed_term;
  initial.trimmed_stamp_ns = recovered_.trimmed_stamp_ns;
  initial.trimmed_configuration = recovered_.trimmed_configuration;
  initial.entries = std::move(recovered_.entries);
  initial.snapshot = recovered_.snapshot;
  if (!recovered_.snapshot.empty()) {
    if (absl::Status status = Restore(recovered_.snapshot); !status.ok()) {
      return FailForGood(std::move(status));
    }
    OnConfiguration(recovered_.snapshot.configuration);
    initial.applied = applied_;
  }
  // A restart must not forget a promise to a leader (PITFALLS T12).
  initial.may_vote_from = now_ + options_.election_timeout_max;
  initial.votes_withheld = options_.strict_restart;
  recovered_ = {};
  StartCore(std::move(initial));
  // One that was let in, and then stopped before a configuration named it, says that it is there.
  DoBootstrap(bootstrap_.Timer(now_));
}

void Actor::StartCore(raft::Initial initial) {
  raft::Options options;
  options.self = self_;
  options.seed = seed_;
  options.heartbeat_interval = options_.heartbeat_interval;
  options.election_timeout_min = options_.election_timeout_min;
  options.election_timeout_max = options_.election_timeout_max;
  options.clock_drift_max = options_.clock_drift_max;
  options.lease_reads = options_.lease_reads;
  options.priority = options_.priority;
  // A restart makes the state anew from the snapshot and all that follows it.
  options.trim_without_snapshot = !storage_->durable();
  core_.emplace(std::move(options), std::move(initial), now_);
  core_deadline_ = now_;
  bootstrap_.SetConfiguration(std::make_shared<const raft::Configuration>(core_->configuration()));
  tend_at_ = ask_at_ = now_;
  UpdatePeers();
}

void Actor::TakePeers() {
  std::vector<Envelope> peers;
  peers.swap(peers_in_);
  for (Envelope& envelope : peers) {
    if (!failed_.ok()) return;
    TakeFromPeer(envelope);
  }
}

void Actor::TakeFromPeer(Envelope& envelope) {
  if (Handshake* handshake = std::get_if<Handshake>(&envelope.body)) {
    if (TakeAttestation(envelope, *handshake)) return;
    bootstrap_.SetHoldsCommands(HoldsCommands());
    DoBootstrap(bootstrap_.Received(now_, envelope.cluster, envelope.from, *handshake));
    return;
  }
  // A free member heeds no vote request, append or heartbeat (BOOTSTRAP rule 6); nor does any
  // member heed another cluster's (rule 13).
  if (!core_.has_value() || envelope.cluster != cluster_) return;
  if (core_->lost(envelope.from)) {
    return TellLost(envelope.from);
  }
  if (const auto* message = std::get_if<raft::Message>(&envelope.body);
      message != nullptr && std::holds_alternative<raft::VoteRequest>(*message) && leading() &&
      core_->commit_index() >= core_->term_start_index() && !InConfiguration(envelope.from) &&
      committed_ != nullptr && !bootstrap_.Named(envelope.from) &&
      !IsToBeAdded(envelope.from.name)) {
    TellRemoved(envelope.from, "it was removed from the cluster");
  }
  if (Forward* forward = std::get_if<Forward>(&envelope.body)) {
    TakeForward(envelope.from, *forward);
  } else {
    raft::Message& message = std::get<raft::Message>(envelope.body);
    Witness(envelope.from, message);
    Step(raft::Received{envelope.from, std::move(message)});
  }
}

void Actor::TakeTimers() {
  if (!failed_.ok()) return;
  if (core_.has_value() && now_.Reached(core_deadline_)) Step(raft::Timer{});
  GoOnWithRecall();
  TendMembers();
  if (now_.Reached(bootstrap_deadline_)) DoBootstrap(bootstrap_.Timer(now_));
  SayTrouble();
}

void Actor::TakeRequests() {
  for (std::size_t i = 0; i < kRequestsPerTurn && !requests_in_.empty(); ++i) {
    Arrived arrived = std::move(requests_in_.front());
    requests_in_.pop_front();
    Admit(arrived.asker, arrived.request);
  }
  // Even to wait for a turn is refused past a bound, before it is looked at.
  while (requests_in_.size() > options_.commands_pending_max) {
    const Arrived& last = requests_in_.back();
    Refuse({last.asker, last.request.id}, Refusal::kOverloaded, "too many requests at once");
    requests_in_.pop_back();
  }
}

void Actor::ProposeTurn() {
  // Now that the last command was taken: were the clock read before, a pause in between would stamp
  // renewals too early (PITFALLS T2).
  now_ = loop_.Now();
  if (!leading() || !failed_.ok()) {
    if (!turn_entry_.asked
             .empty()) {  // leadership went in this very turn, before they were proposed
      for (const Asked& asked : std::exchange(turn_entry_, {}).asked) {
        --taken_;
        Refuse(asked, Refusal::kNotLeader, NotLeaderMessage());
      }
      turn_bytes_.clear();
    }
    for (const PendingRead& read : std::exchange(turn_reads_, {})) {
      --taken_;
      Refuse(read.asked, Refusal::kNotLeader, NotLeaderMessage());
    }
    return;
  }
  const std::int64_t stamp = clock_.Advance(now_, core_->committed_stamp_ns());
  if (!turn_entry_.asked.empty()) {
    PendingEntry all = std::exchange(turn_entry_, {});
    std::vector<std::string> bytes = std::exchange(turn_bytes_, {});
    for (std::size_t begin = 0; begin < bytes.size();) {
      std::size_t end = begin;
      std::vector<absl::string_view> views;
      for (std::size_t sum = 0; end < bytes.size() && (end == begin || sum < kEntryBytes); ++end) {
        sum += bytes[end].size();
        views.push_back(bytes[end]);
      }
      PendingEntry entry;
      if (begin == 0 && end == bytes.size()) {
        entry = std::move(all);  // NOLINT(bugprone-use-after-move): the loop ends here
      } else {
        const auto from = static_cast<std::ptrdiff_t>(begin);
        const auto to = static_cast<std::ptrdiff_t>(end);
        entry.asked.assign(all.asked.begin() + from, all.asked.begin() + to);
        entry.commands.assign(std::make_move_iterator(all.commands.begin() + from),
                              std::make_move_iterator(all.commands.begin() + to));
      }
      ProposeEntry(stamp, views, std::move(entry));
      begin = end;
    }
  } else if (machine_.HasDeadline() && now_.Reached(last_entry_at_ + options_.heartbeat_interval) &&
             stamp > core_->last_stamp_ns()) {
    ProposeEntry(stamp, {}, {});  // so that time goes on for whoever waits (PITFALLS T6)
  }
  if (!turn_reads_.empty()) {
    reads_.emplace(++last_read_, std::exchange(turn_reads_, {}));
    Step(raft::Read{last_read_});
  }
}

void Actor::ProposeEntry(std::int64_t stamp_ns, const std::vector<absl::string_view>& bytes,
                         PendingEntry entry) {
  last_entry_at_ = now_;
  raft::Propose propose;
  propose.stamp_ns = stamp_ns;
  if (!bytes.empty())
    propose.payload = std::make_shared<const std::string>(machine::EncodePayload(bytes));
  raft::Output output = core_->Step(now_, std::move(propose));
  if (!output.proposed.has_value()) {
    for (const Asked& asked : entry.asked) {
      --taken_;
      Refuse(asked, Refusal::kNotLeader, NotLeaderMessage());
    }
  } else if (!entry.asked.empty()) {
    entry.index = output.proposed->index;
    entry.term = output.proposed->term;
    pending_.push_back(std::move(entry));
  }
  Execute(std::move(output));
}

// Until nothing follows any more: what became durable, and what was applied.
void Actor::Settle() {
  while (!closed_) {
    if (TakeDurable()) continue;
    // Whom a leader goes on to speak to, it has added again since; others hear that they are
    // removed, or nothing.
    if (removed_ && failed_.ok() && leader_.empty()) {
      return FailForGood(absl::FailedPreconditionError("it was removed from the cluster"));
    }
    if (core_.has_value() && core_->configuration_index() != peers_since_) UpdatePeers();
    if (!core_.has_value() || !failed_.ok() || applied_told_ >= applied_) return;
    applied_told_ = applied_;
    Step(raft::Applied{applied_});
  }
}

// One timer serves all. One that fires too early costs a turn; moving it at each message costs
// more.
void Actor::Arm() {
  Instant due = Instant::Earlier(core_deadline_, bootstrap_deadline_);
  if (leading() && machine_.HasDeadline()) {
    Instant tick = last_entry_at_ + options_.heartbeat_interval;
    if (now_.Reached(tick)) tick = now_ + options_.heartbeat_interval;  // time stands still
    due = Instant::Earlier(due, tick);
  }
  if (ForgottenLearner()) due = Instant::Earlier(due, tend_at_);
  if (recall_.has_value() && failed_.ok()) due = Instant::Earlier(due, recall_->ask_at);
  if (due == Instant::InfiniteFuture()) return;
  const bool sooner = due.boottime_ns() < armed_.boottime_ns() ||
                      due.monotonic_raw_ns() < armed_.monotonic_raw_ns();
  if (!sooner) return;
  armed_ = Instant::Earlier(due, armed_);
  timer_ = loop_.At(armed_, [anchor = anchor_] {
    Enter(anchor, [](Actor& actor) {
      actor.armed_ = Instant::InfiniteFuture();
      actor.Schedule();
    });
  });
}

// ---- First start
// -------------------------------------------------------------------------------------

void Actor::SayTrouble() {
  if (core_.has_value() || !begun_ || !now_.Reached(trouble_due_)) return;
  std::string trouble = bootstrap_.Trouble(now_);
  if (trouble.empty() || trouble == trouble_said_) return;
  Log(trouble);
  trouble_said_ = std::move(trouble);
  trouble_due_ = now_ + kTroublePatience;
}

void Actor::DoBootstrap(Bootstrap::Output output) {
  bootstrap_deadline_ = output.deadline;
  for (const std::string& line : output.log) Log(line);
  for (Bootstrap::Message& message : output.messages) {
    transport_->Send({message.cluster, self_, std::move(message.to), std::move(message.body)});
  }
  for (const Bootstrap::Output::Stranger& stranger : output.strangers) OnStranger(stranger);
  for (const MemberId& who : output.lost) OnLost(who);
  if (!output.told_to_stop.empty()) {
    return FailForGood(absl::FailedPreconditionError(output.told_to_stop));
  }
  if (!output.entering.has_value()) return;
  // It is in when that is durable, and nobody hears of it before (BOOTSTRAP rules 5 and 6).
  Bootstrap::Entering& entering = *output.entering;
  raft::WriteBatch batch;
  batch.hard_state = raft::HardState{1, {}};
  if (entering.first.index != 0) batch.entries = {entering.first};
  batch.entered = entering.cluster;
  storage_->Write(std::move(batch), [anchor = anchor_, &loop = loop_,
                                     entering = std::move(entering)](absl::Status status) mutable {
    loop.Post([anchor = std::move(anchor), entering = std::move(entering),
               status = std::move(status)]() mutable {
      Enter(anchor, [&](Actor& actor) { actor.OnEntered(std::move(entering), std::move(status)); });
    });
  });
}

void Actor::OnEntered(Bootstrap::Entering entering, absl::Status status) {
  if (!status.ok()) return FailForGood(std::move(status));
  now_ = loop_.Now();
  cluster_ = entering.cluster;
  raft::Initial initial;
  initial.hard_state = {1, {}};
  if (entering.first.index != 0) initial.entries = {std::move(entering.first)};
  // In the first election of a new cluster nobody can have promised anything; a cluster that
  // invites may have run for a while.
  if (entering.invited) initial.may_vote_from = now_ + options_.election_timeout_max;
  StartCore(std::move(initial));
  DoBootstrap(bootstrap_.Entered(now_));
  Schedule();
}

}  // namespace tenure::member
