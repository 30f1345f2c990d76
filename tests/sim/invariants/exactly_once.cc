// A sequenced command takes effect once, however often it comes: an acquire yields one grant at
// most, and never after its wait has ended; a lock is granted only when nobody living holds it; a
// release frees the grant that it names. DESIGN section 5, "Sessions" and "Locks"; PITFALLS L10,
// L11, L12, L14, L20, T14.
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class ExactlyOnce final : public Invariant {
  using Claim = std::pair<SessionId, Sequence>;

 public:
  explicit ExactlyOnce(Scene& scene) : Invariant(scene, "exactly once") {}

  void OnApplied(const Actor&, const AppliedEntry& applied) override {
    if (!applied.first) return;
    if (applied.entry.index == 1) state_ = {};  // another cluster
    if (scene_.line.detailed()) Tell(applied);
    // First what ends, then what begins; revisions tell what came before what.
    for (const SessionEvent& event : applied.applied.events) End(event);
    for (std::size_t i = 0; i < applied.commands.size(); ++i)
      End(applied.commands[i], applied.applied.replies[i]);
    std::map<Revision, std::pair<Claim, std::string>> grants;
    for (const SessionEvent& event : applied.applied.events) {
      if (const auto* granted = std::get_if<LockGrantedEvent>(&event.body))
        grants[granted->token] = {{event.session, granted->acquire}, granted->name};
    }
    for (std::size_t i = 0; i < applied.commands.size(); ++i) {
      const Command& command = applied.commands[i];
      const auto* acquire = std::get_if<AcquireLock>(&command.operation);
      const auto* granted = std::get_if<LockGranted>(&applied.applied.replies[i].result);
      if (acquire != nullptr && granted != nullptr)
        grants[granted->token] = {{command.session, command.sequence}, acquire->name};
    }
    for (const auto& [token, what] : grants) Grant(what.first, what.second, token);
  }

 private:
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

  void Tell(const AppliedEntry& applied) const {
    for (const SessionEvent& event : applied.applied.events) {
      std::string what = "wait ended";
      if (const auto* granted = std::get_if<LockGrantedEvent>(&event.body)) {
        what = absl::StrCat("granted ", granted->name, ", acquire ", granted->acquire, " token ",
                            granted->token);
      } else if (const auto* over = std::get_if<WaitEndedEvent>(&event.body)) {
        what = absl::StrCat("wait over for ", over->name, ", acquire ", over->acquire);
      } else if (const auto* ended = std::get_if<SessionEndedEvent>(&event.body)) {
        what = ended->reason == SessionEnd::kExpired ? "expired" : "closed";
      }
      scene_.line.Say(absl::StrCat("entry ", applied.entry.index, " tells session ", event.session,
                                   ": ", what, " (revision ", event.revision, ")"));
    }
    for (std::size_t i = 0; i < applied.commands.size(); ++i) {
      const Command& command = applied.commands[i];
      const Reply& reply = applied.applied.replies[i];
      std::string what;
      if (const auto* acquire = std::get_if<AcquireLock>(&command.operation)) {
        what = absl::StrCat("acquire ", acquire->name);
      } else if (const auto* release = std::get_if<ReleaseLock>(&command.operation)) {
        what = absl::StrCat("release ", release->name, " token ", release->token);
      } else if (const auto* cancel = std::get_if<CancelWait>(&command.operation)) {
        what = absl::StrCat("cancel acquire ", cancel->acquire);
      } else if (std::holds_alternative<CloseSession>(command.operation)) {
        what = "close";
      } else {
        continue;
      }
      scene_.line.Say(absl::StrCat("entry ", applied.entry.index, " session ", command.session,
                                   " #", command.sequence, ": ", what, " -> code ",
                                   static_cast<int>(reply.code), " result ", reply.result.index(),
                                   " revision ", reply.revision));
    }
  }
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
    } else if (const auto* resign = std::get_if<Resign>(&command.operation)) {
      if (std::holds_alternative<LockReleased>(reply.result)) state_.released.insert(resign->term);
    } else if (const auto* hand = std::get_if<HandOver>(&command.operation)) {
      if (std::holds_alternative<LockReleased>(reply.result)) state_.released.insert(hand->term);
    } else if (const auto* broken = std::get_if<BreakLock>(&command.operation)) {
      if (std::holds_alternative<LockBroken>(reply.result)) state_.released.insert(broken->token);
    } else if (const auto* cancel = std::get_if<CancelWait>(&command.operation)) {
      if (std::holds_alternative<WaitCancelled>(reply.result))
        Over({command.session, cancel->acquire}, reply.revision);
    }
  }
  void Over(const Claim& claim, Revision when) {
    state_.over.try_emplace(claim, when);
    // A grant that was given back by its token, before the cancel came, leaves nothing to tell of.
    const auto granted = state_.grants.find(claim);
    if (granted != state_.grants.end() && !state_.released.contains(granted->second))
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
    // What may be shared, or broken, "naive locks" judges.
    if (absl::StartsWith(lock, kSharedPrefix) || lock == kSemaphore || lock == kBreakable) return;
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
