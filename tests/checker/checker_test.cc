// The checker against brute force on small random histories, and on histories with planted
// violations.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "raft/prng.h"
#include "tests/checker/linearizability.h"
#include "tests/checker/lock_history.h"
#include "tests/checker/lock_model.h"
#include "tests/checker/register_model.h"

namespace tenure::checker {
namespace {

using raft::Prng;
constexpr std::uint64_t kBudget = 1'000'000;

// Every order of every choice of the optional calls. For histories of a few calls.
template <typename Model>
bool BruteForce(const std::vector<Call<typename Model::Operation>>& calls) {
  std::vector<std::size_t> order(calls.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  do {
    // An order is real if nobody comes before one that had ended before it started.
    bool real = true;
    for (std::size_t i = 0; real && i < order.size(); ++i) {
      for (std::size_t j = i + 1; real && j < order.size(); ++j)
        real = calls[order[j]].optional || calls[order[j]].end >= calls[order[i]].start;
    }
    if (!real) continue;
    std::vector<std::size_t> optional;
    for (std::size_t i = 0; i < calls.size(); ++i) {
      if (calls[i].optional) optional.push_back(i);
    }
    for (std::uint64_t chosen = 0; chosen < std::uint64_t{1} << optional.size(); ++chosen) {
      Model model;
      bool fits = true;
      for (std::size_t i = 0; fits && i < order.size(); ++i) {
        const auto it = std::find(optional.begin(), optional.end(), order[i]);
        if (it != optional.end() && (chosen >> (it - optional.begin()) & 1) == 0) continue;
        fits = model.Step(calls[order[i]].operation);
      }
      if (fits) return true;
    }
  } while (std::next_permutation(order.begin(), order.end()));
  return false;
}

template <typename Operation>
void Interval(Prng& random, Call<Operation>* call) {
  call->start = static_cast<std::int64_t>(random.Below(12));
  call->end = call->start + 1 + static_cast<std::int64_t>(random.Below(6));
  call->optional = random.Below(5) == 0;
  if (call->optional) call->end = kNeverEnds;
}

// Of random histories: what the checker says of each, against all orders tried.
class Agreement {
 public:
  template <typename Model, typename Operation>
  bool Add(const std::vector<Call<Operation>>& calls, const Result& result) {
    const bool expected = BruteForce<Model>(calls);
    const Verdict verdict = expected ? Verdict::kLinearizable : Verdict::kViolated;
    EXPECT_EQ(result.verdict, verdict) << "history " << histories_;
    ++histories_;
    linearizable_ += expected ? 1 : 0;
    fast_ += result.fast ? 1 : 0;
    return result.verdict == verdict;
  }
  // Both answers were really asked for.
  void ExpectBoth() const {
    EXPECT_GT(linearizable_, histories_ / 10);
    EXPECT_LT(linearizable_, histories_ * 9 / 10);
  }
  int linearizable() const { return linearizable_; }
  int fast() const { return fast_; }

 private:
  int histories_ = 0;
  int linearizable_ = 0;
  int fast_ = 0;
};

TEST(CheckerTest, AgreesWithBruteForceOnRegisters) {
  Prng random(1);
  Agreement agreement;
  constexpr int kHistories = 4000;
  for (int i = 0; i < kHistories; ++i) {
    std::vector<Call<RegisterOperation>> calls(1 + random.Below(6));
    for (auto& call : calls) {
      call.operation.kind = static_cast<RegisterOperation::Kind>(random.Below(4));
      call.operation.value = static_cast<std::int64_t>(random.Below(3));
      call.operation.expected = static_cast<std::int64_t>(random.Below(3));
      Interval(random, &call);
    }
    ASSERT_TRUE(
        agreement.Add<RegisterModel>(calls, CheckLinearizable(calls, RegisterModel(), kBudget)));
  }
  agreement.ExpectBoth();
}

TEST(CheckerTest, AgreesWithBruteForceOnLocks) {
  Prng random(2);
  Agreement agreement;
  constexpr int kHistories = 6000;
  for (int i = 0; i < kHistories; ++i) {
    std::vector<Call<LockOperation>> calls;
    // Each token is granted once, as in life; everything else is as it comes.
    const std::uint64_t tokens = 1 + random.Below(2);
    for (std::uint64_t token = 1; token <= tokens; ++token) {
      calls.push_back({.operation = {LockOperation::Kind::kAcquire, token}});
      Interval(random, &calls.back());
    }
    const std::size_t more = random.Below(5);
    for (std::size_t j = 0; j < more; ++j) {
      const auto kind = static_cast<LockOperation::Kind>(1 + random.Below(3));
      std::uint64_t token = random.Below(tokens + 1);
      if (kind != LockOperation::Kind::kRead) token = std::max<std::uint64_t>(token, 1);
      calls.push_back({.operation = {kind, token}});
      Interval(random, &calls.back());
    }
    ASSERT_TRUE(agreement.Add<LockModel>(calls, CheckLock(calls, kBudget)));
  }
  agreement.ExpectBoth();
  EXPECT_GT(agreement.fast(), agreement.linearizable() / 2)
      << "the fast path settles most of what is right";
}

TEST(CheckerTest, AgreesWithBruteForceOnSharedLocks) {
  using Kind = LockOperation::Kind;
  Prng random(4);
  Agreement agreement;
  constexpr int kHistories = 6000;
  for (int i = 0; i < kHistories; ++i) {
    std::vector<Call<LockOperation>> calls;
    const std::uint64_t tokens = 1 + random.Below(3);
    for (std::uint64_t token = 1; token <= tokens; ++token) {
      calls.push_back({.operation = {random.Below(3) == 0 ? Kind::kAcquire : Kind::kShare, token}});
      Interval(random, &calls.back());
    }
    const std::size_t more = random.Below(4);
    for (std::size_t j = 0; j < more; ++j) {
      static constexpr Kind kKinds[] = {Kind::kEnd, Kind::kRead, Kind::kNotHeld, Kind::kDowngrade};
      const Kind kind = kKinds[random.Below(4)];
      const std::uint64_t token = 1 + random.Below(tokens);
      calls.push_back({.operation = {kind, token}});
      if (kind == Kind::kRead && random.Below(3) != 0) {
        const std::uint64_t those = random.Below(8);
        calls.back().operation.token = 0;
        for (std::uint64_t of = 1; of <= tokens; ++of) {
          if ((those >> (of - 1) & 1) != 0) calls.back().operation.shared.push_back(of);
        }
      }
      Interval(random, &calls.back());
    }
    ASSERT_TRUE(agreement.Add<LockModel>(calls, CheckLock(calls, kBudget)));
  }
  agreement.ExpectBoth();
}

// A long, right history of one lock: `grants` of them, with reads in between and beside.
std::vector<Call<LockOperation>> LongHistory(Prng& random, int grants) {
  std::vector<Call<LockOperation>> calls;
  std::int64_t now = 0;
  std::uint64_t token = 0;
  const auto around = [&](const LockOperation& operation) {
    calls.push_back({.operation = operation,
                     .start = now - static_cast<std::int64_t>(random.Below(30)),
                     .end = now + static_cast<std::int64_t>(random.Below(30))});
  };
  for (int i = 0; i < grants; ++i) {
    now += 10;
    if (random.Below(3) == 0) around({LockOperation::Kind::kRead, 0});
    now += 10;
    token += 1 + random.Below(5);
    around({LockOperation::Kind::kAcquire, token});
    for (std::uint64_t reads = random.Below(4); reads > 0; --reads) {
      now += 5;
      around({LockOperation::Kind::kRead, token});
    }
    now += 10;
    if (random.Below(4) == 0) {  // nobody knows when
      calls.push_back(
          {.operation = {LockOperation::Kind::kEnd, token}, .start = now, .optional = true});
    } else {
      around({LockOperation::Kind::kEnd, token});
    }
  }
  return calls;
}

TEST(CheckerTest, TakesLongHistoriesAndFindsWhatIsPlantedInThem) {
  Prng random(3);
  for (int i = 0; i < 200; ++i) {
    std::vector<Call<LockOperation>> calls = LongHistory(random, 60);
    ASSERT_EQ(CheckLock(calls, kBudget).verdict, Verdict::kLinearizable) << i;

    // A stale read: long after two later grants had been seen.
    std::vector<Call<LockOperation>> stale = calls;
    const std::int64_t late = calls.back().start + 1000;
    stale.push_back({.operation = {LockOperation::Kind::kRead, calls.front().operation.token},
                     .start = late,
                     .end = late + 1});
    if (calls.front().operation.token != 0) {
      EXPECT_EQ(CheckLock(stale, kBudget).verdict, Verdict::kViolated) << i;
    }

    // A grant to two at once: the second before the first could end.
    std::vector<Call<LockOperation>> two = calls;
    std::uint64_t highest = 0;
    for (const auto& call : calls) highest = std::max(highest, call.operation.token);
    two.push_back({.operation = {LockOperation::Kind::kAcquire, highest + 1},
                   .start = late,
                   .end = late + 1});
    two.push_back({.operation = {LockOperation::Kind::kAcquire, highest + 2},
                   .start = late + 2,
                   .end = late + 3});
    EXPECT_EQ(CheckLock(two, kBudget).verdict, Verdict::kViolated) << i;
  }
}

// Of a lock that is shared, and held alone and downgraded, now and then.
std::vector<Call<LockOperation>> LongSharedHistory(Prng& random, int grants) {
  using Kind = LockOperation::Kind;
  std::vector<Call<LockOperation>> calls;
  std::int64_t now = 0;
  LockModel lock;
  const auto around = [&](const LockOperation& operation) {
    now += 10;
    EXPECT_TRUE(lock.Step(operation));
    const bool unknown = operation.kind == Kind::kEnd && random.Below(4) == 0;
    calls.push_back({.operation = operation,
                     .start = now - static_cast<std::int64_t>(random.Below(30)),
                     .end = now + static_cast<std::int64_t>(random.Below(30))});
    if (unknown) calls.back().end = kNeverEnds;
    calls.back().optional = unknown;
  };
  const auto read = [&] { around({Kind::kRead, lock.holder, lock.sharers}); };
  const auto end_one = [&] {
    const std::size_t one = static_cast<std::size_t>(random.Below(lock.sharers.size()));
    around({Kind::kEnd, lock.sharers[one]});
  };
  for (int i = 0; i < grants; ++i) {
    if (random.Below(2) == 0) {
      while (!lock.sharers.empty()) end_one();
      around({Kind::kAcquire, lock.last + 1});
      if (random.Below(2) == 0) read();
      around({random.Below(3) == 0 ? Kind::kEnd : Kind::kDowngrade, lock.holder});
    } else {
      around({Kind::kShare, lock.last + 1});
    }
    if (lock.sharers.size() > 3) end_one();
    if (random.Below(2) == 0) read();
  }
  return calls;
}

TEST(CheckerTest, TakesLongHistoriesOfSharedLocksAndFindsWhatIsPlantedInThem) {
  using Kind = LockOperation::Kind;
  Prng random(5);
  for (int i = 0; i < 200; ++i) {
    const std::vector<Call<LockOperation>> calls = LongSharedHistory(random, 60);
    ASSERT_EQ(CheckLock(calls, kBudget).verdict, Verdict::kLinearizable) << i;
    // Alone again, by a read long after the downgrade was answered.
    std::vector<Call<LockOperation>> undone = calls;
    const auto downgrade = std::find_if(undone.rbegin(), undone.rend(), [](const auto& call) {
      return call.operation.kind == Kind::kDowngrade;
    });
    if (downgrade == undone.rend()) continue;
    const std::uint64_t token = downgrade->operation.token;
    const std::int64_t late = calls.back().start + 1000;
    undone.push_back({.operation = {Kind::kRead, token}, .start = late, .end = late + 1});
    EXPECT_EQ(CheckLock(undone, kBudget).verdict, Verdict::kViolated) << i;
  }
}

// ---- Downgrades, as clients tell of them

// One has the lock alone and downgrades it, another waits to share it.
class DowngradeTest : public testing::Test {
 protected:
  using Id = LockHistory::Id;

  static absl::Duration At(int ms) { return absl::Milliseconds(ms); }
  // `shared_at`: when the other was told.
  void Play(int asked_at, int answered_at, int shared_at) {
    const Id first = history_.Asked("a", 1, At(0));
    history_.Granted(first, 5, At(1));
    const Id second = history_.Asked("a", 2, At(3), /*to_share=*/true);
    const Id downgrade = history_.Downgrading("a", 5, At(asked_at));
    if (answered_at != 0) history_.Downgraded(downgrade, true, At(answered_at));
    if (shared_at != 0) history_.GrantedShare(second, 6, At(shared_at));
  }
  void Read(const std::vector<LockHistory::Sharer>& sharers, int from, int until) {
    history_.ReadShared(history_.Reading("a", At(from)), sharers, At(until));
  }
  void ReadAlone(Revision token, SessionId session, int from, int until) {
    history_.Read(history_.Reading("a", At(from)), token, session, At(until));
  }
  void Unlock(Revision token, int from, int until) {
    history_.Unlocked(history_.Unlocking("a", token, At(from)), true, At(until));
  }
  std::string Check() const {
    std::uint64_t calls = 0;
    std::uint64_t searches = 0;
    return history_.Check(&calls, &searches);
  }

  LockHistory history_;
};

TEST_F(DowngradeTest, LetsOthersInAndKeepsItsToken) {
  Play(10, 12, 13);
  ReadAlone(5, 1, 5, 6);
  Read({{5, 1}, {6, 2}}, 14, 15);
  Unlock(5, 20, 21);
  Read({{6, 2}}, 22, 23);
  Unlock(6, 24, 25);
  ReadAlone(0, 0, 26, 27);
  history_.Granted(history_.Asked("a", 3, At(4)), 9, At(30));
  EXPECT_EQ(Check(), "");
}

TEST_F(DowngradeTest, WithoutAnAnswerMayHaveHappened) {
  Play(10, 0, 13);
  Unlock(5, 20, 21);
  EXPECT_EQ(Check(), "");
}

TEST_F(DowngradeTest, LetsNobodyInBeforeItIsAskedFor) {
  Play(10, 12, 8);
  EXPECT_NE(Check(), "");
}

TEST_F(DowngradeTest, LetsNobodyHaveItAlone) {
  Play(10, 12, 13);
  history_.Granted(history_.Asked("a", 3, At(4)), 9, At(15));
  Unlock(5, 20, 21);
  Unlock(6, 20, 21);
  EXPECT_NE(Check(), "");
}

TEST_F(DowngradeTest, IsSeenOnceItIsAnswered) {
  Play(10, 12, 0);
  ReadAlone(5, 1, 13, 14);
  EXPECT_NE(Check(), "");
}

TEST_F(DowngradeTest, LosesNothing) {
  Play(10, 12, 13);
  Read({{6, 2}}, 14, 15);
  Unlock(5, 20, 21);
  EXPECT_NE(Check(), "") << "the first of those who share it was left out";
}

TEST_F(DowngradeTest, IsNotInVainWhileItsHolderHasIt) {
  Play(10, 0, 0);
  history_.Downgraded(history_.Downgrading("a", 5, At(11)), false, At(12));
  ReadAlone(5, 1, 13, 14);
  EXPECT_NE(Check(), "");
}

TEST_F(DowngradeTest, OnesShareThatNobodyAskedForIsAViolation) {
  Play(10, 12, 0);
  Read({{5, 1}, {6, 2}}, 14, 15);
  EXPECT_EQ(Check(), "") << "its opener may not have heard of it yet";
  Read({{5, 1}, {6, 2}, {7, 4}}, 16, 17);
  EXPECT_NE(Check(), "");
}

TEST_F(DowngradeTest, NamesAllWhoShareIt) {
  Play(10, 12, 13);
  history_.GrantedShare(history_.Asked("a", 3, At(3), /*to_share=*/true), 7, At(13));
  history_.MayEnd("a", 6, At(14));
  Read({{5, 1}, {7, 3}}, 15, 16);
  EXPECT_EQ(Check(), "");
  Read({{5, 1}, {6, 2}}, 17, 18);
  EXPECT_NE(Check(), "")
      << "as many, and the same first: but the one is over, and the other is not";
}

// ---- What nobody was told of

class UntoldTest : public DowngradeTest {
 protected:
  UntoldTest() {
    history_.Granted(history_.Asked("a", 1, At(0)), 5, At(1));
    Unlock(5, 2, 3);
  }
};

TEST_F(UntoldTest, OneWaitExplainsOneToken) {
  history_.Asked("a", 2, At(4));
  ReadAlone(7, 2, 10, 11);
  EXPECT_EQ(Check(), "");
  ReadAlone(9, 2, 12, 13);
  EXPECT_NE(Check(), "");
  history_.Asked("a", 2, At(13));
  EXPECT_EQ(Check(), "");
}

TEST_F(UntoldTest, AWaitExplainsNothingThatWasSeenBeforeIt) {
  history_.Asked("a", 2, At(4));
  ReadAlone(7, 2, 10, 11);
  ReadAlone(9, 2, 12, 13);
  history_.Asked("a", 2, At(14));
  EXPECT_NE(Check(), "");
}

TEST_F(UntoldTest, WhoAskedToShareItNeverHasItAlone) {
  history_.Asked("a", 2, At(4), /*to_share=*/true);
  Read({{7, 2}}, 10, 11);
  EXPECT_EQ(Check(), "");
  history_.Asked("a", 3, At(12), /*to_share=*/true);
  ReadAlone(9, 3, 14, 15);
  EXPECT_NE(Check(), "");
}

TEST_F(UntoldTest, WhoAskedToHaveItAloneDoesNotShareIt) {
  history_.Asked("a", 2, At(4));
  Read({{7, 2}}, 10, 11);
  EXPECT_NE(Check(), "");
}

TEST_F(UntoldTest, ATokenIsOfWhomItWasGivenTo) {
  history_.Granted(history_.Asked("a", 2, At(4)), 7, At(5));
  ReadAlone(7, 2, 10, 11);
  EXPECT_EQ(Check(), "");
  ReadAlone(7, 3, 12, 13);
  EXPECT_NE(Check(), "");
}

TEST(CheckerTest, AGrantWithALowerTokenAfterAHigherOneIsAViolation) {
  std::vector<Call<LockOperation>> calls = {
      {.operation = {LockOperation::Kind::kAcquire, 5}, .start = 0, .end = 1},
      {.operation = {LockOperation::Kind::kEnd, 5}, .start = 2, .end = 3},
      {.operation = {LockOperation::Kind::kAcquire, 4}, .start = 4, .end = 5}};
  EXPECT_EQ(CheckLock(calls, kBudget).verdict, Verdict::kViolated);
  calls[2].operation.token = 6;
  EXPECT_EQ(CheckLock(calls, kBudget).verdict, Verdict::kLinearizable);
}

TEST(CheckerTest, UnknownOutcomesMayHaveHappenedOrNot) {
  std::vector<Call<LockOperation>> calls = {
      {.operation = {LockOperation::Kind::kAcquire, 1}, .start = 0, .end = 1},
      {.operation = {LockOperation::Kind::kEnd, 1}, .start = 2, .optional = true},
      {.operation = {LockOperation::Kind::kRead, 1}, .start = 10, .end = 11},
      {.operation = {LockOperation::Kind::kRead, 0}, .start = 12, .end = 13}};
  EXPECT_EQ(CheckLock(calls, kBudget).verdict, Verdict::kLinearizable) << "it took its time";
  calls[1].start = 14;
  EXPECT_EQ(CheckLock(calls, kBudget).verdict, Verdict::kViolated) << "not before it was asked";
}

TEST(CheckerTest, ABudgetThatIsUsedUpIsNoAnswer) {
  // Writes of many values at once, and a read of one that nobody wrote: every order is tried.
  std::vector<Call<RegisterOperation>> calls;
  for (std::int64_t i = 1; i <= 14; ++i) {
    calls.push_back({.operation = {RegisterOperation::Kind::kWrite, i}, .start = 0, .end = 100});
  }
  calls.push_back({.operation = {RegisterOperation::Kind::kRead, 99}, .start = 50, .end = 60});
  const Result result = CheckLinearizable(calls, RegisterModel(), 1000);
  EXPECT_EQ(result.verdict, Verdict::kUnknown);
  EXPECT_GT(result.configurations, 1000u);
  EXPECT_EQ(CheckLinearizable(calls, RegisterModel(), kBudget).verdict, Verdict::kViolated);
}

}  // namespace
}  // namespace tenure::checker
