// Who is told of a loss before its own deadline has lost indeed: its session is ended in an applied
// entry, or its cluster is no more. DESIGN section 4, rule 2; PITFALLS T4, T8, L1, L3.
#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class TruthfulLoss final : public Invariant {
 public:
  explicit TruthfulLoss(Scene& scene) : Invariant(scene, "truthful loss") {}

  void OnLost(SessionId session, absl::Duration left) override {
    ++scene_.counts.losses;
    // The clocks may have moved since the deadline was last looked at.
    if (left <= absl::ZeroDuration() || scene_.plan.wild_clocks) return;
    scene_.marks.Visit("loss told before the deadline");
    if (scene_.facts.ended.contains(session) || scene_.facts.clusters.size() > 1) return;
    Fail(absl::StrCat("session ", session, " is told that it ended, ", absl::FormatDuration(left),
                      " before its own deadline, and no entry ended it"));
  }
};

}  // namespace

std::unique_ptr<Invariant> NewTruthfulLoss(Scene& scene) {
  return std::make_unique<TruthfulLoss>(scene);
}

}  // namespace tenure::sim
