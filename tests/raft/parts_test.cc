// The core's small parts: quorums, durability, rounds, reads, progress, validation, randomness.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "raft/durable.h"
#include "raft/peers.h"
#include "raft/prng.h"
#include "raft/progress.h"
#include "raft/quorum.h"
#include "raft/reads.h"
#include "raft/rounds.h"
#include "raft/validate.h"
#include "tests/raft/cluster.h"

namespace tenure::raft {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::int64_t kMs = 1'000'000;
Instant At(std::int64_t ms) { return Instant::FromReadings(ms * kMs, ms * kMs); }

std::uint64_t Reached(std::vector<std::uint64_t> in, std::vector<std::uint64_t> out = {}) {
  const Index reached = HalfValue(absl::MakeSpan(in), absl::MakeSpan(in));
  return out.empty() ? reached
                     : std::min(reached, HalfValue(absl::MakeSpan(out), absl::MakeSpan(out)));
}

TEST(QuorumTest, IsWhatMoreThanHalfHaveReached) {
  EXPECT_EQ(Reached({}), 0u);
  EXPECT_EQ(Reached({7}), 7u);
  EXPECT_EQ(Reached({7, 3}), 3u);
  EXPECT_EQ(Reached({9, 1, 5}), 5u);
  EXPECT_EQ(Reached({9, 1, 5, 7}), 5u);
  EXPECT_EQ(Reached({9, 1, 5, 7, 0}), 5u);
}

TEST(QuorumTest, OfAJointConfigurationIsWhatBothHalvesHaveReached) {
  EXPECT_EQ(Reached({9, 8, 7}, {1, 2, 3}), 2u);
  EXPECT_EQ(Reached({1, 2, 3}, {9}), 2u);
  EXPECT_EQ(Reached({}, {9}), 0u);
}

VoteResult Votes(const std::vector<Ballot>& all) { return CountVotes(all, all); }

TEST(QuorumTest, CountsVotes) {
  const Ballot y = Ballot::kYes;
  const Ballot n = Ballot::kNo;
  const Ballot o = Ballot::kNone;
  EXPECT_EQ(Votes({y, y, o}), VoteResult::kWon);
  EXPECT_EQ(Votes({y, o, o}), VoteResult::kPending);
  EXPECT_EQ(Votes({y, n, o}), VoteResult::kPending);
  EXPECT_EQ(Votes({y, n, n}), VoteResult::kLost);
  EXPECT_EQ(Votes({y, y, n, n}), VoteResult::kLost);
  EXPECT_EQ(Votes({}), VoteResult::kLost);  // nobody elects nobody
  EXPECT_EQ(Both(Votes({y, y, o}), Votes({n, y, o})), VoteResult::kPending);
  EXPECT_EQ(Both(Votes({y, y, o}), Votes({n, n, o})), VoteResult::kLost);
  EXPECT_EQ(Both(Votes({y, y, o}), Votes({y, y})), VoteResult::kWon);
}

// BOOTSTRAP rule 9, for every size: those that are left are a quorum only if they meet every
// ordinary one.
TEST(PitfallT17, WhoIsLeftMeetsEveryOrdinaryQuorum) {
  int found = 0;
  for (std::size_t n = 0; n <= 7; ++n) {
    for (std::size_t left = 0; left <= n; ++left) {
      if (!RestIsQuorum(n, left)) continue;
      ++found;
      EXPECT_LT(left, QuorumSize(n));
      EXPECT_GT(left + QuorumSize(n), n) << left << " of " << n;
    }
  }
  EXPECT_EQ(found, 3);  // one of two, two of four, three of six
}

TEST(PitfallT17, WhoIsLeftMustAgreeToTheLast) {
  const Ballot y = Ballot::kYes;
  const Ballot n = Ballot::kNo;
  const Ballot o = Ballot::kNone;
  EXPECT_EQ(CountVotes({y, o}, {y}), VoteResult::kWon);
  EXPECT_EQ(CountVotes({y, o}, {y, o}), VoteResult::kPending);
  EXPECT_EQ(CountVotes({y, y, o, o}, {y, y}), VoteResult::kWon);
  EXPECT_EQ(CountVotes({y, o, o, o}, {y, o}), VoteResult::kPending);
  EXPECT_EQ(CountVotes({y, n, o, o}, {y, n}), VoteResult::kPending);  // the lost may have voted yet
  EXPECT_EQ(CountVotes({y, o, o}, {y}), VoteResult::kPending);  // one of three meets not every pair
  EXPECT_EQ(CountVotes({}, {}), VoteResult::kLost);
  std::vector<Index> all = {9, 4, 0, 0};
  std::vector<Index> left = {9, 4};
  EXPECT_EQ(HalfValue(absl::MakeSpan(all), absl::MakeSpan(left)), 4u);
  std::vector<Index> three = {9, 0, 0};
  std::vector<Index> one = {9};
  EXPECT_EQ(HalfValue(absl::MakeSpan(three), absl::MakeSpan(one)), 0u);
}

TEST(DurableTest, FollowsWritesInOrder) {
  Durable durable(3);
  durable.Written(1, 5);
  durable.Written(2, 5);
  durable.Written(3, 9);
  EXPECT_EQ(durable.WriteFor(3), 0u);
  EXPECT_EQ(durable.WriteFor(4), 1u);
  EXPECT_EQ(durable.WriteFor(6), 3u);
  durable.Notice(2);  // and so all before it
  EXPECT_EQ(durable.index(), 5u);
  EXPECT_EQ(durable.write(), 2u);
  durable.Notice(1);
  EXPECT_EQ(durable.index(), 5u);
  durable.Notice(3);
  EXPECT_EQ(durable.index(), 9u);
}

TEST(PitfallC13, ALateNoticeVouchesForWhatIsStillThere) {
  Durable durable(3);
  durable.Written(1, 8);
  durable.Truncated(6);
  durable.Written(2, 9);
  durable.Notice(1);
  EXPECT_EQ(durable.index(), 5u);
  EXPECT_EQ(durable.WriteFor(6), 2u);
  durable.Notice(2);
  EXPECT_EQ(durable.index(), 9u);
  durable.Truncated(7);
  EXPECT_EQ(durable.index(), 6u);
}

TEST(RoundsTest, RememberWhenTheyBegan) {
  Rounds rounds(300 * kMs);
  EXPECT_EQ(rounds.BeganAt(1), std::nullopt);
  EXPECT_EQ(rounds.Start(At(10)), 1u);
  EXPECT_EQ(rounds.Start(At(20)), 2u);
  EXPECT_EQ(rounds.BeganAt(1), At(10));
  EXPECT_EQ(rounds.BeganAt(2), At(20));
  rounds.Start(At(315));
  EXPECT_EQ(rounds.BeganAt(1), std::nullopt);  // long ago
  EXPECT_EQ(rounds.BeganAt(2), At(20));
}

TEST(RoundsTest, NeverSeemYoungerThanTheyAre) {
  Rounds rounds(300 * kMs);
  for (int i = 0; i < 1000; ++i) rounds.Start(Instant::FromReadings(i * 1000, i * 1000));
  EXPECT_EQ(rounds.BeganAt(1000), Instant::FromReadings(0, 0));
  rounds.Start(At(1));
  EXPECT_EQ(rounds.BeganAt(1001), At(1));
}

TEST(ReadsTest, AreServedByTheRoundThatTheyJoined) {
  Reads reads;
  std::vector<ReadReady> ready;
  reads.Add(1);
  reads.Join(4, 10);
  reads.Add(2);
  reads.Add(3);
  reads.Confirm(3, ready);
  EXPECT_THAT(ready, IsEmpty());
  reads.Confirm(4, ready);
  ASSERT_EQ(ready.size(), 1u);
  EXPECT_EQ(ready[0].index, 10u);
  EXPECT_EQ(reads.size(), 2u);
  std::vector<ReadId> refused;
  reads.Join(5, 11);
  reads.Add(4);
  reads.RefuseAll(refused);
  EXPECT_THAT(refused, ElementsAre(2, 3, 4));
  EXPECT_EQ(reads.size(), 0u);
}

TEST(ProgressTest, KeepsWithinItsLimits) {
  Progress progress(5, At(0));
  progress.BecomeReplicate();
  progress.SentAppend(3, 100);
  progress.SentAppend(6, 100);
  EXPECT_EQ(progress.next(), 7u);
  EXPECT_FALSE(progress.HasRoom(2, 1000));
  EXPECT_FALSE(progress.HasRoom(9, 200));
  EXPECT_TRUE(progress.Matched(3));
  EXPECT_TRUE(progress.HasRoom(2, 200));
  EXPECT_FALSE(progress.Matched(2));
  EXPECT_EQ(progress.match(), 3u);
  progress.BecomeProbe(1);
  EXPECT_EQ(progress.next(), 4u);
  EXPECT_TRUE(progress.HasRoom(1, 1));
}

TEST(ProgressTest, StartsSlowlyAfterARefusal) {
  Progress progress(5, At(0));
  progress.BecomeReplicate();
  EXPECT_TRUE(progress.HasRoom(1, 1));
  progress.BecomeProbe(3);
  progress.BecomeReplicate();
  progress.SentAppend(1, 1);
  EXPECT_FALSE(progress.HasRoom(9, 9));
  progress.Matched(1);
  progress.SentAppend(2, 1);
  EXPECT_TRUE(progress.HasRoom(9, 9));
  progress.SentAppend(3, 1);
  EXPECT_FALSE(progress.HasRoom(9, 9));
}

TEST(ProgressTest, OlderAnswersDoNotSetItBack) {
  Progress progress(5, At(0));
  progress.Answered(3, At(30));
  progress.Answered(2, At(20));
  EXPECT_EQ(progress.answered_round(), 3u);
  EXPECT_EQ(progress.contact(), At(30));
  progress.Applied(7);
  progress.Applied(6);
  EXPECT_EQ(progress.applied(), 7u);
}

TEST(PeersTest, AreTheConfigurationByIncarnation) {
  Peers peers({"b", 2});
  auto joint = std::make_shared<Configuration>(*Voters({{"a", 1}, {"b", 2}}));
  joint->voters_outgoing = Voters({{"a", 9}, {"b", 2}})->voters;
  joint->learners = Voters({{"c", 3}})->voters;
  peers.Follow(joint, Progress(4, At(0)));
  EXPECT_EQ(peers.end() - peers.begin(), 4);
  EXPECT_NE(peers.Find({"a", 9}), nullptr);
  EXPECT_EQ(peers.Find({"a", 8}), nullptr);
  EXPECT_TRUE(peers.SelfVotes());
  EXPECT_FALSE(peers.SelfAlone());
  EXPECT_FALSE(peers.Find({"c", 3})->voter());
  // Who stays keeps what is known of it.
  peers.Find({"a", 1})->progress.Matched(3);
  peers.Follow(Voters({{"a", 1}, {"d", 4}}), Progress(9, At(0)));
  EXPECT_EQ(peers.Find({"a", 1})->progress.match(), 3u);
  EXPECT_EQ(peers.Find({"d", 4})->progress.next(), 9u);
  EXPECT_FALSE(peers.SelfVotes());
}

TEST(PrngTest, IsTheSameEverywhere) {
  Prng prng(1234567);
  EXPECT_EQ(prng.Next(), 6457827717110365317u);  // the published vector of SplitMix64
  EXPECT_EQ(prng.Next(), 3203168211198807973u);
  EXPECT_EQ(prng.Below(0), 0u);
}

TEST(PitfallC16, AConfigurationIsWhereItBelongs) {
  AppendRequest request;
  request.term = 2;
  request.prev_index = 1;
  request.prev_term = 1;
  Entry entry = FirstEntry(Voters({{"a", 1}}));
  entry.index = 2;
  request.entries = {entry};
  EXPECT_TRUE(WellFormed(request));
  request.entries[0].kind = EntryKind::kCommands;
  EXPECT_FALSE(WellFormed(request));
  request.entries[0] = entry;
  request.entries[0].configuration = nullptr;
  EXPECT_FALSE(WellFormed(request));
  request.entries = {};
  request.prev_index = std::numeric_limits<Index>::max();
  EXPECT_TRUE(WellFormed(request));
  request.entries = {entry};
  request.entries[0].index = 0;
  EXPECT_FALSE(WellFormed(request));
}

}  // namespace
}  // namespace tenure::raft
