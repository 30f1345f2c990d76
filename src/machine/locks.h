// The table of exclusive locks and their queues.
#ifndef TENURE_MACHINE_LOCKS_H_
#define TENURE_MACHINE_LOCKS_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/strings/string_view.h"
#include "absl/types/compare.h"
#include "machine/core.h"
#include "machine/sessions.h"
#include "machine/timers.h"
#include "tenure/command.h"

namespace tenure::machine {

// One queued AcquireLock. Linked into its lock's queue, so that leaving it costs O(1).
struct Wait {
  Session* session = nullptr;
  Lock* lock = nullptr;
  Sequence acquire = 0;
  Revision id = 0;  // the revision that queued it: the order of all waits
  std::int64_t queued_ns = 0;
  std::int64_t deadline_ns = kWaitForever;
  std::string value;
  std::uint32_t epoch = 0;
  Wait* previous = nullptr;
  Wait* next = nullptr;
};

// Exists while it is held or waited for.
struct Lock {
  std::string name;
  std::string value;          // the holder's
  Session* holder = nullptr;  // may be dead: then anyone who comes may have the lock
  Revision token = 0;
  Sequence acquire = 0;  // the holder's AcquireLock
  std::int64_t granted_ns = 0;
  Wait* first = nullptr;
  Wait* last = nullptr;
  std::uint32_t waiting = 0;
  std::uint32_t epoch = 0;
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
  void Cancel(Session& session, const CancelWait& cancel, Reply& reply);
  void Release(Session& session, const ReleaseLock& release, Reply& reply);

  // Ends the waits whose deadline has come, by (deadline, id).
  void EndDueWaits();
  // Goes on with the hand-overs that are left over, in their order, within the budget.
  void HandOverPending();
  // Takes from a dead session what it held and waited for, in the order of its sequences, within
  // the budget. True when nothing is left.
  bool CleanUp(Session& dead);

  // The first lock whose name is greater than `after`, in byte order. Null if there is none.
  Lock* NextAfter(absl::string_view after) const;
  // The one of that name. Null if there is none.
  Lock* Find(absl::string_view name) const;
  // Put together again what a snapshot has of locks, then of their holders, then of waits, by their
  // ids. Null or false if there is one already, or the session has a claim with that sequence. At
  // last: FinishRestore().
  Lock* Restore(std::unique_ptr<Lock> lock);
  bool RestoreHolder(Lock& lock, Session& session);
  bool RestoreWait(std::unique_ptr<Wait> wait);
  bool FinishRestore(std::uint64_t last_pending);
  std::uint64_t last_pending() const { return last_pending_; }

  std::uint64_t count() const { return locks_.size(); }
  bool has_pending() const { return !pending_.empty(); }

  void Get(const GetLock& get, Reply& reply) const;
  void List(const ListLocks& list, Reply& reply) const;

 private:
  // In byte order, compared once per step of the search.
  struct ByName {
    using is_transparent = void;
    using Pointer = std::unique_ptr<Lock>;
    static absl::string_view Name(const Pointer& lock) { return lock->name; }
    static absl::string_view Name(absl::string_view name) { return name; }
    template <typename A, typename B>
    absl::weak_ordering operator()(const A& a, const B& b) const {
      const int order = Name(a).compare(Name(b));
      if (order == 0) return absl::weak_ordering::equivalent;
      return order < 0 ? absl::weak_ordering::less : absl::weak_ordering::greater;
    }
  };
  using Table = absl::btree_set<std::unique_ptr<Lock>, ByName>;

  // False, with the refusal in `reply`, if no lock can have that name.
  bool CheckName(const std::string& name, Reply& reply) const;
  // False, with the refusal in `reply`, if the request can never be met or a table is full.
  bool Check(const Session& session, const AcquireLock& acquire, Reply& reply) const;
  bool HasRoom(const Session& session, const Lock* lock, bool queues, Reply& reply) const;
  Lock* Create(Table::iterator hint, const std::string& name);
  void Grant(Lock& lock, Session& session, Sequence acquire, const std::string& value);
  void GrantFirst(Lock& lock);
  void Enqueue(Lock& lock, Session& session, Sequence sequence, const AcquireLock& acquire);
  // Puts the wait at the end of its lock's queue.
  void Link(Wait* wait);
  // Takes the wait out of the queue and deletes it; its claim stays.
  void Unlink(Wait* wait);
  // The same, and its claim goes too.
  void EndWait(Wait* wait);
  void Vacate(Lock& lock);
  // Vacates the lock if its holder is dead, and gives a free one to its first living waiter.
  // Passing a dead waiter takes one step of `steps`; when none is left, the lock is put off.
  void HandOver(Lock& lock, std::uint64_t& steps);
  void PutOff(Lock& lock);
  void EraseIfIdle(Lock& lock);
  void Erase(Table::iterator place);
  static bool Idle(const Lock& lock) {
    return lock.holder == nullptr && lock.first == nullptr && lock.pending == 0;
  }

  LockHolder DescribeHolder(const Lock& lock) const;
  LockDescription Describe(const Lock& lock) const;

  Core* core_;
  Sessions* sessions_;
  Table locks_;
  Timers<Wait> deadlines_;
  std::deque<Lock*> pending_;
  std::uint64_t last_pending_ = 0;
  std::vector<std::unique_ptr<Lock>> spare_;  // a few, with the memory of their names
};

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_LOCKS_H_
