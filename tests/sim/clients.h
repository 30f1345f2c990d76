// Programs that use the real handles, over the real replicated backend, each on a machine of its
// own.
#ifndef TENURE_TESTS_SIM_CLIENTS_H_
#define TENURE_TESTS_SIM_CLIENTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "tenure/coordinator.h"
#include "tests/checker/lock_history.h"
#include "tests/sim/members.h"
#include "tests/sim/scene.h"

namespace tenure::sim {

class Process;

class Clients {
 public:
  Clients(Scene& scene, Members& members, checker::LockHistory& history);
  ~Clients();
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

  int size() const { return static_cast<int>(slots_.size()); }
  testing::VirtualNode& machine(int i) { return *slots_[i].machine; }
  bool running(int i) const { return slots_[i].process != nullptr; }
  const std::string& name(int i) const;
  void Start(int i);
  void Kill(int i);
  // Has it look at its sessions' deadlines. To be done before its clocks are changed: a deadline
  // seen before the last renewal says too little of what a jump does to the present one.
  void Look(int i);

  // From now on clients begin nothing new, leave their waits and give back what they hold, also
  // what they had meant to keep.
  void Quiesce();
  // Nothing is held, waited for, or being opened or given back.
  bool Idle() const;
  void Resume();  // to work again
  // Gives back what was to be kept, and starts counting anew; then: everybody has taken and given
  // back a lock since.
  void BeginRound();
  bool AllMadeProgress() const;
  std::string WhoIsStuck() const;

  // Client `i` waits for `lock` in a session of its own, and keeps it. `done` gets its token; 0: it
  // did not get it.
  void TakeAndKeep(int i, const std::string& lock, absl::Duration ttl,
                   absl::AnyInvocable<void(Revision)> done);
  // Asks client `i` for all locks.
  void List(int i, absl::AnyInvocable<void(absl::StatusOr<LockList>)> done);

  // Every guard of a living process that was not given back.
  std::vector<const Hold*> Holds() const;
  // And everything else that they have.
  std::vector<const Share*> Shares() const;

 private:
  friend class Process;
  struct Slot {
    std::string name;
    testing::VirtualNode* machine = nullptr;
    std::unique_ptr<Process> process;
  };
  Scene& scene_;
  Members& members_;
  checker::LockHistory& history_;
  std::vector<Slot> slots_;
  std::uint64_t last_id_ = 0;
  std::uint64_t newest_key_ = 0;  // of the operations: the first that is not known to be done
  bool quiescent_ = false;
};

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_CLIENTS_H_
