// Operations that take effect once.
#include "tenure/idempotency.h"

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/conformance.h"
#include "gmock/gmock.h"
#include "tenure/errors.h"
#include "tenure/session.h"
#include "testing/sanitized.h"

namespace tenure::conformance {
namespace {

using Text = absl::StatusOr<std::string>;

constexpr absl::Duration kLong = absl::Seconds(20);
constexpr std::int64_t kTtlNs = 20'000'000'000;

// Begins where nobody else does.
Begun Start(Coordinator& coordinator, const std::string& key, BeginOptions options = {}) {
  if (options.wait == absl::ZeroDuration()) options.wait = kLong;
  absl::StatusOr<Begun> begun = coordinator.idempotency("s").Begin(key, "f", std::move(options));
  EXPECT_TRUE(begun.ok()) << begun.status();
  if (!begun.ok()) return {};
  EXPECT_EQ(begun->state, Begun::State::kStarted);
  return *std::move(begun);
}

TEST_P(Conformance, AnOperationIsExecutedOnceAndAnswersTheSameToAll) {
  int runs = 0;
  const auto run = [&runs](Attempt& attempt) -> Text {
    EXPECT_GT(attempt.token(), 0u);
    EXPECT_EQ(attempt.number(), 1u);
    EXPECT_TRUE(attempt.Valid());
    return "receipt " + std::to_string(++runs);
  };
  EXPECT_EQ(*one().idempotency("s").Execute("k", "f", run), "receipt 1");
  EXPECT_EQ(*one().idempotency("s").Execute("k", "f", run), "receipt 1");
  EXPECT_EQ(*two().idempotency("s").Execute("k", "f", run), "receipt 1");
  EXPECT_EQ(runs, 1);
  const auto stored = two().idempotency("s").Wait("k");
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(*stored->result, "receipt 1");
  EXPECT_GT(stored->expires_in, absl::Hours(23));
  const auto seen = two().idempotency("s").Get("k");
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->state, OperationState::kDone);
  EXPECT_EQ(*OutcomeOf(*seen), "receipt 1");
}

TEST_P(Conformance, ScopesKeepKeysApart) {
  EXPECT_EQ(*one().idempotency("s").Execute("k", "f", [](Attempt&) -> Text { return "in s"; }),
            "in s");
  EXPECT_EQ(*one().idempotency("t").Execute("k", "g", [](Attempt&) -> Text { return "in t"; }),
            "in t");
  Awaited<absl::StatusOr<OperationList>> list;
  two().idempotency("s").List("", 10, kLong, list.Callback());
  const auto listed = list.Get();
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->operations.size(), 1u);
  EXPECT_EQ(listed->operations[0].key, "k");
  EXPECT_FALSE(listed->more);
}

