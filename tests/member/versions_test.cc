// Members of two versions of the program, and the version of the machine's rules that they live by.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "machine/machine.h"
#include "tests/member/cluster.h"

namespace tenure::member {
namespace {

using ::tenure::testing::World;
using ::testing::HasSubstr;

constexpr std::uint32_t kOlder = kMachineVersion;
constexpr std::uint32_t kNewer = kMachineVersion + 1;

class VersionsTest : public ::testing::Test {
 protected:
  void Begin(std::vector<std::uint32_t> programs, bool durable, std::uint64_t seed = 5) {
    cluster_.reset();
    world_.emplace(seed);
    ClusterOptions options;
    options.size = static_cast<int>(programs.size());
    options.durable = durable;
    options.on_send = on_send_;
    options.change = [this](MemberOptions& member) {
      if (snapshot_log_bytes_ != 0) member.snapshot_log_bytes = snapshot_log_bytes_;
    };
    for (int i = 0; i < options.size; ++i)
      options.machine_versions[i] = programs[static_cast<std::size_t>(i)];
    cluster_.emplace(*world_, std::move(options));
    cluster_->StartAll();
    ASSERT_TRUE(cluster_->AwaitConverged());
  }
  // As an operator upgrades a member, or tries to go back.
  void RestartWith(int i, std::uint32_t program) {
    cluster_->options().machine_versions[i] = program;
    cluster_->Restart(i);
  }
  bool AllMayStop() {
    const int leader = cluster_->Leader();
    return leader >= 0 && cluster_->Status(leader).may_stop_one;
  }
  std::uint32_t Active(int i) const { return cluster_->Status(i).machine_version; }
  bool AwaitActive(std::uint32_t version) {
    return world_->RunUntil(
        [&] {
          for (int i = 0; i < cluster_->size(); ++i) {
            if (Active(i) != version) return false;
          }
          return true;
        },
        absl::Seconds(30));
  }
  ClientReply TryNewer() {
    auto port = Caller::Port(*cluster_, cluster_->Leader());
    Session session;
    session.key = {++last_key_, 1};
    Command open = session.Open(absl::Seconds(10));
    open.machine_version = kNewer;
    return port->Await(port->Write(open));
  }

