// Along a log, the difference of two stamps never exceeds the time that really passed between their
// proposals, stretched by the clocks' bound; and no stamp is made further than one election timeout
// past the last committed one. DESIGN section 4, rule 1; PITFALLS T1, T7.
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class ClusterTime final : public Invariant {
 public:
  explicit ClusterTime(Scene& scene) : Invariant(scene, "cluster time") {}

  void OnStep(const Actor& actor, const ClusterId& cluster, const raft::Core& core,
              const raft::Output& output) override {
    if (!output.write.has_value()) return;
    Made& made = made_[cluster];
    std::optional<EntryFact> before;
    for (const raft::Entry& entry : output.write->entries) {
      if (!before.has_value()) {
        const EntryFact* own = actor.facts->written.At(entry.index - 1);
        if (own != nullptr) before = *own;
      }
      const bool fresh =
          made.try_emplace({entry.index, entry.term}, MadeAt(entry, before, made)).second;
      if (fresh && before.has_value() && before->index + 1 == entry.index)
        Check(actor, cluster, core, *before, entry, made);
      before = FactOf(entry);
    }
  }

 private:
  using Made = std::map<std::pair<Index, Term>, absl::Duration>;

  // True time of the moment that the stamp stands for. A configuration within a reign repeats the
  // stamp before it, and so its moment. (A new leader's first entry repeats it, too, but from there
  // its own time begins.)
  absl::Duration MadeAt(const raft::Entry& entry, const std::optional<EntryFact>& before,
                        const Made& made) const {
    // (What was before it may have been trimmed meanwhile.)
    if (entry.kind == raft::EntryKind::kConfiguration &&
        (!before.has_value() || before->stamp_ns == entry.stamp_ns)) {
      const auto it = made.find({entry.index - 1, entry.term});
      if (it != made.end()) return it->second;
    }
    return scene_.world.now();
  }

  void Check(const Actor& actor, const ClusterId& cluster, const raft::Core& core,
             const EntryFact& before, const raft::Entry& entry, const Made& made) const {
    const std::int64_t passed = entry.stamp_ns - before.stamp_ns;
    if (passed <= 0) return;
    const auto since = made.find({before.index, before.term});
    if (!scene_.plan.wild_clocks && since != made.end()) {
      const double real = absl::ToDoubleSeconds(scene_.world.now() - since->second) * 1e9 *
                          (1 + scene_.plan.drift_max);
      if (static_cast<double>(passed) > real + 1000) {
        return Fail(absl::StrCat("entry ", entry.index, " of term ", entry.term, " by ",
                                 actor.facts->id.ToString(), " is stamped ", passed,
                                 " ns after the one before it, but only ", real,
                                 " ns can have passed"));
      }
    }
    const ClusterFacts& facts = scene_.facts.clusters[cluster];
    if (facts.committed.empty() || core.role() != raft::Role::kLeader) return;
    const std::int64_t ahead = entry.stamp_ns - facts.committed.back().entry.stamp_ns;
    if (ahead > absl::ToInt64Nanoseconds(scene_.plan.election_min)) {
      Fail(absl::StrCat("entry ", entry.index, " of term ", entry.term, " is stamped ", ahead,
                        " ns past the last committed one"));
    }
  }

  std::map<ClusterId, Made> made_;
};

}  // namespace

std::unique_ptr<Invariant> NewClusterTime(Scene& scene) {
  return std::make_unique<ClusterTime>(scene);
}

}  // namespace tenure::sim
