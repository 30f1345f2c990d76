// BOOTSTRAP rule 12: members of a cluster that held nothing, and can elect nobody any more, give it
// up by themselves; members of any other never do.
#include <cstdint>
#include <optional>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/member/cluster.h"

namespace tenure::member {
namespace {

using testing::World;

bool HasRole(const Cluster& cluster, int asked, const MemberId& who, absl::string_view role) {
  for (const MemberStatus& member : cluster.Status(asked).members) {
    if (member.id == who && member.role == role) return true;
  }
  return false;
}

// Runs until the member is in that cluster, and before it hears what that consists of.
void AwaitLetIn(Cluster& cluster, int member, const ClusterId& into) {
  ASSERT_TRUE(cluster.world().RunUntil([&] { return cluster.Status(member).cluster == into; },
                                       absl::Seconds(10)));
  ASSERT_TRUE(cluster.Status(member).members.empty());
}

// Runs until the member says that it must start anew, and does that, as `tenure serve` does.
void AwaitAnew(Cluster& cluster, int member) {
  ASSERT_TRUE(cluster.world().RunUntil([&] { return absl::IsAborted(cluster.stopped(member)); },
                                       absl::Seconds(30)))
      << cluster.Status(member).message;
  cluster.Restart(member);
  ASSERT_TRUE(cluster.AwaitConverged());
}

TEST(StartAnew, T17ADisturbedFirstStartRepairsItself) {
  World world(22);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const ClusterId first = cluster.Status(0).cluster;
  cluster.Restart(0);
  cluster.Restart(1);
  AwaitAnew(cluster, 2);
  EXPECT_NE(cluster.Status(0).cluster, first);
}

// Let in as a learner, by a cluster that is gone before it said what it consists of: nobody is lost
// that this one could know of, and the free cannot begin without it.
TEST(StartAnew, T17WhoWasLetInByAClusterThatIsGone) {
  World world(23);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const ClusterId first = cluster.Status(0).cluster;
  cluster.Restart(2);
  ASSERT_NO_FATAL_FAILURE(AwaitLetIn(cluster, 2, first));
  cluster.Restart(0);
  cluster.Restart(1);
  AwaitAnew(cluster, 2);
  EXPECT_NE(cluster.Status(2).cluster, first);
  EXPECT_EQ(cluster.Status(2).cluster, cluster.Status(0).cluster);
}

// Let in, and told nothing yet, when its leader stopped: that holds no command, but the log, and
// leads again in a moment.
TEST(StartAnew, WaitsForWhoHasTheLog) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    Cluster cluster(world, {.size = 2, .durable = true});
    cluster.StartAll();
    ASSERT_TRUE(cluster.AwaitConverged());
    const ClusterId first = cluster.Status(0).cluster;
    const int leader = cluster.Leader();
    const int let_in = 1 - leader;
    cluster.Kill(let_in);
    cluster.machine(let_in).disk().Wipe();
    cluster.Start(let_in);
    ASSERT_NO_FATAL_FAILURE(AwaitLetIn(cluster, let_in, first));
    cluster.Kill(leader);
    world.RunFor(absl::Seconds(2));
    cluster.Start(leader);
    ASSERT_TRUE(cluster.AwaitConverged());
    EXPECT_TRUE(cluster.stopped(let_in).ok()) << cluster.stopped(let_in);
    EXPECT_EQ(cluster.Status(let_in).cluster, first);
  }
}

// One of two members came back as a learner; before it takes its place the other one restarts.
class TwoOfTwo : public ::testing::Test {
 protected:
  void RestartBoth() {
    const int back = 1 - cluster_.Leader();
    const int left = 1 - back;
    cluster_.Restart(back);
    ASSERT_TRUE(world_.RunUntil(
        [&] { return HasRole(cluster_, back, cluster_.node(back).id(), "learner"); },
        absl::Seconds(20)));
    cluster_.Restart(left);
    back_ = back;
  }
  void SetUp() override {
    cluster_.StartAll();
    ASSERT_TRUE(cluster_.AwaitConverged());
  }
  World world_{1};
  Cluster cluster_{world_, {.size = 2}};
  int back_ = -1;
};

TEST_F(TwoOfTwo, T17LostDuringAnExchangeRepairItself) {
  RestartBoth();
  AwaitAnew(cluster_, back_);
}

TEST_F(TwoOfTwo, T17LostDuringAnExchangeSaySo) {
  {
    auto port = Caller::Port(cluster_, cluster_.Leader());
    OpenSessionOn(*port, absl::Seconds(30), 1);
  }
  RestartBoth();
  EXPECT_TRUE(world_.RunUntil(
      [&] { return absl::StrContains(cluster_.Status(back_).message, "an operator must stop"); },
      absl::Seconds(30)))
      << cluster_.Status(back_).message;
  EXPECT_TRUE(cluster_.stopped(back_).ok());
}

