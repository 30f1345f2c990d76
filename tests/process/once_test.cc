// `tenure once`: whoever calls, however often, COMMAND completes once for its key.
#include <signal.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
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
using ::testing::SizeIs;

class OnceTest : public ProcessTest {
 protected:
  static Process Start(const Cluster& cluster, const std::string& script,
                       std::vector<std::string> flags = {}) {
    std::vector<std::string> arguments = {"once", "k"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    arguments.insert(arguments.end(), {"--", "sh", "-c", script});
    return Tenure(std::move(arguments), cluster.endpoints());
  }
  static Result Run(const Cluster& cluster, const std::string& script,
                    std::vector<std::string> flags = {}) {
    return Start(cluster, script, std::move(flags)).Wait();
  }
  static nlohmann::json Key(const Cluster& cluster) {
    return nlohmann::json::parse(
        RunTenure({"inspect", "key", "k", "--json"}, cluster.endpoints()).out);
  }
  std::vector<std::string> Lines(const std::string& name) const {
    std::vector<std::string> lines;
    std::istringstream text(Text(name));
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }
};

TEST_F(OnceTest, RepeatsAnswerWhatTheFirstOneDid) {
  const Cluster cluster({.members = 1});
  const Result first = Run(cluster, "echo $TENURE_NAME; echo bad >&2; exit 7");
  EXPECT_EQ(first.status, 7);
  EXPECT_EQ(first.out, "k\n");
  EXPECT_EQ(first.err, "bad\n");
  const Result again = Run(cluster, "echo other");
  EXPECT_EQ(again.status, 7);
  EXPECT_EQ(again.out, "k\n");
  EXPECT_EQ(again.err, "") << "only standard output is stored";
  EXPECT_EQ(Run(cluster, "echo other", {"--scope=s"}).out, "other\n");
  EXPECT_EQ(Key(cluster)["state"], "done");
  EXPECT_THAT(RunTenure({"inspect", "key", "k"}, cluster.endpoints()).out,
              AllOf(HasSubstr("EXIT STATUS     7\n"), HasSubstr("2 bytes: k\\n\n")));
  EXPECT_EQ(cluster.Status()["sessions"], 0);
}

// I3.
TEST_F(OnceTest, I3_AnotherFingerprintIsRefused) {
  const Cluster cluster({.members = 1});
  EXPECT_EQ(Run(cluster, "echo ten", {"--fingerprint=10"}).out, "ten\n");
  for (const std::vector<std::string>& other :
       {std::vector<std::string>{"--fingerprint=20"}, std::vector<std::string>{}}) {
    const Result refused = Run(cluster, "echo other", other);
    EXPECT_EQ(refused.status, 73);
    EXPECT_EQ(refused.out, "");
    EXPECT_THAT(refused.err, AllOf(IsOneLine(), HasSubstr("another fingerprint")));
  }
  EXPECT_EQ(Run(cluster, "echo other", {"--fingerprint=10"}).out, "ten\n");
}

// What has not run to its own end is run again.
TEST_F(OnceTest, I5_WhatDidNotCompleteIsNotStored) {
  const Cluster cluster({.members = 1});
  EXPECT_EQ(RunTenure({"once", "k", "--", "/nowhere/none"}, cluster.endpoints()).status, 127);
  EXPECT_EQ(RunTenure({"once", "k", "--", "/etc/passwd"}, cluster.endpoints()).status, 126);
  EXPECT_EQ(Run(cluster, "kill -KILL $$").status, 128 + SIGKILL);
  Process interrupted =
      Start(cluster, absl::StrCat("echo $$ >", Path("pid"), "; exec tail -f /dev/null"));
  AwaitNumber("pid");
  interrupted.Signal(SIGINT);
  EXPECT_EQ(interrupted.Wait().status, 128 + SIGINT);
  EXPECT_EQ(Run(cluster, "echo ran; exit 127").status, 127) << "its own";
  EXPECT_EQ(Run(cluster, "echo other").out, "ran\n");
}

TEST_F(OnceTest, WhoWaitsTooLongIsToldSo) {
  const Cluster cluster({.members = 1});
  Process running =
      Start(cluster, absl::StrCat("echo $$ >", Path("pid"), "; exec tail -f /dev/null"));
  AwaitNumber("pid");
  const Result late = Run(cluster, "echo other", {"--wait=1s"});
  EXPECT_EQ(late.status, 75);
  EXPECT_THAT(late.err, AllOf(IsOneLine(), HasSubstr("under way elsewhere")));
  running.Signal(SIGTERM);
  EXPECT_EQ(running.Wait().status, 128 + SIGTERM);
  const Result nobody =
      Tenure({"once", "k", "--wait=1s", "--", "true"}, absl::StrCat("127.0.0.1:", FreePorts(1)[0]))
          .Wait();
  EXPECT_EQ(nobody.status, 69);
  EXPECT_THAT(nobody.err, IsOneLine());
}

TEST_F(OnceTest, OfMuchOutputTheBeginningIsKept) {
  const Cluster cluster({.members = 1});
  const char* const script = "head -c 200000 /dev/zero | tr '\\0' x; exit 4";
  const Result first = Run(cluster, script);
  EXPECT_EQ(first.status, 4);
  EXPECT_THAT(first.err, HasSubstr("200000 bytes"));
  EXPECT_THAT(first.out, SizeIs(::testing::Gt(60'000)));
  const Result again = Run(cluster, script);
  EXPECT_EQ(again.status, 4);
  EXPECT_EQ(again.out, first.out);
  EXPECT_EQ(again.err, first.err);
}

// Ten at the same moment, and the leader is killed while the one that runs COMMAND does.
TEST_F(OnceTest, TenCallersRunItOnceThoughTheLeaderDies) {
  Cluster cluster;
  const std::string script = absl::StrCat("echo $TENURE_ATTEMPT >>", Path("ran"), "; read go <",
                                          Path("go"), "; echo receipt $TENURE_ATTEMPT $$; exit 5");
  ASSERT_EQ(mkfifo(Path("go").c_str(), 0600), 0);
  std::vector<Process> callers;
  for (int i = 0; i < 10; ++i) callers.push_back(Start(cluster, script));
  ASSERT_TRUE(Eventually([&] { return !Lines("ran").empty(); }));
  cluster.member(cluster.AwaitLeader()).Kill();
  std::ofstream(Path("go")) << "go\n";
  std::string bytes;
  for (Process& caller : callers) {
    const Result result = caller.Wait();
    EXPECT_EQ(result.status, 5) << result.err;
    if (bytes.empty()) bytes = result.out;
    EXPECT_EQ(result.out, bytes);
  }
  EXPECT_THAT(bytes, HasSubstr("receipt"));
  EXPECT_THAT(Lines("ran"), SizeIs(1));
}

// I2, I6: the caller that ran it was killed: COMMAND goes with it, and the next caller runs it.
TEST_F(OnceTest, I2_AKilledCallersWorkIsTakenOver) {
  Cluster cluster;
  const std::string script = absl::StrCat("echo $TENURE_ATTEMPT >>", Path("ran"), "; echo $$ >",
                                          Path("pid"), "; read go <", Path("go"), "; echo done");
  ASSERT_EQ(mkfifo(Path("go").c_str(), 0600), 0);
  Process first = Start(cluster, script, {"--ttl=2s"});
  const int command = AwaitNumber("pid");
  std::vector<Process> others;
  for (int i = 0; i < 9; ++i) others.push_back(Start(cluster, script, {"--wait=60s"}));
  ASSERT_TRUE(Eventually([&] { return Key(cluster)["waiting"] == 9; }));
  first.Kill();
  ASSERT_TRUE(Eventually([&] { return Lines("ran").size() == 2; }));
  EXPECT_FALSE(Alive(command)) << "the first COMMAND runs on beside the second";
  std::ofstream(Path("go")) << "go\n";
  for (Process& other : others) {
    const Result result = other.Wait();
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out, "done\n");
  }
  const std::vector<std::string> attempts = Lines("ran");
  ASSERT_THAT(attempts, SizeIs(2));
  EXPECT_GT(std::atoll(attempts[1].c_str()), std::atoll(attempts[0].c_str()));
}

// I1: the caller that ran it was paused past its lease, and comes back when another one is done.
TEST_F(OnceTest, I1_ACallerThatComesBackLateStoresNothing) {
  const Cluster cluster({.members = 1});
  Process paused = Start(
      cluster, absl::StrCat("echo $$ >", Path("pid"), "; exec tail -f /dev/null"), {"--ttl=1s"});
  const int command = AwaitNumber("pid");
  paused.Pause();
  const Result second = Run(cluster, "echo second", {"--wait=60s"});
  EXPECT_EQ(second.status, 0) << second.err;
  EXPECT_FALSE(Alive(command)) << "its watchdog has ended it before";
  paused.Resume();
  const Result late = paused.Wait();
  EXPECT_EQ(late.status, 76) << late.err;
  EXPECT_EQ(late.out, "");
  EXPECT_EQ(Run(cluster, "echo third").out, "second\n");
}

TEST_F(OnceTest, ABrokenLockEndsItsCommand) {
  const Cluster cluster({.members = 1});
  Process holder = Tenure({"lock", "a", "--", "sh", "-c",
                           absl::StrCat("echo $$ >", Path("pid"), "; exec tail -f /dev/null")},
                          cluster.endpoints());
  const int command = AwaitNumber("pid");
  const std::int64_t token = cluster.Lock("a")["holder"]["token"].get<std::int64_t>();
  const Result other =
      RunTenure({"break", "lock", "a", absl::StrCat("--token=", token + 1)}, cluster.endpoints());
  EXPECT_EQ(other.status, 75);
  EXPECT_THAT(other.err, IsOneLine());
  const Result broken = RunTenure({"break", "lock", "a", "--reason=stuck"}, cluster.endpoints());
  EXPECT_EQ(broken.status, 0) << broken.err;
  EXPECT_THAT(broken.out, HasSubstr(absl::StrCat(token)));
  const Result ended = holder.Wait();
  EXPECT_EQ(ended.status, 76);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("a was broken by "), HasSubstr(": stuck")));
  EXPECT_FALSE(Alive(command));
  EXPECT_EQ(cluster.Lock("a")["broken"]["token"].get<std::int64_t>(), token);
  EXPECT_THAT(RunTenure({"inspect", "lock", "a"}, cluster.endpoints()).out,
              AllOf(HasSubstr("TAKEN FROM"), HasSubstr("stuck")));
  EXPECT_EQ(RunTenure({"break", "lock", "a"}, cluster.endpoints()).status, 75);
}

TEST_F(OnceTest, ABrokenAttemptStoresNothingAndTheNextCallerRunsIt) {
  const Cluster cluster({.members = 1});
  Process stuck =
      Start(cluster, absl::StrCat("echo $$ >", Path("pid"), "; exec tail -f /dev/null"));
  const int command = AwaitNumber("pid");
  const Result broken = RunTenure({"break", "key", "k", "--reason=stuck"}, cluster.endpoints());
  EXPECT_EQ(broken.status, 0) << broken.err;
  const Result ended = stuck.Wait();
  EXPECT_EQ(ended.status, 76);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("the attempt at k was broken by "), HasSubstr(": stuck")));
  EXPECT_FALSE(Alive(command));
  EXPECT_EQ(Run(cluster, "echo again; exit 3").out, "again\n");
  const auto key =
      nlohmann::json::parse(RunTenure({"inspect", "key", "k", "--json"}, cluster.endpoints()).out);
  EXPECT_EQ(key["exit_status"], 3);
  EXPECT_EQ(key["output"], "again\n");
  EXPECT_EQ(key["attempts"], 2);
  EXPECT_THAT(key["broken"]["by"].get<std::string>(), HasSubstr("stuck"));
  EXPECT_EQ(RunTenure({"break", "key", "k"}, cluster.endpoints()).status, 75);
}

