// Whether the storage that this member started from still holds what it attested, as the others
// remember; and what it remembers of them.
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "member/actor.h"

namespace tenure::member {
namespace {

// Who does not answer is asked each heartbeat at first, so that it is known before this member may
// vote, and seldom later.
constexpr int kAskOften = 20;
constexpr int kAskSeldom = 10;  // heartbeats

}  // namespace

void Actor::Witness(const MemberId& from, const raft::Message& message) {
  if (!InConfiguration(from)) return;
  attestations_.Heard(from, message, self_, [this](Term term, Index index) {
    return leading() && core_->term() == term ? core_->TermAt(index) : 0;
  });
}

// Most of it goes with what is written anyway. What is left must not wait for long: whoever is
// killed with it remembers less.
void Actor::KeepAttestations() {
  if (attestations_.changed() && storage_->durable()) Write({.id = last_write_});
}

void Actor::BeginRecall(const Recovered& recovered) {
  attestations_ = Attestations(recovered.attested);
  recall_.emplace(recovered);
}

void Actor::NoteSaid(const MemberId& to, const raft::Message& message) {
  if (!recall_.has_value()) return;
  recall_->said[to.name].Note(self_, to, message);
  // Asked before it hears this, which may take the place of what it heard before.
  if (!recall_->answered.contains(to.name))
    transport_->Send({cluster_, self_, {to.name, 0}, Handshake(AttestationQuery{})});
}

std::vector<std::string> Actor::NotYetAnswered() const {
  std::vector<std::string> missing;
  const raft::Configuration& now = core_->configuration();
  for (const auto* servers : {&now.voters, &now.voters_outgoing}) {
    for (const raft::Server& server : *servers) {
      if (server.id.name == self_.name) continue;
      // Whoever has that name now is asked: it may have heard more than the incarnation that an old
      // log names. Only one that is free has nothing to remember.
      if (!recall_->answered.contains(server.id.name) && !bootstrap_.IsFree(server.id.name, now_))
        missing.push_back(server.id.name);
    }
  }
  return missing;
}

void Actor::GoOnWithRecall() {
  if (!recall_.has_value() || !now_.Reached(recall_->ask_at)) return;
  const std::vector<std::string> missing = NotYetAnswered();
  if (missing.empty()) {
    recall_.reset();
    if (options_.strict_restart) Log("all others said what they had heard: it may vote");
    return Step(raft::AllowVotes{});
  }
  if (options_.strict_restart && recall_->asked == kAskOften) {
    Log(absl::StrCat("does not vote until ", absl::StrJoin(missing, ", "),
                     " said what it attested: --strict-restart"));
  }
  const bool often = ++recall_->asked <= kAskOften;
  recall_->ask_at = now_ + (often ? 1 : kAskSeldom) * options_.heartbeat_interval;
  for (const std::string& name : missing)
    transport_->Send({cluster_, self_, {name, 0}, Handshake(AttestationQuery{})});
}

bool Actor::TakeAttestation(const Envelope& envelope, const Handshake& handshake) {
  const bool asks = std::holds_alternative<AttestationQuery>(handshake);
  const auto* answer = std::get_if<Attestation>(&handshake);
  if (!asks && answer == nullptr) return false;
  const MemberId& from = envelope.from;
  if (!core_.has_value() || envelope.cluster != cluster_) return true;
  if (asks) {  // whoever belongs to this cluster: an old log does not name all
    transport_->Send({cluster_, self_, from, Handshake(Attestation{attestations_.Of(from)})});
  } else {
    OnAttestation(from, *answer);
  }
  return true;
}

void Actor::OnAttestation(const MemberId& from, const Attestation& attestation) {
  if (!recall_.has_value() || attestation.what.who != self_) return;
  const std::string missing = recall_->found.Missing(attestation.what, recall_->said[from.name]);
  if (!missing.empty()) {
    return ForgetAll(absl::StrCat("its storage went back: ", from.name, " heard it attest ",
                                  missing,
                                  ". It starts anew, without memory, and is replaced: "
                                  "never restore an older copy of a member's data"));
  }
  recall_->answered.insert(from.name);
  if (NotYetAnswered().empty()) recall_->ask_at = now_;
}

void Actor::ForgetAll(absl::string_view why) {
  Retire(absl::AbortedError(why));
  raft::WriteBatch batch;
  batch.id = last_write_;
  batch.forget = true;
  storage_->Write(std::move(batch), [anchor = anchor_](absl::Status status) {
    Enter(anchor, [&](Actor& actor) {
      actor.loop_.Post([anchor, status = std::move(status)]() mutable {
        Enter(anchor, [&](Actor& a) {
          if (!status.ok()) a.failed_ = std::move(status);  // nothing may start anew on that
          a.TellStopped();
        });
      });
    });
  });
}

}  // namespace tenure::member
