// The blocking forms: the one place where a caller's thread waits.
#ifndef TENURE_CLIENT_BLOCKING_H_
#define TENURE_CLIENT_BLOCKING_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "tenure/loop.h"

namespace tenure::client {

// One answer, from whichever thread has it to the one that waits. Lives on the waiting thread's
// stack.
template <typename T>
class Answer {
 public:
  explicit Answer(Loop* loop) : loop_(loop) {}

  // From now on the giver tells the Loop that somebody waited.
  void Announce() {
    announced_ = true;
    loop_->NoteWaiter(true);
  }

  void Set(T value) {
    value_.emplace(std::move(value));
    if (announced_) loop_->NoteWaiter(false);
    // Once the waiter sees kReady it may be gone: only one that sleeps has to be touched again.
    if (state_.exchange(State::kReady, std::memory_order_acq_rel) != State::kAsleep) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    woken_ = true;
    wake_.notify_one();
  }

  bool ready() const { return state_.load(std::memory_order_acquire) == State::kReady; }

  T Wait() {
    for (int i = 0; i < kSpins && !ready(); ++i) Pause();
    State expected = State::kAwake;
    if (state_.compare_exchange_strong(expected, State::kAsleep, std::memory_order_acq_rel)) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return woken_; });
    }
    return *std::move(value_);
  }

 private:
  enum class State : std::uint8_t { kAwake, kAsleep, kReady };
  // About a microsecond: enough for an answer that is being given right now. Longer would take the
  // processor from the very thread that has to answer.
  static constexpr int kSpins = 30;

  static void Pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
  }

  Loop* const loop_;
  bool announced_ = false;
  std::atomic<State> state_{State::kAwake};
  std::optional<T> value_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;
};

// Not OK on a Loop's own thread, which would wait for itself.
inline absl::Status MayBlock(const Loop& loop) {
  if (!loop.OnLoop()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "a blocking call on the backend's own thread would wait for itself: use the callback form in "
      "callbacks");
}

// Calls start(done) and waits until `done` was called with a T (an absl::Status or StatusOr): by
// running the Loop itself, if the Loop lets it.
template <typename T, typename Start>
T Block(Loop& loop, Start&& start) {
  if (absl::Status status = MayBlock(loop); !status.ok()) return T(std::move(status));
  Answer<T> answer(&loop);
  const auto begin = [&] { start([&answer](T value) { answer.Set(std::move(value)); }); };
  if (!loop.Drive(begin, [&answer] { return answer.ready(); })) {
    answer.Announce();
    begin();
  }
  return answer.Wait();
}

}  // namespace tenure::client

#endif  // TENURE_CLIENT_BLOCKING_H_
