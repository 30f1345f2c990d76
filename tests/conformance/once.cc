// Exactly once, and fencing: what repeats, late commands and late holders do.
#include <string>
#include <utility>

#include "conformance/conformance.h"
#include "tenure/errors.h"
#include "tenure/fencing.h"
#include "tenure/mutex.h"
#include "tenure/session.h"

namespace tenure::conformance {
namespace {

using Guard = absl::StatusOr<LockGuard>;

constexpr std::int64_t kTtlNs = 20'000'000'000;

TEST_P(Conformance, OpeningIsIdempotent) {
  RawClient client(one(), {1, 1});
  const SessionId session = client.Get<SessionOpened>(OpenSession{kTtlNs, "a"}).session;
  EXPECT_EQ(client.Get<SessionOpened>(OpenSession{kTtlNs, "a"}).session, session);
  // Also by another connection, as after a fail-over.
  EXPECT_EQ(RawClient(two(), {1, 1}).Get<SessionOpened>(OpenSession{kTtlNs, "a"}).session, session);
  EXPECT_NE(RawClient(two(), {1, 2}).Get<SessionOpened>(OpenSession{kTtlNs, "a"}).session, session);
}

// L13: a session is its opener's; another instance is refused, whatever it is called.
TEST_P(Conformance, L13ASessionBelongsToItsOpenersKey) {
  const SessionId session =
      RawClient(one(), {1, 1}).Get<SessionOpened>(OpenSession{kTtlNs, "same"}).session;
  RawClient other(two(), {1, 2});
  other.Get<SessionOpened>(OpenSession{kTtlNs, "same"});
  EXPECT_EQ(other.Do(RenewSession{1}, session).code, ReplyCode::kWrongKey);
  EXPECT_EQ(other.Do(AcquireLock{"a", 0, ""}, session, 1).code, ReplyCode::kWrongKey);
  EXPECT_EQ(other.Do(CloseSession{}, session).code, ReplyCode::kWrongKey);
}

// L10: the repeat of an unlock that had taken effect frees no later grant.
TEST_P(Conformance, L10ARepeatedUnlockFreesNoLaterGrant) {
  RawClient client(one(), {1, 1});
  const SessionId session = client.Get<SessionOpened>(OpenSession{kTtlNs, "a"}).session;
  const Revision token = client.Get<LockGranted>(AcquireLock{"a", 0, ""}, session, 1).token;
  client.Get<LockReleased>(ReleaseLock{"a", token}, session, 2);
  const Guard next = two().mutex("a").Lock({.wait = absl::Seconds(20)});
  ASSERT_TRUE(next.ok()) << next.status();
  // The very same command, and one that names the old grant anew.
  client.Get<LockReleased>(ReleaseLock{"a", token}, session, 2);
  EXPECT_EQ(client.Do(ReleaseLock{"a", token}, session, 3).code, ReplyCode::kNotHeld);
  const absl::StatusOr<LockDescription> seen = one().mutex("a").Inspect();
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->holder.token, next->token());
}

// L12: the repeat of an acquire that was applied meets its own grant, and does not queue behind it.
TEST_P(Conformance, L12ARepeatedAcquireMeetsItsOwnGrant) {
  RawClient client(one(), {1, 1});
  const SessionId session = client.Get<SessionOpened>(OpenSession{kTtlNs, "a"}).session;
  const AcquireLock acquire{"a", kWaitForever, ""};
  const Revision token = client.Get<LockGranted>(acquire, session, 1).token;
  EXPECT_EQ(client.Get<LockGranted>(acquire, session, 1).token, token);
  EXPECT_EQ(RawClient(two(), {1, 1}).Get<LockGranted>(acquire, session, 1).token, token);
  const absl::StatusOr<LockDescription> seen = one().mutex("a").Inspect();
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->waiting, 0u);
}

// T14: a cancel that overtakes its acquire.
TEST_P(Conformance, T14ACancelBeforeItsAcquireLeavesNoGhost) {
  RawClient client(one(), {1, 1});
  const SessionId session = client.Get<SessionOpened>(OpenSession{kTtlNs, "a"}).session;
  client.Get<WaitCancelled>(CancelWait{1}, session, 2);
  client.Get<WaitCancelled>(AcquireLock{"a", kWaitForever, ""}, session, 1);
  EXPECT_TRUE(two().mutex("a").Lock({.wait = absl::Seconds(20)}).ok());
}

// L9: a holder that is late is refused by whoever has seen its successor.
TEST_P(Conformance, L9TheGateRefusesTheEarlierHolder) {
  constexpr std::uint64_t kSeed = 9;
  FencingGate gate;
  Coordinator third = fixture().Connect({.seed = kSeed});
  absl::StatusOr<Session> session = third.OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  const Guard late = session->mutex("a").Lock({.wait = absl::Seconds(20)});
  ASSERT_TRUE(late.ok()) << late.status();
  EXPECT_TRUE(gate.Admit(late->token()).ok());
  EXPECT_TRUE(gate.Admit(late->token()).ok()) << "as often as it likes";
  // The cluster ends its session, and it looks no more before it writes.
  RawClient(two(), FirstKey(kSeed)).Get<SessionClosed>(CloseSession{}, session->id());
  const Guard next = two().mutex("a").Lock({.wait = absl::Seconds(20)});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE(gate.Admit(next->token()).ok());
  const absl::Status stale = gate.Admit(late->token());
  EXPECT_EQ(stale.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(KindOf(stale), ErrorKind::kRefused);
  EXPECT_EQ(gate.seen(), next->token());
}

}  // namespace
}  // namespace tenure::conformance
