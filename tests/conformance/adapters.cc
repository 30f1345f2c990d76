// Coroutines, and the standard library's locks.
#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "conformance/conformance.h"
#include "tenure/awaitable.h"
#include "tenure/election.h"
#include "tenure/lockable.h"
#include "tenure/mutex.h"
#include "tenure/session.h"
#include "testing/sanitized.h"

namespace tenure::conformance {
namespace {

constexpr absl::Duration kLong = absl::Seconds(20);

// Takes the lock, leads, is told so, and gives both back: each step a co_await.
Detached LockAndLead(Coordinator coordinator, Awaited<absl::Status>* told, Revision* token,
                     Revision* term) {
  auto tell = told->Callback();
  const LockOptions lock_options{.wait = kLong, .value = "in a coroutine"};
  absl::StatusOr<LockGuard> guard = co_await co::Lock(coordinator.mutex("a"), lock_options);
  if (!guard.ok()) co_return tell(guard.status());
  *token = guard->token();
  const CampaignOptions campaign_options{.value = "led", .wait = kLong};
  absl::StatusOr<Leadership> lead =
      co_await co::Campaign(coordinator.election("a"), campaign_options);
  if (!lead.ok()) co_return tell(lead.status());
  *term = lead->term();
  Observer observer = coordinator.election("a").Observe();
  const absl::StatusOr<News> news = co_await co::Next(observer, kLong);
  if (!news.ok()) co_return tell(news.status());
  EXPECT_EQ(news->holder.token, lead->term());
  EXPECT_EQ(news->holder.value, "led");
  const absl::Status resigned =
      co_await co::Await<absl::Status>([&](auto done) { lead->Resign(kLong, std::move(done)); });
  if (!resigned.ok()) co_return tell(resigned);
  tell(co_await co::Await<absl::Status>([&](auto done) { guard->Unlock(kLong, std::move(done)); }));
}

TEST_P(Conformance, CoroutinesWaitForEachCallInTurn) {
  absl::StatusOr<LockGuard> held = one().mutex("a").Lock({.wait = kLong});
  ASSERT_TRUE(held.ok()) << held.status();
  Awaited<absl::Status> told;
  Revision token = 0;
  Revision term = 0;
  LockAndLead(two(), &told, &token, &term);
  EXPECT_FALSE(told.IsHere()) << "the lock is held";
  const Revision first = held->token();
  ASSERT_TRUE(held->Unlock(kLong).ok());
  const absl::Status done = told.Get();
  EXPECT_TRUE(done.ok()) << done;
  EXPECT_GT(token, first);
  EXPECT_GT(term, token);
  const auto seen = one().election("a").Describe(kLong);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->leader.session, 0u);
}

Detached WaitForLock(Mutex mutex, std::stop_token cancel, Awaited<absl::Status>* told) {
  auto tell = told->Callback();
  const LockOptions options{.cancel = std::move(cancel)};
  const absl::StatusOr<LockGuard> guard = co_await co::Lock(std::move(mutex), options);
  tell(guard.status());
}

TEST_P(Conformance, AStopTokenCancelsACoroutinesWait) {
  absl::StatusOr<LockGuard> held = one().mutex("a").Lock({.wait = kLong});
  ASSERT_TRUE(held.ok()) << held.status();
  std::stop_source stop;
  Awaited<absl::Status> told;
  WaitForLock(two().mutex("a"), stop.get_token(), &told);
  EXPECT_FALSE(told.IsHere());
  stop.request_stop();
  EXPECT_EQ(told.Get().code(), absl::StatusCode::kCancelled);
  ASSERT_TRUE(held->Unlock(kLong).ok());
  EXPECT_TRUE(one().mutex("a").Lock({.wait = kLong}).ok());
}

// ---- The standard library's
// ------------------------------------------------------------------------

// Two threads name two locks in opposite orders; what they protect is moved to and fro.
TEST_P(Conformance, ScopedLocksInOppositeOrdersDoNotDeadlock) {
  constexpr int kRounds = testing::kSanitized ? 3 : 10;
  // Atomic for the thread sanitizer alone, which does not see through sockets: what is read and
  // written back is only right under the locks.
  std::atomic<int> here = 100;
  std::atomic<int> there = 100;
  const auto move = [&](Coordinator& coordinator, const char* first, const char* second, int by) {
    StdLockable a(coordinator.mutex(first));
    StdLockable b(coordinator.mutex(second));
    for (int i = 0; i < kRounds; ++i) {
      const std::scoped_lock both(a, b);
      EXPECT_TRUE(a.Valid() && b.Valid());
      EXPECT_NE(a.token(), b.token());
      const int before = here;
      std::this_thread::yield();
      here = before - by;
      there = there + by;
    }
    EXPECT_EQ(a.token(), 0u);
  };
  std::thread other([&] { move(two(), "std/b", "std/a", -3); });
  move(one(), "std/a", "std/b", 2);
  other.join();
  EXPECT_EQ(here, 100 + kRounds);
  EXPECT_EQ(there, 100 - kRounds);
}

TEST_P(Conformance, AUniqueLockThrowsWhatTheLockAnswers) {
  StdLockable mine(one().mutex("std"));
  std::unique_lock<StdLockable> held(mine);
  EXPECT_TRUE(held.owns_lock());
  EXPECT_GT(mine.token(), 0u);
  std::stop_source stop;
  stop.request_stop();
  StdLockable others(two().mutex("std"), {.cancel = stop.get_token()});
  try {
    const std::unique_lock<StdLockable> never(others);
    ADD_FAILURE() << "it is held";
  } catch (const LockError& error) {
    EXPECT_EQ(error.status().code(), absl::StatusCode::kCancelled) << error.what();
  }
  if (Has(Capability::kSteady)) {
    StdLockable tried(two().mutex("std"));
    EXPECT_FALSE(tried.try_lock());
  }
  held.unlock();
  StdLockable next(two().mutex("std"));
  const std::unique_lock<StdLockable> taken(next);
  EXPECT_TRUE(next.Valid());
  StdLockable unnamed(one().mutex(""));
  EXPECT_THROW(unnamed.try_lock(), LockError);
  EXPECT_THROW(StdLockable(Mutex()).lock(), LockError);
}

}  // namespace
}  // namespace tenure::conformance
