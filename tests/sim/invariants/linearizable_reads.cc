// A read sees everything that was committed before it was asked for, by whichever leader; and none
// is served before its leader committed an entry of its own term. Ongaro's dissertation, section
// 6.4; PITFALLS C2, C3. (Histories are checked besides: history.h.)
#include <map>

#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class LinearizableReads final : public Invariant {
 public:
  explicit LinearizableReads(Scene& scene) : Invariant(scene, "linearizable reads") {}

  void OnStep(const Actor& actor, const ClusterId&, const raft::Core& core,
              const raft::Output& output) override {
    Reign& reign = reigns_[actor.facts->id];
    // The very step that confirms a read may commit the removal of its leader, and end its reign.
    if (core.role() == raft::Role::kLeader) reign = {core.term(), core.term_start_index()};
    for (const raft::ReadReady& ready : output.reads_ready) {
      if (reign.term == core.term() && reign.start != 0 && ready.index >= reign.start &&
          core.commit_index() >= reign.start) {
        continue;
      }
      Fail(absl::StrCat(actor.facts->id.ToString(), " serves a read at index ", ready.index,
                        " in term ", core.term(), ", whose first entry has index ",
                        reign.term == core.term() ? reign.start : 0, " and where ",
                        core.commit_index(), " is committed"));
    }
  }
  void OnRead(Revision committed, Revision revision) override {
    if (revision < committed)
      Fail(absl::StrCat("a read was answered at revision ", revision, " although ", committed,
                        " had been committed before it was asked for"));
  }

 private:
  struct Reign {
    Term term = 0;
    Index start = 0;
  };
  std::map<MemberId, Reign> reigns_;
};

}  // namespace

std::unique_ptr<Invariant> NewLinearizableReads(Scene& scene) {
  return std::make_unique<LinearizableReads>(scene);
}

}  // namespace tenure::sim
