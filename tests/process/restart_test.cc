// Members in memory that come back, and clusters that begin anew.
#include <signal.h>

#include <string>

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

// T11, C10: whoever comes back without memory is another incarnation. It is told so, it counts for
// nothing, and the cluster goes on without it.
TEST_F(RestartTest, T11_C10_AMemberWithoutItsMemoryIsNoVoter) {
  Cluster cluster;
  const int leader = cluster.AwaitLeader();
  const int restarted = cluster.AllBut(leader)[0];
  const int other = cluster.AllBut(leader)[1];
  const std::string name = Cluster::Name(restarted);
  const std::string first_incarnation =
      MemberOf(cluster.Status(restarted), name)["incarnation"].get<std::string>();
  cluster.Restart(restarted);

  // It is told why, and says so: in its log and when it is asked.
  ASSERT_TRUE(cluster.member(restarted).AwaitErr("restarted without its memory"));
  EXPECT_THAT(cluster.member(restarted).err(), HasSubstr(first_incarnation));
  const nlohmann::json own = cluster.Status(restarted);
  EXPECT_EQ(own["leader"], "");
  EXPECT_THAT(own["message"].get<std::string>(), HasSubstr("restarted without its memory"));
  EXPECT_EQ(MemberOf(own, name)["role"], "free");
  EXPECT_NE(MemberOf(own, name)["incarnation"], first_incarnation);

  // The others know, and go on.
  ASSERT_TRUE(Eventually([&] { return MemberOf(cluster.Status(leader), name)["role"] == "lost"; }));
  const nlohmann::json seen = cluster.Status(leader);
  EXPECT_EQ(MemberOf(seen, name)["incarnation"], first_incarnation);
  EXPECT_EQ(MemberOf(seen, name)["reachable"], false);
  EXPECT_EQ(seen["may_stop_one"], false);
  EXPECT_THAT(seen["message"].get<std::string>(), HasSubstr(name + " restarted"));
  EXPECT_EQ(RunTenure({"lock", "a", "--", "true"}, cluster.endpoints()).status, 0);
  // Also where the newcomer, who knows of no leader, is asked first.
  const Result asked = RunTenure(
      {"status", "--json"}, absl::StrCat(cluster.address(restarted), ",", cluster.address(other)));
  EXPECT_EQ(nlohmann::json::parse(asked.out)["answered_by"], Cluster::Name(leader));

  // It is no voter: with it and one of the two others alive nobody leads, and nothing is granted.
  cluster.member(leader).Pause();
  const Result refused = RunTenure({"lock", "a", "--wait=3s", "--", "true"}, cluster.endpoints());
  EXPECT_EQ(refused.status, 69);
  EXPECT_THAT(refused.err, IsOneLine());
  EXPECT_EQ(cluster.Status(other)["leader"], "");
  // With the second voter there is a quorum again.
  cluster.member(leader).Resume();
  EXPECT_EQ(RunTenure({"lock", "a", "--", "true"}, cluster.endpoints()).status, 0);
}

// T10: a cluster that kept nothing and starts again holds grants back while an earlier holder may
// still live, and says until when; its tokens are higher all the same.
TEST_F(RestartTest, T10_ANewClusterWaitsForEarlierHolders) {
  Cluster cluster({.members = 1, .assert_new = false, .flags = {"--ttl-max=2s"}});
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
  EXPECT_GT(token(RunTenure(take, cluster.endpoints())), earlier);
}

}  // namespace
}  // namespace tenure::process
