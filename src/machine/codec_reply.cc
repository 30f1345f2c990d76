// Replies and events. What a client does not know in them it may skip: it was told the rest.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <variant>

#include "google/protobuf/arena.h"
#include "machine/codec.h"
#include "machine/codec_descriptions.h"
#include "tenure/v1/command.pb.h"

namespace tenure::machine {
namespace {

// ---- Out
// -----------------------------------------------------------------------------------------

struct ResultWriter {
  v1::Reply& out;

  void operator()(std::monostate) const {}
  void operator()(const SessionOpened& in) const {
    out.mutable_session_opened()->set_session(in.session);
    out.mutable_session_opened()->set_ttl_ns(in.ttl_ns);
  }
  void operator()(const SessionRenewed& in) const {
    out.mutable_session_renewed()->set_attempt(in.attempt);
    out.mutable_session_renewed()->set_ttl_ns(in.ttl_ns);
  }
  void operator()(const SessionClosed&) const { out.mutable_session_closed(); }
  void operator()(const LockGranted& in) const {
    v1::LockGranted* granted = out.mutable_lock_granted();
    granted->set_token(in.token);
    granted->set_fence(in.fence);
    granted->set_seat(in.seat);
    if (in.holds != 1) granted->set_holds(in.holds);
    granted->mutable_fences()->Add(in.fences.begin(), in.fences.end());
  }
  void operator()(const LockBroken&) const { out.mutable_lock_broken(); }
  void operator()(const Deadlock& in) const {
    v1::Deadlock* deadlock = out.mutable_deadlock();
    for (const WaitingOwner& waiting : in.cycle) {
      v1::WaitingOwner* added = deadlock->add_cycle();
      added->set_session(waiting.session);
      added->set_owner(waiting.owner);
      added->set_lock(waiting.lock);
    }
  }
  void operator()(const LockQueued& in) const {
    v1::LockQueued* queued = out.mutable_lock_queued();
    queued->set_ahead(in.ahead);
    Write(in.holder, queued->mutable_holder());
    queued->set_held_back_ns(in.held_back_ns);
    queued->set_name(in.name);
  }
  void operator()(const LockHeld& in) const {
    v1::LockHeld* held = out.mutable_lock_held();
    Write(in.holder, held->mutable_holder());
    held->set_waiting(in.waiting);
    held->set_held_back_ns(in.held_back_ns);
    held->set_name(in.name);
  }
  void operator()(const LockReleased& in) const {
    out.mutable_lock_released()->set_holds(in.holds);
  }
  void operator()(const WaitCancelled&) const { out.mutable_wait_cancelled(); }
  void operator()(const Proclaimed&) const { out.mutable_proclaimed(); }
  void operator()(const Observing&) const { out.mutable_observing(); }
  void operator()(const Observed& in) const { Write(in, out.mutable_observed()); }
  void operator()(const AttemptStarted& in) const {
    v1::AttemptStarted* started = out.mutable_attempt_started();
    started->set_token(in.token);
    started->set_point(in.point);
    started->set_attempts(in.attempts);
  }
  void operator()(const AttemptInProgress& in) const {
    v1::AttemptInProgress* progress = out.mutable_attempt_in_progress();
    Write(in.holder, progress->mutable_holder());
    progress->set_ends_in_ns(in.ends_in_ns);
    progress->set_ahead(in.ahead);
    progress->set_held_back_ns(in.held_back_ns);
  }
  void operator()(const OperationDone& in) const {
    v1::OperationDone* done = out.mutable_operation_done();
    done->set_failed(in.failed);
    done->set_response(in.response);
    done->set_expires_in_ns(in.expires_in_ns);
  }
  void operator()(const AttemptExtended& in) const {
    out.mutable_attempt_extended()->set_ends_in_ns(in.ends_in_ns);
  }
  void operator()(const AttemptFinished&) const { out.mutable_attempt_finished(); }
  void operator()(const OperationForgotten&) const { out.mutable_operation_forgotten(); }
  void operator()(const OperationDescription& in) const {
    Write(in, out.mutable_operation_description());
  }
  void operator()(const OperationList& in) const { Write(in, out.mutable_operation_list()); }
  void operator()(const ElectionDescription& in) const {
    Write(in, out.mutable_election_description());
  }
  void operator()(const ElectionList& in) const { Write(in, out.mutable_election_list()); }
  void operator()(const LockDescription& in) const { Write(in, out.mutable_lock_description()); }
  void operator()(const LockList& in) const { Write(in, out.mutable_lock_list()); }
  void operator()(const SessionList& in) const { Write(in, out.mutable_session_list()); }
  void operator()(const ClusterStatus& in) const { Write(in, out.mutable_cluster_status()); }
};

struct BodyWriter {
  v1::SessionEvent& out;

