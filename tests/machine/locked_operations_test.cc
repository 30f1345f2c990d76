// Attempts at operations that are one with a lock: both or neither, from the grant to the end.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fixture.h"
#include "gmock/gmock.h"
#include "machine/snapshot.h"

namespace tenure::machine {
namespace {

using ::testing::StartsWith;

class LockedOperationsTest : public MachineTest {
 protected:
  static Begin Ask(const std::string& key = "k", std::int64_t wait_ns = kWaitForever,
                   std::int64_t deadline_ns = kWaitForever) {
    Begin begin{"pay", key, "42 EUR", deadline_ns, 100 * kSecond, wait_ns, "x", "me"};
    return begin;
  }
  Reply Try(Client& client) { return Do(client.Next(Ask("k", 0))); }
  Reply Wait(Client& client) { return Do(client.Next(Ask())); }
  Reply Plain(Client& client, std::int64_t wait_ns = 0) {
    Begin begin = Ask("k", wait_ns);
    begin.lock.clear();
    return Do(client.Next(begin));
  }
  Reply Finish(Client& client, Revision token, Outcome outcome = Outcome::kCompleted,
               const std::string& key = "k") {
    return Do(client.Next(FinishAttempt{"pay", key, token, outcome, "receipt"}));
  }
  OperationDescription See(const std::string& key = "k") const {
    return std::get<OperationDescription>(machine.Query(GetOperation{"pay", key}).result);
  }
  // Neither is held, and nobody waits.
  void ExpectBothFree() {
    EXPECT_EQ(Look("x").holder.session, 0u);
    EXPECT_EQ(Look("x").waiting, 0u);
    EXPECT_EQ(See().holder.session, 0u);
    EXPECT_EQ(See().lock, "");
    EXPECT_EQ(machine.lock_count(), 0u) << "nothing is left of the lock";
  }
};

TEST_F(LockedOperationsTest, BothAreTakenAndGivenBackAsOne) {
  Client a = Open(60), b = Open(60);
  const Revision token = Attempt(Try(a));
  EXPECT_EQ(Look("x").holder.session, a.session);
  EXPECT_EQ(Look("x").holder.token, token) << "one token for both";
  EXPECT_EQ(Look("x").holder.value, "me");
  EXPECT_EQ(See().holder.token, token);
  EXPECT_EQ(See().lock, "x");
  const Reply other = Try(b);
  ASSERT_TRUE(Is<AttemptInProgress>(other));
  EXPECT_EQ(std::get<AttemptInProgress>(other.result).holder.session, a.session);
  EXPECT_TRUE(Is<LockHeld>(Acquire(b, "x")));
  EXPECT_EQ(Do(a.Next(Downgrade{"x", token})).code, ReplyCode::kConflict);
  EXPECT_TRUE(Is<AttemptFinished>(Finish(a, token)));
  ExpectBothFree();
  EXPECT_TRUE(Is<OperationDone>(Try(b))) << "and takes no lock";
  ExpectBothFree();
}

TEST_F(LockedOperationsTest, NobodyFinishesWhatHasLostItsLock) {
  for (const int how : {0, 1, 2, 3}) {
    Start();
    Client a = Open(5), b = Open(60);
    const Revision token = Attempt(Try(a));
    EXPECT_TRUE(Is<AttemptInProgress>(Wait(b)));
    if (how < 3) {
      const Command commands[] = {
          a.Next(ReleaseLock{"x", token}),
          b.Next(BreakLock{ObjectKind::kLock, "", "x", token, "stuck"}),
          b.Next(BreakLock{ObjectKind::kOperation, "pay", "k", token, ""}),
      };
      EXPECT_EQ(Do(commands[how]).code, ReplyCode::kOk);
      EXPECT_EQ(Told<LockLostEvent>(a).size(), how == 0 ? 0u : 1u);
    } else {
      Pass(5);
    }
    const AttemptStartedEvent next = Begun(b);
    EXPECT_GT(next.token, token) << how;
    EXPECT_EQ(next.attempts, 2u);
    EXPECT_EQ(next.scope, "pay");
    EXPECT_EQ(next.key, "k");
    EXPECT_EQ(Look("x").holder.token, next.token);
    EXPECT_EQ(Finish(a, token).code, how == 3 ? ReplyCode::kSessionEnded : ReplyCode::kNotHeld);
    EXPECT_TRUE(Is<AttemptFinished>(Finish(b, next.token)));
    ExpectBothFree();
  }
}

TEST_F(LockedOperationsTest, TheRecordIsMadeOnlyAtTheGrant) {
  Client holder = Open(60), a = Open(60);
  const Revision held = Token(Acquire(holder, "x"));
  EXPECT_TRUE(Is<AttemptInProgress>(Wait(a)));
  EXPECT_EQ(See().state, OperationState::kAbsent);
  EXPECT_EQ(machine.key_count(), 0u);
  Release(holder, "x", held);
  EXPECT_GT(Begun(a).token, held);
  EXPECT_EQ(See().state, OperationState::kInProgress);
  EXPECT_EQ(machine.key_count(), 1u);
}

TEST_F(LockedOperationsTest, TheRecordIsLookedAtAgainAtTheGrant) {
  Client a = Open(60), b = Open(60), c = Open(60), other = Open(60);
  const Revision first = Attempt(Try(a));
  EXPECT_TRUE(Is<AttemptInProgress>(Wait(b)));
  Begin mismatch = Ask();
  mismatch.fingerprint = "43 EUR";
  EXPECT_EQ(Do(other.Next(mismatch)).code, ReplyCode::kMismatch);
  EXPECT_TRUE(Is<LockQueued>(Acquire(c, "x", kWaitForever)));
  Finish(a, first);
  // b's wait is over without the lock, which goes on to c.
  ASSERT_EQ(Told<OperationEndedEvent>(b).size(), 1u);
  EXPECT_EQ(Told<OperationEndedEvent>(b)[0].scope, "pay");
  EXPECT_EQ(Told<OperationEndedEvent>(b)[0].key, "k");
  EXPECT_NE(Granted(c), 0u);
  EXPECT_TRUE(Is<OperationDone>(Try(b)));

  // Another fingerprint, begun while it waited.
  Begin late = Ask("l");
  EXPECT_TRUE(Is<AttemptInProgress>(Do(b.Next(late))));
  Begin without = Ask("l", 0);
  without.lock.clear();
  without.fingerprint = "43 EUR";
  Attempt(Do(other.Next(without)));
  Release(c, "x", Look("x").holder.token);
  EXPECT_EQ(Told<OperationEndedEvent>(b).size(), 1u);
  EXPECT_EQ(Look("x").holder.session, 0u);
  EXPECT_EQ(Do(b.Next(late)).code, ReplyCode::kMismatch);
}

// While others share the lock, the record is not looked at, though somebody else tries for the
// lock.
TEST_F(LockedOperationsTest, TheRecordIsNotLookedAtWhileTheLockIsShared) {
  Client sharer = Open(60), waiter = Open(60), other = Open(60);
  AcquireLock share{"x", 0, ""};
  share.mode = LockMode::kShared;
  const Revision shared = Token(Do(sharer.Next(share)));
  EXPECT_TRUE(Is<AttemptInProgress>(Wait(waiter)));
  const Revision token = Attempt(Plain(other));
  EXPECT_TRUE(Is<LockHeld>(Acquire(other, "x")));
  EXPECT_EQ(Told<OperationEndedEvent>(waiter).size(), 0u);
  EXPECT_EQ(Look("x").waiting, 1u);
  Finish(other, token, Outcome::kAbandoned);
  Release(sharer, "x", shared);
  EXPECT_GT(Begun(waiter).token, token);
}

TEST_F(LockedOperationsTest, TheDeadKeepNobodyFromAKeyThatIsNotClearedAwayYet) {
  Client dead = Open(4), waiter = Open(60);
  Token(Acquire(dead, "x"));
  EXPECT_TRUE(Is<AttemptInProgress>(Wait(waiter)));
  // Of its two, the lock is given away before the key is looked at.
  const Revision token = Attempt(Plain(dead));
  Pass(5);
  EXPECT_EQ(Told<OperationEndedEvent>(waiter).size(), 0u);
  EXPECT_GT(Begun(waiter).token, token);
  EXPECT_EQ(See().lock, "x");
  EXPECT_EQ(See().attempts, 2u);
}

TEST_F(LockedOperationsTest, AllNameTheSameLock) {
  Client a = Open(60), b = Open(60);
  const Revision token = Attempt(Plain(a));
  EXPECT_EQ(Try(b).code, ReplyCode::kConflict);
  EXPECT_EQ(Wait(b).code, ReplyCode::kConflict);
  EXPECT_EQ(Look("x").holder.session, 0u);
  Finish(a, token, Outcome::kAbandoned);
  Begin elsewhere = Ask();
  elsewhere.lock = "y";
  const Revision other = Attempt(Do(a.Next(elsewhere)));
  EXPECT_EQ(Wait(b).code, ReplyCode::kConflict);
  // Whoever names none waits for the key alone.
  EXPECT_TRUE(Is<AttemptInProgress>(Plain(b, kWaitForever)));
  EXPECT_TRUE(Is<LockReleased>(Release(a, "y", other)));
  EXPECT_NE(Begun(b).token, 0u);
  EXPECT_EQ(See().lock, "");
  EXPECT_EQ(Look("y").holder.session, 0u);
}

TEST_F(LockedOperationsTest, AnOverdueAttemptGivesUpItsLockToWhoeverComes) {
  Client slow = Open(60), next = Open(60);
  // Until somebody does, its token still finishes it.
  Revision token = Attempt(Do(slow.Next(Ask("k", 0, 5 * kSecond))));
  Pass(20);
  EXPECT_EQ(Look("x").holder.session, slow.session);
  EXPECT_TRUE(Is<AttemptFinished>(Finish(slow, token)));
  ExpectBothFree();
  // Who waits gets it when the deadline passes,
  token = Attempt(Do(slow.Next(Ask("l", 0, 5 * kSecond))));
  EXPECT_TRUE(Is<LockQueued>(Acquire(next, "x", kWaitForever)));
  Pass(5);
  ASSERT_EQ(Told<LockLostEvent>(slow).size(), 1u);
  EXPECT_EQ(Told<LockLostEvent>(slow)[0].token, token);
  EXPECT_EQ(Told<LockLostEvent>(slow)[0].acquire, slow.last);
  EXPECT_THAT(Told<LockLostEvent>(slow)[0].by, StartsWith("taken over by host:1 (session "));
  const Revision granted = Granted(next);
  EXPECT_GT(granted, token);
  EXPECT_EQ(Finish(slow, token, Outcome::kCompleted, "l").code, ReplyCode::kNotHeld);
  EXPECT_EQ(See("l").state, OperationState::kClaimable);
  Release(next, "x", granted);
  // or whoever tries later, for the lock, for the same or another key, or for the key alone.
  for (const int how : {0, 1, 2, 3}) {
    const std::string key = absl::StrCat("m", how);
    token = Attempt(Do(slow.Next(Ask(key, 0, 5 * kSecond))));
    Pass(6);
    Begin alone = Ask(key, 0);
    alone.lock.clear();
    const Reply reply = how == 0   ? Acquire(next, "x")
                        : how == 1 ? Do(next.Next(Ask(key, 0)))
                        : how == 2 ? Do(next.Next(Ask("other", 0)))
                                   : Do(next.Next(alone));
    const Revision got = how == 0 ? Token(reply) : Attempt(reply);
    EXPECT_EQ(Told<LockLostEvent>(slow).size(), 1u) << "once, whatever was taken";
    EXPECT_GT(got, token) << how;
    EXPECT_EQ(Finish(slow, token, Outcome::kCompleted, key).code, ReplyCode::kNotHeld) << how;
    EXPECT_EQ(Look("x").holder.session, how == 3 ? 0 : next.session) << how;
    if (how == 0) Release(next, "x", got);
    if (how == 1 || how == 3) Finish(next, got, Outcome::kCompleted, key);
    if (how == 2) Finish(next, got, Outcome::kCompleted, "other");
    EXPECT_EQ(machine.lock_count(), 0u) << how;
  }
}

TEST_F(LockedOperationsTest, FirstComeFirstServedWhateverTheyWant) {
  Client holder = Open(60), a = Open(60), b = Open(60), c = Open(60);
  const Revision held = Token(Acquire(holder, "x"));
  EXPECT_TRUE(Is<LockQueued>(Acquire(a, "x", kWaitForever)));
  EXPECT_TRUE(Is<AttemptInProgress>(Wait(b)));
  EXPECT_TRUE(Is<LockQueued>(Acquire(c, "x", kWaitForever)));
  EXPECT_TRUE(Is<AttemptInProgress>(Try(c)));
  Release(holder, "x", held);
  Release(a, "x", Granted(a));
  const Revision token = Begun(b).token;
  EXPECT_NE(token, 0u);
  Finish(b, token, Outcome::kFailed);
  EXPECT_NE(Granted(c), 0u);
  EXPECT_EQ(See().state, OperationState::kFailed);
}

TEST_F(LockedOperationsTest, T14_CancelRacesTheGrantAndEndsInExactlyOneOfTheTwo) {
  Client holder = Open(60), a = Open(60);
  const Revision held = Token(Acquire(holder, "x"));
  Wait(a);
  const Sequence asked = a.last;
  EXPECT_TRUE(Is<WaitCancelled>(Cancel(a, asked)));
  EXPECT_EQ(Look("x").waiting, 0u);
  Wait(a);
  const Sequence again = a.last;
  Release(holder, "x", held);
  const Revision token = Begun(a).token;
  const Reply late = Cancel(a, again);
  ASSERT_TRUE(Is<AttemptStarted>(late));
  EXPECT_EQ(std::get<AttemptStarted>(late.result).token, token);
  EXPECT_TRUE(Is<AttemptFinished>(Finish(a, token, Outcome::kAbandoned)));
  ExpectBothFree();
  // A wait that ends by its deadline leaves nothing either.
  Token(Acquire(holder, "x"));
  Do(a.Next(Ask("k", kSecond)));
  Pass(2);
  EXPECT_EQ(Told<WaitEndedEvent>(a).size(), 1u);
  Release(holder, "x", Look("x").holder.token);
  ExpectBothFree();
}

TEST_F(LockedOperationsTest, T10_ANewClusterGrantsNeitherBeforeItsTime) {
  Start({.grants_from_ns = 20 * kSecond});
  Client a = Open(60);
  const Reply tried = Try(a);
  ASSERT_TRUE(Is<AttemptInProgress>(tried));
  EXPECT_EQ(std::get<AttemptInProgress>(tried.result).held_back_ns, 20 * kSecond);
  EXPECT_TRUE(Is<AttemptInProgress>(Wait(a)));
  Pass(19);
  EXPECT_EQ(Begun(a).token, 0u);
  Pass(1);
  EXPECT_NE(Begun(a).token, 0u);
}

TEST_F(LockedOperationsTest, BadRequestsAndFullTablesTakeNeither) {
  Genesis genesis;
  genesis.limits.locks_per_session_max = 2;
  Start(genesis);
  Client a = Open(60);
  Begin bad = Ask();
  bad.lock = std::string(genesis.limits.name_bytes_max + 1, 'x');
  EXPECT_EQ(Do(a.Next(bad)).code, ReplyCode::kInvalid);
  bad = Ask();
  bad.value = std::string(genesis.limits.value_bytes_max + 1, 'x');
  EXPECT_EQ(Do(a.Next(bad)).code, ReplyCode::kInvalid);
  const Revision one = Token(Acquire(a, "other"));
  EXPECT_EQ(Try(a).code, ReplyCode::kLimit) << "it would be the second and the third";
  EXPECT_EQ(machine.lock_count(), 1u);
  EXPECT_EQ(machine.key_count(), 0u);
  Release(a, "other", one);
  EXPECT_NE(Attempt(Try(a)), 0u);
  EXPECT_EQ(Acquire(a, "other").code, ReplyCode::kLimit);
  Client b = Open(60);
  AcquireLock permit{"s", 0, ""};
  permit.mode = LockMode::kPermits;
  permit.permits = permit.total = 1;
  Token(Do(b.Next(permit)));
  Begin semaphore = Ask("other");
  semaphore.lock = "s";
  EXPECT_EQ(Do(b.Next(semaphore)).code, ReplyCode::kConflict);
}

// Past the attempt's deadline whoever wants the lock may have it, also with others.
TEST_F(LockedOperationsTest, ASetTakesALockWhoseAttemptIsOverdue) {
  AcquireAll both;
  both.locks = {{"x", LockMode::kShared}, {"y", LockMode::kExclusive}};
  for (const std::int64_t wait_ns : {std::int64_t{0}, kWaitForever}) {
    Start();
    Client a = Open(60), b = Open(60);
    const Revision token = Attempt(Do(a.Next(Ask("k", 0, kSecond))));
    Pass(2);
    both.wait_ns = wait_ns;
    EXPECT_GT(Token(Do(b.Next(both))), token);
    EXPECT_EQ(Look("x").holder.session, b.session);
    EXPECT_EQ(See().state, OperationState::kClaimable);
    EXPECT_EQ(Finish(a, token).code, ReplyCode::kNotHeld);
  }
}

// Until then it may still finish: who cannot have the lock takes it from nobody.
TEST_F(LockedOperationsTest, ASetThatWaitsForAnotherLockTakesNothingFromAnOverdueAttempt) {
  for (const bool finishes : {true, false}) {
    Start();
    Client a = Open(60), b = Open(60), c = Open(60);
    const Revision token = Attempt(Do(a.Next(Ask("k", 0, kSecond))));
    const Revision other = Token(Acquire(c, "y"));
    AcquireAll both;
    both.locks = {{"x"}, {"y"}};
    both.wait_ns = kWaitForever;
    EXPECT_TRUE(Is<LockQueued>(Do(b.Next(both))));
    Pass(2);
    EXPECT_EQ(Granted(b), 0u);
    if (finishes) Finish(a, token);
    EXPECT_EQ(See().state, finishes ? OperationState::kDone : OperationState::kClaimable);
    EXPECT_EQ(Look("x").holder.session, finishes ? 0 : a.session);
    Release(c, "y", other);
    EXPECT_GT(Granted(b), other);
    EXPECT_EQ(Look("x").holder.session, b.session);
    EXPECT_EQ(Finish(a, token).code, ReplyCode::kNotHeld);
  }
}

TEST_F(LockedOperationsTest, ASnapshotHasBothAsOneAndWhoWaits) {
  Client a = Open(60), b = Open(60);
  const Revision token = Attempt(Try(a));
  Wait(b);
  std::string bytes, chunk;
  {
    const std::unique_ptr<SnapshotReader> reader = machine.Freeze();
    // What changes while it is read is in it as it was.
    machine.Apply(now, {a.Next(ReleaseLock{"x", token})});
    while (reader->Next(100, &chunk)) bytes += chunk;
  }
  SnapshotWriter writer;
  ASSERT_TRUE(writer.Add(bytes).ok());
  absl::StatusOr<Machine> restored = writer.Finish();
  ASSERT_TRUE(restored.ok()) << restored.status();
  machine = *std::move(restored);
  EXPECT_EQ(See().lock, "x");
  EXPECT_EQ(See().holder.token, token);
  EXPECT_EQ(Look("x").holder.token, token);
  EXPECT_TRUE(Is<LockReleased>(Release(a, "x", token)));
  const Revision next = Begun(b).token;
  EXPECT_GT(next, token);
  EXPECT_EQ(Finish(a, token).code, ReplyCode::kNotHeld);
  EXPECT_TRUE(Is<AttemptFinished>(Finish(b, next)));
  ExpectBothFree();
}

// Behind an attempt that is overdue at x waits a set that cannot have all yet, and somebody behind
// it.
class OverdueBehindASetTest : public LockedOperationsTest {
 protected:
  void SetUp() override {
    LockedOperationsTest::SetUp();
    for (Client* client : {&late_, &elsewhere_, &all_, &next_, &other_}) *client = Open(60);
  }
  void Wait(Operation wanted) {
    Attempt(Do(late_.Next(Ask("k", 0, 5 * kSecond))));
    Token(Acquire(elsewhere_, "y"));
    EXPECT_TRUE(Is<LockQueued>(Do(all_.Next(AcquireAll{{{"x"}, {"y"}}, kWaitForever, "v", ""}))));
    const Sequence set = all_.last;
    Do(next_.Next(std::move(wanted)));
    Pass(6);
    EXPECT_EQ(Look("x").holder.session, late_.session);  // may still finish
    EXPECT_TRUE(Is<WaitCancelled>(Cancel(all_, set)));
  }
  Client late_, elsewhere_, all_, next_, other_;
};

TEST_F(OverdueBehindASetTest, WhoIsNextHasTheLockOnceTheSetLeaves) {
  Wait(AcquireLock{"x", kWaitForever, ""});
  EXPECT_EQ(Look("x").holder.session, next_.session);
  EXPECT_EQ(Look("x").waiting, 0u);
}

TEST_F(OverdueBehindASetTest, OneAttemptsTheKeyThoughAnotherAsksWithoutTheLock) {
  Wait(Ask());
  Plain(other_);
  EXPECT_EQ(Look("x").holder.session, next_.session);
  EXPECT_EQ(See().holder.token, Look("x").holder.token);
  EXPECT_TRUE(Is<AttemptFinished>(Finish(next_, See().holder.token)));
}

TEST_F(OverdueBehindASetTest, AKeyIsNotForgottenUnderWhoBeginsIt) {
  Wait(Ask());
  EXPECT_EQ(Do(other_.Next(Forget{"pay", "k"})).code, ReplyCode::kConflict);
  EXPECT_TRUE(Is<LockQueued>(Acquire(other_, "x", kWaitForever)));
  EXPECT_EQ(See().holder.token, Look("x").holder.token);
}

// The clean-up of an entry has a budget: what dead waiters hold up is settled by whoever comes.
class CleanUpBehindTest : public LockedOperationsTest {
 protected:
  void SetUp() override {
    Genesis genesis;
    genesis.limits.cleanup_per_entry = 2;
    Start(genesis);
    Client late = Open(60), dead = Open(4);
    waiter_ = Open(60);
    other_ = Open(60);
    Attempt(Do(late.Next(Ask("k", 0, 5 * kSecond))));
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(Is<LockQueued>(Acquire(dead, "x", kWaitForever)));
    EXPECT_TRUE(Is<AttemptInProgress>(Wait(waiter_)));
    now += 6 * kSecond;
  }
  Client waiter_, other_;
};

TEST_F(CleanUpBehindTest, OneAttemptsTheKey) {
  const int started = Is<AttemptStarted>(Plain(other_)) + (Begun(waiter_).token != 0);
  EXPECT_EQ(started, 1);
}

TEST_F(CleanUpBehindTest, AKeyIsForgottenWhole) {
  Do(other_.Next(Forget{"pay", "k"}));
  Pass(1);
  EXPECT_EQ(Look("x").holder.session, waiter_.session);
  EXPECT_EQ(See().holder.token, Look("x").holder.token);
  Acquire(other_, "x");
}

}  // namespace
}  // namespace tenure::machine
