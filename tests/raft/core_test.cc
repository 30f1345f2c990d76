// What the scenarios cannot say: stamps, clocks that disagree, configurations, determinism.
#include "raft/core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/raft/cluster.h"

namespace tenure::raft {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kMs = 1'000'000;
const MemberId kA{"a", 11};
const MemberId kB{"b", 22};
const MemberId kC{"c", 33};

Instant At(std::int64_t ms) { return Instant::FromReadings(ms * kMs, ms * kMs); }
Instant At(std::int64_t boottime_ms, std::int64_t raw_ms) {
  return Instant::FromReadings(boottime_ms * kMs, raw_ms * kMs);
}
Payload Bytes(std::string bytes) { return std::make_shared<const std::string>(std::move(bytes)); }

Initial Fresh(std::shared_ptr<const Configuration> configuration) {
  Initial initial;
  initial.hard_state.term = 1;
  initial.entries.push_back(FirstEntry(std::move(configuration)));
  return initial;
}

Core Make(const MemberId& self, std::uint64_t seed = 1, Instant now = At(0)) {
  Options options;
  options.self = self;
  options.seed = seed;
  return Core(options, Fresh(Voters({kA, kB, kC})), now);
}

Entry Command(Index index, Term term, std::int64_t stamp) {
  Entry entry;
  entry.index = index;
  entry.term = term;
  entry.kind = EntryKind::kCommands;
  entry.stamp_ns = stamp;
  entry.payload = Bytes("x");
  return entry;
}

Entry Change(Index index, Term term, std::shared_ptr<const Configuration> configuration) {
  Entry entry = FirstEntry(std::move(configuration));
  entry.index = index;
  entry.term = term;
  return entry;
}

AppendRequest Append(Term term, Index prev, Term prev_term, std::vector<Entry> entries,
                     Index commit = 0) {
  AppendRequest request;
  request.term = term;
  request.prev_index = prev;
  request.prev_term = prev_term;
  request.entries = std::move(entries);
  request.commit = commit;
  request.round = 1;
  return request;
}

AppendResponse Accept(Term term, Index match, std::uint64_t round) {
  AppendResponse response;
  response.term = term;
  response.accepted = true;
  response.match_index = match;
  response.round = round;
  return response;
}

// Makes `core` the leader of the term after its own, by the vote of `voter`; its last output.
Output Elect(Core& core, const MemberId& voter, Instant now) {
  core.Step(now, Timer{});
  const Term term = core.term() + 1;
  Output out = core.Step(now, Received{voter, VoteResponse{core.term(), term, true, true}});
  core.Step(now, WriteDurable{out.write->id});
  return core.Step(now, Received{voter, VoteResponse{term, term, false, true}});
}

// ---- Time ----

TEST(PitfallC26, TimeoutsLieStrictlyBetweenTheirBounds) {
  std::int64_t least = 1'000'000 * kMs;
  std::int64_t most = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    Core core = Make(kA, seed);
    const std::int64_t timeout = core.Step(At(0), Timer{}).deadline.boottime_ns();
    least = std::min(least, timeout);
    most = std::max(most, timeout);
  }
  EXPECT_GT(least, 300 * kMs);
  EXPECT_LT(least, 302 * kMs);
  EXPECT_LT(most, 600 * kMs);
  EXPECT_GT(most, 598 * kMs);
}

TEST(PitfallC26, EvenWhereTheBoundsCoincide) {
  Options options;
  options.self = kA;
  options.election_timeout_max = options.election_timeout_min;
  Core core(options, Fresh(Voters({kA, kB, kC})), At(0));
  EXPECT_GT(core.Step(At(0), Timer{}).deadline.boottime_ns(), 300 * kMs);
}

TEST(CoreTest, ASeedReplaysTimeouts) {
  for (int i = 0; i < 2; ++i) {
    Core core = Make(kA, 42);
    EXPECT_EQ(core.Step(At(0), Timer{}).deadline, Make(kA, 42).Step(At(0), Timer{}).deadline);
  }
  EXPECT_NE(Make(kA, 42).Step(At(0), Timer{}).deadline, Make(kA, 43).Step(At(0), Timer{}).deadline);
}

