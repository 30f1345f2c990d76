// Several locks at once, all or none.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "machine/locks.h"

namespace tenure::machine {

// ---- The command
// ---------------------------------------------------------------------------------

void Locks::Run(Session& session, Sequence sequence, const AcquireAll& all, Reply& reply) {
  if (!CheckAll(session, all, reply)) return;
  std::vector<Lock*> locks;
  std::uint64_t steps = kStepsPerCommand;
  for (const LockInSet& part : all.locks) {
    locks.push_back(Find(ObjectKind::kLock, part.name));
    if (locks.back() != nullptr) Settle(*locks.back(), steps);
  }
  const auto retire = [&] {
    for (Lock* lock : locks) {
      if (lock != nullptr) RetireIfIdle(*lock);
    }
  };
  if (!CheckFitAll(session, all, locks, reply)) return retire();

  std::size_t blocked = locks.size();
  for (std::size_t i = locks.size(); i-- > 0;) {
    if (locks[i] == nullptr) continue;
    const bool free = locks[i]->queue.first == nullptr && ToBeHad(*locks[i], all.locks[i].mode, 0);
    if (!free || HeldBackNs(locks[i]) > 0) blocked = i;
  }
  const bool granted = blocked == locks.size() && core_->HeldBackNs() == 0;
  if (blocked == locks.size()) blocked = 0;
  const Lock* const blocking = locks[blocked];
  // Of the one that is named.
  const std::int64_t held_back_ns =
      std::max(core_->HeldBackNs(), blocking == nullptr ? 0 : HeldBackNs(blocking));
  if (!granted && all.wait_ns == 0) {
    LockHeld& held = reply.result.emplace<LockHeld>();
    held.held_back_ns = held_back_ns;
    held.name = all.locks[blocked].name;
    if (blocking != nullptr) {
      held.holder = DescribeHolder(*blocking);
      held.waiting = blocking->queue.size;
    }
    return retire();
  }
  if (!HasRoomForAll(session, locks, !granted, reply)) return retire();
  if (!granted && all.detect_deadlock) {
    std::vector<DeadlockSearch::Part> parts;
    for (std::size_t i = 0; i < locks.size(); ++i) {
      parts.push_back({locks[i], all.locks[i].mode, 0});
    }
    if (ClosesCycle(session, all.owner, parts, reply)) return retire();
  }
  if (!granted) {
    LockQueued& queued = reply.result.emplace<LockQueued>();
    queued.held_back_ns = held_back_ns;
    queued.name = all.locks[blocked].name;
    if (blocking != nullptr) {
      queued.holder = DescribeHolder(*blocking);
      queued.ahead = blocking->queue.size;
    }
  }

  const Revision id = core_->Raise();
  std::vector<Wait*> parts;
  for (std::size_t i = 0; i < locks.size(); ++i) {
    if (granted && locks[i] != nullptr) Overtake(*locks[i], session);
    if (locks[i] == nullptr) {
      const std::string& name = all.locks[i].name;
      locks[i] = Create(locks_.lower_bound(Key{ObjectKind::kLock, name}), ObjectKind::kLock, name);
    }
    SetTotal(*locks[i], 0);
    Wait* wait = NewWait(*locks[i], session, {sequence, static_cast<std::uint32_t>(i)}, id);
    wait->mode = all.locks[i].mode;
    wait->value = all.value;
    wait->owner = all.owner;
    if (wait->mode == LockMode::kExclusive) wait->delay_ns = all.delay_ns;
    core_->hash.Add(static_cast<std::uint64_t>(wait->mode));
    parts.push_back(wait);
  }
  if (all.delay_ns > 0) core_->hash.AddSigned(all.delay_ns);
  core_->hash.AddBytes(all.value);
  core_->hash.AddBytes(all.owner);
  if (granted) {
    reply.result = GrantAll(parts);
    SettleRest(steps);
    return;
  }
  auto* set = new WaitSet{std::move(parts), static_cast<std::uint32_t>(locks.size())};
  // One timer is enough: they end together.
  set->parts[0]->deadline_ns = SaturatingAdd(core_->now_ns, all.wait_ns);
  core_->hash.AddSigned(set->parts[0]->deadline_ns);
  for (Wait* wait : set->parts) {
    wait->set = set;
    Link(wait);
    if (core_->HeldBackNs() > 0) PutOff(*wait->lock);
  }
}

// ---- Checks
// --------------------------------------------------------------------------------------

bool Locks::CheckAll(const Session& session, const AcquireAll& all, Reply& reply) const {
  const auto invalid = [&reply](std::string message) {
    Refuse(reply, ReplyCode::kInvalid, std::move(message));
    return false;
  };
  if (all.locks.empty() || all.locks.size() > core_->limits.locks_at_once_max) {
    return invalid(absl::StrCat(all.locks.size(), " locks are asked for at once; from 1 to ",
                                core_->limits.locks_at_once_max, " can be"));
  }
  if (all.wait_ns < 0) return invalid("a wait must not be negative");
  std::vector<absl::string_view> names;
  for (const LockInSet& part : all.locks) {
    if (part.mode != LockMode::kExclusive && part.mode != LockMode::kShared) {
      return invalid("permits are not taken together with locks");
    }
    if (!Check(session, part.name, all.value, reply)) return false;
    names.push_back(part.name);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) {
    return invalid(absl::StrCat("the lock '", *twice, "' is asked for twice"));
  }
  AcquireLock whole;
  const auto exclusive = [](const LockInSet& part) { return part.mode == LockMode::kExclusive; };
  if (std::none_of(all.locks.begin(), all.locks.end(), exclusive)) whole.mode = LockMode::kShared;
  whole.delay_ns = all.delay_ns;
  whole.owner = all.owner;
  whole.detect_deadlock = all.detect_deadlock;
  return CheckMode(whole, reply);
}

bool Locks::CheckFitAll(const Session& session, const AcquireAll& all,
                        const std::vector<Lock*>& locks, Reply& reply) const {
  AcquireLock part;
  part.owner = all.owner;
  for (std::size_t i = 0; i < locks.size(); ++i) {
    part.mode = all.locks[i].mode;
    if (locks[i] != nullptr && !CheckFits(session, *locks[i], part, reply)) return false;
  }
  return true;
}

bool Locks::HasRoomForAll(const Session& session, const std::vector<Lock*>& locks, bool to_wait,
                          Reply& reply) const {
  const Limits& limits = core_->limits;
  const auto full = [&reply](std::string message) {
    Refuse(reply, ReplyCode::kLimit, std::move(message));
    return false;
  };
  std::uint64_t added = 0;
  for (const Lock* lock : locks) added += lock == nullptr || !Used(*lock);
  if (count(ObjectKind::kLock) + added > limits.locks_max) {
    return full(absl::StrCat("the cluster has ", count(ObjectKind::kLock), " locks, and ", added,
                             " more would pass its limit; wait until some are released"));
  }
  if (session.claims.size() + locks.size() > limits.locks_per_session_max) {
    return full(absl::StrCat("this session holds or waits for ", session.claims.size(),
                             " locks, and so many more would pass its limit; release some"));
  }
  if (!to_wait) return true;
  if (session.waits + session.events.size() + locks.size() > limits.waits_per_session_max) {
    return full(absl::StrCat("this session has ", session.waits, " waits and ",
                             session.events.size(), " events not acknowledged; the limit is ",
                             limits.waits_per_session_max));
  }
  for (const Lock* lock : locks) {
    const std::uint64_t waiting = lock == nullptr ? 0 : lock->queue.size;
    if (!HasRoomToWait(session, waiting, limits.waiters_per_lock_max, reply)) return false;
  }
  return true;
}

// ---- Grants
// --------------------------------------------------------------------------------------

bool Locks::Ready(const WaitSet& set) const {
  return std::all_of(set.parts.begin(), set.parts.end(), [this](const Wait* part) {
    return part != nullptr && part->lock->queue.first == part && HeldBackNs(part->lock) == 0 &&
           ToBeHad(*part->lock, part->mode, 0);
  });
}

LockGranted Locks::GrantAll(const std::vector<Wait*>& parts) {
  LockGranted granted;
  granted.token = core_->Raise();
  for (Wait* wait : parts) {
    Lock& lock = *wait->lock;
    wait->set = nullptr;
    if (wait->mode == LockMode::kShared) {
      TakeShare(wait, granted.token);
      granted.fences.push_back(lock.shares->first);
      continue;
    }
    const ClaimKey key{wait->acquire, wait->part};
    wait->session->claims.find(key)->second.wait = nullptr;
    Grant(lock, *wait->session, key, wait->value, granted.token);
    if (wait->delay_ns > 0 || !wait->owner.empty()) {
      SharesOf(lock).delay_ns = wait->delay_ns;
      SharesOf(lock).owner = wait->owner;
    }
    delete wait;
    Record(lock, lock.token, ChangeKind::kGranted);
    granted.fences.push_back(0);
  }
  granted.fence = granted.fences[0];
  if (granted.fences.size() == 1) granted.fences.clear();
  return granted;
}

bool Locks::GrantIfReady(Wait* wait) {
  WaitSet* const set = wait->set;
  if (!Ready(*set)) return false;
  const std::vector<Wait*>& parts = set->parts;
  Session& session = *wait->session;
  const Sequence acquire = wait->acquire;
  const Lock* const settling = wait->lock;
  const Lock& first = *parts[0]->lock;
  for (Wait* part : parts) {
    Unlink(part);
    part->deadline_ns = kWaitForever;
    Overtake(*part->lock, session);
    // Others may come in with what it shares.
    const bool more = part->mode == LockMode::kShared && part->lock->queue.first != nullptr;
    if (more && part->lock != settling) unsettled_.push_back(part->lock);
  }
  LockGranted granted = GrantAll(parts);
  delete set;
  sessions_->Tell(session, {session.id, granted.token,
                            LockGrantedEvent{acquire, first.name, granted.token, granted.fence, 0,
                                             std::move(granted.fences)}});
  return true;
}

LockGranted Locks::GrantOf(const Session& session, Sequence sequence) {
  LockGranted granted;
  const auto first = session.claims.lower_bound(sequence);
  for (auto it = first; it != session.claims.end() && it->first.sequence == sequence; ++it) {
    const Lock& lock = *it->second.lock;
    const LockGranted part =
        it->second.wait != nullptr ? GrantOf(lock, *it->second.wait) : LockGranted{lock.token};
    granted.token = part.token;
    if (it == first) granted.fence = part.fence;
    if (it == first) granted.seat = part.seat;
    granted.fences.resize(it->first.part + std::size_t{1});
    granted.fences.back() = part.fence;
  }
  if (granted.fences.size() == 1) granted.fences.clear();
  return granted;
}

// ---- Ends
// ----------------------------------------------------------------------------------------

void Locks::LeaveSet(Wait* wait) {
  if (wait->set == nullptr) return;
  wait->set->parts[wait->part] = nullptr;
  if (--wait->set->left == 0) delete wait->set;
  wait->set = nullptr;
}

void Locks::EndWhole(Wait* wait, std::uint64_t& steps) {
  if (wait->set == nullptr) {
    Lock& lock = *wait->lock;
    EndWait(wait);
    SettleAfterLeaving(lock, steps);
    return RetireIfIdle(lock);
  }
  const std::vector<Wait*> parts = wait->set->parts;
  std::vector<Lock*> left;
  for (Wait* part : parts) {
    if (part == nullptr) continue;
    left.push_back(part->lock);
    EndWait(part);
  }
  for (Lock* lock : left) {
    SettleAfterLeaving(*lock, steps);
    RetireIfIdle(*lock);
  }
}

}  // namespace tenure::machine
