// The timers of one Loop, ordered by both clocks. Any Loop can stand on it; it neither waits nor
// locks.
#ifndef TENURE_LOOP_TIMER_QUEUE_H_
#define TENURE_LOOP_TIMER_QUEUE_H_

#include <cstdint>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "loop/deadline_heap.h"
#include "tenure/types.h"

namespace tenure {

class TimerQueue {
 public:
  using Wake = absl::AnyInvocable<void() &&>;
  // Names a timer for ever: keys are not reused.
  struct Key {
    DeadlineHeap::Slot slot = 0;
    std::uint64_t order = 0;
  };

  // O(log n).
  Key Add(Instant when, Wake wake);

  // Appends to `due` the timers that either clock has reached, by deadline, then by age. They count
  // as no longer waiting, but stay cancellable until they are taken: a turn takes one after the
  // other.
  void CollectDue(Instant now, std::vector<Key>* due);

  // Takes a timer out, to run it or to cancel it: empty if it is gone already. O(log n). A
  // cancelled timer's destructor is the caller's to place (outside a lock).
  [[nodiscard]] Wake Take(Key key);

  // Everything that is left.
  [[nodiscard]] std::vector<Wake> TakeAll();

  // The earliest deadline that waits, clock by clock; Instant::InfiniteFuture() if none does.
  Instant Earliest() const;

 private:
  struct Timer {
    std::uint64_t order = 0;  // 0: the slot is free
    Wake wake;
  };

  std::vector<Timer> timers_;
  std::vector<DeadlineHeap::Slot> free_;
  std::uint64_t last_order_ = 0;
  DeadlineHeap by_boottime_;
  DeadlineHeap by_monotonic_raw_;
};

}  // namespace tenure

#endif  // TENURE_LOOP_TIMER_QUEUE_H_
