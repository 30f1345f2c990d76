// Members with a disk: what was acknowledged outlives them all.
#include <sys/resource.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
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

class DataTest : public ProcessTest {
 protected:
  static std::string Incarnation(const Cluster& cluster, int member) {
    const nlohmann::json status = cluster.Status(member);
    for (const nlohmann::json& listed : status["members"]) {
      if (listed["id"] == Cluster::Name(member)) return listed["incarnation"];
    }
    ADD_FAILURE() << status << " does not list " << Cluster::Name(member);
    return "";
  }
  static std::int64_t TokenOf(const Cluster& cluster, const std::string& lock) {
    const Result result = RunTenure({"lock", lock, "--", "sh", "-c", "echo $TENURE_FENCING_TOKEN"},
                                    cluster.endpoints());
    EXPECT_EQ(result.status, 0) << result.err;
    return std::strtoll(result.out.c_str(), nullptr, 10);
  }
  ClusterOptions OnDisk(int members) const {
    return {.members = members, .data = Path("."), .flags = {}};
  }
};

// The power of all fails at once. The holder of a lock, who lives on, notices nothing.
TEST_F(DataTest, WhatWasAcknowledgedOutlivesAllMembers) {
  Cluster cluster(OnDisk(3));
  const Result first =
      RunTenure({"once", "k", "--", "sh", "-c", "echo charged; exit 7"}, cluster.endpoints());
  EXPECT_EQ(first.status, 7) << first.err;
  Process holder = Tenure({"lock", "held", "--ttl=60s", "--", "cat"}, cluster.endpoints(),
                          {.input = "ready\n", .input_stays_open = true});
  ASSERT_TRUE(holder.AwaitOut("ready")) << holder.err();
  const std::int64_t token = TokenOf(cluster, "free");
  const nlohmann::json held = cluster.Lock("held");
  const auto revision = cluster.Status()["revision"].get<std::int64_t>();
  std::vector<std::string> incarnations;
  for (int i = 0; i < 3; ++i) incarnations.push_back(Incarnation(cluster, i));

  for (int i = 0; i < 3; ++i) cluster.member(i).Kill();
  for (int i = 0; i < 3; ++i) cluster.Restart(i);
  cluster.AwaitLeader();

  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Incarnation(cluster, i), incarnations[i]);
    EXPECT_THAT(cluster.member(i).err(), HasSubstr("resumes as n"));
  }
  const Result again = RunTenure({"once", "k", "--", "echo", "other"}, cluster.endpoints());
  EXPECT_EQ(again.status, 7);
  EXPECT_EQ(again.out, "charged\n");
  EXPECT_GE(cluster.Status()["revision"].get<std::int64_t>(), revision);
  EXPECT_EQ(cluster.Lock("held")["holder"]["token"], held["holder"]["token"]);
  EXPECT_EQ(RunTenure({"lock", "held", "--try", "--", "true"}, cluster.endpoints()).status, 75);
  EXPECT_GT(TokenOf(cluster, "free"), token);
  holder.CloseInput();
  EXPECT_EQ(holder.Wait().status, 0);
}

// One after the other, none is replaced: each is the member that it was, at once.
TEST_F(DataTest, ARestartedMemberIsTheOneThatItWas) {
  Cluster cluster(OnDisk(3));
  for (int i = 0; i < 3; ++i) {
    const std::string incarnation = Incarnation(cluster, i);
    const std::int64_t token = TokenOf(cluster, "a");
    cluster.Restart(i);
    EXPECT_GT(TokenOf(cluster, "a"), token);
    EXPECT_TRUE(Eventually([&] { return Incarnation(cluster, i) == incarnation; }));
  }
  EXPECT_EQ(cluster.Status()["message"], "");
}

// Its directory was moved away, as the message of a damaged one says.
TEST_F(DataTest, ADamagedMemberIsToldWhatToDoAndTheOthersReplaceIt) {
  Cluster cluster(OnDisk(3));
  const int damaged = cluster.AllBut(cluster.AwaitLeader())[0];
  const std::string incarnation = Incarnation(cluster, damaged);
  TokenOf(cluster, "a");
  cluster.member(damaged).Kill();
  const std::string file = cluster.data(damaged) + "/tenure.db";
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(0) << "rot";

  const std::string address = cluster.address(damaged);
  const std::string name = Cluster::Name(damaged);
  const Result refused = RunTenure({"serve", "--id=" + name, "--cluster=" + name + "=" + address,
                                    "--data=" + cluster.data(damaged)});
  EXPECT_EQ(refused.status, 69);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err, AllOf(IsOneLine(), HasSubstr(file + " is damaged"),
                                 HasSubstr("Move its directory away")));

  std::filesystem::rename(cluster.data(damaged), Path("away"));
  cluster.Restart(damaged);
  EXPECT_TRUE(Eventually([&] {
    const nlohmann::json status = cluster.Status(cluster.AwaitLeader());
    return status["may_stop_one"] == true && Incarnation(cluster, damaged) != incarnation;
  }));
}

