// Descriptions of locks, for replies and for people who inspect.
#include <algorithm>
#include <cstddef>

#include "machine/locks.h"

namespace tenure::machine {
namespace {

constexpr std::uint32_t kPageMax = 1000;
constexpr std::size_t kPageBytesMax = 1
                                      << 20;  // a page must fit into a message whatever the values
constexpr std::size_t kWaitersShown = 100;
constexpr std::size_t kWaitersVisited = 1000;

}  // namespace

LockHolder Locks::DescribeHolder(const Lock& lock) const {
  // A dead holder holds nothing: the lock is anyone's.
  if (lock.holder == nullptr || lock.holder->dead) return {};
  return {lock.holder->id, lock.token, lock.holder->label, lock.value,
          core_->now_ns - lock.granted_ns};
}

LockDescription Locks::Describe(const Lock& lock) const {
  return {lock.name, DescribeHolder(lock), lock.waiting, {}};
}

void Locks::Get(const GetLock& get, Reply& reply) const {
  if (!CheckName(get.name, reply)) return;
  LockDescription& description = reply.result.emplace<LockDescription>();
  const auto it = locks_.find(absl::string_view(get.name));
  if (it == locks_.end()) {
    description.name = get.name;
    return;
  }
  description = Describe(**it);
  std::size_t visited = 0;
  for (const Wait* wait = (*it)->first; wait != nullptr; wait = wait->next) {
    if (++visited > kWaitersVisited || description.waiters.size() == kWaitersShown) break;
    if (wait->session->dead) continue;
    description.waiters.push_back(
        {wait->session->id, wait->session->label, core_->now_ns - wait->queued_ns});
  }
}

void Locks::List(const ListLocks& list, Reply& reply) const {
  const std::size_t limit = std::clamp<std::uint32_t>(list.limit, 1, kPageMax);
  LockList& page = reply.result.emplace<LockList>();
  std::size_t bytes = 0;
  for (auto it = locks_.upper_bound(absl::string_view(list.after)); it != locks_.end(); ++it) {
    if (page.locks.size() == limit || bytes >= kPageBytesMax) {
      page.more = true;
      return;
    }
    const LockDescription& added = page.locks.emplace_back(Describe(**it));
    bytes += added.name.size() + added.holder.label.size() + added.holder.value.size() + 64;
  }
}

}  // namespace tenure::machine
