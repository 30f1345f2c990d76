// All that locks, semaphores, sets of locks, attempts that are one with a lock, and elections can
// do, against a second machine that is written for obviousness: one list of who waits, one of who
// holds, searched from their beginnings. It hears the commands, what they were answered, and what
// was told, entry by entry; so it judges: nobody holds beside somebody who keeps him out; nobody is
// served before who came earlier (or, of candidates, has the greater priority); nobody waits on who
// could be served; all who share have one fence; a gate's seats are each one's. DESIGN section 5;
// PITFALLS L2, L17 to L19, E2, E6.
#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

// A machine hands over, and clears up after the dead, a bounded number in each entry.
constexpr int kEntriesPatience = 40;

class NaiveLocks final : public Invariant {
  using Claim = std::pair<SessionId, Sequence>;
  struct Part {
    std::string name;
    LockMode mode = LockMode::kExclusive;
  };
  struct Wait {
    Claim claim;
    std::uint64_t order = 0;
    std::vector<Part> parts;
    std::uint64_t permits = 0, total = 0;
    std::int64_t delay_ns = 0;
    std::uint32_t priority = 0;   // of candidates
    std::string key;              // of what is attempted with the lock
    std::int64_t attempt_ns = 0;  // likewise: how long that may take
    int served_late = 0;          // entries since nothing keeps it out any more
  };
  struct Holder {
    Claim claim;
    Revision token = 0;
    Part part;
    std::uint64_t permits = 0, total = 0;
    std::int64_t delay_ns = 0;
    std::uint64_t holds = 1;
    Revision fence = 0;
    std::uint64_t seat = 0;
    std::string key;
    std::int64_t attempt_ns = 0;
    std::int64_t late_from_ns = kWaitForever;  // who comes may have what it holds
  };
  struct Grant {  // of this entry
    Wait wait;
    Revision token = 0;
  };

 public:
  explicit NaiveLocks(Scene& scene) : Invariant(scene, "naive locks") {}

  void OnApplied(const Actor&, const AppliedEntry& applied) override {
    if (!applied.first) return;
    if (applied.entry.index == 1) state_ = {};  // another cluster
    now_ns_ = applied.entry.stamp_ns;
    order_before_ = state_.order;
    granted_.clear();
    attempted_.clear();
    handed_over_.clear();
    std::erase_if(state_.delays, [this](const auto& delay) { return delay.second <= now_ns_; });
    // What begins, then what ends: so the state is right once the entry is over, in whatever order
    // things happened within it.
    for (std::size_t i = 0; i < applied.commands.size(); ++i)
      Ask(applied.commands[i], applied.applied.replies[i]);
    for (const SessionEvent& event : applied.applied.events) {
      if (const auto* grant = std::get_if<LockGrantedEvent>(&event.body)) OnGrant(event, *grant);
      if (const auto* start = std::get_if<AttemptStartedEvent>(&event.body)) OnStart(event, *start);
    }
    // What it has once more may have been granted in this very entry.
    for (const auto& [wait, granted] : std::exchange(again_, {})) AgainBy(wait, granted);
    for (std::size_t i = 0; i < applied.commands.size(); ++i)
      End(applied.commands[i], applied.applied.replies[i]);
    for (const SessionEvent& event : applied.applied.events) End(event);
    for (const Grant& grant : granted_) CheckOrder(grant);
    CheckAttempts();
    CheckHolders();
    CheckNobodyForgotten(applied.machine.grants_from_ns());
  }

 private:
  struct State {
    std::list<Wait> waits;  // in the order in which they came
    std::list<Holder> holders;
    std::map<std::string, std::int64_t> delays;  // until when
    std::set<Claim> seen;
    std::uint64_t order = 0;
  };

  std::int64_t After(std::int64_t ns) const {
    return ns >= kWaitForever - now_ns_ ? kWaitForever : now_ns_ + ns;
  }
  static std::string KeyOf(const std::string& scope, const std::string& key) {
    return absl::StrCat(scope, "/", key);
  }
  // Elections are named apart from locks.
  static std::string Lead(const std::string& name) { return absl::StrCat("election ", name); }
  static std::string Show(const Claim& claim) {
    return absl::StrCat("session ", claim.first, " #", claim.second);
  }

