// A Loop on virtual time. One process's: it ends when the process is killed.
#ifndef TENURE_TESTING_VIRTUAL_LOOP_H_
#define TENURE_TESTING_VIRTUAL_LOOP_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "loop/timer_queue.h"
#include "tenure/loop.h"
#include "testing/event_queue.h"
#include "testing/trace.h"
#include "testing/virtual_clocks.h"

namespace tenure::testing {

class VirtualLoop final : public Loop {
 public:
  using Work = absl::AnyInvocable<void() &&>;

  // All of these outlive it. `node` stands for it in the trace.
  VirtualLoop(EventQueue& events, Trace& trace, const VirtualClocks& clocks, std::uint64_t node);
  ~VirtualLoop() override { Kill(); }

  Instant Now() override { return clocks_.At(events_.now_ns()); }
  TimerHandle At(Instant when, Work wake) override;
  void Post(Work work) override;
  void Defer(Work work) override;
  // Only within a turn of this very loop: between steps the test is a foreign thread.
  bool OnLoop() const override { return running_; }

  void Pause();
  void Resume();
  bool paused() const { return paused_; }
  // Destroys everything that waits; nothing runs any more. Legal within a turn.
  void Kill();
  bool dead() const { return dead_; }
  // The clocks were changed: timers may be due earlier or later now.
  void ClocksChanged() { Reschedule(); }
  void set_turn_cost_ns(std::int64_t cost) { turn_cost_ns_ = cost; }
  // A turn right now, whether it is paused or not, so that all that was posted before has run.
  void RunPosted();

 private:
  bool stopped() const { return dead_ || paused_; }
  bool HasWork() const;
  void Reschedule();
  void OnAlarm();
  void RunTurn();
  void Drain();

  EventQueue& events_;
  Trace& trace_;
  const VirtualClocks& clocks_;
  const std::uint64_t node_;
  const EventQueue::Alarm alarm_;
  std::int64_t alarm_at_;  // kNever: not set

  TimerQueue timers_;
  std::vector<Work> inbox_;  // from other loops, the network and the test
  // What a turn works on. Kept over a pause in its midst.
  std::vector<TimerQueue::Key> due_;
  std::deque<Work> ready_;
  std::deque<Work> local_;
  std::vector<Work> deferred_;
  std::deque<Work> deferred_now_;

  bool running_ = false;
  bool mid_turn_ = false;
  bool paused_ = false;
  bool dead_ = false;
  std::int64_t turn_cost_ns_ = 0;
  std::int64_t busy_until_ns_ = 0;
};

}  // namespace tenure::testing

#endif  // TENURE_TESTING_VIRTUAL_LOOP_H_
