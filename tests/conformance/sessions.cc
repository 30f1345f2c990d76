// Sessions: their lifetimes and their ends; many waits at once.
#include <dirent.h>

#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/conformance.h"
#include "tenure/mutex.h"
#include "tenure/session.h"

namespace tenure::conformance {
namespace {

using Guard = absl::StatusOr<LockGuard>;

// A client that sends single commands, and may be silent for ever after.
class RawClient {
 public:
  explicit RawClient(Coordinator coordinator, InstanceKey key)
      : coordinator_(std::move(coordinator)), key_(key) {}

  Reply Do(Operation operation, SessionId session = 0, Sequence sequence = 0) {
    Command command;
    command.session = session;
    command.sequence = sequence;
    command.key = key_;
    command.operation = std::move(operation);
    Awaited<absl::StatusOr<Reply>> answer;
    coordinator_.backend()->Call(std::move(command), {}, answer.Callback());
    absl::StatusOr<Reply> reply = answer.Get();
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? *std::move(reply) : Reply();
  }

 private:
  Coordinator coordinator_;
  InstanceKey key_;
};

int Threads() {
  DIR* const dir = opendir("/proc/self/task");
  if (dir == nullptr) return 0;
  int count = 0;
  while (readdir(dir) != nullptr) ++count;
  closedir(dir);
  return count;
}

TEST_P(Conformance, SessionsAreApart) {
  absl::StatusOr<Session> a = one().OpenSession();
  absl::StatusOr<Session> b = one().OpenSession();
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_NE(a->id(), b->id());
  EXPECT_EQ(a->state(), SessionState::kSafe);
  EXPECT_TRUE(a->Valid());
  EXPECT_GT(a->remaining(), absl::Seconds(1));
  EXPECT_LT(a->remaining(), absl::Seconds(10));
  const Guard held = a->mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(b->mutex("a").TryLock().status().code(), absl::StatusCode::kAborted);
}

TEST_P(Conformance, CloseGivesAllBack) {
  absl::StatusOr<Session> session = one().OpenSession();
  ASSERT_TRUE(session.ok());
  Guard a = session->mutex("a").Lock();
  const Guard b = session->mutex("b").Lock();
  ASSERT_TRUE(a.ok() && b.ok());
  Awaited<Guard> waited;
  session->mutex("a").Lock({}, waited.Callback());
  EXPECT_TRUE(session->Close().ok());
  EXPECT_EQ(waited.Get().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(session->state(), SessionState::kClosed);
  EXPECT_FALSE(session->Valid());
  EXPECT_FALSE(a->Valid());
  EXPECT_FALSE(session->lost().stop_requested()) << "its owner closed it: that is no loss";
  EXPECT_EQ(session->mutex("a").Lock().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(a->Unlock().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(session->Close().ok()) << "harmless to repeat";
  EXPECT_TRUE(two().mutex("a").Lock({.wait = absl::Seconds(20)}).ok());
  EXPECT_TRUE(two().mutex("b").Lock({.wait = absl::Seconds(20)}).ok());
}

TEST_P(Conformance, LastHandleClosesTheSession) {
  absl::StatusOr<Session> session = one().OpenSession();
  ASSERT_TRUE(session.ok());
  Guard held = session->mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  *session = Session();
  EXPECT_TRUE(held->Valid()) << "the guard keeps it";
  *held = LockGuard();
  EXPECT_TRUE(two().mutex("a").Lock({.wait = absl::Seconds(20)}).ok());
}

TEST_P(Conformance, HandlesOutliveTheCoordinator) {
  Coordinator third = fixture().Connect();
  Mutex mutex = third.mutex("a");
  third = Coordinator();
  Guard held = mutex.Lock();
  ASSERT_TRUE(held.ok()) << held.status();
  mutex = Mutex();
  EXPECT_TRUE(held->Valid());
  EXPECT_TRUE(held->Unlock().ok());
}

TEST_P(Conformance, EmptyHandlesRefuse) {
  EXPECT_EQ(Coordinator().mutex("a").Lock().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Coordinator().OpenSession().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Session().Close().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(LockGuard().Unlock().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(Session().Valid());
}

// A dead client's lock goes to the next when its lease is over, and not before.
TEST_P(Conformance, SilentSessionExpires) {
  RawClient dead(two(), {1, 2});
  const Reply opened = dead.Do(OpenSession{1'000'000'000, "dead"});
  ASSERT_TRUE(std::holds_alternative<SessionOpened>(opened.result)) << opened.message;
  const SessionId session = std::get<SessionOpened>(opened.result).session;
  const Reply granted = dead.Do(AcquireLock{"a", 0, ""}, session, 1);
  ASSERT_TRUE(std::holds_alternative<LockGranted>(granted.result)) << granted.message;
  EXPECT_FALSE(one().mutex("a").TryLock().ok());
  const Guard next = one().mutex("a").Lock({.wait = absl::Seconds(30)});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_GT(next->token(), std::get<LockGranted>(granted.result).token);
  EXPECT_EQ(dead.Do(RenewSession{1}, session).code, ReplyCode::kSessionEnded);
}

TEST_P(Conformance, RenewalKeepsAShortSession) {
  absl::StatusOr<Session> session = one().OpenSession({.ttl = absl::Seconds(1)});
  ASSERT_TRUE(session.ok());
  const Guard held = session->mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  // Someone waits longer than the lease lasts by itself, in vain.
  EXPECT_EQ(two().mutex("a").Lock({.wait = absl::Seconds(2)}).status().code(),
            absl::StatusCode::kAborted);
  EXPECT_TRUE(held->Valid());
}

// The cluster's verdict that a session has ended reaches its holder.
TEST_P(Conformance, LossIsTold) {
  constexpr std::uint64_t kSeed = 7;
  Coordinator third = fixture().Connect({.seed = kSeed});
  absl::StatusOr<Session> session = third.OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  Guard held = session->mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  Awaited<int> lost;
  const std::stop_callback on_lost(held->lost(), [tell = lost.Callback()] { tell(1); });
  Awaited<SessionState> state;
  session->Watch(state.Callback());
  Awaited<Guard> waited;
  session->mutex("a").Lock({}, waited.Callback());

  // Somebody else, who knows its key, ends it.
  std::mt19937_64 random(kSeed);
  const std::uint64_t high = random();
  RawClient thief(two(), {high, random()});
  ASSERT_TRUE(
      std::holds_alternative<SessionClosed>(thief.Do(CloseSession{}, session->id()).result));

  lost.Get();
  EXPECT_EQ(waited.Get().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(state.Get(), SessionState::kExpired);
  EXPECT_FALSE(held->Valid());
  EXPECT_EQ(session->state(), SessionState::kExpired);
  EXPECT_EQ(held->Unlock().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(session->mutex("b").TryLock().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(Conformance, ImplicitSessionIsOpenedAnewAfterItsLoss) {
  constexpr std::uint64_t kSeed = 8;
  Coordinator third = fixture().Connect({.seed = kSeed});
  Guard held = third.mutex("a").Lock({.value = "mine"});
  ASSERT_TRUE(held.ok());
  Awaited<int> lost;
  const std::stop_callback on_lost(held->lost(), [tell = lost.Callback()] { tell(1); });
  const absl::StatusOr<LockDescription> seen = third.mutex("a").Inspect();
  ASSERT_TRUE(seen.ok());
  std::mt19937_64 random(kSeed);
  const std::uint64_t high = random();
  RawClient(two(), {high, random()}).Do(CloseSession{}, seen->holder.session);
  lost.Get();
  const Guard again = third.mutex("a").Lock({.wait = absl::Seconds(20)});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(held->Valid());
  EXPECT_TRUE(again->Valid());
}

TEST_P(Conformance, ConcurrentFirstUsersShareOneSession) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this, i] {
      const Guard guard = one().mutex(absl::StrCat("first/", i)).Lock({.wait = absl::Seconds(20)});
      EXPECT_TRUE(guard.ok()) << guard.status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (!fixture().Has(Capability::kSessions)) return;
  const absl::StatusOr<SessionList> sessions = one().ListSessions();
  ASSERT_TRUE(sessions.ok());
  EXPECT_EQ(sessions->sessions.size(), 1u);
}

TEST_P(Conformance, ExclusiveAmongThreads) {
  int counter = 0;
  Revision last = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([this, t, &counter, &last] {
      Mutex mutex = (t % 2 == 0 ? one() : two()).mutex("counter");
      for (int i = 0; i < 50; ++i) {
        const Guard guard = mutex.Lock({.wait = absl::Seconds(30)});
        ASSERT_TRUE(guard.ok()) << guard.status();
        EXPECT_GT(guard->token(), last);
        last = guard->token();
        ++counter;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, 300);
}

// L18: a thousand waits cost no thread.
TEST_P(Conformance, L18AThousandWaitsCostNoThread) {
  constexpr std::size_t kWaits = 1000;
  Guard held = one().mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  ASSERT_TRUE(two().mutex("b").TryLock().ok());  // all threads that there will be have been started
  const int before = Threads();
  std::vector<Awaited<Guard>> waits(kWaits);
  for (std::size_t i = 0; i < kWaits; ++i) {
    two().mutex("a").Lock({.wait = absl::Seconds(60)}, waits[i].Callback());
  }
  for (;;) {
    const absl::StatusOr<LockDescription> seen = one().mutex("a").Inspect();
    ASSERT_TRUE(seen.ok()) << seen.status();
    if (seen->waiting == kWaits) break;
  }
  EXPECT_LE(Threads(), before + fixture().ThreadSlack());
  ASSERT_TRUE(held->Unlock().ok());
  Revision last = 0;
  for (Awaited<Guard>& wait : waits) {
    Guard guard = wait.Get();
    ASSERT_TRUE(guard.ok()) << guard.status();
    EXPECT_GT(guard->token(), last);
    last = guard->token();
    guard->Unlock(absl::Seconds(20),
                  [](absl::Status status) { EXPECT_TRUE(status.ok()) << status; });
  }
}

// A lock survives the death of the leader that granted it; waits go on, unlocks take effect once.
TEST_P(Conformance, LeaderKilled) {
  Guard held = one().mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  Awaited<Guard> waited;
  two().mutex("a").Lock({}, waited.Callback());
  if (!fixture().KillLeader()) GTEST_SKIP() << "no leader that could be killed";
  const Revision token = held->token();
  EXPECT_TRUE(held->Valid());
  EXPECT_FALSE(waited.IsHere());
  EXPECT_TRUE(held->Unlock(absl::Seconds(20)).ok());
  const Guard next = waited.Get();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_GT(next->token(), token);
}

}  // namespace
}  // namespace tenure::conformance
