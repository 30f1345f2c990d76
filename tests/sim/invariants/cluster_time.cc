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
    std::map<std::pair<Index, Term>, absl::Duration>& made = made_[cluster];
    std::optional<LogFact::Place> before;
    for (const raft::Entry& entry : output.write->entries) {
      if (!before.has_value()) before = actor.facts->written.PlaceAt(entry.index - 1);
      // The moment that its stamp speaks of. A configuration, and a raise of the version, repeats
      // the stamp before it, and the leader's time goes on from there; a no-op does, too, but with
      // it another leader's begins.
      absl::Duration at = scene_.world.now();
      const bool repeats =
          entry.kind == raft::EntryKind::kConfiguration || entry.kind == raft::EntryKind::kVersion;
      if (repeats && before.has_value()) {
        const auto same = made.find({before->index, before->term});
        if (same != made.end()) at = same->second;
      }
      const bool fresh = made.try_emplace({entry.index, entry.term}, at).second;
      if (fresh && before.has_value() && before->index + 1 == entry.index)
        Check(actor, cluster, core, *before, entry, made);
      before = LogFact::Place{entry.index, entry.term, entry.stamp_ns};
    }
  }

 private:
  void Check(const Actor& actor, const ClusterId& cluster, const raft::Core& core,
             const LogFact::Place& before, const raft::Entry& entry,
             const std::map<std::pair<Index, Term>, absl::Duration>& made) const {
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

  std::map<ClusterId, std::map<std::pair<Index, Term>, absl::Duration>> made_;
};

}  // namespace

std::unique_ptr<Invariant> NewClusterTime(Scene& scene) {
  return std::make_unique<ClusterTime>(scene);
}

}  // namespace tenure::sim
