// Tokens are unique, and rise along the grants of one lock, over all clusters that a run has; a
// gate that admits a token only if it saw none higher never refuses the newest holder, and refuses
// whoever writes after it, also when clocks broke their bound and both believe to hold the lock. An
// acknowledged grant comes from an applied entry. DESIGN section 5; PITFALLS L9, L21, L22.
#include "tenure/fencing.h"

#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class Fencing final : public Invariant {
 public:
  explicit Fencing(Scene& scene) : Invariant(scene, "fencing") {}

  void OnGranted(const Hold& hold, absl::Span<const Hold* const>) override {
    const auto [it, fresh] = tokens_.try_emplace(hold.token, hold.lock);
    if (!fresh)
      return Fail(absl::StrCat("token ", hold.token, " was given for ", it->second,
                               " and again for ", hold.lock));
    if (hold.token > newest_applied_)
      Fail(absl::StrCat("token ", hold.token, " was told, but only revision ", newest_applied_,
                        " is applied anywhere"));
  }
  void OnGuardedWrite(const Hold& hold) override {
    std::unique_ptr<FencingGate>& gate = gates_[hold.lock];
    if (gate == nullptr) gate = std::make_unique<FencingGate>();
    const Revision seen = gate->seen();
    const bool admitted = gate->Admit(hold.token).ok();
    ++scene_.counts.gate_writes;
    if (!admitted) {
      ++scene_.counts.gate_refusals;
      // The writer believed to hold the lock. Somebody else had it later, and wrote.
      if (!scene_.plan.wild_clocks)
        Fail(absl::StrCat("the gate of ", hold.lock, " refuses token ", hold.token,
                          " of a holder that is Valid(): it saw ", seen));
      scene_.marks.Visit("stale holder refused by the gate");
    } else if (hold.token < newest_[hold.lock] && gate->seen() >= newest_[hold.lock]) {
      Fail(absl::StrCat("the gate of ", hold.lock, " admits token ", hold.token, " after ", seen));
    }
  }
  void OnApplied(const Actor&, const AppliedEntry& applied) override {
    newest_applied_ = std::max(newest_applied_, applied.machine.revision());
    if (!applied.first) return;
    const auto granted = [this](const std::string& lock, Revision token) {
      Revision& newest = newest_[lock];
      if (token < newest)
        Fail(absl::StrCat(lock, " is granted with token ", token, " after ", newest));
      newest = std::max(newest, token);
    };
    for (const SessionEvent& event : applied.applied.events) {
      if (const auto* grant = std::get_if<LockGrantedEvent>(&event.body))
        granted(grant->name, grant->token);
    }
  }

 private:
  std::map<Revision, std::string> tokens_;
  std::map<std::string, Revision> newest_;
  std::map<std::string, std::unique_ptr<FencingGate>> gates_;
  Revision newest_applied_ = 0;
};

}  // namespace

std::unique_ptr<Invariant> NewFencing(Scene& scene) { return std::make_unique<Fencing>(scene); }

}  // namespace tenure::sim
