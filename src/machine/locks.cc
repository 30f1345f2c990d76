#include "machine/locks.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tenure::machine {
Locks::~Locks() {
  for (const std::unique_ptr<Lock>& lock : locks_) {
    if (lock->shares != nullptr) {
      for (const auto& [token, share] : lock->shares->holders) delete share;
    }
    for (Wait* wait = lock->queue.first; wait != nullptr;) {
      LeaveSet(wait);
      delete std::exchange(wait, wait->next);
    }
    if (lock->journal == nullptr) continue;
    Wait* wait = lock->journal->observers.first;
    while (wait != nullptr) delete std::exchange(wait, wait->next);
  }
}

// ---- Commands
// ------------------------------------------------------------------------------------

void Locks::Acquire(Session& session, Sequence sequence, const AcquireLock& acquire, Reply& reply) {
  if (!CheckMode(acquire, reply)) return;
  Acquire(session, sequence,
          {ObjectKind::kLock, acquire.name, acquire.wait_ns, acquire.value, 0, &acquire}, reply);
}

void Locks::Acquire(Session& session, Sequence sequence, const Request& request, Reply& reply) {
  if (!Check(session, request.name, request.value, reply)) return;
  if (request.wait_ns < 0) return Refuse(reply, ReplyCode::kInvalid, "a wait must not be negative");
  const AcquireLock* const acquire = request.acquire;
  const LockMode mode = acquire == nullptr ? LockMode::kExclusive : acquire->mode;
  const auto place = locks_.lower_bound(Key{request.kind, request.name});
  Lock* lock =
      place != locks_.end() && Is(**place, request.kind, request.name) ? place->get() : nullptr;
  std::uint64_t steps = kStepsPerCommand;
  if (lock != nullptr) Settle(*lock, steps);
  if (lock != nullptr && acquire != nullptr && !CheckFits(session, *lock, *acquire, reply)) {
    return RetireIfIdle(*lock);
  }
  if (lock != nullptr && acquire != nullptr && acquire->reentrant &&
      Holds(session, *lock, *acquire)) {
    core_->Touch(*lock);
    core_->Raise();
    core_->hash.Add(++lock->shares->more_holds);
    reply.result = LockGranted{lock->token, 0, 0, 1 + lock->shares->more_holds};
    return;
  }

  const std::int64_t held_back_ns = HeldBackNs(lock);
  const bool free =
      lock == nullptr || (lock->queue.first == nullptr &&
                          ToBeHad(*lock, mode, acquire == nullptr ? 0 : acquire->permits));
  if (!(free && held_back_ns == 0) && request.wait_ns == 0) {
    LockHeld& held = reply.result.emplace<LockHeld>();
    held.held_back_ns = held_back_ns;
    if (lock == nullptr) return;
    held.holder = DescribeHolder(*lock);
    held.waiting = lock->queue.size;
    return RetireIfIdle(*lock);
  }
  if (!HasRoom(lock, request.kind, reply)) return;
  if (free && held_back_ns == 0) {
    if (lock == nullptr) lock = Create(place, request.kind, request.name);
    if (acquire != nullptr) SetTotal(*lock, acquire->total);
    Overtake(*lock, session);
    if (mode != LockMode::kExclusive) {
      Wait* share = NewWait(*lock, session, sequence, core_->Raise());
      Fill(*share, request);
      TakeShare(share, core_->Raise());
      reply.result = GrantOf(*lock, *share);
      return SettleRest(steps);
    }
    session.claims.try_emplace(session.claims.end(), sequence, Claim{lock, nullptr});
    Grant(*lock, session, sequence, request.value, core_->Raise());
    if (acquire != nullptr && (acquire->delay_ns > 0 || !acquire->owner.empty())) {
      SharesOf(*lock).delay_ns = acquire->delay_ns;
      SharesOf(*lock).owner = acquire->owner;
    }
    Record(*lock, lock->token, ChangeKind::kGranted);
    reply.result = LockGranted{lock->token};
    return SettleRest(steps);
  }
  if (!HasRoomToWait(session, lock == nullptr ? 0 : lock->queue.size,
                     core_->limits.waiters_per_lock_max, reply)) {
    return;
  }
  if (lock != nullptr && acquire != nullptr && acquire->detect_deadlock &&
      ClosesCycle(session, acquire->owner, {{lock, mode, acquire->permits}}, reply)) {
    return;
  }
  if (lock == nullptr) lock = Create(place, request.kind, request.name);
  if (acquire != nullptr) SetTotal(*lock, acquire->total);
  LockQueued& queued = reply.result.emplace<LockQueued>();
  queued.ahead = CountAhead(*lock, request.priority);
  queued.holder = DescribeHolder(*lock);
  queued.held_back_ns = held_back_ns;
  Enqueue(*lock, session, sequence, request);
}

