#include "machine/window.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace tenure::machine {

const SequenceWindow::Slot* SequenceWindow::Find(Sequence sequence) const {
  if (size() == 0 || slots_.back().sequence < sequence) return nullptr;
  const auto it =
      std::lower_bound(first(), slots_.end(), sequence,
                       [](const Slot& slot, Sequence wanted) { return slot.sequence < wanted; });
  return it->sequence == sequence ? &*it : nullptr;
}

SequenceWindow::Slot& SequenceWindow::FindOrInsert(Sequence sequence) {
  if (const Slot* slot = Find(sequence)) return const_cast<Slot&>(*slot);
  if (size() == 0) {
    slots_.clear();
    dropped_ = 0;
  }
  // Stragglers move those that came before their turn: at most a window of slots.
  auto place = slots_.cend();
  while (place != first() && std::prev(place)->sequence > sequence) --place;
  Slot slot;
  slot.sequence = sequence;
  return *slots_.insert(place, std::move(slot));
}

void SequenceWindow::DropThrough(Sequence sequence) {
  while (dropped_ < slots_.size() && slots_[dropped_].sequence <= sequence) {
    slots_[dropped_++].whole.reset();
  }
  if (dropped_ < 8 || dropped_ * 2 < slots_.size()) return;
  slots_.erase(slots_.begin(), first());
  dropped_ = 0;
  // What a burst needed is given back.
  if (slots_.capacity() > 64 && slots_.size() * 8 < slots_.capacity()) slots_.shrink_to_fit();
}

SequenceWindow::Fate SequenceWindow::Look(Sequence sequence, std::uint64_t window) const {
  if (sequence <= floor_) return Fate::kForgotten;
  if (const Slot* slot = Find(sequence)) {
    return slot->kind == Kind::kAcknowledged ? Fate::kForgotten : Fate::kKept;
  }
  return sequence - floor_ > window ? Fate::kBeyond : Fate::kNew;
}

Reply SequenceWindow::Recall(Sequence sequence) const {
  const Slot& slot = *Find(sequence);
  if (slot.kind == Kind::kWhole) return *slot.whole;
  Reply reply;
  reply.revision = slot.revision;
  switch (slot.kind) {
    case Kind::kGranted:
      reply.result = LockGranted{slot.token};
      break;
    case Kind::kReleased:
      reply.result = LockReleased{};
      break;
    default:
      reply.result = WaitCancelled{};
      break;
  }
  return reply;
}

void SequenceWindow::Keep(Sequence sequence, const Reply& reply) {
  Slot& slot = FindOrInsert(sequence);
  slot.revision = reply.revision;
  slot.whole.reset();
  const auto* granted = std::get_if<LockGranted>(&reply.result);
  const auto* released = std::get_if<LockReleased>(&reply.result);
  if (granted != nullptr && granted->fence == 0 && granted->seat == 0 && granted->holds == 1 &&
      granted->fences.empty()) {
    slot.kind = Kind::kGranted;
    slot.token = granted->token;
  } else if (released != nullptr && released->holds == 0) {
    slot.kind = Kind::kReleased;
  } else if (std::holds_alternative<WaitCancelled>(reply.result)) {
    slot.kind = Kind::kCancelled;
  } else {
    slot.kind = Kind::kWhole;
    slot.whole = std::make_shared<const Reply>(reply);
  }
}

bool SequenceWindow::Next(Sequence after, Sequence* sequence,
                          std::unique_ptr<const Reply>* reply) const {
  const auto it =
      std::upper_bound(first(), slots_.end(), after,
                       [](Sequence wanted, const Slot& slot) { return wanted < slot.sequence; });
  if (it == slots_.end()) return false;
  *sequence = it->sequence;
  const bool kept = it->kind != Kind::kAcknowledged;
  *reply = kept ? std::make_unique<const Reply>(Recall(it->sequence)) : nullptr;
  return true;
}

void SequenceWindow::Acknowledge(Sequence through, const std::vector<Sequence>& single,
                                 std::uint64_t window) {
  if (through > floor_) {
    floor_ = through;
    DropThrough(floor_);
  }
  for (const Sequence sequence : single) {
    if (sequence <= floor_ || sequence - floor_ > window) continue;
    Slot& slot = FindOrInsert(sequence);
    slot.kind = Kind::kAcknowledged;
    slot.whole.reset();
  }
  // The floor rises over what was acknowledged without a gap.
  Sequence risen = floor_;
  for (auto it = first(); it != slots_.end(); ++it) {
    if (it->sequence != risen + 1 || it->kind != Kind::kAcknowledged) break;
    ++risen;
  }
  if (risen == floor_) return;
  floor_ = risen;
  DropThrough(floor_);
}

}  // namespace tenure::machine
