// The table of all that is held and waited for: locks, elections and attempts at operations; their
// queues, and who watches them.
#ifndef TENURE_MACHINE_LOCKS_H_
#define TENURE_MACHINE_LOCKS_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/strings/string_view.h"
#include "absl/types/compare.h"
#include "machine/core.h"
#include "machine/deadlocks.h"
#include "machine/limits.h"
#include "machine/sessions.h"
#include "machine/timers.h"
#include "tenure/command.h"

namespace tenure::machine {

struct Wait;

// The waits of an AcquireAll, one in the queue of each of its locks, from its command to its grant
// or its end.
struct WaitSet {
  std::vector<Wait*> parts;  // in its order; null: it has left, and so will the others
  std::uint32_t left = 0;    // how many are not null
};

// What a Begin that names a lock wants besides it, once it has the lock.
struct BeginUnder {
  std::string name;  // in the table
  std::string fingerprint;
  std::int64_t retention_ns = 0;
};

// One queued AcquireLock, Campaign or Begin, or one Observe or AwaitOperation: linked into its
// lock's queue, so that leaving it costs O(1). Or an AcquireLock that holds a share of its lock.
struct Wait {
  Session* session = nullptr;
  Lock* lock = nullptr;
  Sequence acquire = 0;  // of whichever of these
  Revision id = 0;       // the revision that queued it: the order of all waits
  std::int64_t queued_ns = 0;
  std::int64_t deadline_ns = kWaitForever;
  std::string value;
  std::uint32_t epoch = 0;
  std::uint8_t priority = 0;
  bool observes = false;
  Revision after = 0;           // of an Observe
  std::int64_t attempt_ns = 0;  // of a Begin: its deadline, from the attempt's start
  LockMode mode = LockMode::kExclusive;
  std::uint64_t permits = 0;
  std::int64_t delay_ns = 0;
  std::string owner;
  Revision token = 0;                 // of one that holds; 0: it waits
  std::int64_t granted_ns = 0;        // likewise
  std::uint64_t seat = 0;             // likewise, of a semaphore
  std::uint32_t part = 0;             // of an AcquireAll: which of its names
  WaitSet* set = nullptr;             // likewise, while it waits
  std::unique_ptr<BeginUnder> begin;  // of a Begin that waits for its lock
  Wait* previous = nullptr;
  Wait* next = nullptr;
};

struct Queue {
  Wait* first = nullptr;
  Wait* last = nullptr;
  std::uint32_t size = 0;
};

// What a key has, from its first Begin until it expires or is forgotten. Its lock is held by the
// attempt in progress, and waited for by those who would take over. Without one, it is done, or
// claimable.
struct OperationRecord {
  std::string fingerprint;
  std::string point;
  std::string response;
  bool done = false;
  bool failed = false;
  bool overdue = false;  // the attempt's deadline has passed: who comes may have it
  std::int64_t retention_ns = 0;
  std::int64_t attempt_ns = kWaitForever;   // the attempt's time, from each Checkpoint
  std::int64_t deadline_ns = kWaitForever;  // and its end
  std::int64_t expires_ns = kWaitForever;   // of the record; only while there is no attempt
  Revision expiry = 0;                      // the id of that timer
  std::uint64_t attempts = 0;
  Lock* under = nullptr;  // the lock that is held with the attempt
};

// What a lock has that is a semaphore, is shared, or whose exclusive holder wants a delay.
struct Shares {
  std::uint64_t total = 0;                   // of a semaphore; 0: it is none
  std::uint64_t taken = 0;                   // of these
  absl::btree_map<Revision, Wait*> holders;  // by their tokens
  Revision first = 0;                        // the token of the first who shares
  absl::btree_map<std::pair<SessionId, std::string>, std::uint32_t> owners;  // of those who share
  absl::btree_set<std::uint64_t> free_seats;                                 // below `seats`
  std::uint64_t seats = 0;
  std::int64_t delay_ns = 0;          // the exclusive holder's
  std::string owner;                  // likewise
  std::uint64_t more_holds = 0;       // likewise: after its first
  std::int64_t delayed_until_ns = 0;  // nobody gets it before; 0: no delay
  Revision delay = 0;                 // the id of that timer
  Lock* attempt = nullptr;            // the operation that is attempted with it
};

// What a watched lock, any election and any operation have besides.
struct Journal {
  std::deque<Change> changes;    // the last ones
  Revision dropped_through = 0;  // the last change before them
  Queue observers;               // in the order of `after`
  std::uint64_t idle = 0;        // its place among the idle; 0: it is used
  std::uint64_t untold = 0;  // its place among those whose observers are to be told; 0: none are
  // The last waits of each priority, and how many there are. Only of elections.
  struct Class {
    Wait* last = nullptr;
    std::uint32_t size = 0;
  };
  absl::btree_map<std::uint8_t, Class> classes;
  std::unique_ptr<OperationRecord> operation;

