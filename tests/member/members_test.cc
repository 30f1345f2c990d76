// Who takes part: restarted members, changes that operators ask for, hand-overs.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "machine/codec.h"
#include "tests/member/cluster.h"

namespace tenure::member {
namespace {

using testing::World;

// Member `i` as it runs now is a voter, as `at` knows, and all is well.
bool TookItsPlace(Cluster& cluster, int at, int i) {
  const ClusterStatus status = cluster.Status(at);
  for (const MemberStatus& member : status.members) {
    if (member.id == cluster.node(i).id()) {
      return (member.role == "follower" || member.role == "leader") && status.message.empty() &&
             (cluster.size() == 2 || status.may_stop_one);
    }
  }
  return false;
}

// PITFALLS T11 and C10: a member that restarted without its memory is another, and is not counted
// for the earlier one. It takes its place in one joint change, without an operator.
TEST(Node, T11ARestartedMemberWithoutItsMemoryIsAnotherAndTakesItsPlace) {
  World world(18);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  const int lost = Other(cluster, leader);
  const MemberId before = cluster.node(lost).id();
  auto port = Caller::Port(cluster, leader);
  const Session session = OpenSessionOn(*port, absl::Seconds(30), 1);
  cluster.Restart(lost);
  ASSERT_TRUE(
      world.RunUntil([&] { return TookItsPlace(cluster, leader, lost); }, absl::Seconds(10)))
      << cluster.Status(leader).message;
  EXPECT_EQ(cluster.Leader(), leader);
  EXPECT_TRUE(cluster.Logged(lost, "restarted without its memory"));
  EXPECT_TRUE(cluster.Logged(leader, absl::StrCat("exchanges ", before.ToString())));
  const ClusterStatus status = cluster.Status(leader);
  ASSERT_EQ(status.members.size(), 3u);
  for (const MemberStatus& member : status.members) {
    EXPECT_TRUE(member.role == "leader" || member.role == "follower") << member.role;
    EXPECT_NE(member.id, before);
  }
  EXPECT_EQ(status.message, "");
  // It counts now: with the third gone, the two of them are a majority.
  cluster.Kill(3 - leader - lost);
  EXPECT_EQ(port->AwaitReply(port->Write(session.Renew(1)), absl::Seconds(10)).code,
            ReplyCode::kOk);
  cluster.CheckHashes();
}

// Before it has taken its place its word must not make up a majority.
TEST(Node, C10ARestartedMemberIsNotCountedForTheEarlierOne) {
  World world(18);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  const int lost = Other(cluster, leader);
  auto port = Caller::Port(cluster, leader);
  const Session session = OpenSessionOn(*port, absl::Seconds(30), 1);
  cluster.Kill(3 - leader - lost);
  cluster.Restart(lost);
  const ClientReply reply = port->Await(port->Write(session.Renew(1)), absl::Seconds(10));
  EXPECT_EQ(reply.refusal, Refusal::kUncertain);
  world.RunFor(absl::Seconds(10));
  EXPECT_EQ(cluster.Leader(), -1);
}

// "Two members survive the restart of one": the other goes on as a quorum of its own, silently,
// until the new incarnation has taken its place (BOOTSTRAP rules 9 to 11).
TEST(Node, T17TwoMembersSurviveTheRestartOfOne) {
  for (const bool the_leader : {false, true}) {
    World world(19);
    Cluster cluster(world, {.size = 2});
    cluster.StartAll();
    ASSERT_TRUE(cluster.AwaitConverged());
    const int leader = cluster.Leader();
    const int lost = the_leader ? leader : 1 - leader;
    const int left = 1 - lost;
    Session session;
    Revision token = 0;
    {
      auto port = Caller::Port(cluster, leader);
      session = OpenSessionOn(*port, absl::Seconds(30), 1);
      token =
          As<LockGranted>(port->AwaitReply(port->Write(session.Acquire("x", absl::ZeroDuration()))))
              ->token;
    }
    cluster.Restart(lost);
    ASSERT_TRUE(world.RunUntil(
        [&] { return cluster.Leader() == left && TookItsPlace(cluster, left, lost); },
        absl::Seconds(20)))
        << cluster.Status(left).message;
    EXPECT_TRUE(cluster.Logged(left, "is lost: a younger incarnation attests it"));
    EXPECT_TRUE(cluster.Logged(left, "clients wait until the lost are replaced"));
    auto port = Caller::Port(cluster, left);
    const Reply held = port->AwaitReply(port->Read(GetLock{"x"}));
    EXPECT_EQ(As<LockDescription>(held)->holder.token, token);
    // And again, the other way round.
    ASSERT_TRUE(cluster.AwaitConverged());
    port.reset();
    cluster.Restart(left);
    ASSERT_TRUE(world.RunUntil(
        [&] { return cluster.Leader() == lost && TookItsPlace(cluster, lost, left); },
        absl::Seconds(20)))
        << cluster.Status(lost).message;
    auto again = Caller::Port(cluster, lost);
    const Reply still = again->AwaitReply(again->Read(GetLock{"x"}));
    EXPECT_EQ(As<LockDescription>(still)->holder.token, token);
  }
}

// One after the other, all members are restarted without their memory, and nothing is lost.
TEST(Node, ARollingRestartOfMembersWithoutADiskLosesNothing) {
  World world(20);
  Cluster cluster(world);
  cluster.options().change = [](MemberOptions& options) { options.snapshot_log_bytes = 20'000; };
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  Session session;
  Revision token = 0;
  {
    auto port = Caller::Port(cluster, cluster.Leader());
    session = OpenSessionOn(*port, absl::Seconds(60), 1);
    for (int i = 0; i < 200; ++i) {
      const std::string name = absl::StrCat(i, std::string(400, 'x'));
      token = As<LockGranted>(
                  port->AwaitReply(port->Write(session.Acquire(name, absl::ZeroDuration()))))
                  ->token;
    }
  }
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 3; ++i) {
      cluster.Restart(i);
      ASSERT_TRUE(world.RunUntil(
          [&] { return cluster.Leader() >= 0 && TookItsPlace(cluster, cluster.Leader(), i); },
          absl::Seconds(10)))
          << i << ": " << cluster.Status((i + 1) % 3).message;
      ASSERT_TRUE(cluster.AwaitConverged());
      cluster.CheckHashes();
    }
  }
  auto port = Caller::Port(cluster, cluster.Leader());
  const Reply last =
      port->AwaitReply(port->Read(GetLock{absl::StrCat(199, std::string(400, 'x'))}));
  EXPECT_EQ(As<LockDescription>(last)->holder.token, token);
  EXPECT_EQ(cluster.Status(cluster.Leader()).locks, 200u);
}

TEST(Node, ALostMajorityIsSaid) {
  World world(21);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  {
    auto port = Caller::Port(cluster, cluster.Leader());
    OpenSessionOn(*port, absl::Seconds(30), 1);
  }
  cluster.Kill(0);
  cluster.Kill(1);
  cluster.Start(0);
  cluster.Start(1);
  ASSERT_TRUE(world.RunUntil(
      [&] { return absl::StrContains(cluster.Status(2).message, "an operator must stop"); },
      absl::Seconds(20)))
      << cluster.Status(2).message;
  EXPECT_EQ(cluster.Leader(), -1);
}

// ---- What operators ask

TEST(Node, AMemberIsAddedByOneRequestAndCanLead) {
  World world(31);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  Session session;
  Revision token = 0;
  {
    auto port = Caller::Port(cluster, leader);
    session = OpenSessionOn(*port, absl::Seconds(60), 1);
    // Enough that the log is trimmed: the new member needs a snapshot.
    for (int i = 0; i < 500; ++i) {
      const Reply reply = port->AwaitReply(
          port->Write(session.Acquire(absl::StrCat("lock", i), absl::ZeroDuration())));
      token = As<LockGranted>(reply)->token;
    }
    world.RunFor(absl::Seconds(1));
    const int fourth = cluster.AddMachine();
    const std::uint64_t add = port->Change(MemberAction::kAdd, "n4", cluster.address(fourth));
    world.RunFor(absl::Seconds(1));
    EXPECT_FALSE(port->Has(add));  // it is not there yet
    cluster.Start(fourth);
    const Reply reply = port->AwaitReply(add, absl::Seconds(20));
    ASSERT_NE(As<ClusterStatus>(reply), nullptr) << reply.message;
    EXPECT_EQ(VotersOf(cluster, leader), (std::vector<std::string>{"n1", "n2", "n3", "n4"}));
    EXPECT_TRUE(cluster.Logged(fourth, "installed the leader's snapshot"));
    // Again, it is done already.
    EXPECT_NE(As<ClusterStatus>(port->AwaitReply(
                  port->Change(MemberAction::kAdd, "n4", cluster.address(fourth)))),
              nullptr);
    EXPECT_EQ(port->AwaitReply(port->Change(MemberAction::kAdd, "n4", "elsewhere:1")).code,
              ReplyCode::kInvalid);
    world.RunFor(absl::Seconds(1));  // until then it may not campaign (T12)
    EXPECT_EQ(port->AwaitReply(port->Change(MemberAction::kTransfer, "n4")).message, "");
  }
  ASSERT_TRUE(cluster.AwaitConverged());
  EXPECT_EQ(cluster.Leader(), 3);
  cluster.CheckHashes();
  auto port = Caller::Port(cluster, 3);
  const Reply held = port->AwaitReply(port->Read(GetLock{"lock499"}));
  EXPECT_EQ(As<LockDescription>(held)->holder.token, token);
  // A member that was started with the first list follows it, and its own restarts too.
  cluster.Restart(0);
  ASSERT_TRUE(world.RunUntil([&] { return TookItsPlace(cluster, 3, 0); }, absl::Seconds(10)))
      << cluster.Status(3).message;
}

// What an incarnation said that is long lost may come late, also to those who never heard that it
// is lost.
TEST(Node, WhatOneThatIsLostSaidLongAgoMakesItNoMember) {
  for (const bool known : {true, false}) {
    int came_back = 0;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      SCOPED_TRACE(seed);
      World world(seed);
      Cluster cluster(world);
      cluster.StartAll();
      ASSERT_TRUE(cluster.AwaitConverged());
      testing::LinkOptions link;
      link.duplication = 1;
      link.duplicate_delay = absl::Seconds(60);
      world.network().SetDefaults(link);
      const int twice = Other(cluster, cluster.Leader());
      std::vector<int> restarts = {twice, twice};
      for (int i = 0; !known && i < 3; ++i) restarts.push_back(i);
      for (const int i : restarts) {
        cluster.Restart(i);
        ASSERT_TRUE(world.RunUntil(
            [&] {
              const int leader = cluster.Leader();
              return leader >= 0 && leader != i && TookItsPlace(cluster, leader, i);
            },
            absl::Seconds(30)));
      }
      link.duplication = 0;
      world.network().SetDefaults(link);
      world.RunFor(absl::Minutes(2));
      ASSERT_TRUE(cluster.AwaitConverged());
      const ClusterStatus status = cluster.Status(cluster.Leader());
      EXPECT_EQ(status.members.size(), 3u);
      EXPECT_TRUE(status.may_stop_one) << status.message;
      for (int i = 0; i < 3; ++i) came_back += cluster.Logged(i, "is lost, and no member") ? 1 : 0;
    }
    if (known) {
      EXPECT_EQ(came_back, 0);
    } else {
      EXPECT_GT(came_back, 0) << "it did not come to that";
    }
  }
}

