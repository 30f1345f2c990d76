// A snapshot stands for what is committed: its index was applied, and term, stamp and configuration
// are those of the log there. A log is trimmed only of what a snapshot or everybody's state stands
// for. What is in it is judged by the next state that comes of it (state_machine_safety.cc).
// Ongaro's dissertation, section 5.1.
#include <memory>

#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class Snapshots final : public Invariant {
 public:
  explicit Snapshots(Scene& scene) : Invariant(scene, "snapshots") {}

  void OnWrite(const Actor& actor, const raft::WriteBatch& batch) override {
    if (batch.snapshot.has_value()) {
      scene_.marks.Visit("snapshot written");
      Check(actor, actor.facts->cluster, *batch.snapshot);
    }
    if (batch.trim_through > actor.facts->applied) {
      // The snapshot of this very batch is installed only now.
      if (batch.snapshot.has_value() && batch.trim_through <= batch.snapshot->index) return;
      Fail(absl::StrCat(actor.facts->id.ToString(), " trims its log through ", batch.trim_through,
                        " and has applied ", actor.facts->applied));
    }
  }
  void OnRecovered(const Actor& actor, const Recovered& recovered) override {
    if (recovered.snapshot.index > 0) {
      scene_.marks.Visit("recovered from a snapshot");
      Check(actor, recovered.cluster, recovered.snapshot);
    }
    if (recovered.trimmed_through > recovered.snapshot.index)
      Fail(absl::StrCat(actor.facts->id.ToString(), "'s log begins after ",
                        recovered.trimmed_through, ", but its snapshot ends at ",
                        recovered.snapshot.index));
  }

 private:
  void Check(const Actor& actor, const ClusterId& cluster, const raft::SnapshotInfo& snapshot) {
    const ClusterFacts& facts = scene_.facts.clusters[cluster];
    const auto wrong = [&](absl::string_view what) {
      Fail(absl::StrCat(actor.facts->id.ToString(), " has a snapshot of index ", snapshot.index,
                        " and term ", snapshot.term, " ", what));
    };
    if (snapshot.index > facts.applied.size()) return wrong("that nobody has applied");
    const EntryFact& entry = facts.committed[snapshot.index - 1].entry;
    if (entry.term != snapshot.term || entry.stamp_ns != snapshot.stamp_ns)
      return wrong(absl::StrCat("where an entry of term ", entry.term, " is committed"));
    const std::shared_ptr<const raft::Configuration> there = facts.ConfigurationAt(snapshot.index);
    if (snapshot.configuration == nullptr || there == nullptr ||
        *snapshot.configuration != *there) {
      wrong("with another configuration than the log has there");
    }
  }
};

}  // namespace

std::unique_ptr<Invariant> NewSnapshots(Scene& scene) { return std::make_unique<Snapshots>(scene); }

}  // namespace tenure::sim