  Revision last_change() const {
    return changes.empty() ? dropped_through : changes.back().revision;
  }
};

// A lock, or an election, which is a lock with priorities and a journal. Exists while it is held,
// waited for or watched; with a journal also for a while afterwards.
struct Lock {
  ObjectKind kind = ObjectKind::kLock;
  std::string name;
  std::string value;          // the holder's
  Session* holder = nullptr;  // may be dead: then anyone who comes may have the lock
  Revision token = 0;
  Sequence acquire = 0;  // the holder's AcquireLock
  std::int64_t granted_ns = 0;
  Queue queue;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<Shares> shares;
  std::uint32_t epoch = 0;
  std::uint32_t part = 0;     // of the holder's AcquireAll
  std::uint64_t pending = 0;  // its place among the hand-overs to come; 0: it is not among them
};

// A lock that nobody living holds belongs to its first living waiter. The table makes that true
// whenever a command touches the lock, and for all others step by step within each entry's budget
// (PITFALLS T15), so that no entry pays for a session's whole estate.
class Locks {
 public:
  Locks(Core* core, Sessions* sessions) : core_(core), sessions_(sessions) {}
  ~Locks();
  Locks(const Locks&) = delete;
  Locks& operator=(const Locks&) = delete;

  void Acquire(Session& session, Sequence sequence, const AcquireLock& acquire, Reply& reply);
  void Run(Session& session, Sequence sequence, const AcquireAll& all, Reply& reply);
  void Run(Session& session, const Downgrade& downgrade, Reply& reply);
  void Run(const Session& session, const BreakLock& broken, Reply& reply);
  void Run(Session& session, Sequence sequence, const Campaign& campaign, Reply& reply);
  void Run(Session& session, const Proclaim& proclaim, Reply& reply);
  void Run(Session& session, const Resign& resign, Reply& reply);
  void Run(Session& session, const tenure::HandOver& hand_over, Reply& reply);
  void Run(Session& session, Sequence sequence, const Observe& observe, Reply& reply);
  void Cancel(Session& session, const CancelWait& cancel, Reply& reply);
  void Release(Session& session, const ReleaseLock& release, Reply& reply);

  void Run(Session& session, Sequence sequence, const Begin& begin, Reply& reply);
  void Run(Session& session, const Checkpoint& checkpoint, Reply& reply);
  void Run(Session& session, const Extend& extend, Reply& reply);
  void Run(Session& session, const FinishAttempt& finish, Reply& reply);
  void Run(Session& session, Sequence sequence, const AwaitOperation& await, Reply& reply);
  void Run(Session& session, const Forget& forget, Reply& reply);

  // Ends the waits and marks the attempts whose deadline has come, and removes the records that
  // expire, within the budget: by (due, id) over all of these.
  void RunTimers();
  // Goes on with the hand-overs that are left over, in their order, within the budget.
  void HandOverPending();
  // Tells observers of changes, each of which takes one step of `steps`.
  void TellObservers(std::uint64_t& steps);
  // Takes from a dead session what it held and waited for, in the order of its sequences, within
  // the budget. True when nothing is left.
  bool CleanUp(Session& dead);