  void operator()(const LockGrantedEvent& in) const {
    v1::LockGrantedEvent* granted = out.mutable_lock_granted();
    granted->set_acquire(in.acquire);
    granted->set_name(in.name);
    granted->set_token(in.token);
    granted->set_fence(in.fence);
    granted->set_seat(in.seat);
    granted->mutable_fences()->Add(in.fences.begin(), in.fences.end());
  }
  void operator()(const WaitEndedEvent& in) const {
    v1::WaitEndedEvent* ended = out.mutable_wait_ended();
    ended->set_acquire(in.acquire);
    ended->set_name(in.name);
    ended->set_reason(static_cast<std::uint32_t>(in.reason));
  }
  void operator()(const LockLostEvent& in) const {
    v1::LockLostEvent* lost = out.mutable_lock_lost();
    lost->set_acquire(in.acquire);
    lost->set_name(in.name);
    lost->set_token(in.token);
    lost->set_by(in.by);
  }
  void operator()(const ChangedEvent& in) const {
    v1::ChangedEvent* changed = out.mutable_changed();
    changed->set_observe(in.observe);
    changed->set_name(in.name);
    changed->set_gap(in.gap);
    WriteChange(in.change, changed->mutable_change());
  }
  void operator()(const AttemptStartedEvent& in) const {
    v1::AttemptStartedEvent* started = out.mutable_attempt_started();
    started->set_begin(in.begin);
    started->set_scope(in.scope);
    started->set_key(in.key);
    started->set_token(in.token);
    started->set_point(in.point);
    started->set_attempts(in.attempts);
  }
  void operator()(const OperationEndedEvent& in) const {
    v1::OperationEndedEvent* ended = out.mutable_operation_ended();
    ended->set_begin(in.begin);
    ended->set_scope(in.scope);
    ended->set_key(in.key);
  }
  void operator()(const SessionEndedEvent& in) const {
    out.mutable_session_ended()->set_reason(static_cast<std::uint32_t>(in.reason));
  }
};

// ---- In
// ------------------------------------------------------------------------------------------

// False if there is no result, or one that this version does not know.
bool ReadResult(const v1::Reply& in, Reply& out) {
  switch (in.result_case()) {
    case v1::Reply::kSessionOpened:
      out.result = SessionOpened{in.session_opened().session(), in.session_opened().ttl_ns()};
      return true;
    case v1::Reply::kSessionRenewed:
      out.result = SessionRenewed{in.session_renewed().attempt(), in.session_renewed().ttl_ns()};
      return true;
    case v1::Reply::kSessionClosed:
      out.result = SessionClosed{};
      return true;
    case v1::Reply::kLockGranted:
      out.result =
          LockGranted{in.lock_granted().token(),
                      in.lock_granted().fence(),
                      in.lock_granted().seat(),
                      std::max<std::uint64_t>(1, in.lock_granted().holds()),
                      {in.lock_granted().fences().begin(), in.lock_granted().fences().end()}};
      return true;
    case v1::Reply::kLockQueued:
      out.result = LockQueued{in.lock_queued().ahead(), Read(in.lock_queued().holder()),
                              in.lock_queued().held_back_ns(), in.lock_queued().name()};
      return true;
    case v1::Reply::kLockHeld:
      out.result = LockHeld{Read(in.lock_held().holder()), in.lock_held().waiting(),
                            in.lock_held().held_back_ns(), in.lock_held().name()};
      return true;
    case v1::Reply::kLockReleased:
      out.result = LockReleased{in.lock_released().holds()};
      return true;
    case v1::Reply::kWaitCancelled:
      out.result = WaitCancelled{};
      return true;
    case v1::Reply::kLockBroken:
      out.result = LockBroken{};
      return true;
    case v1::Reply::kDeadlock: {
      Deadlock& deadlock = out.result.emplace<Deadlock>();
      for (const v1::WaitingOwner& waiting : in.deadlock().cycle()) {
        deadlock.cycle.push_back({waiting.session(), waiting.owner(), waiting.lock()});
      }
      return true;
    }
    case v1::Reply::kProclaimed:
      out.result = Proclaimed{};
      return true;
    case v1::Reply::kObserving:
      out.result = Observing{};
      return true;
    case v1::Reply::kObserved:
      out.result = Read(in.observed());
      return true;
    case v1::Reply::kElectionDescription:
      out.result = Read(in.election_description());
      return true;
    case v1::Reply::kElectionList:
      out.result = Read(in.election_list());
      return true;
    case v1::Reply::kAttemptStarted:
      out.result = AttemptStarted{in.attempt_started().token(), in.attempt_started().point(),
                                  in.attempt_started().attempts()};
      return true;
    case v1::Reply::kAttemptInProgress:
      out.result = AttemptInProgress{
          Read(in.attempt_in_progress().holder()), in.attempt_in_progress().ends_in_ns(),
          in.attempt_in_progress().ahead(), in.attempt_in_progress().held_back_ns()};
      return true;
    case v1::Reply::kOperationDone:
      out.result = OperationDone{in.operation_done().failed(), in.operation_done().response(),
                                 in.operation_done().expires_in_ns()};
      return true;
    case v1::Reply::kAttemptExtended:
      out.result = AttemptExtended{in.attempt_extended().ends_in_ns()};
      return true;
    case v1::Reply::kAttemptFinished:
      out.result = AttemptFinished{};
      return true;
    case v1::Reply::kOperationForgotten:
      out.result = OperationForgotten{};
      return true;
    case v1::Reply::kOperationDescription:
      out.result = Read(in.operation_description());
      return true;
    case v1::Reply::kOperationList:
      out.result = Read(in.operation_list());
      return true;
    case v1::Reply::kLockDescription:
      out.result = Read(in.lock_description());
      return true;
    case v1::Reply::kLockList:
      out.result = Read(in.lock_list());
      return true;
    case v1::Reply::kSessionList:
      out.result = Read(in.session_list());
      return true;
    case v1::Reply::kClusterStatus:
      out.result = Read(in.cluster_status());
      return true;
    case v1::Reply::RESULT_NOT_SET:
      return false;
  }
  return false;
}

bool FitsInt(absl::string_view bytes) {
  return bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max());
}

}  // namespace