// The exchange is in the log of whoever takes the place, and the leader that had heard of the loss
// is back without it: nobody else than the one that took the place can say that the loss is one.
TEST(Node, AnExchangeOutlivesItsLeader) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    Cluster cluster(world, {.size = 2, .durable = true, .disk_latency_max = absl::Milliseconds(8)});
    cluster.StartAll();
    ASSERT_TRUE(cluster.AwaitConverged());
    const int leader = cluster.Leader();
    const int lost = 1 - leader;
    {
      auto port = Caller::Port(cluster, leader);
      OpenSessionOn(*port, absl::Seconds(60), 1);  // so that entries of time follow
    }
    cluster.Kill(lost);
    cluster.machine(lost).disk().Wipe();
    cluster.Start(lost);
    ASSERT_TRUE(
        world.RunUntil([&] { return cluster.Logged(leader, "exchanges"); }, absl::Seconds(30)));
    world.RunFor(world.RandomDuration(absl::ZeroDuration(), absl::Milliseconds(12)));
    cluster.Kill(leader);
    world.RunFor(absl::Seconds(2));
    cluster.Start(leader);
    ASSERT_TRUE(world.RunUntil(
        [&] {
          const int leads = cluster.Leader();
          return leads >= 0 && TookItsPlace(cluster, leads, lost);
        },
        absl::Seconds(30)));
    ASSERT_TRUE(cluster.AwaitConverged());
  }
}

