#include "loop/timer_queue.h"

#include <utility>

namespace tenure {

TimerQueue::Key TimerQueue::Add(Instant when, Wake wake) {
  DeadlineHeap::Slot slot = static_cast<DeadlineHeap::Slot>(timers_.size());
  if (free_.empty()) {
    timers_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  const Key key = {slot, ++last_order_};
  timers_[slot].order = key.order;
  timers_[slot].wake = std::move(wake);
  by_boottime_.Push({when.boottime_ns(), key.order, slot});
  by_monotonic_raw_.Push({when.monotonic_raw_ns(), key.order, slot});
  return key;
}

void TimerQueue::CollectDue(Instant now, std::vector<Key>* due) {
  const auto collect = [&](DeadlineHeap& heap, std::int64_t reading) {
    while (!heap.empty() && heap.top().when <= reading) {
      const Key key = {heap.top().slot, heap.top().order};
      by_boottime_.Remove(key.slot);
      by_monotonic_raw_.Remove(key.slot);
      due->push_back(key);
    }
  };
  collect(by_boottime_, now.boottime_ns());
  collect(by_monotonic_raw_, now.monotonic_raw_ns());
}

TimerQueue::Wake TimerQueue::Take(Key key) {
  if (key.slot >= timers_.size() || timers_[key.slot].order != key.order) return nullptr;
  by_boottime_.Remove(key.slot);
  by_monotonic_raw_.Remove(key.slot);
  Timer& timer = timers_[key.slot];
  timer.order = 0;
  free_.push_back(key.slot);
  return std::exchange(timer.wake, nullptr);
}

std::vector<TimerQueue::Wake> TimerQueue::TakeAll() {
  std::vector<Wake> all;
  for (DeadlineHeap::Slot slot = 0; slot < timers_.size(); ++slot) {
    if (timers_[slot].order != 0) all.push_back(Take({slot, timers_[slot].order}));
  }
  return all;
}

Instant TimerQueue::Earliest() const {
  if (by_boottime_.empty()) return Instant::InfiniteFuture();
  return Instant::FromReadings(by_boottime_.top().when, by_monotonic_raw_.top().when);
}

}  // namespace tenure
