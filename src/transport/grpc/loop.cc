#include "transport/grpc/loop.h"

#include <grpc/support/time.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <utility>

namespace tenure::grpc_transport {
namespace {

// Sleeping runs on CLOCK_MONOTONIC, which stands still in suspend; timers go by what both clocks
// say. While a timer waits, no sleep is longer, so that what fell due in a suspend is noticed soon
// after.
constexpr std::int64_t kLongestSleepNs = 1'000'000'000;

// How long the own thread stands back for a caller that may come again. Whatever else arrives
// meanwhile waits as long at most.
constexpr std::chrono::milliseconds kStandBack(1);

// So many events at most before timers and posted work have their turn.
constexpr int kMaxEventsPerTurn = 256;

}  // namespace

thread_local const GrpcLoop* GrpcLoop::current_ = nullptr;

GrpcLoop::GrpcLoop(std::unique_ptr<::grpc::CompletionQueue> queue, absl::Duration spin, Loans loans)
    : queue_(std::move(queue)), spin_ns_(absl::ToInt64Nanoseconds(spin)), takes_loans_(loans) {
  thread_ = std::thread([this] { Run(); });
}

GrpcLoop::~GrpcLoop() { Stop(); }

// ---- Called from anywhere
// --------------------------------------------------------------------------

TimerHandle GrpcLoop::At(Instant when, Work wake) {
  TimerQueue::Key key;
  bool must_wake = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const Instant earliest = timers_.Earliest();
    key = timers_.Add(when, std::move(wake));
    const bool sooner = when.boottime_ns() < earliest.boottime_ns() ||
                        when.monotonic_raw_ns() < earliest.monotonic_raw_ns();
    must_wake = sooner && asleep_ && !stopped_ && !std::exchange(wake_pending_, true);
  }
  if (must_wake) WakeUp();
  return TimerHandle([this, key] { Cancel(key); });
}

void GrpcLoop::Cancel(TimerQueue::Key key) {
  Work cancelled;  // destroyed without the lock: it may own whatever
  std::lock_guard<std::mutex> lock(mutex_);
  cancelled = timers_.Take(key);
}

void GrpcLoop::Post(Work work) {
  if (OnLoop()) {
    local_.push_back(std::move(work));
    return;
  }
  bool must_wake = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return;  // the caller's `work` goes when it returns
    inbox_.push_back(std::move(work));
    has_inbox_.store(true, std::memory_order_relaxed);
    must_wake = asleep_ && !std::exchange(wake_pending_, true);
    if (driver_ == Driver::kNobody) {
      reclaim_ = true;
      own_.notify_one();
    }
  }
  if (must_wake) WakeUp();
}

// At most one thread is in here at a time, and never while the alarm is pending: whoever set
// wake_pending_. The queue is not shut down before the event has come back.
void GrpcLoop::WakeUp() { alarm_.Set(queue_.get(), gpr_inf_past(GPR_CLOCK_MONOTONIC), &woken_); }

void GrpcLoop::OnWoken() {
  std::lock_guard<std::mutex> lock(mutex_);
  wake_pending_ = false;
}

bool GrpcLoop::RunOnLoop(std::function<void()> work) {
  struct Call {
    std::mutex mutex;
    std::condition_variable done_changed;
    bool done = false;
    bool ran = false;
  };
  // Signals when it ran, and also when the loop stops and destroys it unrun.
  struct Signal {
    explicit Signal(std::shared_ptr<Call> c) : call(std::move(c)) {}
    Signal(Signal&&) = default;
    ~Signal() {
      if (call == nullptr) return;
      std::lock_guard<std::mutex> lock(call->mutex);
      call->done = true;
      call->done_changed.notify_all();
    }
    std::shared_ptr<Call> call;
  };
  auto call = std::make_shared<Call>();
  Post([signal = Signal(call), work = std::move(work)]() mutable {
    work();
    std::lock_guard<std::mutex> lock(signal.call->mutex);
    signal.call->ran = true;
  });
  std::unique_lock<std::mutex> lock(call->mutex);
  call->done_changed.wait(lock, [&] { return call->done; });
  return call->ran;
}

// ---- Threads that wait
// ---------------------------------------------------------------------------------

bool GrpcLoop::Drive(absl::FunctionRef<void()> begin, absl::FunctionRef<bool()> done) {
  if (OnLoop()) return false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (driver_ != Driver::kNobody || reclaim_ || stopped_) return false;
    driver_ = Driver::kLent;
    ++loans_;
  }
  const GrpcLoop* const outer = std::exchange(current_, this);
  begin();
  while (!done()) RunTurn();
  current_ = outer;
  GiveBack();
  return true;
}

