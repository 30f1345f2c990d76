// The Loop that is a thread of its own.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "loop/timer_queue.h"
#include "tenure/loop.h"

namespace tenure {
namespace {

// Sleeping runs on CLOCK_MONOTONIC, which stands still in suspend; the timers go by what both
// clocks say after the sleep. While a timer waits, no sleep is longer than this, so that what fell
// due in a suspend is noticed so soon after it.
constexpr std::int64_t kLongestSleepNs = 1'000'000'000;

class ThreadLoop final : public Loop {
 public:
  using Work = absl::AnyInvocable<void() &&>;

  ThreadLoop() : thread_([this] { Run(); }) {}
  ~ThreadLoop() override;

  Instant Now() override { return ReadMonotonicClocks(); }
  TimerHandle At(Instant when, Work wake) override;
  void Post(Work work) override;
  void Defer(Work work) override { deferred_.push_back(std::move(work)); }
  bool OnLoop() const override { return current_ == this; }

 private:
  void Wake();
  void Run();
  bool AwaitTurn();
  void RunTurn();
  void Cancel(TimerQueue::Key key);
  void Sleep(std::unique_lock<std::mutex>& lock, Instant now, Instant until);
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }

  static thread_local const ThreadLoop* current_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Work> inbox_;  // posted by other threads
  TimerQueue timers_;
  bool asleep_ = false;                // asleep, and nobody has woken it yet
  std::atomic<bool> stopping_{false};  // set under the mutex

  // The loop's thread only; the destructor's once it has joined.
  std::vector<TimerQueue::Key> due_;
  std::vector<Work> ready_;
  std::deque<Work> local_;
  std::vector<Work> deferred_;

  std::thread thread_;  // last: it uses all of the above
};

thread_local const ThreadLoop* ThreadLoop::current_ = nullptr;

ThreadLoop::~ThreadLoop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  thread_.join();
  // What is destroyed here may still post or cancel, and finds nothing.
  std::vector<Work> inbox;
  std::vector<Work> timers;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    inbox = std::exchange(inbox_, {});
    timers = timers_.TakeAll();
  }
}

TimerHandle ThreadLoop::At(Instant when, Work wake) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Instant earliest = timers_.Earliest();
  const TimerQueue::Key key = timers_.Add(when, std::move(wake));
  const bool sooner = when.boottime_ns() < earliest.boottime_ns() ||
                      when.monotonic_raw_ns() < earliest.monotonic_raw_ns();
  if (sooner) Wake();
  return TimerHandle([this, key] { Cancel(key); });
}

void ThreadLoop::Cancel(TimerQueue::Key key) {
  Work cancelled;  // destroyed without the lock: it may own whatever
  std::lock_guard<std::mutex> lock(mutex_);
  cancelled = timers_.Take(key);
}

void ThreadLoop::Post(Work work) {
  if (OnLoop()) {
    local_.push_back(std::move(work));
    return;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) return;  // the caller's `work` goes when it returns
  inbox_.push_back(std::move(work));
  Wake();
}

// Under the mutex: once it is free, what was posted may lead to the loop's destruction.
void ThreadLoop::Wake() {
  if (std::exchange(asleep_, false)) wake_.notify_one();
}

void ThreadLoop::Run() {
  current_ = this;
  while (AwaitTurn()) RunTurn();
  current_ = nullptr;
}

// Waits until there is something to do, and takes it. False: stop.
bool ThreadLoop::AwaitTurn() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    const Instant now = ReadMonotonicClocks();
    timers_.CollectDue(now, &due_);
    ready_.swap(inbox_);
    if (!due_.empty() || !ready_.empty() || !local_.empty() || !deferred_.empty()) return true;
    Sleep(lock, now, timers_.Earliest());
  }
  return false;
}

void ThreadLoop::Sleep(std::unique_lock<std::mutex>& lock, Instant now, Instant until) {
  asleep_ = true;
  if (until == Instant::InfiniteFuture()) {
    wake_.wait(lock);
  } else {
    const std::int64_t left = until.LeaderElapsedNs(now);  // of the clock that gets there first
    wake_.wait_for(lock, std::chrono::nanoseconds(std::min(left, kLongestSleepNs)));
  }
  asleep_ = false;
}

void ThreadLoop::RunTurn() {
  for (const TimerQueue::Key key : due_) {
    if (stopping()) return;
    Work wake;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      wake = timers_.Take(key);
    }
    if (wake) std::move(wake)();
  }
  due_.clear();
  for (Work& work : ready_) {
    if (stopping()) return;
    // Moved out, so that what the work holds goes with it and not at the turn's end.
    std::move(std::exchange(work, nullptr))();
  }
  ready_.clear();
  while (!local_.empty()) {
    if (stopping()) return;
    Work work = std::move(local_.front());
    local_.pop_front();
    std::move(work)();
  }
  // What these post or defer belongs to the next turn.
  std::vector<Work> deferred = std::exchange(deferred_, {});
  for (Work& work : deferred) {
    if (stopping()) return;
    std::move(std::exchange(work, nullptr))();
  }
}

}  // namespace

std::unique_ptr<Loop> NewThreadLoop() { return std::make_unique<ThreadLoop>(); }

}  // namespace tenure
