// What members are seen to attest, and what a storage is found to lack of it.
#include "member/attestations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace tenure::member {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

const MemberId kMe{"n1", 1};
const MemberId kPeer{"n2", 2};
const MemberId kThird{"n3", 3};

raft::AppendResponse Accepted(Term term, Index match, Index applied = 0) {
  raft::AppendResponse answer;
  answer.term = term;
  answer.accepted = true;
  answer.match_index = match;
  answer.applied = applied;
  return answer;
}

class AttestationsTest : public ::testing::Test {
 protected:
  void Hear(const raft::Message& message) {
    heard_.Heard(kPeer, message, kMe, [this](Term, Index) { return log_term_; });
  }
  raft::Attested heard() const { return heard_.Of(kPeer); }

  Attestations heard_;
  Term log_term_ = 0;  // of each entry, as the leader knows
};

TEST_F(AttestationsTest, AVoteIsHeardFromWhoGaveItAndFromWhoTookIt) {
  Hear(raft::VoteResponse{.term = 4, .request_term = 4, .granted = true});
  EXPECT_EQ(heard(), (raft::Attested{.who = kPeer, .term = 4, .vote = kMe}));
  Hear(raft::VoteRequest{.term = 5});
  EXPECT_EQ(heard(), (raft::Attested{.who = kPeer, .term = 5, .vote = kPeer}));
}

TEST_F(AttestationsTest, WhatPromisesNothingAttestsNothing) {
  Hear(raft::VoteRequest{.term = 9, .pre_vote = true});
  Hear(raft::VoteResponse{.term = 9, .request_term = 9, .pre_vote = true, .granted = true});
  Hear(raft::VoteResponse{.term = 9, .request_term = 9, .granted = false});
  raft::AppendResponse refused;
  refused.term = 9;
  refused.match_index = 7;
  Hear(refused);
  EXPECT_EQ(heard(), raft::Attested{.who = kPeer});
  EXPECT_FALSE(heard_.changed());
}

TEST_F(AttestationsTest, AcknowledgementsOfATermOnlyRise) {
  log_term_ = 2;
  Hear(Accepted(3, 10, 4));
  Hear(Accepted(3, 8, 6));  // late
  EXPECT_EQ(
      heard(),
      (raft::Attested{.who = kPeer, .term = 3, .match_index = 10, .match_term = 2, .applied = 6}));
  // The next leader may overwrite what was not committed.
  Hear(raft::AppendRequest{.term = 4});
  EXPECT_EQ(heard(), (raft::Attested{.who = kPeer, .term = 4, .applied = 6}));
  Hear(Accepted(3, 11));
  EXPECT_EQ(heard().match_index, 0u) << "of a term that is over";
}

// Nobody else knows what it counted of its own disk.
TEST_F(AttestationsTest, ALeaderTellsHowFarItsOwnLogIsDurable) {
  Hear(raft::AppendRequest{.term = 4, .durable = 20});
  Hear(raft::AppendRequest{.term = 4, .durable = 19});
  Hear(raft::AppendRequest{.term = 3, .durable = 30});
  EXPECT_EQ(heard(), (raft::Attested{.who = kPeer, .term = 4, .match_index = 20}));
}

TEST_F(AttestationsTest, WhatIsTakenIsTakenOnceAndWhoLeftIsForgotten) {
  Hear(raft::AppendRequest{.term = 4});
  const auto taken = heard_.TakeChanged();
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->size(), 1u);
  EXPECT_FALSE(heard_.TakeChanged().has_value());
  Hear(raft::AppendRequest{.term = 4});
  EXPECT_FALSE(heard_.TakeChanged().has_value()) << "nothing was new";
  EXPECT_EQ(Attestations(*taken).Of(kPeer).term, 4u) << "as a storage brings it back";
  raft::Configuration without;
  without.voters = {{kMe, "n1:1"}, {kThird, "n3:1"}};
  heard_.Keep(without);
  EXPECT_EQ(heard(), raft::Attested{.who = kPeer});
  EXPECT_TRUE(heard_.changed());
}

// A storage that holds entries of these terms, from index 1 on.
Recollection Found(Term term, MemberId vote, const std::vector<Term>& log, Index trimmed = 0) {
  Recovered recovered;
  recovered.hard_state = {term, std::move(vote)};
  recovered.trimmed_through = trimmed;
  for (const Term each : log) {
    raft::Entry entry;
    entry.index = trimmed + recovered.entries.size() + 1;
    entry.term = each;
    recovered.entries.push_back(std::move(entry));
  }
  return Recollection(recovered);
}

