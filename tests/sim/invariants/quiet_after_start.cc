// A member that restarts with its data neither votes nor asks for votes within one maximum election
// timeout, as the slower of its clocks counts: it may have promised that to a leader. DESIGN
// section 6; PITFALLS T12.
#include <variant>

#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class QuietAfterStart final : public Invariant {
 public:
  explicit QuietAfterStart(Scene& scene) : Invariant(scene, "quiet after a start") {}

  void OnSend(const Actor& actor, const Envelope& envelope) override {
    if (!actor.facts->recovered || scene_.plan.wild_clocks) return;
    const auto* message = std::get_if<raft::Message>(&envelope.body);
    if (message == nullptr) return;
    const auto* vote = std::get_if<raft::VoteResponse>(message);
    if (!std::holds_alternative<raft::VoteRequest>(*message) &&
        (vote == nullptr || !vote->granted)) {
      return;
    }
    // CLOCK_BOOTTIME may have been put back since, when all that was over already.
    const std::int64_t quiet =
        actor.now.monotonic_raw_ns() - actor.facts->started_by_own_clock.monotonic_raw_ns();
    if (quiet >= absl::ToInt64Nanoseconds(scene_.plan.election_max)) return;
    Fail(absl::StrCat(actor.facts->id.ToString(), " takes part in an election ",
                      absl::FormatDuration(absl::Nanoseconds(quiet)), " after its start"));
  }
};

}  // namespace

std::unique_ptr<Invariant> NewQuietAfterStart(Scene& scene) {
  return std::make_unique<QuietAfterStart>(scene);
}

}  // namespace tenure::sim
