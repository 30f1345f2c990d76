// A leader commits by counting copies only an entry of its own term, and only durable copies on a
// quorum of those incarnations that its configuration names. Ongaro's dissertation, sections 3.6.2
// and 10.2.1; PITFALLS C1, C13, C14, T11. A joint configuration needs a quorum of each half, and
// learners never count. Where voters are lost, those that are left will do if they meet every
// ordinary quorum and have it all of them (BOOTSTRAP rule 9).
#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

bool Has(const LogFact& log, const EntryFact& fact, Index index) {
  const EntryFact* entry = log.At(index);
  return entry != nullptr ? *entry == fact : log.Trimmed(index);
}

class CommitRule final : public Invariant {
 public:
  explicit CommitRule(Scene& scene) : Invariant(scene, "commit rule") {}

  void OnStep(const Actor& actor, const ClusterId& cluster, const raft::Core& core,
              const raft::Output& output) override {
    if (output.committed.empty() || core.role() != raft::Role::kLeader) return;
    const ClusterFacts& facts = scene_.facts.clusters[cluster];
    const raft::Entry& last = output.committed.back();
    if (last.index <= facts.last_committed()) return;  // somebody's earlier commit
    if (last.term != core.term()) {
      return Fail(absl::StrCat(actor.facts->id.ToString(), " leads in term ", core.term(),
                               " and commits up to entry ", last.index, ", of term ", last.term));
    }
    const EntryFact fact = FactOf(last);
    for (const auto* half : {&core.configuration().voters, &core.configuration().voters_outgoing}) {
      if (half->empty()) continue;
      std::size_t have = 0;
      std::size_t lost = 0;
      std::size_t lost_without = 0;
      for (const raft::Server& voter : *half) {
        const auto it = scene_.facts.incarnations.find(voter.id);
        bool has = false;
        if (it != scene_.facts.incarnations.end()) {
          // What went back with its disk was acknowledged all the same; it will not vote before it
          // is told so.
          const auto& before = it->second.before_it_went_back;
          has = Has(it->second.durable, fact, last.index) ||
                (before.has_value() && Has(*before, fact, last.index));
        }
        if (has) ++have;
        if (!scene_.facts.Lost(voter.id)) continue;
        ++lost;
        if (!has) ++lost_without;
      }
      const std::size_t quorum = half->size() / 2 + 1;
      if (have >= quorum) continue;
      // Whoever lacks it is lost; a quorum may have been left that does not intersect the rest.
      if (have + lost_without == half->size() && have > half->size() - quorum) {
        scene_.marks.Visit("committed by all that are left");
        continue;
      }
      return Fail(absl::StrCat(actor.facts->id.ToString(), " commits entry ", last.index,
                               " of term ", last.term, ", which is durable on ", have, " of ",
                               half->size(), " voters, ", lost, " of them lost"));
    }
  }
};

}  // namespace

std::unique_ptr<Invariant> NewCommitRule(Scene& scene) {
  return std::make_unique<CommitRule>(scene);
}

}  // namespace tenure::sim
