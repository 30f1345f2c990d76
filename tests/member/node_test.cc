// Whole clusters of real members in the virtual world.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "machine/codec.h"
#include "machine/machine.h"
#include "raft/core.h"
#include "tests/member/cluster.h"
#include "tests/testing/sanitized.h"

namespace tenure::member {
namespace {

using testing::LinkOptions;
using testing::VirtualNode;
using testing::World;

// Keeps a session alive over whoever leads, until its destruction; a lost renewal is tried again.
class Keeper {
 public:
  Keeper(Cluster& cluster, VirtualNode& machine, Session session)
      : cluster_(cluster), machine_(machine), session_(std::move(session)) {
    Beat();
  }
  bool ended() const { return ended_; }
  int renewed() const { return renewed_; }
  void Stop() { stopped_ = true; }

 private:
  void Beat() {
    if (stopped_ || ended_) return;
    timer_ =
        machine_.loop().At(machine_.loop().Now() + absl::Milliseconds(200), [this] { Beat(); });
    if (caller_ != nullptr) {
      for (const auto& [id, reply] : caller_->replies) {
        if (reply.refusal != Refusal::kNone) continue;
        const auto decoded = machine::DecodeReply(reply.reply);
        if (decoded.ok() && decoded->code == ReplyCode::kSessionEnded) ended_ = true;
        if (decoded.ok() && decoded->code == ReplyCode::kOk) ++renewed_;
      }
      caller_->replies.clear();
    }
    const int leader = cluster_.Leader();
    if (leader < 0) return;
    if (leader != at_ || caller_ == nullptr || caller_->closed) {
      caller_ = Caller::Connect(cluster_, machine_, leader);
      at_ = leader;
    }
    caller_->Write(session_.Renew(++attempt_));
  }

  Cluster& cluster_;
  VirtualNode& machine_;
  Session session_;
  std::unique_ptr<Caller> caller_;
  int at_ = -1;
  std::uint64_t attempt_ = 0;
  int renewed_ = 0;
  bool ended_ = false;
  bool stopped_ = false;
  TimerHandle timer_;
};

TEST(Node, BootstrapsUnderLossRepetitionReorderingAndRestarts) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    World world(seed);
    LinkOptions bad;
    bad.loss = 0.2;
    bad.duplication = 0.1;
    bad.reordering = 0.2;
    bad.latency_max = absl::Milliseconds(20);
    world.network().SetDefaults(bad);
    const int size = 1 + static_cast<int>(seed % 5);
    Cluster cluster(world, {.size = size});
    for (int i = 0; i < size; ++i) {
      cluster.Start(i);
      world.RunFor(world.RandomDuration(absl::ZeroDuration(), absl::Milliseconds(50)));
    }
    // (Two members could not do without the second, had the first counted it already.)
    if (size > 2 && seed % 3 == 0 && cluster.Status(0).cluster.empty() &&
        cluster.Status(1).cluster.empty()) {
      cluster.Restart(static_cast<int>(seed % static_cast<std::uint64_t>(size)));
    }
    ASSERT_TRUE(cluster.AwaitLeader(absl::Seconds(60))) << seed;
  }
}

TEST(Node, AMemberWaitsForTheOthersAndSaysForWhom) {
  World world(1);
  Cluster cluster(world);
  cluster.Start(0);
  cluster.Start(2);
  world.RunFor(absl::Seconds(3));
  const ClusterStatus status = cluster.Status(0);
  EXPECT_TRUE(status.cluster.empty());
  EXPECT_EQ(status.message, "waiting for n2 to start");
  EXPECT_THAT(cluster.log(0), ::testing::Contains("n1: waiting for n2 to start"));
  ASSERT_EQ(status.members.size(), 3u);
  EXPECT_EQ(status.members[0].role, "free");
  EXPECT_TRUE(status.members[2].reachable);
  EXPECT_FALSE(status.members[1].reachable);
  auto port = Caller::Port(cluster, 0);
  const ClientReply refused = port->Await(port->Write(Session{}.Open(absl::Seconds(10))));
  EXPECT_EQ(refused.refusal, Refusal::kNotLeader);
  EXPECT_EQ(refused.message, "waiting for n2 to start");
  EXPECT_NE(As<ClusterStatus>(port->AwaitReply(port->Send({.kind = RequestKind::kStatus}))),
            nullptr);
  cluster.Start(1);
  EXPECT_TRUE(cluster.AwaitLeader(absl::Seconds(20)));
}

