// How the tables are filled from a snapshot.
#include <algorithm>
#include <memory>
#include <utility>

#include "machine/locks.h"
#include "machine/sessions.h"

namespace tenure::machine {

// ---- Sessions
// ------------------------------------------------------------------------------------

Session* Sessions::NextAfter(SessionId after) const {
  const auto it = by_id_.upper_bound(after);
  return it == by_id_.end() ? nullptr : it->second.get();
}

Session* Sessions::Restore(SessionState state) {
  auto session = std::make_unique<Session>();
  static_cast<SessionState&>(*session) = std::move(state);
  Session* const raw = session.get();
  return by_id_.try_emplace(raw->id, std::move(session)).second ? raw : nullptr;
}

bool Sessions::RestoreEvent(Session& session, SessionEvent event) {
  const Revision revision = event.revision;
  return session.events.try_emplace(revision, KeptEvent{std::move(event), core_->epoch}).second;
}

bool Sessions::FinishRestore() {
  for (const auto& [id, session] : by_id_) {
    if (!session->dead) {
      if (!by_key_.emplace(session->key, session.get()).second) return false;
      timers_.Add(session->timer_ns, session->id, session.get());
    } else {
      (session->buried ? buried_ : dead_).push_back(session.get());
    }
    if (session->buried) buried_replies_ += session->window.size();
  }
  const auto died_before = [](const Session* a, const Session* b) { return a->ended < b->ended; };
  for (std::deque<Session*>* order : {&dead_, &buried_}) {
    std::sort(order->begin(), order->end(), died_before);
    const auto twice = [](const Session* a, const Session* b) { return a->ended == b->ended; };
    if (std::adjacent_find(order->begin(), order->end(), twice) != order->end()) return false;
  }
  return true;
}

// ---- Locks
// ---------------------------------------------------------------------------------------

Lock* Locks::NextAfter(absl::string_view after) const {
  const auto it = locks_.upper_bound(after);
  return it == locks_.end() ? nullptr : it->get();
}

Lock* Locks::Find(absl::string_view name) const {
  const auto it = locks_.find(name);
  return it == locks_.end() ? nullptr : it->get();
}

Lock* Locks::Restore(std::unique_ptr<Lock> lock) {
  const auto [it, added] = locks_.insert(std::move(lock));
  if (!added) return nullptr;
  if ((*it)->pending != 0) pending_.push_back(it->get());
  return it->get();
}

bool Locks::RestoreHolder(Lock& lock, Session& session) {
  lock.holder = &session;
  return session.claims.try_emplace(lock.acquire, Claim{&lock, nullptr}).second;
}

bool Locks::RestoreWait(std::unique_ptr<Wait> wait) {
  const Claim claim{wait->lock, wait.get()};
  if (!wait->session->claims.try_emplace(wait->acquire, claim).second) return false;
  Link(wait.release());
  return true;
}

bool Locks::FinishRestore(std::uint64_t last_pending) {
  last_pending_ = last_pending;
  std::sort(pending_.begin(), pending_.end(),
            [](const Lock* a, const Lock* b) { return a->pending < b->pending; });
  if (!pending_.empty() && pending_.back()->pending > last_pending) return false;
  return std::adjacent_find(pending_.begin(), pending_.end(), [](const Lock* a, const Lock* b) {
           return a->pending == b->pending;
         }) == pending_.end();
}

}  // namespace tenure::machine
