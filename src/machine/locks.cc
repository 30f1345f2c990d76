#include "machine/locks.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tenure::machine {
namespace {

// How many dead waiters one command may pass over before the rest is left to clean-up. Part of the
// rules of machine version 1.
constexpr std::uint64_t kStepsPerCommand = 32;

std::int64_t SaturatingAdd(std::int64_t a, std::int64_t b) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  return a > kMax - b ? kMax : a + b;
}

}  // namespace

Locks::~Locks() {
  for (const std::unique_ptr<Lock>& lock : locks_) {
    for (Wait* wait = lock->first; wait != nullptr;) delete std::exchange(wait, wait->next);
  }
}

// ---- Commands
// ------------------------------------------------------------------------------------

void Locks::Acquire(Session& session, Sequence sequence, const AcquireLock& acquire, Reply& reply) {
  if (!Check(session, acquire, reply)) return;
  const auto place = locks_.lower_bound(absl::string_view(acquire.name));
  Lock* lock = place != locks_.end() && (*place)->name == acquire.name ? place->get() : nullptr;
  std::uint64_t steps = kStepsPerCommand;
  if (lock != nullptr) HandOver(*lock, steps);

  const std::int64_t held_back_ns = core_->HeldBackNs();
  const bool free = lock == nullptr || (lock->holder == nullptr && lock->first == nullptr);
  if (free && held_back_ns == 0) {
    if (!HasRoom(session, lock, /*queues=*/false, reply)) return;
    if (lock == nullptr) lock = Create(place, acquire.name);
    session.claims.try_emplace(session.claims.end(), sequence, Claim{lock, nullptr});
    Grant(*lock, session, sequence, acquire.value);
    reply.result = LockGranted{lock->token};
    return;
  }
  if (acquire.wait_ns == 0) {
    LockHeld& held = reply.result.emplace<LockHeld>();
    held.held_back_ns = held_back_ns;
    if (lock == nullptr) return;
    held.holder = DescribeHolder(*lock);
    held.waiting = lock->waiting;
    EraseIfIdle(*lock);
    return;
  }
  if (!HasRoom(session, lock, /*queues=*/true, reply)) return;
  if (lock == nullptr) lock = Create(place, acquire.name);
  LockQueued& queued = reply.result.emplace<LockQueued>();
  queued.ahead = lock->waiting;
  queued.holder = DescribeHolder(*lock);
  queued.held_back_ns = held_back_ns;
  Enqueue(*lock, session, sequence, acquire);
}

void Locks::Cancel(Session& session, const CancelWait& cancel, Reply& reply) {
  const auto it = session.claims.find(cancel.acquire);
  if (it == session.claims.end()) {
    reply.result = WaitCancelled{};
    return;
  }
  Lock& lock = *it->second.lock;
  if (it->second.wait == nullptr) {  // the grant came first
    reply.result = LockGranted{lock.token};
    return;
  }
  core_->Raise();
  EndWait(it->second.wait);
  EraseIfIdle(lock);
  reply.result = WaitCancelled{};
}

void Locks::Release(Session& session, const ReleaseLock& release, Reply& reply) {
  const auto place = locks_.find(absl::string_view(release.name));
  // The token names the grant: a repeat cannot free a later one (PITFALLS L10).
  if (place == locks_.end() || (*place)->holder != &session || (*place)->token != release.token) {
    return Refuse(reply, ReplyCode::kNotHeld,
                  absl::StrCat("this session does not hold the lock '", release.name,
                               "' with token ", release.token));
  }
  Lock& lock = **place;
  core_->Raise();
  Vacate(lock);
  std::uint64_t steps = kStepsPerCommand;
  HandOver(lock, steps);
  if (Idle(lock)) Erase(place);
  reply.result = LockReleased{};
}

bool Locks::CheckName(const std::string& name, Reply& reply) const {
  if (name.empty()) {
    Refuse(reply, ReplyCode::kInvalid, "a lock's name must not be empty");
  } else if (name.size() > core_->limits.name_bytes_max) {
    Refuse(reply, ReplyCode::kInvalid,
           absl::StrCat("the lock's name has ", name.size(), " bytes; the limit is ",
                        core_->limits.name_bytes_max));
  } else {
    return true;
  }
  return false;
}