void Locks::Fill(Wait& wait, const Request& request) {
  wait.value = request.value;
  wait.priority = static_cast<std::uint8_t>(request.priority);
  core_->hash.AddBytes(wait.value);
  if (request.acquire == nullptr) return;
  wait.mode = request.acquire->mode;
  wait.permits = request.acquire->permits;
  wait.delay_ns = request.acquire->delay_ns;
  wait.owner = request.acquire->owner;
  // What a plain lock says anyhow is left out.
  if (wait.mode == LockMode::kExclusive && wait.delay_ns == 0 && wait.owner.empty()) return;
  core_->hash.Add(static_cast<std::uint64_t>(wait.mode));
  core_->hash.Add(wait.permits);
  core_->hash.AddSigned(wait.delay_ns);
  core_->hash.AddBytes(wait.owner);
}

void Locks::Cancel(Session& session, const CancelWait& cancel, Reply& reply) {
  const auto it = session.claims.lower_bound(cancel.acquire);
  if (it == session.claims.end() || it->first.sequence != cancel.acquire) {
    reply.result = WaitCancelled{};
    return;
  }
  Lock& lock = *it->second.lock;
  if (it->second.wait == nullptr || it->second.wait->token != 0) {  // the grant came first
    const Lock* const attempt = lock.kind == ObjectKind::kOperation ? &lock : AttemptOf(lock);
    if (attempt != nullptr) {
      const OperationRecord& operation = *OperationOf(*attempt);
      reply.result = AttemptStarted{lock.token, operation.point, operation.attempts};
    } else {
      reply.result = GrantOf(session, cancel.acquire);
    }
    return;
  }
  core_->Raise();
  std::uint64_t steps = kStepsPerCommand;
  EndWhole(it->second.wait, steps);
  reply.result = WaitCancelled{};
}

void Locks::Release(Session& session, const ReleaseLock& release, Reply& reply) {
  GiveBack(session, {ObjectKind::kLock, release.name}, release.token, reply);
}

void Locks::GiveBack(Session& session, const Key& key, Revision token, Reply& reply) {
  const auto place = locks_.find(key);
  Lock* const lock = place == locks_.end() ? nullptr : place->get();
  std::uint64_t steps = kStepsPerCommand;
  // The token names the grant: a repeat cannot end a later one (PITFALLS L10, E2).
  if (lock != nullptr && lock->holder == &session && lock->token == token) {
    core_->Raise();
    if (lock->shares != nullptr && lock->shares->more_holds > 0) {
      core_->Touch(*lock);
      core_->hash.Add(lock->shares->more_holds);
      reply.result = LockReleased{lock->shares->more_holds--};
      return;
    }
    Vacate(*lock, ChangeKind::kReleased);
  } else if (Wait* share = lock == nullptr ? nullptr : FindShare(*lock, session, token)) {
    core_->Raise();
    DropShare(share, ChangeKind::kReleased);
  } else {
    return RefuseNotHeld(key, token, reply);
  }
  Settle(*lock, steps);
  if (Idle(*lock)) Retire(place);
  reply.result = LockReleased{};
}

bool Locks::CheckName(absl::string_view name, Reply& reply) const {
  if (name.empty()) {
    Refuse(reply, ReplyCode::kInvalid, "a name must not be empty");
  } else if (name.size() > core_->limits.name_bytes_max) {
    Refuse(reply, ReplyCode::kInvalid,
           absl::StrCat("the name has ", name.size(), " bytes; the limit is ",
                        core_->limits.name_bytes_max));
  } else {
    return true;
  }
  return false;
}

Locks::Table::iterator Locks::FindHeld(const Session& session, const Key& key, Revision token,
                                       Reply& reply) {
  const auto place = locks_.find(key);
  if (place != locks_.end() && (*place)->holder == &session && (*place)->token == token) {
    return place;
  }
  RefuseNotHeld(key, token, reply);
  return locks_.end();
}

void Locks::RefuseNotHeld(const Key& key, Revision token, Reply& reply) {
  if (key.kind == ObjectKind::kOperation) {
    Refuse(reply, ReplyCode::kNotHeld,
           absl::StrCat("token ", token, " is not, or no longer, that of the current attempt"));
    return;
  }
  const bool election = key.kind == ObjectKind::kElection;
  Refuse(reply, ReplyCode::kNotHeld,
         absl::StrCat(election ? "this session does not lead the election '"
                               : "this session does not hold the lock '",
                      key.name, election ? "' in term " : "' with token ", token));
}

