// What clients make of requests and answers that are lost or late, and of time that passes
// meanwhile. Names are lines of docs/pitfalls.md.
#include <thread>
#include <utility>

#include "conformance/conformance.h"
#include "conformance/unreliable.h"
#include "tenure/election.h"
#include "tenure/errors.h"
#include "tenure/mutex.h"
#include "tenure/session.h"

namespace tenure::conformance {
namespace {

using Fate = Unreliable::Fate;
using Guard = absl::StatusOr<LockGuard>;
using Lead = absl::StatusOr<Leadership>;

constexpr absl::Duration kLong = absl::Seconds(20);

// A third of it is not long to wait, and a fail-over fits in where there may be one.
absl::Duration Ttl(const BackendCase& backend) {
  return backend.Has(Capability::kSteady) ? absl::Seconds(2) : absl::Seconds(3);
}

absl::StatusOr<Session> Open(Coordinator& client, const BackendCase& backend) {
  return client.OpenSession({.ttl = Ttl(backend), .open_timeout = kLong});
}

// A client that holds a lock, on a way that loses what a test says.
struct Holder {
  Holder(Coordinator& coordinator, const BackendCase& backend)
      : way(coordinator), client(way.Connect()), session(Open(client, backend)) {
    if (session.ok()) held = session->mutex("a").Lock();
  }

