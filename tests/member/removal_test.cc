// Members that are removed: they are told so, stop, and may come back.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "tests/member/cluster.h"

namespace tenure::member {
namespace {

using testing::World;

// PITFALLS C27: a member that is removed hears of it and stops.
TEST(Node, C27ARemovedMemberIsToldAndStops) {
  for (const bool away : {false, true}) {
    World world(32);
    Cluster cluster(world, {.size = 3, .durable = true});
    cluster.StartAll();
    ASSERT_TRUE(cluster.AwaitConverged());
    const int leader = cluster.Leader();
    const int removed = Other(cluster, leader);
    auto port = Caller::Port(cluster, leader);
    if (away) cluster.Isolate(removed, true);
    const Reply reply = port->AwaitReply(port->Change(MemberAction::kRemove, cluster.name(removed)),
                                         absl::Seconds(20));
    ASSERT_NE(As<ClusterStatus>(reply), nullptr) << reply.message;
    EXPECT_EQ(VotersOf(cluster, leader).size(), 2u);
    if (away) {
      world.RunFor(absl::Seconds(5));
      EXPECT_TRUE(cluster.stopped(removed).ok());
      cluster.Isolate(removed, false);
    }
    ASSERT_TRUE(world.RunUntil([&] { return !cluster.stopped(removed).ok(); }, absl::Seconds(10)));
    EXPECT_TRUE(absl::StrContains(cluster.stopped(removed).message(), "removed from the cluster"))
        << cluster.stopped(removed);
    EXPECT_EQ(cluster.Leader(), leader);  // nobody was disturbed
    // Nor is anybody when it is started again.
    cluster.Restart(removed);
    ASSERT_TRUE(world.RunUntil([&] { return !cluster.stopped(removed).ok(); }, absl::Seconds(10)));
    EXPECT_EQ(cluster.Leader(), leader);
    // The other one of the two is needed now.
    EXPECT_FALSE(cluster.Status(leader).may_stop_one);
  }
}

// Its log says that it was removed; what was decided since, it has still to hear.
TEST(Node, ARemovedMemberCanBeAddedAgainWithItsData) {
  for (const bool heard : {true, false}) {
    SCOPED_TRACE(heard);
    World world(34);
    Cluster cluster(world, {.size = 3, .durable = true});
    cluster.StartAll();
    ASSERT_TRUE(cluster.AwaitConverged());
    const int leader = cluster.Leader();
    const int removed = Other(cluster, leader);
    auto port = Caller::Port(cluster, leader);
    if (!heard) cluster.Kill(removed);
    ASSERT_EQ(port->AwaitReply(port->Change(MemberAction::kRemove, cluster.name(removed)),
                               absl::Seconds(20))
                  .code,
              ReplyCode::kOk);
    if (heard) {
      ASSERT_TRUE(
          world.RunUntil([&] { return !cluster.stopped(removed).ok(); }, absl::Seconds(10)));
      cluster.Kill(removed);
    }
    const std::uint64_t added =
        port->Change(MemberAction::kAdd, cluster.name(removed), cluster.address(removed));
    world.RunFor(absl::Milliseconds(100));  // whoever starts now is expected
    cluster.Start(removed);
    EXPECT_EQ(port->AwaitReply(added, absl::Seconds(30)).code, ReplyCode::kOk);
    EXPECT_EQ(VotersOf(cluster, leader).size(), 3u);
    // That it hears of nobody means nothing any more.
    for (int i = 0; i < 3; ++i) {
      if (i != removed) cluster.Kill(i);
    }
    world.RunFor(absl::Seconds(10));
    for (int i = 0; i < 3; ++i) {
      if (i != removed) cluster.Start(i);
    }
    EXPECT_TRUE(cluster.stopped(removed).ok()) << cluster.stopped(removed);
    ASSERT_TRUE(cluster.AwaitConverged());
    cluster.Restart(removed);
    ASSERT_TRUE(cluster.AwaitConverged());
  }
}

TEST(Node, ALeaderThatIsToBeRemovedHandsOverFirst) {
  World world(33);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  {
    auto port = Caller::Port(cluster, leader);
    const ClientReply reply =
        port->Await(port->Change(MemberAction::kRemove, cluster.name(leader)), absl::Seconds(10));
    EXPECT_EQ(reply.refusal, Refusal::kNotLeader);  // ask the next one
  }
  ASSERT_TRUE(cluster.AwaitConverged());
  const int next = cluster.Leader();
  ASSERT_NE(next, leader);
  auto port = Caller::Port(cluster, next);
  port->AwaitReply(port->Change(MemberAction::kRemove, cluster.name(leader)), absl::Seconds(10));
  ASSERT_TRUE(world.RunUntil([&] { return !cluster.stopped(leader).ok(); }, absl::Seconds(10)));
  EXPECT_EQ(VotersOf(cluster, next).size(), 2u);
  // The last voter is not removed.
  port->AwaitReply(port->Change(MemberAction::kRemove, cluster.name(3 - next - leader)),
                   absl::Seconds(10));
  EXPECT_EQ(port->AwaitReply(port->Change(MemberAction::kRemove, cluster.name(next))).code,
            ReplyCode::kInvalid);
}

// Also one that only the configuration knows: the others' own lists do not have it.

TEST(Node, C27AMemberThatWasAddedIsToldOfItsRemovalToo) {
  World world(39);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  auto port = Caller::Port(cluster, leader);
  const int fourth = cluster.AddMachine();
  cluster.Start(fourth);
  port->AwaitReply(port->Change(MemberAction::kAdd, "n4", cluster.address(fourth)),
                   absl::Seconds(20));
  port->AwaitReply(port->Change(MemberAction::kRemove, "n4"), absl::Seconds(20));
  ASSERT_TRUE(world.RunUntil([&] { return !cluster.stopped(fourth).ok(); }, absl::Seconds(10)));
  EXPECT_EQ(cluster.Leader(), leader);
}

// Its successor keeps leadership for as long as the removal takes, though it has a greater
// priority.
TEST(Node, TheLeaderOfTheGreatestPriorityCanBeRemoved) {
  for (const int size : {2, 3, 5}) {
    SCOPED_TRACE(size);
    World world(1);
    Cluster cluster(world, {.size = size,
                            .durable = true,
                            .disk_latency_max = absl::Milliseconds(5),
                            .change = [](MemberOptions& member) {
                              member.priority = member.id == "n1" ? 2 : 0;
                            }});
    cluster.StartAll();
    ASSERT_TRUE(cluster.AwaitConverged());
    ASSERT_TRUE(world.RunUntil([&] { return cluster.Leader() == 0; }, absl::Minutes(1)));
    const Term before = cluster.Status(0).term;
    // Whoever leads is asked again at once, as a client does.
    ASSERT_TRUE(world.RunUntil(
        [&] {
          const int leader = cluster.Leader();
          if (leader < 0) return false;
          auto port = Caller::Port(cluster, leader);
          const ClientReply reply =
              port->Await(port->Change(MemberAction::kRemove, "n1"), absl::Seconds(2));
          return leader != 0 && reply.id != 0 && reply.refusal == Refusal::kNone;
        },
        absl::Minutes(1)));
    const int leader = cluster.Leader();
    ASSERT_GT(leader, 0);
    EXPECT_EQ(cluster.Status(leader).term, before + 1);
    EXPECT_EQ(VotersOf(cluster, leader).size(), static_cast<std::size_t>(size) - 1);
  }
}

// A learner that an operator gave up on, and that is removed.
class RemovedLearner : public ::testing::Test {
 protected:
  void AddAndGiveUp() {
    cluster_.StartAll();
    ASSERT_TRUE(cluster_.AwaitConverged());
    const int leader = cluster_.Leader();
    learner_ = cluster_.AddMachine();
    {
      auto port = Caller::Port(cluster_, leader);
      port->Change(MemberAction::kAdd, cluster_.name(learner_), cluster_.address(learner_));
      cluster_.Start(learner_);
      ASSERT_TRUE(world_.RunUntil([&] { return cluster_.Logged(leader, "joins as a learner"); },
                                  absl::Seconds(20)));
      cluster_.Isolate(learner_, true);
    }
    world_.RunFor(absl::Seconds(1));
    cluster_.Isolate(learner_, false);
    world_.RunFor(absl::Seconds(2));
    ASSERT_EQ(cluster_.Status(leader).members.back().role, "learner");
  }
  void Remove() {
    auto port = Caller::Port(cluster_, cluster_.Leader());
    EXPECT_EQ(port->AwaitReply(port->Change(MemberAction::kRemove, cluster_.name(learner_))).code,
              ReplyCode::kOk);
  }
  bool AwaitStop(absl::Duration limit = absl::Minutes(1)) {
    return world_.RunUntil([&] { return !cluster_.stopped(learner_).ok(); }, limit);
  }

