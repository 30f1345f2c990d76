#include "machine/sessions.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tenure::machine {
namespace {

// How much is kept of sessions that are over, to answer late retries. Part of the rules of machine
// version 1: not an option, since members must agree.
constexpr std::size_t kBuriedMax = 1024;
constexpr std::size_t kBuriedRepliesMax = 16'384;

constexpr std::uint32_t kPageMax = 1000;

std::int64_t SaturatingAdd(std::int64_t a, std::int64_t b) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  return a > kMax - b ? kMax : a + b;
}

}  // namespace

Session* Sessions::Find(SessionId id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second.get();
}

void Sessions::SetTimer(Session& session) {
  session.timer_ns = session.due_ns;
  timers_.Add(session.timer_ns, session.id, &session);
}

void Sessions::Open(const Command& command, const OpenSession& open, Reply& reply) {
  const Limits& limits = core_->limits;
  if (command.session != 0 || command.sequence != 0) {
    return Refuse(reply, ReplyCode::kInvalid,
                  "opening a session takes neither a session nor a sequence");
  }
  if (command.key == InstanceKey{}) {
    return Refuse(reply, ReplyCode::kInvalid, "opening a session takes a random instance key");
  }
  if (open.ttl_ns <= 0) {
    return Refuse(reply, ReplyCode::kInvalid, "a session's TTL must be above zero");
  }
  if (open.label.size() > limits.label_bytes_max) {
    return Refuse(reply, ReplyCode::kInvalid,
                  absl::StrCat("the session's label has ", open.label.size(),
                               " bytes; the limit is ", limits.label_bytes_max));
  }
  if (const auto it = by_key_.find(command.key); it != by_key_.end()) {
    // A retry. It extends nothing: the lease counts from the first attempt, on both sides.
    reply.result = SessionOpened{it->second->id, it->second->ttl_ns};
    return;
  }
  if (live_count() + dead_.size() >= limits.sessions_max) {
    return Refuse(reply, ReplyCode::kLimit,
                  absl::StrCat("the cluster has ", limits.sessions_max,
                               " sessions, its limit; close some, or wait until some expire"));
  }
  auto session = std::make_unique<Session>();
  session->epoch = core_->epoch;
  session->id = core_->Raise();
  session->key = command.key;
  session->ttl_ns = std::clamp(open.ttl_ns, limits.ttl_min_ns, limits.ttl_max_ns);
  session->due_ns = SaturatingAdd(core_->now_ns, session->ttl_ns);
  session->label = open.label;
  core_->hash.AddSigned(session->due_ns);
  core_->hash.AddBytes(session->label);
  SetTimer(*session);
  by_key_.emplace(session->key, session.get());
  reply.result = SessionOpened{session->id, session->ttl_ns};
  const SessionId id = session->id;
  by_id_.try_emplace(by_id_.end(), id, std::move(session));
}

void Sessions::Renew(Session& session, const RenewSession& renew, Reply& reply) {
  session.due_ns = SaturatingAdd(core_->now_ns, session.ttl_ns);
  core_->hash.AddSigned(session.due_ns);
  reply.result = SessionRenewed{renew.attempt, session.ttl_ns};
}

void Sessions::AcknowledgeEvents(Session& session, Revision through) {
  if (session.events.empty() || session.events.begin()->first > through) return;
  const auto last = session.events.upper_bound(through);
  for (auto it = session.events.begin(); it != last; ++it) core_->Touch(it->second);
  session.events.erase(session.events.begin(), last);
}

void Sessions::Tell(Session& session, SessionEvent event) {
  core_->events->push_back(event);
  const Revision revision = event.revision;
  session.events.try_emplace(session.events.end(), revision,
                             KeptEvent{std::move(event), core_->epoch});
}

void Sessions::End(Session& session, SessionEnd reason) {
  core_->Touch<SessionState>(session);
  session.dead = true;
  session.end = reason;
  timers_.Remove(session.timer_ns, session.id);
  by_key_.erase(session.key);
  dead_.push_back(&session);
  core_->hash.Add(session.id);
  session.ended = core_->Raise();
  core_->events->push_back({session.id, session.ended, SessionEndedEvent{reason}});
}

void Sessions::EndDue() {
  while (Session* session = timers_.PopDue(core_->now_ns)) {
    if (session->due_ns > session->timer_ns) {
      core_->Touch<SessionState>(*session);
      SetTimer(*session);  // renewed meanwhile; if it is due all the same, then in its proper order
    } else {
      End(*session, SessionEnd::kExpired);
    }
  }
}

void Sessions::BuryFirstDead() {
  Session* session = dead_.front();
  dead_.pop_front();
  core_->Touch<SessionState>(*session);
  session->buried = true;
  buried_.push_back(session);
  buried_replies_ += session->window.size();
  while (buried_.size() > kBuriedMax || buried_replies_ > kBuriedRepliesMax) {
    Session* oldest = buried_.front();
    buried_.pop_front();
    buried_replies_ -= oldest->window.size();
    core_->Touch<SessionState>(*oldest);
    by_id_.erase(oldest->id);
  }
}

std::vector<SessionEvent> Sessions::EventsAfter(SessionId id, Revision after) const {
  std::vector<SessionEvent> events;
  const Session* session = Find(id);
  if (session == nullptr || session->dead) {
    const SessionEnd reason = session == nullptr ? SessionEnd::kUnknown : session->end;
    events.push_back({id, std::max(after + 1, core_->revision), SessionEndedEvent{reason}});
    return events;
  }
  for (auto it = session->events.upper_bound(after); it != session->events.end(); ++it) {
    events.push_back(it->second.event);
  }
  return events;
}

void Sessions::List(const ListSessions& list, Reply& reply) const {
  const std::size_t limit = std::clamp<std::uint32_t>(list.limit, 1, kPageMax);
  SessionList& page = reply.result.emplace<SessionList>();
  for (auto it = by_id_.upper_bound(list.after); it != by_id_.end(); ++it) {
    const Session& session = *it->second;
    if (session.dead) continue;
    if (page.sessions.size() == limit) {
      page.more = true;
      return;
    }
    page.sessions.push_back({session.id, session.label, session.ttl_ns,
                             std::max<std::int64_t>(0, session.due_ns - core_->now_ns),
                             session.claims.size() - session.waits, session.waits});
  }
}

}  // namespace tenure::machine