TEST(CoreTest, StickinessIsMeasuredByTheSlowerClock) {
  Core core = Make(kA);
  core.Step(At(1000), Received{kB, Append(2, 1, 1, {})});
  // An hour of suspend by one clock, 200 ms by the other.
  const Instant now = At(3'600'000, 1200);
  Output out = core.Step(now, Received{kC, VoteRequest{3, false, 9, 2}});
  ASSERT_THAT(out.after_write, SizeIs(1));  // its term 2 is not durable yet
  EXPECT_FALSE(std::get<VoteResponse>(out.after_write[0].outgoing.message).granted);
  EXPECT_EQ(core.term(), 2u);
}

TEST(CoreTest, TheElectionTimerDoesNotSpinWhereClocksDisagree) {
  Core core = Make(kA);
  core.Step(At(1000), Received{kB, Append(2, 1, 1, {})});
  const Instant now = At(3'600'000, 1200);
  const Output out = core.Step(now, Timer{});
  EXPECT_EQ(core.role(), Role::kFollower);
  EXPECT_FALSE(now.Reached(out.deadline));
}

TEST(PitfallT12, ARestartedMemberAsksForNothingBeforeItMayVote) {
  Options options;
  options.self = kA;
  Initial initial = Fresh(Voters({kA, kB, kC}));
  initial.may_vote_from = At(1600);
  Core core(options, std::move(initial), At(1000));
  Output out = core.Step(At(1599), Timer{});
  EXPECT_EQ(core.role(), Role::kFollower);
  EXPECT_EQ(out.deadline, At(1600));
  // By the slower clock, too.
  out = core.Step(At(9000, 1599), Timer{});
  EXPECT_EQ(core.role(), Role::kFollower);
  EXPECT_THAT(out.messages, IsEmpty());
  core.Step(At(9000, 1600), Timer{});
  EXPECT_EQ(core.role(), Role::kPreCandidate);
}

// A member whose storage may have gone back.
TEST(CoreTest, WhoseVotesAreWithheldNeitherVotesNorCampaigns) {
  Options options;
  options.self = kA;
  Initial initial = Fresh(Voters({kA, kB, kC}));
  initial.votes_withheld = true;
  Core core(options, std::move(initial), At(0));
  EXPECT_FALSE(At(3'600'000).Reached(core.Step(At(0), Timer{}).deadline));
  EXPECT_THAT(core.Step(At(5000), Timer{}).messages, IsEmpty());
  for (const bool pre_vote : {true, false}) {
    const Output out = core.Step(
        At(5000),
        Received{kB,
                 VoteRequest{.term = 2, .pre_vote = pre_vote, .last_index = 9, .last_term = 1}});
    ASSERT_EQ(out.messages.size(), 1u);
    EXPECT_FALSE(std::get<VoteResponse>(out.messages[0].message).granted);
  }
  core.Step(At(5000), Received{kB, TimeoutNow{.term = 2, .transfer = 1}});
  EXPECT_EQ(core.role(), Role::kFollower);
  // It follows all the same.
  core.Step(At(5001), Received{kB, Append(2, 1, 1, {Command(2, 2, 500)})});
  EXPECT_EQ(core.leader(), kB);
  EXPECT_EQ(core.last_index(), 2u);
  const Instant due = core.Step(At(5001), AllowVotes{}).deadline;
  EXPECT_TRUE(At(5700).Reached(due));
  core.Step(At(5700), Timer{});
  EXPECT_EQ(core.role(), Role::kPreCandidate);
}

TEST(PitfallT12, ACandidateOfOneIsBoundToo) {
  Options options;
  options.self = kA;
  Initial initial = Fresh(Voters({kA}));
  initial.may_vote_from = At(600);
  Core core(options, std::move(initial), At(0));
  EXPECT_EQ(core.Step(At(0), Timer{}).deadline, At(600));
  core.Step(At(600), Timer{});
  EXPECT_EQ(core.role(), Role::kCandidate);
}

