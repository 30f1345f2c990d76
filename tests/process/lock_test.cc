// `tenure lock` as flock's users expect it, on a cluster.
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tenure/coordinator.h"
#include "tenure/mutex.h"
#include "tenure/tenure.h"
#include "tests/process/cluster.h"
#include "tests/process/matchers.h"
#include "tests/process/watch.h"

namespace tenure::process {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class LockTest : public ProcessTest {
 protected:
  // Runs a shell's script under the lock "a".
  Process Start(const std::string& script, std::vector<std::string> flags = {},
                ProcessOptions options = {}) {
    std::vector<std::string> arguments = {"lock", "a"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    arguments.insert(arguments.end(), {"--", "sh", "-c", script});
    return Tenure(std::move(arguments), cluster_.endpoints(), std::move(options));
  }
  Result Run(const std::string& script, std::vector<std::string> flags = {}) {
    return Start(script, std::move(flags)).Wait();
  }
  // Holds the lock until its input is closed. What it echoes shows that it runs; a shell may miss a
  // signal between two commands.
  Process Hold() {
    Process holder = Tenure({"lock", "a", "--", "cat"}, cluster_.endpoints(),
                            {.input = "ready\n", .input_stays_open = true});
    EXPECT_TRUE(holder.AwaitOut("ready")) << holder.err();
    return holder;
  }
  void ExpectNothingLeft() {
    const nlohmann::json lock = cluster_.Lock("a");
    EXPECT_EQ(lock["held"], false) << lock;
    EXPECT_EQ(lock["waiting"], 0) << lock;
    EXPECT_EQ(cluster_.Status()["sessions"], 0);
  }

  Cluster cluster_{{.members = 1}};
};

TEST_F(LockTest, ADelayAfterALossIsShownAndAnAdministratorEndsIt) {
  absl::StatusOr<Coordinator> client = Open("tenure://" + cluster_.endpoints());
  ASSERT_TRUE(client.ok()) << client.status();
  const auto held = client->mutex("a").Lock({.lock_delay = absl::Hours(1)});
  ASSERT_TRUE(held.ok()) << held.status();
  const auto tenure = [this](std::vector<std::string> arguments) {
    return RunTenure(std::move(arguments), cluster_.endpoints());
  };
  EXPECT_EQ(tenure({"break", "lock", "a", "--delay"}).status, 75);
  EXPECT_THAT(tenure({"break", "lock", "a"}).out, HasSubstr("held back for another 1h"));
  // Again, as whoever got no answer does: it ends nothing that the first one began.
  const Result again = tenure({"break", "lock", "a"});
  EXPECT_EQ(again.status, 75);
  EXPECT_THAT(again.err, AllOf(HasSubstr("nobody holds a"), HasSubstr("--delay")));
  EXPECT_THAT(tenure({"inspect", "locks"}).out, HasSubstr("held back"));
  EXPECT_EQ(tenure({"lock", "a", "--try", "--", "true"}).status, 75);
  EXPECT_THAT(tenure({"inspect", "lock", "a"}).out,
              AllOf(HasSubstr("HELD BACK"), HasSubstr("`tenure break lock a --delay`")));
  EXPECT_GT(cluster_.Lock("a")["held_back_seconds"], 3000.0);
  const Result ended = tenure({"break", "lock", "a", "--delay", "--reason=it is gone"});
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_EQ(ended.out, "a is held back no longer\n");
  EXPECT_THAT(tenure({"inspect", "lock", "a"}).out,
              AllOf(HasSubstr("DELAY ENDED"), HasSubstr("it is gone")));
  EXPECT_EQ(tenure({"break", "lock", "a", "--delay"}).status, 75);
  EXPECT_EQ(tenure({"lock", "a", "--try", "--", "true"}).status, 0);
}

TEST_F(LockTest, ALeaseLongerThanGrantedIsSaid) {
  const Result longer = Run("exit 3", {"--ttl=10m"});
  EXPECT_EQ(longer.status, 3);
  EXPECT_THAT(longer.err, AllOf(IsOneLine(), HasSubstr("leases of 1m at most")));
  EXPECT_EQ(Run("exit 3", {"--ttl=1m"}).err, "");
}

TEST_F(LockTest, PassesEverythingThrough) {
  EXPECT_EQ(Run("exit 7").status, 7);
  EXPECT_EQ(Run("kill -TERM $$").status, 128 + SIGTERM);
  EXPECT_EQ(Run("kill -KILL $$").status, 128 + SIGKILL);
  EXPECT_EQ(RunTenure({"lock", "a", "--", "/nowhere/none"}, cluster_.endpoints()).status, 127);
  EXPECT_EQ(RunTenure({"lock", "a", "--", "/etc/passwd"}, cluster_.endpoints()).status, 126);
  // COMMAND's words are its own, and so are its input and its two outputs.
  const Result words = RunTenure(
      {"lock", "[a,b]", "--", "printf", "%s|", "[a,b]", "", "c d", "--wait=1s", "--", "{x}"},
      cluster_.endpoints());
  EXPECT_EQ(words.out, "[a,b]||c d|--wait=1s|--|{x}|");
  const Result copied = Start("cat; echo bad >&2", {}, {.input = "hello\n"}).Wait();
  EXPECT_EQ(copied.out, "hello\n");
  EXPECT_EQ(copied.err, "bad\n");
  ExpectNothingLeft();
}

TEST_F(LockTest, CommandLearnsNameAndToken) {
  const std::vector<std::string> command = {
      "lock", "jobs/night ly", "--", "sh", "-c", "echo \"$TENURE_NAME|$TENURE_FENCING_TOKEN\""};
  const Result first = RunTenure(command, cluster_.endpoints());
  const Result second = RunTenure(command, cluster_.endpoints());
  ASSERT_THAT(first.out, StartsWith("jobs/night ly|"));
  ASSERT_THAT(second.out, StartsWith("jobs/night ly|"));
  EXPECT_GT(std::atoll(first.out.substr(14).c_str()), 0);
  EXPECT_GT(std::atoll(second.out.substr(14).c_str()), std::atoll(first.out.substr(14).c_str()));
}

TEST_F(LockTest, WhatIsHeldIsNotAcquired) {
  Process holder = Hold();
  for (const char* flag : {"--try", "--wait=1s"}) {
    const Result refused = Run("echo ran", {flag});
    EXPECT_EQ(refused.status, 75);
    EXPECT_EQ(refused.out, "");
    EXPECT_THAT(refused.err, AllOf(IsOneLine(), HasSubstr("held by")));
  }
  Process waiter = Start("echo ran");
  ASSERT_TRUE(Eventually([&] { return cluster_.Lock("a")["waiting"] == 1; }));
  EXPECT_EQ(waiter.out(), "");
  holder.CloseInput();
  EXPECT_EQ(holder.Wait().status, 0);
  EXPECT_EQ(waiter.Wait().out, "ran\n");
  ExpectNothingLeft();
}

TEST_F(LockTest, ASilentClusterIsGivenUp) {
  // Nobody there; somebody who accepts and says nothing; a member that stands still.
  const Listener silent;
  cluster_.member(0).Pause();

  std::vector<Process> started;
  for (const std::string& endpoint :
       {absl::StrCat("127.0.0.1:", FreePorts(1)[0]), silent.address(), cluster_.endpoints()}) {
    for (const char* flag : {"--wait=1s", "--try"}) {
      started.push_back(Tenure({"lock", "a", flag, "--", "echo", "ran"}, endpoint));
    }
  }
  for (Process& process : started) {
    const Result result = process.Wait(absl::Seconds(30));
    EXPECT_EQ(result.status, 69);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, IsOneLine());
  }
}

TEST_F(LockTest, SignalsArePassedOnAndNothingStaysLocked) {
  Process heeds =
      Start("trap 'exit 9' TERM; echo ready; while :; do read up _ </proc/uptime; done");
  ASSERT_TRUE(heeds.AwaitOut("ready"));
  heeds.Signal(SIGTERM);
  EXPECT_EQ(heeds.Wait().status, 9);
  ExpectNothingLeft();

  Process interrupted = Hold();
  interrupted.Signal(SIGINT);
  EXPECT_EQ(interrupted.Wait().status, 128 + SIGINT);
  ExpectNothingLeft();
}

TEST_F(LockTest, AWaitThatIsInterruptedLeavesTheQueue) {
  Process holder = Hold();
  for (const int signal : {SIGINT, SIGTERM}) {
    Process waiter = Start("echo ran");
    ASSERT_TRUE(Eventually([&] { return cluster_.Lock("a")["waiting"] == 1; }));
    waiter.Signal(signal);
    const Result result = waiter.Wait();
    EXPECT_EQ(result.status, 128 + signal);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(cluster_.Lock("a")["waiting"], 0);
    EXPECT_EQ(cluster_.Status()["sessions"], 1);
  }
  holder.CloseInput();
  EXPECT_EQ(holder.Wait().status, 0);
  ExpectNothingLeft();
}

// The cluster stands still for longer than the lease.
TEST_F(LockTest, ALostLeaseEndsTheCommandWithItsGroup) {
  Process holder = Start(absl::StrCat("trap '' TERM; sh -c 'echo $$ >", Path("inner"),
                                      "; trap \"\" TERM; while :; do read up _ </proc/uptime; "
                                      "done' & echo $TENURE_FENCING_TOKEN; wait"),
                         {"--ttl=1s"});
  ASSERT_TRUE(holder.AwaitOut("\n"));
  const int inner = AwaitNumber("inner");
  cluster_.member(0).Pause();
  const Result lost = holder.Wait();
  EXPECT_EQ(lost.status, 76);
  EXPECT_FALSE(Alive(inner));
  EXPECT_THAT(lost.err, HasSubstr("lost a"));
  // Cluster time has not run meanwhile; the lock is free a TTL later.
  cluster_.member(0).Resume();
  const Result next = Run("echo $TENURE_FENCING_TOKEN");
  EXPECT_EQ(next.status, 0);
  EXPECT_GT(std::atoll(next.out.c_str()), std::atoll(lost.out.c_str()));
}

TEST_F(LockTest, SaysWhenALeaseIsShorterThanAsked) {
  const Result shorter = RunTenure({"lock", "a", "--ttl=90s", "--", "true"}, cluster_.endpoints());
  EXPECT_EQ(shorter.status, 0);
  EXPECT_THAT(shorter.err, AllOf(IsOneLine(), HasSubstr("leases of 1m at most")));
  const Result granted = RunTenure({"lock", "a", "--ttl=60s", "--", "true"}, cluster_.endpoints());
  EXPECT_EQ(granted.status, 0);
  EXPECT_EQ(granted.err, "");
}

// T16: `tenure` is killed, or stopped for longer than its lease. COMMAND is over before its
// successor begins; both read the same clock.
TEST_F(LockTest, T16_NoCommandRunsOnBesideItsSuccessor) {
  for (const int signal : {SIGKILL, SIGSTOP}) {
    const std::string beats = Path(absl::StrCat("beats.", signal));
    Process holder = Start(
        absl::StrCat("trap '' TERM; while read up _ </proc/uptime; do echo $up; done >", beats),
        {"--ttl=1s"});
    ASSERT_TRUE(Eventually([&] { return !Text(absl::StrCat("beats.", signal)).empty(); }));
    holder.Signal(signal);
    const Result successor = Run("read up _ </proc/uptime; echo $up", {"--ttl=1s"});
    ASSERT_EQ(successor.status, 0) << successor.err;
    holder.Resume();
    EXPECT_EQ(holder.Wait().status, signal == SIGKILL ? 128 + SIGKILL : 76);

    std::istringstream all(Text(absl::StrCat("beats.", signal)));
    double last = 0;
    for (double beat; all >> beat;) last = beat;
    EXPECT_GT(last, 0);
    EXPECT_LE(last, std::strtod(successor.out.c_str(), nullptr));
  }
}

// What a caller has closed gets no other meaning: messages once went into the watchdog's socket,
// which took them for its orders.
TEST_F(LockTest, ClosedStandardStreamsRunNothingThatIsNotHeld) {
  Process holder = Hold();
  for (const char* closed : {"2>&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"}) {
    for (const char* what :
         {"lock a --wait=300ms", "lock a --wait=300ms --ttl=5m", "lock a --try --ttl=5m"}) {
      Process process({"/bin/sh", "-c",
                       absl::StrCat("exec " TENURE_BIN_DIR "/tenure ", what, " -- touch ",
                                    Path("ran"), " ", closed)},
                      {.environment = {absl::StrCat("TENURE_ENDPOINTS=", cluster_.endpoints())}});
      EXPECT_EQ(process.Wait().status, 75) << what << " " << closed;
      EXPECT_FALSE(std::filesystem::exists(Path("ran"))) << what << " " << closed;
    }
  }
  Process waiting({"/bin/sh", "-c", "exec " TENURE_BIN_DIR "/tenure lock a -- true 2>&-"},
                  {.environment = {absl::StrCat("TENURE_ENDPOINTS=", cluster_.endpoints())}});
  ASSERT_TRUE(Eventually([&] { return cluster_.Lock("a")["waiting"] == 1; }));
  EXPECT_EQ(std::filesystem::read_symlink(absl::StrCat("/proc/", waiting.pid(), "/fd/2")),
            "/dev/null")
      << "something else is written to for an error";
  waiting.Signal(SIGTERM);
  waiting.Wait();
  holder.CloseInput();
  EXPECT_EQ(holder.Wait().status, 0);
  // And what is held runs, with its streams as the caller gave them.
  Process process(
      {"/bin/sh", "-c",
       absl::StrCat("exec " TENURE_BIN_DIR "/tenure lock a -- sh -c '[ ! -e /proc/self/fd/2 ] && "
                    "touch ",
                    Path("ran"), "' 2>&-")},
      {.environment = {absl::StrCat("TENURE_ENDPOINTS=", cluster_.endpoints())}});
  EXPECT_EQ(process.Wait().status, 0);
  EXPECT_TRUE(std::filesystem::exists(Path("ran")));
}

}  // namespace
}  // namespace tenure::process
