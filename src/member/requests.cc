// Admitting what clients ask, and answering it.
#include <cstddef>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "machine/codec.h"
#include "member/actor.h"

namespace tenure::member {
namespace {

// The longest command that a member takes. An entry with one must fit into a peer's frame (4 MiB):
// what no follower accepts would be sent to it for ever, and nothing behind it would be committed.
constexpr std::size_t kCommandBytesMax = 3 << 20;

// One asker's long replies of one turn: thousands who wait for the same outcome would else overflow
// what leads to their process. What has no place is asked for again. Short ones always have one.
constexpr std::size_t kLongRepliesBytesMax = 2 << 20;

}  // namespace

void Actor::Admit(AskerRef ref, ClientRequest& request) {
  Asker* const asker = askers_.Find(ref);
  if (asker == nullptr) return;
  if (request.kind == RequestKind::kStatus) {
    return Answer({ref, request.id}, machine::EncodeReply(StatusReply()));
  }
  if (request.command.size() > kCommandBytesMax) {
    return Refuse({ref, request.id}, Refusal::kInvalid,
                  absl::StrCat("a command of ", request.command.size(), " bytes; the limit is ",
                               kCommandBytesMax));
  }
  if (!leading() || !failed_.ok()) {
    if (MayForward(*asker)) return ForwardLater(ref, *asker, std::move(request));
    if (request.kind == RequestKind::kUnlisten) return;
    return Refuse({ref, request.id}, Refusal::kNotLeader, NotLeaderMessage());
  }
  switch (request.kind) {
    case RequestKind::kWrite:
      return AdmitWrite(ref, request);
    case RequestKind::kRead:
    case RequestKind::kListen:
      return AdmitRead(ref, request);
    case RequestKind::kUnlisten:
      return listeners_.Remove(request.session, ref);
    case RequestKind::kStatus:
      break;
  }
  Refuse(
      {ref, request.id}, Refusal::kInvalid,
      absl::StrCat("request kind ", static_cast<int>(request.kind), " is unknown to this member"));
}

void Actor::AdmitWrite(AskerRef ref, ClientRequest& request) {
  const Asked asked{ref, request.id};
  std::string why;
  if (!HasRoom(/*reserved=*/true, &why)) return Refuse(asked, Refusal::kOverloaded, std::move(why));
  absl::StatusOr<Command> command = machine::DecodeCommand(request.command, newest_version_);
  if (!command.ok()) {
    return Refuse(asked,
                  absl::IsUnimplemented(command.status()) ? Refusal::kVersion : Refusal::kInvalid,
                  std::string(command.status().message()));
  }
  if (!IsWrite(command->operation))
    return Refuse(asked, Refusal::kInvalid, "a read was sent as a write");
  if (Silent()) return Refuse(asked, Refusal::kOverloaded, "a lost member is being replaced");
  if (command->machine_version > machine_version_ && machine_version_ != 0) {
    return Refuse(asked, Refusal::kVersion,
                  absl::StrCat("needs machine version ", command->machine_version, "; active is ",
                               machine_version_));
  }
  // What the command is decides, not what its sender says of it.
  if (!HasRoom(IsReserved(command->operation), &why)) {
    return Refuse(asked, Refusal::kOverloaded, std::move(why));
  }
  ++taken_;
  turn_bytes_.push_back(std::move(request.command));
  turn_entry_.asked.push_back(asked);
  turn_entry_.commands.push_back(*std::move(command));
}

void Actor::AdmitRead(AskerRef ref, ClientRequest& request) {
  const Asked asked{ref, request.id};
  if (taken_ >= options_.commands_pending_max - options_.commands_pending_max / 10) {
    return Refuse(asked, Refusal::kOverloaded, "too many commands under way");
  }
  PendingRead read;
  read.asked = asked;
  if (request.kind == RequestKind::kListen) {
    if (request.session == 0) return Refuse(asked, Refusal::kInvalid, "session 0 is none");
    read.listen = true;
    read.session = request.session;
    read.after = request.after;
  } else {
    absl::StatusOr<Command> command = machine::DecodeCommand(request.command, newest_version_);
    if (!command.ok()) {
      return Refuse(asked,
                    absl::IsUnimplemented(command.status()) ? Refusal::kVersion : Refusal::kInvalid,
                    std::string(command.status().message()));
    }
    if (IsWrite(command->operation))
      return Refuse(asked, Refusal::kInvalid, "a write was sent as a read");
    if (std::holds_alternative<GetStatus>(command->operation)) {
      return Answer(asked, machine::EncodeReply(StatusReply()));
    }
    if (ChangeMembers* change = std::get_if<ChangeMembers>(&command->operation)) {
      return AdmitChange(ref, request.id, std::move(*change));
    }
    read.operation = std::move(command->operation);
  }
  if (Silent()) return Refuse(asked, Refusal::kOverloaded, "a lost member is being replaced");
  ++taken_;
  turn_reads_.push_back(std::move(read));
}

bool Actor::HasRoom(bool reserved, std::string* why) const {
  const auto room = [reserved](std::size_t used, std::size_t max) {
    return used < (reserved ? max : max - max / 10);
  };
  if (!room(taken_, options_.commands_pending_max)) {
    *why = "too many commands under way";
    return false;
  }
  if (!room(core_->log_bytes(), options_.log_bytes_max)) {
    *why = "the log is full: it grows faster than snapshots are taken and sent";
    return false;
  }
  return true;
}

// ---- Reads
// -------------------------------------------------------------------------------------------

void Actor::ServeReads(absl::Span<const raft::ReadReady> ready) {
  for (const raft::ReadReady& one : ready) {
    auto group = reads_.extract(one.id);  // all that is committed was applied before
    if (group.empty()) continue;
    for (PendingRead& read : group.mapped()) ServeRead(read);
  }
}

void Actor::ServeRead(PendingRead& read) {
  --taken_;
  if (Silent()) return Refuse(read.asked, Refusal::kOverloaded, "a lost member is being replaced");
  if (!read.listen) return Answer(read.asked, machine::EncodeReply(machine_.Query(read.operation)));
  Asker* const asker = askers_.Find(read.asked.asker);
  if (asker == nullptr) return;
  // Leadership was made sure of after it was asked, so what is told here is not a deposed member's
  // guess (PITFALLS T8). Later events follow as they are applied: none falls in between.
  asker->listened = true;
  listeners_.Add(read.session, read.asked.asker);
  Answer(read.asked, "");
  Deliver(machine_.EventsAfter(read.session, read.after), read.asked.asker);
}

void Actor::RefuseReads(const std::vector<raft::ReadId>& ids) {
  for (const raft::ReadId id : ids) {
    auto group = reads_.extract(id);
    if (group.empty()) continue;
    for (const PendingRead& read : group.mapped()) {
      --taken_;
      Refuse(read.asked, Refusal::kNotLeader, NotLeaderMessage());
    }
  }
}

// ---- Answers and events
// ------------------------------------------------------------------------------

void Actor::Answer(const Asked& asked, std::string reply) {
  Asker* const asker = askers_.Find(asked.asker);
  if (asker == nullptr) return;
  if (reply.size() >= kLongReplyBytes) {
    if (asker->out_bytes != 0 && asker->out_bytes + reply.size() > kLongRepliesBytesMax) {
      return Refuse(asked, Refusal::kUncertain, "too many long answers at once");
    }
    asker->out_bytes += reply.size();
  }
  ClientReply& answer = askers_.Out(asked.asker, *asker).replies.emplace_back();
  answer.id = asked.id;
  answer.reply = std::move(reply);
}

void Actor::Refuse(const Asked& asked, Refusal refusal, std::string message) {
  Asker* const asker = askers_.Find(asked.asker);
  if (asker == nullptr) return;
  ClientReply& answer = askers_.Out(asked.asker, *asker).replies.emplace_back();
  answer.id = asked.id;
  answer.refusal = refusal;
  answer.message = std::move(message);
  if (refusal == Refusal::kNotLeader) answer.leader_address = LeaderAddress();
}

void Actor::Deliver(const std::vector<SessionEvent>& events) {
  if (!clock_.leading() || Silent() || listeners_.empty()) return;
  for (const SessionEvent& event : events) {
    const Listeners::Few* few = listeners_.Of(event.session);
    if (few == nullptr) continue;
    const std::string bytes = machine::EncodeEvent(event);
    Listeners::Few gone;
    for (const AskerRef ref : *few) {
      Asker* const asker = askers_.Find(ref);
      if (asker == nullptr) {
        gone.push_back(ref);
      } else {
        askers_.Out(ref, *asker).events.push_back(bytes);
      }
    }
    for (const AskerRef ref : gone) listeners_.Remove(event.session, ref);
    if (std::holds_alternative<SessionEndedEvent>(event.body)) listeners_.Forget(event.session);
  }
}

// What a new listener missed.
void Actor::Deliver(const std::vector<SessionEvent>& events, AskerRef ref) {
  Asker* const asker = askers_.Find(ref);
  if (asker == nullptr) return;
  for (const SessionEvent& event : events) {
    askers_.Out(ref, *asker).events.push_back(machine::EncodeEvent(event));
    if (std::holds_alternative<SessionEndedEvent>(event.body))
      listeners_.Remove(event.session, ref);
  }
}

void Actor::FlushAskers() {
  for (const AskerRef ref : askers_.TakeDirty()) {
    Asker* const asker = askers_.Find(ref);
    if (asker == nullptr) continue;
    asker->dirty = false;
    if (!asker->to_forward.empty()) FlushForwards(*asker);
    if (asker->out.empty()) continue;
    ServerMessage message = std::exchange(asker->out, {});
    asker->out_bytes = 0;
    switch (asker->kind) {
      case Asker::Kind::kConnection:
        transport_->SendToClient(asker->id, std::move(message));
        break;
      case Asker::Kind::kPort:
        asker->sink->OnMessage(std::move(message));  // which may close it, or stop the member
        if (closed_) return;
        break;
      case Asker::Kind::kForwarded:
        SendInParts(*asker, std::move(message));
        break;
      case Asker::Kind::kNone:
        break;
    }
  }
}

}  // namespace tenure::member
