// A member whose storage went back, among members that remember what it attested.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "tests/member/cluster.h"

namespace tenure::member {
namespace {

using ::tenure::testing::World;
using ::testing::HasSubstr;

class RecallTest : public ::testing::Test {
 protected:
  void Begin(bool strict, std::uint64_t seed = 71) {
    options_.durable = true;
    options_.change = [strict](MemberOptions& member) {
      member.strict_restart = strict;
      member.ttl_max = absl::Seconds(60);
    };
    cluster_.reset();
    world_.emplace(seed);
    cluster_.emplace(*world_, options_);
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
    return world_->RunUntil([&] { return Stopped(i); }, absl::Seconds(10));
  }
  // As whoever runs a member does when it is told so.
  void StartAnew(int i) {
    EXPECT_EQ(cluster_->stopped(i).code(), absl::StatusCode::kAborted) << cluster_->stopped(i);
    cluster_->Restart(i);
  }

  // Its disk is replaced by an empty one, and so is it.
  void Replace(int i) {
    cluster_->Kill(i);
    cluster_->machine(i).disk().Wipe();
    ASSERT_TRUE(cluster_->AwaitLeader());
    cluster_->Start(i);
    ASSERT_TRUE(world_->RunUntil([&] { return IsAVoter(i); }, absl::Seconds(30)));
    world_->RunFor(absl::Seconds(3));
    ASSERT_TRUE(cluster_->AwaitConverged());
  }
  bool IsAVoter(int i) {
    const int leader = cluster_->Leader();
    if (leader < 0) return false;
    for (const MemberStatus& member : cluster_->Status(leader).members) {
      if (member.id == cluster_->node(i).id()) return member.role == "follower";
    }
    return false;
  }
  void Change(MemberAction action, int i) {
    auto port = Caller::Port(*cluster_, leader_);
    EXPECT_EQ(port->AwaitReply(port->Change(action, cluster_->name(i), cluster_->address(i)),
                               absl::Seconds(30))
                  .code,
              ReplyCode::kOk);
  }
  void TryACopyFromBeforeTheOthersWereExchanged(bool strict);