TEST(CoreTest, CheckQuorumIsMeasuredByTheFasterClock) {
  Core core = Make(kA);
  Elect(core, kB, At(1000));
  ASSERT_EQ(core.role(), Role::kLeader);
  core.Step(At(1300, 1100), Timer{});
  EXPECT_EQ(core.role(), Role::kFollower);
}

// ---- Stamps ----

TEST(PitfallT1, ANewLeaderRepeatsTheLastStampOfItsOwnLog) {
  Core core = Make(kA);
  core.Step(At(1000), Received{kB, Append(2, 1, 1, {Command(2, 2, 500), Command(3, 2, 700)}, 3)});
  EXPECT_EQ(core.last_stamp_ns(), 700);
  EXPECT_EQ(core.committed_stamp_ns(), 700);
  core.Step(At(1000), WriteDurable{1});
  const Output out = Elect(core, kB, At(5000));
  ASSERT_TRUE(out.write.has_value());
  ASSERT_THAT(out.write->entries, SizeIs(1));
  EXPECT_EQ(out.write->entries[0].kind, EntryKind::kNoOp);
  EXPECT_EQ(out.write->entries[0].stamp_ns, 700);
  EXPECT_EQ(core.term_start_index(), 4u);
}

TEST(CoreTest, StampsNeverFallAlongTheLog) {
  Core core = Make(kA);
  Elect(core, kB, At(1000));
  core.Step(At(1000), Propose{Bytes("x"), 900});
  const Output out = core.Step(At(1000), Propose{Bytes("y"), 800});
  EXPECT_EQ(out.write->entries[0].stamp_ns, 900);
  // Nor in an append.
  Core follower = Make(kB);
  follower.Step(At(0), Received{kA, Append(2, 1, 1, {Command(2, 2, 900), Command(3, 2, 800)})});
  EXPECT_EQ(follower.last_index(), 1u);
}

// ---- Proposals and reads ----

TEST(CoreTest, TellsWhereAProposalWent) {
  Core core = Make(kA);
  EXPECT_FALSE(core.Step(At(0), Propose{Bytes("x"), 1}).proposed.has_value());
  Elect(core, kB, At(1000));
  const Output out = core.Step(At(1000), Propose{Bytes("x"), 1});
  ASSERT_TRUE(out.proposed.has_value());
  EXPECT_EQ(out.proposed->index, 3u);
  EXPECT_EQ(out.proposed->term, 2u);
  EXPECT_THAT(out.committed, IsEmpty());
}

TEST(CoreTest, PayloadsAreSharedNotCopied) {
  Core core = Make(kA);
  Elect(core, kB, At(1000));
  const Payload payload = Bytes("x");
  core.Step(At(1000), Received{kB, Accept(2, 2, 1)});
  const Output out = core.Step(At(1000), Propose{payload, 1});
  EXPECT_EQ(out.write->entries[0].payload, payload);
  ASSERT_FALSE(out.messages.empty());
  EXPECT_EQ(std::get<AppendRequest>(out.messages[0].message).entries[0].payload, payload);
}

TEST(PitfallC14, TheOwnEntryCountsOnlyWhenItIsDurable) {
  Core core = Make(kA);
  const Output elected = Elect(core, kB, At(1000));
  // One follower has it; the own disk does not.
  EXPECT_THAT(core.Step(At(1000), Received{kB, Accept(2, 2, 1)}).committed, IsEmpty());
  EXPECT_THAT(core.Step(At(1000), WriteDurable{elected.write->id}).committed, SizeIs(2));
}

TEST(PitfallC13, ANoticeOfANumberNeverWrittenIsNotBelieved) {
  Core core = Make(kA);
  Elect(core, kB, At(1000));
  core.Step(At(1000), Received{kB, Accept(2, 2, 1)});
  core.Step(At(1000), WriteDurable{99});  // all that was written: 1 and 2
  EXPECT_EQ(core.commit_index(), 2u);
  core.Step(At(1000), Propose{Bytes("x"), 1});
  core.Step(At(1000), Received{kB, Accept(2, 3, 1)});
  EXPECT_EQ(core.commit_index(), 2u);
  core.Step(At(1000), WriteDurable{3});
  EXPECT_EQ(core.commit_index(), 3u);
}

