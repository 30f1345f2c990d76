// Elections: locks with priorities, a value that may change, and a successor who may be named.
#include "absl/strings/str_cat.h"
#include "machine/locks.h"

namespace tenure::machine {

void Locks::Run(Session& session, Sequence sequence, const Campaign& campaign, Reply& reply) {
  if (campaign.priority > kPriorityMax) {
    return Refuse(reply, ReplyCode::kInvalid,
                  absl::StrCat("a priority of ", campaign.priority, " is above ", kPriorityMax));
  }
  Acquire(session, sequence,
          {ObjectKind::kElection, campaign.name, campaign.wait_ns, campaign.value,
           campaign.priority, nullptr},
          reply);
}

void Locks::Run(Session& session, const Proclaim& proclaim, Reply& reply) {
  if (proclaim.value.size() > core_->limits.value_bytes_max) {
    return Refuse(reply, ReplyCode::kInvalid,
                  absl::StrCat("the leader's value has ", proclaim.value.size(),
                               " bytes; the limit is ", core_->limits.value_bytes_max));
  }
  const auto place =
      FindHeld(session, {ObjectKind::kElection, proclaim.name}, proclaim.term, reply);
  if (place == locks_.end()) return;
  core_->Touch(**place);
  (*place)->value = proclaim.value;
  core_->hash.AddBytes(proclaim.value);
  Record(**place, core_->Raise(), ChangeKind::kValue);
  reply.result = Proclaimed{};
}

void Locks::Run(Session& session, const Resign& resign, Reply& reply) {
  GiveBack(session, {ObjectKind::kElection, resign.name}, resign.term, reply);
}

void Locks::Run(Session& session, const tenure::HandOver& hand_over, Reply& reply) {
  const auto place =
      FindHeld(session, {ObjectKind::kElection, hand_over.name}, hand_over.term, reply);
  if (place == locks_.end()) return;
  Lock& election = **place;
  const Session* candidate = sessions_->Find(hand_over.candidate);
  const auto absent = [&] {
    Refuse(reply, ReplyCode::kAbsent,
           absl::StrCat("session ", hand_over.candidate, " is no candidate of the election '",
                        hand_over.name, "' by its campaign ", hand_over.campaign));
  };
  if (candidate == nullptr || candidate->dead) return absent();
  const auto claim = candidate->claims.find(hand_over.campaign);
  if (claim == candidate->claims.end() || claim->second.lock != &election ||
      claim->second.wait == nullptr || claim->second.wait->observes) {
    return absent();
  }
  Wait* const chosen = claim->second.wait;
  Vacate(election, ChangeKind::kHandedOver);
  Grant(chosen);
  reply.result = LockReleased{};
}

}  // namespace tenure::machine
