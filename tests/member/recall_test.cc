// A member whose storage went back, among members that remember what it attested.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>

#include "tests/member/cluster.h"

namespace tenure::member {
namespace {

using ::tenure::testing::World;
using ::testing::HasSubstr;

class RecallTest : public ::testing::Test {
 protected:
  void Begin(bool strict) {
    options_.durable = true;
    options_.change = [strict](MemberOptions& member) {
      member.strict_restart = strict;
      member.ttl_max = absl::Seconds(60);
    };
    cluster_.emplace(world_, options_);
    cluster_->StartAll();
    ASSERT_TRUE(cluster_->AwaitConverged());
    leader_ = cluster_->Leader();
    back_ = (leader_ + 1) % 3;
    third_ = 3 - leader_ - back_;
  }
  void OpenASession() {
    auto port = Caller::Port(*cluster_, cluster_->Leader());
    OpenSessionOn(*port, absl::Seconds(30), ++last_key_);
  }
  // The member's disk as it was before what it acknowledged last.
  void GoBack() {
    cluster_->machine(back_).disk().Copy();
    OpenASession();
    ASSERT_TRUE(cluster_->AwaitConverged());
    cluster_->Kill(back_);
    cluster_->machine(back_).disk().GoBack();
  }
  bool Stopped(int i) const { return !cluster_->stopped(i).ok(); }
  bool RunUntilStopped(int i) {
    return world_.RunUntil([&] { return Stopped(i); }, absl::Seconds(10));
  }
  // As whoever runs a member does when it is told so.
  void StartAnew(int i) {
    EXPECT_EQ(cluster_->stopped(i).code(), absl::StatusCode::kAborted) << cluster_->stopped(i);
    cluster_->Restart(i);
  }

  World world_{71};
  ClusterOptions options_;
  std::optional<Cluster> cluster_;
  std::uint64_t last_key_ = 0;
  int leader_ = -1;
  int back_ = -1;
  int third_ = -1;
};

TEST_F(RecallTest, AStorageThatWentBackIsFoundAndItsMemberReplaced) {
  ASSERT_NO_FATAL_FAILURE(Begin(/*strict=*/false));
  ASSERT_NO_FATAL_FAILURE(GoBack());
  const MemberId before = [&] {
    for (const MemberStatus& member : cluster_->Status(leader_).members) {
      if (member.id.name == cluster_->name(back_)) return member.id;
    }
    return MemberId();
  }();
  cluster_->Start(back_);
  EXPECT_EQ(cluster_->node(back_).id(), before) << "its disk knows nothing of what it lost";
  ASSERT_TRUE(RunUntilStopped(back_));
  EXPECT_THAT(std::string(cluster_->stopped(back_).message()),
              HasSubstr("its storage went back: n"));
  StartAnew(back_);
  EXPECT_NE(cluster_->node(back_).id(), before);
  ASSERT_TRUE(world_.RunUntil(
      [&] {
        for (const MemberStatus& member : cluster_->Status(leader_).members) {
          if (member.id == cluster_->node(back_).id() && member.role == "follower") return true;
        }
        return false;
      },
      absl::Seconds(20)));
  OpenASession();
  ASSERT_TRUE(cluster_->AwaitConverged());
  cluster_->CheckHashes();
}

// Its own disk was counted, too, and its followers know how far.
TEST_F(RecallTest, ALeadersStorageThatWentBackIsFound) {
  ASSERT_NO_FATAL_FAILURE(Begin(/*strict=*/false));
  back_ = leader_;
  ASSERT_NO_FATAL_FAILURE(GoBack());
  ASSERT_TRUE(cluster_->AwaitLeader());
  cluster_->Start(back_);
  ASSERT_TRUE(RunUntilStopped(back_));
  StartAnew(back_);
  ASSERT_TRUE(cluster_->AwaitConverged());
}

// The witness itself was restarted since: what it heard is on its own disk.
TEST_F(RecallTest, AWitnessRemembersOverItsOwnRestart) {
  ASSERT_NO_FATAL_FAILURE(Begin(/*strict=*/false));
  ASSERT_NO_FATAL_FAILURE(GoBack());
  world_.RunFor(absl::Seconds(1));  // what was heard last is kept within a heartbeat
  cluster_->Restart(leader_);
  ASSERT_TRUE(cluster_->AwaitLeader());
  cluster_->Start(back_);
  ASSERT_TRUE(RunUntilStopped(back_));
  EXPECT_THAT(std::string(cluster_->stopped(back_).message()),
              HasSubstr(cluster_->name(leader_) + " heard it attest"));
}

TEST_F(RecallTest, AnHonestRestartIsMissedNothing) {
  ASSERT_NO_FATAL_FAILURE(Begin(/*strict=*/true));
  for (int round = 0; round < 6; ++round) {
    OpenASession();
    const int i = round % 3;
    const MemberId before = cluster_->node(i).id();
    cluster_->Restart(i);
    ASSERT_TRUE(cluster_->AwaitConverged());
    EXPECT_TRUE(
        world_.RunUntil([&] { return cluster_->Logged(i, "it may vote"); }, absl::Seconds(10)));
    EXPECT_FALSE(Stopped(i)) << cluster_->stopped(i);
    EXPECT_EQ(cluster_->node(i).id(), before);
  }
}

// Who counted its acknowledgement is away: only patience keeps what was acknowledged.
TEST_F(RecallTest, AStrictRestartWaitsForWhoCountedItsAcknowledgement) {
  ASSERT_NO_FATAL_FAILURE(Begin(/*strict=*/true));
  cluster_->Kill(third_);  // so that the two others alone hold what is acknowledged next
  ASSERT_NO_FATAL_FAILURE(GoBack());
  world_.RunFor(absl::Seconds(1));  // what was heard last is kept within a heartbeat
  cluster_->Kill(leader_);
  cluster_->Start(third_);
  cluster_->Start(back_);
  world_.RunFor(absl::Seconds(20));
  EXPECT_EQ(cluster_->Leader(), -1) << "they elected one without what was acknowledged";
  EXPECT_TRUE(cluster_->Logged(back_, "does not vote until"));
  cluster_->Start(leader_);
  ASSERT_TRUE(RunUntilStopped(back_));
  StartAnew(back_);
  ASSERT_TRUE(cluster_->AwaitLeader(absl::Seconds(30)));
  ASSERT_TRUE(cluster_->AwaitConverged());
  auto port = Caller::Port(*cluster_, cluster_->Leader());
  const Reply sessions = port->AwaitReply(port->Read(ListSessions{}));
  const auto* list = As<SessionList>(sessions);
  ASSERT_NE(list, nullptr);
  EXPECT_EQ(list->sessions.size(), 1u) << "what was acknowledged is there";
}

}  // namespace
}  // namespace tenure::member