  // The first whose kind and name are greater, in byte order. Null if there is none.
  Lock* NextAfter(ObjectKind kind, absl::string_view name) const;
  // The one of that kind and name. Null if there is none.
  Lock* Find(ObjectKind kind, absl::string_view name) const;
  // Put together again what a snapshot has of locks, then of their holders, then of waits, by their
  // ids. Null or false if there is one already, or the session has a claim with that sequence. At
  // last: FinishRestore().
  Lock* Restore(std::unique_ptr<Lock> lock);
  bool RestoreHolder(Lock& lock, Session& session);
  // That the operation's attempt is one with the lock. After their holders.
  static bool RestoreUnder(Lock& operation, Lock& lock);
  // `parts`: of an AcquireAll that waits, how many it has; 0 of anything else.
  bool RestoreWait(std::unique_ptr<Wait> wait, std::uint32_t parts);
  bool FinishRestore();
  // Counters that a snapshot has too.
  struct Counters {
    std::uint64_t last_pending = 0;
    std::uint64_t last_untold = 0;
    std::uint64_t last_idle = 0;
    // The last change of all that were forgotten when they had been idle for long.
    Revision forgotten_through = 0;
  };
  Counters counters;

  std::uint64_t count(ObjectKind kind) const { return counts_[static_cast<std::size_t>(kind)]; }
  // True if HandOverPending() or TellObservers() have anything to do.
  bool has_pending() const { return !pending_.empty(); }
  bool has_untold() const { return !untold_.empty(); }
  // True if records have expired that RunTimers() has not removed yet.
  bool has_expired() const {
    return expiries_.First() != nullptr && expiries_.First()->due_ns <= core_->now_ns;
  }
  bool has_expiries() const { return expiries_.First() != nullptr; }

  void Get(const GetLock& get, Reply& reply) const;
  void List(const ListLocks& list, Reply& reply) const;
  void Get(const GetElection& get, Reply& reply) const;
  void List(const ListElections& list, Reply& reply) const;
  void Get(const GetOperation& get, Reply& reply) const;
  void List(const ListOperations& list, Reply& reply) const;

 private:
  // What acquiring and campaigning have in common.
  struct Request {
    ObjectKind kind;
    const std::string& name;
    std::int64_t wait_ns;
    const std::string& value;
    std::uint32_t priority;
    const AcquireLock* acquire;  // what else it says; null for the other kinds
  };
  // By kind, then in byte order, compared once per step of the search.
  struct Key {
    ObjectKind kind;
    absl::string_view name;
  };
  struct ByName {
    using is_transparent = void;
    static Key Of(const std::unique_ptr<Lock>& lock) { return {lock->kind, lock->name}; }
    static Key Of(const Key& key) { return key; }
    template <typename A, typename B>
    absl::weak_ordering operator()(const A& one, const B& other) const {
      const Key a = Of(one), b = Of(other);
      const int order = a.kind != b.kind ? (a.kind < b.kind ? -1 : 1) : a.name.compare(b.name);
      if (order == 0) return absl::weak_ordering::equivalent;
      return order < 0 ? absl::weak_ordering::less : absl::weak_ordering::greater;
    }
  };
  using Table = absl::btree_set<std::unique_ptr<Lock>, ByName>;
  static Key KeyOf(const Lock& lock) { return {lock.kind, lock.name}; }
  static bool Is(const Lock& lock, ObjectKind kind, absl::string_view name) {
    return lock.kind == kind && lock.name == name;
  }

