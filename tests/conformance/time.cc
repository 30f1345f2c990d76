// Clocks that are set or stand still, under members and clients alike. Names are lines of
// docs/pitfalls.md.
#include <thread>
#include <utility>

#include "conformance/clocks.h"
#include "conformance/conformance.h"
#include "conformance/unreliable.h"
#include "tenure/idempotency.h"
#include "tenure/mutex.h"
#include "tenure/session.h"

namespace tenure::conformance {
namespace {

using Guard = absl::StatusOr<LockGuard>;

constexpr absl::Duration kLong = absl::Seconds(20);

// Set forth and back by more than any lease lasts: it ends none, and keeps none.
TEST_P(Conformance, L4TheWallClockEndsAndKeepsNoLease) {
  constexpr absl::Duration kTtl = absl::Seconds(3);
  Unreliable way(one());
  Coordinator client = way.Connect();
  absl::StatusOr<Session> session = client.OpenSession({.ttl = kTtl, .open_timeout = kLong});
  ASSERT_TRUE(session.ok()) << session.status();
  const Guard held = session->mutex("a").Lock({.wait = kLong});
  ASSERT_TRUE(held.ok()) << held.status();
  const auto begun =
      two().idempotency("s").Begin("k", "f", {.wait = kLong, .deadline = absl::Minutes(10)});
  ASSERT_TRUE(begun.ok()) << begun.status();
  Awaited<Guard> waited;
  two().mutex("a").Lock({.wait = absl::Minutes(10)}, waited.Callback());

  // Of one who is never heard of again.
  RawClient dead(two(), {4, 4});
  const Instant opened = two().backend()->loop().Now();
  const SessionId left =
      dead.Get<SessionOpened>(OpenSession{absl::ToInt64Nanoseconds(kTtl), "dead"}).session;
  const Revision token = dead.Get<LockGranted>(AcquireLock{"b", 0, ""}, left, 1).token;

  WallClock wall_clock;
  wall_clock.Set(absl::Hours(1));
  way.AwaitRenewals(session->id(), 1);
  EXPECT_TRUE(held->Valid());
  EXPECT_TRUE(begun->attempt.Valid());
  EXPECT_FALSE(waited.IsHere());
  wall_clock.Set(-absl::Hours(48));
  Guard next = two().mutex("b").Lock({.wait = kLong});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_GT(next->token(), token);
  EXPECT_GT(two().backend()->loop().Now().HolderElapsedNs(opened),
            absl::ToInt64Nanoseconds(kTtl) * 98 / 100)
      << "the dead one's lease was cut short";
  EXPECT_TRUE(held->Valid());
  EXPECT_FALSE(waited.IsHere());
  const auto seen = one().mutex("a").Inspect(kLong);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->holder.token, held->token());
  EXPECT_EQ(seen->waiting, 1u);
}

// Whoever wakes up after the end of its lease knows so by itself, before it hears of anybody.
TEST_P(Conformance, L5AHolderThatSleptHasLost) {
  const absl::Duration ttl = absl::Minutes(1);
  absl::StatusOr<Session> session = one().OpenSession({.ttl = ttl, .open_timeout = kLong});
  ASSERT_TRUE(session.ok()) << session.status();
  const Guard held = session->mutex("a").Lock({.wait = kLong});
  ASSERT_TRUE(held.ok()) << held.status();
  ASSERT_TRUE(held->Valid());
  HasSlept(ttl);
  EXPECT_FALSE(held->Valid());
  EXPECT_EQ(session->state(), SessionState::kExpired);
  EXPECT_EQ(session->remaining(), absl::ZeroDuration());
  Awaited<int> lost;
  const std::stop_callback on_lost(held->lost(), [tell = lost.Callback()] { tell(1); });
  lost.Get();
  // The cluster, which counts no sleep, would keep it for as long again: its holder gives it back.
  const Guard next = two().mutex("a").Lock({.wait = kLong});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_GT(next->token(), held->token());
  EXPECT_FALSE(held->Valid());
}

}  // namespace
}  // namespace tenure::conformance
