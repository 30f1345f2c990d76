// The leader dies or is cut off; nobody answers any more.
#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/conformance.h"
#include "gmock/gmock.h"
#include "tenure/mutex.h"
#include "tenure/session.h"

namespace tenure::conformance {
namespace {

using Guard = absl::StatusOr<LockGuard>;

constexpr absl::Duration kLong = absl::Seconds(20);

// What a change of leader must not do to a holder and the one who waits behind it.
void HoldersAndWaitersOutlive(Coordinator& one, Coordinator& two,
                              const std::function<void()>& change_leader) {
  Guard held = one.mutex("a").Lock({.value = "still mine"});
  ASSERT_TRUE(held.ok()) << held.status();
  Awaited<Guard> waited;
  two.mutex("a").Lock({}, waited.Callback());
  const Revision token = held->token();
  change_leader();
  EXPECT_TRUE(held->Valid());
  EXPECT_FALSE(held->lost().stop_requested());
  const absl::StatusOr<LockDescription> seen = two.mutex("a").Inspect(kLong);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->holder.token, token);
  EXPECT_EQ(seen->holder.value, "still mine");
  EXPECT_FALSE(waited.IsHere());
  EXPECT_TRUE(held->Unlock(kLong).ok());
  const Guard next = waited.Get();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_GT(next->token(), token);
}

// L3.
TEST_P(Conformance, L3LocksAndWaitsOutliveTheirLeader) {
  NEEDS(Capability::kLeaderKill);
  HoldersAndWaitersOutlive(one(), two(), [this] { fixture().KillLeader(); });
}

TEST_P(Conformance, L3LocksAndWaitsOutliveADeposedLeader) {
  NEEDS(Capability::kLeaderCut);
  HoldersAndWaitersOutlive(one(), two(), [this] { fixture().DeposeLeader(); });
}

TEST_P(Conformance, WaitersKeepTheirPlacesWhenTheLeaderDies) {
  NEEDS(Capability::kLeaderKill);
  Guard held = one().mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  constexpr std::size_t kWaiters = 8;
  std::vector<Awaited<Guard>> waits(kWaiters);
  for (std::size_t i = 0; i < kWaiters; ++i) {
    (i % 2 == 0 ? one() : two()).mutex("a").Lock({}, waits[i].Callback());
    for (;;) {
      const absl::StatusOr<LockDescription> seen = one().mutex("a").Inspect();
      ASSERT_TRUE(seen.ok()) << seen.status();
      if (seen->waiting == i + 1) break;
    }
  }
  fixture().KillLeader();
  Revision last = held->token();
  ASSERT_TRUE(held->Unlock(kLong).ok());
  for (std::size_t i = 0; i < kWaiters; ++i) {
    Guard next = waits[i].Get();
    ASSERT_TRUE(next.ok()) << next.status();
    EXPECT_GT(next->token(), last);
    last = next->token();
    for (std::size_t j = i + 1; j < kWaiters; ++j) EXPECT_FALSE(waits[j].IsHere()) << i << " " << j;
    ASSERT_TRUE(next->Unlock(kLong).ok());
  }
}

// The counter is exact, whenever the leader goes.
TEST_P(Conformance, ExclusiveWhileTheLeaderDies) {
  NEEDS(Capability::kLeaderKill);
  constexpr int kThreads = 4;
  constexpr int kRounds = 100;
  std::atomic<int> counter = 0;
  std::atomic<int> inside = 0;
  Awaited<int> halfway;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Mutex mutex = (t % 2 == 0 ? one() : two()).mutex("counter");
      for (int i = 0; i < kRounds; ++i) {
        Guard guard = mutex.Lock({.wait = absl::Seconds(30)});
        ASSERT_TRUE(guard.ok()) << guard.status();
        EXPECT_EQ(inside.fetch_add(1), 0);
        if (counter.fetch_add(1) == kThreads * kRounds / 2) halfway.Callback()(1);
        inside.fetch_sub(1);
        EXPECT_TRUE(guard->Unlock(kLong).ok());
      }
    });
  }
  halfway.Get();
  fixture().KillLeader();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.load(), kThreads * kRounds);
}

