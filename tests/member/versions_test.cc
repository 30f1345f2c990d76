// Members of two versions of the program, and the version of the machine's rules that they live by.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
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
