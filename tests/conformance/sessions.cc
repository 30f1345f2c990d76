// Sessions: their lifetimes and their ends; many waits at once.
#include <dirent.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/conformance.h"
#include "conformance/unreliable.h"
#include "tenure/awaitable.h"
#include "tenure/mutex.h"
#include "tenure/session.h"

namespace tenure::conformance {
namespace {

using Guard = absl::StatusOr<LockGuard>;

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

// ---- Openings that are cancelled
// -------------------------------------------------------------------

using Opened = absl::StatusOr<Session>;

// The cluster has opened it when its opener leaves; then its answer comes. `open` asks for it.
template <typename Ask>
void CancelLate(Coordinator& coordinator, const Ask& open) {
  Unreliable way(coordinator);
  Coordinator client = way.Connect();
  Awaited<SessionId> closed;
  way.SetJudge([tell = closed.Callback()](const Command& command) mutable {
    if (Is<CloseSession>(command)) tell(command.session);
    return Is<OpenSession>(command) ? Unreliable::Fate::kHoldReply : Unreliable::Fate::kPass;
  });
  std::stop_source stop;
  Awaited<Opened> opened;
  // A leak would outlast the test.
  open(client, {.ttl = absl::Seconds(60), .cancel = stop.get_token()}, opened.Callback());
  way.AwaitHeld();
  EXPECT_FALSE(opened.IsHere());
  stop.request_stop();
  EXPECT_EQ(opened.Get().status().code(), absl::StatusCode::kCancelled) << "without the answer";
  EXPECT_FALSE(closed.IsHere()) << "it is not known to be open yet";
  way.Release();
  const SessionId session = closed.Get();
  EXPECT_NE(session, 0u);
  for (;;) {
    const absl::StatusOr<SessionList> all = coordinator.ListSessions();
    ASSERT_TRUE(all.ok()) << all.status();
    if (all->sessions.empty()) break;
    EXPECT_EQ(all->sessions.front().session, session);
  }
}

TEST_P(SteadyConformance, ACancelledOpeningLeavesNoSession) {
  NEEDS(Capability::kSessions);
  CancelLate(one(), [](Coordinator& client, SessionOptions options, auto done) {
    client.OpenSession(std::move(options), std::move(done));
  });
}

TEST_P(SteadyConformance, ACancelledBlockingOpeningLeavesNoSession) {
  NEEDS(Capability::kSessions);
  std::thread blocked;
  CancelLate(one(), [&](Coordinator& client, SessionOptions options, auto done) {
    blocked = std::thread([client, options = std::move(options), done]() mutable {
      done(client.OpenSession(std::move(options)));
    });
  });
  blocked.join();
}

Detached OpenInACoroutine(Coordinator client, SessionOptions options,
                          absl::AnyInvocable<void(Opened)> done) {
  done(co_await co::OpenSession(std::move(client), options));
}

TEST_P(SteadyConformance, ACoroutinesCancelledOpeningLeavesNoSession) {
  NEEDS(Capability::kSessions);
  CancelLate(one(), [](Coordinator& client, SessionOptions options, auto done) {
    OpenInACoroutine(client, std::move(options), std::move(done));
  });
}

TEST_P(Conformance, AnOpeningThatIsCancelledBeforeIsNotAskedFor) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(one().OpenSession({.cancel = stop.get_token()}).status().code(),
            absl::StatusCode::kCancelled);
  // And who was answered first has its session, whatever is cancelled later.
  std::stop_source late;
  const Opened session = one().OpenSession({.cancel = late.get_token()});
  ASSERT_TRUE(session.ok()) << session.status();
  late.request_stop();
  EXPECT_TRUE(session->Valid());
  EXPECT_TRUE(session->mutex("a").TryLock().ok());
}

// ---- Their ends
// ------------------------------------------------------------------------------------

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
  const SessionId session = dead.Get<SessionOpened>(OpenSession{1'000'000'000, "dead"}).session;
  const Revision token = dead.Get<LockGranted>(AcquireLock{"a", 0, ""}, session, 1).token;
  EXPECT_FALSE(one().mutex("a").TryLock().ok());
  const Guard next = one().mutex("a").Lock({.wait = absl::Seconds(30)});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_GT(next->token(), token);
  EXPECT_EQ(dead.Do(RenewSession{1}, session).code, ReplyCode::kSessionEnded);
}

// A fail-over may take longer than so short a lease.
TEST_P(SteadyConformance, RenewalKeepsAShortSession) {
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
  RawClient(two(), FirstKey(kSeed)).Get<SessionClosed>(CloseSession{}, session->id());

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
  RawClient(two(), FirstKey(kSeed)).Get<SessionClosed>(CloseSession{}, seen->holder.session);
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
  if (!Has(Capability::kSessions)) return;
  const absl::StatusOr<SessionList> sessions = one().ListSessions();
  ASSERT_TRUE(sessions.ok());
  EXPECT_EQ(sessions->sessions.size(), 1u);
}

TEST_P(Conformance, ExclusiveAmongThreads) {
  // Read and written apart: what another holder does in between would be lost. Atomic all the same,
  // as a lock elsewhere orders nothing that a sanitizer can see.
  std::atomic<int> counter = 0;
  std::atomic<Revision> last = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([this, t, &counter, &last] {
      Mutex mutex = (t % 2 == 0 ? one() : two()).mutex("counter");
      for (int i = 0; i < 50; ++i) {
        const Guard guard = mutex.Lock({.wait = absl::Seconds(30)});
        ASSERT_TRUE(guard.ok()) << guard.status();
        const int count = counter.load();
        EXPECT_GT(guard->token(), last.load());
        last.store(guard->token());
        counter.store(count + 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.load(), 300);
}

// L18: a thousand waits cost no thread.
TEST_P(Conformance, L18AThousandWaitsCostNoThread) {
  constexpr int kWaits = 1000;
  Guard held = one().mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  ASSERT_TRUE(two().mutex("b").TryLock().ok());  // all threads that there will be have been started
  const int before = Threads();
  // Each gives its lock to the next. They arrive in some order, if a leader dies meanwhile.
  std::atomic<int> unlocked = 0;
  std::atomic<Revision> last = 0;
  Awaited<int> all;
  for (int i = 0; i < kWaits; ++i) {
    two().mutex("a").Lock({.wait = absl::Seconds(60)}, [&, tell = all.Callback()](Guard guard) {
      ASSERT_TRUE(guard.ok()) << guard.status();
      EXPECT_GT(guard->token(), last.exchange(guard->token()));
      guard->Unlock(absl::Seconds(20), [&unlocked, tell](absl::Status status) {
        EXPECT_TRUE(status.ok()) << status;
        if (++unlocked == kWaits) tell(1);
      });
    });
  }
  for (;;) {
    const absl::StatusOr<LockDescription> seen = one().mutex("a").Inspect();
    ASSERT_TRUE(seen.ok()) << seen.status();
    if (seen->waiting == kWaits) break;
  }
  EXPECT_LE(Threads(), before + fixture().ThreadSlack());
  ASSERT_TRUE(held->Unlock(absl::Seconds(20)).ok());
  all.Get();
}

}  // namespace
}  // namespace tenure::conformance