  // False, with the refusal in `reply`, if no lock can have that name.
  bool CheckName(absl::string_view name, Reply& reply) const;
  // False, with the refusal in `reply`, if the request can never be met or a table is full.
  bool Check(const Session& session, absl::string_view name, absl::string_view value,
             Reply& reply) const;
  bool HasRoom(const Lock* lock, ObjectKind kind, Reply& reply) const;
  bool HasRoomToWait(const Session& session, std::uint64_t waiting, std::uint64_t limit,
                     Reply& reply) const;
  void Acquire(Session& session, Sequence sequence, const Request& request, Reply& reply);
  void GiveBack(Session& session, const Key& key, Revision token, Reply& reply);
  // What `session` holds with `token`; otherwise the end, with the refusal in `reply`.
  Table::iterator FindHeld(const Session& session, const Key& key, Revision token, Reply& reply);
  static void RefuseNotHeld(const Key& key, Revision token, Reply& reply);
  Lock* Create(Table::iterator hint, ObjectKind kind, absl::string_view name);
  // Makes the session the holder; its claim is there.
  void Grant(Lock& lock, Session& session, ClaimKey acquire, const std::string& value,
             Revision token);
  void Grant(Wait* wait);
  void Enqueue(Lock& lock, Session& session, Sequence sequence, const Request& request);
  void Fill(Wait& wait, const Request& request);
  // True, with the refusal in `reply`, if the owner would wait for itself in the end.
  bool ClosesCycle(const Session& session, const std::string& owner,
                   const std::vector<DeadlockSearch::Part>& parts, Reply& reply) const;
  // A wait that is in no queue yet, with its claim.
  Wait* NewWait(Lock& lock, Session& session, ClaimKey claim, Revision id);
  // By its place: erasing by the key looks for the end of its range too, at twice the cost.
  static void DropClaim(Session& session, ClaimKey key) {
    const auto claim = session.claims.find(key);
    if (claim != session.claims.end()) session.claims.erase(claim);
  }
  std::uint64_t CountAhead(const Lock& lock, std::uint32_t priority) const;
  static Queue& QueueOf(const Wait& wait) {
    return wait.observes ? wait.lock->journal->observers : wait.lock->queue;
  }
  // Puts the wait into its queue, behind all of its priority.
  void Link(Wait* wait);
  // Takes the wait out of its queue; its claim stays.
  void Unlink(Wait* wait);
  // The same, and its claim goes too.
  void EndWait(Wait* wait);
  // Ends what its holder has, and what is held as one with it, which is left in `unsettled_`.
  void Vacate(Lock& lock, ChangeKind why, absl::string_view by = "");
  // The same, if it has a holder: an attempt whose deadline has passed, which is told by whom.
  void Overtake(Lock& lock, const Session& by, absl::string_view what = "taken over");
  // Vacates the lock if its holder is dead, and gives a free one to its first living waiter.
  // Passing a dead waiter takes one step of `steps`; when none is left, the lock is put off.
  // False if it was put off.
  bool Settle(Lock& lock, std::uint64_t& steps);
  // The same for one lock alone: others that it touches are left in `unsettled_`.
  bool SettleOne(Lock& lock, std::uint64_t& steps);
  // Settles what others have left in `unsettled_`. Not before what was vacated has been taken or
  // removed: who is settled takes all that is free.
  void SettleRest(std::uint64_t& steps);
  // Leaves the rest to clean-up. False, for the caller to return.
  bool PutOff(Lock& lock);