void GrpcLoop::GiveBack() {
  const bool work_left =
      HasWork() || in_flight_ > 0 || waiters_.load(std::memory_order_relaxed) > 0 || stopping_;
  std::lock_guard<std::mutex> lock(mutex_);
  driver_ = Driver::kNobody;
  if (work_left) reclaim_ = true;
  // Not after each loan: the own thread looks for itself now and then, unless it said otherwise.
  if (reclaim_ || awaits_return_) own_.notify_one();
}

void GrpcLoop::NoteWaiter(bool waits) {
  if (waits) {
    waiters_.fetch_add(1, std::memory_order_relaxed);
  } else {
    waiters_.fetch_sub(1, std::memory_order_relaxed);
    waiters_ended_.fetch_add(1, std::memory_order_relaxed);
  }
}

// True when one thread waits at a time, and nothing else goes on.
bool GrpcLoop::ShouldStandBack() {
  if (takes_loans_ == Loans::kNone || waiters_ended_.load(std::memory_order_relaxed) == 0) {
    return false;
  }
  const int ended = waiters_ended_.exchange(0, std::memory_order_relaxed);
  return ended == 1 && waiters_.load(std::memory_order_relaxed) == 0 && in_flight_ == 0 &&
         !HasWork() && !stopping_;
}

// Until somebody wants the own thread, or no caller came for a moment.
void GrpcLoop::StandBack() {
  current_ = nullptr;
  std::unique_lock<std::mutex> lock(mutex_);
  if (inbox_.empty()) {
    driver_ = Driver::kNobody;
    std::uint64_t seen = loans_;
    while (true) {
      if (reclaim_ && driver_ == Driver::kNobody) break;
      if (own_.wait_for(lock, kStandBack) != std::cv_status::timeout) continue;
      if (loans_ != std::exchange(seen, loans_)) continue;  // callers come and go
      if (driver_ == Driver::kNobody) break;                // no caller came
      awaits_return_ = true;                                // one takes its time
      own_.wait(lock);
      awaits_return_ = false;
    }
  }
  driver_ = Driver::kOwn;
  reclaim_ = false;
  current_ = this;
}

void GrpcLoop::Stop() {
  std::lock_guard<std::mutex> join(join_mutex_);
  if (!thread_.joinable()) return;
  Post([this] {
    stopping_ = true;
    const std::vector<Resident*> all(residents_.begin(), residents_.end());
    for (Resident* resident : all) resident->Abandon();
  });
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

// ---- The loop's thread
// -----------------------------------------------------------------------------

void GrpcLoop::Run() {
  current_ = this;
  while (!Drained()) {
    RunTurn();
    if (ShouldStandBack()) StandBack();
  }
  queue_->Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) static_cast<Tag*>(tag)->Fire(ok);
  local_.clear();
  deferred_.clear();
  brief_.clear();
  long_.clear();
  current_ = nullptr;
}

void GrpcLoop::Add(Resident* resident) {
  residents_.insert(resident);
  if (!stopping_) return;
  Post([this, resident] {
    if (residents_.contains(resident)) resident->Abandon();
  });
}

// True once nothing of ours can be in the queue any more, nor come into it.
bool GrpcLoop::Drained() {
  if (!stopping_ || !residents_.empty()) return false;
  std::lock_guard<std::mutex> lock(mutex_);
  stopped_ = true;
  return !wake_pending_;
}

void GrpcLoop::RunTurn() {
  void* tag = nullptr;
  bool ok = false;
  bool event = Wait(&tag, &ok);
  turns_.fetch_add(1, std::memory_order_relaxed);
  for (int events = 0; event; event = ++events < kMaxEventsPerTurn && Poll(&tag, &ok)) {
    static_cast<Tag*>(tag)->Fire(ok);
  }
  RunTimers();
  RunPosted();
  // What these post or defer belongs to the next turn.
  std::vector<Work> deferred = std::exchange(deferred_, {});
  for (Work& work : deferred) std::move(std::exchange(work, nullptr))();
  RunDelayed(&brief_, /*all=*/false);
  RunDelayed(&long_, /*all=*/false);
  // Turns that only tell of a finished write neither prolong nor end it.
  const bool active = std::exchange(active_, false);
  if (spin_ns_ > 0 && (active || in_flight_ > 0)) Prolong(active);
}