TEST(CoreTest, AnAcknowledgementOfWhatWasNeverSentIsNotBelieved) {
  Core core = Make(kA);
  const Output elected = Elect(core, kB, At(1000));
  core.Step(At(1000), WriteDurable{elected.write->id});
  core.Step(At(1000), Received{kB, Accept(2, 77, 1)});
  EXPECT_EQ(core.commit_index(), 0u);
  EXPECT_EQ(core.progress(kB)->match_index, 0u);
}

// ---- Configurations ----

TEST(PitfallC9, AConfigurationIsInForceWhenAppendedAndGoesWithItsEntry) {
  Core core = Make(kA);
  const auto only_bc = Voters({kB, kC});
  core.Step(At(0), Received{kB, Append(2, 1, 1, {Change(2, 2, only_bc)})});
  EXPECT_EQ(core.configuration(), *only_bc);
  core.Step(At(9000), Received{kC, Append(3, 1, 1, {Command(2, 3, 0)})});
  EXPECT_EQ(core.configuration(), *Voters({kA, kB, kC}));
  core.Step(At(19000), Timer{});
  EXPECT_EQ(core.role(), Role::kPreCandidate);
}

TEST(PitfallC27, WhoeverACommittedConfigurationLeavesOutDoesNotCampaign) {
  Core core = Make(kA);
  core.Step(At(0), Received{kB, Append(2, 1, 1, {Change(2, 2, Voters({kB, kC}))}, 2)});
  EXPECT_EQ(core.Step(At(9000), Timer{}).deadline, Instant::InfiniteFuture());
  EXPECT_EQ(core.role(), Role::kFollower);
}

TEST(CoreTest, AnotherIncarnationOfItsNameIsNotItself) {
  Core core = Make({"a", 99});
  EXPECT_EQ(core.Step(At(9000), Timer{}).deadline, Instant::InfiniteFuture());
  EXPECT_EQ(core.role(), Role::kFollower);
}

TEST(CoreTest, AJointConfigurationNeedsBothHalves) {
  const MemberId d{"d", 44};
  const MemberId e{"e", 55};
  auto joint = std::make_shared<Configuration>(*Voters({kA, kB, kC}));
  joint->voters_outgoing = Voters({kA, d, e})->voters;
  Options options;
  options.self = kA;
  Core core(options, Fresh(joint), At(0));
  core.Step(At(1000), Timer{});
  core.Step(At(1000), Received{kB, VoteResponse{1, 2, true, true}});
  EXPECT_EQ(core.role(), Role::kPreCandidate);
  core.Step(At(1000), Received{d, VoteResponse{1, 2, true, true}});
  ASSERT_EQ(core.role(), Role::kCandidate);
  core.Step(At(1000), WriteDurable{1});
  core.Step(At(1000), Received{kB, VoteResponse{2, 2, false, true}});
  core.Step(At(1000), Received{kC, VoteResponse{2, 2, false, true}});
  EXPECT_EQ(core.role(), Role::kCandidate);
  core.Step(At(1000), Received{e, VoteResponse{2, 2, false, true}});
  ASSERT_EQ(core.role(), Role::kLeader);
  core.Step(At(1000), WriteDurable{2});
  core.Step(At(1000), Received{kB, Accept(2, 2, 1)});
  core.Step(At(1000), Received{kC, Accept(2, 2, 1)});
  EXPECT_EQ(core.commit_index(), 0u);
  core.Step(At(1000), Received{d, Accept(2, 2, 1)});
  EXPECT_EQ(core.commit_index(), 2u);
}