  // ---- What begins

  void Ask(const Command& command, const Reply& reply) {
    Wait wait;
    if (const auto* acquire = std::get_if<AcquireLock>(&command.operation)) {
      wait.parts = {{acquire->name, acquire->mode}};
      wait.permits = acquire->permits;
      wait.total = acquire->total;
      wait.delay_ns = acquire->delay_ns;
    } else if (const auto* all = std::get_if<AcquireAll>(&command.operation)) {
      for (const LockInSet& lock : all->locks) wait.parts.push_back({lock.name, lock.mode});
      wait.delay_ns = all->delay_ns;
    } else if (const auto* campaign = std::get_if<Campaign>(&command.operation)) {
      wait.parts = {{Lead(campaign->name), LockMode::kExclusive}};
      wait.priority = campaign->priority;
    } else if (const auto* begin = std::get_if<Begin>(&command.operation)) {
      if (!begin->lock.empty()) wait.parts = {{begin->lock, LockMode::kExclusive}};
      wait.key = KeyOf(begin->scope, begin->key);
      wait.attempt_ns = begin->deadline_ns;
    } else {
      return GoOn(command, reply);
    }
    wait.claim = {command.session, command.sequence};
    wait.order = ++state_.order;
    const bool first = state_.seen.insert(wait.claim).second;
    if (const auto* granted = std::get_if<LockGranted>(&reply.result)) {
      if (granted->holds > 1) {
        if (first) again_.emplace_back(std::move(wait), *granted);
        return;
      }
      if (!first) return;  // a repeat, whose grant is known
      Take(std::move(wait), granted->token, granted->fence, granted->seat, granted->fences);
    } else if (const auto* started = std::get_if<AttemptStarted>(&reply.result)) {
      if (first) Attempt(std::move(wait), started->token);
    } else if (first && Queued(command, reply)) {
      state_.waits.push_back(std::move(wait));
    }
  }
  static bool Queued(const Command& command, const Reply& reply) {
    const auto* begin = std::get_if<Begin>(&command.operation);
    if (begin == nullptr) return std::holds_alternative<LockQueued>(reply.result);
    return !begin->lock.empty() && begin->wait_ns > 0 &&
           std::holds_alternative<AttemptInProgress>(reply.result);
  }
  // An attempt has more time.
  void GoOn(const Command& command, const Reply& reply) {
    if (!std::holds_alternative<AttemptExtended>(reply.result)) return;
    const auto* checkpoint = std::get_if<Checkpoint>(&command.operation);
    const auto* extend = std::get_if<Extend>(&command.operation);
    // A repeat gives no more.
    if (!state_.seen.insert({command.session, command.sequence}).second) return;
    for (Holder& holder : state_.holders) {
      if (holder.token != (extend != nullptr ? extend->token : checkpoint->token)) continue;
      if (extend != nullptr) holder.attempt_ns = extend->deadline_ns;
      holder.late_from_ns = After(holder.attempt_ns);
    }
  }
  void AgainBy(const Wait& wait, const LockGranted& granted) {
    for (Holder& holder : state_.holders) {
      if (holder.token != granted.token || holder.part.name != wait.parts[0].name) continue;
      if (holder.claim.first != wait.claim.first || ++holder.holds != granted.holds)
        Fail(absl::StrCat(Show(wait.claim), " has ", holder.part.name, " for the ", granted.holds,
                          "th time, and should not"));
      scene_.marks.Visit("lock held once more");
      return;
    }
    Fail(absl::StrCat(Show(wait.claim), " has ", wait.parts[0].name,
                      " once more, and nobody has it with token ", granted.token));
  }
  void OnStart(const SessionEvent& event, const AttemptStartedEvent& start) {
    const Claim claim{event.session, start.begin};
    const auto it = std::find_if(state_.waits.begin(), state_.waits.end(),
                                 [&](const Wait& wait) { return wait.claim == claim; });
    Wait wait{.claim = claim, .key = KeyOf(start.scope, start.key)};
    if (it != state_.waits.end()) {
      wait = std::move(*it);
      state_.waits.erase(it);
      scene_.marks.Visit("attempt waited for its lock");
    }
    Attempt(std::move(wait), start.token);
  }
  // With its lock, or without one: whoever was late with that key has nothing any more.
  void Attempt(Wait wait, Revision token) {
    EndLate([&](const Holder& holder) { return holder.key == wait.key; });
    // Of two within one entry the later one: what was answered is heard before what was told.
    Revision& latest = attempted_[wait.key];
    latest = std::max(latest, token);
    if (!wait.parts.empty()) Take(std::move(wait), token, 0, 0, {});
  }
  template <typename Which>
  void EndLate(Which which) {
    const auto ends = [&](const Holder& holder) {
      return holder.late_from_ns <= now_ns_ && which(holder);
    };
    if (std::erase_if(state_.holders, ends) > 0) scene_.marks.Visit("late attempt overtaken");
  }
  void OnGrant(const SessionEvent& event, const LockGrantedEvent& grant) {
    const Claim claim{event.session, grant.acquire};
    const auto it = std::find_if(state_.waits.begin(), state_.waits.end(),
                                 [&](const Wait& wait) { return wait.claim == claim; });
    if (it == state_.waits.end())
      return Fail(absl::StrCat(Show(claim), " is granted ", grant.name, " and did not wait"));
    Wait wait = std::move(*it);
    state_.waits.erase(it);
    Take(std::move(wait), grant.token, grant.fence, grant.seat, grant.fences);
  }
  void Take(Wait wait, Revision token, Revision fence, std::uint64_t seat,
            const std::vector<Revision>& fences) {
    for (std::size_t i = 0; i < wait.parts.size(); ++i) {
      const Revision own = fences.empty() ? fence : fences[i];
      EndLate([&](const Holder& holder) { return holder.part.name == wait.parts[i].name; });
      Holder holder{wait.claim,    token, wait.parts[i],          wait.permits, wait.total,
                    wait.delay_ns, 1,     own == 0 ? token : own, seat};
      holder.key = wait.key;
      holder.attempt_ns = wait.attempt_ns;
      if (!wait.key.empty()) holder.late_from_ns = After(wait.attempt_ns);
      state_.holders.push_back(std::move(holder));
    }
    if (wait.parts.size() > 1) scene_.marks.Visit("set of locks granted");
    if (wait.parts[0].mode == LockMode::kShared) scene_.marks.Visit("lock shared");
    if (wait.parts[0].mode == LockMode::kPermits) scene_.marks.Visit("permits granted");
    granted_.push_back({std::move(wait), token});
  }

