#include "machine/codec_descriptions.h"

#include <cstdint>

#include "machine/codec.h"

namespace tenure::machine {
namespace {

void Write(const BreakRecord& in, v1::BreakRecord* out) {
  out->set_revision(in.revision);
  out->set_token(in.token);
  out->set_session(in.session);
  out->set_label(in.label);
  out->set_by(in.by);
  out->set_ago_ns(in.ago_ns);
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

BreakRecord Read(const v1::BreakRecord& in) {
  return {in.revision(), in.token(), in.session(), in.label(), in.by(), in.ago_ns()};
}

}  // namespace

// ---- Out
// -----------------------------------------------------------------------------------------

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

void Write(const LockHolder& in, v1::LockHolder* out) {
  out->set_session(in.session);
  out->set_token(in.token);
  out->set_label(in.label);
  out->set_value(in.value);
  out->set_held_ns(in.held_ns);
  out->set_owner(in.owner);
  out->set_permits(in.permits);
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
    added->set_mode(static_cast<std::uint32_t>(waiter.mode));
    added->set_permits(waiter.permits);
    added->set_owner(waiter.owner);
  }
  out->set_shares(in.shares);
  for (const LockHolder& sharer : in.sharers) Write(sharer, out->add_sharers());
  out->set_permits(in.permits);
  out->set_total(in.total);
  out->set_holds(in.holds);
  out->set_delay_left_ns(in.delay_left_ns);
  out->set_delay(in.delay);
  if (in.broken.revision != 0) Write(in.broken, out->mutable_broken());
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
  if (in.broken.revision != 0) Write(in.broken, out->mutable_broken());
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
  if (in.broken.revision != 0) Write(in.broken, out->mutable_broken());
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
  out->set_machine_version(in.machine_version);
  out->set_newest_machine_version(in.newest_machine_version);
  out->set_may_stop_one(in.may_stop_one);
  out->set_message(in.message);
  for (const MemberStatus& member : in.members) Write(member, out->add_members());
}

void Write(const LockList& in, v1::LockList* out) {
  for (const LockDescription& lock : in.locks) Write(lock, out->add_locks());
  out->set_more(in.more);
}

void Write(const ElectionList& in, v1::ElectionList* out) {
  for (const ElectionDescription& election : in.elections) Write(election, out->add_elections());
  out->set_more(in.more);
}

void Write(const OperationList& in, v1::OperationList* out) {
  for (const OperationDescription& one : in.operations) Write(one, out->add_operations());
  out->set_more(in.more);
}

void Write(const SessionList& in, v1::SessionList* out) {
  for (const SessionDescription& session : in.sessions) Write(session, out->add_sessions());
  out->set_more(in.more);
}

void Write(const Observed& in, v1::Observed* out) {
  Write(in.holder, out->mutable_holder());
  for (const Change& change : in.changes) WriteChange(change, out->add_changes());
  out->set_gap(in.gap);
}

// ---- In
// ------------------------------------------------------------------------------------------

LockHolder Read(const v1::LockHolder& in) {
  return {in.session(), in.token(), in.label(), in.value(), in.held_ns(), in.owner(), in.permits()};
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
  out.delay_left_ns = in.delay_left_ns();
  out.delay = in.delay();
  out.broken = Read(in.broken());
  for (const v1::LockWaiter& waiter : in.waiters()) {
    out.waiters.push_back({waiter.session(), waiter.label(), waiter.waited_ns(),
                           static_cast<LockMode>(waiter.mode()), waiter.permits(), waiter.owner()});
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
  out.broken = Read(in.broken());
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
          in.point(),         in.response(), in.lock(),
          Read(in.broken())};
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
  out.machine_version = in.machine_version();
  out.newest_machine_version = in.newest_machine_version();
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

}  // namespace tenure::machine
