// Coroutines: `co_await` for whatever has a callback form. No other header includes this one.
//
//   const tenure::LockOptions options{.wait = absl::Seconds(5)};
//   absl::StatusOr<tenure::LockGuard> guard = co_await tenure::co::Lock(mutex, options);
//   absl::StatusOr<tenure::Leadership> lead = co_await tenure::co::Campaign(election);
//   absl::Status given_back = co_await tenure::co::Await<absl::Status>(
//       [&](auto done) { guard->Unlock(absl::Seconds(5), std::move(done)); });
//
// What it is *not*: a coroutine type or a scheduler. Any coroutine of anybody's can wait.
//
// Which thread goes on. The awaiting one, without a suspension, if the answer came inside the call:
// always so with a local machine and nothing to wait for. Otherwise the one that brings the answer:
// the backend's Loop, or whoever ended the wait (stopped the `cancel` token, closed the session,
// with a local machine released the lock). So it must neither block nor hold a lock that such a
// caller holds; Via() moves it to an executor where it may.
//
// Cancelling is the call's own: stop the `cancel` of its options, and the coroutine goes on with
// kCancelled. A coroutine that is destroyed while it waits is not resumed, and what comes for it is
// given back; as with any coroutine, not at the very moment at which another thread resumes it.
//
// Options are named variables, and what Await and Via take captures by reference alone: GCC 12
// copies a temporary of a co_await expression bit by bit if braces, or a lambda's captures, made
// it, and then destroys it twice. What would meet that is refused here when it is compiled.
#ifndef TENURE_AWAITABLE_H_
#define TENURE_AWAITABLE_H_

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/coordinator.h"
#include "tenure/election.h"
#include "tenure/mutex.h"
#include "tenure/observer.h"
#include "tenure/session.h"

namespace tenure::co {

// One call, to be awaited once, which starts then: an Awaitable that is dropped has done nothing.
// Move-only. T: what the callback takes, an absl::Status or StatusOr.
template <typename T>
class [[nodiscard]] Awaitable {
 public:
  using Done = absl::AnyInvocable<void(T) &&>;
  using Start = absl::AnyInvocable<void(Done) &&>;
  // Runs work on a thread of its choice, later or at once.
  using Executor = absl::AnyInvocable<void(absl::AnyInvocable<void() &&>) &&>;

  // `start` takes the callback and calls it once.
  explicit Awaitable(Start start) : start_(std::move(start)) {}
  Awaitable(Awaitable&&) noexcept = default;
  Awaitable& operator=(Awaitable&&) = delete;
  ~Awaitable() {
    if (answer_ != nullptr) answer_->Abandon();
  }

  // The same, going on where `executor` says; also if the answer comes inside the call.
  template <typename Post>
  Awaitable Via(Post executor) && {
    static_assert(std::is_trivially_destructible_v<Post> || std::is_same_v<Post, Executor>,
                  "capture by reference, or pass an Executor: see the head of this file");
    return Awaitable([start = std::move(start_),
                      executor = Executor(std::move(executor))](Done done) mutable {
      std::move(start)([executor = std::move(executor), done = std::move(done)](T value) mutable {
        std::move(executor)([done = std::move(done), value = std::move(value)]() mutable {
          std::move(done)(std::move(value));
        });
      });
    });
  }

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> waiting) {
    answer_ = std::make_shared<Answer>(waiting);
    // Once this is suspended it may be gone with its coroutine at any moment.
    const std::shared_ptr<Answer> answer = answer_;
    std::move(start_)([answer](T value) { answer->Set(std::move(value)); });
    return answer->Suspend();
  }
  T await_resume() { return *std::move(answer_->value); }

 private:
  // Outlives the coroutine in the callback.
  struct Answer {
    enum class State : std::uint8_t { kStarted, kSuspended, kHere, kAbandoned };

    explicit Answer(std::coroutine_handle<> waits) : waiting(waits) {}

    void Set(T result) {
      value.emplace(std::move(result));
      if (state.exchange(State::kHere, std::memory_order_acq_rel) == State::kSuspended) {
        waiting.resume();
      }
    }
    // False if the answer is here.
    bool Suspend() {
      State started = State::kStarted;
      return state.compare_exchange_strong(started, State::kSuspended, std::memory_order_acq_rel);
    }
    void Abandon() { state.store(State::kAbandoned, std::memory_order_release); }

    const std::coroutine_handle<> waiting;
    std::atomic<State> state{State::kStarted};
    std::optional<T> value;
  };

  Start start_;
  std::shared_ptr<Answer> answer_;
};

// Any callback form: `start(done)` makes the call.
template <typename T, typename StartCall>
Awaitable<T> Await(StartCall start) {
  static_assert(std::is_trivially_destructible_v<StartCall>,
                "capture by reference: see the head of this file");
  return Awaitable<T>([start](typename Awaitable<T>::Done done) { start(std::move(done)); });
}

// A Mutex, or whatever else locks by the same options. These are a named variable's, and copied.
template <typename Handle, typename Options>
requires std::is_same_v<std::remove_const_t<Options>, LockOptions>
    Awaitable<absl::StatusOr<LockGuard>> Lock(Handle handle, Options& options) {
  using Result = absl::StatusOr<LockGuard>;
  return Awaitable<Result>(
      [handle = std::move(handle), options](typename Awaitable<Result>::Done done) mutable {
        handle.Lock(std::move(options), std::move(done));
      });
}
template <typename Handle>
Awaitable<absl::StatusOr<LockGuard>> Lock(Handle handle) {
  const LockOptions options;
  return Lock(std::move(handle), options);
}

template <typename Options>
requires std::is_same_v<std::remove_const_t<Options>, CampaignOptions>
    Awaitable<absl::StatusOr<Leadership>> Campaign(Election election, Options& options) {
  using Result = absl::StatusOr<Leadership>;
  return Awaitable<Result>(
      [election = std::move(election), options](typename Awaitable<Result>::Done done) mutable {
        election.Campaign(std::move(options), std::move(done));
      });
}
inline Awaitable<absl::StatusOr<Leadership>> Campaign(Election election) {
  const CampaignOptions options;
  return Campaign(std::move(election), options);
}

template <typename Options>
requires std::is_same_v<std::remove_const_t<Options>, SessionOptions>
    Awaitable<absl::StatusOr<Session>> OpenSession(Coordinator coordinator, Options& options) {
  using Result = absl::StatusOr<Session>;
  return Awaitable<Result>([coordinator = std::move(coordinator),
                            options](typename Awaitable<Result>::Done done) mutable {
    coordinator.OpenSession(std::move(options), std::move(done));
  });
}
inline Awaitable<absl::StatusOr<Session>> OpenSession(Coordinator coordinator) {
  const SessionOptions options;
  return OpenSession(std::move(coordinator), options);
}

// `observer` must live until it goes on; destroying it ends the wait with kCancelled.
inline Awaitable<absl::StatusOr<News>> Next(Observer& observer, absl::Duration wait,
                                            const std::stop_token& cancel) {
  return Awaitable<absl::StatusOr<News>>(
      [&observer, wait, cancel](auto done) { observer.Next(wait, cancel, std::move(done)); });
}
inline Awaitable<absl::StatusOr<News>> Next(Observer& observer,
                                            absl::Duration wait = absl::InfiniteDuration()) {
  const std::stop_token never;
  return Next(observer, wait, never);
}

}  // namespace tenure::co

#endif  // TENURE_AWAITABLE_H_
