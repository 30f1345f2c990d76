#include "loop/timer_queue.h"

#include <map>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tenure {
namespace {

Instant At(std::int64_t ns) { return Instant::FromReadings(ns, ns); }

// Against a map, with additions, cancellations and the passing of time in random order.
TEST(TimerQueueTest, AgreesWithAModel) {
  TimerQueue queue;
  std::map<std::pair<std::int64_t, int>, TimerQueue::Key> model;
  std::vector<int> fired;
  std::uint64_t random = 12345;
  const auto draw = [&random](std::uint64_t bound) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return (random >> 33) % bound;
  };
  std::int64_t now = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t what = draw(10);
    if (what < 5) {
      const auto when = now + static_cast<std::int64_t>(draw(1000));
      model[{when, i}] = queue.Add(At(when), [&fired, i] { fired.push_back(i); });
    } else if (what < 8 && !model.empty()) {
      auto victim = model.begin();
      std::advance(victim, draw(model.size()));
      EXPECT_TRUE(queue.Take(victim->second) != nullptr);
      EXPECT_TRUE(queue.Take(victim->second) == nullptr);
      model.erase(victim);
    } else {
      now += static_cast<std::int64_t>(draw(50));
      std::vector<int> expected;
      while (!model.empty() && model.begin()->first.first <= now) {
        expected.push_back(model.begin()->first.second);
        model.erase(model.begin());
      }
      fired.clear();
      std::vector<TimerQueue::Key> due;
      queue.CollectDue(At(now), &due);
      for (const TimerQueue::Key key : due) queue.Take(key)();
      EXPECT_EQ(fired, expected);
    }
    EXPECT_EQ(queue.Earliest(),
              model.empty() ? Instant::InfiniteFuture() : At(model.begin()->first.first));
  }
  EXPECT_EQ(queue.TakeAll().size(), model.size());
  EXPECT_EQ(queue.Earliest(), Instant::InfiniteFuture());
}

TEST(TimerQueueTest, ADueTimerCanBeCancelledUntilItIsTaken) {
  TimerQueue queue;
  const TimerQueue::Key key = queue.Add(At(1), [] {});
  std::vector<TimerQueue::Key> due;
  queue.CollectDue(At(1), &due);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_TRUE(queue.Take(key) != nullptr);
  EXPECT_TRUE(queue.Take(due[0]) == nullptr);
  // The slot's next timer is not the old key's.
  (void)queue.Add(At(2), [] {});
  EXPECT_TRUE(queue.Take(key) == nullptr);
}

}  // namespace
}  // namespace tenure