TEST(Node, StatusTellsWhoIsThere) {
  World world(2);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  world.RunFor(absl::Seconds(1));
  const int leader = cluster.Leader();
  ClusterStatus status = cluster.Status(leader);
  EXPECT_TRUE(status.may_stop_one);
  EXPECT_EQ(status.message, "");
  EXPECT_GT(status.revision, 0u);
  cluster.Kill(Other(cluster, leader));
  world.RunFor(absl::Seconds(2));
  status = cluster.Status(leader);
  EXPECT_FALSE(status.may_stop_one);
  EXPECT_TRUE(absl::StrContains(status.message, "does not answer"));
}

// PITFALLS C2, C3 on whole members: a cut-off leader answers no read.
TEST(Node, T8ADeposedLeaderNeitherReadsNorTellsOfALoss) {
  World world(6);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  auto port = Caller::Port(cluster, leader);
  cluster.Isolate(leader, true);
  // It still believes; asked about a session that it does not know, it must not say that it has
  // ended.
  const std::uint64_t listen = port->Listen(12345);
  const std::uint64_t renew = port->Write(Session{.id = 12345}.Renew(1));
  EXPECT_EQ(port->Await(listen).refusal, Refusal::kNotLeader);
  EXPECT_EQ(port->Await(renew).refusal, Refusal::kUncertain);
  EXPECT_TRUE(port->events.empty());
  cluster.Isolate(leader, false);
  ASSERT_TRUE(cluster.AwaitConverged());
  auto now = Caller::Port(cluster, cluster.Leader());
  EXPECT_EQ(now->AwaitReply(now->Write(Session{.id = 12345}.Renew(1))).code,
            ReplyCode::kSessionEnded);
  now->Await(now->Listen(12345));
  ASSERT_TRUE(world.RunUntil([&] { return !now->events.empty(); }, absl::Seconds(1)));
  EXPECT_NE(std::get_if<SessionEndedEvent>(&now->events[0].body), nullptr);
}

// PITFALLS L1: a stalled old leader came back and revoked every lease.
TEST(Node, L1APausedLeaderThatComesBackEndsNobody) {
  World world(7);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int old = cluster.Leader();
  Session session;
  {
    auto port = Caller::Port(cluster, old);
    session = OpenSessionOn(*port, absl::Seconds(3), 1);
  }
  VirtualNode& machine = world.AddNode("client");
  Keeper keeper(cluster, machine, session);
  world.RunFor(absl::Seconds(1));
  cluster.machine(old).Pause();
  world.RunFor(absl::Seconds(30));
  cluster.machine(old).Resume();
  world.RunFor(absl::Seconds(5));
  EXPECT_FALSE(keeper.ended());
  EXPECT_GT(keeper.renewed(), 50);
  cluster.CheckHashes();
}

// PITFALLS L1 again: all of them stand still for an hour, and the lease goes on where it was.
TEST(Node, L1AnOutageOfTheWholeClusterEndsNobody) {
  World world(8);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  auto port = Caller::Port(cluster, cluster.Leader());
  const Session session = OpenSessionOn(*port, absl::Seconds(5), 1);
  for (int i = 0; i < 3; ++i) cluster.machine(i).Pause();
  world.RunFor(absl::Hours(1));
  for (int i = 0; i < 3; ++i) cluster.machine(i).Resume();
  world.RunFor(absl::Milliseconds(1));  // in which they find out
  ASSERT_TRUE(cluster.AwaitConverged());
  auto now = Caller::Port(cluster, cluster.Leader());
  EXPECT_EQ(now->AwaitReply(now->Write(session.Renew(1))).code, ReplyCode::kOk);
}

