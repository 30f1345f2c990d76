// What every Loop promises (tenure/loop.h), as one suite. A Loop joins it with
//
//   class MyLoopUnderTest : public LoopUnderTest { ... };
//   INSTANTIATE_TEST_SUITE_P(MyLoop, LoopContract, ::testing::Values(LoopMaker{[] { return ...;
//   }}));
#ifndef TENURE_TESTS_LOOP_LOOP_CONTRACT_H_
#define TENURE_TESTS_LOOP_LOOP_CONTRACT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tenure/loop.h"
#include "tests/loop/await.h"

namespace tenure {

class LoopUnderTest {
 public:
  using Work = absl::AnyInvocable<void() &&>;

  virtual ~LoopUnderTest() = default;
  virtual Loop& loop() = 0;
  // Lets the loop run until it happened.
  virtual bool Await(Happening& happening) { return happening.Await(); }
  // Stops the loop. It is not asked for afterwards.
  virtual void Destroy() = 0;

  // Posts all of `works` from outside, so that one turn finds them together.
  void PostTogether(std::vector<Work> works);
  // Runs `work` on the loop and waits for the end of that turn.
  void RunTurn(Work work);
  // Keeps the loop from running until `release` is set; a virtual one does not run anyway.
  virtual void Hold(Happening& release);
};

using LoopMaker = std::function<std::unique_ptr<LoopUnderTest>()>;

class LoopContract : public ::testing::TestWithParam<LoopMaker> {
 protected:
  Loop& loop() { return under_test_->loop(); }
  Instant InMs(std::int64_t ms) { return loop().Now().PlusNs(ms * 1'000'000); }
  void AwaitNextTurns() {
    for (int i = 0; i < 3; ++i) under_test_->RunTurn([] {});
  }

