// The calls that a replicated backend has under way, by slot: no hashing on the hot path.
#ifndef TENURE_BACKENDS_CALL_TABLE_H_
#define TENURE_BACKENDS_CALL_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tenure/backend.h"
#include "tenure/transport.h"
#include "tenure/types.h"

namespace tenure::backends {

// One call, from Backend::Call to its answer.
struct PendingCall {
  RequestKind kind = RequestKind::kWrite;
  bool changes = true;  // something, if it is carried out
  bool reserved = false;
  bool retry = true;
  bool in_flight = false;   // sent on the present link, not answered
  bool unresolved = false;  // an earlier sending got no answer: it may have happened
  std::string command;
  Instant deadline = Instant::InfiniteFuture();
  Backend::Done done;
};

// Ids name a slot and its generation, so that a late answer never meets a later call. The top bit
// stays free for ids of other kinds.
class CallTable {
 public:
  using Id = std::uint64_t;

  Id Add(PendingCall call) {
    std::uint32_t slot;
    if (free_.empty()) {
      slot = static_cast<std::uint32_t>(slots_.size());
      slots_.emplace_back();
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    slots_[slot].call = std::move(call);
    slots_[slot].used = true;
    slots_[slot].before = last_;
    slots_[slot].after = kNone;
    (last_ == kNone ? first_ : slots_[last_].after) = slot;
    last_ = slot;
    ++size_;
    return MakeId(slot);
  }

  // Null if there is no such call (any more).
  PendingCall* Find(Id id) {
    const std::uint64_t slot = (id & 0xffffffff);
    if (slot >= slots_.size() || !slots_[slot].used ||
        MakeId(static_cast<std::uint32_t>(slot)) != id) {
      return nullptr;
    }
    return &slots_[slot].call;
  }

  // Takes a call that Find finds out of the table.
  PendingCall Take(Id id) {
    const auto slot = static_cast<std::uint32_t>(id & 0xffffffff);
    PendingCall call = std::move(slots_[slot].call);
    slots_[slot].call = PendingCall();
    slots_[slot].used = false;
    slots_[slot].generation = (slots_[slot].generation + 1) & 0x7fffffff;
    const std::uint32_t before = slots_[slot].before;
    const std::uint32_t after = slots_[slot].after;
    (before == kNone ? first_ : slots_[before].after) = after;
    (after == kNone ? last_ : slots_[after].before) = before;
    free_.push_back(slot);
    --size_;
    return call;
  }

  // Ids of all calls, in the order in which they were added: what is sent again keeps its order.
  std::vector<Id> Ids() const {
    std::vector<Id> ids;
    ids.reserve(size_);
    for (std::uint32_t slot = first_; slot != kNone; slot = slots_[slot].after) {
      ids.push_back(MakeId(slot));
    }
    return ids;
  }

  std::size_t size() const { return size_; }

 private:
  static constexpr std::uint32_t kNone = 0xffffffff;
  struct Slot {
    std::uint32_t generation = 1;
    bool used = false;
    std::uint32_t before = kNone;  // those that were added next to it and are still here
    std::uint32_t after = kNone;
    PendingCall call;
  };

  Id MakeId(std::uint32_t slot) const {
    return (static_cast<Id>(slots_[slot].generation) << 32) | slot;
  }

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::uint32_t first_ = kNone;
  std::uint32_t last_ = kNone;
  std::size_t size_ = 0;
};

}  // namespace tenure::backends

#endif  // TENURE_BACKENDS_CALL_TABLE_H_