TEST_F(OnceTest, SharedLocksAndPermitsAreHeldTogether) {
  const Cluster cluster({.members = 1});
  const auto hold = [&](const std::string& name, const std::string& flag) {
    return Tenure({"lock", name, flag, "--", "cat"}, cluster.endpoints(),
                  {.input = "ready\n", .input_stays_open = true});
  };
  const auto once = [&](const std::string& name, const std::vector<std::string>& flags) {
    std::vector<std::string> arguments = {"lock", name, "--try"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    arguments.insert(arguments.end(), {"--", "true"});
    return RunTenure(std::move(arguments), cluster.endpoints()).status;
  };
  Process sharer = hold("a", "--shared");
  Process semaphore = hold("s", "--permits=2/3");
  ASSERT_TRUE(sharer.AwaitOut("ready")) << sharer.err();
  ASSERT_TRUE(semaphore.AwaitOut("ready")) << semaphore.err();
  EXPECT_EQ(once("a", {"--shared"}), 0);
  EXPECT_EQ(once("a", {}), 75);
  EXPECT_EQ(once("s", {"--permits=1/3"}), 0);
  EXPECT_EQ(once("s", {"--permits=2/3"}), 75);
  EXPECT_EQ(once("s", {"--permits=1/4"}), 64) << "another total";
  const nlohmann::json seen = cluster.Lock("s");
  EXPECT_EQ(seen["permits"], 2);
  EXPECT_EQ(seen["total"], 3);
  EXPECT_EQ(seen["sharers"].size(), 1u);
  sharer.CloseInput();
  semaphore.CloseInput();
  EXPECT_EQ(sharer.Wait().status, 0);
  EXPECT_EQ(semaphore.Wait().status, 0);
}

}  // namespace
}  // namespace tenure::process
