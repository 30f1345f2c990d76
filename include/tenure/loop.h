// The Loop seam: where an actor lives. Time, timers and posted work, all on one thread.
//
// Three Loops exist: a thread of its own (NewThreadLoop), the gRPC transport's completion queue,
// and the simulator's, on virtual time.
#ifndef TENURE_LOOP_H_
#define TENURE_LOOP_H_

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "tenure/types.h"

namespace tenure {

// Owns a pending timer; destroying or Cancel()ing it on the Loop's thread guarantees that it does
// not fire any more. From another thread it may already be running. Move-only; an empty handle is
// fine.
class TimerHandle {
 public:
  TimerHandle() = default;
  explicit TimerHandle(absl::AnyInvocable<void() &&> cancel) : cancel_(std::move(cancel)) {}
  TimerHandle(TimerHandle&& other) noexcept : cancel_(std::exchange(other.cancel_, nullptr)) {}
  TimerHandle& operator=(TimerHandle&& other) noexcept {
    if (this != &other) {
      Cancel();
      cancel_ = std::exchange(other.cancel_, nullptr);
    }
    return *this;
  }
  ~TimerHandle() { Cancel(); }

  void Cancel() {
    if (cancel_) std::exchange(cancel_, nullptr)();
  }

 private:
  absl::AnyInvocable<void() &&> cancel_;
};

// Work runs on the Loop's thread in *turns*: a turn takes what is ready (sockets, due timers, work
// posted from outside), then runs work posted meanwhile until none is left, then what was deferred
// to the turn's end, then waits. So an actor that posts its own processing when its first message
// of a turn arrives sees all of the turn's messages at once.
//
// Blocking work never runs on a Loop. All methods may be called from any thread. A Loop outlives
// what it runs; work that was posted and has not run when a Loop stops is destroyed without being
// run.
class Loop {
 public:
  virtual ~Loop() = default;

  // This machine's monotonic time.
  virtual Instant Now() = 0;

  // Runs `wake` once either clock reaches `when` (Instant::Reached), not before.
  [[nodiscard]] virtual TimerHandle At(Instant when, absl::AnyInvocable<void() &&> wake) = 0;

  // Runs `work` on the Loop's thread, in order of the posts of one thread. Cheap from the Loop's
  // own thread: no wake-up, and in the same turn.
  virtual void Post(absl::AnyInvocable<void() &&> work) = 0;

  // From the Loop's thread only: runs `work` at the end of this turn, after all that was posted.
  // Transports flush their frames here, one frame for each stream and turn.
  virtual void Defer(absl::AnyInvocable<void() &&> work) = 0;

  // True on the Loop's thread, and on one that is lent to it, for as long as that is.
  virtual bool OnLoop() const = 0;

  // ---- For threads that wait for an answer of this Loop

  // Lends the calling thread: runs `begin` as if it were posted, then turns of the Loop, on this
  // thread, until `done`, which is asked after each. So no hand-over lies between a caller that
  // waits and its answer. False, with nothing run, if the Loop takes no loan now, or never; the
  // caller then waits for its own thread, between NoteWaiter(true) and NoteWaiter(false). Not from
  // the Loop itself.
  virtual bool Drive(absl::FunctionRef<void()> /*begin*/, absl::FunctionRef<bool()> /*done*/) {
    return false;
  }
  // A thread is about to wait (true), or its answer is given (false; called by the giver). By this
  // a Loop knows whether to take loans: a few callers are served best by themselves, many by one
  // thread for all.
  virtual void NoteWaiter(bool /*waits*/) {}
};

// Both monotonic clocks of this machine (CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW), now. The only place
// in the library that reads a clock.
Instant ReadMonotonicClocks();

// A Loop on a thread of its own, which the destructor stops and joins. Do not destroy it on itself.
std::unique_ptr<Loop> NewThreadLoop();

}  // namespace tenure

#endif  // TENURE_LOOP_H_