// PITFALLS L2 and T6: each leader change refilled the leases, or put the take-over off without
// bound.
TEST(Node, L2T6ADeadHolderIsFoundHoweverOftenLeadersChange) {
  World world(9);
  Cluster cluster(world, {.size = 3, .durable = true});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  Session session;
  {
    auto port = Caller::Port(cluster, cluster.Leader());
    session = OpenSessionOn(*port, absl::Seconds(5), 1);  // and is never heard of again
  }
  const absl::Duration begin = world.now();
  absl::Duration leaderless = absl::ZeroDuration();
  int changes = 0;
  while (world.now() - begin < absl::Seconds(60)) {
    const int leader = cluster.Leader();
    ASSERT_GE(leader, 0);
    if (cluster.Status(leader).sessions == 0) break;
    world.RunFor(absl::Milliseconds(700));
    const absl::Duration gone = world.now();
    cluster.machine(leader).Pause();
    ASSERT_TRUE(world.RunUntil(
        [&] {
          return cluster.Leader() >= 0 && cluster.Leader() != leader &&
                 cluster.Status(cluster.Leader()).applied ==
                     cluster.Status(cluster.Leader()).commit;
        },
        absl::Seconds(5)));
    cluster.machine(leader).Resume();
    leaderless += world.now() - gone;
    ++changes;
  }
  EXPECT_GE(changes, 3);
  EXPECT_EQ(cluster.Status(cluster.Leader()).sessions, 0u);
  // TTL/(1-rho), the time in which no leader commits, a heartbeat interval for each change; and the
  // rounds of this loop.
  EXPECT_LE(world.now() - begin, absl::Seconds(5.1) + leaderless +
                                     changes * absl::Milliseconds(400) + absl::Seconds(1.5));
}

// PITFALLS L3: a leader change dropped locks that clients still held.
TEST(Node, L3ALeaderChangeDropsNoLock) {
  World world(10);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int old = cluster.Leader();
  Session session;
  Revision token = 0;
  {
    auto port = Caller::Port(cluster, old);
    session = OpenSessionOn(*port, absl::Seconds(20), 1);
    token =
        As<LockGranted>(port->AwaitReply(port->Write(session.Acquire("x", absl::ZeroDuration()))))
            ->token;
  }
  cluster.Kill(old);
  ASSERT_TRUE(cluster.AwaitConverged());
  auto port = Caller::Port(cluster, cluster.Leader());
  const Reply reply = port->AwaitReply(port->Read(GetLock{"x"}));
  ASSERT_NE(As<LockDescription>(reply), nullptr);
  EXPECT_EQ(As<LockDescription>(reply)->holder.session, session.id);
  EXPECT_EQ(As<LockDescription>(reply)->holder.token, token);
}

// PITFALLS L4: a wall clock stepped by an hour expired leases, or kept them.
TEST(Node, L4TheWallClockDecidesNothing) {
  World world(11);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  Session held;
  Session left;
  auto port = Caller::Port(cluster, cluster.Leader());
  held = OpenSessionOn(*port, absl::Seconds(10), 1);
  left = OpenSessionOn(*port, absl::Seconds(2), 2);
  cluster.options().wall_clock += absl::Hours(1);
  world.RunFor(absl::Seconds(1));
  EXPECT_EQ(port->AwaitReply(port->Write(held.Renew(1))).code, ReplyCode::kOk);
  cluster.options().wall_clock -= absl::Hours(48);
  world.RunFor(absl::Seconds(2));
  EXPECT_EQ(port->AwaitReply(port->Write(left.Renew(1))).code, ReplyCode::kSessionEnded);
}

// PITFALLS T1: an idle hour arrives at once at a leader change.
TEST(Node, T1AnIdleHourDoesNotArriveWithTheNextLeader) {
  World world(12);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  // Nothing is pending: no entries, heartbeats alone.
  world.RunFor(testing::kSanitized ? absl::Minutes(10) : absl::Hours(1));
  const int old = cluster.Leader();
  auto port = Caller::Port(cluster, old);
  const std::int64_t before = cluster.Status(old).cluster_time_ns;
  const Session session = OpenSessionOn(*port, absl::Seconds(2), 1);
  EXPECT_LE(cluster.Status(old).cluster_time_ns - before,
            absl::ToInt64Nanoseconds(absl::Milliseconds(300)));
  cluster.machine(old).Pause();
  ASSERT_TRUE(world.RunUntil([&] { return cluster.Leader() >= 0 && cluster.Leader() != old; },
                             absl::Seconds(5)));
  auto next = Caller::Port(cluster, cluster.Leader());
  EXPECT_EQ(next->AwaitReply(next->Write(session.Renew(1))).code, ReplyCode::kOk);
  cluster.machine(old).Resume();
}

