#include "member/askers.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tenure::member {

AskerRef Askers::Add(Asker::Kind kind, std::uint64_t id) {
  std::uint32_t slot = 0;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  slots_[slot].kind = kind;
  slots_[slot].id = id;
  return {slot, slots_[slot].generation};
}

void Askers::Free(std::uint32_t slot) {
  const std::uint32_t generation = slots_[slot].generation + 1;
  slots_[slot] = Asker{};
  slots_[slot].generation = generation;
  free_.push_back(slot);
}

AskerRef Askers::FindOrAdd(absl::flat_hash_map<std::uint64_t, std::uint32_t>& ids, std::uint64_t id,
                           Asker::Kind kind) {
  const auto it = ids.find(id);
  if (it != ids.end()) return {it->second, slots_[it->second].generation};
  const AskerRef ref = Add(kind, id);
  ids.emplace(id, ref.slot);
  return ref;
}

AskerRef Askers::AddPort(PortSink* sink) {
  const AskerRef ref = FindOrAdd(ports_, ++last_port_, Asker::Kind::kPort);
  slots_[ref.slot].sink = sink;
  return ref;
}

Asker* Askers::Port(PortId id, AskerRef* ref) {
  const auto it = ports_.find(id);
  if (it == ports_.end()) return nullptr;
  *ref = {it->second, slots_[it->second].generation};
  return &slots_[it->second];
}

AskerRef Askers::Forwarded(const MemberId& peer, std::uint64_t origin) {
  const auto [it, fresh] = forwarded_.try_emplace({peer, origin}, 0);
  if (fresh) {
    it->second = Add(Asker::Kind::kForwarded, origin).slot;
    slots_[it->second].peer = peer;
  }
  return {it->second, slots_[it->second].generation};
}

void Askers::RemoveConnection(ConnectionId id) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  Free(it->second);
  connections_.erase(it);
}

void Askers::RemovePort(PortId id) {
  const auto it = ports_.find(id);
  if (it == ports_.end()) return;
  Free(it->second);
  ports_.erase(it);
}

void Askers::RemoveForwarded(const MemberId& peer, std::uint64_t origin) {
  const auto it = forwarded_.find({peer, origin});
  if (it == forwarded_.end()) return;
  Free(it->second);
  forwarded_.erase(it);
}

void Askers::RemoveAllForwarded() {
  RemoveForwardedIf([](std::uint32_t) { return true; });
}

void Askers::RemoveIdleForwarded(const absl::flat_hash_set<std::uint32_t>& kept, Instant now,
                                 absl::Duration idle) {
  RemoveForwardedIf([&](std::uint32_t slot) {
    return !kept.contains(slot) && now.Reached(slots_[slot].asked_at + idle);
  });
}

void Askers::RemoveForwardedIf(absl::FunctionRef<bool(std::uint32_t)> gone) {
  std::vector<std::uint32_t> slots;
  absl::erase_if(forwarded_, [&](const auto& entry) {
    if (!gone(entry.second)) return false;
    slots.push_back(entry.second);
    return true;
  });
  std::sort(slots.begin(), slots.end());  // a seed replays a run
  for (const std::uint32_t slot : slots) Free(slot);
}

void Askers::ForEach(absl::FunctionRef<void(AskerRef, Asker&)> visit) {
  for (std::uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot].kind != Asker::Kind::kNone)
      visit({slot, slots_[slot].generation}, slots_[slot]);
  }
}

void Listeners::Add(SessionId session, AskerRef asker) {
  Few& few = by_session_[session];
  few.erase(std::remove(few.begin(), few.end(), asker), few.end());
  if (few.size() == kFew) few.erase(few.begin());
  few.push_back(asker);
}

absl::flat_hash_set<std::uint32_t> Listeners::LatestSlots() const {
  absl::flat_hash_set<std::uint32_t> slots;
  for (const auto& [session, few] : by_session_) slots.insert(few.back().slot);
  return slots;
}

void Listeners::Remove(SessionId session, AskerRef asker) {
  const auto it = by_session_.find(session);
  if (it == by_session_.end()) return;
  it->second.erase(std::remove(it->second.begin(), it->second.end(), asker), it->second.end());
  if (it->second.empty()) by_session_.erase(it);
}

}  // namespace tenure::member
