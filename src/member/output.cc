// Doing what the Raft core says: writes, messages once they may leave, entries into the machine.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "machine/codec.h"
#include "member/actor.h"

namespace tenure::member {

void Actor::Step(raft::Event event) { Execute(core_->Step(now_, std::move(event))); }

void Actor::Execute(raft::Output output) {
  if (environment_.observer != nullptr) environment_.observer->OnStep(cluster_, *core_, output);
  core_deadline_ = output.deadline;
  if (Silent() != silent_) BecomeSilent();
  // Before a TimeoutNow leaves, or another's term is granted (section 3.10; PITFALLS T13).
  if (lead_->watched()) PublishLead();
  // Followers write while this disk does (section 10.2.1).
  for (raft::Outgoing& outgoing : output.messages) SendRaft(std::move(outgoing));
  for (raft::GatedOutgoing& gated : output.after_write) gated_.push_back(std::move(gated));
  if (output.write.has_value()) Write(*std::move(output.write));
  while (!gated_.empty() && gated_.front().after <= durable_) {
    SendRaft(std::move(gated_.front().outgoing));
    gated_.pop_front();
  }
  if (output.install.has_value()) Install(*output.install);
  // Before a change of role: the fate of what is committed is known.
  if (!output.committed.empty()) Apply(output.committed);
  RefuseReads(output.reads_refused);
  if (output.role_change.has_value()) OnRoleChange(*output.role_change);
  if (output.transfer_failed) OnTransferEnded(/*leads_on=*/leading());
  ServeReads(output.reads_ready);
}

void Actor::PublishLead() {
  const raft::Core::Lease lease = core_.has_value() ? core_->lease(now_) : raft::Core::Lease();
  if (lease.ns > 0 && !core_->transferring()) {
    lead_->Publish(core_->term(), lease.since, lease.ns);
  } else if (!leading() || core_->transferring() || Silent()) {
    lead_->Withdraw();
  }  // else it leads still, without a lease at this moment, and the clock says so
}

void Actor::WatchLead() {
  lead_->Watch();
  const std::lock_guard<std::recursive_mutex> lock(anchor_->mutex);
  if (closed_) return;
  now_ = loop_.Now();
  PublishLead();
}

void Actor::SendRaft(raft::Outgoing outgoing) {
  if (auto* request = std::get_if<raft::SnapshotRequest>(&outgoing.message)) {
    if (!FillChunk(*request)) return;
  }
  NoteSaid(outgoing.to, outgoing.message);
  transport_->Send({cluster_, self_, std::move(outgoing.to), std::move(outgoing.message)});
}

void Actor::Write(raft::WriteBatch batch) {
  const raft::WriteId id = last_write_ = batch.id;
  if (storage_->durable()) batch.attested = attestations_.TakeChanged();
  storage_->Write(std::move(batch), [anchor = anchor_, id](absl::Status status) {
    // Inline, or on the storage's own thread; nothing if the actor is gone.
    Enter(anchor, [&](Actor& actor) {
      if (actor.loop_.OnLoop()) return actor.OnWritten(id, std::move(status));
      actor.loop_.Post([anchor, id, status = std::move(status)]() mutable {
        Enter(anchor, [&](Actor& a) { a.OnWritten(id, std::move(status)); });
      });
    });
  });
}

void Actor::OnWritten(raft::WriteId id, absl::Status status) {
  if (status.ok()) {
    written_ = std::max(written_, id);
  } else {
    write_status_.Update(
        absl::Status(status.code(), absl::StrCat("its storage failed: ", status.message())));
  }
  Schedule();
}

bool Actor::TakeDurable() {
  if (!failed_.ok() || !core_.has_value()) return false;
  if (!write_status_.ok()) {
    FailForGood(write_status_);
    return false;
  }
  if (written_ <= durable_) return false;
  durable_ = written_;
  Step(raft::WriteDurable{durable_});
  return true;
}

// ---- Applying
// ----------------------------------------------------------------------------------------

void Actor::Apply(std::vector<raft::Entry>& entries) {
  for (const raft::Entry& entry : entries) {
    if (!failed_.ok()) return;
    if (absl::Status status = ApplyEntry(entry); !status.ok()) {
      FailForGood(absl::Status(
          status.code(),
          absl::StrCat("entry ", entry.index, " cannot be applied: ", status.message())));
      return;
    }
    applied_ = entry.index;
  }
}

absl::Status Actor::ApplyEntry(const raft::Entry& entry) {
  if (entry.index == 1) {
    if (entry.kind != raft::EntryKind::kConfiguration || entry.payload == nullptr) {
      return absl::DataLossError(
          "a cluster's first entry must be its configuration and first state");
    }
    absl::StatusOr<machine::Genesis> genesis =
        machine::DecodeGenesis(*entry.payload, newest_version_);
    if (!genesis.ok()) return genesis.status();
    if (absl::Status status = machine_.Start(*genesis, entry.stamp_ns); !status.ok()) return status;
    OnMachineVersion();
    if (const std::string why = HeldBack(); !why.empty()) Log(why);
    OnConfiguration(entry.configuration);
    if (environment_.observer != nullptr)
      environment_.observer->OnApplied(cluster_, entry, {}, {}, machine_);
    return absl::OkStatus();
  }
  if (entry.kind == raft::EntryKind::kConfiguration) {
    OnConfiguration(entry.configuration);
  }
  // Entries of this reign were decoded when they were admitted: the bytes are the same.
  PendingEntry own;
  while (!pending_.empty() && pending_.front().index <= entry.index) {
    own = std::move(pending_.front());
    pending_.pop_front();
    if (own.index == entry.index && own.term == entry.term) break;
    for (const Asked& asked : std::exchange(own, {}).asked) {  // overwritten by another leader's
      --taken_;
      Refuse(asked, Refusal::kNotLeader, NotLeaderMessage());
    }
  }
  if (own.asked.empty() && entry.kind == raft::EntryKind::kCommands && entry.payload_bytes() > 0) {
    absl::StatusOr<std::vector<Command>> commands =
        machine::DecodePayload(*entry.payload, newest_version_);
    if (!commands.ok()) return commands.status();
    own.commands = *std::move(commands);
  }
  held_commands_ |= entry.kind == raft::EntryKind::kCommands && entry.payload_bytes() > 0;
  const machine::Applied applied = machine_.Apply(entry.stamp_ns, own.commands);
  if (entry.kind == raft::EntryKind::kVersion) {
    if (absl::Status status = RaiseVersion(entry); !status.ok()) return status;
  }
  if (environment_.observer != nullptr)
    environment_.observer->OnApplied(cluster_, entry, own.commands, applied, machine_);
  for (std::size_t i = 0; i < own.asked.size(); ++i) {
    --taken_;
    if (Silent()) {
      Refuse(own.asked[i], Refusal::kUncertain, "too few members are left to be sure of it");
      continue;
    }
    Answer(own.asked[i], machine::EncodeReply(applied.replies[i]));
  }
  Deliver(applied.events);
  return absl::OkStatus();
}

// ---- Leading
// -----------------------------------------------------------------------------------------

void Actor::OnRoleChange(const raft::RoleChange& change) {
  const bool leads = change.role == raft::Role::kLeader;
  // A leader that was elected again has forgotten whom it served.
  const bool moved = leader_ != change.leader || leader_term_ != change.term;
  const bool reign_ended = clock_.leading() && (!leads || leader_term_ != change.term);
  leader_ = change.leader;
  leader_term_ = change.term;
  if (reign_ended) {
    if (leader_.empty()) {
      Log(absl::StrCat("leads no more: in term ", change.term,
                       " it hears of too few members, or another one asks to lead"));
    }
    OnNotLeadingAnyMore();
  }
  if (leads && !clock_.leading()) {
    // Time goes on from this member's own log, and from nothing else (PITFALLS T1).
    clock_.Lead(now_, core_->last_stamp_ns());
    last_entry_at_ = now_;
  }
  if (!moved) return;
  if (!leads && !leader_.empty()) OnLeader();
  FailForwards();
  if (!leader_.empty())
    Log(absl::StrCat(leads ? "leads" : absl::StrCat("follows ", leader_.name), " in term ",
                     change.term));
}

void Actor::OnNotLeadingAnyMore() {
  clock_.Resign();
  proposed_version_ = 0;  // whether it stays in the log is not known here
  OnMachineVersion();
  // Whether the next leader keeps these entries is not known here.
  for (const PendingEntry& entry : std::exchange(pending_, {})) {
    for (const Asked& asked : entry.asked) {
      --taken_;
      Refuse(asked, Refusal::kUncertain, "leadership was lost while the command was on its way");
    }
  }
  // Events come from a leader alone, so whoever listened must look for the next one.
  OnTransferEnded(/*leads_on=*/false);
  DropListeners(NotLeaderMessage());
  FlushAskers();
  askers_.RemoveAllForwarded();
}

void Actor::DropListeners(const std::string& message) {
  listeners_.Clear();
  askers_.ForEach([&](AskerRef ref, Asker& asker) {
    if (std::exchange(asker.listened, false)) Refuse({ref, 0}, Refusal::kNotLeader, message);
  });
}

}  // namespace tenure::member
