// Attempts over a network that fails.
#include "tenure/idempotency.h"

#include <utility>

#include "client/fixture.h"
#include "gmock/gmock.h"
#include "tenure/errors.h"

namespace tenure::client {
namespace {

using ::testing::HasSubstr;

class AttemptTest : public ClientTest {
 protected:
  absl::StatusOr<Begun> Begin(Session& session, BeginOptions options = {}) {
    Caught<absl::StatusOr<Begun>> begun;
    session.idempotency("s").Begin("k", "f", std::move(options), begun.Callback());
    EXPECT_TRUE(world_.RunUntil([&] { return begun.here(); }, absl::Hours(1)));
    return std::move(*begun);
  }
  OperationState State() { return rival_.idempotency("s").Get("k")->state; }
  absl::Status Told(Caught<absl::Status>& status) {
    EXPECT_TRUE(world_.RunUntil([&] { return status.here(); }, absl::Hours(1)));
    return *status;
  }
};

TEST_F(AttemptTest, ARetriedBeginMeetsItsOwnAttempt) {
  Session session = Open();
  First<tenure::Begin>(2, Fate::kLoseReply);
  const auto begun = Begin(session, {.wait = absl::Minutes(1)});
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_EQ(begun->state, Begun::State::kStarted);
  EXPECT_EQ(begun->attempt.number(), 1u);
  EXPECT_EQ(net_->Count<tenure::Begin>(), 3u);
}

TEST_F(AttemptTest, ACompletionWhoseAnswerIsLostIsStoredOnce) {
  Session session = Open();
  auto begun = Begin(session);
  First<FinishAttempt>(3, Fate::kLoseReply);
  Caught<absl::Status> done;
  begun->attempt.Complete("once", absl::Seconds(30), done.Callback());
  EXPECT_TRUE(Told(done).ok()) << *done;
  EXPECT_EQ(net_->Count<FinishAttempt>(), 4u);
  EXPECT_EQ(rival_.idempotency("s").Get("k")->response, "once");
}

// I1: its session was over, and another one has the key.
TEST_F(AttemptTest, I1AnExecutorThatWasPausedPastItsLeaseIsRefused) {
  Session session = Open();
  auto paused = Begin(session);
  EXPECT_TRUE(paused->attempt.Valid());
  node_.Pause();
  Caught<absl::StatusOr<Begun>> next;
  rival_.idempotency("s").Begin("k", "f", {.wait = absl::Hours(1)}, next.Callback());
  ASSERT_TRUE(world_.RunUntil([&] { return next.here(); }, absl::Hours(1)));
  ASSERT_EQ((*next)->state, Begun::State::kStarted);
  EXPECT_GT((*next)->attempt.token(), paused->attempt.token());
  node_.Resume();
  EXPECT_FALSE(paused->attempt.Valid());
  Caught<absl::Status> late;
  paused->attempt.Complete("late", absl::Seconds(5), late.Callback());
  EXPECT_EQ(Told(late).code(), absl::StatusCode::kAborted);
  Caught<absl::Status> first;
  (*next)->attempt.Complete("right", absl::Seconds(5), first.Callback());
  EXPECT_TRUE(Told(first).ok());
  EXPECT_EQ(rival_.idempotency("s").Get("k")->response, "right");
}

// I2: whoever dies without a word holds the key for its TTL, and not for ever.
TEST_F(AttemptTest, I2AnExecutorThatDiedHoldsTheKeyForItsLease) {
  Session session = Open({.ttl = absl::Seconds(5)});
  const auto begun = Begin(session);
  CutOff();
  EXPECT_EQ(State(), OperationState::kInProgress);
  world_.RunFor(absl::Seconds(4));
  EXPECT_EQ(State(), OperationState::kInProgress);
  world_.RunFor(absl::Seconds(2));
  EXPECT_NE(State(), OperationState::kInProgress);
}

// What is granted after its caller has left goes back at once: by the event, and by the cancel.
TEST_F(AttemptTest, AnAttemptThatNobodyWantsIsAbandoned) {
  // The machine's clock is the slower one, so that the wait is over for the client first.
  server_.SetClockDrift(tenure::testing::Clock::kBoottime, -0.005);
  server_.SetClockDrift(tenure::testing::Clock::kMonotonicRaw, -0.005);
  Caught<absl::StatusOr<Begun>> held;
  rival_.idempotency("s").Begin("k", "f", {}, held.Callback());
  ASSERT_TRUE(held.here());
  Session session = Open();
  net_->hold_events = true;
  Only<CancelWait>(Fate::kHold);
  const auto late = Begin(session, {.wait = absl::Seconds(2)});
  ASSERT_TRUE(late.ok()) << late.status();
  EXPECT_EQ(late->state, Begun::State::kInProgress);
  *held = absl::UnknownError("given up");  // the machine starts the waiting one
  EXPECT_EQ(State(), OperationState::kInProgress);
  Heal();
  net_->ReleaseEvents();
  EXPECT_EQ(net_->Count<FinishAttempt>(), 1u);
  EXPECT_EQ(State(), OperationState::kClaimable) << "at once, though the cancel has no answer yet";
  ASSERT_EQ(net_->held(), 1u);
  net_->Release();
  world_.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(State(), OperationState::kClaimable);
}

TEST_F(AttemptTest, ACancelThatMeetsAnAttemptAbandonsIt) {
  Session session = Open();
  First<tenure::Begin>(1, Fate::kHoldReply);
  std::stop_source stop;
  Caught<absl::StatusOr<Begun>> waiting;
  session.idempotency("s").Begin("k", "f", {.wait = absl::Hours(1), .cancel = stop.get_token()},
                                 waiting.Callback());
  EXPECT_EQ(State(), OperationState::kInProgress);
  stop.request_stop();
  ASSERT_TRUE(waiting.here());
  EXPECT_EQ(waiting->status().code(), absl::StatusCode::kCancelled);
  world_.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(State(), OperationState::kClaimable);
}

// A waiter gets the outcome though the command that asks for it is lost.
TEST_F(AttemptTest, AnOutcomeReachesWhoWaitsOverFailures) {
  Caught<absl::StatusOr<Begun>> other;
  rival_.idempotency("s").Begin("k", "f", {}, other.Callback());
  Session session = Open();
  Caught<absl::StatusOr<Begun>> waiting;
  session.idempotency("s").Begin("k", "f", {.wait = absl::Minutes(1)}, waiting.Callback());
  First<tenure::Begin>(2, Fate::kLoseRequest);
  Caught<absl::Status> done;
  (*other)->attempt.Complete("there", absl::Seconds(5), done.Callback());
  ASSERT_TRUE(world_.RunUntil([&] { return waiting.here(); }, absl::Minutes(1)));
  ASSERT_TRUE(waiting->ok()) << waiting->status();
  EXPECT_EQ((*waiting)->state, Begun::State::kDone);
  EXPECT_EQ(*(*waiting)->outcome.result, "there");
}

// The wait that asks for the outcome is the rest of the caller's, not another one.
TEST_F(AttemptTest, AWaitIsNotLongerForTheOutcomeItMisses) {
  Caught<absl::StatusOr<Begun>> other;
  rival_.idempotency("s").Begin("k", "f", {}, other.Callback());
  Session session = Open();
  Caught<absl::StatusOr<Begun>> waiting;
  session.idempotency("s").Begin("k", "f", {.wait = absl::Seconds(5)}, waiting.Callback());
  world_.RunFor(absl::Seconds(3));
  Only<tenure::Begin>(Fate::kLoseRequest);
  Caught<absl::Status> done;
  (*other)->attempt.Complete("there", absl::Seconds(5), done.Callback());
  world_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(waiting.here());
  world_.RunFor(absl::Seconds(1) + absl::Milliseconds(1));
  ASSERT_TRUE(waiting.here());
  EXPECT_EQ(waiting->status().code(), absl::StatusCode::kUnavailable);
}

// A late checkpoint must not undo the next one.
TEST_F(AttemptTest, CheckpointsNeverOvertakeOneAnother) {
  Session session = Open();
  auto begun = Begin(session);
  Only<tenure::Checkpoint>(Fate::kTimeOut);
  Caught<absl::Status> first;
  begun->attempt.Checkpoint("one", absl::Seconds(1), first.Callback());
  EXPECT_EQ(Told(first).code(), absl::StatusCode::kDeadlineExceeded);
  Caught<absl::Status> second;
  begun->attempt.Checkpoint("two", absl::Seconds(1), second.Callback());
  EXPECT_EQ(Told(second).code(), absl::StatusCode::kUnavailable);
  Heal();
  world_.RunFor(absl::Seconds(1));  // the first goes on in the background
  EXPECT_EQ(rival_.idempotency("s").Get("k")->point, "one");
  Caught<absl::Status> third;
  begun->attempt.Checkpoint("three", absl::Seconds(1), third.Callback());
  EXPECT_TRUE(Told(third).ok());
  EXPECT_EQ(rival_.idempotency("s").Get("k")->point, "three");
}

// The destructor must not abandon what is being completed.
TEST_F(AttemptTest, ACompletionUnderWayIsNotAbandoned) {
  Session session = Open();
  Only<FinishAttempt>(Fate::kLoseRequest);
  {
    auto begun = Begin(session);
    Caught<absl::Status> done;
    begun->attempt.Complete("kept", absl::Seconds(1), done.Callback());
    EXPECT_EQ(Told(done).code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_THAT(done->message(), HasSubstr("in the background"));
  }
  Heal();
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(State(), OperationState::kDone);
}

// Nor hold a key for a completion that was refused after its attempt was gone.
TEST_F(AttemptTest, ARefusedCompletionWithoutItsAttemptAbandons) {
  Session session = Open();
  First<FinishAttempt>(1, Fate::kHold);
  {
    auto begun = Begin(session);
    begun->attempt.Complete(std::string(70'000, 'x'), absl::Seconds(1), [](const absl::Status&) {});
  }
  EXPECT_EQ(State(), OperationState::kInProgress);
  net_->Release();
  world_.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(State(), OperationState::kClaimable);
}

// A backend that refuses everything, as one that was shut down does, is not asked for ever.
TEST_F(AttemptTest, AnAbandonThatIsRefusedIsGivenUp) {
  Session session = Open();
  Only<FinishAttempt>(Fate::kRefuse);
  { const auto dropped = Begin(session); }
  world_.RunFor(absl::Seconds(5));
  EXPECT_EQ(net_->Count<FinishAttempt>(), 1u);
}

// A completion that the backend refuses leaves the attempt as it is; without one, abandons it.
TEST_F(AttemptTest, ACompletionThatIsRefusedLeavesTheAttempt) {
  Session session = Open();
  First<FinishAttempt>(2, Fate::kRefuse);
  {
    auto begun = Begin(session);
    Caught<absl::Status> refused;
    begun->attempt.Complete("one", absl::Seconds(1), refused.Callback());
    EXPECT_EQ(Told(refused).code(), absl::StatusCode::kUnimplemented);
    EXPECT_TRUE(begun->attempt.Valid());
    begun->attempt.Complete("two", absl::Seconds(1), [](const absl::Status&) {});
  }  // it is gone when the second refusal comes
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(State(), OperationState::kClaimable);
  EXPECT_EQ(net_->Count<FinishAttempt>(), 3u);
}

// What an administrator breaks is told to whoever has it, once.
TEST_F(AttemptTest, ABrokenAttemptIsLost) {
  Session session = Open();
  auto begun = Begin(session);
  int told = 0;
  const std::stop_callback on_lost(begun->attempt.lost(), [&told] { ++told; });
  Command command;
  command.key = {7, 7};
  command.operation = OpenSession{10'000'000'000, "admin"};
  SessionId admin = 0;
  machine_->Call(command, {}, [&](absl::StatusOr<Reply> reply) {
    admin = std::get<SessionOpened>(reply->result).session;
  });
  command.session = admin;
  command.sequence = 1;
  BreakLock broken;
  broken.kind = ObjectKind::kOperation;
  broken.scope = "s";
  broken.name = "k";
  broken.token = begun->attempt.token();
  broken.reason = "stuck";
  command.operation = broken;
  machine_->Call(command, {}, [](absl::StatusOr<Reply> reply) {
    EXPECT_EQ(reply->code, ReplyCode::kOk) << reply->message;
  });
  EXPECT_FALSE(begun->attempt.Valid());
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(session.Valid());
  Caught<absl::Status> late;
  begun->attempt.Complete("late", absl::Seconds(5), late.Callback());
  EXPECT_EQ(Told(late).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(told, 1);
}

// The digest of FIPS 180-4's example "abc".
TEST(FingerprintTest, IsSha256) {
  EXPECT_EQ(Fingerprint("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_NE(Fingerprint(""), Fingerprint(absl::string_view("\0", 1)));
}

}  // namespace
}  // namespace tenure::client
