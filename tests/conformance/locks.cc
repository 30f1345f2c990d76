// Locks: taking, waiting, giving back.
#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/conformance.h"
#include "gmock/gmock.h"
#include "tenure/errors.h"
#include "tenure/fencing.h"
#include "tenure/mutex.h"
#include "tenure/session.h"
#include "testing/sanitized.h"

namespace tenure::conformance {
namespace {

using ::testing::HasSubstr;
using Guard = absl::StatusOr<LockGuard>;

constexpr std::int64_t kTtlNs = 60'000'000'000;

TEST_P(Conformance, LockAndUnlock) {
  Guard guard = one().mutex("a").Lock();
  ASSERT_TRUE(guard.ok()) << guard.status();
  EXPECT_EQ(guard->name(), "a");
  EXPECT_GT(guard->token(), 0u);
  EXPECT_LT(guard->token(), Revision{1} << 53);
  EXPECT_TRUE(guard->Valid());
  EXPECT_FALSE(guard->lost().stop_requested());
  EXPECT_TRUE(guard->Unlock().ok());
  EXPECT_FALSE(guard->Valid());
  EXPECT_EQ(guard->token(), 0u);
  EXPECT_EQ(guard->Unlock().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(Conformance, L21TokensRiseOverAllLocks) {
  FencingGate gate;
  Revision last = 0;
  for (int i = 0; i < 10; ++i) {
    Guard guard = (i % 2 == 0 ? one() : two()).mutex(i % 3 == 0 ? "a" : "b").Lock();
    ASSERT_TRUE(guard.ok()) << guard.status();
    EXPECT_GT(guard->token(), last);
    last = guard->token();
    EXPECT_TRUE(gate.Admit(last).ok());
    ASSERT_TRUE(guard->Unlock().ok());
  }
}

TEST_P(Conformance, TryTellsWhoHoldsIt) {
  absl::StatusOr<Session> session = one().OpenSession({.label = "host-3"});
  ASSERT_TRUE(session.ok()) << session.status();
  Guard held = session->mutex("invoices/42").Lock();
  ASSERT_TRUE(held.ok()) << held.status();
  const Guard refused = two().mutex("invoices/42").TryLock();
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(KindOf(refused.status()), ErrorKind::kRefused);
  EXPECT_THAT(refused.status().message(), HasSubstr("invoices/42 is held by host-3 (session "));
  EXPECT_THAT(refused.status().message(), HasSubstr(absl::StrCat("token ", held->token())));
}

TEST_P(Conformance, OneSessionContendsWithItself) {
  const Guard held = one().mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(one().mutex("a").TryLock().status().code(), absl::StatusCode::kAborted);
}

TEST_P(Conformance, WaitEndsWithTheGrant) {
  Guard held = one().mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  const Revision first = held->token();
  Awaited<Guard> waited;
  two().mutex("a").Lock({}, waited.Callback());
  ASSERT_TRUE(held->Unlock().ok());
  const Guard next = waited.Get();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_GT(next->token(), first);
}

TEST_P(Conformance, DestroyedGuardGivesBack) {
  {
    const Guard held = one().mutex("a").Lock();
    ASSERT_TRUE(held.ok());
  }
  EXPECT_TRUE(two().mutex("a").Lock({.wait = absl::Seconds(20)}).ok());
}

// Without an answer it ends with another error: so for long enough that a busy machine answers.
TEST_P(SteadyConformance, WaitEndsAtItsDeadline) {
  const Guard held = one().mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  const Guard late = two().mutex("a").Lock({.wait = absl::Seconds(2)});
  EXPECT_EQ(late.status().code(), absl::StatusCode::kAborted) << late.status();
  EXPECT_THAT(late.status().message(), HasSubstr("within 2s"));
}

// L14: who gave up waiting is not granted the lock later.
TEST_P(Conformance, L14NoGhostAfterADeadline) {
  Guard held = one().mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(two().mutex("a").Lock({.wait = absl::Milliseconds(20)}).ok());
  }
  ASSERT_TRUE(held->Unlock().ok());
  EXPECT_TRUE(one().mutex("a").Lock({.wait = absl::Seconds(20)}).ok());
}

TEST_P(Conformance, CancelEndsTheWait) {
  Guard held = one().mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  std::stop_source stop;
  Awaited<Guard> waited;
  two().mutex("a").Lock({.cancel = stop.get_token()}, waited.Callback());
  stop.request_stop();
  EXPECT_EQ(waited.Get().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(two().mutex("a").Lock({.cancel = stop.get_token()}).status().code(),
            absl::StatusCode::kCancelled);
  ASSERT_TRUE(held->Unlock().ok());
  EXPECT_TRUE(one().mutex("a").Lock({.wait = absl::Seconds(20)}).ok());
}

// L20: one release, one grant; the others hear nothing.
TEST_P(Conformance, L20HandOverIsFirstInFirstOutAndWakesOne) {
  Guard held = one().mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  constexpr std::size_t kWaiters = 20;
  std::vector<Session> sessions;
  std::vector<Awaited<Guard>> waits(kWaiters);
  for (std::size_t i = 0; i < kWaiters; ++i) {
    absl::StatusOr<Session> session = (i % 2 == 0 ? one() : two()).OpenSession();
    ASSERT_TRUE(session.ok()) << session.status();
    session->mutex("a").Lock({}, waits[i].Callback());
    sessions.push_back(*std::move(session));
    // The order in the queue is that of arrival: wait until it is there.
    for (;;) {
      const absl::StatusOr<LockDescription> seen = one().mutex("a").Inspect();
      ASSERT_TRUE(seen.ok()) << seen.status();
      if (seen->waiting == i + 1) break;
    }
  }
  Revision last = held->token();
  ASSERT_TRUE(held->Unlock().ok());
  for (std::size_t i = 0; i < kWaiters; ++i) {
    Guard next = waits[i].Get();
    ASSERT_TRUE(next.ok()) << next.status();
    EXPECT_GT(next->token(), last);
    last = next->token();
    for (std::size_t j = i + 1; j < kWaiters; ++j) EXPECT_FALSE(waits[j].IsHere()) << i << " " << j;
    ASSERT_TRUE(next->Unlock().ok());
  }
}

// Half of them leave while the holder dies: strict order among the rest, one grant each, and
// nothing left over. What is sent again after a fail-over may find another order.
TEST_P(SteadyConformance, L14_L20TenThousandWaitersAreServedInOrderThoughHalfLeave) {
  constexpr std::size_t kWaiters = testing::kSanitized ? 1'000 : 10'000;
  RawClient holder(two(), {1, 1});
  const SessionId session = holder.Get<SessionOpened>(OpenSession{kTtlNs, "holder"}).session;
  const Revision held =
      holder.Get<LockGranted>(AcquireLock{"a", kWaitForever, ""}, session, 1).token;
  struct Seen {
    std::mutex mutex;
    std::vector<std::size_t> granted;
    std::vector<Revision> tokens;
    std::size_t cancelled = 0;
    std::size_t others = 0;
  };
  const auto seen = std::make_shared<Seen>();
  Awaited<int> all;
  std::vector<std::stop_source> stops(kWaiters);
  absl::StatusOr<Session> waiters = one().OpenSession();
  ASSERT_TRUE(waiters.ok()) << waiters.status();
  Mutex mutex = waiters->mutex("a");
  for (std::size_t i = 0; i < kWaiters; ++i) {
    mutex.Lock({.cancel = stops[i].get_token()},
               [seen, i, done = all.Callback()](Guard guard) mutable {
                 const std::lock_guard<std::mutex> lock(seen->mutex);
                 if (guard.ok()) {
                   seen->granted.push_back(i);
                   seen->tokens.push_back(guard->token());
                 } else if (guard.status().code() == absl::StatusCode::kCancelled) {
                   ++seen->cancelled;
                 } else {
                   ++seen->others;
                 }
                 if (seen->granted.size() + seen->cancelled + seen->others == kWaiters) done(1);
               });  // its guard goes back when the callback returns
  }
  for (;;) {
    const absl::StatusOr<LockDescription> lock = two().mutex("a").Inspect(absl::Seconds(20));
    ASSERT_TRUE(lock.ok()) << lock.status();
    if (lock->waiting == kWaiters) break;
  }
  std::thread leaving([&stops] {
    for (std::size_t i = 1; i < kWaiters; i += 2) stops[i].request_stop();
  });
  holder.Get<SessionClosed>(CloseSession{}, session);
  leaving.join();
  all.Get();
  const std::lock_guard<std::mutex> lock(seen->mutex);
  EXPECT_EQ(seen->others, 0u);
  EXPECT_TRUE(std::is_sorted(seen->granted.begin(), seen->granted.end()));
  EXPECT_TRUE(std::is_sorted(seen->tokens.begin(), seen->tokens.end()));
  EXPECT_EQ(std::adjacent_find(seen->tokens.begin(), seen->tokens.end()), seen->tokens.end());
  EXPECT_GT(seen->tokens.front(), held);
  std::size_t stayed = 0;
  for (const std::size_t i : seen->granted) stayed += i % 2 == 0 ? 1 : 0;
  EXPECT_EQ(stayed, kWaiters / 2) << "who stayed was granted, each once";
  EXPECT_TRUE(two().mutex("a").Lock({.wait = absl::Seconds(20)}).ok()) << "a ghost has it";
}

TEST_P(Conformance, GuardsMove) {
  Guard a = one().mutex("a").Lock();
  Guard b = one().mutex("b").Lock();
  ASSERT_TRUE(a.ok() && b.ok());
  const Revision token = b->token();
  LockGuard moved = *std::move(a);
  EXPECT_EQ(moved.name(), "a");
  moved = *std::move(b);  // gives "a" back
  EXPECT_EQ(moved.name(), "b");
  EXPECT_EQ(moved.token(), token);
  EXPECT_TRUE(two().mutex("a").Lock({.wait = absl::Seconds(20)}).ok());
  EXPECT_EQ(two().mutex("b").TryLock().status().code(), absl::StatusCode::kAborted);
  moved = LockGuard();
  EXPECT_TRUE(two().mutex("b").Lock({.wait = absl::Seconds(20)}).ok());
}

TEST_P(Conformance, InspectShowsHolderAndQueue) {
  absl::StatusOr<LockDescription> seen = one().mutex("a").Inspect();
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->holder.session, 0u);

  absl::StatusOr<Session> session = one().OpenSession({.label = "holder"});
  ASSERT_TRUE(session.ok());
  const Guard held = session->mutex("a").Lock({.value = "why"});
  ASSERT_TRUE(held.ok());
  std::stop_source stop;
  Awaited<Guard> waited;
  two().mutex("a").Lock({.cancel = stop.get_token()}, waited.Callback());
  do {
    seen = one().mutex("a").Inspect();
    ASSERT_TRUE(seen.ok()) << seen.status();
  } while (seen->waiting == 0);
  EXPECT_EQ(seen->name, "a");
  EXPECT_EQ(seen->holder.session, session->id());
  EXPECT_EQ(seen->holder.token, held->token());
  EXPECT_EQ(seen->holder.label, "holder");
  if (Has(Capability::kValues)) {
    EXPECT_EQ(seen->holder.value, "why");
  }
  EXPECT_EQ(seen->waiters.size(), 1u);
  stop.request_stop();
  EXPECT_FALSE(waited.Get().ok());
}

TEST_P(Conformance, ListsArePaged) {
  std::vector<LockGuard> guards;
  for (int i = 0; i < 7; ++i) {
    Guard guard = one().mutex(absl::StrCat("list/", i)).Lock();
    ASSERT_TRUE(guard.ok());
    guards.push_back(*std::move(guard));
  }
  std::vector<std::string> names;
  std::string after;
  for (bool more = true; more;) {
    const absl::StatusOr<LockList> page = two().ListLocks(after, 3);
    ASSERT_TRUE(page.ok()) << page.status();
    ASSERT_LE(page->locks.size(), 3u);
    for (const LockDescription& lock : page->locks) names.push_back(lock.name);
    more = page->more;
    if (more) after = names.back();
  }
  EXPECT_THAT(names, ::testing::ElementsAre("list/0", "list/1", "list/2", "list/3", "list/4",
                                            "list/5", "list/6"));
  if (!Has(Capability::kSessions)) return;
  const absl::StatusOr<SessionList> sessions = two().ListSessions();
  ASSERT_TRUE(sessions.ok()) << sessions.status();
  ASSERT_EQ(sessions->sessions.size(), 1u);
  EXPECT_EQ(sessions->sessions[0].locks, 7u);
}

TEST_P(Conformance, StatusCounts) {
  const Guard held = one().mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  // It is what one member knows, which may be behind for a moment.
  absl::StatusOr<ClusterStatus> status;
  do {
    status = one().Status();
    ASSERT_TRUE(status.ok()) << status.status();
  } while (status->revision < held->token() || status->leader.empty());
  EXPECT_EQ(status->sessions, 1u);
  EXPECT_EQ(status->locks, 1u);
  EXPECT_FALSE(status->members.empty());
}

}  // namespace
}  // namespace tenure::conformance
