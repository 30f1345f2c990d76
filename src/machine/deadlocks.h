// Cycles of owners that wait for each other.
#ifndef TENURE_MACHINE_DEADLOCKS_H_
#define TENURE_MACHINE_DEADLOCKS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "machine/core.h"
#include "tenure/command.h"

namespace tenure::machine {

struct Lock;
struct Session;
struct Wait;

// The waits of owners that have a name, by session, owner and id.
using NamedWaits = absl::btree_map<std::tuple<SessionId, std::string, Revision>, const Wait*>;

// Looks for a cycle that a wait would close if it began: at what it would wait for, at what the
// owners in its way wait for, and so on.
//
// What is stuck is the greatest set in which each wait has a reason, inside the set, never to be
// granted: who stands before it will not be granted; or an owner who is in its way will not let go,
// because a wait of its own is stuck; or, of a semaphore, such owners have so much that the rest
// does not do. Who has no name is never in the way for ever by what it holds: nobody knows what it
// waits for. The cycle is a shortest one through the new wait, among what is stuck; without one,
// the wait ends in somebody else's cycle, or in none.
//
// Costs a bounded number of steps, in an order that is the same on every member.
class DeadlockSearch {
 public:
  struct Part {
    const Lock* lock;  // null: nobody has it
    LockMode mode;
    std::uint64_t permits;
  };

  DeadlockSearch(const NamedWaits& waits, const Session& session, const std::string& owner,
                 const std::vector<Part>& parts);

  // Empty: none was found. Once only.
  std::vector<WaitingOwner> Run();

 private:
  static constexpr std::size_t kStepsMax = 8'192;

  struct OwnerNode {
    const Session* session;
    std::string name;
    std::vector<std::size_t> waits;
    std::size_t stuck = 0;  // how many of its waits are
  };
  // Who takes from a semaphore: holders, and who stands before.
  struct Taker {
    std::size_t owner;
    std::uint64_t permits;
  };
  // What keeps one part of a wait from its lock.
  struct Blocked {
    const Lock* lock = nullptr;
    std::vector<std::size_t> before;  // the wait that has to be granted first, if any
    std::vector<std::size_t> owners;  // who have to let go
    std::uint64_t permits = 0;        // of a semaphore: how many are wanted
    std::vector<Taker> takers;
  };
  struct WaitNode {
    const Wait* wait = nullptr;  // any part of it; null: the new one
    std::size_t owner = 0;
    bool named = false;
    bool stuck = true;
    std::vector<Blocked> parts;
    // From where the search for a cycle came: that wait, and its part.
    std::size_t from = 0;
    const Lock* from_lock = nullptr;
    std::size_t length = 0;  // of the way to here, in owners; 0: not reached
  };

  // False if there are no more steps.
  bool Step() { return ++steps_ <= kStepsMax; }
  // The first that lives, from `wait` towards the head of its queue. Null if there is none, or no
  // more steps.
  const Wait* Living(const Wait* wait);
  std::size_t NodeOf(const Wait& wait);
  std::size_t OwnerOf(const Session& session, const std::string& owner);
  void Expand(std::size_t node, const Part& part, const Wait* before);
  void ExpandPermits(const Part& part, const Wait* before, Blocked& blocked);
  // Whom an exclusive wait, or one that shares, needs to let go.
  void ExpandOwners(const Part& part, const Wait* before, Blocked& blocked);
  void SetFree(WaitNode& node);
  // The new wait is its owner's only one: the search is over when that is free.
  bool OwnerStuck(std::size_t owner) const { return owner == 0 || owners_[owner].stuck > 0; }
  bool IsStuck(const WaitNode& node);
  bool PartIsStuck(const Blocked& part);
  // True if what is left of the semaphore does not do.
  bool Short(const Blocked& part) const;
  // False if there are no more steps, or the new wait is not stuck.
  bool FindStuck();
  std::vector<WaitingOwner> FindCycle();
  void Reach(std::size_t node, std::size_t from, const Lock* lock);
  std::vector<WaitingOwner> CycleFrom(std::size_t node, const Lock* lock) const;

  const NamedWaits& named_;
  std::size_t steps_ = 0;
  std::vector<WaitNode> nodes_;    // the first one is the new wait
  std::vector<OwnerNode> owners_;  // the first one is its owner
  absl::btree_map<Revision, std::size_t> node_by_id_;
  absl::btree_map<std::pair<SessionId, std::string>, std::size_t> owner_by_name_;
  std::vector<std::size_t> reached_;
};

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_DEADLOCKS_H_
