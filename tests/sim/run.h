// One seed, from the first start to the audit.
#ifndef TENURE_TESTS_SIM_RUN_H_
#define TENURE_TESTS_SIM_RUN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/sim/marks.h"
#include "tests/sim/plan.h"
#include "tests/sim/scene.h"

namespace tenure::sim {

struct Outcome {
  Plan plan;
  std::vector<std::string> violations;  // empty: clean
  std::vector<std::string> last_lines;  // of the time line
  std::uint64_t trace_hash = 0;
  std::uint64_t events = 0;
  absl::Duration simulated;
  std::uint64_t leader_changes = 0;
  std::uint64_t entries = 0;
  std::uint64_t checked_calls = 0;  // by the linearizability checker
  std::uint64_t searches = 0;       // of its locks, beyond the fast path
  Scene::Counts counts;
  Marks marks;
};

struct RunOptions {
  bool verbose = false;  // print the time line as it comes
};

// Deterministic: equal seeds give equal outcomes.
Outcome RunSeed(std::uint64_t seed, const RunOptions& options = {});
Outcome RunPlan(const Plan& plan, const RunOptions& options = {});

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_RUN_H_
