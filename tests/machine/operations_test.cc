// Operations that take effect once, as clients see them.
#include <algorithm>
#include <string>
#include <vector>

#include "fixture.h"

namespace tenure::machine {
namespace {

class OperationsTest : public MachineTest {
 protected:
  static Begin Ask(const std::string& key, std::int64_t wait_ns = 0,
                   std::int64_t deadline_ns = kWaitForever) {
    Begin begin;
    begin.scope = "pay";
    begin.key = key;
    begin.fingerprint = "42 EUR";
    begin.wait_ns = wait_ns;
    begin.deadline_ns = deadline_ns;
    begin.retention_ns = 100 * kSecond;
    return begin;
  }
  Reply Try(Client& client, std::int64_t wait_ns = 0, std::int64_t deadline_ns = kWaitForever) {
    return Do(client.Next(Ask("k", wait_ns, deadline_ns)));
  }
  Reply Finish(Client& client, Revision token, const std::string& response,
               Outcome outcome = Outcome::kCompleted) {
    return Do(client.Next(FinishAttempt{"pay", "k", token, outcome, response}));
  }
  OperationDescription See(const std::string& key = "k") const {
    return std::get<OperationDescription>(machine.Query(GetOperation{"pay", key}).result);
  }
};

TEST_F(OperationsTest, DoneOnceTheSameForAll) {
  Client a = Open(60), b = Open(60);
  const Revision token = Attempt(Try(a));
  const Reply other = Try(b);
  ASSERT_TRUE(Is<AttemptInProgress>(other));
  EXPECT_EQ(std::get<AttemptInProgress>(other.result).holder.session, a.session);
  EXPECT_EQ(See().state, OperationState::kInProgress);
  EXPECT_TRUE(Is<AttemptFinished>(Finish(a, token, "receipt")));
  for (Client* client : {&a, &b}) {
    const Reply done = Try(*client);
    ASSERT_TRUE(Is<OperationDone>(done));
    EXPECT_EQ(std::get<OperationDone>(done.result).response, "receipt");
    EXPECT_FALSE(std::get<OperationDone>(done.result).failed);
  }
  EXPECT_EQ(See().state, OperationState::kDone);
  EXPECT_EQ(See().response, "receipt");
}

TEST_F(OperationsTest, WhoWaitsLearnsOfTheOutcome) {
  Client a = Open(60), b = Open(60), c = Open(60), late = Open(60);
  const Revision token = Attempt(Try(a));
  EXPECT_TRUE(Is<AttemptInProgress>(Try(b, kWaitForever)));
  EXPECT_TRUE(Is<AttemptInProgress>(Do(c.Next(AwaitOperation{"pay", "k", kWaitForever}))));
  EXPECT_TRUE(Is<AttemptInProgress>(Try(late, kSecond)));
  Pass(2);
  EXPECT_EQ(Told<WaitEndedEvent>(late).size(), 1u);
  EXPECT_EQ(Told<WaitEndedEvent>(late)[0].name, "k");
  Finish(a, token, "receipt");
  ASSERT_EQ(Told<OperationEndedEvent>(b).size(), 1u);
  EXPECT_EQ(Told<OperationEndedEvent>(b)[0].key, "k");
  EXPECT_EQ(Told<OperationEndedEvent>(c).size(), 1u);
  EXPECT_TRUE(Told<OperationEndedEvent>(late).empty());
  EXPECT_TRUE(Is<OperationDone>(Try(b)));
  EXPECT_TRUE(Is<OperationDone>(Do(c.Next(AwaitOperation{"pay", "k", 0}))));
  EXPECT_EQ(Do(c.Next(AwaitOperation{"pay", "nobody's", 0})).code, ReplyCode::kAbsent);
}

TEST_F(OperationsTest, I1_AnAttemptThatWasTakenOverCompletesNothing) {
  Client slow = Open(60), next = Open(60);
  const Revision first = Attempt(Try(slow, 0, 5 * kSecond));
  EXPECT_TRUE(Is<AttemptInProgress>(Try(next, kWaitForever)));
  Pass(5);
  const AttemptStartedEvent second = Begun(next);
  EXPECT_GT(second.token, first);
  EXPECT_EQ(second.attempts, 2u);
  EXPECT_EQ(Finish(slow, first, "stale").code, ReplyCode::kNotHeld);
  EXPECT_EQ(Do(slow.Next(Checkpoint{"pay", "k", first, "x"})).code, ReplyCode::kNotHeld);
  EXPECT_EQ(Do(slow.Next(Extend{"pay", "k", first, kSecond})).code, ReplyCode::kNotHeld);
  EXPECT_TRUE(Is<AttemptFinished>(Finish(next, second.token, "right")));
  EXPECT_EQ(Finish(slow, first, "stale").code, ReplyCode::kNotHeld);
  EXPECT_EQ(See().response, "right");
}

// Who only waits does not shorten what another one's outcome is kept for; it may lengthen it.
TEST_F(OperationsTest, WhoWaitsKeepsAnOutcomeNoShorter) {
  for (const std::int64_t waiters_s : {1, 1000}) {
    Start();
    Client a = Open(60), b = Open(60);
    const Revision token = Attempt(Try(a));  // kept for 100 s
    Begin waiter = Ask("k", kSecond);
    waiter.retention_ns = waiters_s * kSecond;
    EXPECT_TRUE(Is<AttemptInProgress>(Do(b.Next(waiter))));
    Pass(2);
    EXPECT_TRUE(Is<AttemptFinished>(Finish(a, token, "receipt")));
    const Reply done = Try(b);
    ASSERT_TRUE(Is<OperationDone>(done));
    EXPECT_EQ(std::get<OperationDone>(done.result).expires_in_ns,
              std::max<std::int64_t>(100, waiters_s) * kSecond);
  }
}

TEST_F(OperationsTest, UntilItIsClaimedAnOverdueTokenStillCompletes) {
  Client slow = Open(60), late = Open(60);
  const Revision token = Attempt(Try(slow, 0, 5 * kSecond));
  Pass(20);
  EXPECT_EQ(See().state, OperationState::kClaimable);
  EXPECT_TRUE(Is<AttemptFinished>(Finish(slow, token, "done")));
  EXPECT_TRUE(Is<OperationDone>(Try(late)));
}

TEST_F(OperationsTest, AnOverdueAttemptIsTakenOverByWhoeverComes) {
  Client slow = Open(60), next = Open(60);
  const Revision first = Attempt(Try(slow, 0, 5 * kSecond));
  Do(slow.Next(Checkpoint{"pay", "k", first, "charged"}));
  Pass(4.9);
  EXPECT_TRUE(Is<AttemptInProgress>(Try(next)));
  Pass(0.2);
  const Reply taken = Try(next);
  EXPECT_GT(Attempt(taken), first);
  EXPECT_EQ(std::get<AttemptStarted>(taken.result).point, "charged");
  EXPECT_EQ(Finish(slow, first, "stale").code, ReplyCode::kNotHeld);
}

TEST_F(OperationsTest, CheckpointAndExtendPutTheDeadlineOff) {
  Client a = Open(60), b = Open(60);
  const Revision token = Attempt(Try(a, 0, 5 * kSecond));
  Pass(4);
  EXPECT_TRUE(Is<AttemptExtended>(Do(a.Next(Checkpoint{"pay", "k", token, "p"}))));
  Pass(4);
  EXPECT_TRUE(Is<AttemptInProgress>(Try(b)));
  EXPECT_TRUE(Is<AttemptExtended>(Do(a.Next(Extend{"pay", "k", token, 20 * kSecond}))));
  Pass(19);
  EXPECT_TRUE(Is<AttemptInProgress>(Try(b)));
  // Also when it was overdue already, but not claimed.
  Pass(2);
  EXPECT_TRUE(Is<AttemptExtended>(Do(a.Next(Extend{"pay", "k", token, 20 * kSecond}))));
  EXPECT_TRUE(Is<AttemptInProgress>(Try(b)));
}

TEST_F(OperationsTest, I2_ACrashFreesTheKeyAndNoDeadlineIsZero) {
  Client crashed = Open(10), waiter = Open(60), late = Open(60);
  EXPECT_EQ(Try(crashed, 0, 0).code, ReplyCode::kInvalid);
  EXPECT_EQ(Try(crashed, 0, -1).code, ReplyCode::kInvalid);
  Begin unkept = Ask("k");
  unkept.retention_ns = 0;
  EXPECT_EQ(Do(crashed.Next(unkept)).code, ReplyCode::kInvalid);
  const Revision first = Attempt(Try(crashed));
  EXPECT_TRUE(Is<AttemptInProgress>(Try(late))) << "it is not open at once";
  EXPECT_TRUE(Is<AttemptInProgress>(Try(waiter, kWaitForever)));
  Pass(9);
  EXPECT_EQ(Begun(waiter).token, 0u);
  Pass(1);
  EXPECT_GT(Begun(waiter).token, first) << "and not locked for ever";
}

TEST_F(OperationsTest, I3_TheSameKeyWithAnotherFingerprintIsAMismatch) {
  Client a = Open(60), b = Open(60);
  const Revision token = Attempt(Try(a));
  Begin other = Ask("k", kWaitForever);
  other.fingerprint = "43 EUR";
  EXPECT_EQ(Do(b.Next(other)).code, ReplyCode::kMismatch);
  Finish(a, token, "receipt");
  EXPECT_EQ(Do(b.Next(other)).code, ReplyCode::kMismatch);
  other.scope = "refund";
  EXPECT_TRUE(Is<AttemptStarted>(Do(b.Next(other)))) << "another scope is another key";
}

TEST_F(OperationsTest, I4_RetentionRunsOnClusterTime) {
  Client a = Open(60), b = Open(60);
  const Revision token = Attempt(Try(a));
  Finish(a, token, "receipt");
  const auto pass = [&](double seconds) {
    for (; seconds > 0; seconds -= 50) {
      Pass(std::min(seconds, 50.0));
      Renew(a);
      Renew(b);
    }
  };
  pass(99.5);
  const Reply done = Try(b);
  ASSERT_TRUE(Is<OperationDone>(done));
  EXPECT_EQ(std::get<OperationDone>(done.result).expires_in_ns, kSecond / 2);
  EXPECT_TRUE(machine.HasDeadline());
  pass(0.5);
  EXPECT_EQ(machine.key_count(), 0u);
  EXPECT_EQ(See().state, OperationState::kAbsent);
  EXPECT_TRUE(Is<AttemptStarted>(Try(b)));
}

TEST_F(OperationsTest, I5_AFailureIsStoredOnlyIfItIsSaidToBe) {
  Client a = Open(60), b = Open(60), waiter = Open(60);
  const Revision first = Attempt(Try(a));
  Try(waiter, kWaitForever);
  EXPECT_TRUE(Is<AttemptFinished>(Finish(a, first, "timeout", Outcome::kAbandoned)));
  const Revision second = Begun(waiter).token;
  EXPECT_GT(second, first) << "a transient failure is nobody's answer";
  Finish(waiter, second, "card declined", Outcome::kFailed);
  const Reply failed = Try(b);
  ASSERT_TRUE(Is<OperationDone>(failed));
  EXPECT_TRUE(std::get<OperationDone>(failed.result).failed);
  EXPECT_EQ(std::get<OperationDone>(failed.result).response, "card declined");
}

TEST_F(OperationsTest, I6_TheNextAttemptLearnsHowFarTheLastOneCame) {
  Client dead = Open(5), next = Open(60), third = Open(60);
  const Revision first = Attempt(Try(dead));
  EXPECT_TRUE(std::get<AttemptStarted>(Do(dead.Make(Ask("k"), 1)).result).point.empty());
  Do(dead.Next(Checkpoint{"pay", "k", first, "reserved"}));
  Do(dead.Next(Checkpoint{"pay", "k", first, "charged"}));
  Try(next, kWaitForever);
  Pass(5);
  EXPECT_EQ(Begun(next).point, "charged");
  EXPECT_EQ(Begun(next).attempts, 2u);
  // Also if nobody waited when it ended.
  Finish(next, Begun(next).token, "", Outcome::kAbandoned);
  Pass(50);
  Renew(third);
  const Reply late = Try(third);
  EXPECT_EQ(std::get<AttemptStarted>(late.result).point, "charged");
  EXPECT_EQ(std::get<AttemptStarted>(late.result).attempts, 3u);
}

TEST_F(OperationsTest, ARetryOfBeginIsTheSameAttempt) {
  Client a = Open(60);
  const Command begin = a.Next(Ask("k"));
  const Revision token = Attempt(Do(begin));
  EXPECT_EQ(Attempt(Do(begin)), token);
  const Command finish = a.Next(FinishAttempt{"pay", "k", token, Outcome::kCompleted, "r"});
  EXPECT_TRUE(Is<AttemptFinished>(Do(finish)));
  EXPECT_TRUE(Is<AttemptFinished>(Do(finish)));
  EXPECT_EQ(Attempt(Do(begin)), token) << "what was answered stays answered";
}

// Outcomes are large: they are not kept a second time to answer retries.
TEST_F(OperationsTest, ARetryThatMeetsTheOutcomeAsksForItAgain) {
  Client a = Open(60);
  Finish(a, Attempt(Try(a)), "r");
  const Command begin = a.Next(Ask("k"));
  EXPECT_TRUE(Is<OperationDone>(Do(begin)));
  EXPECT_TRUE(Is<OperationForgotten>(Do(a.Next(Forget{"pay", "k"}))));
  EXPECT_TRUE(Is<AttemptStarted>(Do(begin)));
}

TEST_F(OperationsTest, CancelRacesAStartAndEndsInExactlyOneOfTheTwo) {
  Client a = Open(60), b = Open(60);
  const Revision token = Attempt(Try(a));
  Try(b, kWaitForever);
  EXPECT_TRUE(Is<WaitCancelled>(Cancel(b, b.last)));
  Try(b, kWaitForever);
  const Sequence begin = b.last;
  Finish(a, token, "", Outcome::kAbandoned);
  const Reply late = Cancel(b, begin);
  ASSERT_TRUE(Is<AttemptStarted>(late));
  EXPECT_EQ(std::get<AttemptStarted>(late.result).token, See().holder.token);
}

TEST_F(OperationsTest, ForgetSparesWhatIsInUse) {
  Client a = Open(60), b = Open(60);
  const auto forget = [&](Client& client) { return Do(client.Next(Forget{"pay", "k"})); };
  EXPECT_TRUE(Is<OperationForgotten>(forget(b))) << "what is not there is forgotten";
  const Revision token = Attempt(Try(a));
  EXPECT_EQ(forget(b).code, ReplyCode::kConflict);
  Finish(a, token, "r");
  EXPECT_TRUE(Is<OperationForgotten>(forget(b)));
  EXPECT_EQ(machine.key_count(), 0u);
  EXPECT_EQ(Finish(a, token, "again").code, ReplyCode::kNotHeld);
  EXPECT_GT(Attempt(Try(b)), token);
}

TEST_F(OperationsTest, TablesAndSizesAreBounded) {
  Genesis genesis;
  genesis.limits.keys_max = 2;
  genesis.limits.key_bytes_max = 100;
  genesis.limits.response_bytes_max = 100;
  genesis.limits.retention_max_ns = 50 * kSecond;
  Start(genesis);
  Client a = Open(60);
  const Revision token = Attempt(Try(a));
  EXPECT_EQ(Finish(a, token, std::string(101, 'x')).code, ReplyCode::kInvalid);
  EXPECT_TRUE(Is<AttemptFinished>(Finish(a, token, std::string(100, 'x'))));
  const Reply full = Do(a.Next(Ask("k2")));
  EXPECT_EQ(full.code, ReplyCode::kLimit);
  EXPECT_NE(full.message.find("100 bytes"), std::string::npos) << full.message;
  EXPECT_EQ(std::get<OperationDone>(Try(a).result).expires_in_ns, 50 * kSecond);
  Do(a.Next(Forget{"pay", "k"}));
  Attempt(Do(a.Next(Ask("k2"))));
  Attempt(Do(a.Next(Ask("k3"))));
  EXPECT_EQ(Do(a.Next(Ask("k4"))).code, ReplyCode::kLimit);
  Begin bad = Ask("");
  EXPECT_EQ(Do(a.Next(bad)).code, ReplyCode::kInvalid);
  bad = Ask("k");
  bad.scope = std::string("a\0b", 3);
  EXPECT_EQ(Do(a.Next(bad)).code, ReplyCode::kInvalid);
}

// Those who overtake it are not its friends: what they cost it, and the cluster, is bounded.
TEST_F(OperationsTest, X4_WhoeverAcknowledgesNothingIsNotToldForEver) {
  Genesis genesis;
  genesis.limits.waits_per_session_max = 10;
  Start(genesis);
  Client late = Open(60), other = Open(60);
  for (int i = 0; i < 100; ++i) {
    late.acknowledged_through = late.last;
    other.acknowledged_through = other.last;
    Begin begin = Ask("k");
    begin.deadline_ns = 1;
    const Revision token = Attempt(Do(late.Next(begin)));
    Pass(0.001);
    EXPECT_TRUE(Is<OperationForgotten>(Do(other.Next(Forget{"pay", "k"}))));
    EXPECT_EQ(Finish(late, token, "late").code, ReplyCode::kNotHeld);
  }
  EXPECT_EQ(machine.EventsAfter(late.session, 0).size(), 10u);
}

TEST_F(OperationsTest, T15_ManyRecordsExpireStepByStep) {
  Genesis genesis;
  genesis.limits.cleanup_per_entry = 10;
  Start(genesis);
  Client a = Open(60);
  for (int i = 0; i < 100; ++i) {
    a.acknowledged_through = a.last;
    const std::string key = "k" + std::to_string(i);
    const Revision token = Attempt(Do(a.Next(Ask(key))));
    Do(a.Next(FinishAttempt{"pay", key, token, Outcome::kCompleted, "r"}));
  }
  EXPECT_EQ(machine.key_count(), 100u);
  Pass(50);
  Renew(a);
  Pass(50);
  EXPECT_EQ(machine.key_count(), 90u);
  EXPECT_TRUE(machine.HasBacklog());
  // Those that are left over are gone all the same.
  EXPECT_EQ(See("k99").state, OperationState::kAbsent);
  EXPECT_TRUE(std::get<OperationList>(machine.Query(ListOperations{"pay", "", 1000}).result)
                  .operations.empty());
  EXPECT_TRUE(Is<AttemptStarted>(Do(a.Next(Ask("k99")))));
  for (int i = 0; machine.HasBacklog(); ++i) {
    ASSERT_LT(i, 20);
    Pass(0);
  }
  EXPECT_EQ(machine.key_count(), 1u);
}

TEST_F(OperationsTest, T10_ANewClusterStartsNoAttemptBeforeItsTime) {
  Genesis genesis;
  genesis.grants_from_ns = 5 * kSecond;
  Start(genesis);
  Client a = Open(60), b = Open(60);
  const Reply held_back = Try(a);
  ASSERT_TRUE(Is<AttemptInProgress>(held_back));
  EXPECT_EQ(std::get<AttemptInProgress>(held_back.result).held_back_ns, 5 * kSecond);
  EXPECT_EQ(machine.key_count(), 0u);
  Try(a, kWaitForever);
  Try(b, kWaitForever);
  Pass(5);
  EXPECT_NE(Begun(a).token, 0u);
  EXPECT_EQ(Begun(b).token, 0u);
}

TEST_F(OperationsTest, ListsAreByKeyWithinAScope) {
  Client a = Open(60);
  for (const char* key : {"b", "a", "c"}) Do(a.Next(Ask(key)));
  Begin other = Ask("aa");
  other.scope = "pay2";
  Do(a.Next(other));
  const auto page = std::get<OperationList>(machine.Query(ListOperations{"pay", "", 2}).result);
  ASSERT_EQ(page.operations.size(), 2u);
  EXPECT_EQ(page.operations[0].key, "a");
  EXPECT_EQ(page.operations[1].key, "b");
  EXPECT_TRUE(page.more);
  const auto rest = std::get<OperationList>(machine.Query(ListOperations{"pay", "b", 2}).result);
  ASSERT_EQ(rest.operations.size(), 1u);
  EXPECT_FALSE(rest.more);
}

}  // namespace
}  // namespace tenure::machine