  // One that is idle goes, or, if it has a journal, rests for a while.
  void RetireIfIdle(Lock& lock);
  void Retire(Table::iterator place);
  void Erase(Table::iterator place);
  static bool Idle(const Lock& lock) {
    const bool watched = lock.journal != nullptr &&
                         (lock.journal->observers.first != nullptr || lock.journal->untold != 0);
    return lock.holder == nullptr && lock.queue.first == nullptr && lock.pending == 0 && !watched &&
           OperationOf(lock) == nullptr && !InShares(lock);
  }
  static bool Used(const Lock& lock) { return lock.journal == nullptr || lock.journal->idle == 0; }
  // True if somebody has a share, or nobody may have the lock yet.
  static bool InShares(const Lock& lock) {
    return lock.shares != nullptr &&
           (!lock.shares->holders.empty() || lock.shares->delayed_until_ns != 0);
  }
  // False, with the refusal in `reply`, if the request contradicts itself or what the lock is.
  bool CheckMode(const AcquireLock& acquire, Reply& reply) const;
  bool CheckFits(const Session& session, const Lock& lock, const AcquireLock& acquire,
                 Reply& reply) const;
  static bool Free(const Lock& lock, LockMode mode, std::uint64_t permits);
  // Whoever takes or waits for what nobody uses says what it is from now on: a semaphore of so many
  // permits, or, with none, a lock.
  void SetTotal(Lock& lock, std::uint64_t total);
  // True if the request's session and owner hold the lock exclusively.
  static bool Holds(const Session& session, const Lock& lock, const AcquireLock& acquire);
  // Somebody has left the queue, perhaps from its head: those behind may come in.
  void SettleAfterLeaving(Lock& lock, std::uint64_t& steps);
  // Until then nobody gets it, as a time from now.
  std::int64_t HeldBackNs(const Lock* lock) const;
  static Shares& SharesOf(Lock& lock);
  // Gives the wait, which is in no queue, its share.
  void TakeShare(Wait* wait, Revision token);
  // False, with the refusal in `reply`, if it is malformed.
  bool CheckAll(const Session& session, const AcquireAll& all, Reply& reply) const;
  // False, with the refusal in `reply`, if one of `locks`, which are null where there is none, does
  // not fit, or a table is full.
  bool CheckFitAll(const Session& session, const AcquireAll& all, const std::vector<Lock*>& locks,
                   Reply& reply) const;
  bool HasRoomForAll(const Session& session, const std::vector<Lock*>& locks, bool to_wait,
                     Reply& reply) const;
  // True if each is at the head of its queue, and none is kept out.
  bool Ready(const WaitSet& set) const;
  // Grants all of `parts`, which are in no queue, as one.
  LockGranted GrantAll(const std::vector<Wait*>& parts);
  // The same, of one that waits, if it is ready. False if it is not.
  bool GrantIfReady(Wait* wait);
  // Ends the wait, and with it its whole set.
  void EndWhole(Wait* wait, std::uint64_t& steps);
  static void LeaveSet(Wait* wait);
  // The grant of all that is left of what the session has by that sequence.
  static LockGranted GrantOf(const Session& session, Sequence sequence);
  // The share that `session` holds with `token`. Null if there is none.
  static Wait* FindShare(const Lock& lock, const Session& session, Revision token);
  static LockGranted GrantOf(const Lock& lock, const Wait& share);
  // Ends it. The wait is deleted.
  void DropShare(Wait* share, ChangeKind why, absl::string_view by = "");
  void PurgeShares(Lock& lock, std::uint64_t& steps);
  void StartDelay(Lock& lock, std::int64_t delay_ns);
  void EndDelay(Lock& lock, std::uint64_t& steps);
  void TellLost(Session& session, const Lock& lock, Sequence acquire, Revision token);
  void Use(Lock& lock);
  void Rest(Lock& lock);

  void StartJournal(Lock& lock, Revision dropped_through);
  // Writes what happened to the lock, whose holder is still or already there, into its journal, if
  // it has one, and sees to it that observers hear of it.
  void Record(Lock& lock, Revision revision, ChangeKind kind, absl::string_view by = "");
  void Record(Lock& lock, Change change);
  void Tell(Wait* observer);
  void PutOffTelling(Lock& lock);

