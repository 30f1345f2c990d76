// The forms of each call, what they take, and what they refuse.
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "conformance/conformance.h"
#include "gmock/gmock.h"
#include "tenure/errors.h"
#include "tenure/mutex.h"
#include "tenure/session.h"

namespace tenure::conformance {
namespace {

using Guard = absl::StatusOr<LockGuard>;

constexpr absl::Duration kLong = absl::Seconds(20);

// Each call that a blocking test makes, in its callback form.
TEST_P(Conformance, EachCallHasACallbackForm) {
  Awaited<absl::StatusOr<Session>> opened;
  one().OpenSession({.label = "forms"}, opened.Callback());
  absl::StatusOr<Session> session = opened.Get();
  ASSERT_TRUE(session.ok()) << session.status();

  Mutex mutex = session->mutex("a");
  Awaited<Guard> locked;
  mutex.Lock({.wait = kLong, .value = "v"}, locked.Callback());
  Guard guard = locked.Get();
  ASSERT_TRUE(guard.ok()) << guard.status();
  Awaited<Guard> tried;
  two().mutex("a").TryLock(tried.Callback());
  EXPECT_EQ(tried.Get().status().code(), absl::StatusCode::kAborted);

  Awaited<absl::StatusOr<LockDescription>> inspected;
  mutex.Inspect(kLong, inspected.Callback());
  const absl::StatusOr<LockDescription> seen = inspected.Get();
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->holder.token, guard->token());

  Awaited<absl::StatusOr<LockList>> locks;
  two().ListLocks("", 10, kLong, locks.Callback());
  const absl::StatusOr<LockList> listed = locks.Get();
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->locks.size(), 1u);
  EXPECT_EQ(listed->locks[0].name, "a");
  if (Has(Capability::kSessions)) {
    Awaited<absl::StatusOr<SessionList>> sessions;
    two().ListSessions(0, 10, kLong, sessions.Callback());
    const absl::StatusOr<SessionList> all = sessions.Get();
    ASSERT_TRUE(all.ok()) << all.status();
    EXPECT_EQ(all->sessions.size(), 2u);
  }
  Awaited<absl::StatusOr<ClusterStatus>> status;
  one().Status(kLong, status.Callback());
  EXPECT_TRUE(status.Get().ok());

  Awaited<absl::Status> unlocked;
  guard->Unlock(kLong, unlocked.Callback());
  EXPECT_TRUE(unlocked.Get().ok());
  Awaited<absl::Status> closed;
  session->Close(kLong, closed.Callback());
  EXPECT_TRUE(closed.Get().ok());
  EXPECT_EQ(session->state(), SessionState::kClosed);
}