  // ---- What ends

  void End(const Command& command, const Reply& reply) {
    if (const auto* release = std::get_if<ReleaseLock>(&command.operation)) {
      const auto* released = std::get_if<LockReleased>(&reply.result);
      if (released != nullptr) Drop(release->name, release->token, released->holds);
    } else if (const auto* resign = std::get_if<Resign>(&command.operation)) {
      if (std::holds_alternative<LockReleased>(reply.result))
        Drop(Lead(resign->name), resign->term, 0);
    } else if (const auto* hand = std::get_if<HandOver>(&command.operation)) {
      if (!std::holds_alternative<LockReleased>(reply.result)) return;
      handed_over_.insert(Lead(hand->name));
      scene_.marks.Visit("lead handed over");
      Drop(Lead(hand->name), hand->term, 0);
    } else if (const auto* downgrade = std::get_if<Downgrade>(&command.operation)) {
      if (std::holds_alternative<LockGranted>(reply.result)) Share(*downgrade);
    } else if (const auto* broken = std::get_if<BreakLock>(&command.operation)) {
      if (!std::holds_alternative<LockBroken>(reply.result)) return;
      if (broken->kind == ObjectKind::kOperation) return Finish(broken->token);
      // A repeat is answered as before, and breaks nothing.
      if (!state_.seen.insert({command.session, command.sequence}).second) return;
      Break(broken->kind == ObjectKind::kLock ? broken->name : Lead(broken->name), broken->token);
    } else if (const auto* finish = std::get_if<FinishAttempt>(&command.operation)) {
      if (std::holds_alternative<AttemptFinished>(reply.result)) Finish(finish->token);
    } else if (const auto* forget = std::get_if<Forget>(&command.operation)) {
      if (!std::holds_alternative<OperationForgotten>(reply.result)) return;
      EndLate(
          [&](const Holder& holder) { return holder.key == KeyOf(forget->scope, forget->key); });
    } else if (const auto* cancel = std::get_if<CancelWait>(&command.operation)) {
      if (std::holds_alternative<WaitCancelled>(reply.result))
        Leave({command.session, cancel->acquire});
    } else if (std::holds_alternative<Deadlock>(reply.result)) {
      scene_.marks.Visit("deadlock refused");
    }
  }
  void End(const SessionEvent& event) {
    if (const auto* over = std::get_if<WaitEndedEvent>(&event.body)) {
      Leave({event.session, over->acquire});
    } else if (const auto* outcome = std::get_if<OperationEndedEvent>(&event.body)) {
      Leave({event.session, outcome->begin});
    } else if (const auto* ended = std::get_if<SessionEndedEvent>(&event.body)) {
      std::erase_if(state_.waits,
                    [&](const Wait& wait) { return wait.claim.first == event.session; });
      const auto its = [&](const Holder& holder) { return holder.claim.first == event.session; };
      if (ended->reason == SessionEnd::kExpired) {
        Lose(its);
      } else {
        std::erase_if(state_.holders, its);
      }
    }
  }
  void Leave(const Claim& claim) {
    std::erase_if(state_.waits, [&](const Wait& wait) { return wait.claim == claim; });
  }
  // An attempt, and the lock that is one with it.
  void Finish(Revision token) {
    std::erase_if(state_.holders, [token](const Holder& holder) {
      return !holder.key.empty() && holder.token == token;
    });
  }
  // Given back; `holds`: how often it is held still. A repeat finds nothing.
  void Drop(const std::string& name, Revision token, std::uint64_t holds) {
    const auto it = std::find_if(
        state_.holders.begin(), state_.holders.end(),
        [&](const Holder& holder) { return holder.token == token && holder.part.name == name; });
    if (it == state_.holders.end()) return;
    it->holds = std::min(it->holds, holds);
    if (holds == 0) state_.holders.erase(it);
  }
  // Taken from its holder, or left behind by a dead one.
  template <typename Which>
  void Lose(Which which) {
    std::erase_if(state_.holders, [&](const Holder& holder) {
      if (!which(holder)) return false;
      if (holder.part.mode == LockMode::kExclusive && holder.delay_ns > 0)
        state_.delays[holder.part.name] = now_ns_ + holder.delay_ns;
      return true;
    });
  }
  // What nobody has by that token is the delay after a loss.
  void Break(const std::string& name, Revision token) {
    const std::size_t before = state_.holders.size();
    Lose([&](const Holder& holder) { return holder.token == token && holder.part.name == name; });
    if (state_.holders.size() < before) return scene_.marks.Visit("lock broken");
    if (state_.delays.erase(name) == 0)
      return Fail(absl::StrCat(name, " is broken by token ", token, ", which is nobody's"));
    scene_.marks.Visit("delay ended by an administrator");
  }
  void Share(const Downgrade& downgrade) {
    for (Holder& holder : state_.holders) {
      if (holder.token != downgrade.token || holder.part.name != downgrade.name) continue;
      holder.part.mode = LockMode::kShared;
      scene_.marks.Visit("lock downgraded");
    }
  }

