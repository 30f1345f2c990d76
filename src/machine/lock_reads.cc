// Descriptions of locks, for replies and for people who inspect.
#include <algorithm>
#include <cstddef>
#include <deque>

#include "machine/locks.h"

namespace tenure::machine {
namespace {

constexpr std::uint32_t kPageMax = 1000;
constexpr std::size_t kPageBytesMax = 1
                                      << 20;  // a page must fit into a message whatever the values
constexpr std::size_t kWaitersShown = 100;
constexpr std::size_t kWaitersVisited = 1000;
// Nobody has these, but somebody watches them, or did: more in a row are shown all the same.
constexpr std::size_t kFreeVisited = 10'000;

bool HeldOrWaitedOrDelayed(const Lock& lock) {
  return lock.holder != nullptr || lock.queue.first != nullptr ||
         (lock.shares != nullptr &&
          (!lock.shares->holders.empty() || lock.shares->delayed_until_ns != 0));
}

}  // namespace

LockHolder Locks::DescribeHolder(const Lock& lock) const {
  if (lock.shares != nullptr && !lock.shares->holders.empty()) {
    const Wait& first = *lock.shares->holders.begin()->second;
    return first.session->dead ? LockHolder{} : DescribeShare(first);
  }
  // A dead holder holds nothing: the lock is anyone's.
  if (lock.holder == nullptr || lock.holder->dead) return {};
  return {lock.holder->id,
          lock.token,
          lock.holder->label,
          lock.value,
          core_->now_ns - lock.granted_ns,
          lock.shares == nullptr ? "" : lock.shares->owner};
}

BreakRecord Locks::LastBreak(const Lock& lock) const {
  if (lock.journal == nullptr) return {};
  const std::deque<Change>& changes = lock.journal->changes;
  const auto last = std::find_if(changes.rbegin(), changes.rend(), [](const Change& change) {
    return change.kind == ChangeKind::kBroken;
  });
  if (last == changes.rend()) return {};
  return {last->revision, last->token, last->session,
          last->label,    last->value, core_->now_ns - last->at_ns};
}

LockDescription Locks::Describe(const Lock& lock) const {
  LockDescription description;
  description.name = lock.name;
  description.holder = DescribeHolder(lock);
  description.waiting = lock.queue.size;
  if (lock.shares == nullptr) return description;
  description.shares = lock.shares->holders.size();
  description.permits = lock.shares->taken;
  description.total = lock.shares->total;
  if (lock.holder != nullptr && !lock.holder->dead) description.holds = 1 + lock.shares->more_holds;
  description.delay = lock.shares->delay;
  if (lock.shares->delay != 0) {
    description.delay_left_ns = lock.shares->delayed_until_ns - core_->now_ns;
  }
  return description;
}

LockHolder Locks::DescribeShare(const Wait& share) const {
  return {share.session->id,
          share.token,
          share.session->label,
          share.value,
          core_->now_ns - share.granted_ns,
          share.owner,
          share.permits};
}

void Locks::Get(const GetLock& get, Reply& reply) const {
  if (!CheckName(get.name, reply)) return;
  LockDescription& description = reply.result.emplace<LockDescription>();
  const auto it = locks_.find(Key{ObjectKind::kLock, get.name});
  if (it == locks_.end()) {
    description.name = get.name;
    return;
  }
  description = Describe(**it);
  description.broken = LastBreak(**it);
  if (const Shares* shares = (*it)->shares.get()) {
    for (const auto& [token, share] : shares->holders) {
      if (description.sharers.size() == kWaitersShown) break;
      if (!share->session->dead) description.sharers.push_back(DescribeShare(*share));
    }
  }
  std::size_t visited = 0;
  for (const Wait* wait = (*it)->queue.first; wait != nullptr; wait = wait->next) {
    if (++visited > kWaitersVisited || description.waiters.size() == kWaitersShown) break;
    if (wait->session->dead) continue;
    description.waiters.push_back({wait->session->id, wait->session->label,
                                   core_->now_ns - wait->queued_ns, wait->mode, wait->permits,
                                   wait->owner});
  }
}

void Locks::List(const ListLocks& list, Reply& reply) const {
  const std::size_t limit = std::clamp<std::uint32_t>(list.limit, 1, kPageMax);
  LockList& page = reply.result.emplace<LockList>();
  std::size_t bytes = 0, visited = 0;
  for (auto it = locks_.upper_bound(Key{ObjectKind::kLock, list.after}); it != locks_.end(); ++it) {
    if ((*it)->kind != ObjectKind::kLock) return;
    if (!Used(**it)) continue;
    if (!HeldOrWaitedOrDelayed(**it) && ++visited < kFreeVisited) continue;
    if (page.locks.size() == limit || bytes >= kPageBytesMax) {
      page.more = true;
      return;
    }
    const LockDescription& added = page.locks.emplace_back(Describe(**it));
    bytes += added.name.size() + added.holder.label.size() + added.holder.value.size() + 64;
  }
}

ElectionDescription Locks::DescribeElection(const Lock& lock) const {
  ElectionDescription description;
  description.name = lock.name;
  description.leader = DescribeHolder(lock);
  description.waiting = lock.queue.size;
  return description;
}

void Locks::Get(const GetElection& get, Reply& reply) const {
  ElectionDescription& description = reply.result.emplace<ElectionDescription>();
  const auto it = locks_.find(Key{ObjectKind::kElection, get.name});
  if (it == locks_.end()) {
    description.name = get.name;
    description.gap = get.after != 0 && counters.forgotten_through > get.after;
    return;
  }
  description = DescribeElection(**it);
  description.gap = CopyChanges(*(*it)->journal, get.after, description.changes);
  description.broken = LastBreak(**it);
  std::size_t visited = 0;
  for (const Wait* wait = (*it)->queue.first; wait != nullptr; wait = wait->next) {
    if (++visited > kWaitersVisited || description.candidates.size() == kWaitersShown) break;
    if (wait->session->dead) continue;
    description.candidates.push_back({wait->session->id, wait->acquire, wait->session->label,
                                      wait->value, wait->priority,
                                      core_->now_ns - wait->queued_ns});
  }
}

void Locks::List(const ListElections& list, Reply& reply) const {
  const std::size_t limit = std::clamp<std::uint32_t>(list.limit, 1, kPageMax);
  ElectionList& page = reply.result.emplace<ElectionList>();
  std::size_t bytes = 0, visited = 0;
  const auto first = locks_.upper_bound(Key{ObjectKind::kElection, list.after});
  for (auto it = first; it != locks_.end() && (*it)->kind == ObjectKind::kElection; ++it) {
    if (!Used(**it)) continue;
    if (!HeldOrWaitedOrDelayed(**it) && ++visited < kFreeVisited) continue;
    if (page.elections.size() == limit || bytes >= kPageBytesMax) {
      page.more = true;
      return;
    }
    const ElectionDescription& added = page.elections.emplace_back(DescribeElection(**it));
    bytes += added.name.size() + added.leader.label.size() + added.leader.value.size() + 64;
  }
}

}  // namespace tenure::machine
