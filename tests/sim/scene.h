// What everybody in a run shares: the world, the plan, the facts, the invariants, the time line.
#ifndef TENURE_TESTS_SIM_SCENE_H_
#define TENURE_TESTS_SIM_SCENE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tenure/session.h"
#include "tenure/testing/world.h"
#include "tests/sim/facts.h"
#include "tests/sim/invariant.h"
#include "tests/sim/marks.h"
#include "tests/sim/plan.h"

namespace tenure::sim {

// Lines with the time before them: the last ones, or all of them as they come.
class TimeLine {
 public:
  TimeLine(const testing::World* world, bool print) : world_(world), print_(print) {}
  void Say(absl::string_view line);
  // Whether somebody reads it all: then details are worth their lines.
  bool detailed() const { return print_; }
  const std::deque<std::string>& last() const { return last_; }

 private:
  const testing::World* const world_;
  const bool print_;
  std::deque<std::string> last_;
};

struct Scene {
  Scene(const Plan& p, bool verbose);
  ~Scene();

  testing::World world;
  const Plan plan;
  Facts facts;
  Marks marks;
  TimeLine line;
  std::vector<std::unique_ptr<Invariant>> invariants;

  // The run ends at the first.
  std::vector<std::string> violations;
  void Violated(absl::string_view invariant, absl::string_view what);
  bool ok() const { return violations.empty(); }

  template <typename Tell>
  void TellAll(Tell tell) {
    for (const auto& invariant : invariants) tell(*invariant);
  }

  // The holder's own view of a session, for as long as its process lives.
  std::map<SessionId, Session> sessions;
  // True while faults come; what is promised only without them is not asked for then.
  bool partitioned = false;  // some members from others
  bool faulty = true;

  struct Counts {
    std::uint64_t grants = 0;
    std::uint64_t unlocks = 0;
    std::uint64_t reads = 0;
    std::uint64_t losses = 0;
    std::uint64_t faults = 0;
    std::uint64_t restarts = 0;
    std::uint64_t gate_writes = 0;
    std::uint64_t gate_refusals = 0;
  } counts;
};

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_SCENE_H_
