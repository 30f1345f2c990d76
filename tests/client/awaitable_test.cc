// When and where a coroutine goes on.
#include "tenure/awaitable.h"

#include <coroutine>
#include <exception>
#include <utility>
#include <vector>

#include "client/fixture.h"

namespace tenure::client {
namespace {

struct Coroutine {
  struct promise_type {
    Coroutine get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

class AwaitableTest : public ClientTest {
 protected:
  using Executor = co::Awaitable<Guard>::Executor;

  static Coroutine Take(Session& session, Guard* got) {
    *got = co_await co::Lock(session.mutex("a"));
  }
  static Coroutine TakeVia(Session& session, Executor executor, Guard* got) {
    *got = co_await co::Lock(session.mutex("a")).Via(std::move(executor));
  }
};

TEST_F(AwaitableTest, GoesOnAtOnceIfTheAnswerIsThere) {
  Session session = Open();
  Guard got = absl::UnknownError("not yet");
  const Coroutine taking = Take(session, &got);
  EXPECT_TRUE(taking.handle.done());
  EXPECT_TRUE(got.ok()) << got.status();
  taking.handle.destroy();
}

TEST_F(AwaitableTest, GoesOnWhenTheAnswerComes) {
  Session session = Open();
  First<AcquireLock>(1, Fate::kHoldReply);
  Guard got = absl::UnknownError("not yet");
  const Coroutine taking = Take(session, &got);
  EXPECT_FALSE(taking.handle.done());
  net_->Release();
  EXPECT_TRUE(taking.handle.done());
  EXPECT_TRUE(got.ok()) << got.status();
  taking.handle.destroy();
}

TEST_F(AwaitableTest, WhatComesForACoroutineThatIsGoneIsGivenBack) {
  Session session = Open();
  First<AcquireLock>(1, Fate::kHoldReply);
  Guard got = absl::UnknownError("not yet");
  const Coroutine taking = Take(session, &got);
  taking.handle.destroy();
  EXPECT_FALSE(IsFree(rival_, "a"));
  net_->Release();
  EXPECT_EQ(got.status().code(), absl::StatusCode::kUnknown);
  EXPECT_TRUE(IsFree(rival_, "a"));
}

TEST_F(AwaitableTest, GoesOnWhereItsExecutorSays) {
  Session session = Open();
  std::vector<absl::AnyInvocable<void() &&>> posted;
  Guard got = absl::UnknownError("not yet");
  const Coroutine taking = TakeVia(
      session, [&](absl::AnyInvocable<void() &&> work) { posted.push_back(std::move(work)); },
      &got);
  EXPECT_FALSE(taking.handle.done());
  ASSERT_EQ(posted.size(), 1u);
  std::move(posted.front())();
  EXPECT_TRUE(taking.handle.done());
  EXPECT_TRUE(got.ok()) << got.status();
  taking.handle.destroy();
}

TEST_F(AwaitableTest, WhatIsNotAwaitedDoesNothing) {
  Session session = Open();
  static_cast<void>(co::Lock(session.mutex("a")));
  EXPECT_EQ(net_->Count<AcquireLock>(), 0u);
}

}  // namespace
}  // namespace tenure::client
