#include "tenure/loop.h"

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tenure/testing/world.h"
#include "tests/loop/loop_contract.h"

namespace tenure {
namespace {

class ThreadLoopUnderTest final : public LoopUnderTest {
 public:
  Loop& loop() override { return *loop_; }
  void Destroy() override { loop_ = nullptr; }

 private:
  std::unique_ptr<Loop> loop_ = NewThreadLoop();
};

class VirtualLoopUnderTest final : public LoopUnderTest {
 public:
  Loop& loop() override { return node_.loop(); }
  bool Await(Happening& happening) override {
    return world_.RunUntil([&] { return happening.IsSet(); }, absl::Seconds(20));
  }
  void Destroy() override { node_.Kill(); }
  void Hold(Happening& /*release*/) override {}

 private:
  testing::World world_{1};
  testing::VirtualNode& node_ = world_.AddNode("a");
};

INSTANTIATE_TEST_SUITE_P(Thread, LoopContract, ::testing::Values(LoopMaker([] {
                           return std::make_unique<ThreadLoopUnderTest>();
                         })));
INSTANTIATE_TEST_SUITE_P(Virtual, LoopContract, ::testing::Values(LoopMaker([] {
                           return std::make_unique<VirtualLoopUnderTest>();
                         })));

TEST(ClockTest, BothClocksRunForward) {
  const Instant before = ReadMonotonicClocks();
  const Instant after = ReadMonotonicClocks();
  EXPECT_GE(after.LeaderElapsedNs(before), 0);
  EXPECT_GE(after.HolderElapsedNs(before), after.LeaderElapsedNs(before));
  EXPECT_GT(before.monotonic_raw_ns(), 0);
}

TEST(ThreadLoopTest, RunsWhatManyThreadsPostAndCancel) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 2000;
  const std::unique_ptr<Loop> loop = NewThreadLoop();
  int ran = 0;
  Happening done;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kPosts; ++i) {
        const TimerHandle timer = loop->At(loop->Now().PlusNs(i % 3 * 1000), [] {});
        loop->Post([&] {
          if (++ran == kThreads * kPosts) done.Set();
        });
      }
    });
  }
  EXPECT_TRUE(done.Await());
  for (std::thread& thread : threads) thread.join();
}

TEST(ThreadLoopTest, LoopsPostToEachOther) {
  const std::unique_ptr<Loop> a = NewThreadLoop();
  const std::unique_ptr<Loop> b = NewThreadLoop();
  Happening done;
  std::function<void(int)> bounce = [&](int left) {
    if (left == 0) return done.Set();
    (left % 2 == 0 ? a : b)->Post([&, left] { bounce(left - 1); });
  };
  bounce(1000);
  EXPECT_TRUE(done.Await());
}

// A thread that stops must not wait for the timers, nor for what works on and on.
TEST(ThreadLoopTest, StopsAtOnce) {
  std::unique_ptr<Loop> loop = NewThreadLoop();
  Happening started;
  auto destroyed = std::make_shared<int>();
  loop->Post([&, destroyed] {
    struct Again {
      static void Run(Loop& on) {
        on.Post([&on] { Run(on); });
      }
    };
    Again::Run(*loop);
    started.Set();
  });
  ASSERT_TRUE(started.Await());
  loop = nullptr;
  EXPECT_EQ(destroyed.use_count(), 1);
}

}  // namespace
}  // namespace tenure
