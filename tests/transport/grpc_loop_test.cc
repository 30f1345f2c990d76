// The Loop that is a completion queue keeps the Loop's contract.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "transport/grpc/client_link.h"
#include "transport/grpc/loop.h"

namespace tenure::grpc_transport {
namespace {

using ::testing::ElementsAre;

class GrpcLoopTest : public ::testing::Test {
 protected:
  // Runs `work` on the loop, and waits for it.
  void OnLoop(std::function<void()> work) { ASSERT_TRUE(loop_->RunOnLoop(std::move(work))); }
  Instant In(int ms) { return loop_->Now() + absl::Milliseconds(ms); }

  std::unique_ptr<GrpcLoop> loop_ = NewGrpcClientLoop();
};

TEST_F(GrpcLoopTest, PostsOfManyThreadsRunInEachThreadsOrder) {
  constexpr int kThreads = 8;
  constexpr int kPosts = 5'000;
  std::vector<int> last(kThreads, -1);
  int done = 0;
  bool ordered = true;
  std::promise<void> all;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        loop_->Post([&, t, i] {
          ordered = ordered && last[t] == i - 1 && loop_->OnLoop();
          last[t] = i;
          if (++done == kThreads * kPosts) all.set_value();
        });
      }
    });
  }
  all.get_future().wait();
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(ordered);
  EXPECT_FALSE(loop_->OnLoop());
}

TEST_F(GrpcLoopTest, TimersFireInOrderAndNotTooEarly) {
  std::vector<int> fired;
  bool early = false;
  std::vector<TimerHandle> handles;
  std::promise<void> last;
  const auto at = [&](Instant when, int number) {
    handles.push_back(loop_->At(when, [&, when, number] {
      early = early || !loop_->Now().Reached(when);
      fired.push_back(number);
      if (number == 3) last.set_value();
    }));
  };
  // From another thread, with the loop asleep: the sooner deadline wakes it.
  at(In(60), 3);
  at(In(20), 1);
  at(In(40), 2);
  last.get_future().wait();
  EXPECT_THAT(fired, ElementsAre(1, 2, 3));
  EXPECT_FALSE(early);
}

TEST_F(GrpcLoopTest, ACancelledTimerDoesNotFire) {
  bool fired = false;
  std::promise<void> later;
  TimerHandle cancelled;
  TimerHandle kept;
  OnLoop([&] {
    cancelled = loop_->At(loop_->Now(), [&] { fired = true; });
    // Due as well, but the earlier one is cancelled first.
    kept = loop_->At(loop_->Now() + absl::Milliseconds(5), [&] { later.set_value(); });
    cancelled.Cancel();
  });
  later.get_future().wait();
  EXPECT_FALSE(fired);
}

TEST_F(GrpcLoopTest, DeferredWorkRunsOnceATurnAfterAllThatWasPosted) {
  std::vector<std::string> order;
  std::promise<void> done;
  loop_->Post([&] {
    loop_->Defer([&] {
      order.push_back("deferred");
      loop_->Post([&] { done.set_value(); });
    });
    loop_->Post([&] {
      order.push_back("posted");
      loop_->Post([&] { order.push_back("posted meanwhile"); });
    });
  });
  done.get_future().wait();
  EXPECT_THAT(order, ElementsAre("posted", "posted meanwhile", "deferred"));
}

TEST_F(GrpcLoopTest, LateWorkRunsAlsoIfTheLoopWouldSleep) {
  std::promise<void> done;
  loop_->Post([&] { loop_->DeferPastNextTurn([&] { done.set_value(); }); });
  done.get_future().wait();
}

// An idle loop takes no turns, also while an operation is in flight for long: it spins for a moment
// after a turn, then sleeps.
TEST_F(GrpcLoopTest, AnIdleLoopDoesNotSpin) {
  OnLoop([&] { loop_->AddInFlight(1); });
  std::promise<void> later;
  const TimerHandle timer = loop_->At(In(200), [&] { later.set_value(); });
  const std::uint64_t before = loop_->turns();
  later.get_future().wait();
  EXPECT_LE(loop_->turns() - before, 20u);
}

TEST_F(GrpcLoopTest, StoppingDestroysWhatHasNotRun) {
  auto token = std::make_shared<int>(0);
  const TimerHandle timer = loop_->At(In(3'600'000), [token] {});
  EXPECT_EQ(token.use_count(), 2);
  loop_->Stop();
  loop_->Post([token] { ADD_FAILURE(); });
  EXPECT_EQ(token.use_count(), 1);
  EXPECT_FALSE(loop_->RunOnLoop([] {}));
}

TEST_F(GrpcLoopTest, PostsRaceWithStop) {
  std::atomic<bool> stop{false};
  std::thread poster([&] {
    while (!stop) loop_->Post([] {});
  });
  loop_->RunOnLoop([] {});
  loop_->Stop();
  stop = true;
  poster.join();
}

}  // namespace
}  // namespace tenure::grpc_transport
