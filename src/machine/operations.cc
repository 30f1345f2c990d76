// Operations that take effect once: attempts, their outcomes, and what becomes of both in time.
#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "machine/locks.h"

namespace tenure::machine {
namespace {

absl::string_view ScopeOf(absl::string_view name) { return name.substr(0, name.find('\0')); }
absl::string_view KeyOfName(absl::string_view name) { return name.substr(name.find('\0') + 1); }

}  // namespace

std::string Locks::NameOf(absl::string_view scope, absl::string_view key) {
  return absl::StrCat(scope, absl::string_view("\0", 1), key);
}

absl::string_view Locks::ShownName(const Lock& lock) {
  return lock.kind == ObjectKind::kOperation ? KeyOfName(lock.name) : absl::string_view(lock.name);
}

// ---- Commands
// ------------------------------------------------------------------------------------

void Locks::Run(Session& session, Sequence sequence, const Begin& begin, Reply& reply) {
  if (!CheckKey(session, begin.scope, begin.key, reply)) return;
  if (begin.deadline_ns <= 0 || begin.retention_ns <= 0 || begin.wait_ns < 0) {
    // A deadline of zero would open the key at once (PITFALLS I2).
    return Refuse(reply, ReplyCode::kInvalid,
                  "an attempt's deadline and retention must be above zero, its wait not below");
  }
  if (begin.fingerprint.size() > core_->limits.name_bytes_max) {
    return Refuse(reply, ReplyCode::kInvalid,
                  absl::StrCat("the fingerprint has ", begin.fingerprint.size(),
                               " bytes; the limit is ", core_->limits.name_bytes_max));
  }
  if (!begin.lock.empty()) return RunUnder(session, sequence, begin, reply);
  const std::string name = NameOf(begin.scope, begin.key);
  Lock* lock = FindOperation(name);
  if (lock != nullptr && OperationOf(*lock)->fingerprint != begin.fingerprint) {
    return Refuse(reply, ReplyCode::kMismatch,
                  absl::StrCat("the key '", begin.key, "' was begun with another fingerprint"));
  }
  std::uint64_t steps = kStepsPerCommand;
  if (lock != nullptr) Settle(*lock, steps);
  if (lock != nullptr && OperationOf(*lock)->done) {
    reply.result = DescribeOutcome(*OperationOf(*lock));
    return;
  }
  const bool claimable =
      core_->HeldBackNs() == 0 &&
      (lock == nullptr ||
       (lock->queue.first == nullptr && (lock->holder == nullptr || OperationOf(*lock)->overdue)));
  if (!claimable && begin.wait_ns == 0) {
    AttemptInProgress& progress = reply.result.emplace<AttemptInProgress>();
    if (lock != nullptr) progress = DescribeAttempt(*lock);
    progress.held_back_ns = core_->HeldBackNs();
    return;
  }
  if (!HasRoomToBegin(begin, lock, reply)) return;
  if (!claimable && !HasRoomToWait(session, lock == nullptr ? 0 : lock->queue.size,
                                   core_->limits.waiters_per_lock_max, reply)) {
    return;
  }
  if (lock == nullptr) {
    lock =
        Create(locks_.lower_bound(Key{ObjectKind::kOperation, name}), ObjectKind::kOperation, name);
    lock->journal->operation = std::make_unique<OperationRecord>();
    OperationOf(*lock)->fingerprint = begin.fingerprint;
  }
  core_->Touch(*lock);
  // Whoever attempts it says how long its outcome is kept; who only waits may want it for longer.
  const std::int64_t retention_ns = std::min(begin.retention_ns, core_->limits.retention_max_ns);
  std::int64_t& kept_ns = OperationOf(*lock)->retention_ns;
  kept_ns = claimable ? retention_ns : std::max(kept_ns, retention_ns);
  core_->hash.AddSigned(OperationOf(*lock)->retention_ns);
  core_->hash.AddBytes(begin.fingerprint);
  if (claimable) {
    Overtake(*lock, session);
    session.claims.try_emplace(session.claims.end(), sequence, Claim{lock, nullptr});
    Grant(*lock, session, sequence, "", core_->Raise());
    StartAttempt(*lock, begin.deadline_ns);
    const OperationRecord& record = *OperationOf(*lock);
    reply.result = AttemptStarted{lock->token, record.point, record.attempts};
    return SettleRest(steps);
  }
  if (lock->holder == nullptr && OperationOf(*lock)->expires_ns == kWaitForever) SetExpiry(*lock);
  AttemptInProgress& progress = reply.result.emplace<AttemptInProgress>(DescribeAttempt(*lock));
  progress.held_back_ns = core_->HeldBackNs();
  const std::string none;
  Enqueue(*lock, session, sequence,
          {ObjectKind::kOperation, name, begin.wait_ns, none, 0, nullptr});
  lock->queue.last->attempt_ns = begin.deadline_ns;
  core_->hash.AddSigned(begin.deadline_ns);
}

void Locks::Run(Session& session, const Checkpoint& checkpoint, Reply& reply) {
  if (checkpoint.point.size() > core_->limits.value_bytes_max) {
    return Refuse(reply, ReplyCode::kInvalid,
                  absl::StrCat("the recovery point has ", checkpoint.point.size(),
                               " bytes; the limit is ", core_->limits.value_bytes_max));
  }
  Lock* lock =
      FindAttempt(session, NameOf(checkpoint.scope, checkpoint.key), checkpoint.token, reply);
  if (lock == nullptr) return;
  core_->Touch(*lock);
  core_->Raise();
  OperationRecord& record = *OperationOf(*lock);
  operation_bytes_ += checkpoint.point.size() - record.point.size();
  record.point = checkpoint.point;
  core_->hash.AddBytes(record.point);
  SetDeadline(*lock, record.attempt_ns);
  reply.result = AttemptExtended{record.attempt_ns};
}

void Locks::Run(Session& session, const Extend& extend, Reply& reply) {
  if (extend.deadline_ns <= 0) {
    return Refuse(reply, ReplyCode::kInvalid, "an attempt's deadline must be above zero");
  }
  Lock* lock = FindAttempt(session, NameOf(extend.scope, extend.key), extend.token, reply);
  if (lock == nullptr) return;
  core_->Raise();
  SetDeadline(*lock, extend.deadline_ns);
  reply.result = AttemptExtended{extend.deadline_ns};
}

void Locks::Run(Session& session, const FinishAttempt& finish, Reply& reply) {
  if (finish.response.size() > core_->limits.response_bytes_max) {
    return Refuse(reply, ReplyCode::kInvalid,
                  absl::StrCat("the response has ", finish.response.size(), " bytes; the limit is ",
                               core_->limits.response_bytes_max));
  }
  Lock* lock = FindAttempt(session, NameOf(finish.scope, finish.key), finish.token, reply);
  if (lock == nullptr) return;
  core_->Touch(*lock);
  OperationRecord& record = *OperationOf(*lock);
  if (finish.outcome != Outcome::kAbandoned) {
    record.done = true;
    record.failed = finish.outcome == Outcome::kFailed;
    operation_bytes_ += finish.response.size();
    record.response = finish.response;
    core_->hash.AddBytes(record.response);
    core_->hash.Add(record.failed);
    if (lock->queue.first != nullptr || lock->journal->observers.first != nullptr) {
      PutOffTelling(*lock);
    }
  }
  Vacate(*lock, ChangeKind::kReleased);
  std::uint64_t steps = kStepsPerCommand;
  Settle(*lock, steps);
  reply.result = AttemptFinished{};
}

void Locks::Run(Session& session, Sequence sequence, const AwaitOperation& await, Reply& reply) {
  if (!CheckKey(session, await.scope, await.key, reply)) return;
  if (await.wait_ns < 0) return Refuse(reply, ReplyCode::kInvalid, "a wait must not be negative");
  Lock* lock = FindOperation(NameOf(await.scope, await.key));
  if (lock == nullptr) {
    return Refuse(reply, ReplyCode::kAbsent,
                  absl::StrCat("nobody began the key '", await.key, "'"));
  }
  if (OperationOf(*lock)->done) {
    reply.result = DescribeOutcome(*OperationOf(*lock));
    return;
  }
  if (await.wait_ns > 0) {
    if (!HasRoomToWait(session, lock->journal->observers.size, core_->limits.observers_per_name_max,
                       reply)) {
      return;
    }
    Wait* wait = NewWait(*lock, session, sequence, core_->Raise());
    wait->observes = true;
    wait->deadline_ns = SaturatingAdd(core_->now_ns, await.wait_ns);
    core_->hash.AddSigned(wait->deadline_ns);
    Link(wait);
  }
  reply.result = DescribeAttempt(*lock);
}

void Locks::Run(Session& session, const Forget& forget, Reply& reply) {
  if (!CheckKey(session, forget.scope, forget.key, reply)) return;
  Lock* lock = FindOperation(NameOf(forget.scope, forget.key));
  if (lock != nullptr) {
    std::uint64_t steps = kStepsPerCommand;
    Settle(*lock, steps);
    const bool running = lock->holder != nullptr && !OperationOf(*lock)->overdue;
    if (running || Awaited(*lock)) {
      return Refuse(reply, ReplyCode::kConflict,
                    absl::StrCat("the key '", forget.key, "' has ",
                                 running ? "an attempt in progress" : "somebody who waits for it"));
    }
    Overtake(*lock, session, "forgotten");
    core_->Raise();
    RemoveOperation(*lock);
    SettleRest(steps);
  }
  reply.result = OperationForgotten{};
}

// ---- Checks
// --------------------------------------------------------------------------------------

bool Locks::CheckKey(const Session& session, absl::string_view scope, absl::string_view key,
                     Reply& reply) const {
  if (scope.size() > core_->limits.name_bytes_max || scope.find('\0') != absl::string_view::npos) {
    Refuse(reply, ReplyCode::kInvalid,
           absl::StrCat("a scope has at most ", core_->limits.name_bytes_max,
                        " bytes, none of them NUL"));
    return false;
  }
  return Check(session, key, "", reply);
}

bool Locks::HasRoomToBegin(const Begin& begin, const Lock* lock, Reply& reply) const {
  if (lock != nullptr) return true;
  const std::uint64_t keys = count(ObjectKind::kOperation);
  if (keys >= core_->limits.keys_max) {
    Refuse(reply, ReplyCode::kLimit,
           absl::StrCat("the cluster has ", keys, " keys, its limit; wait until some expire, or ",
                        "begin '", begin.key, "' with a shorter retention"));
    return false;
  }
  if (operation_bytes_ >= core_->limits.key_bytes_max) {
    Refuse(reply, ReplyCode::kLimit,
           absl::StrCat("the cluster keeps ", operation_bytes_,
                        " bytes of responses and recovery points; the limit is ",
                        core_->limits.key_bytes_max, "; wait until some expire"));
    return false;
  }
  return true;
}

Lock* Locks::FindOperation(const std::string& name) {
  const auto place = locks_.find(Key{ObjectKind::kOperation, name});
  if (place == locks_.end()) return nullptr;
  Lock& lock = **place;
  if (!Expired(*OperationOf(lock))) return &lock;
  std::uint64_t steps = kStepsPerCommand;
  RunExpiry(lock, steps);
  // Somebody may wait for it still.
  const auto again = locks_.find(Key{ObjectKind::kOperation, name});
  return again == locks_.end() ? nullptr : again->get();
}

Lock* Locks::FindAttempt(const Session& session, const std::string& name, Revision token,
                         Reply& reply) {
  const auto place = FindHeld(session, {ObjectKind::kOperation, name}, token, reply);
  return place == locks_.end() ? nullptr : place->get();
}

// ---- Attempts
// ------------------------------------------------------------------------------------

void Locks::StartAttempt(Lock& lock, std::int64_t attempt_ns) {
  ClearExpiry(lock);
  ++OperationOf(lock)->attempts;
  SetDeadline(lock, attempt_ns);
}

void Locks::SetDeadline(Lock& lock, std::int64_t attempt_ns) {
  core_->Touch(lock);
  ClearDeadline(lock);
  OperationRecord& record = *OperationOf(lock);
  record.attempt_ns = attempt_ns;
  record.deadline_ns = SaturatingAdd(core_->now_ns, attempt_ns);
  if (record.deadline_ns != kWaitForever) attempts_.Add(record.deadline_ns, lock.token, &lock);
  core_->hash.AddSigned(record.deadline_ns);
}

void Locks::ClearDeadline(Lock& lock) {
  OperationRecord& record = *OperationOf(lock);
  if (record.deadline_ns != kWaitForever) attempts_.Remove(record.deadline_ns, lock.token);
  record.deadline_ns = kWaitForever;
  record.overdue = false;
}

void Locks::EndAttempt(Lock& lock) {
  ClearDeadline(lock);
  SetExpiry(lock);
}

void Locks::SetExpiry(Lock& lock) {
  OperationRecord& record = *OperationOf(lock);
  record.expires_ns = SaturatingAdd(core_->now_ns, record.retention_ns);
  record.expiry = core_->Raise();
  expiries_.Add(record.expires_ns, record.expiry, &lock);
}

void Locks::ClearExpiry(Lock& lock) {
  OperationRecord& record = *OperationOf(lock);
  if (record.expires_ns != kWaitForever) expiries_.Remove(record.expires_ns, record.expiry);
  record.expires_ns = kWaitForever;
}

void Locks::Overtake(Lock& lock, const Session& by, absl::string_view what) {
  if (lock.holder == nullptr) return;
  Session& late = *lock.holder;
  // Whoever acknowledges nothing is not told for ever: its outcome is refused all the same.
  if (!late.dead && late.events.size() < core_->limits.waits_per_session_max) {
    sessions_->Tell(late, {late.id, core_->Raise(),
                           LockLostEvent{lock.acquire, std::string(ShownName(lock)), lock.token,
                                         absl::StrCat(what, " by ", by.label, " (session ", by.id,
                                                      ") after its deadline")}});
  }
  Vacate(lock, ChangeKind::kLost);
}

void Locks::TellStarted(Lock& lock) {
  const OperationRecord& record = *OperationOf(lock);
  AttemptStartedEvent event;
  event.begin = lock.acquire;
  event.scope = std::string(ScopeOf(lock.name));
  event.key = std::string(KeyOfName(lock.name));
  event.token = lock.token;
  event.point = record.point;
  event.attempts = record.attempts;
  sessions_->Tell(*lock.holder, {lock.holder->id, lock.token, std::move(event)});
}

void Locks::TellEnded(Wait* wait) {
  Session& session = *wait->session;
  const std::string& name = wait->begin != nullptr ? wait->begin->name : wait->lock->name;
  OperationEndedEvent event;
  event.begin = wait->acquire;
  event.scope = std::string(ScopeOf(name));
  event.key = std::string(KeyOfName(name));
  EndWait(wait);
  if (!session.dead) sessions_->Tell(session, {session.id, core_->Raise(), std::move(event)});
}

// ---- What time brings
// ----------------------------------------------------------------------------

void Locks::RunAttemptTimer(Lock& lock) {
  core_->Touch(lock);
  core_->hash.Add(lock.token);
  ClearDeadline(lock);
  OperationOf(lock)->overdue = true;
  Settle(lock, core_->budget);
  // Whoever waits for its lock may have that, too.
  if (Lock* const under = OperationOf(lock)->under) Settle(*under, core_->budget);
}

void Locks::RunExpiry(Lock& lock, std::uint64_t& steps) {
  core_->Touch(lock);
  for (const Queue* queue : {&lock.queue, &lock.journal->observers}) {
    while (steps > 0 && queue->first != nullptr && queue->first->session->dead) {
      --steps;
      EndWait(queue->first);
    }
  }
  if (Awaited(lock)) {
    // Who waits keeps it: for an attempt that may come, or until it was told.
    ClearExpiry(lock);
    return SetExpiry(lock);
  }
  RemoveOperation(lock);
}

void Locks::RemoveOperation(Lock& lock) {
  core_->Touch(lock);
  ClearExpiry(lock);
  OperationRecord& record = *OperationOf(lock);
  core_->hash.AddBytes(lock.name);
  operation_bytes_ -= record.point.size() + record.response.size();
  lock.journal->operation = nullptr;
  RetireIfIdle(lock);
}

// ---- Descriptions
// --------------------------------------------------------------------------------

AttemptInProgress Locks::DescribeAttempt(const Lock& lock) const {
  AttemptInProgress progress;
  progress.holder = DescribeHolder(lock);
  const OperationRecord& record = *OperationOf(lock);
  if (record.overdue) {
    progress.ends_in_ns = 0;
  } else if (record.deadline_ns != kWaitForever) {
    progress.ends_in_ns = record.deadline_ns - core_->now_ns;
  }
  progress.ahead = lock.queue.size;
  return progress;
}

OperationDone Locks::DescribeOutcome(const OperationRecord& record) const {
  return {record.failed, record.response, record.expires_ns - core_->now_ns};
}

OperationDescription Locks::DescribeOperation(const Lock& lock, bool whole) const {
  const OperationRecord& record = *OperationOf(lock);
  const AttemptInProgress attempt = DescribeAttempt(lock);
  OperationDescription out;
  out.scope = std::string(ScopeOf(lock.name));
  out.key = std::string(KeyOfName(lock.name));
  out.holder = attempt.holder;
  if (record.done) {
    out.state = record.failed ? OperationState::kFailed : OperationState::kDone;
  } else {
    const bool running = attempt.holder.session != 0 && !record.overdue;
    out.state = running ? OperationState::kInProgress : OperationState::kClaimable;
  }
  out.attempts = record.attempts;
  out.ends_in_ns = attempt.ends_in_ns;
  if (record.expires_ns != kWaitForever) out.expires_in_ns = record.expires_ns - core_->now_ns;
  out.waiting = lock.queue.size + lock.journal->observers.size;
  if (record.under != nullptr) out.lock = record.under->name;
  if (!whole) return out;
  out.fingerprint = record.fingerprint;
  out.point = record.point;
  out.response = record.response;
  out.broken = LastBreak(lock);
  return out;
}

void Locks::Get(const GetOperation& get, Reply& reply) const {
  OperationDescription& description = reply.result.emplace<OperationDescription>();
  const Lock* lock = Find(ObjectKind::kOperation, NameOf(get.scope, get.key));
  if (lock != nullptr && !Expired(*OperationOf(*lock))) {
    description = DescribeOperation(*lock, true);
    return;
  }
  description.scope = get.scope;
  description.key = get.key;
}

void Locks::List(const ListOperations& list, Reply& reply) const {
  constexpr std::uint32_t kPageMax = 1000;
  constexpr std::size_t kPageBytesMax = 1 << 20;
  constexpr std::size_t kVisitedMax = 10'000;  // expired ones are passed over
  const std::size_t limit = std::clamp<std::uint32_t>(list.limit, 1, kPageMax);
  OperationList& page = reply.result.emplace<OperationList>();
  const std::string after = NameOf(list.scope, list.after);
  std::size_t bytes = 0, visited = 0;
  const auto first = locks_.upper_bound(Key{ObjectKind::kOperation, after});
  for (auto it = first; it != locks_.end() && (*it)->kind == ObjectKind::kOperation; ++it) {
    if (ScopeOf((*it)->name) != list.scope) return;
    if (Expired(*OperationOf(**it)) && ++visited < kVisitedMax) continue;
    if (page.operations.size() == limit || bytes >= kPageBytesMax) {
      page.more = true;
      return;
    }
    const OperationDescription& added =
        page.operations.emplace_back(DescribeOperation(**it, false));
    bytes += added.scope.size() + added.key.size() + added.holder.label.size() + 128;
  }
}

}  // namespace tenure::machine
