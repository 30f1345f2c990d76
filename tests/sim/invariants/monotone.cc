// Terms and commit indexes never fall in a process, terms and votes also not across its restarts;
// stamps and revisions never fall along a log. Ongaro's dissertation, sections 3.3 and 3.8; DESIGN
// sections 4 and 5 (PITFALLS C11, L21, L22).
#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

bool HoldsCommands(const LogFact& log) {
  if (log.snapshot_index() > 0) return true;  // as far as can be told
  for (Index i = log.first_index(); i <= log.last_index(); ++i) {
    if (log.At(i)->kind == raft::EntryKind::kCommands) return true;
  }
  return false;
}

class Monotone final : public Invariant {
 public:
  explicit Monotone(Scene& scene) : Invariant(scene, "monotone") {}

  void OnRecovered(const Actor& actor, const Recovered& recovered) override {
    if (actor.facts->went_back()) return;
    const raft::HardState& had = actor.facts->durable.hard_state();
    const raft::HardState& has = recovered.hard_state;
    if (has.term < had.term)
      return Fail(absl::StrCat(actor.facts->id.ToString(), " restarts in term ", has.term,
                               " after ", had.term));
    if (has.term == had.term && !had.vote.empty() && has.vote != had.vote)
      Fail(absl::StrCat(actor.facts->id.ToString(), " forgot its vote in term ", had.term));
  }
  void OnStep(const Actor& actor, const ClusterId&, const raft::Core& core,
              const raft::Output&) override {
    const IncarnationFacts& facts = *actor.facts;
    if (core.term() < facts.term)
      return Fail(absl::StrCat(facts.id.ToString(), "'s term falls from ", facts.term, " to ",
                               core.term()));
    if (core.commit_index() < facts.commit)
      Fail(absl::StrCat(facts.id.ToString(), "'s commit index falls from ", facts.commit, " to ",
                        core.commit_index()));
  }
  void OnWrite(const Actor& actor, const raft::WriteBatch& batch) override {
    if (batch.forget) {
      scene_.marks.Visit("older disk found out");
      // Nobody is told that its storage went back whose storage did not, nor gives anything up that
      // a client asked for.
      if (!actor.facts->went_back() && HoldsCommands(actor.facts->written))
        Fail(absl::StrCat(actor.facts->id.ToString(), " empties its storage, which lost nothing"));
    }
    if (!batch.hard_state.has_value()) return;
    const raft::HardState& before = actor.facts->written.hard_state();
    const raft::HardState& now = *batch.hard_state;
    if (now.term < before.term ||
        (now.term == before.term && !before.vote.empty() && now.vote != before.vote)) {
      Fail(absl::StrCat(actor.facts->id.ToString(), " writes term ", now.term, " with a vote for ",
                        now.vote.ToString(), " over term ", before.term, " with a vote for ",
                        before.vote.ToString()));
    }
  }
  void OnApplied(const Actor& actor, const AppliedEntry& applied) override {
    const ClusterFacts& facts = scene_.facts.clusters[applied.cluster];
    const Index index = applied.entry.index;
    if (!applied.first || index == 1) return;
    if (applied.machine.revision() < facts.applied[index - 2].revision)
      return Fail(absl::StrCat("the revision falls at entry ", index));
    if (applied.entry.stamp_ns < facts.committed[index - 2].entry.stamp_ns)
      Fail(absl::StrCat("the stamp falls at entry ", index, " of ", actor.facts->id.ToString()));
  }
};

}  // namespace

std::unique_ptr<Invariant> NewMonotone(Scene& scene) { return std::make_unique<Monotone>(scene); }

}  // namespace tenure::sim
