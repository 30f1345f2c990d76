// Locks that are shared, semaphores, delays after a loss, and what administrators may do.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "conformance/conformance.h"
#include "gmock/gmock.h"
#include "tenure/fencing.h"
#include "tenure/mutex.h"
#include "tenure/semaphore.h"
#include "tenure/session.h"

namespace tenure::conformance {
namespace {

using Guard = absl::StatusOr<LockGuard>;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(20);

// Returns once that many wait.
void AwaitWaiters(Coordinator& coordinator, std::size_t count) {
  for (;;) {
    const auto seen = coordinator.mutex("a").Inspect(kLong);
    ASSERT_TRUE(seen.ok()) << seen.status();
    if (seen->waiting == count) return;
  }
}

TEST_P(Conformance, ManyShareOneExcludes) {
  Guard first = one().shared_mutex("a").LockShared({.wait = kLong});
  ASSERT_TRUE(first.ok()) << first.status();
  Guard second = two().shared_mutex("a").LockShared({.wait = kLong});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_GT(second->token(), first->token());
  EXPECT_EQ(second->fence(), first->fence()) << "the gate must refuse neither";
  FencingGate gate;
  EXPECT_TRUE(gate.Admit(second->fence()).ok());
  EXPECT_TRUE(gate.Admit(first->fence()).ok());
  EXPECT_FALSE(two().mutex("a").TryLock().ok()) << "a Mutex of that name contends with it";
  const auto seen = one().shared_mutex("a").Inspect(kLong);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->shares, 2u);
  ASSERT_EQ(seen->sharers.size(), 2u);
  EXPECT_EQ(seen->sharers[0].token, first->token());
  EXPECT_TRUE(first->Unlock(kLong).ok());
  EXPECT_TRUE(second->Valid());
  EXPECT_TRUE(second->Unlock(kLong).ok());
  const Guard alone = two().shared_mutex("a").Lock({.wait = kLong});
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_TRUE(gate.Admit(alone->fence()).ok());
  EXPECT_FALSE(gate.Admit(second->fence()).ok());
}

TEST_P(Conformance, AStreamOfReadersStarvesNoWriter) {
  Guard reader = one().shared_mutex("a").LockShared({.wait = kLong});
  ASSERT_TRUE(reader.ok()) << reader.status();
  Awaited<Guard> writer;
  two().shared_mutex("a").Lock({}, writer.Callback());
  AwaitWaiters(one(), 1);
  Awaited<Guard> late;
  one().shared_mutex("a").LockShared({}, late.Callback());
  AwaitWaiters(one(), 2);
  EXPECT_FALSE(late.IsHere()) << "it would pass the writer";
  EXPECT_TRUE(reader->Unlock(kLong).ok());
  Guard wrote = writer.Get();
  ASSERT_TRUE(wrote.ok()) << wrote.status();
  EXPECT_FALSE(late.IsHere());
  EXPECT_TRUE(wrote->Unlock(kLong).ok());
  EXPECT_TRUE(late.Get().ok());
}

// L19.
TEST_P(Conformance, L19AnUpgradeIsRefusedNotHung) {
  absl::StatusOr<Session> session = one().OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  SharedMutex mutex = session->shared_mutex("a");
  Guard shared = mutex.LockShared({.wait = kLong});
  ASSERT_TRUE(shared.ok()) << shared.status();
  const Guard upgrade = mutex.Lock();
  EXPECT_EQ(upgrade.status().code(), absl::StatusCode::kFailedPrecondition) << upgrade.status();
  EXPECT_THAT(upgrade.status().message(), HasSubstr("release it first"));
  EXPECT_TRUE(shared->Valid());
  // Another owner is another user of the lock, who may wait.
  std::stop_source stop;
  Awaited<Guard> other;
  mutex.Lock({.cancel = stop.get_token(), .owner = "other"}, other.Callback());
  AwaitWaiters(two(), 1);
  stop.request_stop();
  EXPECT_EQ(other.Get().status().code(), absl::StatusCode::kCancelled);
}

TEST_P(Conformance, ADowngradeLetsReadersInAndNobodyBetween) {
  SharedMutex mutex = one().shared_mutex("a");
  Guard writer = mutex.Lock({.wait = kLong});
  ASSERT_TRUE(writer.ok()) << writer.status();
  Awaited<Guard> reader;
  two().shared_mutex("a").LockShared({}, reader.Callback());
  AwaitWaiters(one(), 1);
  const Revision token = writer->token();
  EXPECT_TRUE(mutex.Downgrade(*writer, kLong).ok());
  EXPECT_EQ(writer->token(), token);
  EXPECT_TRUE(writer->Valid());
  const Guard read = reader.Get();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(mutex.Downgrade(*writer, kLong).code(), absl::StatusCode::kNotFound)
      << "it is shared already";
  LockGuard none;
  EXPECT_EQ(mutex.Downgrade(none, kLong).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(one().shared_mutex("b").Downgrade(*writer, kLong).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(writer->Unlock(kLong).ok());
}

// Who watches is told that somebody has it for as long as anybody shares it.
TEST_P(Conformance, AnObserverCountsThoseWhoShare) {
  SharedMutex mutex = one().shared_mutex("a");
  Observer observer = two().shared_mutex("a").Observe();
  const auto next = [&observer] {
    const absl::StatusOr<News> news = observer.Next(kLong);
    EXPECT_TRUE(news.ok()) << news.status();
    return news.ok() ? news->holder.token : 0;
  };
  EXPECT_EQ(next(), 0u);
  Guard first = mutex.LockShared({.wait = kLong});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(next(), first->token());
  Guard second = mutex.LockShared({.wait = kLong, .owner = "another"});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(next(), first->token());
  Guard third = mutex.LockShared({.wait = kLong, .owner = "a third"});
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_EQ(next(), first->token());
  EXPECT_TRUE(second->Unlock(kLong).ok());
  EXPECT_EQ(next(), first->token());
  const Revision token = third->token();
  EXPECT_TRUE(first->Unlock(kLong).ok());
  EXPECT_EQ(next(), token);
  EXPECT_TRUE(third->Unlock(kLong).ok());
  EXPECT_EQ(next(), 0u);
}

TEST_P(Conformance, PermitsAreWeighedAndSeatsAreEachOnes) {
  Semaphore semaphore = one().semaphore("a", 3);
  Guard two_of_three = semaphore.Acquire({.permits = 2, .wait = kLong, .value = "two"});
  ASSERT_TRUE(two_of_three.ok()) << two_of_three.status();
  Guard third = two().semaphore("a", 3).Acquire({.wait = kLong});
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_NE(third->seat(), two_of_three->seat());
  EXPECT_LT(third->seat(), 3u);
  SeatGates gates(3);
  for (const Guard* guard : {&third, &two_of_three, &third})
    EXPECT_TRUE(gates.Admit((*guard)->seat(), (*guard)->fence()).ok());
  EXPECT_EQ(semaphore.Acquire({.wait = absl::ZeroDuration()}).status().code(),
            absl::StatusCode::kAborted);
  const auto seen = semaphore.Inspect(kLong);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->permits, 3u);
  EXPECT_EQ(seen->total, 3u);
  EXPECT_EQ(seen->shares, 2u);
  // Who wants many is not passed by one who wants few.
  Awaited<Guard> many;
  two().semaphore("a", 3).Acquire({.permits = 3}, many.Callback());
  AwaitWaiters(one(), 1);
  Awaited<Guard> few;
  two().semaphore("a", 3).Acquire({.permits = 1}, few.Callback());
  AwaitWaiters(one(), 2);
  EXPECT_TRUE(third->Unlock(kLong).ok());
  EXPECT_FALSE(few.IsHere());
  EXPECT_TRUE(two_of_three->Unlock(kLong).ok());
  Guard all = many.Get();
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_FALSE(few.IsHere());
  EXPECT_TRUE(all->Unlock(kLong).ok());
  EXPECT_TRUE(few.Get().ok());
}

TEST_P(Conformance, ASemaphoresTotalIsFixedWhileItIsUsed) {
  {
    const Guard held = one().semaphore("a", 3).Acquire({.wait = kLong});
    ASSERT_TRUE(held.ok()) << held.status();
    EXPECT_EQ(two().semaphore("a", 4).Acquire({.wait = kLong}).status().code(),
              absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(two().mutex("a").Lock({.wait = kLong}).status().code(),
              absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(two().semaphore("a", 3).Acquire({.permits = 0, .wait = kLong}).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(two().semaphore("a", 3).Acquire({.permits = 4, .wait = kLong}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(one().semaphore("b", 0).Acquire({.wait = kLong}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Semaphore().Acquire().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(SharedMutex().LockShared().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(Conformance, ABrokenLockIsLostAndTheNextOneGetsIt) {
  Guard held = one().mutex("a").Lock({.wait = kLong});
  ASSERT_TRUE(held.ok()) << held.status();
  Awaited<int> lost;
  const std::stop_callback on_lost(held->lost(), [&] { lost.Callback()(1); });
  Guard other = one().mutex("b").Lock({.wait = kLong});
  ASSERT_TRUE(other.ok()) << other.status();
  Observer observer = two().mutex("a").Observe();
  ASSERT_TRUE(observer.Next(kLong).ok());
  Awaited<Guard> waiting;
  two().mutex("a").Lock({}, waiting.Callback());
  AwaitWaiters(two(), 1);
  EXPECT_EQ(two().BreakLock("a", held->token() + 1, "stuck", kLong).code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(two().BreakLock("a", held->token(), "stuck", kLong).code(), absl::StatusCode::kOk);
  lost.Get();
  EXPECT_FALSE(held->Valid());
  EXPECT_TRUE(other->Valid()) << "its session lives";
  EXPECT_FALSE(other->lost().stop_requested());
  const Guard next = waiting.Get();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_GT(next->token(), held->token());
  EXPECT_EQ(held->Unlock(kLong).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(next->Valid());
  // It is on record who did it, and why.
  const auto news = observer.Next(kLong);
  ASSERT_TRUE(news.ok()) << news.status();
  EXPECT_EQ(news->change.kind, ChangeKind::kBroken);
  EXPECT_THAT(news->change.value, HasSubstr("stuck"));
  EXPECT_THAT(news->change.value, HasSubstr("session"));
  EXPECT_EQ(two().BreakLock("none", 1, "", kLong).code(), absl::StatusCode::kNotFound);
}

TEST_P(Conformance, ALockDelayHoldsOffTheNextAfterALossOnly) {
  constexpr std::uint64_t kSeed = 11;
  {  // given back: no delay
    Guard held = one().mutex("a").Lock({.wait = kLong, .lock_delay = absl::Hours(1)});
    ASSERT_TRUE(held.ok()) << held.status();
    EXPECT_TRUE(held->Unlock(kLong).ok());
    EXPECT_TRUE(two().mutex("a").Lock({.wait = kLong}).ok());
  }
  Coordinator third = fixture().Connect({.seed = kSeed});
  const Guard held = third.mutex("a").Lock({.wait = kLong, .lock_delay = absl::Hours(1)});
  ASSERT_TRUE(held.ok()) << held.status();
  ASSERT_TRUE(two().BreakLock("a", held->token(), "", kLong).ok());
  const Guard next = two().mutex("a").Lock({.wait = absl::ZeroDuration()});
  EXPECT_EQ(next.status().code(), absl::StatusCode::kAborted) << next.status();
  // Until an administrator, who knows better, ends it: this one, and no later one.
  const auto seen = two().mutex("a").Inspect(kLong);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_GT(seen->delay, held->token());
  EXPECT_GT(seen->delay_left_ns, absl::ToInt64Nanoseconds(absl::Minutes(50)));
  Awaited<Guard> waiting;
  one().mutex("a").Lock({}, waiting.Callback());
  AwaitWaiters(two(), 1);
  EXPECT_TRUE(two().BreakLock("a", seen->delay, "it is gone", kLong).ok());
  const Guard granted = waiting.Get();
  ASSERT_TRUE(granted.ok()) << granted.status();
  EXPECT_EQ(two().BreakLock("a", seen->delay, "", kLong).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(granted->Valid());
  const auto after = two().mutex("a").Inspect(kLong);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->delay, 0u);
  EXPECT_EQ(after->broken.token, seen->delay);
  EXPECT_EQ(after->broken.session, 0u);
  EXPECT_THAT(after->broken.by, HasSubstr("it is gone"));
  EXPECT_EQ(one().mutex("c").Lock({.wait = kLong, .lock_delay = -kLong}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(Conformance, SharersOutliveTheLeader) {
  NEEDS(Capability::kLeaderKill);
  Guard first = one().shared_mutex("a").LockShared({.wait = kLong});
  Guard second = two().shared_mutex("a").LockShared({.wait = kLong});
  ASSERT_TRUE(first.ok() && second.ok());
  Awaited<Guard> writer;
  two().shared_mutex("a").Lock({.owner = "writer"}, writer.Callback());
  AwaitWaiters(one(), 1);
  const Guard permit = one().semaphore("s", 2).Acquire({.permits = 2, .wait = kLong});
  ASSERT_TRUE(permit.ok()) << permit.status();
  fixture().KillLeader();
  EXPECT_TRUE(first->Valid() && second->Valid() && permit->Valid());
  EXPECT_TRUE(first->Unlock(kLong).ok());
  EXPECT_FALSE(writer.IsHere());
  EXPECT_TRUE(second->Unlock(kLong).ok());
  EXPECT_TRUE(writer.Get().ok());
  EXPECT_FALSE(two().semaphore("s", 2).Acquire({.wait = absl::ZeroDuration()}).ok());
}

}  // namespace
}  // namespace tenure::conformance