bool Locks::Check(const Session& session, const AcquireLock& acquire, Reply& reply) const {
  const Limits& limits = core_->limits;
  const auto invalid = [&reply](std::string message) {
    Refuse(reply, ReplyCode::kInvalid, std::move(message));
    return false;
  };
  if (!CheckName(acquire.name, reply)) return false;
  if (acquire.value.size() > limits.value_bytes_max) {
    return invalid(absl::StrCat("the holder's value has ", acquire.value.size(),
                                " bytes; the limit is ", limits.value_bytes_max));
  }
  if (acquire.wait_ns < 0) return invalid("a wait must not be negative");
  // Also when it is only to wait: the grant, later, refuses nobody.
  if (session.claims.size() >= core_->limits.locks_per_session_max) {
    Refuse(reply, ReplyCode::kLimit,
           absl::StrCat("this session holds or waits for ", session.claims.size(),
                        " locks, its limit; release some, or use another session"));
    return false;
  }
  return true;
}

bool Locks::HasRoom(const Session& session, const Lock* lock, bool queues, Reply& reply) const {
  const Limits& limits = core_->limits;
  const auto full = [&reply](std::string message) {
    Refuse(reply, ReplyCode::kLimit, std::move(message));
    return false;
  };
  if (lock == nullptr && locks_.size() >= limits.locks_max) {
    return full(absl::StrCat("the cluster has ", locks_.size(),
                             " locks, its limit; wait until some are released"));
  }
  if (!queues) return true;
  // Events count as well: they stay until the client says that it has them.
  if (session.waits + session.events.size() >= limits.waits_per_session_max) {
    return full(absl::StrCat("this session has ", session.waits, " waits and ",
                             session.events.size(), " events not acknowledged; the limit is ",
                             limits.waits_per_session_max));
  }
  if (lock != nullptr && lock->waiting >= limits.waiters_per_lock_max) {
    return full(absl::StrCat(lock->waiting, " are waiting for this lock already, its limit"));
  }
  return true;
}

// ---- Steps
// ---------------------------------------------------------------------------------------

Lock* Locks::Create(Table::iterator hint, const std::string& name) {
  std::unique_ptr<Lock> lock;
  if (spare_.empty()) {
    lock = std::make_unique<Lock>();
  } else {
    lock = std::move(spare_.back());
    spare_.pop_back();
  }
  lock->name = name;
  lock->epoch = core_->epoch;
  return locks_.insert(hint, std::move(lock))->get();
}

void Locks::Grant(Lock& lock, Session& session, Sequence acquire, const std::string& value) {
  core_->Touch(lock);
  lock.holder = &session;
  lock.token = core_->Raise();
  lock.acquire = acquire;
  lock.granted_ns = core_->now_ns;
  lock.value = value;
  core_->hash.Add(lock.token);
  core_->hash.Add(session.id);
  core_->hash.AddBytes(lock.name);
  core_->hash.AddBytes(lock.value);
}

void Locks::GrantFirst(Lock& lock) {
  Wait* wait = lock.first;
  Session& session = *wait->session;
  const Sequence acquire = wait->acquire;
  Grant(lock, session, acquire, wait->value);
  Unlink(wait);
  session.claims.find(acquire)->second.wait = nullptr;
  sessions_->Tell(session,
                  {session.id, lock.token, LockGrantedEvent{acquire, lock.name, lock.token}});
}

void Locks::Enqueue(Lock& lock, Session& session, Sequence sequence, const AcquireLock& acquire) {
  Wait* wait = new Wait;
  wait->session = &session;
  wait->lock = &lock;
  wait->acquire = sequence;
  wait->id = core_->Raise();
  wait->queued_ns = core_->now_ns;
  wait->deadline_ns = SaturatingAdd(core_->now_ns, acquire.wait_ns);
  wait->value = acquire.value;
  wait->epoch = core_->epoch;
  session.claims.try_emplace(session.claims.end(), sequence, Claim{&lock, wait});
  Link(wait);
  if (core_->HeldBackNs() > 0) PutOff(lock);
  core_->hash.Add(wait->id);
  core_->hash.Add(session.id);
  core_->hash.AddSigned(wait->deadline_ns);
  core_->hash.AddBytes(lock.name);
  core_->hash.AddBytes(wait->value);
}

