// No committed entry is truncated, by nobody; and what was durable when a process ended is there
// when the next one starts. Ongaro's dissertation, section 3.5; PITFALLS C10, C15.
#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class CommittedStays final : public Invariant {
 public:
  explicit CommittedStays(Scene& scene) : Invariant(scene, "committed stays") {}

  void OnStep(const Actor& actor, const ClusterId& cluster, const raft::Core& core,
              const raft::Output& output) override {
    if (!output.write.has_value()) return;
    if (output.write->snapshot.has_value()) Replaces(actor, cluster, *output.write->snapshot);
    if (output.write->truncate_from == 0) return;
    const Index from = output.write->truncate_from;
    const LogFact& log = actor.facts->written;
    if (from > log.last_index()) return;
    scene_.marks.Visit("entries truncated");
    if (from <= actor.facts->commit) {
      return Fail(absl::StrCat(actor.facts->id.ToString(), " truncates from ", from,
                               " what it knows to be committed up to ", actor.facts->commit));
    }
    const ClusterFacts& facts = scene_.facts.clusters[cluster];
    for (Index i = from; i <= log.last_index() && i <= facts.last_committed(); ++i) {
      const EntryFact* entry = log.At(i);
      if (entry == nullptr || *entry != facts.committed[i - 1].entry) continue;
      // One that was away may hear late of a leader without it, whose term came before the one in
      // which it was committed: this copy did not count.
      if (core.term() < facts.committed[i - 1].by_term) continue;
      return Fail(absl::StrCat(actor.facts->id.ToString(), " truncates entry ", i, " of term ",
                               entry->term, ", which is committed"));
    }
  }
  void OnRecovered(const Actor& actor, const Recovered& recovered) override {
    if (actor.facts->went_back()) return;
    LogFact now;
    now.Recover(recovered);
    const LogFact& before = actor.facts->durable;
    if (now.snapshot_index() < before.snapshot_index())
      return Fail(absl::StrCat(actor.facts->id.ToString(), " lost its snapshot ",
                               before.snapshot_index(), " and has ", now.snapshot_index()));
    if (now.last_index() + 1 < before.first_index())
      return Fail(absl::StrCat(actor.facts->id.ToString(), " has a log up to ", now.last_index(),
                               " and had one from ", before.first_index(), " on"));
    for (Index i = before.first_index(); i <= before.last_index(); ++i) {
      const EntryFact* entry = now.At(i);
      if (now.Trimmed(i) || (entry != nullptr && *entry == *before.At(i))) continue;
      // A later write truncated it, and may have reached the disk before the process ended.
      const EntryFact* written = actor.facts->written.At(i);
      if (written == nullptr || *written != *before.At(i)) continue;
      return Fail(absl::StrCat(actor.facts->id.ToString(), " lost its entry ", i));
    }
  }

 private:
  // A snapshot that takes the place of the log: nothing that follows it there was committed.
  void Replaces(const Actor& actor, const ClusterId& cluster, const raft::SnapshotInfo& snapshot) {
    const LogFact& log = actor.facts->written;
    if (!log.ReplacedBy(snapshot)) return;
    scene_.marks.Visit("log replaced by a snapshot");
    if (snapshot.index < actor.facts->commit) {
      return Fail(absl::StrCat(actor.facts->id.ToString(), " installs snapshot ", snapshot.index,
                               " over what it knows to be committed up to ", actor.facts->commit));
    }
    const ClusterFacts& facts = scene_.facts.clusters[cluster];
    for (Index i = snapshot.index + 1; i <= log.last_index() && i <= facts.last_committed(); ++i) {
      const EntryFact* entry = log.At(i);
      if (entry == nullptr || *entry != facts.committed[i - 1].entry) continue;
      return Fail(absl::StrCat(actor.facts->id.ToString(), " drops entry ", i, " of term ",
                               entry->term, ", which is committed, for snapshot ", snapshot.index));
    }
  }
};

}  // namespace

std::unique_ptr<Invariant> NewCommittedStays(Scene& scene) {
  return std::make_unique<CommittedStays>(scene);
}

}  // namespace tenure::sim