  // ---- What has to hold

  // Whether `earlier` comes before `later` where both want one name.
  static bool Before(const Wait& earlier, const Wait& later) {
    if (earlier.priority != later.priority) return earlier.priority > later.priority;
    return earlier.order < later.order;
  }
  static bool Wants(const Wait& wait, const std::string& name) {
    return std::any_of(wait.parts.begin(), wait.parts.end(),
                       [&](const Part& part) { return part.name == name; });
  }
  void CheckOrder(const Grant& grant) {
    for (const Part& part : grant.wait.parts) {
      if (handed_over_.contains(part.name)) continue;
      for (const Wait& wait : state_.waits) {
        if (!Wants(wait, part.name) || !Before(wait, grant.wait)) continue;
        // A candidate of greater priority may have come after the grant, in the same entry.
        if (wait.order > grant.wait.order && wait.order > order_before_) continue;
        return Fail(absl::StrCat(Show(grant.wait.claim), " is granted ", part.name, " with token ",
                                 grant.token, " before ", Show(wait.claim)));
      }
    }
  }
  // Nobody holds a lock for a key that another one attempts.
  void CheckAttempts() {
    for (const Holder& holder : state_.holders) {
      const auto it = attempted_.find(holder.key);
      if (it == attempted_.end() || it->second == holder.token) continue;
      return Fail(absl::StrCat(Show(holder.claim), " has ", holder.part.name, " with token ",
                               holder.token, " for ", holder.key, ", which is attempted with ",
                               it->second));
    }
  }
  void CheckHolders() {
    std::map<std::string, std::vector<const Holder*>> by_name;
    for (const Holder& holder : state_.holders) by_name[holder.part.name].push_back(&holder);
    for (const auto& [name, holders] : by_name) {
      std::uint64_t taken = 0;
      std::set<std::uint64_t> seats;
      for (const Holder* holder : holders) {
        const Holder& first = *holders[0];
        const auto wrong = [&](absl::string_view what) {
          Fail(absl::StrCat(first.part.name, ": ", Show(holder->claim), " with token ",
                            holder->token, " beside ", Show(first.claim), " with token ",
                            first.token, what));
        };
        if (holder != &first &&
            (holder->part.mode == LockMode::kExclusive || first.part.mode != holder->part.mode)) {
          return wrong(", which keeps it out");
        }
        if (holder->part.mode == LockMode::kShared && holder->fence != first.fence)
          return wrong(absl::StrCat(", of another fence: ", holder->fence, ", ", first.fence));
        if (holder->part.mode != LockMode::kPermits) continue;
        taken += holder->permits;
        if (holder->total != first.total || taken > first.total) return wrong(", of too few");
        if (!seats.insert(holder->seat).second || holder->seat >= holder->total)
          return wrong(absl::StrCat(", on seat ", holder->seat));
      }
    }
  }
  bool MayBeServed(const Wait& wait) const {
    for (const Part& part : wait.parts) {
      if (state_.delays.contains(part.name)) return false;
      for (const Wait& other : state_.waits) {
        if (&other != &wait && Wants(other, part.name) && Before(other, wait)) return false;
      }
      std::uint64_t taken = 0;
      for (const Holder& holder : state_.holders) {
        if (holder.part.name != part.name || holder.late_from_ns <= now_ns_) continue;
        if (holder.part.mode == LockMode::kExclusive || holder.part.mode != part.mode) return false;
        taken += holder.permits;
      }
      if (part.mode == LockMode::kPermits && taken + wait.permits > wait.total) return false;
    }
    return true;
  }
  void CheckNobodyForgotten(std::int64_t grants_from_ns) {
    for (Wait& wait : state_.waits) {
      wait.served_late = now_ns_ >= grants_from_ns && MayBeServed(wait) ? wait.served_late + 1 : 0;
      if (wait.served_late < kEntriesPatience) continue;
      return Fail(absl::StrCat(Show(wait.claim), " waits for ", wait.parts[0].name,
                               ", and nothing keeps it out for ", kEntriesPatience, " entries"));
    }
  }

  State state_;
  std::int64_t now_ns_ = 0;
  std::uint64_t order_before_ = 0;                   // this entry
  std::vector<Grant> granted_;                       // in this entry
  std::vector<std::pair<Wait, LockGranted>> again_;  // of this entry
  std::map<std::string, Revision> attempted_;        // likewise, and the last token of each
  std::set<std::string> handed_over_;                // likewise
};

}  // namespace

std::unique_ptr<Invariant> NewNaiveLocks(Scene& scene) {
  return std::make_unique<NaiveLocks>(scene);
}

}  // namespace tenure::sim