void Locks::Link(Wait* wait) {
  Lock& lock = *wait->lock;
  wait->previous = lock.last;
  (lock.last == nullptr ? lock.first : lock.last->next) = wait;
  lock.last = wait;
  ++lock.waiting;
  ++wait->session->waits;
  if (wait->deadline_ns != kWaitForever) deadlines_.Add(wait->deadline_ns, wait->id, wait);
}

void Locks::Unlink(Wait* wait) {
  core_->Touch(*wait);
  Lock& lock = *wait->lock;
  (wait->previous == nullptr ? lock.first : wait->previous->next) = wait->next;
  (wait->next == nullptr ? lock.last : wait->next->previous) = wait->previous;
  --lock.waiting;
  --wait->session->waits;
  if (wait->deadline_ns != kWaitForever) deadlines_.Remove(wait->deadline_ns, wait->id);
  delete wait;
}

void Locks::EndWait(Wait* wait) {
  core_->hash.Add(wait->id);
  wait->session->claims.erase(wait->acquire);
  Unlink(wait);
}

void Locks::Vacate(Lock& lock) {
  core_->Touch(lock);
  core_->hash.Add(lock.token);
  lock.holder->claims.erase(lock.acquire);
  lock.holder = nullptr;
  lock.token = 0;
  lock.value.clear();
}

void Locks::HandOver(Lock& lock, std::uint64_t& steps) {
  if (lock.holder != nullptr) {
    if (!lock.holder->dead) return;
    Vacate(lock);
  }
  if (core_->HeldBackNs() > 0) return;
  while (lock.first != nullptr) {
    if (!lock.first->session->dead) return GrantFirst(lock);
    if (steps == 0) return PutOff(lock);
    --steps;
    EndWait(lock.first);
  }
}

void Locks::PutOff(Lock& lock) {
  if (lock.pending != 0) return;
  core_->Touch(lock);
  lock.pending = ++last_pending_;
  pending_.push_back(&lock);
}

void Locks::EraseIfIdle(Lock& lock) {
  if (Idle(lock)) Erase(locks_.find(absl::string_view(lock.name)));
}

void Locks::Erase(Table::iterator place) {
  constexpr std::size_t kSpareMax = 64;
  constexpr std::size_t kSpareValueMax = 256;
  core_->Touch(**place);
  if (spare_.size() < kSpareMax && (*place)->value.capacity() <= kSpareValueMax) {
    spare_.push_back(std::move(locks_.extract(place).value()));
  } else {
    locks_.erase(place);
  }
}

// ---- What time brings
// ----------------------------------------------------------------------------

void Locks::EndDueWaits() {
  while (Wait* wait = deadlines_.PopDue(core_->now_ns)) {
    Session& session = *wait->session;
    Lock& lock = *wait->lock;
    const Sequence acquire = wait->acquire;
    core_->Touch(*wait);
    wait->deadline_ns = kWaitForever;  // its timer is out already
    EndWait(wait);
    if (!session.dead) {
      sessions_->Tell(session, {session.id, core_->Raise(),
                                WaitEndedEvent{acquire, lock.name, WaitEnd::kDeadline}});
    }
    EraseIfIdle(lock);
  }
}

void Locks::HandOverPending() {
  if (core_->HeldBackNs() > 0) return;
  while (!pending_.empty() && core_->budget > 0) {
    Lock& lock = *pending_.front();
    HandOver(lock, core_->budget);
    // It keeps its place until it is through.
    if (lock.holder == nullptr && lock.first != nullptr) return;
    if (core_->budget > 0) --core_->budget;
    pending_.pop_front();
    core_->Touch(lock);
    lock.pending = 0;
    EraseIfIdle(lock);
  }
}

bool Locks::CleanUp(Session& dead) {
  while (!dead.claims.empty() && core_->budget > 0) {
    --core_->budget;
    const Claim claim = dead.claims.begin()->second;
    if (claim.wait != nullptr) {
      EndWait(claim.wait);
    } else {
      HandOver(*claim.lock, core_->budget);
    }
    EraseIfIdle(*claim.lock);
  }
  while (!dead.events.empty() && core_->budget > 0) {
    --core_->budget;
    core_->Touch(dead.events.begin()->second);
    dead.events.erase(dead.events.begin());
  }
  return dead.claims.empty() && dead.events.empty();
}

}  // namespace tenure::machine
