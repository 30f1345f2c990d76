// Breaks things, as the plan has it, and mends them again.
#ifndef TENURE_TESTS_SIM_FAULTS_H_
#define TENURE_TESTS_SIM_FAULTS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/checker/lock_history.h"
#include "tests/sim/clients.h"
#include "tests/sim/members.h"
#include "tests/sim/operator.h"
#include "tests/sim/scene.h"

namespace tenure::sim {

class Faults {
 public:
  Faults(Scene& scene, Members& members, Clients& clients, Operator& operator_of,
         checker::LockHistory& history);

  // The links' noise, from the first moment on.
  void Prepare();
  // Every clock its own rate, from the first leader on: before it nobody could be waited for whose
  // clock stands still.
  void SetClocks();
  // One fault of an enabled kind. Most mend by themselves after a while.
  void Next();
  // Ends all of them: every link whole, every clock right, every process there.
  void Heal();
  // Starts again who is down or stopped itself.
  void ReviveMembers();
  // How far behind its furthest anybody's CLOCK_BOOTTIME was put in all: by so much longer may a
  // member keep to what it promised before, and a client wait for what it had meant to do.
  absl::Duration PutBack() const;

 private:
  void Do(Fault fault);
  bool DoToNetwork(Fault fault);
  bool DoToMember(Fault fault, int i);
  bool DoToDisk(Fault fault, int i);
  bool GoBackLater(int i);
  bool Upgrade(int i);
  bool DoToClient(Fault fault, int i);
  void Partition();
  void Wipe();
  void ChangeClock(testing::VirtualNode& machine, bool holder);
  void JumpClock(testing::VirtualNode& machine);
  void Noise();
  // Often the leader.
  int AMember();
  int AClient();
  absl::Duration AWhile(absl::Duration longest);
  // After a while, if it is still in the time of faults: Heal mends everything anyway.
  void Later(absl::Duration delay, absl::AnyInvocable<void()> mend);
  std::string AddressOf(int node) const;  // members first, then clients

  Scene& scene_;
  Members& members_;
  Clients& clients_;
  Operator& operator_;
  checker::LockHistory& history_;
  std::vector<Fault> enabled_;
  std::uint64_t era_ = 0;  // Heal begins another
  bool wiped_ = false;
  struct Jumped {
    absl::Duration by;    // in all, and
    absl::Duration most;  // the most that it ever was
  };
  std::map<const testing::VirtualNode*, Jumped> jumped_;  // looked up, never walked
};

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_FAULTS_H_