  World world_{5};
  Cluster cluster_{world_, {.size = 3, .durable = true, .change = [](MemberOptions& member) {
                              member.snapshot_log_bytes = 20'000;
                            }}};
  int learner_ = -1;
};

TEST_F(RemovedLearner, C27_IsToldThoughTheFirstWordOfItWasLost) {
  ASSERT_NO_FATAL_FAILURE(AddAndGiveUp());
  cluster_.Isolate(learner_, true);
  Remove();
  world_.RunFor(absl::Seconds(1));
  cluster_.Isolate(learner_, false);
  EXPECT_TRUE(AwaitStop());
  cluster_.Restart(learner_);
  EXPECT_TRUE(AwaitStop());
}

// Whoever starts from a snapshot knows from it who is a member.
TEST_F(RemovedLearner, C27_IsToldByALeaderThatStartedFromASnapshot) {
  ASSERT_NO_FATAL_FAILURE(AddAndGiveUp());
  {
    auto port = Caller::Port(cluster_, cluster_.Leader());
    for (std::uint64_t key = 1; key <= 1500; ++key) OpenSessionOn(*port, absl::Seconds(10), key);
  }
  for (int i = 0; i < 3; ++i) cluster_.Kill(i);
  for (int i = 0; i < 3; ++i) cluster_.Start(i);
  ASSERT_TRUE(cluster_.AwaitConverged());
  world_.RunFor(absl::Seconds(2));
  Remove();
  EXPECT_TRUE(AwaitStop(absl::Milliseconds(200))) << "it has to ask";
}

}  // namespace
}  // namespace tenure::member