// One works, all others wait for it and get its answer, without a thread each.
TEST_P(Conformance, ManyCallersAtOnceRunItOnce) {
  constexpr int kCallers = 10;
  std::atomic<int> runs = 0;
  std::vector<std::thread> threads;
  std::vector<Text> answers(kCallers, "");
  for (int i = 0; i < kCallers; ++i) {
    threads.emplace_back([&, i] {
      answers[static_cast<std::size_t>(i)] =
          (i % 2 == 0 ? one() : two()).idempotency("s").Execute("k", "f", [&](Attempt&) -> Text {
            return "run " + std::to_string(++runs);
          });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(runs, 1);
  for (const Text& answer : answers) {
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(*answer, "run 1");
  }
}

// I1: who was taken over completes nothing.
TEST_P(Conformance, I1ALateExecutorIsRefused) {
  // No deadline can be shorter than the time that passes here by itself.
  Begun late = Start(one(), "k", {.deadline = absl::Milliseconds(1)});
  const Begun next = Start(two(), "k");
  EXPECT_GT(next.attempt.token(), late.attempt.token());
  EXPECT_EQ(next.attempt.number(), 2u);
  EXPECT_EQ(late.attempt.Checkpoint("x", kLong).code(), absl::StatusCode::kAborted);
  const absl::Status refused = late.attempt.Complete("late", kLong);
  EXPECT_EQ(refused.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(KindOf(refused), ErrorKind::kRefused);
  EXPECT_EQ(one().idempotency("s").Get("k", kLong)->state, OperationState::kInProgress);
}

// I2: what a vanished executor leaves is free when its session is over, not before.
TEST_P(Conformance, I2ADeadExecutorsKeyIsTakenOver) {
  RawClient dead(one(), {1, 1});
  const SessionId session = dead.Get<SessionOpened>(OpenSession{kTtlNs, "dead"}).session;
  tenure::Begin begin;
  begin.scope = "s";
  begin.key = "k";
  begin.fingerprint = "f";
  const Revision token = dead.Get<AttemptStarted>(begin, session, 1).token;
  const auto now = two().idempotency("s").Begin("k", "f");
  ASSERT_TRUE(now.ok()) << now.status();
  EXPECT_EQ(now->state, Begun::State::kInProgress);
  EXPECT_EQ(now->progress.holder.token, token);
  EXPECT_EQ(now->progress.holder.label, "dead");
  Awaited<absl::StatusOr<Begun>> waiting;
  two().idempotency("s").Begin("k", "f", {.wait = absl::Seconds(60)}, waiting.Callback());
  dead.Get<SessionClosed>(CloseSession{}, session);
  absl::StatusOr<Begun> next = waiting.Get();
  ASSERT_TRUE(next.ok()) << next.status();
  ASSERT_EQ(next->state, Begun::State::kStarted);
  EXPECT_GT(next->attempt.token(), token);
  EXPECT_EQ(next->attempt.number(), 2u);
}

// I3.
TEST_P(Conformance, I3AnotherFingerprintIsRefused) {
  const auto run = [](Attempt&) -> Text { return "done"; };
  EXPECT_TRUE(one().idempotency("s").Execute("k", Fingerprint("10 EUR"), run).ok());
  const Text other = two().idempotency("s").Execute("k", Fingerprint("20 EUR"), run);
  EXPECT_EQ(other.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(KindOf(other.status()), ErrorKind::kRefused);
}

// I5: a failure that passes is tried again; one that lasts is answered to all.
TEST_P(Conformance, I5OnlyLastingFailuresAreStored) {
  int runs = 0;
  const auto busy = [&runs](Attempt&) -> Text {
    ++runs;
    return absl::UnavailableError("the bank is down");
  };
  EXPECT_EQ(one().idempotency("s").Execute("k", "f", busy).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(two().idempotency("s").Execute("k", "f", busy).status().message(), "the bank is down");
  EXPECT_EQ(runs, 2);
  const auto broke = [&runs](Attempt& attempt) -> Text {
    EXPECT_EQ(attempt.number(), 3u);
    ++runs;
    return absl::FailedPreconditionError("no money");
  };
  EXPECT_FALSE(one().idempotency("s").Execute("k", "f", broke).ok());
  const Text again = two().idempotency("s").Execute("k", "f", broke);
  EXPECT_EQ(again.status(), absl::FailedPreconditionError("no money"));
  EXPECT_EQ(runs, 3);
  EXPECT_EQ(two().idempotency("s").Get("k")->state, OperationState::kFailed);
  // The caller may know better.
  const auto stores = [](const absl::Status&) { return true; };
  EXPECT_FALSE(one().idempotency("s").Execute("j", "f", busy, {.stores = stores}).ok());
  EXPECT_EQ(two().idempotency("s").Execute("j", "f", busy).status().message(), "the bank is down");
  EXPECT_EQ(runs, 4);
}

// I4: an outcome is kept for its retention, and forgotten then, by the cluster's time.
TEST_P(Conformance, I4AnOutcomeIsForgottenAfterItsRetention) {
  const auto run = [](Attempt&) -> Text { return "done"; };
  const auto short_lived = [&](const std::string& key, absl::Duration retention) {
    EXPECT_EQ(*one().idempotency("s").Execute(key, "f", run, {.retention = retention}), "done");
  };
  short_lived("kept", absl::Hours(1));
  short_lived("forgotten", absl::Seconds(1));
  const auto state = [&](const std::string& key) {
    const auto seen = two().idempotency("s").Get(key, kLong);
    EXPECT_TRUE(seen.ok()) << seen.status();
    return seen.ok() ? seen->state : OperationState::kFailed;
  };
  while (state("forgotten") == OperationState::kDone) {
  }
  EXPECT_EQ(state("forgotten"), OperationState::kAbsent);
  EXPECT_EQ(state("kept"), OperationState::kDone);
}

// Executing with callbacks: stored, answered to all, abandoned or dropped.
TEST_P(Conformance, AnOperationIsExecutedOnceByCallbacks) {
  using Finish = IdempotencyStore::ResultCallback;
  Awaited<Finish> started;
  Awaited<Text> first;
  one().idempotency("s").Execute(
      "k", "f",
      [&](Attempt& attempt, Finish finish) {
        EXPECT_TRUE(attempt.Valid());
        started.Callback()(std::move(finish));
      },
      {}, first.Callback());
  Finish finish = started.Get();
  const auto never = [](Attempt&, const Finish&) { ADD_FAILURE() << "another one attempts it"; };
  Awaited<Text> impatient;
  two().idempotency("s").Execute("k", "f", never, {.wait = absl::ZeroDuration()},
                                 impatient.Callback());
  EXPECT_EQ(impatient.Get().status().code(), absl::StatusCode::kAborted);
  Awaited<Text> second;
  two().idempotency("s").Execute("k", "f", never, {.wait = kLong}, second.Callback());
  std::move(finish)("receipt");
  EXPECT_EQ(*first.Get(), "receipt");
  EXPECT_EQ(*second.Get(), "receipt");
  EXPECT_EQ(*two().idempotency("s").Wait("k")->result, "receipt");

  const auto answered = [&](const std::string& key, auto fn) {
    Awaited<Text> answer;
    one().idempotency("s").Execute(key, "f", std::move(fn), {.wait = kLong}, answer.Callback());
    return answer.Get();
  };
  const absl::Status busy = absl::UnavailableError("the bank is down");
  const absl::Status broke = absl::FailedPreconditionError("no money");
  const auto with = [](absl::Status result) {
    return [result](Attempt&, Finish end) { std::move(end)(result); };
  };
  EXPECT_EQ(answered("j", with(busy)).status(), busy);
  EXPECT_EQ(answered("j", [](Attempt&, const Finish&) {}).status().code(),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(answered("j", [](Attempt&, Finish end) { std::move(end)(std::string(100'000, 'x')); })
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(answered("j", with(broke)).status(), broke);
  EXPECT_EQ(two().idempotency("s").Get("j")->attempts, 4u) << "each was abandoned but the last";
  EXPECT_EQ(answered("j", never).status(), broke);
}

// I6.
TEST_P(Conformance, I6TheNextAttemptLearnsHowFarTheLastOneCame) {
  {
    Begun first = Start(one(), "k");
    EXPECT_EQ(first.attempt.recovery_point(), "");
    EXPECT_TRUE(first.attempt.Checkpoint("charged", kLong).ok());
    EXPECT_TRUE(first.attempt.Checkpoint("charged, mailed", kLong).ok());
    EXPECT_TRUE(first.attempt.Extend(absl::Minutes(1), kLong).ok());
  }  // abandoned
  Begun second = Start(two(), "k");
  EXPECT_EQ(second.attempt.recovery_point(), "charged, mailed");
  EXPECT_EQ(second.attempt.number(), 2u);
  EXPECT_TRUE(second.attempt.Complete("done", kLong).ok());
  EXPECT_EQ(*two().idempotency("s").Wait("k", {.wait = kLong})->result, "done");
}

TEST_P(Conformance, AnAttemptHasOneOutcome) {
  Begun begun = Start(one(), "k");
  EXPECT_TRUE(begun.attempt.Complete("done", kLong).ok());
  EXPECT_EQ(begun.attempt.Complete("again", kLong).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(begun.attempt.Fail(absl::NotFoundError("x"), kLong).code(),
            absl::StatusCode::kFailedPrecondition);
  begun = Begun();  // nor does its end change anything
  EXPECT_EQ(*two().idempotency("s").Wait("k", {.wait = kLong})->result, "done");
}

TEST_P(Conformance, AResponseThatIsTooLongIsRefusedAndLosesNothing) {
  Begun begun = Start(one(), "k");
  EXPECT_EQ(begun.attempt.Complete(std::string(70'000, 'x'), kLong).code(),
            absl::StatusCode::kInvalidArgument);
  // X2: nor does one that fits into no frame of the peers stand in the way of others.
  EXPECT_EQ(begun.attempt.Complete(std::string(5 << 20, 'x'), kLong).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(begun.attempt.Checkpoint(std::string(5'000, 'x'), kLong).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(begun.attempt.Fail(absl::OkStatus()).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(begun.attempt.Complete(std::string(60'000, 'x'), kLong).ok());
}

TEST_P(Conformance, BadKeysAreRefused) {
  IdempotencyStore store = one().idempotency("s");
  for (const absl::Status& status :
       {store.Begin("", "f", {.wait = kLong}).status(),
        store.Begin(std::string(1000, 'k'), "f", {.wait = kLong}).status(),
        store.Begin("k", std::string(1000, 'f'), {.wait = kLong}).status(),
        store.Begin("k", "f", {.deadline = absl::ZeroDuration()}).status(),
        store.Begin("k", "f", {.wait = -kLong}).status(),
        store.Begin("k", "f", {.wait = kLong, .retention = absl::ZeroDuration()}).status(),
        one().idempotency(std::string("a\0b", 3)).Begin("k", "f", {.wait = kLong}).status(),
        one().idempotency(std::string(1000, 's')).Begin("k", "f", {.wait = kLong}).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  }
  EXPECT_EQ(store.Get("k", kLong)->state, OperationState::kAbsent);
}

TEST_P(Conformance, WaitingForAnOutcomeNeverAttempts) {
  IdempotencyStore store = two().idempotency("s");
  EXPECT_EQ(store.Wait("k", {.wait = kLong}).status().code(), absl::StatusCode::kNotFound);
  Begun begun = Start(one(), "k");
  const auto none = store.Wait("k", {.wait = absl::ZeroDuration()});
  EXPECT_EQ(none.status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(KindOf(none.status()), ErrorKind::kRefused);
  Awaited<absl::StatusOr<StoredOutcome>> waiting;
  store.Wait("k", {}, waiting.Callback());
  EXPECT_TRUE(begun.attempt.Fail(absl::NotFoundError("no such account"), kLong).ok());
  const auto outcome = waiting.Get();
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->result.status(), absl::NotFoundError("no such account"));
}

// All at the same moment, and each a copy: more than one frame, or one queue, holds.
TEST_P(Conformance, ALargeOutcomeReachesAllWhoWait) {
  // A sanitizer takes the time of a lease for as many as it takes otherwise.
  constexpr std::size_t kWaiting = testing::kSanitized ? 100 : 400;
  const std::string large(60'000, 'x');
  Begun begun = Start(one(), "k");
  std::vector<Awaited<absl::StatusOr<Begun>>> waiting(kWaiting);
  for (auto& one_more : waiting) {
    two().idempotency("s").Begin("k", "f", {.wait = absl::Minutes(2)}, one_more.Callback());
  }
  EXPECT_TRUE(begun.attempt.Complete(large, kLong).ok());
  for (auto& one_more : waiting) {
    const absl::StatusOr<Begun> answer = one_more.Get();
    ASSERT_TRUE(answer.ok()) << answer.status();
    ASSERT_EQ(answer->state, Begun::State::kDone);
    ASSERT_EQ(*answer->outcome.result, large);
  }
}

TEST_P(Conformance, AWaitToBeginEndsInTimeOrByCancel) {
  const Begun begun = Start(one(), "k");
  const auto late = two().idempotency("s").Begin("k", "f", {.wait = absl::Milliseconds(1)});
  ASSERT_TRUE(late.ok() || late.status().code() == absl::StatusCode::kUnavailable) << late.status();
  EXPECT_TRUE(!late.ok() || late->state == Begun::State::kInProgress);
  std::stop_source stop;
  Awaited<absl::StatusOr<Begun>> waiting;
  two().idempotency("s").Begin("k", "f", {.wait = absl::Hours(1), .cancel = stop.get_token()},
                               waiting.Callback());
  stop.request_stop();
  EXPECT_EQ(waiting.Get().status().code(), absl::StatusCode::kCancelled);
  const Text never = two().idempotency("s").Execute("k", "f",
                                                    [](Attempt&) -> Text {
                                                      ADD_FAILURE() << "it is in progress";
                                                      return "";
                                                    },
                                                    {.wait = absl::Milliseconds(1)});
  EXPECT_FALSE(never.ok());
}

TEST_P(Conformance, AForgottenKeyBeginsAnew) {
  IdempotencyStore store = one().idempotency("s");
  Begun begun = Start(one(), "k");
  EXPECT_EQ(store.Forget("k", kLong).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(begun.attempt.Complete("first", kLong).ok());
  EXPECT_TRUE(store.Forget("k", kLong).ok());
  EXPECT_TRUE(store.Forget("k", kLong).ok());
  EXPECT_EQ(store.Get("k", kLong)->state, OperationState::kAbsent);
  EXPECT_EQ(
      *two().idempotency("s").Execute("k", "other", [](Attempt&) -> Text { return "second"; }),
      "second");
}

TEST_P(Conformance, AnAttemptEndsWithItsSession) {
  absl::StatusOr<Session> session = one().OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  absl::StatusOr<Begun> begun = session->idempotency("s").Begin("k", "f", {.wait = kLong});
  ASSERT_TRUE(begun.ok()) << begun.status();
  ASSERT_EQ(begun->state, Begun::State::kStarted);
  EXPECT_TRUE(begun->attempt.Valid());
  EXPECT_TRUE(session->Close(kLong).ok());
  EXPECT_FALSE(begun->attempt.Valid());
  EXPECT_EQ(begun->attempt.Complete("late", kLong).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Start(two(), "k").attempt.number(), 2u);
}

TEST_P(Conformance, AnAttemptMayBeOneWithALock) {
  const BeginOptions with_x = {.wait = kLong, .lock = "x", .value = "me"};
  Begun begun = Start(one(), "k", with_x);
  const auto seen = two().mutex("x").Inspect(kLong);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->holder.token, begun.attempt.token());
  EXPECT_EQ(seen->holder.value, "me");
  EXPECT_EQ(two().idempotency("s").Get("k", kLong)->lock, "x");
  const auto other = two().idempotency("s").Begin("l", "f", {.lock = "x"});
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->state, Begun::State::kInProgress) << "another key, the same lock";
  EXPECT_EQ(two().idempotency("s").Begin("k", "f").status().code(), absl::StatusCode::kOk);
  EXPECT_EQ(two().idempotency("s").Begin("k", "f", {.lock = "y"}).status().code(),
            absl::StatusCode::kFailedPrecondition)
      << "all name the same";

  // Both waits are in the lock's queue, and each finds what the one before has left.
  Awaited<absl::StatusOr<Begun>> same, another;
  two().idempotency("s").Begin("k", "f", with_x, same.Callback());
  while (two().mutex("x").Inspect(kLong)->waiting < 1) {
  }
  two().idempotency("s").Begin("l", "f", with_x, another.Callback());
  EXPECT_TRUE(begun.attempt.Complete("done", kLong).ok());
  const absl::StatusOr<Begun> found = same.Get();
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->state, Begun::State::kDone);
  EXPECT_EQ(*found->outcome.result, "done");
  absl::StatusOr<Begun> started = another.Get();
  ASSERT_TRUE(started.ok()) << started.status();
  ASSERT_EQ(started->state, Begun::State::kStarted);

  // Whoever loses the lock completes nothing.
  Awaited<int> lost;
  const std::stop_callback on_lost(started->attempt.lost(), [&] { lost.Callback()(1); });
  EXPECT_TRUE(one().BreakLock("x", started->attempt.token(), "stuck", kLong).ok());
  lost.Get();
  EXPECT_FALSE(started->attempt.Valid());
  EXPECT_EQ(started->attempt.Complete("late", kLong).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(*one().idempotency("s").Execute("l", "f",
                                            [&](Attempt& attempt) -> Text {
                                              EXPECT_EQ(attempt.number(), 2u);
                                              EXPECT_EQ(two().mutex("x").TryLock().status().code(),
                                                        absl::StatusCode::kAborted);
                                              return "by the second";
                                            },
                                            {.wait = kLong, .lock = "x"}),
            "by the second");
  EXPECT_TRUE(two().mutex("x").TryLock().ok());
}

TEST_P(Conformance, AnAttemptAndItsLockOutliveTheLeader) {
  NEEDS(Capability::kLeaderKill);
  Begun begun = Start(one(), "k", {.lock = "x"});
  Awaited<absl::StatusOr<Begun>> waiting;
  two().idempotency("s").Begin("l", "f", {.wait = absl::Hours(1), .lock = "x"}, waiting.Callback());
  while (one().mutex("x").Inspect(kLong)->waiting < 1) {
  }
  fixture().KillLeader();
  EXPECT_TRUE(begun.attempt.Valid());
  EXPECT_EQ(two().mutex("x").TryLock().status().code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(begun.attempt.Complete("whole", kLong).ok());
  const absl::StatusOr<Begun> waited = waiting.Get();
  ASSERT_TRUE(waited.ok()) << waited.status();
  ASSERT_EQ(waited->state, Begun::State::kStarted);
  EXPECT_EQ(waited->attempt.number(), 1u);
  EXPECT_GT(waited->attempt.token(), begun.attempt.token());
}

TEST_P(Conformance, AnOutcomeOutlivesTheLeader) {
  NEEDS(Capability::kLeaderKill);
  int runs = 0;
  const auto run = [&runs](Attempt&) -> Text { return "run " + std::to_string(++runs); };
  EXPECT_EQ(*one().idempotency("s").Execute("done", "f", run), "run 1");
  Begun begun = Start(one(), "begun");
  EXPECT_TRUE(begun.attempt.Checkpoint("half", kLong).ok());
  Awaited<absl::StatusOr<Begun>> waiting;
  two().idempotency("s").Begin("begun", "f", {.wait = absl::Hours(1)}, waiting.Callback());
  fixture().KillLeader();
  EXPECT_EQ(*two().idempotency("s").Execute("done", "f", run), "run 1");
  EXPECT_EQ(runs, 1);
  EXPECT_TRUE(begun.attempt.Valid());
  EXPECT_TRUE(begun.attempt.Complete("whole", kLong).ok());
  const absl::StatusOr<Begun> waited = waiting.Get();
  ASSERT_TRUE(waited.ok()) << waited.status();
  ASSERT_EQ(waited->state, Begun::State::kDone);
  EXPECT_EQ(*waited->outcome.result, "whole");
}

TEST_P(Conformance, ManyCallersRunItOnceWhileTheLeaderDies) {
  NEEDS(Capability::kLeaderKill);
  constexpr int kCallers = 6;
  std::atomic<int> runs = 0;
  Awaited<int> running;
  Awaited<int> killed;
  std::vector<std::thread> threads;
  std::vector<Text> answers(kCallers, "");
  for (int i = 0; i < kCallers; ++i) {
    threads.emplace_back([&, i] {
      answers[static_cast<std::size_t>(i)] =
          (i % 2 == 0 ? one() : two()).idempotency("s").Execute("k", "f", [&](Attempt&) -> Text {
            const int run = ++runs;
            running.Callback()(run);
            killed.Get();
            return "run " + std::to_string(run);
          });
    });
  }
  running.Get();
  fixture().KillLeader();
  killed.Callback()(1);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(runs, 1);
  for (const Text& answer : answers) {
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(*answer, "run 1");
  }
}

}  // namespace
}  // namespace tenure::conformance
