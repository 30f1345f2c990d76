#include "testing/virtual_loop.h"

#include <algorithm>
#include <utility>

namespace tenure::testing {

VirtualLoop::VirtualLoop(EventQueue& events, Trace& trace, const VirtualClocks& clocks,
                         std::uint64_t node)
    : events_(events),
      trace_(trace),
      clocks_(clocks),
      node_(node),
      alarm_(events.NewAlarm([this] { OnAlarm(); })),
      alarm_at_(VirtualClock::kNever) {}

TimerHandle VirtualLoop::At(Instant when, Work wake) {
  if (dead_) return TimerHandle();
  const TimerQueue::Key key = timers_.Add(when, std::move(wake));
  Reschedule();
  return TimerHandle([this, key] {
    const Work cancelled = timers_.Take(key);
    Reschedule();
  });
}

void VirtualLoop::Post(Work work) {
  if (dead_) return;
  if (running_) {
    local_.push_back(std::move(work));
  } else {
    inbox_.push_back(std::move(work));
    Reschedule();
  }
}

void VirtualLoop::Defer(Work work) {
  if (!dead_) deferred_.push_back(std::move(work));
}

void VirtualLoop::Pause() {
  paused_ = true;
  Reschedule();
}

void VirtualLoop::Resume() {
  paused_ = false;
  Reschedule();
}

void VirtualLoop::Kill() {
  if (dead_) return;
  dead_ = true;
  Reschedule();
  // Each may run destructors that call back here, and find a dead loop.
  const std::vector<Work> timers = timers_.TakeAll();
  const std::vector<Work> inbox = std::exchange(inbox_, {});
  const std::deque<Work> ready = std::exchange(ready_, {});
  const std::deque<Work> local = std::exchange(local_, {});
  const std::vector<Work> deferred = std::exchange(deferred_, {});
  const std::deque<Work> deferred_now = std::exchange(deferred_now_, {});
}

bool VirtualLoop::HasWork() const {
  return mid_turn_ || !inbox_.empty() || !local_.empty() || !deferred_.empty();
}

// Sets the alarm to the next turn. Cheap when that has not changed.
void VirtualLoop::Reschedule() {
  if (running_) return;
  std::int64_t at = VirtualClock::kNever;
  if (!stopped()) {
    at = HasWork() ? events_.now_ns() : clocks_.WhenReached(timers_.Earliest());
    at = std::max({at, busy_until_ns_, events_.now_ns()});
  }
  if (at == alarm_at_) return;
  alarm_at_ = at;
  if (at == VirtualClock::kNever) {
    events_.Clear(alarm_);
  } else {
    events_.Set(alarm_, at);
  }
}

void VirtualLoop::OnAlarm() {
  alarm_at_ = VirtualClock::kNever;
  RunTurn();
  busy_until_ns_ = events_.now_ns() + turn_cost_ns_;
  Reschedule();
}

void VirtualLoop::RunPosted() {
  if (dead_ || running_) return;
  const bool paused = std::exchange(paused_, false);
  RunTurn();
  paused_ = paused;
  Reschedule();
}

void VirtualLoop::RunTurn() {
  running_ = true;
  if (!mid_turn_) {
    mid_turn_ = true;
    timers_.CollectDue(Now(), &due_);
    for (Work& work : inbox_) ready_.push_back(std::move(work));
    inbox_.clear();
    trace_.Mix(events_.now_ns(), node_, due_.size(), ready_.size());
  }
  Drain();
  running_ = false;
}

// Pausing and killing take effect between two pieces of work.
void VirtualLoop::Drain() {
  const auto drain = [this](std::deque<Work>& works) {
    while (!stopped() && !works.empty()) {
      Work work = std::move(works.front());
      works.pop_front();
      std::move(work)();
    }
  };
  std::size_t taken = 0;
  while (!stopped() && taken < due_.size()) {
    if (Work wake = timers_.Take(due_[taken++])) std::move(wake)();
  }
  due_.erase(due_.begin(), due_.begin() + static_cast<std::ptrdiff_t>(taken));
  drain(ready_);
  drain(local_);
  if (stopped()) return;
  if (deferred_now_.empty()) {
    for (Work& work : deferred_) deferred_now_.push_back(std::move(work));
    deferred_.clear();
  }
  drain(deferred_now_);
  mid_turn_ = !deferred_now_.empty();
}

}  // namespace tenure::testing