// PITFALLS T2: the leader reads its clock, is paused, then drains its inbox: renewals stamped too
// early.
// Pauses a leader in the midst of a turn: after it took what its peers said, before its commands.
struct PauseWithinTurn final : NodeObserver {
  void OnStep(const ClusterId&, const raft::Core& core, const raft::Output& output) override {
    if (machine == nullptr || core.role() != raft::Role::kLeader) return;
    if (output.proposed.has_value()) {
      stamp_ns = core.last_stamp_ns();
      machine = nullptr;
    } else if (!std::exchange(paused, true)) {
      for (const testing::Clock clock : {testing::Clock::kBoottime, testing::Clock::kMonotonicRaw})
        machine->JumpClock(clock, absl::Milliseconds(100));
    }
  }
  void OnApplied(const ClusterId&, const raft::Entry&, absl::Span<const Command>,
                 const machine::Applied&, const machine::Machine&) override {}

  testing::VirtualNode* machine = nullptr;
  bool paused = false;
  std::int64_t stamp_ns = 0;  // of the next entry
};

TEST(Node, T2TheStampIsReadAfterTheLastCommandWasTaken) {
  World world(13);
  PauseWithinTurn pause;
  Cluster cluster(world, {.observer = &pause});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  auto port = Caller::Port(cluster, leader);
  const Session session = OpenSessionOn(*port, absl::Seconds(2), 1);
  const std::int64_t earlier = cluster.Status(leader).cluster_time_ns;
  ASSERT_TRUE(world.RunUntil([&] { return cluster.Status(leader).cluster_time_ns != earlier; },
                             absl::Seconds(1)));
  const std::int64_t before = cluster.Status(leader).cluster_time_ns;
  // A heartbeat that is due and a renewal, for one turn.
  cluster.machine(leader).Pause();
  const std::uint64_t renewal = port->Write(session.Renew(1));
  world.RunFor(absl::Milliseconds(110));
  pause.machine = &cluster.machine(leader);
  cluster.machine(leader).Resume();
  EXPECT_EQ(port->AwaitReply(renewal).code, ReplyCode::kOk);
  ASSERT_TRUE(pause.paused);
  // Without the pause within the turn it would be 110 ms.
  EXPECT_GE(pause.stamp_ns - before, absl::ToInt64Nanoseconds(absl::Milliseconds(200)));
}

TEST(Node, T3AnswersToRenewalsEchoTheirAttempt) {
  World world(14);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  auto port = Caller::Port(cluster, cluster.Leader());
  const Session session = OpenSessionOn(*port, absl::Seconds(10), 1);
  const std::uint64_t first = port->Write(session.Renew(41));
  const std::uint64_t second = port->Write(session.Renew(42));
  const Reply one = port->AwaitReply(first);
  const Reply two = port->AwaitReply(second);
  ASSERT_NE(As<SessionRenewed>(one), nullptr);
  ASSERT_NE(As<SessionRenewed>(two), nullptr);
  EXPECT_EQ(As<SessionRenewed>(one)->attempt, 41u);
  EXPECT_EQ(As<SessionRenewed>(two)->attempt, 42u);
}

// PITFALLS T4: "renewed" because the entry committed, although apply found the session expired.
TEST(Node, T4TheAnswerIsTheVerdictOfApply) {
  World world(15);
  Cluster cluster(world, {.size = 1});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitLeader());
  auto port = Caller::Port(cluster, 0);
  const Session session = OpenSessionOn(*port, absl::Seconds(1), 1);
  world.RunFor(absl::Milliseconds(950));
  const std::uint64_t renewal = port->Write(session.Renew(1));
  cluster.machine(0).Pause();  // committed, but in an entry whose stamp is past the lease
  world.RunFor(absl::Milliseconds(200));
  cluster.machine(0).Resume();
  EXPECT_EQ(port->AwaitReply(renewal).code, ReplyCode::kSessionEnded);
}

// PITFALLS T7: followers' disks stall, time runs on, the first commit expires everyone.
TEST(Node, T7StalledFollowersDisksEndNobody) {
  World world(16);
  Cluster cluster(world, {.size = 3, .durable = true, .disk_latency_max = absl::Milliseconds(2)});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  auto port = Caller::Port(cluster, leader);
  const Session session = OpenSessionOn(*port, absl::Seconds(3), 1);
  for (int i = 0; i < 3; ++i) {
    if (i != leader) cluster.machine(i).disk().Stall();
  }
  world.RunFor(absl::Seconds(20));
  for (int i = 0; i < 3; ++i) cluster.machine(i).disk().Resume();
  ASSERT_TRUE(cluster.AwaitConverged());
  auto now = Caller::Port(cluster, cluster.Leader());
  EXPECT_EQ(now->AwaitReply(now->Write(session.Renew(1))).code, ReplyCode::kOk);
}