// A member with a disk is let in by a leader who is not there any more when it is to be named.
class InterruptedAddition : public ::testing::Test {
 protected:
  void SetUp() override {
    ClusterOptions options;
    options.durable = true;
    options.on_send = [this](int from, const Envelope& envelope) {
      const auto* handshake = std::get_if<Handshake>(&envelope.body);
      if (from == fourth_ && handshake != nullptr && std::holds_alternative<Hello>(*handshake))
        ++hellos_;
    };
    cluster_.emplace(world_, std::move(options));
    cluster_->StartAll();
    ASSERT_TRUE(cluster_->AwaitConverged());
    first_ = cluster_->Leader();
    fourth_ = cluster_->AddMachine();
    asker_ = Caller::Port(*cluster_, first_);
    cluster_->Start(fourth_);
    asker_->Change(MemberAction::kAdd, "n4", cluster_->address(fourth_));
    ASSERT_TRUE(world_.RunUntil([&] { return cluster_->Logged(fourth_, "entered cluster"); },
                                absl::Seconds(10)));
    ASSERT_FALSE(cluster_->Logged(first_, "joins as a learner"));
  }
  // Both stop, another leads, and the operator asks again.
  void ExpectAddedByTheNextLeader() {
    asker_ = nullptr;
    cluster_->Kill(fourth_);
    cluster_->Kill(first_);
    world_.network().MendAll();
    ASSERT_TRUE(world_.RunUntil([&] { return cluster_->Leader() >= 0; }, absl::Seconds(10)));
    hellos_ = 0;
    cluster_->Start(fourth_);
    world_.RunFor(absl::Milliseconds(50));
    hellos_unasked_ = hellos_;
    auto port = Caller::Port(*cluster_, cluster_->Leader());
    const Reply added = port->AwaitReply(
        port->Change(MemberAction::kAdd, "n4", cluster_->address(fourth_)), absl::Seconds(20));
    EXPECT_NE(As<ClusterStatus>(added), nullptr) << added.message;
    EXPECT_EQ(VotersOf(*cluster_, cluster_->Leader()).size(), 4u);
  }

