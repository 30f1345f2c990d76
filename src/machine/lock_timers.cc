// What time brings: waits, attempts, delays and records that end, and hand-overs that were put off.
#include <string>
#include <utility>

#include "machine/locks.h"

namespace tenure::machine {

void Locks::RunTimers() {
  for (;;) {
    // The first of all kinds. Waits come before the rest if they are equal, which ids never
    // are.
    const auto* wait = deadlines_.First();
    const auto* attempt = attempts_.First();
    const auto* delay = delays_.First();
    const auto* expiry = core_->budget > 0 ? expiries_.First() : nullptr;
    std::pair<std::int64_t, std::uint64_t> first{core_->now_ns, kRevisionMax};
    const auto earlier = [&first](const auto* entry) {
      if (entry == nullptr || std::pair(entry->due_ns, entry->id) > first) return false;
      first = {entry->due_ns, entry->id};
      return true;
    };
    const bool any_wait = earlier(wait), any_attempt = earlier(attempt),
               any_expiry = earlier(expiry);
    const bool any_delay = earlier(delay);
    if (any_delay) {
      EndDelay(*delay->what, core_->budget);
    } else if (any_expiry) {
      --core_->budget;
      RunExpiry(*expiry->what, core_->budget);
    } else if (any_attempt) {
      RunAttemptTimer(*attempt->what);
    } else if (any_wait) {
      EndDueWait(deadlines_.PopDue(core_->now_ns));
    } else {
      return;
    }
  }
}

void Locks::EndDueWait(Wait* wait) {
  Session& session = *wait->session;
  Lock& lock = *wait->lock;
  const Sequence acquire = wait->acquire;
  core_->Touch(*wait);
  wait->deadline_ns = kWaitForever;  // its timer is out already
  if (!session.dead) {
    sessions_->Tell(session,
                    {session.id, core_->Raise(),
                     WaitEndedEvent{acquire, std::string(ShownName(lock)), WaitEnd::kDeadline}});
  }
  EndWhole(wait, core_->budget);
}

void Locks::HandOverPending() {
  if (core_->HeldBackNs() > 0) return;
  while (!pending_.empty() && core_->budget > 0) {
    Lock& lock = *pending_.front();
    if (!Settle(lock, core_->budget)) return;  // it keeps its place until it is through
    if (core_->budget > 0) --core_->budget;
    pending_.pop_front();
    core_->Touch(lock);
    lock.pending = 0;
    RetireIfIdle(lock);
  }
}

bool Locks::CleanUp(Session& dead) {
  while (!dead.claims.empty() && core_->budget > 0) {
    --core_->budget;
    const Claim claim = dead.claims.begin()->second;
    if (claim.wait != nullptr && claim.wait->token != 0) {
      DropShare(claim.wait, ChangeKind::kLost);
      Settle(*claim.lock, core_->budget);
    } else if (claim.wait != nullptr) {
      EndWait(claim.wait);
      SettleAfterLeaving(*claim.lock, core_->budget);
    } else {
      Settle(*claim.lock, core_->budget);
    }
    RetireIfIdle(*claim.lock);
  }
  while (!dead.events.empty() && core_->budget > 0) {
    --core_->budget;
    core_->Touch(dead.events.begin()->second);
    dead.events.erase(dead.events.begin());
  }
  return dead.claims.empty() && dead.events.empty();
}

}  // namespace tenure::machine
