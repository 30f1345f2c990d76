// Locks over a network that fails. Names are lines of PITFALLS.md.
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/fixture.h"
#include "gmock/gmock.h"
#include "tenure/errors.h"
#include "tenure/fencing.h"
#include "tests/testing/sanitized.h"

namespace tenure::client {
namespace {

using ::testing::HasSubstr;

TEST_F(ClientTest, L9TheGateRefusesAHolderThatWasPausedPastItsLease) {
  Session session = Open();
  const Guard paused = Lock(session, "a");
  ASSERT_TRUE(paused.ok());
  FencingGate gate;
  EXPECT_TRUE(gate.Admit(paused->token()).ok());
  node_.Pause();
  const Guard next = Lock(rival_, "a");
  ASSERT_TRUE(next.ok());
  EXPECT_TRUE(gate.Admit(next->token()).ok());
  // It wakes and writes before it looks.
  EXPECT_EQ(gate.Admit(paused->token()).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(paused->Valid()) << "and it could have looked";
}

// The machine keeps replies for so many commands above the last that is acknowledged. A burst
// beyond that waits in the client, in its order, and what frees something is not stuck behind it.
TEST_F(ClientTest, ABurstBeyondTheWindowWaitsItsTurn) {
  constexpr std::size_t kBurst = 20'000;
  Session session = Open();
  Guard held = Lock(session, "held");
  ASSERT_TRUE(held.ok());
  Only<AcquireLock>(Fate::kHold);
  std::size_t granted = 0;
  bool in_order = true;
  std::vector<LockGuard> guards;
  for (std::size_t i = 0; i < kBurst; ++i) {
    session.mutex(absl::StrCat(i)).Lock({}, [&, i](Guard guard) {
      in_order = in_order && guard.ok() && granted == i;
      ++granted;
      if (guard.ok()) guards.push_back(*std::move(guard));
    });
  }
  const std::size_t sent = net_->Count<AcquireLock>();
  EXPECT_LT(sent, 8192u);
  EXPECT_GT(sent, 1000u);
  Caught<absl::Status> unlocked;
  held->Unlock(absl::Seconds(5), unlocked.Callback());
  EXPECT_TRUE(unlocked.here()) << "it waits behind the burst";
  // One that was not sent yet can be left.
  std::stop_source stop;
  Caught<Guard> left;
  session.mutex("left").Lock({.cancel = stop.get_token()}, left.Callback());
  stop.request_stop();
  ASSERT_TRUE(left.here());
  EXPECT_EQ(left->status().code(), absl::StatusCode::kCancelled);
  while (net_->held() > 0) net_->Release();
  EXPECT_EQ(granted, kBurst);
  EXPECT_TRUE(in_order);
  EXPECT_TRUE(IsFree(rival_, "left"));
}

TEST_F(ClientTest, WhatWaitsForAPlaceInTheWindowIsBounded) {
  if (testing::kSanitized) GTEST_SKIP() << "takes a minute under a sanitizer";
  Session session = Open();
  Only<AcquireLock>(Fate::kHold);
  std::size_t granted = 0;
  std::size_t refused = 0;
  std::vector<LockGuard> guards;
  constexpr std::size_t kAsked = 110'000;
  for (std::size_t i = 0; i < kAsked; ++i) {
    session.mutex(absl::StrCat(i)).Lock({}, [&](Guard guard) {
      if (guard.ok()) {
        ++granted;
        return guards.push_back(*std::move(guard));
      }
      EXPECT_EQ(guard.status().code(), absl::StatusCode::kResourceExhausted);
      ++refused;
    });
  }
  const std::size_t sent = net_->Count<AcquireLock>();
  EXPECT_EQ(refused, kAsked - 100'000 - sent);
  Heal();
  while (net_->held() > 0) net_->Release();
  EXPECT_EQ(granted, kAsked - refused);
}

// Not one of them is answered, so that the last is not even sent.
TEST_F(ClientTest, AnUnlockThatFindsNoPlaceInTheWindowIsToldInTime) {
  constexpr std::size_t kGuards = 9'000;
  Session session = Open();
  std::vector<LockGuard> guards;
  for (std::size_t i = 0; i < kGuards; ++i) {
    session.mutex(absl::StrCat(i)).Lock({}, [&](Guard guard) {
      ASSERT_TRUE(guard.ok());
      guards.push_back(*std::move(guard));
    });
  }
  ASSERT_EQ(guards.size(), kGuards);
  Only<ReleaseLock>(Fate::kHold);
  std::vector<Caught<absl::Status>> unlocked(kGuards);
  for (std::size_t i = 0; i < kGuards; ++i)
    guards[i].Unlock(absl::Seconds(2), unlocked[i].Callback());
  ASSERT_LT(net_->Count<ReleaseLock>(), kGuards);
  EXPECT_FALSE(unlocked.back().here());
  world_.RunFor(absl::Seconds(2));
  ASSERT_TRUE(unlocked.back().here());
  EXPECT_EQ(unlocked.back()->code(), absl::StatusCode::kDeadlineExceeded) << *unlocked.back();
  // It goes on, as it says.
  Heal();
  while (net_->held() > 0) net_->Release();
  EXPECT_TRUE(IsFree(rival_, absl::StrCat(kGuards - 1)));
}

TEST_F(ClientTest, L10ARetriedUnlockFreesNoLaterGrant) {
  Session session = Open();
  Guard held = Lock(session, "a");
  First<ReleaseLock>(1, Fate::kLoseReply);
  Caught<absl::Status> unlocked;
  held->Unlock(absl::Seconds(5), unlocked.Callback());
  const Guard next = Lock(session, "a");  // the same session, even
  ASSERT_TRUE(next.ok());
  ASSERT_TRUE(world_.RunUntil([&] { return unlocked.here(); }, absl::Seconds(5)));
  EXPECT_TRUE(unlocked->ok()) << *unlocked;
  EXPECT_EQ(net_->Count<ReleaseLock>(), 2u);
  EXPECT_FALSE(IsFree(rival_, "a"));
}

TEST_F(ClientTest, L11AWaitEndsWithItsSession) {
  const Guard held = Lock(rival_, "a");
  Session session = Open();
  Caught<Guard> waiting;
  session.mutex("a").Lock({}, waiting.Callback());
  CutOff();
  ASSERT_TRUE(world_.RunUntil([&] { return waiting.here(); }, absl::Seconds(11)));
  EXPECT_EQ(waiting->status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ClientTest, L12ARetriedAcquireMeetsItsOwnGrant) {
  Session session = Open();
  First<AcquireLock>(2, Fate::kLoseReply);
  {
    const Guard held = Lock(session, "a");
    ASSERT_TRUE(held.ok()) << held.status();
    EXPECT_EQ(net_->Count<AcquireLock>(), 3u);
    EXPECT_EQ(rival_.mutex("a").Inspect()->holder.token, held->token());
    EXPECT_EQ(rival_.mutex("a").Inspect()->waiting, 0u);
  }
  EXPECT_TRUE(IsFree(rival_, "a"));
}

TEST_F(ClientTest, L12ARetriedTryMeetsItsOwnGrantAndGivesItBack) {
  Session session = Open();
  First<AcquireLock>(1, Fate::kLoseReply);
  const Guard tried = Lock(session, "a", {.wait = absl::ZeroDuration()});
  EXPECT_EQ(tried.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(IsFree(rival_, "a"));
}

TEST_F(ClientTest, L13ADyingSessionsLockIsNotTheNewOnes) {
  Guard old = Lock(client_, "a");
  ASSERT_TRUE(old.ok());
  const Revision token = old->token();
  CutOff();
  ASSERT_TRUE(world_.RunUntil([&] { return old->lost().stop_requested(); }, absl::Seconds(10)));
  Heal();
  EXPECT_FALSE(IsFree(client_, "a")) << "the old session still has it in the cluster";
  EXPECT_FALSE(old->Valid());
  const Guard next = Lock(client_, "a");
  ASSERT_TRUE(next.ok());
  EXPECT_GT(next->token(), token);
}

TEST_F(ClientTest, L14AGrantAfterTheDeadlineIsGivenBack) {
  // The machine's clock is the slower one, so that the wait is over for the client first.
  server_.SetClockDrift(tenure::testing::Clock::kBoottime, -0.005);
  server_.SetClockDrift(tenure::testing::Clock::kMonotonicRaw, -0.005);
  Guard held = Lock(rival_, "a");
  Session session = Open();
  net_->hold_events = true;
  Only<CancelWait>(Fate::kHold);
  const Guard late = Lock(session, "a", {.wait = absl::Seconds(2)});
  EXPECT_EQ(late.status().code(), absl::StatusCode::kAborted);
  *held = LockGuard();  // the machine grants it
  EXPECT_FALSE(IsFree(rival_, "a"));
  Heal();
  net_->ReleaseEvents();
  EXPECT_EQ(net_->Count<ReleaseLock>(), 1u) << "the grant did not come, or was kept";
  EXPECT_TRUE(IsFree(rival_, "a")) << "at once, though the cancel has no answer yet";
  ASSERT_EQ(net_->held(), 1u);
  net_->Release();
  world_.RunFor(absl::Milliseconds(1));
  EXPECT_TRUE(IsFree(rival_, "a"));
}

// The cancel finds that the grant came first.
TEST_F(ClientTest, L14ACancelThatMeetsAGrantGivesItBack) {
  Session session = Open();
  First<AcquireLock>(1, Fate::kHoldReply);
  std::stop_source stop;
  Caught<Guard> waiting;
  session.mutex("a").Lock({.cancel = stop.get_token()}, waiting.Callback());
  EXPECT_FALSE(IsFree(rival_, "a"));
  stop.request_stop();
  EXPECT_EQ(waiting->status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(IsFree(rival_, "a"));
  net_->Release();  // the acquire's own answer is nobody's
  EXPECT_TRUE(IsFree(rival_, "a"));
}

TEST_F(ClientTest, T14ACancelThatOvertakesItsAcquireLeavesNoGhost) {
  Session session = Open();
  First<AcquireLock>(1, Fate::kHold);
  std::stop_source stop;
  Caught<Guard> waiting;
  session.mutex("a").Lock({.cancel = stop.get_token()}, waiting.Callback());
  stop.request_stop();
  EXPECT_EQ(waiting->status().code(), absl::StatusCode::kCancelled);
  net_->Release();
  world_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(IsFree(rival_, "a"));
}

TEST_F(ClientTest, L15AnUnlockThatFailedGoesOn) {
  Session session = Open();
  Guard held = Lock(session, "a");
  Only<ReleaseLock>(Fate::kLoseRequest);
  Caught<absl::Status> unlocked;
  held->Unlock(absl::Seconds(1), unlocked.Callback());
  ASSERT_TRUE(world_.RunUntil([&] { return unlocked.here(); }, absl::Seconds(2)));
  EXPECT_EQ(unlocked->code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(KindOf(*unlocked), ErrorKind::kUncertain);
  EXPECT_FALSE(held->Valid());
  EXPECT_FALSE(IsFree(rival_, "a"));
  Heal();
  world_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(IsFree(rival_, "a"));
  for (const Command& command : net_->sent) {
    if (Is<ReleaseLock>(command)) {
      EXPECT_EQ(command.sequence, net_->sent.back().sequence);
    }
  }
}

TEST_F(ClientTest, AnUnlockThatIsRefusedAfterItWasSentIsUncertain) {
  Session session = Open();
  for (const bool sent_before : {false, true}) {
    Guard held = Lock(session, sent_before ? "a" : "b");
    net_->fate = [sent_before, first = true](const Command& command) mutable {
      if (!Is<ReleaseLock>(command)) return Fate::kPass;
      return std::exchange(first, false) && sent_before ? Fate::kLoseReply : Fate::kRefuse;
    };
    Caught<absl::Status> unlocked;
    held->Unlock(absl::Seconds(5), unlocked.Callback());
    ASSERT_TRUE(world_.RunUntil([&] { return unlocked.here(); }, absl::Seconds(6)));
    EXPECT_EQ(KindOf(*unlocked), sent_before ? ErrorKind::kUncertain : ErrorKind::kRefused)
        << *unlocked;
    const Sequence unlock = net_->sent.back().sequence;
    Heal();
    // It is never sent again, so the session's window goes on past it.
    ASSERT_TRUE(Lock(session, sent_before ? "c" : "d").ok());
    EXPECT_GE(net_->sent.back().acknowledged_through, unlock);
  }
}

TEST_F(ClientTest, L15ADestroyedGuardIsGivenBackOverFailures) {
  Session session = Open();
  First<ReleaseLock>(5, Fate::kTimeOut);
  { const Guard held = Lock(session, "a"); }
  EXPECT_FALSE(IsFree(rival_, "a"));
  world_.RunFor(absl::Seconds(5));
  EXPECT_TRUE(IsFree(rival_, "a"));
}

TEST_F(ClientTest, AWaitEndsOnTimeWhenNothingAnswers) {
  CutOff();
  const absl::Duration start = world_.now();
  const Guard implicit = Lock(client_, "a", {.wait = absl::Seconds(2)});
  EXPECT_EQ(implicit.status().code(), absl::StatusCode::kUnavailable) << implicit.status();
  EXPECT_EQ(world_.now() - start, absl::Seconds(2));

  Heal();
  Session session = Open();
  CutOff(Fate::kHold);
  const absl::Duration then = world_.now();
  const Guard waited = Lock(session, "a", {.wait = absl::Seconds(2)});
  EXPECT_EQ(waited.status().code(), absl::StatusCode::kUnavailable) << waited.status();
  EXPECT_EQ(KindOf(waited.status()), ErrorKind::kRetrySafe);
  EXPECT_EQ(world_.now() - then, absl::Seconds(2));
}

// It was queued, so somebody answered; whether the lock is busy or the cluster gone is something
// else.
TEST_F(ClientTest, AWaitThatTheClusterLeftSaysSo) {
  const Guard held = Lock(rival_, "a");
  ASSERT_TRUE(held.ok());
  Session session = Open();
  Caught<Guard> waited;
  session.mutex("a").Lock({.wait = absl::Seconds(8)}, waited.Callback());
  world_.RunFor(absl::Seconds(1));
  CutOff(Fate::kHold);
  ASSERT_TRUE(world_.RunUntil([&] { return waited.here(); }, absl::Seconds(8)));
  EXPECT_EQ(waited->status().code(), absl::StatusCode::kUnavailable) << waited->status();
  EXPECT_EQ(KindOf(waited->status()), ErrorKind::kRetrySafe);
  // And while it answers, somebody holds it.
  Heal();
  Session other = Open();
  const Guard busy = Lock(other, "a", {.wait = absl::Seconds(8)});
  EXPECT_EQ(busy.status().code(), absl::StatusCode::kAborted) << busy.status();
}

TEST_F(ClientTest, TheLastWhoWaitsForTheImplicitSessionEndsItsOpening) {
  CutOff();
  EXPECT_FALSE(Lock(client_, "a", {.wait = absl::Seconds(2)}).ok());
  const std::size_t sent = net_->sent.size();
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(net_->sent.size(), sent);
  Heal();
  EXPECT_TRUE(Lock(client_, "a", {.wait = absl::Seconds(2)}).ok());
}

TEST_F(ClientTest, ConcurrentFirstUsersShareTheOpening) {
  Only<OpenSession>(Fate::kHold);
  Caught<Guard> a;
  Caught<Guard> b;
  client_.mutex("a").Lock({}, a.Callback());
  client_.mutex("b").Lock({}, b.Callback());
  EXPECT_EQ(net_->held(), 1u);
  net_->Release();
  EXPECT_TRUE(a.here() && a->ok());
  EXPECT_TRUE(b.here() && b->ok());
}

TEST_F(ClientTest, TheTimeThatOpeningTookCountsAsWaiting) {
  const Guard held = Lock(rival_, "a");
  Only<OpenSession>(Fate::kHold);
  const absl::Duration start = world_.now();
  Caught<Guard> waiting;
  client_.mutex("a").Lock({.wait = absl::Seconds(5)}, waiting.Callback());
  world_.RunFor(absl::Seconds(3));
  net_->Release();
  ASSERT_TRUE(world_.RunUntil([&] { return waiting.here(); }, absl::Seconds(3)));
  EXPECT_EQ(world_.now() - start, absl::Seconds(5));
  EXPECT_EQ(waiting->status().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(waiting->status().message(), HasSubstr("within 5s"));
}

TEST_F(ClientTest, AGrantMayComeBeforeTheAnswerThatItIsQueued) {
  Guard held = Lock(rival_, "a");
  Session session = Open();
  First<AcquireLock>(1, Fate::kHoldReply);
  Caught<Guard> waiting;
  session.mutex("a").Lock({}, waiting.Callback());
  *held = LockGuard();
  ASSERT_TRUE(waiting.here());
  ASSERT_TRUE(waiting->ok()) << waiting->status();
  net_->Release();
  EXPECT_TRUE((*waiting)->Valid());
  EXPECT_FALSE(IsFree(rival_, "a"));
}

// A destructor in a callback, of the last handles even, is as good as anywhere.
TEST_F(ClientTest, HandlesMayGoInTheirOwnCallbacks) {
  auto session = std::make_unique<Session>(Open());
  Guard held = Lock(rival_, "a");
  bool called = false;
  session->mutex("a").Lock({}, [&](Guard guard) {
    called = guard.ok();
    session = nullptr;
  });
  *held = LockGuard();
  EXPECT_TRUE(called);
  world_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(IsFree(rival_, "a"));
}

TEST_F(ClientTest, RepliesAndEventsAreAcknowledged) {
  Session session = Open();
  for (int i = 0; i < 10; ++i) {
    Guard held = Lock(rival_, "a");
    Caught<Guard> waiting;
    session.mutex("a").Lock({}, waiting.Callback());
    *held = LockGuard();
    ASSERT_TRUE(waiting.here() && waiting->ok());
  }
  world_.RunFor(absl::Seconds(4));  // idle: the next renewal says the rest
  const Command& last = net_->sent.back();
  ASSERT_TRUE(Is<RenewSession>(last));
  EXPECT_EQ(last.acknowledged_through, 20u);
  EXPECT_GT(last.events_seen_through, 0u);
  EXPECT_TRUE(machine_ != nullptr);
}

// A sequence that is stuck holds back the floor; what was said above it in a command that failed is
// said again.
TEST_F(ClientTest, AcknowledgementsAreRepeatedAfterAFailure) {
  bool stuck = true;
  bool lose = true;
  Session session = Open();
  net_->fate = [&](const Command& command) {
    if (const auto* acquire = std::get_if<AcquireLock>(&command.operation)) {
      if (acquire->name == "stuck" && stuck) return Fate::kHold;
    }
    return lose && !command.acknowledged.empty() ? Fate::kLoseRequest : Fate::kPass;
  };
  Caught<Guard> first;
  session.mutex("stuck").Lock({}, first.Callback());  // sequence 1
  const Guard second = Lock(session, "b");            // sequence 2
  ASSERT_TRUE(second.ok());
  Caught<Guard> third;
  session.mutex("c").Lock({}, third.Callback());  // says 2, and is lost
  EXPECT_THAT(net_->sent.back().acknowledged, ::testing::ElementsAre(2));
  lose = false;
  ASSERT_TRUE(world_.RunUntil([&] { return third.here(); }, absl::Seconds(1)));
  EXPECT_EQ(net_->sent.back().sequence, 3u);
  EXPECT_THAT(net_->sent.back().acknowledged, ::testing::ElementsAre(2));
  EXPECT_EQ(net_->sent.back().acknowledged_through, 0u);
  net_->Release();
  EXPECT_TRUE(first.here());
}

TEST_F(ClientTest, BlockingFormsAreRefusedOnTheLoop) {
  Session session = Open();
  absl::Status refused;
  node_.loop().Post([&] { refused = session.mutex("a").Lock().status(); });
  world_.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  // Likewise where a local backend delivers an event.
  Guard held = Lock(rival_, "a");
  rival_.mutex("a").Lock({}, [&](Guard) { refused = rival_.mutex("b").TryLock().status(); });
  refused = absl::OkStatus();
  *held = LockGuard();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
}

// One token is that of all guards of an owner: the answer that brings another one may come late.
TEST_F(ClientTest, AGuardWhoseAnswerComesAfterTheBreakIsToldOfIt) {
  Session session = Open();
  const LockOptions again{.owner = "o", .reentrant = true};
  Caught<Guard> first;
  session.mutex("a").Lock(again, first.Callback());
  ASSERT_TRUE(world_.RunUntil([&] { return first.here(); }, absl::Seconds(5)));
  ASSERT_TRUE(first->ok()) << first->status();
  Only<AcquireLock>(Fate::kHoldReply);
  std::vector<Caught<Guard>> late(2);
  for (auto& each : late) session.mutex("a").Lock(again, each.Callback());
  Caught<absl::Status> broken;
  rival_.BreakLock("a", (*first)->token(), "stuck", absl::Seconds(5), broken.Callback());
  ASSERT_TRUE(
      world_.RunUntil([&] { return broken.here() && !(*first)->Valid(); }, absl::Seconds(5)));
  Heal();
  while (net_->held() > 0) net_->Release();
  for (auto& each : late) {
    ASSERT_TRUE(each.here());
    ASSERT_TRUE(each->ok()) << each->status();
    EXPECT_FALSE((*each)->Valid());
    EXPECT_EQ((*each)->status().code(), absl::StatusCode::kAborted);
    EXPECT_TRUE((*each)->lost().stop_requested()) << "who asks later hears it at once";
  }
}

// mutex.h: "A try gives up with kUnavailable when nothing has answered for 5 s."
TEST_F(ClientTest, ATryEndsAfterFiveSecondsHoweverManyThereAre) {
  Session session = Open({.ttl = absl::Seconds(60)});
  CutOff(Fate::kTimeOut);
  std::vector<Caught<Guard>> tries(5000);
  for (std::size_t i = 0; i < tries.size(); ++i) {
    session.mutex("m" + std::to_string(i)).TryLock(tries[i].Callback());
  }
  world_.RunFor(absl::Seconds(20));
  std::size_t open = 0;
  for (auto& one : tries) open += one.here() ? 0 : 1;
  EXPECT_EQ(open, 0u) << "tries without an answer after 20 s";
  for (auto& one : tries) {
    ASSERT_EQ(one->status().code(), absl::StatusCode::kUnavailable) << one->status();
  }
  Heal();
}

}  // namespace
}  // namespace tenure::client
