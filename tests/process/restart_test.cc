// Members in memory that come back, and clusters that begin anew.
#include <signal.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/process/cluster.h"
#include "tests/process/matchers.h"
#include "tests/process/watch.h"

namespace tenure::process {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class RestartTest : public ProcessTest {
 protected:
  static nlohmann::json MemberOf(const nlohmann::json& status, const std::string& name) {
    for (const nlohmann::json& member : status["members"]) {
      if (member["id"] == name) return member;
    }
    ADD_FAILURE() << status << " does not list " << name;
    return {};
  }
};

// T11: whoever comes back without memory is another incarnation. It is told so, and takes the
// earlier one's place without an operator; from then on it counts.
TEST_F(RestartTest, T11_AMemberWithoutItsMemoryIsAnotherAndTakesItsPlace) {
  Cluster cluster;
  const int leader = cluster.AwaitLeader();
  const int restarted = cluster.AllBut(leader)[0];
  const int other = cluster.AllBut(leader)[1];
  const std::string name = Cluster::Name(restarted);
  const std::string first_incarnation =
      MemberOf(cluster.Status(restarted), name)["incarnation"].get<std::string>();
  cluster.Restart(restarted);

  ASSERT_TRUE(cluster.member(restarted).AwaitErr("restarted without its memory"));
  EXPECT_THAT(cluster.member(restarted).err(), HasSubstr(first_incarnation));
  ASSERT_TRUE(Eventually([&] {
    const nlohmann::json seen = cluster.Status(leader);
    const nlohmann::json member = MemberOf(seen, name);
    return member["incarnation"] != first_incarnation && member["role"] == "follower" &&
           member["reachable"] == true && seen["may_stop_one"] == true;
  })) << cluster.Status(leader);
  EXPECT_EQ(cluster.Status(leader)["message"], "");
  EXPECT_EQ(cluster.Status(leader)["members"].size(), 3u);

  // It is a voter: with it alone beside the leader there is a quorum.
  cluster.member(other).Pause();
  EXPECT_EQ(RunTenure({"lock", "a", "--", "true"}, cluster.endpoints()).status, 0);
  cluster.member(other).Resume();
}

// C10: until it has taken its place it counts for nothing. With it and one of the two others alive
// nobody leads, and nothing is granted.
TEST_F(RestartTest, C10_AMemberWithoutItsMemoryIsNotCountedForTheEarlierOne) {
  Cluster cluster;
  const int leader = cluster.AwaitLeader();
  const int restarted = cluster.AllBut(leader)[0];
  const int other = cluster.AllBut(leader)[1];
  const std::string name = Cluster::Name(restarted);
  EXPECT_EQ(RunTenure({"lock", "a", "--", "true"}, cluster.endpoints()).status, 0);
  cluster.member(other).Pause();
  cluster.Restart(restarted);
  ASSERT_TRUE(
      Eventually([&] { return cluster.Status(leader)["leader"].get<std::string>().empty(); }));
  const Result refused = RunTenure({"lock", "a", "--wait=3s", "--", "true"}, cluster.endpoints());
  EXPECT_EQ(refused.status, 69);
  EXPECT_THAT(refused.err, IsOneLine());
  EXPECT_EQ(cluster.Status(leader)["leader"], "");
  EXPECT_NE(MemberOf(cluster.Status(leader), name)["role"], "follower");
  // Who asks all hears the one that kept its memory.
  EXPECT_TRUE(Eventually([&] {
    const Result asked = RunTenure({"status", "--json"}, cluster.endpoints());
    return asked.status == 0 &&
           nlohmann::json::parse(asked.out)["answered_by"] == Cluster::Name(leader);
  }));
  // With the third voter there is a quorum again.
  cluster.member(other).Resume();
  EXPECT_EQ(RunTenure({"lock", "a", "--", "true"}, cluster.endpoints()).status, 0);
}

// A second process under a member's id, by mistake at another address, changes nothing.
TEST_F(RestartTest, WhoeverBorrowsAMembersNameCountsForNothing) {
  Cluster cluster;
  const int leader = cluster.AwaitLeader();
  const int real = cluster.AllBut(leader)[0];
  std::string list;
  for (int i = 0; i < 3; ++i) {
    const std::string address =
        i == real ? absl::StrCat("127.0.0.1:", FreePorts(1)[0]) : cluster.address(i);
    absl::StrAppend(&list, i == 0 ? "" : ",", Cluster::Name(i), "=", address);
  }
  const std::string name = Cluster::Name(real);
  Process second = Tenure({"serve", "--id=" + name, "--cluster=" + list}, cluster.endpoints());
  EXPECT_TRUE(Eventually([&] {
    return absl::StrContains(cluster.Status(leader)["message"].get<std::string>(),
                             "another process says that it is " + name);
  }));
  EXPECT_EQ(MemberOf(cluster.Status(leader), name)["role"], "follower");
  EXPECT_EQ(cluster.Status(leader)["may_stop_one"], true);
  second.Kill();
  EXPECT_TRUE(
      Eventually([&] { return cluster.Status(leader)["message"].get<std::string>().empty(); }));
  EXPECT_EQ(MemberOf(cluster.Status(leader), name)["role"], "follower");
}

// T10: a cluster that kept nothing and starts again holds grants back while an earlier holder may
// still live, and says until when; its tokens are higher all the same.
TEST_F(RestartTest, T10_L22_ANewClusterWaitsForEarlierHolders) {
  Cluster cluster({.members = 1, .assert_new = false, .flags = {"--ttl-max=4s"}});
  const auto token = [](const Result& result) {
    EXPECT_EQ(result.status, 0) << result.err;
    return std::strtoll(result.out.c_str(), nullptr, 10);
  };
  const std::vector<std::string> take = {"lock", "a",  "--",
                                         "sh",   "-c", "echo $TENURE_FENCING_TOKEN"};
  const auto earlier = token(RunTenure(take, cluster.endpoints()));
  EXPECT_GT(earlier, 0);

  cluster.Restart(0);
  cluster.AwaitLeader({0});
  const nlohmann::json status = cluster.Status();
  EXPECT_GT(status["held_back_seconds"], 0.0);
  EXPECT_THAT(status["message"].get<std::string>(), HasSubstr("grants nothing for another"));
  const Result refused = RunTenure({"lock", "a", "--try", "--", "true"}, cluster.endpoints());
  EXPECT_EQ(refused.status, 75);
  EXPECT_THAT(refused.err, HasSubstr("a"));
  EXPECT_THAT(refused.err, Not(HasSubstr("is held by")));
  const Result not_begun = RunTenure({"once", "k", "--wait=0s", "--", "true"}, cluster.endpoints());
  EXPECT_EQ(not_begun.status, 75);
  EXPECT_THAT(not_begun.err, HasSubstr("this cluster is new"));
  EXPECT_GT(token(RunTenure(take, cluster.endpoints())), earlier);
}

}  // namespace
}  // namespace tenure::process