TEST(CoreTest, LearnersAreFedButNotCounted) {
  auto configuration = std::make_shared<Configuration>(*Voters({kA, kB}));
  configuration->learners = Voters({kC})->voters;
  Options options;
  options.self = kA;
  Core core(options, Fresh(configuration), At(0));
  core.Step(At(1000), Timer{});
  core.Step(At(1000), Received{kC, VoteResponse{1, 2, true, true}});
  EXPECT_EQ(core.role(), Role::kPreCandidate);
  core.Step(At(1000), Received{kB, VoteResponse{1, 2, true, true}});
  core.Step(At(1000), WriteDurable{1});
  const Output out = core.Step(At(1000), Received{kB, VoteResponse{2, 2, false, true}});
  ASSERT_EQ(core.role(), Role::kLeader);
  EXPECT_THAT(out.messages, SizeIs(2));
  core.Step(At(1000), WriteDurable{2});
  core.Step(At(1000), Received{kC, Accept(2, 2, 1)});
  EXPECT_EQ(core.commit_index(), 0u);
  EXPECT_EQ(core.progress(kC)->match_index, 2u);
  core.Step(At(1000), Received{kB, Accept(2, 2, 1)});
  EXPECT_EQ(core.commit_index(), 2u);
}

TEST(CoreTest, AMemberThatLagsBehindAnExchangeElectsOneThatItDoesNotKnow) {
  Core core = Make(kA);
  Output out = core.Step(At(1000), Received{{"d", 44}, VoteRequest{2, false, 5, 1}});
  ASSERT_THAT(out.after_write, SizeIs(1));
  EXPECT_TRUE(std::get<VoteResponse>(out.after_write[0].outgoing.message).granted);
}

// ---- Recovery ----

TEST(CoreTest, StartsFromATrimmedLog) {
  Options options;
  options.self = kA;
  Initial initial;
  initial.hard_state = {7, kB};
  initial.trimmed_through = 10;
  initial.trimmed_term = 5;
  initial.trimmed_stamp_ns = 1234;
  initial.trimmed_configuration = Voters({kA, kB, kC});
  initial.applied = 10;
  Core core(options, std::move(initial), At(0));
  EXPECT_EQ(core.last_index(), 10u);
  EXPECT_EQ(core.commit_index(), 10u);
  EXPECT_EQ(core.committed_stamp_ns(), 1234);
  EXPECT_EQ(core.last_stamp_ns(), 1234);
  EXPECT_EQ(core.term(), 7u);
  // An append from below the trimmed part is taken up where the log begins.
  Output out = core.Step(
      At(0), Received{kB, Append(7, 8, 5,
                                 {Command(9, 5, 1), Command(10, 5, 2), Command(11, 7, 2000)}, 11)});
  ASSERT_THAT(out.committed, SizeIs(1));
  EXPECT_EQ(out.committed[0].index, 11u);
  EXPECT_EQ(core.committed_stamp_ns(), 2000);
}

TEST(CoreTest, ChargesTheLogByItsEntries) {
  Core core = Make(kA);
  const std::size_t before = core.log_bytes();
  core.Step(At(0), Received{kB, Append(2, 1, 1, {Command(2, 2, 0), Command(3, 2, 0)})});
  EXPECT_GT(core.log_bytes(), before + 2);
  core.Step(At(0), Received{kC, Append(3, 1, 1, {})});
  core.Step(At(0), Received{kC, Append(3, 1, 1, {Command(2, 3, 0)})});
  EXPECT_LT(core.log_bytes(), before + 2 * (core.log_bytes() - before));
  EXPECT_EQ(core.last_index(), 2u);
}

TEST(PitfallC22, AFailedWriteEndsEverything) {
  Core core = Make(kA);
  Elect(core, kB, At(1000));
  core.Step(At(1000), Read{5});
  Output out = core.Step(At(1000), WriteFailed{2});
  EXPECT_EQ(core.role(), Role::kStopped);
  EXPECT_THAT(out.reads_refused, ElementsAre(5));
  EXPECT_EQ(out.deadline, Instant::InfiniteFuture());
  out = core.Step(At(1000), WriteDurable{2});
  EXPECT_FALSE(out.role_change.has_value());
  out = core.Step(At(9000), Timer{});
  EXPECT_THAT(out.messages, IsEmpty());
  EXPECT_EQ(out.deadline, Instant::InfiniteFuture());
}

}  // namespace
}  // namespace tenure::raft
