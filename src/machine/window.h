// Exactly once: what became of each sequence of one session.
#ifndef TENURE_MACHINE_WINDOW_H_
#define TENURE_MACHINE_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tenure/command.h"

namespace tenure::machine {

// Remembers the reply of each sequence until the client acknowledges it, and afterwards that it was
// acknowledged: as a floor, below which everything was, and as single sequences above it. What was
// acknowledged is never executed again, also if it had never been seen. A copy costs some bytes a
// slot, whatever the replies' size.
class SequenceWindow {
 public:
  enum class Fate : std::uint8_t {
    kNew,        // not seen yet
    kKept,       // executed, and its reply is here
    kForgotten,  // acknowledged
    kBeyond,     // farther above the floor than the window reaches
  };

  Fate Look(Sequence sequence, std::uint64_t window) const;
  // The kept reply of `sequence`, whose fate is kKept.
  Reply Recall(Sequence sequence) const;
  // Remembers `reply`, or puts it in the place of the one kept.
  void Keep(Sequence sequence, const Reply& reply);

  // The client has the replies of all sequences up to `through` and of those in `single`. Single
  // ones beyond the window cannot have been executed and are left out.
  void Acknowledge(Sequence through, const std::vector<Sequence>& single, std::uint64_t window);

  // The first that is remembered above `after`, kept or acknowledged, and its reply; null for an
  // acknowledged one. False if there is none.
  bool Next(Sequence after, Sequence* sequence, std::unique_ptr<const Reply>* reply) const;
  // The window of a snapshot: empty, with that floor. Keep() and Acknowledge() do the rest.
  void Restore(Sequence floor) { floor_ = floor; }

  Sequence floor() const { return floor_; }
  std::size_t size() const { return slots_.size() - dropped_; }

 private:
  // The commonest replies fit into the slot; all others are kept whole.
  enum class Kind : std::uint8_t { kAcknowledged, kGranted, kReleased, kCancelled, kWhole };
  struct Slot {
    Sequence sequence = 0;
    Kind kind = Kind::kAcknowledged;
    Revision revision = 0;
    Revision token = 0;
    std::shared_ptr<const Reply> whole;  // shared by copies of the window
  };

  std::vector<Slot>::const_iterator first() const {
    return slots_.begin() + static_cast<std::ptrdiff_t>(dropped_);
  }
  // Null if there is none.
  const Slot* Find(Sequence sequence) const;
  Slot& FindOrInsert(Sequence sequence);
  void DropThrough(Sequence sequence);

  Sequence floor_ = 0;
  // Above the floor, by sequence, behind `dropped_` slots that are no more. Sequences are mostly
  // added at the end and dropped from the front: in its steady state this allocates nothing.
  std::vector<Slot> slots_;
  std::size_t dropped_ = 0;
};

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_WINDOW_H_
