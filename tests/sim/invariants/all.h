// Every invariant of a run, by name. To add one: a file here, a maker below, a line in all.cc.
#ifndef TENURE_TESTS_SIM_INVARIANTS_ALL_H_
#define TENURE_TESTS_SIM_INVARIANTS_ALL_H_

#include <memory>
#include <vector>

#include "tests/sim/invariant.h"

namespace tenure::sim {

std::vector<std::unique_ptr<Invariant>> AllInvariants(Scene& scene);

std::unique_ptr<Invariant> NewElectionSafety(Scene& scene);
std::unique_ptr<Invariant> NewLogMatching(Scene& scene);
std::unique_ptr<Invariant> NewLeaderCompleteness(Scene& scene);
std::unique_ptr<Invariant> NewStateMachineSafety(Scene& scene);
std::unique_ptr<Invariant> NewCommitRule(Scene& scene);
std::unique_ptr<Invariant> NewMonotone(Scene& scene);
std::unique_ptr<Invariant> NewDurableBeforeSpoken(Scene& scene);
std::unique_ptr<Invariant> NewQuietAfterStart(Scene& scene);
std::unique_ptr<Invariant> NewCommittedStays(Scene& scene);
std::unique_ptr<Invariant> NewClusterTime(Scene& scene);
std::unique_ptr<Invariant> NewLinearizableReads(Scene& scene);
std::unique_ptr<Invariant> NewHolders(Scene& scene);
std::unique_ptr<Invariant> NewFencing(Scene& scene);
std::unique_ptr<Invariant> NewTruthfulLoss(Scene& scene);
std::unique_ptr<Invariant> NewExactlyOnce(Scene& scene);
std::unique_ptr<Invariant> NewOneOutcome(Scene& scene);
std::unique_ptr<Invariant> NewSnapshots(Scene& scene);
std::unique_ptr<Invariant> NewMembership(Scene& scene);
std::unique_ptr<Invariant> NewNaiveLocks(Scene& scene);

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_INVARIANTS_ALL_H_
