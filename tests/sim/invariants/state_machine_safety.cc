// Members that applied the same index have the same state: the same entries, in the same order,
// each once, and equal hashes over all that came of them. Ongaro's dissertation, figure 3.2, "State
// Machine Safety"; PITFALLS T9 (the hash) and C25 (each once).
#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class StateMachineSafety final : public Invariant {
 public:
  explicit StateMachineSafety(Scene& scene) : Invariant(scene, "state machine safety") {}

  void OnStep(const Actor& actor, const ClusterId& cluster, const raft::Core&,
              const raft::Output& output) override {
    const ClusterFacts& facts = scene_.facts.clusters[cluster];
    for (const raft::Entry& entry : output.committed) {
      if (entry.index > facts.last_committed()) break;
      if (facts.committed[entry.index - 1].entry == FactOf(entry)) continue;
      return Fail(absl::StrCat(actor.facts->id.ToString(), " commits another entry ", entry.index,
                               " (of term ", entry.term, ") than was committed before (of term ",
                               facts.committed[entry.index - 1].entry.term, ")"));
    }
  }
  void OnApplied(const Actor& actor, const AppliedEntry& applied) override {
    const Index index = applied.entry.index;
    if (index != actor.facts->applied + 1) {
      return Fail(absl::StrCat(actor.facts->id.ToString(), " applies entry ", index, " after ",
                               actor.facts->applied));
    }
    if (applied.first) return;
    const AppliedFact& before = scene_.facts.clusters[applied.cluster].applied[index - 1];
    if (before.state_hash == applied.machine.StateHash() &&
        before.revision == applied.machine.revision()) {
      return;
    }
    Fail(absl::StrCat(actor.facts->id.ToString(), " has another state at index ", index,
                      " than others had"));
  }
};

}  // namespace

std::unique_ptr<Invariant> NewStateMachineSafety(Scene& scene) {
  return std::make_unique<StateMachineSafety>(scene);
}

}  // namespace tenure::sim
