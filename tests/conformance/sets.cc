// Several locks at once, and the same one again.
#include <cstddef>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "conformance/conformance.h"
#include "gmock/gmock.h"
#include "tenure/errors.h"
#include "tenure/fencing.h"
#include "tenure/lock_set.h"
#include "tenure/mutex.h"
#include "tenure/session.h"

namespace tenure::conformance {
namespace {

using Guard = absl::StatusOr<LockGuard>;
using Set = absl::StatusOr<LockSetGuard>;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(20);

// Returns once that many wait for the lock.
void AwaitWaiters(Coordinator& coordinator, const std::string& name, std::size_t count) {
  for (;;) {
    const auto seen = coordinator.mutex(name).Inspect(kLong);
    ASSERT_TRUE(seen.ok()) << seen.status();
    if (seen->waiting == count) return;
  }
}

TEST_P(Conformance, SeveralLocksAreTakenAllOrNone) {
  Guard b = two().mutex("b").Lock({.wait = kLong});
  ASSERT_TRUE(b.ok()) << b.status();
  const Set none = one().AcquireAll({{"a"}, {"b"}}, {.wait = absl::ZeroDuration()});
  EXPECT_EQ(none.status().code(), absl::StatusCode::kAborted) << none.status();
  EXPECT_THAT(none.status().message(), HasSubstr("b is held by"));
  EXPECT_TRUE(two().mutex("a").Lock({.wait = kLong}).ok()) << "nothing was taken";
  Awaited<Set> waiting;
  one().AcquireAll({{"a"}, {"b", LockMode::kShared}}, {}, waiting.Callback());
  AwaitWaiters(two(), "b", 1);
  EXPECT_FALSE(two().mutex("a").TryLock().ok()) << "nothing later passes it, also where it is free";
  EXPECT_TRUE(b->Unlock(kLong).ok());
  Set both = waiting.Get();
  ASSERT_TRUE(both.ok()) << both.status();
  ASSERT_EQ(both->size(), 2u);
  EXPECT_TRUE(both->Valid());
  EXPECT_GT(both->token(), b->token());
  EXPECT_EQ((*both)[0].token(), both->token());
  EXPECT_EQ((*both)[1].name(), "b");
  const Guard reader = two().shared_mutex("b").LockShared({.wait = kLong});
  ASSERT_TRUE(reader.ok()) << reader.status();
  FencingGate gate;
  EXPECT_TRUE(gate.Admit(reader->fence()).ok());
  EXPECT_TRUE(gate.Admit((*both)[1].fence()).ok());
  EXPECT_TRUE(both->Unlock(kLong).ok());
  EXPECT_EQ(both->size(), 0u);
  EXPECT_EQ(both->Unlock(kLong).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(two().mutex("a").Lock({.wait = kLong}).ok());
}

TEST_P(Conformance, OppositeOrdersMakeNoDeadlock) {
  constexpr std::size_t kRounds = 5;
  std::vector<Awaited<Revision>> all(2 * kRounds);
  // Each is given back as soon as it comes: a cycle would end in Get.
  const auto ask = [](Coordinator& on, std::vector<LockInSet> locks, Awaited<Revision>& got) {
    on.AcquireAll(std::move(locks), {}, [callback = got.Callback()](const Set& set) mutable {
      EXPECT_TRUE(set.ok()) << set.status();
      callback(set.ok() ? set->token() : 0);
    });
  };
  for (std::size_t i = 0; i < kRounds; ++i) {
    ask(one(), {{"a"}, {"b"}, {"c"}}, all[2 * i]);
    ask(two(), {{"c"}, {"b"}, {"a"}}, all[2 * i + 1]);
  }
  std::set<Revision> tokens;
  for (Awaited<Revision>& each : all) tokens.insert(each.Get());
  EXPECT_EQ(tokens.size(), all.size());
}

TEST_P(Conformance, L14NoGhostOfSeveralLocks) {
  Guard b = two().mutex("b").Lock({.wait = kLong});
  ASSERT_TRUE(b.ok()) << b.status();
  std::stop_source stop;
  Awaited<Set> waiting;
  one().AcquireAll({{"a"}, {"b"}}, {.cancel = stop.get_token()}, waiting.Callback());
  AwaitWaiters(two(), "b", 1);
  stop.request_stop();
  EXPECT_EQ(waiting.Get().status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(b->Unlock(kLong).ok());
  EXPECT_TRUE(two().mutex("a").Lock({.wait = kLong}).ok());
  EXPECT_TRUE(two().mutex("b").Lock({.wait = kLong}).ok());
}

TEST_P(Conformance, WhoLosesOneOfSeveralLocksKeepsTheOthers) {
  Set set = one().AcquireAll({{"a"}, {"b"}}, {.wait = kLong});
  ASSERT_TRUE(set.ok()) << set.status();
  Awaited<int> lost;
  const std::stop_callback on_lost(set->lost(), [&] { lost.Callback()(1); });
  Awaited<absl::Status> broken;
  two().BreakLock("b", set->token(), "", kLong, broken.Callback());
  EXPECT_TRUE(broken.Get().ok());
  lost.Get();
  EXPECT_FALSE(set->Valid());
  EXPECT_FALSE((*set)[1].Valid());
  EXPECT_TRUE((*set)[0].Valid());
  EXPECT_FALSE(two().mutex("a").TryLock().ok());
  EXPECT_TRUE(two().mutex("b").Lock({.wait = kLong}).ok());
  EXPECT_EQ(set->Unlock(kLong).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(two().mutex("a").Lock({.wait = kLong}).ok());
}

TEST_P(Conformance, ALockDelayOfASetIsOfWhatIsLostAlone) {
  Set set = one().AcquireAll({{"a"}, {"b"}, {"c", LockMode::kShared}},
                             {.wait = kLong, .lock_delay = absl::Hours(1)});
  ASSERT_TRUE(set.ok()) << set.status();
  ASSERT_TRUE(two().BreakLock("a", set->token(), "", kLong).ok());
  ASSERT_TRUE(two().BreakLock("c", set->token(), "", kLong).ok());
  EXPECT_TRUE((*set)[1].Unlock(kLong).ok());
  EXPECT_TRUE(two().mutex("b").Lock({.wait = kLong}).ok()) << "it was given back";
  EXPECT_TRUE(two().mutex("c").Lock({.wait = kLong}).ok()) << "it was shared";
  EXPECT_EQ(two().mutex("a").Lock({.wait = absl::ZeroDuration()}).status().code(),
            absl::StatusCode::kAborted);
  const auto code = [this](std::vector<LockInSet> locks, absl::Duration delay) {
    return one().AcquireAll(std::move(locks), {.wait = kLong, .lock_delay = delay}).status().code();
  };
  EXPECT_EQ(code({{"d"}}, -kLong), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{"d", LockMode::kShared}}, kLong), absl::StatusCode::kInvalidArgument);
}

TEST_P(Conformance, WhatCannotBeASetIsRefused) {
  const auto code = [this](std::vector<LockInSet> locks) {
    return one().AcquireAll(std::move(locks), {.wait = kLong}).status().code();
  };
  EXPECT_EQ(code({}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{"a"}, {"a"}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{"a", LockMode::kPermits}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(one().AcquireAll({{"a"}}, {.wait = -kLong}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Coordinator().AcquireAll({{"a"}}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Session().AcquireAll({{"a"}}, {}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_P(Conformance, SeveralLocksOutliveTheLeader) {
  NEEDS(Capability::kLeaderKill);
  absl::StatusOr<Session> session = one().OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  Set held = session->AcquireAll({{"a"}, {"b"}}, {.wait = kLong});
  ASSERT_TRUE(held.ok()) << held.status();
  Awaited<Set> waiting;
  two().AcquireAll({{"b"}, {"c"}}, {}, waiting.Callback());
  AwaitWaiters(one(), "c", 1);
  fixture().KillLeader();
  EXPECT_TRUE(held->Valid());
  EXPECT_FALSE(two().mutex("c").TryLock().ok());
  EXPECT_FALSE(waiting.IsHere());
  EXPECT_TRUE(held->Unlock(kLong).ok());
  const Set next = waiting.Get();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE(next->Valid());
}

TEST_P(Conformance, AnOwnerMayHoldALockMoreThanOnceWhenItAsks) {
  absl::StatusOr<Session> session = one().OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  Mutex mutex = session->mutex("a");
  const LockOptions again = {.wait = kLong, .owner = "me", .reentrant = true};
  Guard outer = mutex.Lock(again);
  ASSERT_TRUE(outer.ok()) << outer.status();
  {
    const Guard inner = mutex.Lock(again);
    ASSERT_TRUE(inner.ok()) << inner.status();
    EXPECT_EQ(inner->token(), outer->token());
    EXPECT_EQ(session->shared_mutex("a").Downgrade(*outer, kLong).code(),
              absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_TRUE(outer->Valid());
  EXPECT_FALSE(two().mutex("a").TryLock().ok());
  EXPECT_EQ(mutex.Lock({.wait = absl::ZeroDuration(), .owner = "another", .reentrant = true})
                .status()
                .code(),
            absl::StatusCode::kAborted);
  EXPECT_EQ(mutex.Lock({.wait = kLong, .reentrant = true}).status().code(),
            absl::StatusCode::kInvalidArgument)
      << "without an owner";
  // A break takes all holds.
  const Guard inner = mutex.Lock(again);
  ASSERT_TRUE(inner.ok()) << inner.status();
  Awaited<int> lost;
  const std::stop_callback on_lost(inner->lost(), [&] { lost.Callback()(1); });
  EXPECT_TRUE(two().BreakLock("a", outer->token(), "", kLong).ok());
  lost.Get();
  EXPECT_FALSE(outer->Valid() || inner->Valid());
  EXPECT_TRUE(two().mutex("a").Lock({.wait = kLong}).ok());
}

TEST_P(Conformance, OwnersThatWouldWaitForEachOtherAreRefused) {
  absl::StatusOr<Session> first = one().OpenSession(), second = two().OpenSession();
  ASSERT_TRUE(first.ok() && second.ok()) << first.status() << second.status();
  const LockOptions as_a = {.wait = kLong, .owner = "a", .detect_deadlock = true};
  const LockOptions as_b = {.wait = kLong, .owner = "b", .detect_deadlock = true};
  const Guard x = first->mutex("x").Lock(as_a);
  Guard y = second->mutex("y").Lock(as_b);
  ASSERT_TRUE(x.ok() && y.ok()) << x.status() << y.status();
  Awaited<Guard> waiting;
  first->mutex("y").Lock(as_a, waiting.Callback());
  AwaitWaiters(one(), "y", 1);

  const std::vector<WaitingOwner> cycle = {{second->id(), "b", "x"}, {first->id(), "a", "y"}};
  const absl::Status refused = second->mutex("x").Lock(as_b).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kAborted) << refused;
  EXPECT_EQ(KindOf(refused), ErrorKind::kRefused);
  EXPECT_EQ(DeadlockOf(refused), cycle);
  EXPECT_THAT(refused.message(), HasSubstr("owner 'b' of session"));
  EXPECT_EQ(DeadlockOf(second->shared_mutex("x").LockShared(as_b).status()), cycle);
  EXPECT_EQ(
      DeadlockOf(
          second->AcquireAll({{"z"}, {"x"}}, {.wait = kLong, .owner = "b", .detect_deadlock = true})
              .status()),
      cycle);
  EXPECT_TRUE(second->mutex("z").TryLock().ok()) << "nothing was left behind";
  EXPECT_EQ(DeadlockOf(second->mutex("x").TryLock().status()).size(), 0u);
  EXPECT_EQ(second->mutex("x").Lock({.wait = kLong, .detect_deadlock = true}).status().code(),
            absl::StatusCode::kInvalidArgument)
      << "without an owner";

  EXPECT_TRUE(y->Unlock(kLong).ok());
  EXPECT_TRUE(waiting.Get().ok()) << "who waited gets it when the other gives way";

  // A semaphore keeps nobody from it for ever while others could give back enough.
  const Guard permit = second->semaphore("s", 2).Acquire({.wait = kLong});
  const Guard own =
      first->semaphore("s", 2).Acquire({.wait = kLong, .owner = "a", .detect_deadlock = true});
  ASSERT_TRUE(permit.ok() && own.ok()) << permit.status() << own.status();
  EXPECT_EQ(
      DeadlockOf(first->semaphore("s", 2)
                     .Acquire({.permits = 2, .wait = kLong, .owner = "a", .detect_deadlock = true})
                     .status()),
      (std::vector<WaitingOwner>{{first->id(), "a", "s"}}));
  EXPECT_EQ(DeadlockOf(
                first->semaphore("s", 2)
                    .Acquire({.wait = absl::Milliseconds(1), .owner = "a", .detect_deadlock = true})
                    .status())
                .size(),
            0u)
      << "it may wait, if in vain";
}

TEST_P(Conformance, EveryFormOfSharedLocksAndSemaphores) {
  SharedMutex mutex = one().shared_mutex("a");
  Awaited<Guard> writer;
  mutex.TryLock(writer.Callback());
  Guard wrote = writer.Get();
  ASSERT_TRUE(wrote.ok()) << wrote.status();
  EXPECT_EQ(two().shared_mutex("a").TryLockShared().status().code(), absl::StatusCode::kAborted);
  Awaited<absl::Status> downgraded;
  mutex.Downgrade(*wrote, kLong, downgraded.Callback());
  EXPECT_TRUE(downgraded.Get().ok());
  Awaited<Guard> reader;
  two().shared_mutex("a").LockShared({.wait = kLong}, reader.Callback());
  EXPECT_TRUE(reader.Get().ok());
  EXPECT_EQ(two().shared_mutex("a").TryLock().status().code(), absl::StatusCode::kAborted);
  Awaited<absl::StatusOr<LockDescription>> seen;
  mutex.Inspect(kLong, seen.Callback());
  EXPECT_EQ(seen.Get()->holder.token, wrote->token());
  EXPECT_TRUE(mutex.Observe().Next(kLong).ok());
  Semaphore semaphore = one().semaphore("s", 2);
  const Guard permit = semaphore.TryAcquire();
  ASSERT_TRUE(permit.ok()) << permit.status();
  Awaited<Guard> many;
  semaphore.TryAcquire(2, many.Callback());
  EXPECT_EQ(many.Get().status().code(), absl::StatusCode::kAborted);
  Awaited<absl::StatusOr<LockDescription>> taken;
  semaphore.Inspect(kLong, taken.Callback());
  EXPECT_EQ(taken.Get()->permits, 1u);
  EXPECT_TRUE(semaphore.Observe().Next(kLong).ok());
}

}  // namespace
}  // namespace tenure::conformance