// PITFALLS T10: a wiped cluster starts again at once and grants a lock whose old holder is still
// valid.
TEST(Node, T10ANewClusterHoldsItsGrantsBack) {
  World world(17);
  Cluster cluster(world, {.size = 3, .assert_new = false});
  cluster.options().change = [](MemberOptions& options) { options.ttl_max = absl::Seconds(5); };
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  auto port = Caller::Port(cluster, leader);
  Session session = OpenSessionOn(*port, absl::Seconds(5), 1);
  port->Await(port->Listen(session.id));
  const absl::Duration begin = world.now();
  const Reply queued =
      port->AwaitReply(port->Write(session.Acquire("x", absl::InfiniteDuration())));
  ASSERT_NE(As<LockQueued>(queued), nullptr);
  EXPECT_GT(As<LockQueued>(queued)->held_back_ns, 0);
  EXPECT_TRUE(absl::StrContains(cluster.Status(leader).message, "grants nothing"));
  std::uint64_t attempt = 0;
  while (port->events.empty() && world.now() - begin < absl::Seconds(10)) {
    port->AwaitReply(port->Write(session.Renew(++attempt)));
    world.RunFor(absl::Milliseconds(100));
  }
  ASSERT_FALSE(port->events.empty());
  EXPECT_NE(std::get_if<LockGrantedEvent>(&port->events[0].body), nullptr);
  EXPECT_GE(world.now() - begin, absl::Seconds(4));
}

// PITFALLS T12: a restarted member forgot that it had promised the leader not to vote.
TEST(Node, T12NobodyVotesWithinAnElectionTimeoutOfItsStart) {
  World world(19);
  Cluster cluster(world, {.size = 3, .durable = true});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  for (int i = 0; i < 3; ++i) cluster.Kill(i);
  const absl::Duration begin = world.now();
  cluster.StartAll();
  ASSERT_TRUE(world.RunUntil([&] { return cluster.Leader() >= 0; }, absl::Seconds(10)));
  EXPECT_GE(world.now() - begin, absl::Milliseconds(600));
  EXPECT_LE(world.now() - begin, absl::Seconds(3));
}

// PITFALLS C14: a one-member cluster answered before its disk had synced.
TEST(Node, C14OneMemberAnswersOnlyWhatItsDiskHas) {
  World world(20);
  Cluster cluster(world, {.size = 1, .durable = true, .disk_latency_max = absl::Milliseconds(2)});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitLeader());
  auto port = Caller::Port(cluster, 0);
  Session session = OpenSessionOn(*port, absl::Seconds(30), 1);
  cluster.machine(0).disk().Stall();
  const std::uint64_t acquire = port->Write(session.Acquire("x", absl::ZeroDuration()));
  world.RunFor(absl::Seconds(1));
  EXPECT_FALSE(port->Has(acquire));
  cluster.machine(0).disk().Resume();
  EXPECT_NE(As<LockGranted>(port->AwaitReply(acquire)), nullptr);
}

TEST(Node, ADurableClusterResumesAfterAllWereKilled) {
  World world(21);
  Cluster cluster(world, {.size = 3, .durable = true, .disk_latency_max = absl::Milliseconds(2)});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  Session session;
  Revision token = 0;
  MemberId id;
  {
    auto port = Caller::Port(cluster, cluster.Leader());
    session = OpenSessionOn(*port, absl::Seconds(30), 1);
    token =
        As<LockGranted>(port->AwaitReply(port->Write(session.Acquire("x", absl::ZeroDuration()))))
            ->token;
    id = cluster.node(0).id();
  }
  for (int i = 0; i < 3; ++i) cluster.Kill(i);
  world.RunFor(absl::Seconds(100));
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  EXPECT_EQ(cluster.node(0).id(), id);
  auto port = Caller::Port(cluster, cluster.Leader());
  const Reply reply = port->AwaitReply(port->Read(GetLock{"x"}));
  EXPECT_EQ(As<LockDescription>(reply)->holder.token, token);
  cluster.CheckHashes();
}