std::string EncodeReply(const Reply& reply) {
  alignas(8) char block[1024];
  google::protobuf::Arena arena(block, sizeof(block));
  auto* out = google::protobuf::Arena::CreateMessage<v1::Reply>(&arena);
  out->set_code(static_cast<std::uint32_t>(reply.code));
  out->set_message(reply.message);
  out->set_revision(reply.revision);
  std::visit(ResultWriter{*out}, reply.result);
  return out->SerializeAsString();
}

absl::StatusOr<Reply> DecodeReply(absl::string_view bytes) {
  alignas(8) char block[1024];
  google::protobuf::Arena arena(block, sizeof(block));
  auto* in = google::protobuf::Arena::CreateMessage<v1::Reply>(&arena);
  if (!FitsInt(bytes) || !in->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("these bytes are no reply");
  }
  if (in->code() > std::numeric_limits<std::underlying_type_t<ReplyCode>>::max()) {
    return absl::InvalidArgumentError("the reply's code is out of range");
  }
  absl::StatusOr<Reply> reply(absl::in_place);
  reply->code = static_cast<ReplyCode>(in->code());
  reply->message = in->message();
  reply->revision = in->revision();
  if (!ReadResult(*in, *reply) && reply->code == ReplyCode::kOk) {
    return absl::InvalidArgumentError("the reply has no result that this version knows");
  }
  return reply;
}

std::string EncodeEvent(const SessionEvent& event) {
  v1::SessionEvent out;
  out.set_session(event.session);
  out.set_revision(event.revision);
  std::visit(BodyWriter{out}, event.body);
  return out.SerializeAsString();
}

absl::StatusOr<SessionEvent> DecodeEvent(absl::string_view bytes) {
  v1::SessionEvent in;
  if (!FitsInt(bytes) || !in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("these bytes are no event");
  }
  SessionEvent event;
  event.session = in.session();
  event.revision = in.revision();
  switch (in.body_case()) {
    case v1::SessionEvent::kLockGranted:
      event.body =
          LockGrantedEvent{in.lock_granted().acquire(),
                           in.lock_granted().name(),
                           in.lock_granted().token(),
                           in.lock_granted().fence(),
                           in.lock_granted().seat(),
                           {in.lock_granted().fences().begin(), in.lock_granted().fences().end()}};
      return event;
    case v1::SessionEvent::kLockLost:
      event.body = LockLostEvent{in.lock_lost().acquire(), in.lock_lost().name(),
                                 in.lock_lost().token(), in.lock_lost().by()};
      return event;
    case v1::SessionEvent::kWaitEnded:
      event.body = WaitEndedEvent{in.wait_ended().acquire(), in.wait_ended().name(),
                                  static_cast<WaitEnd>(in.wait_ended().reason())};
      return event;
    case v1::SessionEvent::kChanged:
      event.body = ChangedEvent{in.changed().observe(), in.changed().name(), in.changed().gap(),
                                ReadChange(in.changed().change())};
      return event;
    case v1::SessionEvent::kAttemptStarted:
      event.body =
          AttemptStartedEvent{in.attempt_started().begin(), in.attempt_started().scope(),
                              in.attempt_started().key(),   in.attempt_started().token(),
                              in.attempt_started().point(), in.attempt_started().attempts()};
      return event;
    case v1::SessionEvent::kOperationEnded:
      event.body = OperationEndedEvent{in.operation_ended().begin(), in.operation_ended().scope(),
                                       in.operation_ended().key()};
      return event;
    case v1::SessionEvent::kSessionEnded:
      event.body = SessionEndedEvent{static_cast<SessionEnd>(in.session_ended().reason())};
      return event;
    case v1::SessionEvent::BODY_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("the event has no body that this version knows");
}

}  // namespace tenure::machine
