// Attempts at operations that are one with a lock: see Begin::lock.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "machine/locks.h"

namespace tenure::machine {

// ---- The command
// ---------------------------------------------------------------------------------

void Locks::RunUnder(Session& session, Sequence sequence, const Begin& begin, Reply& reply) {
  if (!Check(session, begin.lock, begin.value, reply)) return;
  BeginUnder wanted{NameOf(begin.scope, begin.key), begin.fingerprint,
                    std::min(begin.retention_ns, core_->limits.retention_max_ns)};
  std::uint64_t steps = kStepsPerCommand;
  Lock* operation = FindOperation(wanted.name);
  if (operation != nullptr) Settle(*operation, steps);
  Lock* lock = Find(ObjectKind::kLock, begin.lock);
  if (lock != nullptr) Settle(*lock, steps);
  operation = FindOperation(wanted.name);  // which that may have made
  const auto retire = [&] {
    if (lock != nullptr) RetireIfIdle(*lock);
  };

  switch (ClaimUnder(operation, begin.fingerprint, lock)) {
    case Chance::kFree:
      break;
    case Chance::kDone:
      reply.result = DescribeOutcome(*OperationOf(*operation));
      return retire();
    case Chance::kMismatch:
      Refuse(reply, ReplyCode::kMismatch,
             absl::StrCat("the key '", begin.key, "' was begun with another fingerprint"));
      return retire();
    case Chance::kElsewhere:
      Refuse(reply, ReplyCode::kConflict,
             absl::StrCat("the key '", begin.key, "' is attempted without the lock '", begin.lock,
                          "': all who may attempt it have to name the same"));
      return retire();
  }
  AcquireLock whole;
  if (lock != nullptr && !CheckFits(session, *lock, whole, reply)) return retire();

  const std::int64_t held_back_ns = HeldBackNs(lock);
  const bool free = held_back_ns == 0 &&
                    (lock == nullptr ||
                     (lock->queue.first == nullptr && ToBeHad(*lock, LockMode::kExclusive, 0)));
  if (!free && begin.wait_ns == 0) {
    reply.result = DescribeUnder(lock);
    return retire();
  }
  if (!HasRoomUnder(session, begin, operation, lock, !free, reply)) return retire();
  if (!free) {
    reply.result = DescribeUnder(lock);
    if (lock == nullptr) {
      lock = Create(locks_.lower_bound(Key{ObjectKind::kLock, begin.lock}), ObjectKind::kLock,
                    begin.lock);
    }
    SetTotal(*lock, 0);
    core_->hash.AddBytes(wanted.name);
    core_->hash.AddBytes(wanted.fingerprint);
    core_->hash.AddSigned(wanted.retention_ns);
    core_->hash.AddSigned(begin.deadline_ns);
    Enqueue(*lock, session, sequence,
            {ObjectKind::kLock, begin.lock, begin.wait_ns, begin.value, 0, nullptr});
    lock->queue.last->attempt_ns = begin.deadline_ns;
    lock->queue.last->begin = std::make_unique<BeginUnder>(std::move(wanted));
    return;
  }
  if (lock == nullptr) {
    lock = Create(locks_.lower_bound(Key{ObjectKind::kLock, begin.lock}), ObjectKind::kLock,
                  begin.lock);
  }
  SetTotal(*lock, 0);
  Overtake(*lock, session);
  session.claims.try_emplace(session.claims.end(), sequence, Claim{lock, nullptr});
  const Lock& started =
      StartUnder(*lock, session, sequence, begin.value, wanted, begin.deadline_ns);
  SettleRest(steps);
  const OperationRecord& record = *OperationOf(started);
  reply.result = AttemptStarted{lock->token, record.point, record.attempts};
}

// ---- Checks
// --------------------------------------------------------------------------------------

Locks::Chance Locks::ClaimUnder(const Lock* operation, absl::string_view fingerprint,
                                const Lock* lock) {
  if (operation == nullptr) return Chance::kFree;
  const OperationRecord& record = *OperationOf(*operation);
  if (record.fingerprint != fingerprint) return Chance::kMismatch;
  if (record.done) return Chance::kDone;
  // What the dead have is anybody's, though it is not cleared away yet.
  if (operation->holder == nullptr || operation->holder->dead ||
      (lock != nullptr && record.under == lock)) {
    return Chance::kFree;
  }
  return record.under == nullptr && record.overdue ? Chance::kFree : Chance::kElsewhere;
}

Locks::Chance Locks::ClaimUnder(const BeginUnder& begin, const Lock& lock) {
  const Lock* const operation = Find(ObjectKind::kOperation, begin.name);
  if (operation == nullptr || (Expired(*OperationOf(*operation)) && !Awaited(*operation))) {
    return Chance::kFree;
  }
  return ClaimUnder(operation, begin.fingerprint, &lock);
}

bool Locks::HasRoomUnder(const Session& session, const Begin& begin, const Lock* operation,
                         const Lock* lock, bool to_wait, Reply& reply) const {
  if (!HasRoom(lock, ObjectKind::kLock, reply) || !HasRoomToBegin(begin, operation, reply)) {
    return false;
  }
  if (session.claims.size() + 2 > core_->limits.locks_per_session_max) {
    Refuse(reply, ReplyCode::kLimit,
           absl::StrCat("this session holds or waits for ", session.claims.size(),
                        " locks, and two more would pass its limit; release some"));
    return false;
  }
  return !to_wait || HasRoomToWait(session, lock == nullptr ? 0 : lock->queue.size,
                                   core_->limits.waiters_per_lock_max, reply);
}

// ---- Grants
// --------------------------------------------------------------------------------------

Lock& Locks::StartUnder(Lock& lock, Session& session, Sequence begin, const std::string& value,
                        const BeginUnder& wanted, std::int64_t attempt_ns) {
  Lock* operation = FindOperation(wanted.name);
  if (operation == nullptr) {
    operation = Create(locks_.lower_bound(Key{ObjectKind::kOperation, wanted.name}),
                       ObjectKind::kOperation, wanted.name);
    operation->journal->operation = std::make_unique<OperationRecord>();
    OperationOf(*operation)->fingerprint = wanted.fingerprint;
  }
  Overtake(*operation, session);
  core_->Touch(*operation);
  OperationRecord& record = *OperationOf(*operation);
  record.retention_ns = wanted.retention_ns;
  core_->hash.AddBytes(record.fingerprint);
  core_->hash.AddSigned(record.retention_ns);

  const Revision token = core_->Raise();
  Grant(lock, session, begin, value, token);
  const ClaimKey second{begin, 1};
  session.claims.try_emplace(second, Claim{operation, nullptr});
  Grant(*operation, session, second, "", token);
  SharesOf(lock).attempt = operation;
  record.under = &lock;
  StartAttempt(*operation, attempt_ns);
  Record(lock, token, ChangeKind::kGranted);
  return *operation;
}

void Locks::GrantUnder(Wait* wait) {
  Session& session = *wait->session;
  Lock& lock = *wait->lock;
  const Sequence acquire = wait->acquire;
  const std::int64_t attempt_ns = wait->attempt_ns;
  const std::string value = wait->value;
  Unlink(wait);
  const std::unique_ptr<BeginUnder> wanted = std::move(wait->begin);
  delete wait;
  session.claims.find(acquire)->second.wait = nullptr;
  TellStarted(StartUnder(lock, session, acquire, value, *wanted, attempt_ns));
}

// ---- Descriptions
// --------------------------------------------------------------------------------

AttemptInProgress Locks::DescribeUnder(const Lock* lock) const {
  AttemptInProgress progress;
  if (lock != nullptr && AttemptOf(*lock) != nullptr) progress = DescribeAttempt(*AttemptOf(*lock));
  if (lock != nullptr) {
    progress.holder = DescribeHolder(*lock);
    progress.ahead = lock->queue.size;
  }
  progress.held_back_ns = HeldBackNs(lock);
  return progress;
}

}  // namespace tenure::machine