// Polls from here on for as long as it is likely to pay.
void GrpcLoop::Prolong(bool active) {
  const Instant now = ReadMonotonicClocks();
  if (active) {
    const bool close = now.LeaderElapsedNs(last_active_) <= kCloseNs;
    close_turns_ = close ? std::min(close_turns_ + 1, kCloseTurns) : 0;
    last_active_ = now;
  }
  spin_until_ = now.PlusNs(InBurst() ? spin_ns_ : std::min(spin_ns_, kFirstSpinNs));
}

bool GrpcLoop::Poll(void** tag, bool* ok) {
  // A deadline in the past polls the sockets once and returns without blocking.
  return queue_->AsyncNext(tag, ok, gpr_inf_past(GPR_CLOCK_MONOTONIC)) == Next::GOT_EVENT;
}

bool GrpcLoop::HasWork() const {
  return !local_.empty() || !deferred_.empty() || has_inbox_.load(std::memory_order_relaxed);
}

// True: an event. False: something else to do.
bool GrpcLoop::Wait(void** tag, bool* ok) {
  if (Poll(tag, ok)) return true;
  if (HasWork()) return false;
  if (spin_ns_ > 0 && Spin(tag, ok)) return true;
  if (HasWork()) return false;
  RunDelayed(&brief_, /*all=*/true);
  if (HasWork()) return false;
  return Block(tag, ok);
}

bool GrpcLoop::Spin(void** tag, bool* ok) {
  while (!HasWork() && !ReadMonotonicClocks().Reached(spin_until_)) {
    // Whom we wait for may be waiting for this very core; without this, spinning gains nothing.
    sched_yield();
    if (Poll(tag, ok)) return true;
  }
  return false;
}

bool GrpcLoop::Block(void** tag, bool* ok) {
  std::int64_t sleep_ns = -1;
  if (InBurst() && ReadMonotonicClocks().LeaderElapsedNs(last_active_) > kCloseNs) {
    close_turns_ = 0;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!inbox_.empty()) return false;
    const Instant earliest = timers_.Earliest();
    if (earliest != Instant::InfiniteFuture() || !long_.empty()) {
      const Instant now = ReadMonotonicClocks();
      sleep_ns = kLongestSleepNs;
      if (!long_.empty()) sleep_ns = std::min(sleep_ns, long_.front().due.LeaderElapsedNs(now));
      if (earliest != Instant::InfiniteFuture()) {
        sleep_ns = std::min(sleep_ns, earliest.LeaderElapsedNs(now));
      }
      if (sleep_ns <= 0) return false;
    }
    asleep_ = true;
  }
  const gpr_timespec deadline = sleep_ns < 0 ? gpr_inf_future(GPR_CLOCK_MONOTONIC)
                                             : gpr_time_from_nanos(sleep_ns, GPR_TIMESPAN);
  const bool event = queue_->AsyncNext(tag, ok, deadline) == Next::GOT_EVENT;
  std::lock_guard<std::mutex> lock(mutex_);
  asleep_ = false;
  return event;
}

void GrpcLoop::RunTimers() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (timers_.Earliest() == Instant::InfiniteFuture()) return;
    timers_.CollectDue(ReadMonotonicClocks(), &due_);
  }
  for (const TimerQueue::Key key : due_) {
    Work wake;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      wake = timers_.Take(key);
    }
    if (wake) std::move(wake)();
  }
  due_.clear();
}

void GrpcLoop::RunPosted() {
  if (has_inbox_.load(std::memory_order_relaxed)) {
    std::lock_guard<std::mutex> lock(mutex_);
    ready_.swap(inbox_);
    has_inbox_.store(false, std::memory_order_relaxed);
  }
  for (Work& work : ready_) {
    // Moved out, so that what the work holds goes with it and not at the turn's end.
    Work taken = std::exchange(work, nullptr);
    std::move(taken)();
  }
  ready_.clear();
  while (!local_.empty()) {
    Work work = std::move(local_.front());
    local_.pop_front();
    std::move(work)();
  }
}

void GrpcLoop::RunDelayed(Delayed* delayed, bool all) {
  if (delayed->empty()) return;
  const Instant now = ReadMonotonicClocks();
  for (std::size_t left = delayed->size(); left > 0 && (all || now.Reached(delayed->front().due));
       --left) {
    Late late = std::move(delayed->front());
    delayed->pop_front();
    std::move(late.work)();
  }
}

}  // namespace tenure::grpc_transport