  Unreliable way;
  Coordinator client;
  absl::StatusOr<Session> session;
  Guard held = absl::UnavailableError("there is no session");
};

// L1.
TEST_P(Conformance, L1ALeaderThatComesBackEndsNobody) {
  NEEDS(Capability::kLeaderCut);
  Holder holder(one(), GetParam());
  ASSERT_TRUE(holder.held.ok()) << holder.session.status() << holder.held.status();
  fixture().DeposeLeader();
  // It is back, and what it knew of leases is old.
  holder.way.AwaitRenewals(holder.session->id(), 3);
  EXPECT_TRUE(holder.held->Valid());
  EXPECT_FALSE(holder.held->lost().stop_requested());
  const absl::StatusOr<LockDescription> seen = two().mutex("a").Inspect(kLong);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->holder.token, holder.held->token());
}

TEST_P(Conformance, L6ALeaseCountsFromItsRequestsDeparture) {
  Unreliable way(one());
  Coordinator client = way.Connect();
  absl::StatusOr<Session> session = Open(client, GetParam());
  ASSERT_TRUE(session.ok()) << session.status();
  way.SetJudge([first = true](const Command& command) mutable {
    if (!Is<RenewSession>(command)) return Fate::kPass;
    return std::exchange(first, false) ? Fate::kHoldReply : Fate::kLoseRequest;
  });
  const Instant sent = way.AwaitHeldRenewal();
  // The answer takes its time.
  while (session->remaining() > Ttl(GetParam()) / 2) std::this_thread::yield();
  const absl::Duration before = session->remaining();
  const Instant answered = one().backend()->loop().Now();
  way.Release();
  const absl::Duration after = session->remaining();
  EXPECT_GT(after, before) << "it was prolonged";
  EXPECT_LT(after, Ttl(GetParam()) - absl::Nanoseconds(answered.LeaderElapsedNs(sent)));
}

TEST_P(Conformance, L7OneFailedRenewalLosesNothing) {
  Holder holder(one(), GetParam());
  ASSERT_TRUE(holder.held.ok()) << holder.session.status() << holder.held.status();
  holder.way.LoseFirst<RenewSession>(1, Fate::kLoseRequest);
  holder.way.AwaitRenewals(holder.session->id(), 2);
  EXPECT_TRUE(holder.held->Valid());
  EXPECT_EQ(holder.session->state(), SessionState::kSafe);
  EXPECT_FALSE(holder.held->lost().stop_requested());
}

TEST_P(Conformance, L8ARenewalWhoseAnswerIsLostKeepsTheLease) {
  Holder holder(one(), GetParam());
  ASSERT_TRUE(holder.held.ok()) << holder.session.status() << holder.held.status();
  holder.way.LoseFirst<RenewSession>(2, Fate::kLoseReply);
  holder.way.AwaitRenewals(holder.session->id(), 2);
  EXPECT_TRUE(holder.held->Valid());
  EXPECT_EQ(holder.session->state(), SessionState::kSafe);
}

TEST_P(Conformance, L11AWaitEndsWithItsSessionAndIsNeverGranted) {
  constexpr std::uint64_t kSeed = 11;
  Coordinator doomed = fixture().Connect({.seed = kSeed});
  absl::StatusOr<Session> session = doomed.OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  Guard held = one().mutex("a").Lock();
  ASSERT_TRUE(held.ok()) << held.status();
  Awaited<Guard> waited;
  session->mutex("a").Lock({}, waited.Callback());
  while (one().mutex("a").Inspect(kLong)->waiting == 0) std::this_thread::yield();
  RawClient(two(), FirstKey(kSeed)).Get<SessionClosed>(CloseSession{}, session->id());
  EXPECT_EQ(waited.Get().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(one().mutex("a").Inspect(kLong)->waiting, 0u);
  EXPECT_TRUE(held->Unlock(kLong).ok());
  EXPECT_EQ(one().mutex("a").Inspect(kLong)->holder.token, 0u) << "granted to the dead";
}

TEST_P(Conformance, L15AReleaseThatFailedCanBeRetried) {
  Unreliable way(one());
  Coordinator client = way.Connect();
  Guard held = client.mutex("a").Lock();
  ASSERT_TRUE(held.ok()) << held.status();
  way.LoseFirst<ReleaseLock>(3, Fate::kLoseRequest);
  EXPECT_TRUE(held->Unlock(kLong).ok());
  Guard next = two().mutex("a").TryLock();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE(next->Unlock(kLong).ok());
  // Also once its caller was told that it does not know; and where the answers are lost.
  for (const Fate fate : {Fate::kLoseRequest, Fate::kLoseReply}) {
    held = client.mutex("a").Lock();
    ASSERT_TRUE(held.ok()) << held.status();
    way.Lose<ReleaseLock>(fate);
    EXPECT_EQ(KindOf(held->Unlock(absl::Milliseconds(300))), ErrorKind::kUncertain);
    EXPECT_FALSE(held->Valid());
    way.SetJudge(nullptr);
    const Guard free = client.mutex("a").Lock({.wait = kLong});
    EXPECT_TRUE(free.ok()) << free.status() << ": it deadlocked with itself";
  }
}

TEST_P(Conformance, L16NoRenewalAfterTheEnd) {
  Unreliable way(one());
  Coordinator client = way.Connect();
  absl::StatusOr<Session> ended = Open(client, GetParam());
  absl::StatusOr<Session> other = Open(client, GetParam());
  ASSERT_TRUE(ended.ok() && other.ok());
  const SessionId session = ended->id();
  way.AwaitRenewals(session, 1);
  EXPECT_TRUE(ended->Close(kLong).ok());
  const auto renewals = [&] {
    int count = 0;
    for (const auto& renewal : way.renewals()) count += renewal.session == session ? 1 : 0;
    return count;
  };
  const int before = renewals();
  // As often as the one that is still open.
  way.AwaitRenewals(other->id(), 2);
  EXPECT_EQ(renewals(), before);
}

// Nobody tells it, and its name is still the one that the cluster knows.
TEST_P(Conformance, E1LeadershipIsJudgedByTimeNotByNames) {
  Unreliable way(one());
  Coordinator client = way.Connect();
  absl::StatusOr<Session> session = Open(client, GetParam());
  ASSERT_TRUE(session.ok()) << session.status();
  const Lead leader = session->election("e").Campaign({.value = "same name", .wait = kLong});
  ASSERT_TRUE(leader.ok()) << leader.status();
  way.LoseEvents();
  way.Lose<RenewSession>(Fate::kLoseRequest);
  Awaited<Lead> next;
  two().election("e").Campaign({.value = "same name"}, next.Callback());
  Awaited<int> lost;
  const std::stop_callback on_lost(leader->lost(), [&] { lost.Callback()(1); });
  lost.Get();
  EXPECT_FALSE(leader->Valid());
  const Lead successor = next.Get();
  ASSERT_TRUE(successor.ok()) << successor.status();
  EXPECT_GT(successor->term(), leader->term());
  EXPECT_FALSE(leader->Valid());
  const auto seen = two().election("e").Describe(kLong);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->leader.value, "same name");
  EXPECT_EQ(seen->leader.token, successor->term());
}

}  // namespace
}  // namespace tenure::conformance