// Commands that were applied before the leader died are answered by the next one as they were.
TEST_P(Conformance, RetriesOverAFailOverTakeEffectOnce) {
  NEEDS(Capability::kLeaderKill);
  RawClient client(one(), {5, 6});
  const OpenSession open{30'000'000'000, "raw"};
  const SessionId session = client.Get<SessionOpened>(open).session;
  const AcquireLock a{"a", 0, ""};
  const AcquireLock b{"b", 0, ""};
  const Revision token_a = client.Get<LockGranted>(a, session, 1).token;
  const Revision token_b = client.Get<LockGranted>(b, session, 2).token;
  client.Get<LockReleased>(ReleaseLock{"b", token_b}, session, 3);
  fixture().KillLeader();
  EXPECT_EQ(client.Get<SessionOpened>(open).session, session);
  EXPECT_EQ(client.Get<LockGranted>(a, session, 1).token, token_a);
  EXPECT_EQ(client.Get<LockGranted>(b, session, 2).token, token_b);
  client.Get<LockReleased>(ReleaseLock{"b", token_b}, session, 3);
  const absl::StatusOr<LockList> locks = two().ListLocks();
  ASSERT_TRUE(locks.ok()) << locks.status();
  ASSERT_EQ(locks->locks.size(), 1u);
  EXPECT_EQ(locks->locks[0].holder.token, token_a);
  // And what is new gets a higher token.
  EXPECT_GT(client.Get<LockGranted>(b, session, 4).token, token_b);
}

// A dead holder is found although the leader that granted it died after it.
TEST_P(Conformance, L2ADeadHolderIsFoundByTheNextLeader) {
  NEEDS(Capability::kLeaderKill);
  RawClient dead(two(), {7, 8});
  const SessionId session = dead.Get<SessionOpened>(OpenSession{1'000'000'000, "dead"}).session;
  const Revision token = dead.Get<LockGranted>(AcquireLock{"a", 0, ""}, session, 1).token;
  fixture().KillLeader();
  const Guard next = one().mutex("a").Lock({.wait = absl::Seconds(30)});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_GT(next->token(), token);
}

// ---- Nobody answers
// --------------------------------------------------------------------------------

// Safe, then in jeopardy, then expired: by the holder's own clock, as nobody can tell it.
TEST_P(Conformance, AnOutageEndsASessionByItsOwnDeadline) {
  NEEDS(Capability::kOutage);
  absl::StatusOr<Session> session = one().OpenSession({.ttl = absl::Seconds(1)});
  ASSERT_TRUE(session.ok()) << session.status();
  Guard held = session->mutex("a").Lock();
  ASSERT_TRUE(held.ok()) << held.status();
  std::mutex mutex;
  std::vector<SessionState> states;
  Awaited<int> expired;
  session->Watch([&, tell = expired.Callback()](SessionState state) {
    const std::lock_guard<std::mutex> lock(mutex);
    states.push_back(state);
    if (state == SessionState::kExpired) tell(1);
  });
  Awaited<int> lost;
  const std::stop_callback on_lost(held->lost(), [tell = lost.Callback()] { tell(1); });
  Awaited<Guard> waited;
  session->mutex("b").Lock({}, waited.Callback());
  ASSERT_TRUE(waited.Get().ok());
  Awaited<Guard> queued;
  session->mutex("a").Lock({}, queued.Callback());

  fixture().TakeDown();
  lost.Get();
  expired.Get();
  {
    const std::lock_guard<std::mutex> lock(mutex);
    // A machine under load may have been in jeopardy before.
    ASSERT_GE(states.size(), 2u);
    EXPECT_EQ(states[states.size() - 2], SessionState::kJeopardy);
    EXPECT_EQ(states.back(), SessionState::kExpired);
  }
  EXPECT_EQ(session->state(), SessionState::kExpired);
  EXPECT_FALSE(held->Valid());
  EXPECT_FALSE(session->Valid());
  EXPECT_EQ(session->remaining(), absl::ZeroDuration());
  EXPECT_EQ(queued.Get().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(session->mutex("c").Lock().status().code(), absl::StatusCode::kFailedPrecondition);
}

// L17: handles go, whoever does not answer; what is under way ends.
TEST_P(Conformance, L17HandlesGoThoughNobodyAnswers) {
  NEEDS(Capability::kOutage);
  Coordinator third = fixture().Connect();
  absl::StatusOr<Session> session = third.OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  Guard held = session->mutex("a").Lock();
  ASSERT_TRUE(held.ok()) << held.status();
  Awaited<Guard> queued;
  session->mutex("a").Lock({}, queued.Callback());
  fixture().TakeDown();
  Awaited<Guard> asked;
  third.mutex("b").Lock({}, asked.Callback());
  Awaited<absl::Status> unlocked;
  held->Unlock(absl::InfiniteDuration(), unlocked.Callback());
  Awaited<absl::Status> closed;
  session->Close(absl::InfiniteDuration(), closed.Callback());
  *held = LockGuard();
  *session = Session();
  third = Coordinator();
  EXPECT_FALSE(queued.Get().ok());
  EXPECT_FALSE(asked.Get().ok());
  EXPECT_FALSE(unlocked.Get().ok());
  EXPECT_FALSE(closed.Get().ok());
}

// A call that nobody answers ends at its limit, and says that nothing happened.
TEST_P(Conformance, CallsEndThoughNobodyAnswers) {
  NEEDS(Capability::kOutage);
  absl::StatusOr<Session> session = two().OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  fixture().TakeDown();
  const absl::Duration limit = absl::Milliseconds(300);
  EXPECT_EQ(one().mutex("a").Lock({.wait = limit}).status().code(), absl::StatusCode::kUnavailable)
      << "by the implicit session, which cannot be opened";
  EXPECT_EQ(session->mutex("a").Lock({.wait = limit}).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(one().OpenSession({.open_timeout = limit}).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(one().ListLocks("", 1, limit).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace tenure::conformance
