// Ignored signals, silent clusters, closed pipes: what a shell may bring about.
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/process/cluster.h"
#include "tests/process/watch.h"

namespace tenure::process {
namespace {

class EdgesTest : public ProcessTest {};

// As flock's users expect it: what nohup, or a shell's `trap '' INT`, told a program to ignore.
TEST_F(EdgesTest, AWaiterHeedsNoSignalThatItWasToldToIgnore) {
  Cluster cluster({.members = 1});
  Process holder = Tenure({"lock", "a", "--", "cat"}, cluster.endpoints(),
                          {.input = "ready\n", .input_stays_open = true});
  ASSERT_TRUE(holder.AwaitOut("ready"));
  Process waiter({"/bin/sh", "-c",
                  "trap '' HUP INT; exec " TENURE_BIN_DIR "/tenure lock a --wait 30s --endpoints " +
                      cluster.endpoints() + " -- echo got"});
  ASSERT_TRUE(Eventually([&] { return cluster.Lock("a")["waiting"] == 1; }));
  waiter.Signal(SIGHUP);
  holder.CloseInput();
  const Result result = waiter.Wait();
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out, "got\n");
}

// The cluster falls silent while somebody waits.
TEST_F(EdgesTest, AWaiterOfASilentClusterEndsAsNotAcquired) {
  Cluster cluster({.members = 1});
  Process holder = Tenure({"lock", "a", "--", "cat"}, cluster.endpoints(),
                          {.input = "ready\n", .input_stays_open = true});
  ASSERT_TRUE(holder.AwaitOut("ready"));
  Process waiter = Tenure({"lock", "a", "--wait", "2s", "--", "true"}, cluster.endpoints());
  ASSERT_TRUE(Eventually([&] { return cluster.Lock("a")["waiting"] == 1; }));
  cluster.member(0).Pause();
  EXPECT_EQ(waiter.Wait().status, 75);
  cluster.member(0).Resume();
}

// Nobody reads what COMMAND wrote; its status is what it was.
TEST_F(EdgesTest, OnceKeepsTheStatusIfNobodyReadsTheOutput) {
  Cluster cluster({.members = 1});
  // COMMAND writes once the reader has closed its end, which it tells by a pipe with a name.
  const std::string closed = Path("closed");
  Process once({"/bin/bash", "-c",
                "mkfifo " + closed + "; " TENURE_BIN_DIR "/tenure once k --endpoints " +
                    cluster.endpoints() + " -- sh -c 'cat " + closed +
                    "; echo hi; exit 3' | { exec <&-; : > " + closed +
                    "; }; exit ${PIPESTATUS[0]}"});
  EXPECT_EQ(once.Wait().status, 3);
}

// Whoever has no process 1 that reaps, as in a container, would be left with a zombie for each run.
TEST_F(EdgesTest, ARunLeavesNothingToReap) {
  Cluster cluster({.members = 1});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(RunTenure({"lock", "a", "--", "sh", "-c", "exit 3"}, cluster.endpoints()).status, 3);
  }
  cluster.member(0).Kill();
  // Orphans come to this process. Nothing but what ends in time may be left to it.
  std::vector<std::string> orphans;
  ASSERT_TRUE(Eventually([&] {
    int status = 0;
    pid_t child = 0;
    while ((child = waitpid(-1, &status, WNOHANG)) > 0) {
      if (WIFEXITED(status) && WEXITSTATUS(status) == 3) orphans.push_back(std::to_string(child));
    }
    return child < 0 && errno == ECHILD;
  }));
  EXPECT_THAT(orphans, ::testing::IsEmpty()) << "COMMAND itself, that nobody had waited for";
}

}  // namespace
}  // namespace tenure::process
