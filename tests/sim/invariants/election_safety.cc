// At most one leader in a term. Ongaro's dissertation, figure 3.2, "Election Safety".
#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class ElectionSafety final : public Invariant {
 public:
  explicit ElectionSafety(Scene& scene) : Invariant(scene, "election safety") {}

  void OnStep(const Actor& actor, const ClusterId& cluster, const raft::Core&,
              const raft::Output& output) override {
    if (!output.role_change.has_value() || output.role_change->role != raft::Role::kLeader) return;
    const std::map<Term, MemberId>& leaders = scene_.facts.clusters[cluster].leaders;
    const auto known = leaders.find(output.role_change->term);
    if (known == leaders.end() || known->second == actor.facts->id) return;
    Fail(absl::StrCat(actor.facts->id.ToString(), " and ", known->second.ToString(),
                      " both lead in term ", output.role_change->term));
  }
};

}  // namespace

std::unique_ptr<Invariant> NewElectionSafety(Scene& scene) {
  return std::make_unique<ElectionSafety>(scene);
}

}  // namespace tenure::sim