  World world_{40};
  std::optional<Cluster> cluster_;
  int first_ = -1;
  int fourth_ = -1;
  int hellos_ = 0;  // of the fourth
  int hellos_unasked_ = 0;
  std::unique_ptr<Caller> asker_;
};

TEST_F(InterruptedAddition, AMemberThatRestartsBeforeItIsNamedComesIn) {
  ExpectAddedByTheNextLeader();
  EXPECT_GT(hellos_unasked_, 0) << "it says that it is there";
}

// The change that names it reaches nobody else, and is undone by the next leader; its own log names
// it, so that it has nothing to ask for.
TEST_F(InterruptedAddition, AMemberThatOnlyItsOwnLogNamesComesIn) {
  for (int i = 0; i < 3; ++i) {
    if (i != first_)
      world_.network().SetLinks(cluster_->address(first_), cluster_->address(i), false);
  }
  const auto is_named = [](const MemberStatus& m) { return m.id.name == "n4" && m.role != "free"; };
  ASSERT_TRUE(world_.RunUntil(
      [&] {
        const ClusterStatus seen = cluster_->Status(fourth_);
        return std::any_of(seen.members.begin(), seen.members.end(), is_named);
      },
      absl::Seconds(5)));
  ExpectAddedByTheNextLeader();
}