bool Locks::Check(const Session& session, absl::string_view name, absl::string_view value,
                  Reply& reply) const {
  const Limits& limits = core_->limits;
  const auto invalid = [&reply](std::string message) {
    Refuse(reply, ReplyCode::kInvalid, std::move(message));
    return false;
  };
  if (!CheckName(name, reply)) return false;
  if (value.size() > limits.value_bytes_max) {
    return invalid(absl::StrCat("the holder's value has ", value.size(), " bytes; the limit is ",
                                limits.value_bytes_max));
  }
  // Also when it is only to wait: the grant, later, refuses nobody.
  if (session.claims.size() >= core_->limits.locks_per_session_max) {
    Refuse(reply, ReplyCode::kLimit,
           absl::StrCat("this session holds or waits for ", session.claims.size(),
                        " locks, its limit; release some, or use another session"));
    return false;
  }
  return true;
}

bool Locks::HasRoom(const Lock* lock, ObjectKind kind, Reply& reply) const {
  if (lock != nullptr && Used(*lock)) return true;
  const bool election = kind == ObjectKind::kElection;
  if (count(kind) < (election ? core_->limits.elections_max : core_->limits.locks_max)) return true;
  Refuse(reply, ReplyCode::kLimit,
         absl::StrCat("the cluster has ", count(kind), election ? " elections" : " locks",
                      ", its limit; wait until some are released"));
  return false;
}

bool Locks::HasRoomToWait(const Session& session, std::uint64_t waiting, std::uint64_t limit,
                          Reply& reply) const {
  const auto full = [&reply](std::string message) {
    Refuse(reply, ReplyCode::kLimit, std::move(message));
    return false;
  };
  // Events count as well: they stay until the client says that it has them.
  if (session.waits + session.events.size() >= core_->limits.waits_per_session_max) {
    return full(absl::StrCat("this session has ", session.waits, " waits and ",
                             session.events.size(), " events not acknowledged; the limit is ",
                             core_->limits.waits_per_session_max));
  }
  if (waiting >= limit)
    return full(absl::StrCat(waiting, " are waiting for this already, its limit"));
  return true;
}

// ---- Steps
// ---------------------------------------------------------------------------------------

Lock* Locks::Create(Table::iterator hint, ObjectKind kind, absl::string_view name) {
  std::unique_ptr<Lock> lock;
  if (spare_.empty()) {
    lock = std::make_unique<Lock>();
  } else {
    lock = std::move(spare_.back());
    spare_.pop_back();
  }
  lock->kind = kind;
  lock->name.assign(name.data(), name.size());
  lock->epoch = core_->epoch;
  ++counts_[static_cast<std::size_t>(kind)];
  // What was forgotten of an election may have been changes of this one.
  if (kind != ObjectKind::kLock) StartJournal(*lock, counters.forgotten_through);
  return locks_.insert(hint, std::move(lock))->get();
}

void Locks::Grant(Lock& lock, Session& session, ClaimKey acquire, const std::string& value,
                  Revision token) {
  core_->Touch(lock);
  Use(lock);
  lock.holder = &session;
  lock.token = token;
  lock.acquire = acquire.sequence;
  lock.part = acquire.part;
  lock.granted_ns = core_->now_ns;
  lock.value = value;
  core_->hash.Add(lock.token);
  core_->hash.Add(session.id);
  core_->hash.AddBytes(lock.name);
  core_->hash.AddBytes(lock.value);
}

void Locks::Grant(Wait* wait) {
  Session& session = *wait->session;
  Lock& lock = *wait->lock;
  const Sequence acquire = wait->acquire;
  const std::int64_t attempt_ns = wait->attempt_ns;
  if (wait->mode != LockMode::kExclusive) {
    Unlink(wait);
    TakeShare(wait, core_->Raise());
    const LockGranted granted = GrantOf(lock, *wait);
    sessions_->Tell(session, {session.id, wait->token,
                              LockGrantedEvent{acquire, lock.name, granted.token, granted.fence,
                                               granted.seat}});
    return;
  }
  Grant(lock, session, acquire, wait->value, core_->Raise());
  if (wait->delay_ns > 0 || !wait->owner.empty()) {
    SharesOf(lock).delay_ns = wait->delay_ns;
    SharesOf(lock).owner = wait->owner;
  }
  Unlink(wait);
  delete wait;
  session.claims.find(acquire)->second.wait = nullptr;
  if (lock.kind == ObjectKind::kOperation) {
    StartAttempt(lock, attempt_ns);
    return TellStarted(lock);
  }
  sessions_->Tell(session,
                  {session.id, lock.token, LockGrantedEvent{acquire, lock.name, lock.token}});
  Record(lock, lock.token, ChangeKind::kGranted);
}

