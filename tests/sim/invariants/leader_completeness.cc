// An entry that was committed in a term is in the log of every leader of a later term. Ongaro's
// dissertation, figure 3.2, "Leader Completeness". With log matching, the last such entry speaks
// for all before it; a snapshot speaks for its own (see snapshots.cc).
#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class LeaderCompleteness final : public Invariant {
 public:
  explicit LeaderCompleteness(Scene& scene) : Invariant(scene, "leader completeness") {}

  void OnStep(const Actor& actor, const ClusterId& cluster, const raft::Core&,
              const raft::Output& output) override {
    if (!output.role_change.has_value() || output.role_change->role != raft::Role::kLeader) return;
    if (actor.facts->leads && actor.facts->term == output.role_change->term) return;
    const ClusterFacts& facts = scene_.facts.clusters[cluster];
    for (Index i = facts.last_committed(); i > 0; --i) {
      const CommittedFact& committed = facts.committed[i - 1];
      if (committed.by_term >= output.role_change->term) continue;
      if (actor.facts->written.Trimmed(i))
        return;  // what it had there was committed, or is in its snapshot
      const EntryFact* own = actor.facts->written.At(i);
      if (own == nullptr || *own != committed.entry) {
        Fail(absl::StrCat(actor.facts->id.ToString(), " leads in term ", output.role_change->term,
                          own == nullptr ? " without entry " : " with another entry ", i,
                          ", which was committed in term ", committed.by_term));
      }
      return;
    }
  }
};

}  // namespace

std::unique_ptr<Invariant> NewLeaderCompleteness(Scene& scene) {
  return std::make_unique<LeaderCompleteness>(scene);
}

}  // namespace tenure::sim