// PITFALLS C5: a transfer to a member that is gone ends, and says so.
TEST(Node, C5ATransferToADeadMemberEndsAndSaysSo) {
  World world(34);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  const int dead = Other(cluster, leader);
  auto port = Caller::Port(cluster, leader);
  const Session session = OpenSessionOn(*port, absl::Seconds(30), 1);
  cluster.Kill(dead);
  const Reply reply =
      port->AwaitReply(port->Change(MemberAction::kTransfer, cluster.name(dead)), absl::Seconds(5));
  EXPECT_EQ(reply.code, ReplyCode::kLimit);
  EXPECT_EQ(cluster.Leader(), leader);
  EXPECT_EQ(port->AwaitReply(port->Write(session.Renew(1))).code, ReplyCode::kOk);
  // To the other one it works.
  const Reply moved = port->AwaitReply(port->Change(MemberAction::kTransfer, ""), absl::Seconds(5));
  ASSERT_NE(As<ClusterStatus>(moved), nullptr) << moved.message;
  EXPECT_EQ(As<ClusterStatus>(moved)->leader.name, cluster.name(3 - leader - dead));
}

// "Leadership handed over on purpose: at most 50 ms" (design, section 10), on virtual time.
TEST(Node, AHandOverBeforeAStopIsNotMissed) {
  World world(35);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  absl::Status handed = absl::UnknownError("not yet");
  cluster.machine(leader).loop().Post([&] {
    cluster.node(leader).HandOver([&](absl::Status status) { handed = std::move(status); });
  });
  ASSERT_TRUE(world.RunUntil([&] { return cluster.Leader() >= 0 && cluster.Leader() != leader; },
                             absl::Milliseconds(50)));
  EXPECT_TRUE(handed.ok()) << handed;
  cluster.Kill(leader);
  EXPECT_GE(cluster.Leader(), 0);
}

TEST(Node, AHandOverThatNobodyTakesEnds) {
  World world(36);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  cluster.Isolate(leader, true);
  int ended = 0;
  cluster.machine(leader).loop().Post(
      [&] { cluster.node(leader).HandOver([&](const absl::Status&) { ++ended; }); });
  EXPECT_TRUE(world.RunUntil([&] { return ended == 1; }, absl::Seconds(1)));
}

// PITFALLS C21: the leader's disk stalls while its heartbeats go on.
TEST(Node, C21ALeaderWhoseDiskStallsHandsOver) {
  World world(37);
  Cluster cluster(world, {.size = 3, .durable = true, .disk_latency_max = absl::Milliseconds(2)});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  auto port = Caller::Port(cluster, leader);
  const Session session = OpenSessionOn(*port, absl::Seconds(30), 1);
  cluster.machine(leader).disk().Stall();
  port->Write(session.Renew(1));  // something that its disk has to take
  ASSERT_TRUE(world.RunUntil([&] { return cluster.Leader() >= 0 && cluster.Leader() != leader; },
                             absl::Seconds(5)));
  auto next = Caller::Port(cluster, cluster.Leader());
  EXPECT_EQ(next->AwaitReply(next->Write(session.Renew(2))).code, ReplyCode::kOk);
  cluster.machine(leader).disk().Resume();
  ASSERT_TRUE(cluster.AwaitConverged());
  cluster.CheckHashes();
}

TEST(Node, LeadershipGoesToTheGreatestPriority) {
  World world(38);
  Cluster cluster(world);
  cluster.options().change = [](MemberOptions& options) {
    options.priority = options.id == "n2" ? 5 : 0;
  };
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  EXPECT_TRUE(world.RunUntil([&] { return cluster.Leader() == 1; }, absl::Seconds(5)));
  cluster.Kill(1);
  EXPECT_TRUE(world.RunUntil([&] { return cluster.Leader() >= 0; }, absl::Seconds(5)));
  cluster.Start(1);
  EXPECT_TRUE(world.RunUntil([&] { return cluster.Leader() == 1; }, absl::Seconds(10)));
}

}  // namespace
}  // namespace tenure::member