void Locks::Enqueue(Lock& lock, Session& session, Sequence sequence, const Request& request) {
  Wait* wait = NewWait(lock, session, sequence, core_->Raise());
  wait->deadline_ns = SaturatingAdd(core_->now_ns, request.wait_ns);
  Fill(*wait, request);
  Link(wait);
  if (core_->HeldBackNs() > 0) PutOff(lock);
  core_->hash.AddSigned(wait->deadline_ns);
}

Wait* Locks::NewWait(Lock& lock, Session& session, ClaimKey claim, Revision id) {
  Use(lock);
  Wait* wait = new Wait;
  wait->session = &session;
  wait->lock = &lock;
  wait->acquire = claim.sequence;
  wait->part = claim.part;
  wait->id = id;
  wait->queued_ns = core_->now_ns;
  wait->epoch = core_->epoch;
  session.claims.try_emplace(session.claims.end(), claim, Claim{&lock, wait});
  core_->hash.Add(wait->id);
  core_->hash.Add(session.id);
  core_->hash.AddBytes(lock.name);
  return wait;
}

std::uint64_t Locks::CountAhead(const Lock& lock, std::uint32_t priority) const {
  if (lock.kind != ObjectKind::kElection) return lock.queue.size;
  std::uint64_t ahead = 0;
  const auto& classes = lock.journal->classes;
  for (auto it = classes.lower_bound(static_cast<std::uint8_t>(priority)); it != classes.end();) {
    ahead += (it++)->second.size;
  }
  return ahead;
}

void Locks::Link(Wait* wait) {
  Lock& lock = *wait->lock;
  Queue& queue = QueueOf(*wait);
  Wait* before = queue.last;
  if (lock.kind == ObjectKind::kElection && !wait->observes) {
    auto& classes = lock.journal->classes;
    const auto it = classes.lower_bound(wait->priority);
    before = it == classes.end() ? nullptr : it->second.last;
    Journal::Class& own = classes[wait->priority];
    own.last = wait;
    ++own.size;
  }
  wait->previous = before;
  wait->next = before == nullptr ? queue.first : before->next;
  (wait->previous == nullptr ? queue.first : wait->previous->next) = wait;
  (wait->next == nullptr ? queue.last : wait->next->previous) = wait;
  ++queue.size;
  ++wait->session->waits;
  if (wait->deadline_ns != kWaitForever) deadlines_.Add(wait->deadline_ns, wait->id, wait);
  if (!wait->owner.empty()) named_.try_emplace({wait->session->id, wait->owner, wait->id}, wait);
}

void Locks::Unlink(Wait* wait) {
  core_->Touch(*wait);
  Lock& lock = *wait->lock;
  Queue& queue = QueueOf(*wait);
  if (lock.kind == ObjectKind::kElection && !wait->observes) {
    auto& classes = lock.journal->classes;
    const auto it = classes.find(wait->priority);
    if (--it->second.size == 0) {
      classes.erase(it);
    } else if (it->second.last == wait) {
      it->second.last = wait->previous;
    }
  }
  (wait->previous == nullptr ? queue.first : wait->previous->next) = wait->next;
  (wait->next == nullptr ? queue.last : wait->next->previous) = wait->previous;
  --queue.size;
  --wait->session->waits;
  if (wait->deadline_ns != kWaitForever) deadlines_.Remove(wait->deadline_ns, wait->id);
  if (!wait->owner.empty()) named_.erase({wait->session->id, wait->owner, wait->id});
}

void Locks::EndWait(Wait* wait) {
  core_->hash.Add(wait->id);
  DropClaim(*wait->session, {wait->acquire, wait->part});
  core_->Touch(*wait);
  LeaveSet(wait);
  Unlink(wait);
  delete wait;
}

