// Members change by single joint steps: a configuration either keeps its voters, or is joint and
// keeps the old ones as its outgoing half, or leaves a joint one for its newer half; and none is
// appended over one that is not committed. Only who is lost is taken for lost, and no incarnation
// is a member beside an earlier one of its name in the same half. Ongaro's dissertation,
// section 4.3; BOOTSTRAP rules 9 to 13.
#include <algorithm>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class Membership final : public Invariant {
 public:
  explicit Membership(Scene& scene) : Invariant(scene, "membership") {}

  void OnStep(const Actor& actor, const ClusterId& cluster, const raft::Core& core,
              const raft::Output& output) override {
    for (const auto* half : {&core.configuration().voters, &core.configuration().voters_outgoing}) {
      for (const raft::Server& voter : *half) {
        if (core.lost(voter.id) && !scene_.facts.Lost(voter.id))
          return Fail(absl::StrCat(actor.facts->id.ToString(), " takes ", voter.id.ToString(),
                                   " for lost, which is not"));
      }
    }
    if (core.role() != raft::Role::kLeader) return;
    if (core.short_handed()) scene_.marks.Visit("steps of a short-handed leader");
    if (!output.write.has_value()) return;
    for (const raft::Entry& entry : output.write->entries) {
      if (entry.configuration != nullptr && entry.index > 1 && entry.term == core.term())
        Check(actor, scene_.facts.clusters[cluster], core, output, entry);
    }
  }

 private:
  void Check(const Actor& actor, const ClusterFacts& facts, const raft::Core& core,
             const raft::Output& output, const raft::Entry& entry) {
    const auto wrong = [&](absl::string_view what) {
      Fail(absl::StrCat(actor.facts->id.ToString(), " appends configuration ", entry.index,
                        " of term ", entry.term, ", ", what));
    };
    const raft::Configuration& next = *entry.configuration;
    for (const auto* half : {&next.voters, &next.voters_outgoing}) {
      std::set<std::string> names;
      for (const raft::Server& voter : *half) {
        if (!names.insert(voter.id.name).second)
          return wrong(absl::StrCat("where ", voter.id.name, " votes twice"));
      }
    }
    for (Index i = core.commit_index() + 1; i < entry.index; ++i) {
      const EntryFact* own = actor.facts->written.At(i);
      if (own != nullptr && own->kind == raft::EntryKind::kConfiguration)
        return wrong(absl::StrCat("while that of entry ", i, " is not committed"));
    }
    // The one before it may be committed by this very step: that leaves a joint one.
    std::shared_ptr<const raft::Configuration> before = facts.ConfigurationAt(core.commit_index());
    for (const raft::Entry& committed : output.committed) {
      if (committed.configuration != nullptr) before = committed.configuration;
    }
    if (before == nullptr) return wrong("and none is known before it");
    const bool single = next.joint() ? !before->joint() && next.voters_outgoing == before->voters
                                     : next.voters == before->voters;
    if (!single) return wrong("which is no single step from the one before it");
    // Who takes another's name takes the place of one that is lost.
    for (const raft::Server& voter : next.voters) {
      for (const raft::Server& earlier : next.voters_outgoing) {
        if (voter.id.name == earlier.id.name && voter.id != earlier.id &&
            !scene_.facts.Lost(earlier.id))
          return wrong(absl::StrCat("where ", earlier.id.ToString(), " is replaced alive"));
      }
    }
  }
};

}  // namespace

std::unique_ptr<Invariant> NewMembership(Scene& scene) {
  return std::make_unique<Membership>(scene);
}

}  // namespace tenure::sim