TEST(RecollectionTest, WhatIsThereIsNotMissed) {
  const Recollection found = Found(5, kThird, {1, 1, 3, 5});
  EXPECT_THAT(found.Missing({.who = kMe}, {}), IsEmpty());
  EXPECT_THAT(found.Missing({.who = kMe, .term = 5, .vote = kThird}, {}), IsEmpty());
  EXPECT_THAT(
      found.Missing({.who = kMe, .term = 5, .match_index = 4, .match_term = 5, .applied = 4}, {}),
      IsEmpty());
  // Overwritten since by the leader of another term.
  EXPECT_THAT(found.Missing({.who = kMe, .term = 4, .match_index = 9, .match_term = 4}, {}),
              IsEmpty());
  EXPECT_THAT(Found(5, {}, {5}, /*trimmed=*/7)
                  .Missing({.who = kMe, .term = 5, .match_index = 6, .match_term = 2}, {}),
              IsEmpty());
}

TEST(RecollectionTest, WhatIsMissingIsNamed) {
  const Recollection found = Found(5, {}, {1, 1, 3, 3});
  EXPECT_THAT(found.Missing({.who = kMe, .term = 6}, {}), HasSubstr("term 6, where it holds 5"));
  EXPECT_THAT(found.Missing({.who = kMe, .term = 5, .vote = kThird}, {}),
              HasSubstr("its vote for n3"));
  EXPECT_THAT(found.Missing({.who = kMe, .term = 5, .match_index = 5, .match_term = 5}, {}),
              HasSubstr("entry 5 in term 5, where its log ends at 4"));
  EXPECT_THAT(found.Missing({.who = kMe, .term = 3, .applied = 5}, {}), HasSubstr("entry 5"));
  EXPECT_THAT(found.Missing({.who = kMe, .term = 5, .match_index = 5}, {}), HasSubstr("entry 5"));
  EXPECT_THAT(found.Missing({.who = kMe, .term = 5, .match_index = 4}, {}), IsEmpty());
  // As long, but with what was acknowledged no more in it.
  EXPECT_THAT(found.Missing({.who = kMe, .term = 5, .match_index = 3, .match_term = 2}, {}),
              HasSubstr("entry 3 in term 5"));
}

// An answer may tell what was said since the start, too.
TEST(RecollectionTest, WhatWasSaidSinceIsNotMissed) {
  const Recollection found = Found(5, {}, {1, 1});
  const raft::Attested attested{
      .who = kMe, .term = 6, .vote = kThird, .match_index = 3, .match_term = 6, .applied = 3};
  Said said;
  EXPECT_THAT(found.Missing(attested, said), HasSubstr("term 6"));
  said.Note(kMe, kPeer, Accepted(6, 2, 2));
  EXPECT_THAT(found.Missing(attested, said), HasSubstr("its vote"));
  said.Note(kMe, kThird, raft::VoteResponse{.term = 6, .request_term = 6, .granted = true});
  EXPECT_THAT(found.Missing(attested, said), HasSubstr("entry 3 in term 6"));
  said.Note(kMe, kPeer, Accepted(6, 3, 2));
  EXPECT_THAT(found.Missing(attested, said), HasSubstr("entry 3, which it had applied"));
  said.Note(kMe, kPeer, Accepted(6, 3, 3));
  EXPECT_THAT(found.Missing(attested, said), IsEmpty());
}

TEST(RecollectionTest, ALaterTermHidesNotWhatWasLost) {
  const Recollection found = Found(5, {}, {5, 5});
  Said said;
  said.Note(kMe, kPeer, raft::VoteRequest{.term = 8});
  EXPECT_THAT(found.Missing({.who = kMe, .term = 5, .match_index = 3, .match_term = 5}, said),
              HasSubstr("entry 3"));
  EXPECT_THAT(found.Missing({.who = kMe, .term = 5, .vote = kThird}, said), HasSubstr("its vote"));
  EXPECT_THAT(found.Missing({.who = kMe, .term = 7}, said), HasSubstr("term 7"));
  EXPECT_THAT(found.Missing({.who = kMe, .term = 8, .vote = kMe}, said), IsEmpty());
  EXPECT_THAT(found.Missing({.who = kMe, .term = 4, .vote = kThird, .match_index = 9}, said),
              IsEmpty());
}

TEST(RecollectionTest, WhatWasSaidIsKeptWithinABound) {
  Said said;
  for (Term term = 1; term <= 1000; ++term) said.Note(kMe, kPeer, raft::VoteRequest{.term = term});
  EXPECT_TRUE(said.Forgotten(900));
  EXPECT_FALSE(said.Forgotten(990));
  EXPECT_EQ(said.In(900), nullptr);
  ASSERT_NE(said.In(990), nullptr);
  EXPECT_THAT(Found(1, {}, {1}).Missing({.who = kMe, .term = 900, .vote = kThird}, said), IsEmpty())
      << "it may have been said since";
}

}  // namespace
}  // namespace tenure::member
