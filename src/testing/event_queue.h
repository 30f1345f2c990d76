// Virtual time: what happens when, in one defined order.
#ifndef TENURE_TESTING_EVENT_QUEUE_H_
#define TENURE_TESTING_EVENT_QUEUE_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "loop/deadline_heap.h"

namespace tenure::testing {

// Events run by (time, order of scheduling). Besides events that happen once there are alarms,
// which belong to somebody who moves them about: a loop has one, for its next turn.
class EventQueue {
 public:
  using Run = absl::AnyInvocable<void()>;
  using Alarm = DeadlineHeap::Slot;

  std::int64_t now_ns() const { return now_ns_; }

  // Runs once, at `at_ns` or now, whichever is later.
  void Add(std::int64_t at_ns, Run run) {
    const Alarm slot = NewSlot(std::move(run), /*alarm=*/false);
    Set(slot, at_ns);
  }

  // Alarms are never given back: a world has few.
  Alarm NewAlarm(Run run) { return NewSlot(std::move(run), /*alarm=*/true); }
  void Set(Alarm alarm, std::int64_t at_ns) {
    heap_.Remove(alarm);
    heap_.Push({at_ns > now_ns_ ? at_ns : now_ns_, ++last_order_, alarm});
  }
  void Clear(Alarm alarm) { heap_.Remove(alarm); }

  // Runs the next event if it is not after `limit_ns`; false if there is none.
  bool RunNext(std::int64_t limit_ns) {
    if (heap_.empty() || heap_.top().when > limit_ns) return false;
    const DeadlineHeap::Item item = heap_.top();
    heap_.Remove(item.slot);
    now_ns_ = item.when;
    ++events_;
    // Moved out meanwhile: what runs may add events, and so move the slots.
    Run run = std::move(slots_[item.slot].run);
    run();
    if (slots_[item.slot].alarm) {
      slots_[item.slot].run = std::move(run);
    } else {
      free_.push_back(item.slot);
    }
    return true;
  }

  // Lets time pass in which nothing happens.
  void AdvanceTo(std::int64_t to_ns) {
    if (to_ns > now_ns_) now_ns_ = to_ns;
  }

  std::uint64_t events() const { return events_; }

  // Destroys all events, unrun. What their destructors schedule is destroyed too.
  void Clear() {
    std::vector<Slot> slots = std::exchange(slots_, {});
    heap_ = DeadlineHeap();
    free_.clear();
  }

 private:
  struct Slot {
    Run run;
    bool alarm = false;
  };
  Alarm NewSlot(Run run, bool alarm) {
    if (free_.empty()) {
      slots_.push_back({std::move(run), alarm});
      return static_cast<Alarm>(slots_.size() - 1);
    }
    const Alarm slot = free_.back();
    free_.pop_back();
    slots_[slot] = {std::move(run), alarm};
    return slot;
  }

  std::int64_t now_ns_ = 0;
  std::uint64_t last_order_ = 0;
  std::uint64_t events_ = 0;
  DeadlineHeap heap_;
  std::vector<Slot> slots_;
  std::vector<Alarm> free_;
};

}  // namespace tenure::testing

#endif  // TENURE_TESTING_EVENT_QUEUE_H_
