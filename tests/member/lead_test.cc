// Whether a member leads its group, as its own process sees it.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <stop_token>
#include <vector>

#include "member/lead_board.h"
#include "tests/member/cluster.h"

namespace tenure::member {
namespace {

using testing::Clock;
using testing::World;

class LeadTest : public ::testing::Test {
 protected:
  LeadTest() {
    cluster_.StartAll();
    EXPECT_TRUE(cluster_.AwaitConverged());
    for (int i = 0; i < cluster_.size(); ++i) Watch(i);
  }

  void Watch(int i) {
    cluster_.node(i).WatchLead();
    boards_.resize(static_cast<std::size_t>(cluster_.size()));
    boards_[static_cast<std::size_t>(i)] = cluster_.node(i).lead();
  }
  Term Leads(int i) const { return boards_[static_cast<std::size_t>(i)]->Leads(); }
  // The one that says so; -1: nobody. Two at once fail the test.
  int WhoLeads() const {
    int who = -1;
    for (int i = 0; i < cluster_.size(); ++i) {
      if (Leads(i) == 0) continue;
      EXPECT_EQ(who, -1) << "members " << who << " and " << i << " lead at once, in terms "
                         << Leads(who) << " and " << Leads(i);
      who = i;
    }
    return who;
  }
  // Looks all the time, until `condition`.
  bool Await(const std::function<bool()>& condition, absl::Duration limit = absl::Seconds(10)) {
    for (absl::Duration over; over < limit; over += absl::Milliseconds(1)) {
      WhoLeads();
      if (condition()) return true;
      world_.RunFor(absl::Milliseconds(1));
    }
    return false;
  }
  bool AwaitOther(int than) {
    return Await([&] { return WhoLeads() != -1 && WhoLeads() != than; });
  }

  World world_{7};
  Cluster cluster_{world_};
  std::vector<std::shared_ptr<LeadBoard>> boards_;
};

TEST_F(LeadTest, TheLeaderKnowsAndNobodyElseClaimsIt) {
  ASSERT_TRUE(Await([&] { return WhoLeads() != -1; }));
  const int leader = WhoLeads();
  EXPECT_EQ(leader, cluster_.Leader());
  EXPECT_EQ(Leads(leader), cluster_.Status(leader).term);
  EXPECT_FALSE(boards_[static_cast<std::size_t>(leader)]->lost().stop_requested());
  const int other = (leader + 1) % 3;
  EXPECT_TRUE(boards_[static_cast<std::size_t>(other)]->lost().stop_requested());
  // It stays so while nothing happens.
  EXPECT_FALSE(AwaitOther(leader));
  EXPECT_EQ(WhoLeads(), leader);
}

// E1: by the clock, though the actor that stands still was told nothing.
TEST_F(LeadTest, E1AMemberThatIsPausedLeadsNoLongerThanItsLease) {
  ASSERT_TRUE(Await([&] { return WhoLeads() != -1; }));
  const int paused = WhoLeads();
  const Term term = Leads(paused);
  const std::stop_token lost = boards_[static_cast<std::size_t>(paused)]->lost();
  cluster_.machine(paused).Pause();
  ASSERT_TRUE(AwaitOther(paused));
  EXPECT_EQ(Leads(paused), 0u);
  EXPECT_GT(Leads(WhoLeads()), term);
  EXPECT_FALSE(lost.stop_requested()) << "nobody there could tell it";
  cluster_.machine(paused).Resume();
  ASSERT_TRUE(Await([&] { return lost.stop_requested(); }));
  EXPECT_EQ(Leads(paused), 0u);
}

// E3: the round that its followers do not answer does not keep it in office.
TEST_F(LeadTest, E3AMemberThatIsCutOffLeadsNoLongerThanItsLease) {
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(Await([&] { return WhoLeads() != -1; }));
    const int cut = WhoLeads();
    const std::stop_token lost = boards_[static_cast<std::size_t>(cut)]->lost();
    cluster_.Isolate(cut, true);
    ASSERT_TRUE(AwaitOther(cut));
    cluster_.Isolate(cut, false);
    ASSERT_TRUE(Await([&] { return lost.stop_requested(); }));
  }
}

// The clocks of members run as far apart as they may, and the leader's the slowest.
TEST_F(LeadTest, ClocksWithinTheirBoundMakeNoTwoLeaders) {
  for (int round = 0; round < 6; ++round) {
    ASSERT_TRUE(Await([&] { return WhoLeads() != -1; }));
    const int cut = WhoLeads();
    for (int i = 0; i < 3; ++i) {
      const double drift = i == cut ? -0.0099 : 0.0099;
      cluster_.machine(i).SetClockDrift(Clock::kBoottime, drift);
      cluster_.machine(i).SetClockDrift(Clock::kMonotonicRaw, drift);
    }
    world_.RunFor(absl::Milliseconds(700));
    cluster_.Isolate(cut, true);
    ASSERT_TRUE(AwaitOther(cut));
    cluster_.Isolate(cut, false);
    ASSERT_TRUE(cluster_.AwaitConverged());
  }
}

// T13, C4: whoever hands over leads no more before anybody is told to campaign, and is told first.
TEST_F(LeadTest, T13HandingOverEndsTheLeadBeforeItsSuccessorBegins) {
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(Await([&] { return WhoLeads() != -1; }));
    const int leader = WhoLeads();
    bool told = false;
    const std::stop_callback on_lost(boards_[static_cast<std::size_t>(leader)]->lost(), [&] {
      told = true;
      EXPECT_EQ(Leads(leader), 0u);
      EXPECT_EQ(WhoLeads(), -1) << "there is a successor already";
    });
    cluster_.node(leader).HandOver([](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
    ASSERT_TRUE(AwaitOther(leader));
    EXPECT_TRUE(told);
  }
}

TEST_F(LeadTest, AMemberThatStopsLeadsNoMore) {
  ASSERT_TRUE(Await([&] { return WhoLeads() != -1; }));
  const int leader = WhoLeads();
  const std::stop_token lost = boards_[static_cast<std::size_t>(leader)]->lost();
  cluster_.Kill(leader);
  EXPECT_TRUE(lost.stop_requested());
  EXPECT_EQ(Leads(leader), 0u);
  ASSERT_TRUE(AwaitOther(leader));
}

}  // namespace
}  // namespace tenure::member