// A callback may go on with the next call; a blocking one would wait for itself there, and says so.
TEST_P(Conformance, CallbacksCallOnButDoNotBlock) {
  Guard held = one().mutex("a").Lock();
  ASSERT_TRUE(held.ok());
  Awaited<absl::Status> blocked;
  Awaited<absl::Status> done;
  two().mutex("a").Lock(
      {}, [this, tell = blocked.Callback(), then = done.Callback()](Guard guard) mutable {
        tell(two().mutex("b").Lock().status());
        ASSERT_TRUE(guard.ok());
        guard->Unlock(kLong, std::move(then));
      });
  ASSERT_TRUE(held->Unlock(kLong).ok());
  EXPECT_EQ(blocked.Get().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(done.Get().ok());
}

TEST_P(Conformance, EmptyHandlesRefuse) {
  const auto refused = absl::StatusCode::kFailedPrecondition;
  EXPECT_EQ(Coordinator().mutex("a").Lock().status().code(), refused);
  EXPECT_EQ(Coordinator().OpenSession().status().code(), refused);
  EXPECT_EQ(Coordinator().Status().status().code(), refused);
  EXPECT_EQ(Session().mutex("a").TryLock().status().code(), refused);
  EXPECT_EQ(Session().Close().code(), refused);
  EXPECT_EQ(LockGuard().Unlock().code(), refused);
  Awaited<absl::StatusOr<LockList>> listed;
  Coordinator().ListLocks("", 1, kLong, listed.Callback());
  EXPECT_EQ(listed.Get().status().code(), refused);
  EXPECT_FALSE(Session().Valid());
  EXPECT_FALSE(LockGuard().Valid());
}

// ---- Limits
// ----------------------------------------------------------------------------------------

TEST_P(Conformance, NamesValuesAndLabelsHaveLimits) {
  const auto with_name = [this](std::size_t bytes) {
    return one().mutex(std::string(bytes, 'n')).Lock({.wait = kLong}).status().code();
  };
  const auto with_value = [this](std::size_t bytes) {
    const Guard guard =
        one().mutex("value").Lock({.wait = kLong, .value = std::string(bytes, 'v')});
    return guard.status().code();
  };
  const auto with_label = [this](std::size_t bytes) {
    return one().OpenSession({.label = std::string(bytes, 'l')}).status().code();
  };
  EXPECT_EQ(with_name(0), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(with_name(512), absl::StatusCode::kOk);
  EXPECT_EQ(with_name(513), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(with_name(100'000), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(with_value(4096), absl::StatusCode::kOk);
  EXPECT_EQ(with_value(4097), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(with_value(100'000), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(with_label(256), absl::StatusCode::kOk);
  EXPECT_EQ(with_label(257), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(one().mutex(std::string(513, 'n')).Inspect().status().code(),
            absl::StatusCode::kInvalidArgument);
  // Any bytes make a name.
  EXPECT_TRUE(one().mutex(std::string("\0\xff/ \n", 5)).Lock({.wait = kLong}).ok());
  // Nothing of what was refused is left.
  const absl::StatusOr<LockList> locks = two().ListLocks();
  ASSERT_TRUE(locks.ok()) << locks.status();
  for (const LockDescription& lock : locks->locks) EXPECT_LE(lock.name.size(), 512u);
}

TEST_P(Conformance, WaitsAndTtlsThatMakeNoSenseAreRefused) {
  const auto code = [this](absl::Duration ttl) {
    return one().OpenSession({.ttl = ttl}).status().code();
  };
  EXPECT_EQ(one().mutex("a").Lock({.wait = -absl::Seconds(1)}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(absl::ZeroDuration()), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(-absl::Seconds(1)), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(absl::InfiniteDuration()), absl::StatusCode::kInvalidArgument);
}

TEST_P(Conformance, TtlsAreClamped) {
  RawClient client(one(), {3, 4});
  EXPECT_EQ(client.Get<SessionOpened>(OpenSession{1'000'000, "short"}).ttl_ns, 1'000'000'000);
  const absl::StatusOr<Session> longest = one().OpenSession({.ttl = absl::Hours(10)});
  ASSERT_TRUE(longest.ok()) << longest.status();
  EXPECT_GT(longest->remaining(), absl::Seconds(10));
  EXPECT_LT(longest->remaining(), absl::Seconds(60));
}

// ---- Forked children
// -------------------------------------------------------------------------------

// A child has neither the parent's threads nor its sessions: it is refused, and destroys nothing.
TEST_P(Conformance, AForkedChildIsRefused) {
  Coordinator third = fixture().Connect();
  absl::StatusOr<Session> session = third.OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  Mutex mutex = session->mutex("a");
  Guard guard = mutex.Lock({.wait = kLong});
  ASSERT_TRUE(guard.ok()) << guard.status();
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    const auto refused = absl::StatusCode::kFailedPrecondition;
    const bool answers =
        !guard->Valid() && !session->Valid() && mutex.Lock().status().code() == refused &&
        third.mutex("b").TryLock().status().code() == refused &&
        third.OpenSession().status().code() == refused &&
        third.Status().status().code() == refused && mutex.Inspect().status().code() == refused &&
        guard->Unlock().code() == refused && session->Close().code() == refused;
    *guard = LockGuard();
    mutex = Mutex();
    *session = Session();
    third = Coordinator();
    _exit(answers ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
  EXPECT_TRUE(guard->Valid());
  EXPECT_EQ(two().mutex("a").TryLock().status().code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(guard->Unlock(kLong).ok());
}

}  // namespace
}  // namespace tenure::conformance
