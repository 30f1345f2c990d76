// What an administrator takes: its holder learns by whom and why, whatever it is.
#include <string>
#include <utility>

#include "conformance/conformance.h"
#include "gmock/gmock.h"
#include "tenure/election.h"
#include "tenure/idempotency.h"
#include "tenure/lock_set.h"
#include "tenure/mutex.h"
#include "tenure/semaphore.h"
#include "tenure/session.h"

namespace tenure::conformance {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr absl::Duration kLong = absl::Seconds(20);

constexpr char kReason[] = "it is stuck";

Coordinator Admin(BackendFixture& fixture) {
  return fixture.Connect({.session = {.label = "root@ops"}});
}

// `status`: of what was broken, and whose holder has heard of it.
void ExpectTold(const absl::Status& status, const std::string& what) {
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(StartsWith(what + " was broken by root@ops (session "), HasSubstr("): it is "),
                    HasSubstr("stuck")));
}
// Returns once that is lost.
void Await(const std::stop_token& lost) {
  Awaited<int> told;
  const std::stop_callback on_lost(lost, [tell = told.Callback()] { tell(1); });
  told.Get();
}

TEST_P(Conformance, ABrokenLocksHolderLearnsByWhomAndWhy) {
  Coordinator admin = Admin(fixture());
  auto held = one().mutex("a").Lock({.wait = kLong});
  auto other = one().mutex("b").Lock({.wait = kLong});
  ASSERT_TRUE(held.ok() && other.ok());
  EXPECT_TRUE(held->status().ok());
  ASSERT_TRUE(admin.BreakLock("a", held->token(), kReason, kLong).ok());
  Await(held->lost());
  ExpectTold(held->status(), "a");
  EXPECT_TRUE(other->status().ok()) << "its session lives";
  // And it stays so: what comes later is not why it was lost.
  const LockGuard moved = *std::move(held);
  ExpectTold(moved.status(), "a");
}

TEST_P(Conformance, AnyReasonOfABreakIsToldAsItIs) {
  Coordinator admin = Admin(fixture());
  auto held = one().mutex("a").Lock({.wait = kLong});
  ASSERT_TRUE(held.ok()) << held.status();
  const std::string reason = std::string("\0\xff\n", 3) + std::string(253, 'r');
  ASSERT_TRUE(admin.BreakLock("a", held->token(), reason, kLong).ok());
  Await(held->lost());
  EXPECT_THAT(std::string(held->status().message()), HasSubstr("): " + reason));

  auto again = one().mutex("a").Lock({.wait = kLong});
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_TRUE(admin.BreakLock("a", again->token(), "", kLong).ok());
  Await(again->lost());
  EXPECT_THAT(std::string(again->status().message()), ::testing::EndsWith(")"));
}

TEST_P(Conformance, OneBrokenShareAndPermitIsToldByItself) {
  Coordinator admin = Admin(fixture());
  auto share = one().shared_mutex("a").LockShared({.wait = kLong});
  auto beside = two().shared_mutex("a").LockShared({.wait = kLong});
  auto permit = one().semaphore("s", 2).Acquire({.wait = kLong});
  ASSERT_TRUE(share.ok() && beside.ok() && permit.ok());
  ASSERT_TRUE(admin.BreakLock("a", share->token(), kReason, kLong).ok());
  ASSERT_TRUE(admin.BreakLock("s", permit->token(), kReason, kLong).ok());
  Await(share->lost());
  Await(permit->lost());
  ExpectTold(share->status(), "a");
  ExpectTold(permit->status(), "s");
  EXPECT_TRUE(beside->status().ok());
}

TEST_P(Conformance, ABrokenLockOfASetIsToldAndTheSetSaysSo) {
  Coordinator admin = Admin(fixture());
  const auto set = one().AcquireAll({{"a"}, {"b"}}, {.wait = kLong});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_TRUE(set->status().ok());
  ASSERT_TRUE(admin.BreakLock("b", set->token(), kReason, kLong).ok());
  Await(set->lost());
  ExpectTold(set->status(), "b");
  EXPECT_TRUE((*set)[0].status().ok());
  ExpectTold((*set)[1].status(), "b");
}