// Two members without a disk and a third that has one.
class ADiskBesideMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    cluster_.options().durable = true;
    cluster_.AddMachine();
    cluster_.StartAll();
    ASSERT_TRUE(cluster_.AwaitConverged());
    first_ = cluster_.Status(0).cluster;
  }
  World world_{22};
  Cluster cluster_{world_, {.size = 2}};
  ClusterId first_;
};

TEST_F(ADiskBesideMemory, T17RepairsADisturbedFirstStart) {
  cluster_.Restart(0);
  cluster_.Restart(1);
  AwaitAnew(cluster_, 2);
  EXPECT_NE(cluster_.Status(2).cluster, first_);
}

TEST_F(ADiskBesideMemory, T17WasLetInByAClusterThatIsGone) {
  cluster_.Kill(2);
  cluster_.machine(2).disk().Wipe();
  cluster_.Start(2);
  ASSERT_NO_FATAL_FAILURE(AwaitLetIn(cluster_, 2, first_));
  cluster_.Restart(0);
  cluster_.Restart(1);
  AwaitAnew(cluster_, 2);
  EXPECT_NE(cluster_.Status(2).cluster, first_);
}

TEST_F(ADiskBesideMemory, KeepsWhatClientsWereTold) {
  {
    auto port = Caller::Port(cluster_, cluster_.Leader());
    OpenSessionOn(*port, absl::Seconds(30), 1);
    ASSERT_TRUE(cluster_.AwaitConverged());
  }
  cluster_.Restart(0);
  cluster_.Restart(1);
  ASSERT_TRUE(world_.RunUntil(
      [&] { return absl::StrContains(cluster_.Status(2).message, "an operator must stop"); },
      absl::Seconds(20)));
  world_.RunFor(absl::Seconds(30));
  EXPECT_TRUE(cluster_.stopped(2).ok()) << cluster_.stopped(2);
  EXPECT_EQ(cluster_.Status(2).cluster, first_);
}

// Nobody ever loses more than one member's memory at once, and what was acknowledged is held by two
// of three. The one that lags behind takes those for lost that were exchanged long ago.
class Lagging : public ::testing::TestWithParam<std::uint64_t> {
 protected:
  Lagging() : world_(GetParam()) {
    ClusterOptions options;
    options.on_send = [this](int, const Envelope& envelope) { Watch(envelope); };
    cluster_.emplace(world_, std::move(options));
  }
  // Cuts off who lags before it hears of the final configuration.
  void Watch(const Envelope& envelope) {
    if (cut_ || lags_ < 0 || envelope.to.name != cluster_->name(lags_)) return;
    const auto* message = std::get_if<raft::Message>(&envelope.body);
    const auto* append = message == nullptr ? nullptr : std::get_if<raft::AppendRequest>(message);
    if (append == nullptr) return;
    for (const raft::Entry& entry : append->entries) {
      if (entry.configuration == nullptr || entry.configuration->joint()) continue;
      for (const raft::Server& voter : entry.configuration->voters)
        cut_ = cut_ || voter.id == young_;
    }
    if (cut_) cluster_->Isolate(lags_, true);
  }

  World world_;
  std::optional<Cluster> cluster_;
  int lags_ = -1;
  MemberId young_;
  bool cut_ = false;
};

TEST_P(Lagging, T17BehindAnExchangeKeepsItsLog) {
  cluster_->StartAll();
  ASSERT_TRUE(cluster_->AwaitConverged());
  const int leader = cluster_->Leader();
  const int restarted = leader == 0 ? 1 : 0;
  lags_ = 3 - leader - restarted;
  cluster_->Restart(restarted);
  young_ = cluster_->node(restarted).id();
  ASSERT_TRUE(world_.RunUntil(
      [&] { return cut_ && HasRole(*cluster_, leader, young_, "follower"); }, absl::Seconds(20)));
  world_.RunFor(absl::Seconds(1));
  Revision token = 0;
  {
    auto port = Caller::Port(*cluster_, leader);
    Session session = OpenSessionOn(*port, absl::Seconds(600), 1);
    const Reply reply = port->AwaitReply(port->Write(session.Acquire("x", absl::ZeroDuration())));
    ASSERT_NE(As<LockGranted>(reply), nullptr);
    token = As<LockGranted>(reply)->token;
  }
  cluster_->Restart(leader);
  world_.RunFor(absl::Seconds(2));
  cluster_->Isolate(lags_, false);
  ASSERT_TRUE(cluster_->AwaitConverged(absl::Seconds(60)));
  EXPECT_TRUE(cluster_->stopped(lags_).ok()) << cluster_->stopped(lags_);
  auto port = Caller::Port(*cluster_, cluster_->Leader());
  const Reply held = port->AwaitReply(port->Read(GetLock{"x"}));
  ASSERT_NE(As<LockDescription>(held), nullptr);
  EXPECT_EQ(As<LockDescription>(held)->holder.token, token);
}

INSTANTIATE_TEST_SUITE_P(Worlds, Lagging, ::testing::Range(std::uint64_t{1}, std::uint64_t{21}));

}  // namespace
}  // namespace tenure::member
