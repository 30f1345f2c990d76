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

Lock* Locks::NextAfter(ObjectKind kind, absl::string_view name) const {
  const auto it = locks_.upper_bound(Key{kind, name});
  return it == locks_.end() ? nullptr : it->get();
}

Lock* Locks::Find(ObjectKind kind, absl::string_view name) const {
  const auto it = locks_.find(Key{kind, name});
  return it == locks_.end() ? nullptr : it->get();
}

Lock* Locks::Restore(std::unique_ptr<Lock> lock) {
  const auto [it, added] = locks_.insert(std::move(lock));
  if (!added) return nullptr;
  Lock* const restored = it->get();
  if (restored->pending != 0) pending_.push_back(restored);
  if (Used(*restored)) {
    ++counts_[static_cast<std::size_t>(restored->kind)];
  } else if (!idle_.emplace(restored->journal->idle, restored).second) {
    return nullptr;
  }
  if (restored->shares != nullptr && restored->shares->delayed_until_ns != 0) {
    delays_.Add(restored->shares->delayed_until_ns, restored->shares->delay, restored);
  }
  if (const OperationRecord* record = OperationOf(*restored)) {
    operation_bytes_ += record->point.size() + record->response.size();
    if (record->deadline_ns != kWaitForever) {
      attempts_.Add(record->deadline_ns, restored->token, restored);
    }
    if (record->expires_ns != kWaitForever) {
      expiries_.Add(record->expires_ns, record->expiry, restored);
    }
  }
  if (restored->journal != nullptr && restored->journal->untold != 0) untold_.push_back(restored);
  return restored;
}

bool Locks::RestoreHolder(Lock& lock, Session& session) {
  lock.holder = &session;
  return session.claims.try_emplace({lock.acquire, lock.part}, Claim{&lock, nullptr}).second;
}

bool Locks::RestoreUnder(Lock& operation, Lock& lock) {
  if (lock.holder == nullptr || lock.holder != operation.holder || lock.token != operation.token ||
      OperationOf(operation) == nullptr || AttemptOf(lock) != nullptr) {
    return false;
  }
  SharesOf(lock).attempt = &operation;
  OperationOf(operation)->under = &lock;
  return true;
}

bool Locks::RestoreWait(std::unique_ptr<Wait> wait, std::uint32_t parts) {
  const Claim claim{wait->lock, wait.get()};
  auto& claims = wait->session->claims;
  if (!claims.try_emplace({wait->acquire, wait->part}, claim).second) return false;
  if (parts != 0 && wait->token == 0) {
    for (auto it = claims.lower_bound(wait->acquire);
         it != claims.end() && it->first.sequence == wait->acquire && wait->set == nullptr; ++it) {
      if (it->second.wait != nullptr) wait->set = it->second.wait->set;
    }
    if (wait->set == nullptr) {
      wait->set = new WaitSet;
      wait->set->parts.resize(parts);
    }
    if (wait->part >= wait->set->parts.size() || wait->set->parts[wait->part] != nullptr) {
      if (wait->set->left == 0) delete wait->set;
      claims.erase({wait->acquire, wait->part});
      return false;
    }
    wait->set->parts[wait->part] = wait.get();
    ++wait->set->left;
  }
  if (wait->token == 0) {
    Link(wait.release());
    return true;
  }
  Shares& shares = *wait->lock->shares;
  if (shares.holders.count(wait->token) != 0) return false;
  if (wait->mode == LockMode::kShared) {
    ++shares.owners[{wait->session->id, wait->owner}];
  } else {
    shares.taken += wait->permits;
    // Seats up to the greatest are free until their holders come.
    for (; shares.seats <= wait->seat; ++shares.seats) shares.free_seats.insert(shares.seats);
    shares.free_seats.erase(wait->seat);
  }
  const Revision token = wait->token;
  shares.holders.emplace(token, wait.release());
  return true;
}

bool Locks::FinishRestore() {
  const auto in_order = [](std::deque<Lock*>& locks, auto place) {
    std::sort(locks.begin(), locks.end(),
              [&](const Lock* a, const Lock* b) { return place(*a) < place(*b); });
    return std::adjacent_find(locks.begin(), locks.end(), [&](const Lock* a, const Lock* b) {
             return place(*a) == place(*b);
           }) == locks.end();
  };
  const bool handed_over = in_order(pending_, [](const Lock& lock) { return lock.pending; });
  const bool told = in_order(untold_, [](const Lock& lock) { return lock.journal->untold; });
  return handed_over && told;
}

}  // namespace tenure::machine
