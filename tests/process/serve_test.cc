// `tenure serve`: what cannot work is one line that says what to do, and a status.
#include <signal.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/process/cluster.h"
#include "tests/process/matchers.h"

namespace tenure::process {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ServeTest : public ProcessTest {};

TEST_F(ServeTest, ATakenPortIsSaidInOneLine) {
  const Listener taken;
  const Result result =
      RunTenure({"serve", "--id=n1", absl::StrCat("--cluster=n1=", taken.address())});
  EXPECT_EQ(result.status, 69);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, AllOf(IsOneLine(), HasSubstr(taken.address()),
                                HasSubstr("stop it or choose another")));
  const Result alone = RunTenure({"serve", absl::StrCat("--listen=", taken.address())});
  EXPECT_EQ(alone.status, 69);
  EXPECT_THAT(alone.err, IsOneLine());
}

// Of two members on one port, the second is refused and the first goes on.
TEST_F(ServeTest, ASecondMemberOnAPortIsRefused) {
  Cluster cluster({.members = 1});
  const Result second = RunTenure({"serve", "--id=n1", "--cluster=n1=" + cluster.address(0)});
  EXPECT_EQ(second.status, 69);
  EXPECT_THAT(second.err, IsOneLine());
  EXPECT_EQ(cluster.Status()["leader"], "n1");
}

TEST_F(ServeTest, WhatCannotWorkIsSaidInOneLine) {
  struct Wrong {
    std::vector<std::string> arguments;
    std::string said;
  };
  for (const auto& [arguments, said] : std::vector<Wrong>{
           {{"serve", "--id=n4", "--cluster=n1=127.0.0.1:1,n2=127.0.0.1:2"},
            "give it one of those"},
           {{"serve", "--cluster=n1=127.0.0.1:1"}, "--id"},
           {{"serve", "--id=n1", "--cluster=n1"}, "n1=host:port"},
           {{"serve", "--id=n1", "--cluster=n1=127.0.0.1"}, "n1=host:port"},
           {{"serve", "--id=n1", "--cluster=n1=127.0.0.1:http"}, "n1=host:port"},
           {{"serve", "--id=n1", "--cluster=n1=127.0.0.1:1,n1=127.0.0.1:2"}, "twice"},
           {{"serve", "--id=n1", "--cluster=n1=127.0.0.1:1,n2=127.0.0.1:1"}, "the same address"},
           {{"serve", "--id=n1", "--cluster=n1=127.0.0.1:1", "--listen=nowhere"}, "host:port"},
           {{"serve", "--id"}, "--id"},
           {{"serve", "--colour=red"}, "--colour"},
           {{"serve", "--ttl-max=soon"}, "'soon'"},
           {{"serve", "--data="}, "--data"},
           {{"lock", "a", "--ttl=ten", "--", "true"}, "'ten'"},
           {{"lock", "a", "--endpoints=nowhere", "--", "true"}, "host:port"},
           {{"status", "--endpoints=127.0.0.1:99999"}, "host:port"},
           {{"status", "--endpoints=127.0.0.1:80:90"}, "host:port"},
           {{"status", "--timeout=never"}, "'never'"},
           {{"inspect", "everything"}, "everything"},
           {{"frobnicate"}, "frobnicate"},
           {{}, "serve, lock, elect, once"}}) {
    const Result result = RunTenure(arguments);
    EXPECT_EQ(result.status, 64) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, AllOf(IsOneLine(), HasSubstr(said)));
  }
  // An address of nobody's here.
  const Result nowhere = RunTenure({"serve", "--id=n1", "--cluster=n1=192.0.2.1:7400"});
  EXPECT_EQ(nowhere.status, 69);
  EXPECT_THAT(nowhere.err, AllOf(IsOneLine(), HasSubstr("192.0.2.1:7400")));
}

TEST_F(ServeTest, HelpIsOnStandardOutput) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"--help"},
                                             {"serve", "--help"},
                                             {"lock", "--help"},
                                             {"status", "--help"},
                                             {"inspect", "--help"}}) {
    const Result result = RunTenure(arguments);
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.err, "");
    EXPECT_THAT(result.out, HasSubstr("--help"));
  }
}

TEST_F(ServeTest, EndsInOrderWhenItIsAsked) {
  for (const int signal : {SIGTERM, SIGINT}) {
    Cluster cluster({.members = 1});
    cluster.member(0).Signal(signal);
    const Result result = cluster.member(0).Wait();
    EXPECT_EQ(result.status, 0);
    EXPECT_THAT(result.err, HasSubstr("stops"));
  }
}

// Without a cluster it is one member for development, and says so.
class DevelopmentTest : public ServeTest {
 protected:
  static void ExpectServes(Process& member, const std::string& endpoints) {
    EXPECT_THAT(member.err(), HasSubstr("for development"));
    EXPECT_THAT(member.err(), HasSubstr("--new is implied"));
    // Grants at once.
    const Result held = RunTenure({"lock", "a", "--", "echo", "held"}, endpoints);
    EXPECT_EQ(held.status, 0) << held.err;
    EXPECT_EQ(held.out, "held\n");
  }
};

TEST_F(DevelopmentTest, ServesWhereItIsTold) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    const std::string address = absl::StrCat("127.0.0.1:", FreePorts(1)[0]);
    Process member = Tenure({"serve", "--listen=" + address});
    if (!member.AwaitOut("serves on " + address)) continue;
    return ExpectServes(member, address);
  }
  FAIL() << "no port was free";
}

TEST_F(DevelopmentTest, IsFoundWhereTheOthersLookForIt) {
  Process member = Tenure({"serve"});
  if (!member.AwaitOut("serves on 127.0.0.1:7400")) {
    EXPECT_THAT(member.Wait().err, HasSubstr("the port is taken"));
    GTEST_SKIP() << "somebody else serves on 127.0.0.1:7400";
  }
  ExpectServes(member, "");
}

}  // namespace
}  // namespace tenure::process