TEST_P(Conformance, ALeaderLearnsByWhomItsLeadWasBrokenAndWhy) {
  Coordinator admin = Admin(fixture());
  const auto lead = one().election("e").Campaign({.wait = kLong});
  ASSERT_TRUE(lead.ok()) << lead.status();
  EXPECT_TRUE(lead->status().ok());
  ASSERT_TRUE(admin.BreakLeadership("e", lead->term(), kReason, kLong).ok());
  Await(lead->lost());
  ExpectTold(lead->status(), "the lead of e");
}

TEST_P(Conformance, AnAttemptLearnsByWhomItWasBrokenAndWhy) {
  Coordinator admin = Admin(fixture());
  IdempotencyStore store = one().idempotency("s");
  const auto alone = store.Begin("k", "f", {.wait = kLong});
  const auto locked = store.Begin("l", "f", {.wait = kLong, .lock = "x"});
  ASSERT_TRUE(alone.ok() && locked.ok());
  EXPECT_TRUE(alone->attempt.status().ok());
  ASSERT_TRUE(admin.BreakAttempt("s", "k", alone->attempt.token(), kReason, kLong).ok());
  ASSERT_TRUE(admin.BreakLock("x", locked->attempt.token(), kReason, kLong).ok());
  Await(alone->attempt.lost());
  Await(locked->attempt.lost());
  ExpectTold(alone->attempt.status(), "the attempt at k");
  ExpectTold(locked->attempt.status(), "the attempt at l");
}

// Whoever is late hears who came after the attempt's deadline, for the key or for its lock.
TEST_P(Conformance, AnAttemptLearnsByWhomItWasTakenOver) {
  constexpr absl::Duration kSoon = absl::Milliseconds(50);
  Coordinator next = fixture().Connect({.session = {.label = "next@host"}});
  IdempotencyStore store = one().idempotency("s");
  const auto alone = store.Begin("k", "f", {.wait = kLong, .deadline = kSoon});
  const auto locked = store.Begin("l", "f", {.wait = kLong, .deadline = kSoon, .lock = "x"});
  ASSERT_TRUE(alone.ok() && locked.ok()) << alone.status() << locked.status();
  const auto taken = next.idempotency("s").Begin("k", "f", {.wait = kLong});
  const auto lock = next.mutex("x").Lock({.wait = kLong});
  ASSERT_TRUE(taken.ok() && lock.ok()) << taken.status() << lock.status();
  for (const auto* late : {&alone->attempt, &locked->attempt}) {
    Await(late->lost());
    EXPECT_FALSE(late->Valid());
    EXPECT_EQ(late->status().code(), absl::StatusCode::kAborted);
    EXPECT_THAT(std::string(late->status().message()),
                AllOf(StartsWith("the attempt at " + late->key() +
                                 " was taken over by next@host (session "),
                      ::testing::EndsWith(") after its deadline")));
  }
  EXPECT_TRUE(taken->attempt.status().ok());
  EXPECT_TRUE(lock->status().ok());
}

// Whatever else ends it says so, and names no administrator.
TEST_P(Conformance, WhatWasNotBrokenSaysWhyItIsOver) {
  const auto over = absl::StatusCode::kFailedPrecondition;
  absl::StatusOr<Session> session = one().OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  const auto held = session->mutex("a").Lock({.wait = kLong});
  const auto lead = session->election("e").Campaign({.wait = kLong});
  ASSERT_TRUE(held.ok() && lead.ok());
  EXPECT_TRUE(session->status().ok());
  ASSERT_TRUE(session->Close(kLong).ok());
  EXPECT_EQ(session->status().code(), over);
  EXPECT_EQ(held->status(), session->status());
  EXPECT_EQ(lead->status(), session->status());
  EXPECT_THAT(std::string(held->status().message()), HasSubstr("closed"));
  EXPECT_EQ(LockGuard().status().code(), over);
  EXPECT_EQ(LockSetGuard().status().code(), over);
  EXPECT_EQ(Leadership().status().code(), over);
  EXPECT_EQ(Attempt().status().code(), over);
  EXPECT_EQ(Session().status().code(), over);
}

}  // namespace
}  // namespace tenure::conformance