  std::size_t snapshot_log_bytes_ = 0;
  std::function<void(int i, const Envelope&)> on_send_;
  std::optional<World> world_;
  std::optional<Cluster> cluster_;
  std::uint64_t last_key_ = 0;
};

TEST_F(VersionsTest, ANewerOneIsActiveOnceAllHaveIt) {
  for (const bool durable : {true, false}) {
    SCOPED_TRACE(durable);
    ASSERT_NO_FATAL_FAILURE(Begin({kOlder, kOlder, kOlder}, durable));
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(AwaitActive(kOlder));
      EXPECT_EQ(TryNewer().refusal, Refusal::kVersion);
      RestartWith(i, kNewer);
      ASSERT_TRUE(world_->RunUntil([&] { return AllMayStop(); }, absl::Seconds(30)));
      world_->RunFor(absl::Seconds(3));
    }
    ASSERT_TRUE(AwaitActive(kNewer));
    EXPECT_EQ(TryNewer().refusal, Refusal::kNone);
    ASSERT_TRUE(cluster_->AwaitConverged());
    cluster_->CheckHashes();
  }
}

TEST_F(VersionsTest, StatusSaysWhoHoldsItBack) {
  ASSERT_NO_FATAL_FAILURE(Begin({kNewer, kOlder, kNewer}, true));
  cluster_->Kill(1);
  ASSERT_TRUE(cluster_->AwaitLeader());
  world_->RunFor(absl::Seconds(3));
  const ClusterStatus status = cluster_->Status(cluster_->Leader());
  EXPECT_EQ(status.machine_version, kOlder);
  EXPECT_EQ(status.newest_machine_version, kNewer);
  EXPECT_THAT(status.message, HasSubstr("stays active until the programs of n2 have version"));
}

TEST_F(VersionsTest, ANewClusterBeginsWithWhatAllHave) {
  ASSERT_NO_FATAL_FAILURE(Begin({kNewer, kOlder, kNewer}, false));
  EXPECT_TRUE(AwaitActive(kOlder));
  EXPECT_FALSE(cluster_->Logged(1, "cannot be followed")) << "n1 knew what n2 has";
  world_->RunFor(absl::Seconds(5));
  EXPECT_TRUE(AwaitActive(kOlder));
  ASSERT_NO_FATAL_FAILURE(Begin({kNewer, kNewer, kNewer}, false));
  EXPECT_TRUE(AwaitActive(kNewer));
}

TEST_F(VersionsTest, WhoeverGoesBackStopsAndMayReturn) {
  ASSERT_NO_FATAL_FAILURE(Begin({kOlder, kOlder, kOlder}, true));
  for (int i = 0; i < 3; ++i) RestartWith(i, kNewer);
  ASSERT_TRUE(cluster_->AwaitConverged());
  ASSERT_TRUE(AwaitActive(kNewer));
  RestartWith(2, kOlder);
  ASSERT_TRUE(world_->RunUntil([&] { return !cluster_->stopped(2).ok(); }, absl::Seconds(10)));
  EXPECT_EQ(cluster_->stopped(2).code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(cluster_->stopped(2).message()), HasSubstr("start the newer one"));
  RestartWith(2, kNewer);
  ASSERT_TRUE(cluster_->AwaitConverged());
  EXPECT_EQ(Active(2), kNewer);
  EXPECT_EQ(TryNewer().refusal, Refusal::kNone);
}

// It would stop over the first entry; and the cluster would count on it.
TEST_F(VersionsTest, AnOlderProgramIsNotLetInAgain) {
  ASSERT_NO_FATAL_FAILURE(Begin({kNewer, kNewer, kNewer}, false));
  RestartWith(2, kOlder);
  ASSERT_TRUE(cluster_->AwaitLeader());
  world_->RunFor(absl::Seconds(10));
  EXPECT_TRUE(cluster_->Logged(2, "needs machine version"));
  EXPECT_TRUE(cluster_->stopped(2).ok());
  for (const MemberStatus& member : cluster_->Status(cluster_->Leader()).members)
    EXPECT_NE(member.id, cluster_->node(2).id());
  RestartWith(2, kNewer);
  ASSERT_TRUE(world_->RunUntil([&] { return AllMayStop(); }, absl::Seconds(30)));
}

TEST_F(VersionsTest, ASnapshotBringsItToWhoeverWasAway) {
  snapshot_log_bytes_ = 20'000;
  ASSERT_NO_FATAL_FAILURE(Begin({kOlder, kOlder, kOlder}, true));
  for (int i = 0; i < 3; ++i) RestartWith(i, kNewer);
  ASSERT_TRUE(AwaitActive(kNewer));
  cluster_->Kill(2);
  cluster_->machine(2).disk().Wipe();
  ASSERT_TRUE(cluster_->AwaitLeader());
  for (int i = 0; i < 1500; ++i) EXPECT_EQ(TryNewer().refusal, Refusal::kNone);
  RestartWith(2, kNewer);
  ASSERT_TRUE(world_->RunUntil(
      [&] { return cluster_->Logged(2, "installed the leader's snapshot"); }, absl::Seconds(30)));
  ASSERT_TRUE(cluster_->AwaitConverged());
  EXPECT_EQ(Active(2), kNewer);
  cluster_->CheckHashes();
}

// Removed meanwhile, it did not count; its own data says that it is a member.
TEST_F(VersionsTest, AnOlderProgramIsNotAddedAgainWithItsData) {
  ASSERT_NO_FATAL_FAILURE(Begin({kNewer, kNewer, kNewer, kOlder}, true));
  ASSERT_NE(cluster_->Leader(), 3);
  cluster_->Kill(3);
  auto port = Caller::Port(*cluster_, cluster_->Leader());
  ASSERT_EQ(port->AwaitReply(port->Change(MemberAction::kRemove, "n4"), absl::Seconds(10)).code,
            ReplyCode::kOk);
  ASSERT_TRUE(world_->RunUntil([&] { return Active(0) == kNewer; }, absl::Seconds(10)));
  const std::uint64_t added = port->Change(MemberAction::kAdd, "n4", cluster_->address(3));
  cluster_->Start(3);
  world_->RunFor(absl::Seconds(20));
  EXPECT_FALSE(port->Has(added));
  EXPECT_TRUE(cluster_->stopped(3).ok()) << cluster_->stopped(3);
  EXPECT_TRUE(cluster_->Logged(3, "needs machine version"));
  EXPECT_EQ(cluster_->Status(cluster_->Leader()).members.size(), 3u);
  RestartWith(3, kNewer);
  EXPECT_EQ(port->AwaitReply(added, absl::Seconds(30)).code, ReplyCode::kOk);
}

// It was let in while its version was active, and is heard of again when another one is.
TEST_F(VersionsTest, WhoeverWasInvitedBeforeTheRaiseIsNotNamedAfterIt) {
  bool cut = false;
  on_send_ = [&](int i, const Envelope& envelope) {
    const auto* handshake = std::get_if<Handshake>(&envelope.body);
    const auto* hello = handshake == nullptr ? nullptr : std::get_if<Hello>(handshake);
    if (i != 3 || cut || hello == nullptr || !hello->in) return;
    cut = true;
    cluster_->Isolate(3, true);
  };
  ASSERT_NO_FATAL_FAILURE(Begin({kNewer, kNewer, kOlder}, false));
  const int leader = cluster_->Leader();
  ASSERT_NE(leader, 2);
  ASSERT_EQ(cluster_->AddMachine(), 3);
  cluster_->options().machine_versions[3] = kOlder;
  auto port = Caller::Port(*cluster_, leader);
  port->Change(MemberAction::kAdd, "n4", cluster_->address(3));
  cluster_->Start(3);
  ASSERT_TRUE(world_->RunUntil([&] { return cut; }, absl::Seconds(20)));
  RestartWith(2, kNewer);
  ASSERT_TRUE(world_->RunUntil([&] { return Active(leader) == kNewer; }, absl::Seconds(30)));
  cluster_->Isolate(3, false);
  world_->RunFor(absl::Seconds(20));
  EXPECT_TRUE(cluster_->stopped(3).ok()) << cluster_->stopped(3);
  for (const MemberStatus& member : cluster_->Status(leader).members)
    EXPECT_NE(member.id, cluster_->node(3).id()) << member.role;
}

// What was heard of it before says nothing of what it runs now.
TEST_F(VersionsTest, OneThatIsTakenBackInTimeIsNotCountedByItsOldWord) {
  ASSERT_NO_FATAL_FAILURE(Begin({kNewer, kNewer, kNewer, kNewer, kOlder}, true));
  world_->RunFor(absl::Seconds(3));
  const int leader = cluster_->Leader();
  ASSERT_NE(leader, 4);
  const int back = leader == 0 ? 1 : 0;
  cluster_->Isolate(back, true);
  RestartWith(back, kOlder);
  world_->RunFor(absl::Minutes(1));
  RestartWith(4, kNewer);
  world_->RunFor(absl::Seconds(10));
  EXPECT_EQ(Active(cluster_->Leader()), kOlder);
  EXPECT_THAT(cluster_->Status(cluster_->Leader()).message,
              HasSubstr("programs of " + cluster_->name(back) + " have version"));
  cluster_->Isolate(back, false);
  world_->RunFor(absl::Seconds(10));
  EXPECT_TRUE(cluster_->stopped(back).ok()) << cluster_->stopped(back);
  EXPECT_EQ(Active(cluster_->Leader()), kOlder);
  RestartWith(back, kNewer);
  EXPECT_TRUE(AwaitActive(kNewer));
}

TEST_F(VersionsTest, ARaiseThatWasLostKeepsNobodyOut) {
  int raised_by = -1;
  on_send_ = [&](int i, const Envelope& envelope) {
    const auto* message = std::get_if<raft::Message>(&envelope.body);
    const auto* append = message == nullptr ? nullptr : std::get_if<raft::AppendRequest>(message);
    if (append == nullptr || raised_by >= 0) return;
    for (const raft::Entry& entry : append->entries) {
      if (entry.kind != raft::EntryKind::kVersion) continue;
      raised_by = i;
      return cluster_->Isolate(i, true);
    }
  };
  ASSERT_NO_FATAL_FAILURE(Begin({kNewer, kNewer, kNewer, kNewer, kOlder}, false));
  world_->RunFor(absl::Seconds(3));
  RestartWith(4, kNewer);
  ASSERT_TRUE(world_->RunUntil([&] { return raised_by >= 0; }, absl::Seconds(30)));
  RestartWith(4, kOlder);  // the upgrade is taken back
  world_->RunFor(absl::Seconds(15));
  ASSERT_NE(cluster_->Leader(), raised_by);
  ASSERT_EQ(Active(cluster_->Leader()), kOlder);
  cluster_->Isolate(raised_by, false);
  ASSERT_TRUE(cluster_->AwaitConverged());
  for (int i = 0; i < 30 && cluster_->Leader() != raised_by; ++i) {
    auto port = Caller::Port(*cluster_, cluster_->Leader());
    port->Await(port->Change(MemberAction::kTransfer, cluster_->name(raised_by)));
    world_->RunFor(absl::Seconds(2));
  }
  ASSERT_EQ(cluster_->Leader(), raised_by);
  ASSERT_EQ(Active(raised_by), kOlder);
  RestartWith(4, kOlder);
  const auto is_in = [&] {
    for (const MemberStatus& member : cluster_->Status(raised_by).members) {
      if (member.id == cluster_->node(4).id() && member.role == "follower") return true;
    }
    return false;
  };
  EXPECT_TRUE(world_->RunUntil(is_in, absl::Minutes(1))) << cluster_->Status(raised_by).message;
  EXPECT_FALSE(cluster_->Logged(4, "needs machine version"));
}

// The leader that proposed it may be gone before anybody has heard of it.
TEST_F(VersionsTest, ALeaderThatDiesMeanwhileIsFollowedByOneThatGoesOn) {
  int before = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    ASSERT_NO_FATAL_FAILURE(Begin({kNewer, kNewer, kNewer, kOlder, kOlder}, true, seed));
    const int leader = cluster_->Leader();
    for (const int i : {3, 4}) RestartWith(i, kNewer);
    world_->RunFor(absl::Milliseconds(100 + 20 * static_cast<std::int64_t>(seed)));
    before += Active(leader) == kOlder ? 1 : 0;
    cluster_->Kill(leader);
    ASSERT_TRUE(cluster_->AwaitLeader());
    cluster_->Start(leader);
    ASSERT_TRUE(AwaitActive(kNewer));
    ASSERT_TRUE(cluster_->AwaitConverged());
    cluster_->CheckHashes();
  }
  EXPECT_GT(before, 5);
  EXPECT_LT(before, 35);
}

}  // namespace
}  // namespace tenure::member