  std::optional<World> world_{std::in_place, 71};
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
  ASSERT_TRUE(world_->RunUntil(
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
  world_->RunFor(absl::Seconds(1));  // what was heard last is kept within a heartbeat
  cluster_->Restart(leader_);
  ASSERT_TRUE(cluster_->AwaitLeader());
  cluster_->Start(back_);
  ASSERT_TRUE(RunUntilStopped(back_));
  EXPECT_THAT(std::string(cluster_->stopped(back_).message()),
              HasSubstr(cluster_->name(leader_) + " heard it attest"));
}

// As above, though nothing was written since it was heard: without a session, time needs no
// entries.
TEST_F(RecallTest, AWitnessOfAQuietClusterRemembersToo) {
  ASSERT_NO_FATAL_FAILURE(Begin(/*strict=*/false));
  {
    auto port = Caller::Port(*cluster_, leader_);
    const Session session = OpenSessionOn(*port, absl::Seconds(30), ++last_key_);
    cluster_->machine(back_).disk().Copy();
    ASSERT_EQ(port->AwaitReply(port->Write(session.Close())).code, ReplyCode::kOk);
  }
  ASSERT_TRUE(cluster_->AwaitConverged());
  world_->RunFor(absl::Seconds(1));
  cluster_->Kill(back_);
  cluster_->machine(back_).disk().GoBack();
  cluster_->Restart(leader_);
  ASSERT_TRUE(cluster_->AwaitLeader());
  cluster_->Start(back_);
  EXPECT_TRUE(RunUntilStopped(back_));
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
        world_->RunUntil([&] { return cluster_->Logged(i, "it may vote"); }, absl::Seconds(10)));
    EXPECT_FALSE(Stopped(i)) << cluster_->stopped(i);
    EXPECT_EQ(cluster_->node(i).id(), before);
  }
}

// Who counted its acknowledgement is away: only patience keeps what was acknowledged.
TEST_F(RecallTest, AStrictRestartWaitsForWhoCountedItsAcknowledgement) {
  ASSERT_NO_FATAL_FAILURE(Begin(/*strict=*/true));
  cluster_->Kill(third_);  // so that the two others alone hold what is acknowledged next
  ASSERT_NO_FATAL_FAILURE(GoBack());
  world_->RunFor(absl::Seconds(1));  // what was heard last is kept within a heartbeat
  cluster_->Kill(leader_);
  cluster_->Start(third_);
  cluster_->Start(back_);
  world_->RunFor(absl::Seconds(20));
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

// Applying an old log anew, whose first configuration does not name it, is no reason to forget it.
TEST_F(RecallTest, WitnessesRememberOneThatCameLater) {
  ASSERT_NO_FATAL_FAILURE(Begin(/*strict=*/false));
  ASSERT_NO_FATAL_FAILURE(Replace(back_));
  leader_ = cluster_->Leader();
  third_ = 3 - leader_ - back_;
  ASSERT_NE(leader_, back_);
  ASSERT_NO_FATAL_FAILURE(GoBack());
  world_->RunFor(absl::Seconds(1));
  for (const int i : {leader_, third_}) cluster_->Kill(i);
  for (const int i : {leader_, third_}) cluster_->Start(i);
  ASSERT_TRUE(cluster_->AwaitLeader());
  world_->RunFor(absl::Seconds(1));
  cluster_->Start(back_);
  EXPECT_TRUE(RunUntilStopped(back_));
}

// What it said since must not hide what it lost before.
TEST_F(RecallTest, WhoStoodForElectionMeanwhileIsFoundLater) {
  int tried = 0;
  for (std::uint64_t seed = 1; seed < 30 && tried < 3; ++seed) {
    ASSERT_NO_FATAL_FAILURE(Begin(/*strict=*/false, seed));
    cluster_->Kill(third_);
    ASSERT_NO_FATAL_FAILURE(GoBack());
    world_->RunFor(absl::Seconds(1));
    cluster_->Kill(leader_);
    for (const int i : {third_, back_}) cluster_->Start(i);
    ASSERT_TRUE(cluster_->AwaitLeader(absl::Seconds(30)));
    if (cluster_->Leader() != back_) continue;
    ++tried;
    cluster_->Start(leader_);
    EXPECT_TRUE(RunUntilStopped(back_)) << "seed " << seed;
  }
  EXPECT_EQ(tried, 3);
}

// Whoever asks need not be known to the log of whoever is asked.
TEST_F(RecallTest, AStrictClusterStartsAgainThoughOneMissedAChange) {
  ASSERT_NO_FATAL_FAILURE(Begin(/*strict=*/true));
  cluster_->Kill(third_);
  const int four = cluster_->AddMachine();
  cluster_->Start(four);
  Change(MemberAction::kAdd, four);
  Change(MemberAction::kRemove, back_);
  world_->RunFor(absl::Seconds(2));
  for (const int i : {leader_, back_, four}) cluster_->Kill(i);
  for (const int i : {leader_, third_, four}) cluster_->Start(i);
  EXPECT_TRUE(cluster_->AwaitLeader(absl::Minutes(1))) << "all three members are up";
}

// Whoever lost all can have nothing to say: it must not be waited for.
TEST_F(RecallTest, AStrictClusterStartsAgainThoughOneLostItsDisk) {
  ASSERT_NO_FATAL_FAILURE(Begin(/*strict=*/true));
  OpenASession();
  ASSERT_TRUE(cluster_->AwaitConverged());
  for (int i = 0; i < 3; ++i) cluster_->Kill(i);
  cluster_->machine(third_).disk().Wipe();
  for (int i = 0; i < 3; ++i) cluster_->Start(i);
  ASSERT_TRUE(cluster_->AwaitLeader(absl::Minutes(1)));
  EXPECT_TRUE(world_->RunUntil([&] { return IsAVoter(third_); }, absl::Seconds(30)));
}

// Its own log names two incarnations that are gone: those that took their place know more.
void RecallTest::TryACopyFromBeforeTheOthersWereExchanged(bool strict) {
  int tried = 0;
  for (std::uint64_t seed = 1; seed < 30 && tried < 8; ++seed) {
    SCOPED_TRACE(seed);
    ASSERT_NO_FATAL_FAILURE(Begin(strict, seed));
    cluster_->machine(back_).disk().Copy();
    ASSERT_NO_FATAL_FAILURE(Replace(third_));
    ASSERT_NO_FATAL_FAILURE(Replace(leader_));
    const int leads = cluster_->Leader();
    if (leads == back_) continue;
    ++tried;
    cluster_->Kill(3 - back_ - leads);
    OpenASession();  // which `leads` and `back_` alone know
    ASSERT_TRUE(cluster_->AwaitConverged());
    world_->RunFor(absl::Seconds(1));
    for (const int i : {back_, leads}) cluster_->Kill(i);
    cluster_->machine(back_).disk().GoBack();
    for (int i = 0; i < 3; ++i) cluster_->Start(i);
    EXPECT_TRUE(RunUntilStopped(back_));
  }
  EXPECT_EQ(tried, 8);
}
TEST_F(RecallTest, ACopyFromBeforeTheOthersWereExchangedIsFound) {
  TryACopyFromBeforeTheOthersWereExchanged(/*strict=*/false);
}
TEST_F(RecallTest, AStrictRestartFindsACopyFromBeforeTheOthersWereExchanged) {
  TryACopyFromBeforeTheOthersWereExchanged(/*strict=*/true);
}

}  // namespace
}  // namespace tenure::member
