// While every clock keeps its bound: no two guards of one lock are Valid() at one moment, and no
// session is ended by the cluster while its holder's own deadline has not passed. DESIGN section 4,
// rule 3; PITFALLS L6, L9, T1 to T5, T7, T10. A guard that is not Valid() never is again, so
// looking at each grant, and at each expiry, is enough.
#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class Holders final : public Invariant {
 public:
  explicit Holders(Scene& scene) : Invariant(scene, "holders") {}

  void OnGranted(const Hold& fresh, absl::Span<const Hold* const> holds) override {
    if (scene_.plan.wild_clocks || !fresh.guard.Valid()) return;
    for (const Hold* other : holds) {
      if (other->id == fresh.id || other->lock != fresh.lock || !other->guard.Valid()) continue;
      Fail(absl::StrCat("client ", fresh.client, " holds ", fresh.lock, " with token ", fresh.token,
                        " while client ", other->client, " holds it with token ", other->token));
    }
  }
  void OnShared(const Share& fresh, absl::Span<const Share* const> shares) override {
    if (scene_.plan.wild_clocks || fresh.breakable || !fresh.valid()) return;
    std::uint64_t taken = fresh.permits;
    for (const Share* other : shares) {
      if (other->name != fresh.name || other->id == fresh.id || !other->valid()) continue;
      // What is held once more by one owner has one token.
      if (other->token == fresh.token) continue;
      taken += other->permits;
      if (fresh.permits != 0 ? taken <= kPermits : other->shared && fresh.shared) continue;
      Fail(absl::StrCat("client ", fresh.client, " has ", fresh.name, " with token ", fresh.token,
                        " while client ", other->client, " has it with token ", other->token));
    }
  }
  void OnApplied(const Actor&, const AppliedEntry& applied) override {
    if (scene_.plan.wild_clocks || !applied.first) return;
    for (const SessionEvent& event : applied.applied.events) {
      const auto* ended = std::get_if<SessionEndedEvent>(&event.body);
      if (ended == nullptr || ended->reason != SessionEnd::kExpired) continue;
      scene_.marks.Visit("session expired");
      const auto it = scene_.sessions.find(event.session);
      if (it == scene_.sessions.end() || !it->second.Valid()) continue;
      Fail(absl::StrCat("session ", event.session, " is ended by entry ", applied.entry.index,
                        " while its holder may believe in it for another ",
                        absl::FormatDuration(it->second.remaining())));
    }
  }
};

}  // namespace

std::unique_ptr<Invariant> NewHolders(Scene& scene) { return std::make_unique<Holders>(scene); }

}  // namespace tenure::sim