  static const OperationRecord* OperationOf(const Lock& lock) {
    return lock.journal == nullptr ? nullptr : lock.journal->operation.get();
  }
  static OperationRecord* OperationOf(Lock& lock) {
    return lock.journal == nullptr ? nullptr : lock.journal->operation.get();
  }
  bool Expired(const OperationRecord& record) const { return record.expires_ns <= core_->now_ns; }
  // True if somebody waits for its outcome or for an attempt, or is about to be told.
  static bool Awaited(const Lock& lock) {
    return lock.queue.first != nullptr || lock.journal->observers.first != nullptr ||
           lock.pending != 0 || lock.journal->untold != 0;
  }
  // An operation's name in the table: scopes have no NUL.
  static std::string NameOf(absl::string_view scope, absl::string_view key);
  // What events call it.
  static absl::string_view ShownName(const Lock& lock);
  // False, with the refusal in `reply`, if the names are none.
  bool CheckKey(const Session& session, absl::string_view scope, absl::string_view key,
                Reply& reply) const;
  bool HasRoomToBegin(const Begin& begin, const Lock* lock, Reply& reply) const;
  // An attempt that is one with a lock: see Begin::lock.
  enum class Chance { kFree, kDone, kMismatch, kElsewhere };
  void RunUnder(Session& session, Sequence sequence, const Begin& begin, Reply& reply);
  // What becomes of an attempt whoever has the lock, which may be null, would start now.
  static Chance ClaimUnder(const Lock* operation, absl::string_view fingerprint, const Lock* lock);
  Chance ClaimUnder(const BeginUnder& begin, const Lock& lock);
  bool HasRoomUnder(const Session& session, const Begin& begin, const Lock* operation,
                    const Lock* lock, bool to_wait, Reply& reply) const;
  // Gives both to the session, whose claim to the lock is there. The operation.
  Lock& StartUnder(Lock& lock, Session& session, Sequence begin, const std::string& value,
                   const BeginUnder& wanted, std::int64_t attempt_ns);
  // Of one that waits, and can have both.
  void GrantUnder(Wait* wait);
  AttemptInProgress DescribeUnder(const Lock* lock) const;
  // The operation that is attempted with the lock. Null if it is held without one.
  static Lock* AttemptOf(const Lock& lock) {
    return lock.shares == nullptr ? nullptr : lock.shares->attempt;
  }
  // True if whoever comes may have what is held: its attempt's deadline has passed.
  static bool Overdue(const Lock& lock) {
    const Lock* const attempt = lock.kind == ObjectKind::kOperation ? &lock : AttemptOf(lock);
    return attempt != nullptr && OperationOf(*attempt)->overdue;
  }
  // Free, or held by whom anybody may follow.
  static bool ToBeHad(const Lock& lock, LockMode mode, std::uint64_t permits) {
    return Free(lock, mode, permits) || Overdue(lock);
  }
  // The operation, unless it has expired, in which case it is gone. Null if there is none.
  Lock* FindOperation(const std::string& name);
  Lock* FindAttempt(const Session& session, const std::string& name, Revision token, Reply& reply);
  void StartAttempt(Lock& lock, std::int64_t attempt_ns);
  void SetDeadline(Lock& lock, std::int64_t attempt_ns);
  void ClearDeadline(Lock& lock);
  // The attempt is over, or will be taken over at once.
  void EndAttempt(Lock& lock);
  void SetExpiry(Lock& lock);
  void ClearExpiry(Lock& lock);
  void TellStarted(Lock& lock);
  void TellEnded(Wait* wait);
  void EndDueWait(Wait* wait);
  void RemoveOperation(Lock& lock);
  void RunAttemptTimer(Lock& lock);
  void RunExpiry(Lock& lock, std::uint64_t& steps);
  AttemptInProgress DescribeAttempt(const Lock& lock) const;
  OperationDone DescribeOutcome(const OperationRecord& record) const;
  OperationDescription DescribeOperation(const Lock& lock, bool whole) const;

  // The changes later than `after`. True if there was another before these.
  static bool CopyChanges(const Journal& journal, Revision after, std::vector<Change>& changes);
  ElectionDescription DescribeElection(const Lock& lock) const;
  LockHolder DescribeHolder(const Lock& lock) const;
  LockHolder DescribeShare(const Wait& share) const;
  BreakRecord LastBreak(const Lock& lock) const;
  LockDescription Describe(const Lock& lock) const;

  Core* core_;
  Sessions* sessions_;
  Table locks_;
  Timers<Wait> deadlines_;
  NamedWaits named_;
  Timers<Lock> attempts_;  // by their tokens
  Timers<Lock> expiries_;
  Timers<Lock> delays_;
  std::uint64_t operation_bytes_ = 0;  // of points and responses
  std::deque<Lock*> pending_;
  std::vector<Lock*> unsettled_;  // empty between calls of Settle()
  std::deque<Lock*> untold_;
  absl::btree_map<std::uint64_t, Lock*> idle_;
  std::uint64_t counts_[3] = {0, 0, 0};       // by kind: used ones
  std::vector<std::unique_ptr<Lock>> spare_;  // a few, with the memory of their names
};

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_LOCKS_H_
