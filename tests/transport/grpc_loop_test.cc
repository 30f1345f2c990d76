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
  loop_->Post([&] { loop_->DeferBriefly([&] { done.set_value(); }); });
  done.get_future().wait();
}

TEST_F(GrpcLoopTest, WorkDeferredForLongCutsTheSleepShort) {
  std::promise<void> done;
  loop_->Post([&] { loop_->DeferForLong([&] { done.set_value(); }); });
  done.get_future().wait();
}

// Unlike brief delays: these do not end because the loop has nothing to do.
TEST_F(GrpcLoopTest, WorkDeferredForLongWaits) {
  std::promise<Instant> ran;
  Instant asked;
  loop_->Post([&] {
    asked = loop_->Now();
    loop_->DeferForLong([&] { ran.set_value(loop_->Now()); });
  });
  EXPECT_GE(ran.get_future().get().LeaderElapsedNs(asked), GrpcLoop::kLongNs);
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

class GrpcLoopLoanTest : public GrpcLoopTest {
 protected:
  // Waits for an answer as a blocking call does, by driving if the loop lets it. True if it did.
  bool Call(absl::AnyInvocable<void()> on_loop = [] {}) {
    std::atomic<bool> ready{false};
    std::promise<void> answered;
    bool announced = false;
    const auto begin = [&] {
      loop_->Post([&] {
        on_loop();
        if (announced) loop_->NoteWaiter(false);
        ready = true;
        answered.set_value();
      });
    };
    if (loop_->Drive(begin, [&] { return ready.load(); })) return true;
    announced = true;
    loop_->NoteWaiter(true);
    begin();
    answered.get_future().wait();
    return false;
  }
  // Calls until the loop takes the loan: it does once a single caller keeps coming.
  [[nodiscard]] bool CallUntilItDrives(absl::AnyInvocable<void()> on_loop = [] {}) {
    for (int i = 0; i < 10'000; ++i) {
      if (Call([&] { on_loop(); })) return true;
    }
    return false;
  }
};

TEST_F(GrpcLoopLoanTest, AnOnlyCallerDrivesTheLoopItself) {
  const std::thread::id self = std::this_thread::get_id();
  std::thread::id ran_on;
  bool on_loop = false;
  ASSERT_TRUE(CallUntilItDrives([&] {
    ran_on = std::this_thread::get_id();
    on_loop = loop_->OnLoop();
  }));
  EXPECT_EQ(ran_on, self);
  EXPECT_TRUE(on_loop);
  EXPECT_FALSE(loop_->OnLoop());
}

TEST_F(GrpcLoopLoanTest, WhatOthersPostAndTimersRunDuringALoanAndAfterIt) {
  ASSERT_TRUE(CallUntilItDrives());
  std::promise<void> after, timer;
  loop_->Post([&] { after.set_value(); });  // the own thread stands back, and is called
  after.get_future().wait();
  ASSERT_TRUE(CallUntilItDrives());
  const TimerHandle handle = loop_->At(In(5), [&] { timer.set_value(); });
  timer.get_future().wait();

  // A caller whose answer depends on what another thread posts while it drives.
  std::atomic<bool> others{false};
  std::thread other;
  bool drove = false;
  for (int i = 0; i < 10'000 && !drove; ++i) {
    Call();
    drove = loop_->Drive([&] { other = std::thread([&] { loop_->Post([&] { others = true; }); }); },
                         [&] { return others.load(); });
  }
  ASSERT_TRUE(drove);
  other.join();
}

TEST_F(GrpcLoopLoanTest, ALoopThatStandsBackStops) {
  ASSERT_TRUE(CallUntilItDrives());
  loop_->Stop();
  EXPECT_FALSE(loop_->Drive([] { ADD_FAILURE(); }, [] { return true; }));
}

TEST_F(GrpcLoopLoanTest, ManyCallersAreAllAnswered) {
  std::vector<std::thread> callers;
  std::atomic<int> answered{0};
  for (int t = 0; t < 8; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        Call();
        ++answered;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(answered, 4000);
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
