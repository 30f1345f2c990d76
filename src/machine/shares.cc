// Locks that are shared, semaphores, delays after a loss, and what administrators may do.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "machine/locks.h"

namespace tenure::machine {
namespace {

// What was asked for by mistake is over in an hour. Part of the rules of machine version 1.
constexpr std::int64_t kDelayMaxNs = 3'600'000'000'000;

}  // namespace

// ---- Requests
// ------------------------------------------------------------------------------------

bool Locks::CheckMode(const AcquireLock& acquire, Reply& reply) const {
  const auto invalid = [&reply](std::string message) {
    Refuse(reply, ReplyCode::kInvalid, std::move(message));
    return false;
  };
  if (acquire.owner.size() > core_->limits.label_bytes_max) {
    return invalid(absl::StrCat("the owner has ", acquire.owner.size(), " bytes; the limit is ",
                                core_->limits.label_bytes_max));
  }
  const bool semaphore = acquire.mode == LockMode::kPermits;
  if (!semaphore && (acquire.permits != 0 || acquire.total != 0)) {
    return invalid("a lock has no permits");
  }
  if (semaphore && (acquire.permits == 0 || acquire.permits > acquire.total ||
                    acquire.total > core_->limits.permits_max)) {
    return invalid(absl::StrCat(acquire.permits, " of ", acquire.total,
                                " permits are asked for: the first must not be 0 nor above the ",
                                "second, nor that above ", core_->limits.permits_max));
  }
  if (acquire.delay_ns < 0 || (acquire.delay_ns > 0 && acquire.mode != LockMode::kExclusive)) {
    return invalid("a delay must not be negative, and is for exclusive locks");
  }
  if (acquire.delay_ns > kDelayMaxNs) {
    return invalid("a delay lasts an hour at most");
  }
  if (acquire.detect_deadlock && acquire.owner.empty()) {
    return invalid("the detection of deadlocks needs an owner");
  }
  if (acquire.reentrant && (semaphore || acquire.owner.empty())) {
    return invalid(semaphore ? "permits are not reentrant" : "re-entrancy needs an owner");
  }
  return true;
}

bool Locks::CheckFits(const Session& session, const Lock& lock, const AcquireLock& acquire,
                      Reply& reply) const {
  const auto conflict = [&reply](std::string message) {
    Refuse(reply, ReplyCode::kConflict, std::move(message));
    return false;
  };
  const bool used = lock.holder != nullptr || lock.queue.first != nullptr || InShares(lock);
  const std::uint64_t total = lock.shares == nullptr ? 0 : lock.shares->total;
  if (used && total != acquire.total) {
    if (total == 0) return conflict(absl::StrCat("'", lock.name, "' is a lock, no semaphore"));
    return conflict(absl::StrCat("'", lock.name, "' is a semaphore of ", total, " permits"));
  }
  if (acquire.reentrant && acquire.mode == LockMode::kShared && Holds(session, lock, acquire)) {
    return conflict(absl::StrCat("this owner holds the lock '", lock.name,
                                 "' exclusively and cannot share it too: downgrade it"));
  }
  const bool shares =
      lock.shares != nullptr && lock.shares->owners.count({session.id, acquire.owner}) != 0;
  if (acquire.reentrant && shares && acquire.mode == LockMode::kShared &&
      lock.queue.first != nullptr) {
    return conflict(absl::StrCat("this owner shares the lock '", lock.name,
                                 "', and somebody waits for that to end: release it first"));
  }
  // It would wait for itself, for ever (PITFALLS L19).
  if (acquire.mode == LockMode::kExclusive && shares) {
    return conflict(
        absl::StrCat("this session shares the lock '", lock.name,
                     "' and cannot wait for it to be free of itself: release it first"));
  }
  return true;
}

bool Locks::ClosesCycle(const Session& session, const std::string& owner,
                        const std::vector<DeadlockSearch::Part>& parts, Reply& reply) const {
  std::vector<WaitingOwner> cycle = DeadlockSearch(named_, session, owner, parts).Run();
  if (cycle.empty()) return false;
  std::string message = "this wait would never end:";
  for (const WaitingOwner& waiting : cycle) {
    absl::StrAppend(&message, &waiting == cycle.data() ? " " : ", and ", "owner '", waiting.owner,
                    "' of session ", waiting.session, " waits for '", waiting.lock, "'");
  }
  absl::StrAppend(
      &message,
      cycle.size() == 1 ? ", which it keeps itself from" : ", which the first keeps it from",
      ": release what the others wait for");
  Refuse(reply, ReplyCode::kDeadlock, std::move(message));
  reply.result = Deadlock{std::move(cycle)};
  return true;
}

bool Locks::Holds(const Session& session, const Lock& lock, const AcquireLock& acquire) {
  return lock.holder == &session && lock.shares != nullptr && lock.shares->owner == acquire.owner;
}

void Locks::SetTotal(Lock& lock, std::uint64_t total) {
  if ((lock.shares == nullptr ? 0 : lock.shares->total) == total) return;
  core_->Touch(lock);
  SharesOf(lock).total = total;
}

bool Locks::Free(const Lock& lock, LockMode mode, std::uint64_t permits) {
  if (lock.holder != nullptr) return false;
  if (lock.shares == nullptr || lock.shares->holders.empty()) return true;
  switch (mode) {
    case LockMode::kExclusive:
      return false;
    case LockMode::kShared:
      return true;
    case LockMode::kPermits:
      return lock.shares->taken + permits <= lock.shares->total;
  }
  return false;
}

std::int64_t Locks::HeldBackNs(const Lock* lock) const {
  const std::int64_t all_ns = core_->HeldBackNs();
  if (lock == nullptr || lock->shares == nullptr || lock->shares->delayed_until_ns == 0) {
    return all_ns;
  }
  return std::max(all_ns, lock->shares->delayed_until_ns - core_->now_ns);
}

// ---- Shares
// --------------------------------------------------------------------------------------

Shares& Locks::SharesOf(Lock& lock) {
  if (lock.shares == nullptr) lock.shares = std::make_unique<Shares>();
  return *lock.shares;
}

void Locks::TakeShare(Wait* wait, Revision token) {
  Lock& lock = *wait->lock;
  core_->Touch(lock);
  Shares& shares = SharesOf(lock);
  // Who shares with the dead alone is the first again, and fences them off.
  std::uint64_t steps = kStepsPerCommand;
  PurgeShares(lock, steps);
  wait->token = token;
  wait->granted_ns = core_->now_ns;
  wait->deadline_ns = kWaitForever;
  if (wait->mode == LockMode::kShared) {
    if (shares.holders.empty()) shares.first = wait->token;
    ++shares.owners[{wait->session->id, wait->owner}];
  } else {
    shares.taken += wait->permits;
    if (shares.free_seats.empty()) {
      wait->seat = shares.seats++;
    } else {
      wait->seat = *shares.free_seats.begin();
      shares.free_seats.erase(shares.free_seats.begin());
    }
  }
  shares.holders.emplace(wait->token, wait);
  core_->hash.Add(wait->token);
  core_->hash.Add(wait->session->id);
  core_->hash.Add(wait->seat);
  core_->hash.AddBytes(lock.name);
  Change change;
  change.revision = wait->token;
  change.token = wait->token;
  change.session = wait->session->id;
  change.label = wait->session->label;
  change.value = wait->value;
  Record(lock, std::move(change));
}

Wait* Locks::FindShare(const Lock& lock, const Session& session, Revision token) {
  if (lock.shares == nullptr) return nullptr;
  const auto share = lock.shares->holders.find(token);
  const bool own = share != lock.shares->holders.end() && share->second->session == &session;
  return own ? share->second : nullptr;
}

LockGranted Locks::GrantOf(const Lock& lock, const Wait& share) {
  const bool shared = share.mode == LockMode::kShared;
  return {share.token, shared ? lock.shares->first : 0, share.seat};
}

void Locks::DropShare(Wait* share, ChangeKind why, absl::string_view by) {
  Lock& lock = *share->lock;
  core_->Touch(lock);
  core_->Touch(*share);
  Shares& shares = *lock.shares;
  core_->hash.Add(share->token);
  shares.holders.erase(share->token);
  if (share->mode == LockMode::kShared) {
    const auto owner = shares.owners.find({share->session->id, share->owner});
    if (--owner->second == 0) shares.owners.erase(owner);
  } else {
    shares.taken -= share->permits;
    shares.free_seats.insert(share->seat);
  }
  if (shares.holders.empty()) {
    shares.free_seats.clear();
    shares.seats = 0;
    shares.first = 0;
  }
  if (lock.journal != nullptr) {
    Change change;
    change.revision = core_->Raise();
    change.kind = why;
    change.token = share->token;
    change.session = share->session->id;
    change.label = share->session->label;
    change.value = std::string(by);
    Record(lock, std::move(change));
  }
  DropClaim(*share->session, {share->acquire, share->part});
  delete share;
}

void Locks::PurgeShares(Lock& lock, std::uint64_t& steps) {
  if (sessions_->FirstDead() == nullptr) return;
  auto& holders = lock.shares->holders;
  for (auto it = holders.begin(); it != holders.end() && steps > 0;) {
    Wait* const share = (it++)->second;
    --steps;
    if (!share->session->dead) continue;
    const Revision token = share->token;
    DropShare(share, ChangeKind::kLost);
    it = holders.upper_bound(token);
  }
}

void Locks::Run(Session& session, const Downgrade& downgrade, Reply& reply) {
  const auto place = FindHeld(session, {ObjectKind::kLock, downgrade.name}, downgrade.token, reply);
  if (place == locks_.end()) return;
  Lock& lock = **place;
  if (lock.shares != nullptr && lock.shares->more_holds > 0) {
    return Refuse(reply, ReplyCode::kConflict,
                  absl::StrCat("'", lock.name, "' is held ", 1 + lock.shares->more_holds,
                               " times: release all but one first"));
  }
  if (AttemptOf(lock) != nullptr) {
    return Refuse(reply, ReplyCode::kConflict,
                  absl::StrCat("'", lock.name, "' is held as one with an attempt"));
  }
  core_->Touch(lock);
  core_->Raise();
  Shares& shares = SharesOf(lock);
  Wait* share = new Wait;
  share->session = &session;
  share->lock = &lock;
  share->acquire = lock.acquire;
  share->part = lock.part;
  share->id = core_->Raise();
  share->epoch = core_->epoch;
  share->value = std::move(lock.value);
  share->mode = LockMode::kShared;
  share->owner = std::move(shares.owner);
  share->token = lock.token;
  share->granted_ns = lock.granted_ns;
  session.claims.find({lock.acquire, lock.part})->second.wait = share;
  ++shares.owners[{session.id, share->owner}];
  shares.holders.emplace(share->token, share);
  shares.first = share->token;
  shares.delay_ns = 0;
  shares.owner.clear();
  lock.holder = nullptr;
  lock.token = 0;
  lock.value.clear();
  core_->hash.Add(share->id);
  reply.result = GrantOf(lock, *share);
  std::uint64_t steps = kStepsPerCommand;
  Settle(lock, steps);
}

// ---- Delays
// --------------------------------------------------------------------------------------

void Locks::StartDelay(Lock& lock, std::int64_t delay_ns) {
  if (delay_ns == 0) return;
  Shares& shares = *lock.shares;
  shares.delayed_until_ns = SaturatingAdd(core_->now_ns, delay_ns);
  shares.delay = core_->Raise();
  delays_.Add(shares.delayed_until_ns, shares.delay, &lock);
  core_->hash.AddSigned(shares.delayed_until_ns);
}

void Locks::EndDelay(Lock& lock, std::uint64_t& steps) {
  core_->Touch(lock);
  delays_.Remove(lock.shares->delayed_until_ns, lock.shares->delay);
  core_->hash.Add(lock.shares->delay);
  lock.shares->delayed_until_ns = 0;
  lock.shares->delay = 0;
  Settle(lock, steps);
  RetireIfIdle(lock);
}

// ---- Administrators
// ------------------------------------------------------------------------------

void Locks::Run(const Session& session, const BreakLock& broken, Reply& reply) {
  if (broken.reason.size() > core_->limits.label_bytes_max) {
    return Refuse(reply, ReplyCode::kInvalid,
                  absl::StrCat("the reason has ", broken.reason.size(), " bytes; the limit is ",
                               core_->limits.label_bytes_max));
  }
  const bool operation = broken.kind == ObjectKind::kOperation;
  const std::string name = operation ? NameOf(broken.scope, broken.name) : broken.name;
  Lock* lock = Find(broken.kind, name);
  const auto absent = [&] {
    Refuse(reply, ReplyCode::kAbsent,
           absl::StrCat("nobody holds '", broken.name, "' with token ", broken.token));
  };
  if (lock == nullptr || broken.token == 0) return absent();
  std::uint64_t steps = kStepsPerCommand;
  const std::string by_whom =
      absl::StrCat("by ", session.label, " (session ", session.id, "): ", broken.reason);
  if (lock->shares != nullptr && lock->shares->delay == broken.token) {
    Change change{core_->Raise(), ChangeKind::kBroken, broken.token};
    change.value = absl::StrCat("ended ", by_whom);
    core_->hash.AddBytes(change.value);
    if (lock->journal == nullptr) StartJournal(*lock, change.revision - 1);
    Record(*lock, std::move(change));
    EndDelay(*lock, steps);
    reply.result = LockBroken{};
    return;
  }
  Wait* share = nullptr;
  if (lock->shares != nullptr) {
    const auto it = lock->shares->holders.find(broken.token);
    if (it != lock->shares->holders.end()) share = it->second;
  }
  Session* const loser = share != nullptr ? share->session : lock->holder;
  if (loser == nullptr || loser->dead || (share == nullptr && lock->token != broken.token)) {
    return absent();
  }
  const std::string by = absl::StrCat("broken ", by_whom);
  core_->hash.AddBytes(by);
  // The record of the break needs a place.
  if (lock->journal == nullptr) StartJournal(*lock, core_->revision);
  const Sequence acquire = share != nullptr ? share->acquire : lock->acquire;
  sessions_->Tell(*loser,
                  {loser->id, core_->Raise(),
                   LockLostEvent{acquire, std::string(ShownName(*lock)), broken.token, by}});
  if (share != nullptr) {
    DropShare(share, ChangeKind::kBroken, by);
  } else {
    Vacate(*lock, ChangeKind::kBroken, by);
  }
  Settle(*lock, steps);
  RetireIfIdle(*lock);
  reply.result = LockBroken{};
}

}  // namespace tenure::machine
