#include "machine/deadlocks.h"

#include <algorithm>

#include "machine/locks.h"
#include "machine/sessions.h"

namespace tenure::machine {

DeadlockSearch::DeadlockSearch(const NamedWaits& waits, const Session& session,
                               const std::string& owner, const std::vector<Part>& parts)
    : named_(waits) {
  owners_.push_back({&session, owner, {}});
  owner_by_name_.emplace(std::pair(session.id, owner), 0);
  WaitNode& wanted = nodes_.emplace_back();
  wanted.named = true;
  owners_[0].stuck = 1;
  for (const Part& part : parts) {
    if (part.lock != nullptr) Expand(0, part, part.lock->queue.last);
  }
}

std::vector<WaitingOwner> DeadlockSearch::Run() {
  for (std::size_t i = 1; i < nodes_.size(); ++i) {
    if (steps_ > kStepsMax) {
      // What was not looked at counts as free: it may be, and a wait too many ends by its deadline.
      SetFree(nodes_[i]);
      continue;
    }
    const auto expand = [&](const Wait& part) {
      Expand(i, {part.lock, part.mode, part.permits}, part.previous);
    };
    const Wait& wait = *nodes_[i].wait;
    if (wait.set == nullptr) {
      expand(wait);
    } else {
      for (const Wait* part : wait.set->parts) {
        if (part != nullptr) expand(*part);
      }
    }
  }
  steps_ = 0;
  if (!FindStuck()) return {};
  return FindCycle();
}

// ---- What is in whose way
// ------------------------------------------------------------------------

// Who is dead gives back all that it holds, and leaves all queues, by itself.
const Wait* DeadlockSearch::Living(const Wait* wait) {
  while (wait != nullptr && wait->session->dead) wait = Step() ? wait->previous : nullptr;
  return wait;
}

std::size_t DeadlockSearch::NodeOf(const Wait& wait) {
  const auto [place, added] = node_by_id_.try_emplace(wait.id, nodes_.size());
  if (!added) return place->second;
  const std::size_t node = place->second;
  WaitNode& made = nodes_.emplace_back();
  made.wait = &wait;
  made.named = !wait.owner.empty();
  Step();
  if (made.named) {
    const std::size_t owner = OwnerOf(*wait.session, wait.owner);
    nodes_[node].owner = owner;  // which may have added others
    ++owners_[owner].stuck;
  }
  return node;
}

std::size_t DeadlockSearch::OwnerOf(const Session& session, const std::string& owner) {
  const auto [place, added] =
      owner_by_name_.try_emplace(std::pair(session.id, owner), owners_.size());
  const std::size_t number = place->second;
  if (!added) return number;
  owners_.push_back({&session, owner, {}});
  std::vector<std::size_t> waits;
  for (auto it = named_.lower_bound({session.id, owner, 0});
       it != named_.end() && std::get<0>(it->first) == session.id &&
       std::get<1>(it->first) == owner && Step();
       ++it) {
    waits.push_back(NodeOf(*it->second));
  }
  owners_[number].waits = std::move(waits);
  return number;
}

void DeadlockSearch::Expand(std::size_t node, const Part& part, const Wait* before) {
  Blocked blocked;
  blocked.lock = part.lock;
  before = Living(before);
  if (before != nullptr && Step()) blocked.before.push_back(NodeOf(*before));
  if (part.mode == LockMode::kPermits) {
    ExpandPermits(part, before, blocked);
  } else {
    ExpandOwners(part, before, blocked);
  }
  nodes_[node].parts.push_back(std::move(blocked));
}

void DeadlockSearch::ExpandPermits(const Part& part, const Wait* before, Blocked& blocked) {
  blocked.permits = part.permits;
  const auto take = [&](const Wait& taker) {
    if (taker.owner.empty()) return;
    blocked.takers.push_back({OwnerOf(*taker.session, taker.owner), taker.permits});
  };
  for (; before != nullptr && Step(); before = Living(before->previous)) take(*before);
  if (part.lock->shares == nullptr) return;
  for (const auto& [token, holder] : part.lock->shares->holders) {
    if (!Step()) return;
    if (!holder->session->dead) take(*holder);
  }
}

void DeadlockSearch::ExpandOwners(const Part& part, const Wait* before, Blocked& blocked) {
  const auto need = [&](const Session& session, const std::string& owner) {
    if (!owner.empty() && !session.dead) blocked.owners.push_back(OwnerOf(session, owner));
  };
  const Lock& lock = *part.lock;
  // Who holds it, first: the shortest cycle names them, not the queue between.
  if (lock.holder != nullptr && lock.shares != nullptr) need(*lock.holder, lock.shares->owner);
  if (part.mode == LockMode::kExclusive && lock.shares != nullptr) {
    for (const auto& [token, holder] : lock.shares->holders) {
      if (!Step()) return;
      need(*holder->session, holder->owner);
    }
  }
  // One that is exclusive waits for all who share before it, and the one before these for the rest.
  const bool more = part.mode == LockMode::kExclusive;
  for (; before != nullptr && Step(); before = Living(before->previous)) {
    const bool exclusive = before->mode == LockMode::kExclusive;
    if (exclusive || more) need(*before->session, before->owner);
    if (exclusive || !more) return;
  }
}

// ---- What is stuck
// -------------------------------------------------------------------------------

void DeadlockSearch::SetFree(WaitNode& node) {
  node.stuck = false;
  if (node.named) --owners_[node.owner].stuck;
}

bool DeadlockSearch::Short(const Blocked& part) const {
  if (part.takers.empty()) return false;
  std::uint64_t gone = 0;
  for (const Taker& taker : part.takers) {
    if (OwnerStuck(taker.owner)) gone += taker.permits;
  }
  return gone + part.permits > part.lock->shares->total;
}

bool DeadlockSearch::PartIsStuck(const Blocked& part) {
  steps_ += 1 + part.owners.size() + part.takers.size();
  for (const std::size_t before : part.before) {
    if (nodes_[before].stuck) return true;
  }
  for (const std::size_t owner : part.owners) {
    if (OwnerStuck(owner)) return true;
  }
  return Short(part);
}

bool DeadlockSearch::IsStuck(const WaitNode& node) {
  return std::any_of(node.parts.begin(), node.parts.end(),
                     [this](const Blocked& part) { return PartIsStuck(part); });
}

bool DeadlockSearch::FindStuck() {
  bool changed = true;
  while (changed) {
    changed = false;
    // What was found last depends on nothing found before, mostly.
    for (std::size_t i = nodes_.size(); i-- > 0;) {
      if (!nodes_[i].stuck || IsStuck(nodes_[i])) continue;
      SetFree(nodes_[i]);
      changed = true;
    }
    if (!nodes_[0].stuck || steps_ > 8 * kStepsMax) return false;
  }
  return true;
}

// ---- The cycle
// ----------------------------------------------------------------------------------

std::vector<WaitingOwner> DeadlockSearch::FindCycle() {
  nodes_[0].length = 1;
  reached_ = {0};
  for (std::size_t i = 0; i < reached_.size(); ++i) {
    const std::size_t node = reached_[i];
    for (const Blocked& part : nodes_[node].parts) {
      std::vector<std::size_t> owners = part.owners;
      if (Short(part)) {
        for (const Taker& taker : part.takers) owners.push_back(taker.owner);
      }
      for (const std::size_t owner : owners) {
        if (owner == 0) return CycleFrom(node, part.lock);
        for (const std::size_t wait : owners_[owner].waits) Reach(wait, node, part.lock);
      }
      for (const std::size_t before : part.before) Reach(before, node, part.lock);
    }
  }
  return {};
}

void DeadlockSearch::Reach(std::size_t node, std::size_t from, const Lock* lock) {
  WaitNode& reached = nodes_[node];
  const std::size_t length = nodes_[from].length + (reached.named ? 1 : 0);
  if (!reached.stuck || reached.length != 0 || length > kCycleMax) return;
  reached.length = length;
  reached.from = from;
  reached.from_lock = lock;
  reached_.push_back(node);
}

std::vector<WaitingOwner> DeadlockSearch::CycleFrom(std::size_t node, const Lock* lock) const {
  std::vector<WaitingOwner> cycle;
  while (true) {
    const WaitNode& waiting = nodes_[node];
    if (waiting.named) {
      const OwnerNode& owner = owners_[waiting.owner];
      cycle.push_back({owner.session->id, owner.name, lock->name});
    }
    if (node == 0) break;
    lock = waiting.from_lock;
    node = waiting.from;
  }
  std::reverse(cycle.begin(), cycle.end());
  return cycle;
}

}  // namespace tenure::machine