void Locks::Vacate(Lock& lock, ChangeKind why, absl::string_view by) {
  core_->Touch(lock);
  core_->hash.Add(lock.token);
  if (lock.journal != nullptr) Record(lock, core_->Raise(), why, by);
  if (lock.shares != nullptr) {
    const bool expired = lock.holder->dead && lock.holder->end == SessionEnd::kExpired;
    if (expired || why == ChangeKind::kBroken) StartDelay(lock, lock.shares->delay_ns);
    lock.shares->delay_ns = 0;
    lock.shares->owner.clear();
    lock.shares->more_holds = 0;
  }
  if (lock.kind == ObjectKind::kOperation) EndAttempt(lock);
  DropClaim(*lock.holder, {lock.acquire, lock.part});
  lock.holder = nullptr;
  lock.token = 0;
  lock.value.clear();

  OperationRecord* const record = OperationOf(lock);
  Lock* const other = record != nullptr ? record->under : AttemptOf(lock);
  if (other == nullptr) return;
  core_->Touch(*other);
  (record != nullptr ? record->under : lock.shares->attempt) = nullptr;
  (record != nullptr ? other->shares->attempt : OperationOf(*other)->under) = nullptr;
  Vacate(*other, why, by);
  unsettled_.push_back(other);
}

bool Locks::Settle(Lock& lock, std::uint64_t& steps) {
  const bool through = SettleOne(lock, steps);
  SettleRest(steps);
  return through;
}

void Locks::SettleRest(std::uint64_t& steps) {
  while (!unsettled_.empty()) {
    Lock& other = *unsettled_.back();
    unsettled_.pop_back();
    if (steps == 0) {
      PutOff(other);
    } else {
      --steps;
      SettleOne(other, steps);
    }
    RetireIfIdle(other);
  }
}

bool Locks::SettleOne(Lock& lock, std::uint64_t& steps) {
  const OperationRecord* operation = OperationOf(lock);
  const bool overdue = Overdue(lock);
  if (lock.holder != nullptr) {
    if (!lock.holder->dead && !overdue) return true;
    if (lock.holder->dead) Vacate(lock, ChangeKind::kLost);
  }
  if (lock.shares != nullptr) PurgeShares(lock, steps);
  // Who waits for what is done is told so, and gets nothing.
  if (HeldBackNs(&lock) > 0 || (operation != nullptr && operation->done)) return true;
  while (lock.queue.first != nullptr) {
    Wait* const first = lock.queue.first;
    if (first->session->dead) {
      if (steps == 0) return PutOff(lock);
      --steps;
      EndWait(first);
      continue;
    }
    // What it begins is looked at when it could have the lock, not while others share that.
    if (first->begin != nullptr && ToBeHad(lock, first->mode, first->permits) &&
        ClaimUnder(*first->begin, lock) != Chance::kFree) {
      if (steps == 0) return PutOff(lock);
      --steps;
      TellEnded(first);
      continue;
    }
    const bool alone = first->mode == LockMode::kExclusive;
    if (first->set != nullptr) {
      // Takes nothing from who is late, and may still finish, before it can have all.
      if (!GrantIfReady(first)) return true;
    } else {
      if (overdue) Overtake(lock, *first->session);
      if (!Free(lock, first->mode, first->permits)) return true;
      if (first->begin != nullptr) {
        GrantUnder(first);
      } else {
        Grant(first);
      }
    }
    if (alone) return true;
    // Others may come in with it.
    if (steps == 0) return lock.queue.first == nullptr || PutOff(lock);
    --steps;
  }
  return true;
}

void Locks::SettleAfterLeaving(Lock& lock, std::uint64_t& steps) {
  // A holder in time lets nobody in, whoever leaves; what is pending has its turn to come.
  if ((lock.holder == nullptr || Overdue(lock)) && lock.queue.first != nullptr &&
      lock.pending == 0) {
    Settle(lock, steps);
  }
}

bool Locks::PutOff(Lock& lock) {
  if (lock.pending != 0) return false;
  core_->Touch(lock);
  lock.pending = ++counters.last_pending;
  pending_.push_back(&lock);
  return false;
}

void Locks::RetireIfIdle(Lock& lock) {
  if (Idle(lock)) Retire(locks_.find(KeyOf(lock)));
}

void Locks::Retire(Table::iterator place) {
  if ((*place)->journal == nullptr || (*place)->kind == ObjectKind::kOperation) {
    --counts_[static_cast<std::size_t>((*place)->kind)];
    Erase(place);
  } else if (Used(**place)) {
    Rest(**place);
  }
}

void Locks::Erase(Table::iterator place) {
  constexpr std::size_t kSpareMax = 64;
  constexpr std::size_t kSpareValueMax = 256;
  core_->Touch(**place);
  if ((*place)->journal == nullptr && (*place)->shares == nullptr && spare_.size() < kSpareMax &&
      (*place)->value.capacity() <= kSpareValueMax) {
    spare_.push_back(std::move(locks_.extract(place).value()));
  } else {
    locks_.erase(place);
  }
}

}  // namespace tenure::machine