// PITFALLS C22: what a failed sync left behind is not guessed.
TEST(Node, C22AFailedWriteStopsTheMemberAndTheOthersGoOn) {
  World world(22);
  Cluster cluster(world, {.size = 3, .durable = true, .disk_latency_max = absl::Milliseconds(2)});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  auto port = Caller::Port(cluster, leader);
  const Session session = OpenSessionOn(*port, absl::Seconds(30), 1);
  cluster.machine(leader).disk().FailNextWrite(absl::DataLossError("sector 7"));
  const ClientReply reply = port->Await(port->Write(session.Renew(1)));
  EXPECT_EQ(reply.refusal, Refusal::kUncertain);
  EXPECT_FALSE(cluster.stopped(leader).ok());
  EXPECT_TRUE(cluster.Logged(leader, "sector 7"));
  EXPECT_EQ(port->Await(port->Write(session.Renew(2))).refusal, Refusal::kNotLeader);
  ASSERT_TRUE(world.RunUntil([&] { return cluster.Leader() >= 0 && cluster.Leader() != leader; },
                             absl::Seconds(5)));
}

// What the log holds is bounded by size, whoever is away: it takes a snapshot then.
TEST(Node, C24AMemberThatIsAwayHoldsNoLogBackAndCatchesUp) {
  World world(25);
  Cluster cluster(world, {.size = 3, .durable = true});
  cluster.options().change = [](MemberOptions& options) { options.log_bytes_max = 200'000; };
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  const int away = Other(cluster, leader);
  auto port = Caller::Port(cluster, leader);
  Session session = OpenSessionOn(*port, absl::Seconds(30), 1);
  cluster.Kill(away);
  world.RunFor(absl::Seconds(1));  // until then it may only be slow, and the log is kept for it
  for (int i = 0; i < 1000; ++i) {
    const std::string name = absl::StrCat(std::string(400, 'x'), i % 100);
    const Reply reply = port->AwaitReply(port->Write(session.Acquire(name, absl::ZeroDuration())));
    ASSERT_EQ(reply.code, ReplyCode::kOk);
    EXPECT_LT(cluster.Status(leader).log_bytes, 200'000u);
    if (i % 50 == 49) port->AwaitReply(port->Write(session.Renew(static_cast<std::uint64_t>(i))));
  }
  cluster.Start(away);
  ASSERT_TRUE(cluster.AwaitConverged());
  EXPECT_TRUE(cluster.Logged(away, "installed the leader's snapshot"));
  world.RunFor(absl::Seconds(1));
  cluster.CheckHashes();
  // And it can lead with what it got.
  cluster.Kill(leader);
  ASSERT_TRUE(cluster.AwaitConverged());
  auto again = Caller::Port(cluster, away);
  const Reply held = again->AwaitReply(again->Read(GetLock{std::string(400, 'x') + "7"}));
  EXPECT_EQ(As<LockDescription>(held)->holder.session, session.id);
}

// A snapshot's index and state are one: after a power loss of all members nothing is applied twice
// or left out.
TEST(Node, C25AllMembersGoOnFromTheirSnapshotsAfterAPowerLoss) {
  World world(27);
  Cluster cluster(world, {.size = 3, .durable = true, .disk_latency_max = absl::Milliseconds(2)});
  cluster.options().change = [](MemberOptions& options) { options.snapshot_log_bytes = 50'000; };
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  auto port = Caller::Port(cluster, cluster.Leader());
  Session session = OpenSessionOn(*port, absl::Seconds(60), 1);
  Revision token = 0;
  for (int i = 0; i < 400; ++i) {
    const Reply reply = port->AwaitReply(
        port->Write(session.Acquire(absl::StrCat(i, std::string(400, 'x')), absl::ZeroDuration())));
    ASSERT_NE(As<LockGranted>(reply), nullptr);
    token = As<LockGranted>(reply)->token;
  }
  port.reset();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 3; ++i) cluster.Kill(i);
    cluster.StartAll();
    ASSERT_TRUE(cluster.AwaitConverged());
    for (int i = 0; i < 3; ++i) EXPECT_LT(cluster.Status(i).log_bytes, 150'000u);
    cluster.CheckHashes();
    auto reader = Caller::Port(cluster, cluster.Leader());
    const Reply last =
        reader->AwaitReply(reader->Read(GetLock{absl::StrCat(399, std::string(400, 'x'))}));
    EXPECT_EQ(As<LockDescription>(last)->holder.token, token);
    EXPECT_EQ(cluster.Status(cluster.Leader()).locks, 400u);
  }
}

TEST(Node, WhatEveryMemberAppliedIsDropped) {
  World world(26);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  auto port = Caller::Port(cluster, cluster.Leader());
  Session session = OpenSessionOn(*port, absl::Seconds(30), 1);
  for (int i = 0; i < 1000; ++i) {
    const Reply reply = port->AwaitReply(port->Write(session.Acquire("x", absl::ZeroDuration())));
    if (const LockGranted* granted = As<LockGranted>(reply)) {
      port->AwaitReply(port->Write(session.Release("x", granted->token)));
    }
  }
  world.RunFor(absl::Seconds(1));
  for (int i = 0; i < 3; ++i) EXPECT_LT(cluster.Status(i).log_bytes, 100'000u);
}

TEST(Node, EventsAreReplayedAfterAFailOver) {
  World world(27);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int old = cluster.Leader();
  Session a;
  Session b;
  Sequence wait = 0;
  {
    auto port = Caller::Port(cluster, old);
    a = OpenSessionOn(*port, absl::Seconds(30), 1);
    b = OpenSessionOn(*port, absl::Seconds(30), 2);
    const Reply granted = port->AwaitReply(port->Write(a.Acquire("x", absl::ZeroDuration())));
    port->AwaitReply(port->Write(b.Acquire("x", absl::InfiniteDuration())));
    wait = b.last;
    port->AwaitReply(port->Write(a.Release("x", As<LockGranted>(granted)->token)));
  }
  cluster.Kill(old);
  ASSERT_TRUE(cluster.AwaitConverged());
  auto port = Caller::Port(cluster, cluster.Leader());
  EXPECT_EQ(port->Await(port->Listen(b.id)).refusal, Refusal::kNone);
  ASSERT_TRUE(world.RunUntil([&] { return !port->events.empty(); }, absl::Seconds(1)));
  const LockGrantedEvent* event = std::get_if<LockGrantedEvent>(&port->events[0].body);
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(event->acquire, wait);
  // What was seen is not told again.
  auto again = Caller::Port(cluster, cluster.Leader());
  again->Await(again->Listen(b.id, port->events[0].revision));
  world.RunFor(absl::Milliseconds(100));
  EXPECT_TRUE(again->events.empty());
}

TEST(Node, ARetryOverAFailOverTakesEffectOnce) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    World world(100 + seed);
    Cluster cluster(world);
    cluster.StartAll();
    ASSERT_TRUE(cluster.AwaitConverged());
    const int old = cluster.Leader();
    auto port = Caller::Port(cluster, old);
    Session session = OpenSessionOn(*port, absl::Seconds(30), 1);
    const Command acquire = session.Acquire("x", absl::ZeroDuration());
    port->Write(acquire);
    world.RunFor(world.RandomDuration(absl::ZeroDuration(),
                                      absl::Milliseconds(2)));  // maybe applied, or not
    cluster.machine(old).Pause();
    ASSERT_TRUE(world.RunUntil([&] { return cluster.Leader() >= 0 && cluster.Leader() != old; },
                               absl::Seconds(5)));
    auto next = Caller::Port(cluster, cluster.Leader());
    const Reply first = next->AwaitReply(next->Write(acquire));
    const Reply second = next->AwaitReply(next->Write(acquire));
    ASSERT_NE(As<LockGranted>(first), nullptr);
    ASSERT_NE(As<LockGranted>(second), nullptr);
    EXPECT_EQ(As<LockGranted>(first)->token, As<LockGranted>(second)->token);
    cluster.machine(old).Resume();
    world.RunFor(absl::Seconds(2));
    cluster.CheckHashes();
  }
}

TEST(Node, AnotherListOfMembersIsNamed) {
  World world(30);
  Cluster cluster(world, {.size = 2});
  cluster.Start(0);
  cluster.options().change = [](MemberOptions& options) {
    options.cluster = "n1=n1:1,n2=n2:1,n3=n3:1";
  };
  cluster.Start(1);
  world.RunFor(absl::Seconds(1));
  EXPECT_TRUE(absl::StrContains(cluster.Status(0).message, "n2 was started with another"))
      << cluster.Status(0).message;
}

TEST(Node, NothingIsCalledAfterStop) {
  World world(31);
  Cluster cluster(world, {.size = 3});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  auto port = Caller::Port(cluster, cluster.Leader());
  port->Write(Session{}.Open(absl::Seconds(5)));
  cluster.node(cluster.Leader()).Stop();
  const std::size_t messages = port->messages;
  world.RunFor(absl::Seconds(1));
  EXPECT_EQ(port->messages, messages);
}

}  // namespace
}  // namespace tenure::member
