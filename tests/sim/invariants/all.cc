#include "tests/sim/invariants/all.h"

#include "tests/sim/scene.h"

namespace tenure::sim {

void Invariant::Fail(absl::string_view what) const { scene_.Violated(name_, what); }

std::vector<std::unique_ptr<Invariant>> AllInvariants(Scene& scene) {
  std::vector<std::unique_ptr<Invariant>> all;
  for (auto* make :
       {NewElectionSafety, NewLogMatching, NewLeaderCompleteness, NewStateMachineSafety,
        NewCommitRule, NewMonotone, NewDurableBeforeSpoken, NewQuietAfterStart, NewCommittedStays,
        NewClusterTime, NewLinearizableReads, NewHolders, NewFencing, NewTruthfulLoss,
        NewExactlyOnce, NewOneOutcome, NewSnapshots, NewMembership, NewNaiveLocks}) {
    all.push_back(make(scene));
  }
  return all;
}

}  // namespace tenure::sim
