// A sequenced command takes effect once, however often it comes: an acquire yields one grant at
// most, and never after its wait has ended; a lock is granted only when nobody living holds it; a
// release frees the grant that it names. DESIGN section 5, "Sessions" and "Locks"; PITFALLS L10,
// L11, L12, L14, L20, T14.
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class ExactlyOnce final : public Invariant {
 public:
  explicit ExactlyOnce(Scene& scene) : Invariant(scene, "exactly once") {}

  void OnApplied(const Actor&, const AppliedEntry& applied) override {
    if (!applied.first) return;
    if (applied.entry.index == 1) state_ = {};  // another cluster
    // First what ends, then what begins; revisions tell what came before what.
    for (const SessionEvent& event : applied.applied.events) End(event);
    for (std::size_t i = 0; i < applied.commands.size(); ++i)
      End(applied.commands[i], applied.applied.replies[i]);
    for (const SessionEvent& event : applied.applied.events) {
      if (const auto* granted = std::get_if<LockGrantedEvent>(&event.body))
        Grant({event.session, granted->acquire}, granted->name, granted->token);
    }
    for (std::size_t i = 0; i < applied.commands.size(); ++i) {
      const Command& command = applied.commands[i];
      const auto* acquire = std::get_if<AcquireLock>(&command.operation);
      const auto* granted = std::get_if<LockGranted>(&applied.applied.replies[i].result);
      if (acquire != nullptr && granted != nullptr)
        Grant({command.session, command.sequence}, acquire->name, granted->token);
    }
  }

 private:
  using Claim = std::pair<SessionId, Sequence>;
  struct Held {
    SessionId session = 0;
    Revision token = 0;
  };
  struct State {
    std::map<Claim, Revision> grants;
    std::map<Claim, Revision> over;         // waits that ended without a grant, and when
    std::map<SessionId, Revision> ended;    // and when
    std::set<Revision> released;            // tokens
    std::map<std::string, Held> last_held;  // the last grant of each lock
  };

  void End(const SessionEvent& event) {
    if (const auto* over = std::get_if<WaitEndedEvent>(&event.body)) {
      Over({event.session, over->acquire}, event.revision);
    } else if (std::holds_alternative<SessionEndedEvent>(event.body)) {
      state_.ended.try_emplace(event.session, event.revision);
    }
  }
  void End(const Command& command, const Reply& reply) {
    if (const auto* release = std::get_if<ReleaseLock>(&command.operation)) {
      if (std::holds_alternative<LockReleased>(reply.result))
        state_.released.insert(release->token);
    } else if (const auto* cancel = std::get_if<CancelWait>(&command.operation)) {
      if (std::holds_alternative<WaitCancelled>(reply.result))
        Over({command.session, cancel->acquire}, reply.revision);
    }
  }
  void Over(const Claim& claim, Revision when) {
    state_.over.try_emplace(claim, when);
    if (state_.grants.contains(claim))
      Fail(absl::StrCat("the wait ", claim.second, " of session ", claim.first,
                        " ends without a grant after it was granted"));
  }
  void Grant(const Claim& claim, const std::string& lock, Revision token) {
    const auto [known, fresh] = state_.grants.try_emplace(claim, token);
    if (!fresh) {
      if (known->second != token)
        Fail(absl::StrCat("the acquire ", claim.second, " of session ", claim.first,
                          " is granted twice: tokens ", known->second, " and ", token));
      return;  // a retry
    }
    ++scene_.counts.grants;
    if (state_.over.contains(claim))
      Fail(absl::StrCat("a ghost: the wait ", claim.second, " of session ", claim.first,
                        " had ended, and is granted"));
    const auto ended = state_.ended.find(claim.first);
    if (ended != state_.ended.end() && ended->second < token)
      Fail(absl::StrCat("session ", claim.first, " had ended, and is granted ", lock));
    Held& held = state_.last_held[lock];
    if (held.token != 0 && !state_.released.contains(held.token) &&
        !state_.ended.contains(held.session)) {
      Fail(absl::StrCat(lock, " is granted to session ", claim.first, " while session ",
                        held.session, " holds it with token ", held.token));
    }
    held = {claim.first, token};
  }

  State state_;
};

}  // namespace

std::unique_ptr<Invariant> NewExactlyOnce(Scene& scene) {
  return std::make_unique<ExactlyOnce>(scene);
}

}  // namespace tenure::sim
