#include "tests/sim/others.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tenure/semaphore.h"

namespace tenure::sim {
namespace {

bool IsBreakable(const std::string& name) { return name == kBreakable; }

}  // namespace

// ---- What it asks for
// ----------------------------------------------------------------------------

void Others::Act(Session& session, Coordinator& coordinator) {
  const std::uint64_t dice = Below(100);
  const bool more = waits_.size() < 4 && !quiescent_;
  if (dice < 18) {
    if (more) LockOne(session);
  } else if (dice < 28) {
    if (more) LockJournaled(session);
  } else if (dice < 45) {
    if (more) TakePermits(session);
  } else if (dice < 60) {
    if (more) TakeSet(session);
  } else if (dice < 80) {
    if (more) CampaignFor(session);
  } else if (dice < 88) {
    if (scene_.faulty) Break(coordinator);
  } else {
    Chance(0.5) ? Look(coordinator) : LookAtLock(coordinator);
  }
}

absl::Duration Others::AWait() {
  switch (Below(4)) {
    case 0:
      return absl::ZeroDuration();
    case 1:
      return Random(absl::Milliseconds(5), absl::Milliseconds(400));
    case 2:
      return Random(absl::Milliseconds(200), absl::Seconds(5));
    default:
      return absl::InfiniteDuration();
  }
}

// Stops, now and then, by itself.
std::stop_token Others::Stopped(std::uint64_t id) {
  std::stop_token token = waits_[id].get_token();
  if (Chance(0.15)) {
    cancels_[id] = machine_.loop().At(
        machine_.loop().Now() + Random(absl::ZeroDuration(), absl::Seconds(1)), Safe([this, id] {
          const auto it = waits_.find(id);
          if (it == waits_.end()) return;
          std::stop_source stop = it->second;
          stop.request_stop();
        }));
  }
  return token;
}

void Others::LockOne(Session& session) {
  const std::uint64_t id = ++last_id_;
  const std::string name =
      Chance(0.2) ? kBreakable : absl::StrCat(kSharedPrefix, Below(kSharedCount));
  const bool shared = Chance(0.6);
  LockOptions options;
  options.wait = AWait();
  options.cancel = Stopped(id);
  if (Chance(0.5)) options.owner = absl::StrCat("o", Below(2));
  options.reentrant = !shared && !options.owner.empty() && Chance(0.5);
  options.detect_deadlock = !options.owner.empty() && Chance(0.5);
  if (!shared && Chance(0.2)) options.lock_delay = Random(absl::Milliseconds(10), absl::Seconds(1));
  SharedMutex mutex = session.shared_mutex(name);
  auto done = Safe([this, id, mutex, shared, session = session.id(),
                    again = options.reentrant](absl::StatusOr<LockGuard> guard) {
    waits_.erase(id);
    cancels_.erase(id);
    if (!guard.ok()) return;
    Share share{.name = mutex.name(), .token = guard->token(), .shared = shared};
    share.fence = guard->fence();
    Kept& kept = Keep(id, session, {share});
    kept.guard = *std::move(guard);
    // Held more than once, it cannot be downgraded, and it is one with its other holds.
    if (!again && !shared) kept.mutex = mutex;
    Rearm(id);
  });
  if (shared) {
    mutex.LockShared(std::move(options), std::move(done));
  } else {
    mutex.Lock(std::move(options), std::move(done));
  }
}

// Nothing else is done with these locks, so that their whole history is known.
void Others::LockJournaled(Session& session) {
  const std::uint64_t id = ++last_id_;
  const std::string name = absl::StrCat(kJournaledPrefix, Below(kJournaledCount));
  const bool shared = Chance(0.5);
  LockOptions options;
  options.wait = AWait();
  options.cancel = Stopped(id);
  const auto asked = history_.Asked(name, session.id(), now(), shared);
  SharedMutex mutex = session.shared_mutex(name);
  auto done = Safe(
      [this, id, mutex, shared, asked, session = session.id()](absl::StatusOr<LockGuard> guard) {
        waits_.erase(id);
        cancels_.erase(id);
        if (!guard.ok()) return;
        if (shared) {
          history_.GrantedShare(asked, guard->token(), now());
        } else {
          history_.Granted(asked, guard->token(), now());
        }
        Share share{.name = mutex.name(), .token = guard->token(), .shared = shared};
        share.fence = guard->fence();
        Kept& kept = Keep(id, session, {share});
        kept.guard = *std::move(guard);
        kept.journaled = true;
        kept.last_valid = history_.asked(asked);
        if (!shared) kept.mutex = mutex;
        Rearm(id);
      });
  if (shared) {
    mutex.LockShared(std::move(options), std::move(done));
  } else {
    mutex.Lock(std::move(options), std::move(done));
  }
}

void Others::TakePermits(Session& session) {
  const std::uint64_t id = ++last_id_;
  AcquireOptions options;
  options.permits = 1 + Below(kPermits);
  options.wait = AWait();
  options.cancel = Stopped(id);
  const std::uint64_t permits = options.permits;
  session.semaphore(kSemaphore, kPermits)
      .Acquire(std::move(options),
               Safe([this, id, permits, session = session.id()](absl::StatusOr<LockGuard> guard) {
                 waits_.erase(id);
                 cancels_.erase(id);
                 if (!guard.ok()) return;
                 Share share{.name = kSemaphore, .token = guard->token(), .permits = permits};
                 Keep(id, session, {share}).guard = *std::move(guard);
                 Rearm(id);
               }));
}

void Others::TakeSet(Session& session) {
  const std::uint64_t id = ++last_id_;
  std::vector<LockInSet> locks;
  std::vector<Share> shares;
  for (int i = 0; i < kSharedCount; ++i) {
    if (Chance(0.5)) continue;
    const bool shared = Chance(0.5);
    locks.push_back(
        {absl::StrCat(kSharedPrefix, i), shared ? LockMode::kShared : LockMode::kExclusive});
    shares.push_back({.name = locks.back().name, .shared = shared});
  }
  if (locks.empty()) {
    locks.push_back({absl::StrCat(kSharedPrefix, 0)});
    shares.push_back({.name = absl::StrCat(kSharedPrefix, 0)});
  }
  std::reverse(locks.begin(), locks.end());
  std::reverse(shares.begin(), shares.end());
  AcquireAllOptions options;
  options.wait = AWait();
  options.cancel = Stopped(id);
  if (Chance(0.3)) {
    options.owner = absl::StrCat("o", Below(2));
    options.detect_deadlock = true;
  }
  const bool alone =
      std::any_of(shares.begin(), shares.end(), [](auto& one) { return !one.shared; });
  if (alone && Chance(0.2)) options.lock_delay = Random(absl::Milliseconds(10), absl::Seconds(1));
  session.AcquireAll(std::move(locks), std::move(options),
                     Safe([this, id, shares = std::move(shares),
                           session = session.id()](absl::StatusOr<LockSetGuard> set) mutable {
                       waits_.erase(id);
                       cancels_.erase(id);
                       if (!set.ok()) return;
                       for (std::size_t i = 0; i < shares.size(); ++i) {
                         shares[i].token = (*set)[i].token();
                         shares[i].fence = (*set)[i].fence();
                       }
                       Keep(id, session, std::move(shares)).set = *std::move(set);
                       Rearm(id);
                     }));
}

void Others::CampaignFor(Session& session) {
  const std::uint64_t id = ++last_id_;
  CampaignOptions options;
  options.value = absl::StrCat("c", client_);
  options.wait = AWait();
  options.cancel = Stopped(id);
  options.priority = static_cast<std::uint32_t>(Below(3));
  const std::string name = Chance(0.3) ? kBreakable : "race";
  const auto asked = history_.Asked(absl::StrCat("election ", name), session.id(), now());
  Election election = session.election(name);
  election.Campaign(std::move(options),
                    Safe([this, id, name, asked, election,
                          session = session.id()](absl::StatusOr<Leadership> lead) {
                      waits_.erase(id);
                      cancels_.erase(id);
                      if (!lead.ok()) return;
                      history_.Granted(asked, lead->term(), now());
                      Share share{.name = absl::StrCat("election ", name), .token = lead->term()};
                      share.breakable = IsBreakable(name);
                      Kept& kept = Keep(id, session, {share});
                      kept.lead = *std::move(lead);
                      kept.election = election;
                      kept.journaled = true;
                      kept.last_valid = history_.asked(asked);
                      Rearm(id);
                    }));
}

// Whoever is seen to hold it.
void Others::Break(Coordinator& coordinator) {
  if (Chance(0.5)) {
    coordinator.shared_mutex(kBreakable)
        .Inspect(absl::Seconds(2),
                 Safe([this, coordinator](const absl::StatusOr<LockDescription>& seen) mutable {
                   if (!seen.ok()) return;
                   const Revision token = seen->delay != 0 ? seen->delay : seen->holder.token;
                   if (token == 0) return;
                   coordinator.BreakLock(kBreakable, token, "sim", absl::Seconds(2),
                                         UnderWay([](const absl::Status&) {}));
                 }));
    return;
  }
  coordinator.election(kBreakable)
      .Describe(absl::Seconds(2),
                Safe([this, coordinator](const absl::StatusOr<ElectionDescription>& seen) mutable {
                  if (!seen.ok() || seen->leader.token == 0) return;
                  history_.MayEnd(absl::StrCat("election ", kBreakable), seen->leader.token, now());
                  coordinator.BreakLeadership(kBreakable, seen->leader.token, "sim",
                                              absl::Seconds(2),
                                              UnderWay([](const absl::Status&) {}));
                }));
}

void Others::Look(Coordinator& coordinator) {
  const std::string name = Chance(0.3) ? kBreakable : "race";
  const auto read = history_.Reading(absl::StrCat("election ", name), now());
  coordinator.election(name).Describe(
      absl::Seconds(5), Safe([this, read](const absl::StatusOr<ElectionDescription>& seen) {
        if (seen.ok()) history_.Read(read, seen->leader.token, seen->leader.session, now());
      }));
}

void Others::LookAtLock(Coordinator& coordinator) {
  const std::string name = absl::StrCat(kJournaledPrefix, Below(kJournaledCount));
  const auto read = history_.Reading(name, now());
  coordinator.shared_mutex(name).Inspect(
      absl::Seconds(5), Safe([this, read](const absl::StatusOr<LockDescription>& seen) {
        if (!seen.ok()) return;
        std::vector<checker::LockHistory::Sharer> sharers;
        for (const LockHolder& each : seen->sharers) sharers.push_back({each.token, each.session});
        if (sharers.empty()) {
          history_.Read(read, seen->holder.token, seen->holder.session, now());
        } else {
          history_.ReadShared(read, sharers, now());
        }
      }));
}

// ---- What it has
// ----------------------------------------------------------------------------------

Others::Kept& Others::Keep(std::uint64_t id, SessionId session, std::vector<Share> shares) {
  Kept& kept = kept_[id];
  kept.session = session;
  kept.shares = std::move(shares);
  for (std::size_t i = 0; i < kept.shares.size(); ++i) {
    Share& share = kept.shares[i];
    share.id = id;
    share.client = client_;
    share.session = session;
    share.breakable = share.breakable || IsBreakable(share.name);
    share.valid = [&kept, i] {
      if (kept.lead.term() != 0) return kept.lead.Valid();
      return kept.set.size() > 0 ? kept.set[i].Valid() : kept.guard.Valid();
    };
  }
  return kept;
}

// Once it is in its place, and after each thing that was done with it.
void Others::Rearm(std::uint64_t id) {
  const auto it = kept_.find(id);
  if (it == kept_.end()) return;
  Kept& kept = it->second;
  if (!std::exchange(kept.told, true)) {
    scene_.world.MixIntoTrace(kept.shares[0].token);
    const std::vector<const Share*> all = all_shares_();
    for (const Share& share : kept.shares)
      scene_.TellAll([&](Invariant& each) { each.OnShared(share, all); });
  }
  if (kept.over || !scene_.sessions.contains(kept.session)) return Forget(id);
  if (quiescent_) return GiveBack(id);
  const absl::Duration how_long = Chance(0.1) ? scene_.plan.ttl_max : absl::Milliseconds(300);
  kept.timer = machine_.loop().At(machine_.loop().Now() + Random(absl::Milliseconds(1), how_long),
                                  Safe([this, id] { GoOn(id); }));
}

void Others::GoOn(std::uint64_t id) {
  const auto it = kept_.find(id);
  if (it == kept_.end() || it->second.under_way) return;
  Kept& kept = it->second;
  if (kept.lead.term() != 0) {
    const std::uint64_t dice = Below(10);
    if (dice < 3) {
      kept.under_way = true;
      kept.lead.Proclaim(absl::StrCat("v", Below(100)), ATimeout(),
                         UnderWay([this, id](const absl::Status&) {
                           const auto still = kept_.find(id);
                           if (still == kept_.end()) return;
                           still->second.under_way = false;
                           Rearm(id);
                         }));
      return;
    }
    return dice < 6 ? HandOver(id) : GiveBack(id);
  }
  if (!kept.mutex.name().empty() && Chance(kept.journaled ? 0.5 : 0.3)) return DowngradeIt(id);
  GiveBack(id);
}

void Others::DowngradeIt(std::uint64_t id) {
  Kept& kept = kept_.at(id);
  kept.under_way = true;
  kept.shares[0].shared = true;  // from the call on others may come in
  checker::LockHistory::Id downgrade = 0;
  if (kept.journaled) {
    NoteWhetherOver(kept);
    downgrade = history_.Downgrading(kept.guard.name(), kept.guard.token(), now());
  }
  SharedMutex mutex = std::exchange(kept.mutex, SharedMutex());
  mutex.Downgrade(
      kept.guard, ATimeout(),
      UnderWay([this, id, downgrade, journaled = kept.journaled](const absl::Status& status) {
        if (journaled && status.ok()) {
          scene_.marks.Visit("journaled lock downgraded");
          history_.Downgraded(downgrade, true, now());
        }
        if (journaled && absl::IsNotFound(status)) history_.Downgraded(downgrade, false, now());
        const auto still = kept_.find(id);
        if (still == kept_.end()) return;
        still->second.under_way = false;
        Rearm(id);
      }));
}

void Others::GiveBack(std::uint64_t id) {
  const auto it = kept_.find(id);
  if (it == kept_.end()) return;
  if (it->second.under_way) return;  // when that is answered
  if (Chance(0.1)) return Forget(id);
  if (it->second.lead.term() != 0) return EndLead(id);
  if (it->second.journaled) return EndJournaled(id);
  Kept& kept = it->second;
  if (kept.set.size() > 0) {
    LockSetGuard set = std::move(kept.set);
    kept_.erase(it);
    return set.Unlock(ATimeout(), UnderWay([](const absl::Status&) {}));
  }
  LockGuard guard = std::move(kept.guard);
  kept_.erase(it);
  guard.Unlock(ATimeout(), UnderWay([](const absl::Status&) {}));
}

absl::Duration Others::LastValid(Kept& kept) {
  const bool valid = kept.lead.term() != 0 ? kept.lead.Valid() : kept.guard.Valid();
  if (!scene_.plan.wild_clocks && valid) kept.last_valid = now();
  return kept.last_valid;
}

void Others::NoteWhetherOver(Kept& kept) {
  const absl::Duration valid = LastValid(kept);
  if (valid < now()) history_.MayEnd(kept.shares[0].name, kept.shares[0].token, valid);
}

// The answer to what was to end a grant.
absl::AnyInvocable<void(const absl::Status&)> Others::Ending(checker::LockHistory::Id unlock) {
  return UnderWay([this, unlock](const absl::Status& status) {
    if (status.ok()) history_.Unlocked(unlock, true, now());
    if (absl::IsNotFound(status)) history_.Unlocked(unlock, false, now());
  });
}

void Others::EndLead(std::uint64_t id) {
  Kept& kept = kept_.at(id);
  NoteWhetherOver(kept);
  const auto unlock = history_.Unlocking(kept.shares[0].name, kept.lead.term(), now());
  Leadership lead = std::move(kept.lead);
  kept_.erase(id);
  lead.Resign(ATimeout(), Ending(unlock));
}

void Others::EndJournaled(std::uint64_t id) {
  Kept& kept = kept_.at(id);
  NoteWhetherOver(kept);
  const auto unlock = history_.Unlocking(kept.guard.name(), kept.guard.token(), now());
  LockGuard guard = std::move(kept.guard);
  kept_.erase(id);
  guard.Unlock(ATimeout(), Ending(unlock));
}

// To whoever is a candidate, the last of them: not the one whose turn it is.
void Others::HandOver(std::uint64_t id) {
  Kept& kept = kept_.at(id);
  kept.under_way = true;
  ++under_way_;
  kept.election.Describe(
      absl::Seconds(2), Safe([this, id](const absl::StatusOr<ElectionDescription>& seen) {
        --under_way_;
        const auto it = kept_.find(id);
        if (it == kept_.end()) return;
        Kept& still = it->second;
        still.under_way = false;
        if (!seen.ok() || seen->candidates.empty() || still.over) return Rearm(id);
        still.under_way = true;
        const std::string& election = still.shares[0].name;
        const Revision term = still.lead.term();
        NoteWhetherOver(still);
        const auto unlock = history_.Unlocking(election, term, now());
        still.lead.HandOver(seen->candidates.back(), ATimeout(),
                            UnderWay([this, id, unlock](const absl::Status& status) {
                              if (status.ok()) history_.Unlocked(unlock, true, now());
                              const auto last = kept_.find(id);
                              if (last == kept_.end()) return;
                              last->second.under_way = false;
                              if (last->second.lead.Valid()) return Rearm(id);
                              Forget(id);
                            }));
      }));
}

// Dropped: what is left of it goes back in the background, or with its session.
void Others::Forget(std::uint64_t id) {
  const auto it = kept_.find(id);
  if (it == kept_.end()) return;
  Kept& kept = it->second;
  if (kept.journaled) history_.MayEnd(kept.shares[0].name, kept.shares[0].token, LastValid(kept));
  kept_.erase(it);
}

void Others::OnOver(SessionId session) {
  std::vector<std::uint64_t> ids;
  for (auto& [id, kept] : kept_) {
    if (kept.session != session) continue;
    kept.over = true;
    if (!kept.under_way) ids.push_back(id);
  }
  for (const std::uint64_t id : ids) Forget(id);
}

void Others::Quiesce() {
  quiescent_ = true;
  std::vector<std::stop_source> stops;
  for (const auto& [id, stop] : waits_) stops.push_back(stop);
  for (std::stop_source& stop : stops) stop.request_stop();
  std::vector<std::uint64_t> ids;
  for (const auto& [id, kept] : kept_) ids.push_back(id);
  for (const std::uint64_t id : ids) GiveBack(id);
}

void Others::Die() {
  *alive_ = false;
  for (auto& [id, kept] : kept_) {
    if (kept.journaled) history_.MayEnd(kept.shares[0].name, kept.shares[0].token, LastValid(kept));
  }
  kept_.clear();
  cancels_.clear();
  waits_.clear();
}

void Others::AddShares(std::vector<const Share*>* shares) const {
  for (const auto& [id, kept] : kept_) {
    for (const Share& share : kept.shares) shares->push_back(&share);
  }
}

std::string Others::Describe() const {
  return absl::StrCat(waits_.size(), " other waits, ", kept_.size(), " other grants, ", under_way_,
                      " other calls under way");
}

}  // namespace tenure::sim