// An operator "restored a backup". The member is what it was then, and the others know better.
TEST_F(DataTest, AMemberOnAnOlderCopyOfItsDataIsFoundOutAndReplaced) {
  ClusterOptions options = OnDisk(3);
  options.flags = {"--strict-restart"};
  Cluster cluster(options);
  const int back = cluster.AllBut(cluster.AwaitLeader())[0];
  const std::string incarnation = Incarnation(cluster, back);
  cluster.member(back).Kill();
  std::filesystem::copy(cluster.data(back), Path("backup"));
  cluster.Restart(back);
  EXPECT_TRUE(Eventually([&] {
    TokenOf(cluster, "a");
    return cluster.Status(back)["applied"] == cluster.Status(cluster.AwaitLeader())["applied"];
  }));
  EXPECT_EQ(Incarnation(cluster, back), incarnation) << "an honest restart is believed";
  const std::int64_t token = TokenOf(cluster, "a");
  cluster.member(back).Kill();
  std::filesystem::remove_all(cluster.data(back));
  std::filesystem::rename(Path("backup"), cluster.data(back));
  cluster.Restart(back);
  EXPECT_TRUE(Eventually([&] {
    const nlohmann::json status = cluster.Status(cluster.AwaitLeader(cluster.AllBut(back)));
    return status["may_stop_one"] == true && Incarnation(cluster, back) != incarnation;
  }));
  EXPECT_THAT(cluster.member(back).err(),
              AllOf(HasSubstr("its storage went back"), HasSubstr("heard it attest")));
  EXPECT_GT(TokenOf(cluster, "a"), token);
}

TEST_F(DataTest, OneMemberAloneKeepsItsDataAndItsDirectoryIsItsOwn) {
  Cluster cluster(
      {.members = 1, .assert_new = false, .data = Path("."), .flags = {"--ttl-max=1s"}});
  const std::int64_t token = TokenOf(cluster, "a");
  const Result second = RunTenure({"serve", "--listen=127.0.0.1:1", "--data=" + cluster.data(0)});
  EXPECT_EQ(second.status, 69);
  EXPECT_THAT(second.err, AllOf(IsOneLine(), HasSubstr("in use by another process")));
  cluster.Restart(0);
  cluster.AwaitLeader();
  EXPECT_EQ(cluster.Status()["held_back_seconds"], 0.0)
      << "it holds nothing back: it forgot nothing";
  EXPECT_GT(TokenOf(cluster, "a"), token);

  cluster.member(0).Kill();
  const Result other =
      RunTenure({"serve", "--id=n2", "--listen=127.0.0.1:1", "--data=" + cluster.data(0)});
  EXPECT_EQ(other.status, 69);
  EXPECT_THAT(other.err, AllOf(IsOneLine(), HasSubstr("member n1, not of n2")));
  const Result nowhere = RunTenure({"serve", "--listen=127.0.0.1:1", "--data=/nowhere/n1"});
  EXPECT_EQ(nowhere.status, 69);
  EXPECT_THAT(nowhere.err, AllOf(IsOneLine(), HasSubstr("cannot make the directory /nowhere/n1")));
}

// A disk that fails ends the member, which says so; the others go on.
TEST_F(DataTest, AFailedDiskStopsItsMember) {
  Cluster cluster(OnDisk(3));
  const int leader = cluster.AwaitLeader();
  const int failing = cluster.AllBut(leader)[0];
  // Its files may grow no more; what is beyond is an error, as a full disk's would be.
  const rlimit limit = {64 << 10, 64 << 10};
  ASSERT_EQ(prlimit(cluster.member(failing).pid(), RLIMIT_FSIZE, &limit, nullptr), 0);
  for (int i = 0; i < 100 && cluster.member(failing).running(); ++i) {
    EXPECT_EQ(RunTenure({"lock", "a", "--", "true"}, cluster.endpoints()).status, 0);
  }
  const Result stopped = cluster.member(failing).Wait();
  EXPECT_EQ(stopped.status, 69);
  EXPECT_THAT(stopped.err, AllOf(HasSubstr("has stopped: its storage failed"),
                                 HasSubstr(cluster.data(failing) + "/tenure.db")));
  EXPECT_EQ(RunTenure({"lock", "a", "--", "true"}, cluster.endpoints()).status, 0);
  cluster.Restart(failing);
  EXPECT_TRUE(Eventually([&] { return cluster.Status(leader)["may_stop_one"] == true; }));
}

}  // namespace
}  // namespace tenure::process
