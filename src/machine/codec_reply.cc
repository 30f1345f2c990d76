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
#include "tenure/v1/command.pb.h"

namespace tenure::machine {
namespace {

// ---- Out
// -----------------------------------------------------------------------------------------

void Write(const LockHolder& in, v1::LockHolder* out) {
  out->set_session(in.session);
  out->set_token(in.token);
  out->set_label(in.label);
  out->set_value(in.value);
  out->set_held_ns(in.held_ns);
}

void Write(const LockDescription& in, v1::LockDescription* out) {
  out->set_name(in.name);
  Write(in.holder, out->mutable_holder());
  out->set_waiting(in.waiting);
  for (const LockWaiter& waiter : in.waiters) {
    v1::LockWaiter* added = out->add_waiters();
    added->set_session(waiter.session);
    added->set_label(waiter.label);
    added->set_waited_ns(waiter.waited_ns);
  }
  out->set_shares(in.shares);
  for (const LockHolder& sharer : in.sharers) Write(sharer, out->add_sharers());
  out->set_permits(in.permits);
  out->set_total(in.total);
  out->set_holds(in.holds);
}

void Write(const ElectionDescription& in, v1::ElectionDescription* out) {
  out->set_name(in.name);
  Write(in.leader, out->mutable_leader());
  out->set_waiting(in.waiting);
  for (const Candidate& candidate : in.candidates) {
    v1::Candidate* added = out->add_candidates();
    added->set_session(candidate.session);
    added->set_campaign(candidate.campaign);
    added->set_label(candidate.label);
    added->set_value(candidate.value);
    added->set_priority(candidate.priority);
    added->set_waited_ns(candidate.waited_ns);
  }
  for (const Change& change : in.changes) WriteChange(change, out->add_changes());
  out->set_gap(in.gap);
}

void Write(const OperationDescription& in, v1::OperationDescription* out) {
  out->set_scope(in.scope);
  out->set_key(in.key);
  out->set_state(static_cast<std::uint32_t>(in.state));
  Write(in.holder, out->mutable_holder());
  out->set_attempts(in.attempts);
  out->set_ends_in_ns(in.ends_in_ns);
  out->set_expires_in_ns(in.expires_in_ns);
  out->set_waiting(in.waiting);
  out->set_fingerprint(in.fingerprint);
  out->set_point(in.point);
  out->set_response(in.response);
  out->set_lock(in.lock);
}

void Write(const SessionDescription& in, v1::SessionDescription* out) {
  out->set_session(in.session);
  out->set_label(in.label);
  out->set_ttl_ns(in.ttl_ns);
  out->set_expires_in_ns(in.expires_in_ns);
  out->set_locks(in.locks);
  out->set_waits(in.waits);
}

void Write(const MemberStatus& in, v1::MemberStatus* out) {
  out->set_name(in.id.name);
  out->set_incarnation(in.id.incarnation);
  out->set_address(in.address);
  out->set_role(in.role);
  out->set_reachable(in.reachable);
  out->set_applied(in.applied);
}

void Write(const ClusterStatus& in, v1::ClusterStatus* out) {
  out->set_cluster_high(in.cluster.high);
  out->set_cluster_low(in.cluster.low);
  out->set_answered_by_name(in.answered_by.name);
  out->set_answered_by_incarnation(in.answered_by.incarnation);
  out->set_leader_name(in.leader.name);
  out->set_leader_incarnation(in.leader.incarnation);
  out->set_term(in.term);
  out->set_revision(in.revision);
  out->set_commit(in.commit);
  out->set_applied(in.applied);
  out->set_log_bytes(in.log_bytes);
  out->set_cluster_time_ns(in.cluster_time_ns);
  out->set_held_back_ns(in.held_back_ns);
  out->set_sessions(in.sessions);
  out->set_locks(in.locks);
  out->set_state_hash(in.state_hash);
  out->set_may_stop_one(in.may_stop_one);
  out->set_message(in.message);
  for (const MemberStatus& member : in.members) Write(member, out->add_members());
}

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
  void operator()(const Observed& in) const {
    v1::Observed* observed = out.mutable_observed();
    Write(in.holder, observed->mutable_holder());
    for (const Change& change : in.changes) WriteChange(change, observed->add_changes());
    observed->set_gap(in.gap);
  }
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
  void operator()(const OperationList& in) const {
    v1::OperationList* list = out.mutable_operation_list();
    for (const OperationDescription& one : in.operations) Write(one, list->add_operations());
    list->set_more(in.more);
  }
  void operator()(const ElectionDescription& in) const {
    Write(in, out.mutable_election_description());
  }
  void operator()(const ElectionList& in) const {
    v1::ElectionList* list = out.mutable_election_list();
    for (const ElectionDescription& election : in.elections) Write(election, list->add_elections());
    list->set_more(in.more);
  }
  void operator()(const LockDescription& in) const { Write(in, out.mutable_lock_description()); }
  void operator()(const LockList& in) const {
    v1::LockList* list = out.mutable_lock_list();
    for (const LockDescription& lock : in.locks) Write(lock, list->add_locks());
    list->set_more(in.more);
  }
  void operator()(const SessionList& in) const {
    v1::SessionList* list = out.mutable_session_list();
    for (const SessionDescription& session : in.sessions) Write(session, list->add_sessions());
    list->set_more(in.more);
  }
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

LockHolder Read(const v1::LockHolder& in) {
  return {in.session(), in.token(), in.label(), in.value(), in.held_ns()};
}

LockDescription Read(const v1::LockDescription& in) {
  LockDescription out;
  out.name = in.name();
  out.holder = Read(in.holder());
  out.waiting = in.waiting();
  out.shares = in.shares();
  for (const v1::LockHolder& sharer : in.sharers()) out.sharers.push_back(Read(sharer));
  out.permits = in.permits();
  out.total = in.total();
  out.holds = in.holds();
  for (const v1::LockWaiter& waiter : in.waiters()) {
    out.waiters.push_back({waiter.session(), waiter.label(), waiter.waited_ns()});
  }
  return out;
}

LockList Read(const v1::LockList& in) {
  LockList out;
  for (const v1::LockDescription& lock : in.locks()) out.locks.push_back(Read(lock));
  out.more = in.more();
  return out;
}

Observed Read(const v1::Observed& in) {
  Observed out{Read(in.holder()), {}, in.gap()};
  for (const v1::Change& change : in.changes()) out.changes.push_back(ReadChange(change));
  return out;
}

ElectionDescription Read(const v1::ElectionDescription& in) {
  ElectionDescription out;
  out.name = in.name();
  out.leader = Read(in.leader());
  out.waiting = in.waiting();
  for (const v1::Candidate& candidate : in.candidates()) {
    out.candidates.push_back({candidate.session(), candidate.campaign(), candidate.label(),
                              candidate.value(), candidate.priority(), candidate.waited_ns()});
  }
  for (const v1::Change& change : in.changes()) out.changes.push_back(ReadChange(change));
  out.gap = in.gap();
  return out;
}

ElectionList Read(const v1::ElectionList& in) {
  ElectionList out;
  for (const v1::ElectionDescription& election : in.elections()) {
    out.elections.push_back(Read(election));
  }
  out.more = in.more();
  return out;
}

OperationDescription Read(const v1::OperationDescription& in) {
  return {in.scope(),         in.key(),      static_cast<OperationState>(in.state()),
          Read(in.holder()),  in.attempts(), in.ends_in_ns(),
          in.expires_in_ns(), in.waiting(),  in.fingerprint(),
          in.point(),         in.response(), in.lock()};
}

OperationList Read(const v1::OperationList& in) {
  OperationList out;
  for (const v1::OperationDescription& one : in.operations()) out.operations.push_back(Read(one));
  out.more = in.more();
  return out;
}

SessionList Read(const v1::SessionList& in) {
  SessionList out;
  for (const v1::SessionDescription& session : in.sessions()) {
    out.sessions.push_back({session.session(), session.label(), session.ttl_ns(),
                            session.expires_in_ns(), session.locks(), session.waits()});
  }
  out.more = in.more();
  return out;
}

ClusterStatus Read(const v1::ClusterStatus& in) {
  ClusterStatus out;
  out.cluster = {in.cluster_high(), in.cluster_low()};
  out.answered_by = {in.answered_by_name(), in.answered_by_incarnation()};
  out.leader = {in.leader_name(), in.leader_incarnation()};
  out.term = in.term();
  out.revision = in.revision();
  out.commit = in.commit();
  out.applied = in.applied();
  out.log_bytes = in.log_bytes();
  out.cluster_time_ns = in.cluster_time_ns();
  out.held_back_ns = in.held_back_ns();
  out.sessions = in.sessions();
  out.locks = in.locks();
  out.state_hash = in.state_hash();
  out.may_stop_one = in.may_stop_one();
  out.message = in.message();
  for (const v1::MemberStatus& member : in.members()) {
    out.members.push_back({{member.name(), member.incarnation()},
                           member.address(),
                           member.role(),
                           member.reachable(),
                           member.applied()});
  }
  return out;
}

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

void WriteChange(const Change& in, v1::Change* out) {
  out->set_revision(in.revision);
  out->set_kind(static_cast<std::uint32_t>(in.kind));
  out->set_token(in.token);
  out->set_session(in.session);
  out->set_label(in.label);
  out->set_value(in.value);
  out->set_at_ns(in.at_ns);
}

Change ReadChange(const v1::Change& in) {
  return {in.revision(), static_cast<ChangeKind>(in.kind()),
          in.token(),    in.session(),
          in.label(),    in.value(),
          in.at_ns()};
}

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
      event.body =
          LockLostEvent{in.lock_lost().acquire(), in.lock_lost().name(), in.lock_lost().token()};
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
