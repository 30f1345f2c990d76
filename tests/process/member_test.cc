// `tenure member`: a cluster's members change while it serves.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/process/cluster.h"
#include "tests/process/matchers.h"
#include "tests/process/watch.h"

namespace tenure::process {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class MemberCommandTest : public ProcessTest {
 protected:
  // `tenure member` with these arguments, which is to be done.
  nlohmann::json Change(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "member");
    arguments.emplace_back("--json");
    const Result result = RunTenure(arguments, endpoints_);
    EXPECT_EQ(result.status, 0) << result.err;
    return result.status == 0 ? nlohmann::json::parse(result.out) : nlohmann::json();
  }
  void ExpectRefused(std::vector<std::string> arguments, int status, const std::string& why) const {
    arguments.insert(arguments.begin(), "member");
    const Result result = RunTenure(arguments, endpoints_);
    EXPECT_EQ(result.status, status) << result.err;
    EXPECT_THAT(result.err, IsOneLine());
    EXPECT_THAT(result.err, HasSubstr(why));
    EXPECT_EQ(result.out, "");
  }
  // The names of its members that have `role`, or of all.
  static std::vector<std::string> Names(const nlohmann::json& status,
                                        const std::string& role = "") {
    std::vector<std::string> names;
    for (const nlohmann::json& member : status["members"]) {
      if (role.empty() || member["role"] == role) names.push_back(member["id"]);
    }
    return names;
  }
  std::string Leader() const {
    const Result result = RunTenure({"status", "--json"}, endpoints_);
    EXPECT_EQ(result.status, 0) << result.err;
    return nlohmann::json::parse(result.out)["leader"];
  }
  void ExpectServes() const {
    EXPECT_EQ(RunTenure({"lock", "a", "--wait=30s", "--", "true"}, endpoints_).status, 0);
  }

  std::string endpoints_;
};

TEST_F(MemberCommandTest, AClusterMovesMemberByMember) {
  Cluster cluster;
  const int first = cluster.AwaitLeader();
  const std::string fourth = absl::StrCat("127.0.0.1:", FreePorts(1)[0]);
  endpoints_ = absl::StrCat(cluster.endpoints(), ",", fourth);
  // A lock that is held all the while.
  Process holder = Tenure({"lock", "held", "--", "sh", "-c", "echo got; read line"}, endpoints_,
                          {.input_stays_open = true});
  ASSERT_TRUE(holder.AwaitOut("got"));
  EXPECT_THAT(Names(Change({"list"})), UnorderedElementsAre("n1", "n2", "n3"));

  std::string list = absl::StrCat("--cluster=n4=", fourth);
  for (int i = 0; i < cluster.size(); ++i) {
    absl::StrAppend(&list, ",", Cluster::Name(i), "=", cluster.address(i));
  }
  Process added = Tenure({"serve", "--id=n4", list});
  ASSERT_TRUE(added.AwaitOut("serves on")) << added.err();
  EXPECT_THAT(Names(Change({"add", "n4=" + fourth})), UnorderedElementsAre("n1", "n2", "n3", "n4"));
  EXPECT_EQ(Names(Change({"add", "n4=" + fourth})).size(), 4u) << "again";
  // It becomes a voter by itself once it has caught up; who asks for it waits for that.
  EXPECT_EQ(Names(Change({"promote", "n4"}), "learner").size(), 0u);
  ExpectServes();

  // Leadership goes where it is wanted, and elsewhere if nobody is named.
  // Who has only just started takes part in no election yet.
  ASSERT_TRUE(Eventually([&] {
    return RunTenure({"member", "transfer", "n4"}, endpoints_).status == 0;
  }));
  EXPECT_EQ(Leader(), "n4");
  EXPECT_NE(Change({"transfer"})["leader"], "n4");
  EXPECT_EQ(Change({"transfer", Cluster::Name(first)})["leader"], Cluster::Name(first));
  ExpectServes();

  // A leader that is to go hands over first; whoever is gone is told, and stops.
  EXPECT_EQ(Names(Change({"remove", Cluster::Name(first)})).size(), 3u);
  EXPECT_NE(Leader(), Cluster::Name(first));
  const Result gone = cluster.member(first).Wait();
  EXPECT_EQ(gone.status, 69);
  EXPECT_THAT(gone.err, HasSubstr("it was removed from the cluster"));
  EXPECT_EQ(Names(Change({"remove", Cluster::Name(first)})).size(), 3u) << "again";
  ExpectServes();
  // One that is dead can be removed, too, while the others are a quorum.
  const int other = cluster.AllBut(first)[0];
  cluster.member(other).Kill();
  EXPECT_EQ(Names(Change({"remove", Cluster::Name(other)})).size(), 2u);
  ExpectServes();

  const Result taken = RunTenure({"lock", "held", "--try", "--", "true"}, endpoints_);
  EXPECT_EQ(taken.status, 75) << "it was held through all of it";
  holder.CloseInput();
  holder.Wait();
}

TEST_F(MemberCommandTest, WhatCannotBeIsRefusedInOneLine) {
  Cluster cluster;
  cluster.AwaitLeader();
  endpoints_ = cluster.endpoints();
  ExpectRefused({"transfer", "n9"}, 64, "n9 is not a voter");
  ExpectRefused({"promote", "n9"}, 64, "n9 is not a learner");
  ExpectRefused({"add", "n5"}, 64, "ID=HOST:PORT");
  ExpectRefused({"add", "n2=127.0.0.1:1"}, 64, "remove it before");
  ExpectRefused({"add", "n4=127.0.0.1:1,n5=127.0.0.1:2"}, 64, "is not one host:port");
  ExpectRefused({"add", "n4=127.0.0.1:x"}, 64, "which is not host:port");
  ExpectRefused({"add", "n4=" + cluster.address(1)}, 64, "n2 is the member at");
  ExpectRefused({"add", "n 4=127.0.0.1:1"}, 64, "no name for a member");
  ExpectRefused({"remove"}, 64, "");
  const Result absent = RunTenure({"member", "remove", "n9"}, endpoints_);
  EXPECT_EQ(absent.status, 0) << "it is not there, as was asked";
  EXPECT_THAT(absent.err,
              AllOf(IsOneLine(), HasSubstr("no member is named n9"), HasSubstr("n1, n2, n3")));
  // Who joins has to be there in time; it stays a learner that counts for nothing.
  const std::string nobody = absl::StrCat("127.0.0.1:", FreePorts(1)[0]);
  ExpectRefused({"add", "n4=" + nobody, "--timeout=1s"}, 69, "n4 has to run at " + nobody);
  ExpectServes();
  // Without a quorum nothing changes, and that is said within the time given.
  const int leader = cluster.AwaitLeader();
  for (const int i : cluster.AllBut(leader)) cluster.member(i).Pause();
  ExpectRefused({"remove", Cluster::Name(cluster.AllBut(leader)[0]), "--timeout=2s"}, 69, "");
}

}  // namespace
}  // namespace tenure::process
