// A leader commits by counting copies only an entry of its own term, and only durable copies on a
// quorum of those incarnations that its configuration names. Ongaro's dissertation, sections 3.6.2
// and 10.2.1; PITFALLS C1, C13, C14, T11.
#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

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
      for (const raft::Server& voter : *half) {
        const auto it = scene_.facts.incarnations.find(voter.id);
        if (it == scene_.facts.incarnations.end()) continue;
        const LogFact& log = it->second.durable;
        const EntryFact* entry = log.At(last.index);
        if (entry != nullptr ? *entry == fact : log.Trimmed(last.index)) ++have;
      }
      const std::size_t quorum = half->size() / 2 + 1;
      if (have >= quorum || AllThatRemain(*half, have)) continue;
      return Fail(absl::StrCat(actor.facts->id.ToString(), " commits entry ", last.index,
                               " of term ", last.term, ", which is durable on ", have, " of ",
                               half->size(), " voters"));
    }
  }

 private:
  // BOOTSTRAP rule 9: where fewer than a quorum did not lose their memory, but enough to meet every
  // earlier quorum, all of them are one.
  bool AllThatRemain(const std::vector<raft::Server>& half, std::size_t have) const {
    std::size_t remain = 0;
    for (const raft::Server& voter : half) remain += Superseded(voter.id) ? 0 : 1;
    return have == remain && remain >= half.size() - half.size() / 2;
  }
  // A younger incarnation of that name has started, without its memory.
  bool Superseded(const MemberId& id) const {
    const auto own = scene_.facts.incarnations.find(id);
    if (own == scene_.facts.incarnations.end()) return false;
    for (const auto& [other, facts] : scene_.facts.incarnations) {
      if (other.name == id.name && other != id && facts.started > own->second.started) return true;
    }
    return false;
  }
};

}  // namespace

std::unique_ptr<Invariant> NewCommitRule(Scene& scene) {
  return std::make_unique<CommitRule>(scene);
}

}  // namespace tenure::sim