  std::unique_ptr<LoopUnderTest> under_test_ = GetParam()();
  std::vector<std::string> seen_;  // written on the loop
  LoopUnderTest::Work See(const std::string& what) {
    return [this, what] { seen_.push_back(what); };
  }
};

inline void LoopUnderTest::Hold(Happening& release) {
  auto held = std::make_shared<Happening>();
  loop().Post([held, &release] {
    held->Set();
    ASSERT_TRUE(release.Await());
  });
  ASSERT_TRUE(held->Await());
}

inline void LoopUnderTest::PostTogether(std::vector<Work> works) {
  Happening release;
  Happening ended;
  Hold(release);
  for (Work& work : works) loop().Post(std::move(work));
  loop().Post([this, &ended] { loop().Defer([&ended] { ended.Set(); }); });
  release.Set();
  ASSERT_TRUE(Await(ended));
}

inline void LoopUnderTest::RunTurn(Work work) {
  std::vector<Work> works;
  works.push_back(std::move(work));
  PostTogether(std::move(works));
}

TEST_P(LoopContract, RunsPostsInOrderOnTheLoop) {
  EXPECT_FALSE(loop().OnLoop());
  std::vector<LoopUnderTest::Work> works;
  bool on_loop = false;
  for (int i = 0; i < 100; ++i) works.push_back(See(std::to_string(i)));
  works.push_back([&] { on_loop = loop().OnLoop(); });
  under_test_->PostTogether(std::move(works));
  EXPECT_TRUE(on_loop);
  ASSERT_EQ(seen_.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(seen_[static_cast<std::size_t>(i)], std::to_string(i));
}

TEST_P(LoopContract, ATurnIsWhatIsReadyThenPostedThenDeferred) {
  std::vector<LoopUnderTest::Work> works;
  works.push_back([this] {
    seen_.push_back("first");
    loop().Defer(See("deferred"));
    loop().Post([this] {
      seen_.push_back("posted");
      loop().Defer(See("deferred later"));
      loop().Post(See("posted by posted"));
    });
  });
  works.push_back(See("second"));
  works.push_back(See("third"));
  under_test_->PostTogether(std::move(works));
  AwaitNextTurns();
  EXPECT_THAT(seen_, ::testing::ElementsAre("first", "second", "third", "posted",
                                            "posted by posted", "deferred", "deferred later"));
}

TEST_P(LoopContract, AnActorSeesAllMessagesOfATurnAtOnce) {
  int inbox = 0;
  std::vector<int> processed;
  std::vector<LoopUnderTest::Work> works;
  for (int i = 0; i < 5; ++i) {
    works.push_back([&] {
      if (inbox++ > 0) return;
      loop().Post([&] { processed.push_back(std::exchange(inbox, 0)); });
    });
  }
  under_test_->PostTogether(std::move(works));
  AwaitNextTurns();
  EXPECT_THAT(processed, ::testing::ElementsAre(5));
}

TEST_P(LoopContract, WhatTheTurnsEndPostsRunsWithoutAWait) {
  Happening done;
  loop().Post(
      [&] { loop().Defer([&] { loop().Post([&] { loop().Defer([&] { done.Set(); }); }); }); });
  EXPECT_TRUE(under_test_->Await(done));
}

TEST_P(LoopContract, ATimerFiresOnTheLoopAndNotBefore) {
  Happening fired;
  bool reached = false;
  bool on_loop = false;
  const Instant when = InMs(5);
  const TimerHandle timer = loop().At(when, [&] {
    reached = loop().Now().Reached(when);
    on_loop = loop().OnLoop();
    fired.Set();
  });
  EXPECT_TRUE(under_test_->Await(fired));
  EXPECT_TRUE(reached);
  EXPECT_TRUE(on_loop);
}

TEST_P(LoopContract, ATimerFiresByEitherClock) {
  const Instant now = loop().Now();
  const Instant never = Instant::InfiniteFuture();
  Happening by_boottime;
  Happening by_raw;
  const TimerHandle a =
      loop().At(Instant::FromReadings(now.boottime_ns() + 1'000'000, never.monotonic_raw_ns()),
                [&] { by_boottime.Set(); });
  EXPECT_TRUE(under_test_->Await(by_boottime));
  const TimerHandle b =
      loop().At(Instant::FromReadings(never.boottime_ns(), now.monotonic_raw_ns() + 1'000'000),
                [&] { by_raw.Set(); });
  EXPECT_TRUE(under_test_->Await(by_raw));
}

TEST_P(LoopContract, TimersFireByDeadlineThenByAge) {
  Happening done;
  std::vector<TimerHandle> timers;
  under_test_->RunTurn([&] {
    const Instant now = loop().Now();
    timers.push_back(loop().At(now.PlusNs(4'000'000), [&] { done.Set(); }));
    timers.push_back(loop().At(now.PlusNs(3'000'000), See("third")));
    timers.push_back(loop().At(now.PlusNs(1'000'000), See("first")));
    timers.push_back(loop().At(now.PlusNs(2'000'000), See("second")));
    timers.push_back(loop().At(now.PlusNs(2'000'000), See("second too")));
    timers.push_back(loop().At(Instant::InfiniteFuture(), See("never")));
  });
  EXPECT_TRUE(under_test_->Await(done));
  EXPECT_THAT(seen_, ::testing::ElementsAre("first", "second", "second too", "third"));
}

TEST_P(LoopContract, AnEarlierTimerOvertakes) {
  Happening done;
  const TimerHandle late = loop().At(InMs(3'600'000), See("late"));
  AwaitNextTurns();  // by now a thread sleeps for the late one
  const TimerHandle early = loop().At(InMs(1), [&] { done.Set(); });
  EXPECT_TRUE(under_test_->Await(done));
  EXPECT_THAT(seen_, ::testing::IsEmpty());
}

TEST_P(LoopContract, ACancelledTimerDoesNotFire) {
  Happening done;
  auto token = std::make_shared<int>();
  TimerHandle first;
  TimerHandle second;
  TimerHandle last;
  TimerHandle outside = loop().At(InMs(3'600'000), [token] {});
  outside.Cancel();
  EXPECT_EQ(token.use_count(), 1);
  // Both fall due in one turn, and the first to run cancels the other.
  under_test_->RunTurn([&] {
    const Instant due = loop().Now();
    first = loop().At(due, [&] {
      seen_.push_back("first");
      second.Cancel();
    });
    second = loop().At(due, See("second"));
    last = loop().At(due.PlusNs(1'000'000), [&] { done.Set(); });
  });
  EXPECT_TRUE(under_test_->Await(done));
  EXPECT_THAT(seen_, ::testing::ElementsAre("first"));
  first.Cancel();  // it has fired: nothing happens
}

TEST_P(LoopContract, ATimerCanBeSetAgainFromItself) {
  Happening done;
  TimerHandle timer;
  int fired = 0;
  std::function<void()> tick = [&] {
    if (++fired == 5) return done.Set();
    timer = loop().At(InMs(0), [&] { tick(); });
  };
  loop().Post([&] { tick(); });
  EXPECT_TRUE(under_test_->Await(done));
  EXPECT_EQ(fired, 5);
}

TEST_P(LoopContract, AHandleCancelsWhenItIsAssignedOrMovedAway) {
  TimerHandle timer = loop().At(InMs(3'600'000), See("a"));
  auto token = std::make_shared<int>();
  timer = loop().At(InMs(3'600'000), [token] {});
  TimerHandle other = std::move(timer);
  EXPECT_EQ(token.use_count(), 2);
  other = TimerHandle();
  EXPECT_EQ(token.use_count(), 1);
}

TEST_P(LoopContract, WhatHasNotRunIsDestroyedWithTheLoop) {
  // Something that is pending at any time, as each turn's end makes the next turn's work.
  struct Again {
    static void Run(Loop& loop, std::shared_ptr<int> token) {
      loop.Defer([&loop, token] { loop.Post([&loop, token] { Run(loop, token); }); });
    }
  };
  auto token = std::make_shared<int>();
  under_test_->RunTurn([&] { Again::Run(loop(), token); });
  under_test_->Destroy();
  EXPECT_EQ(token.use_count(), 1);
}

}  // namespace tenure

#endif  // TENURE_TESTS_LOOP_LOOP_CONTRACT_H_
