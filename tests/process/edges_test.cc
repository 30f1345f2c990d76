// Ignored signals, silent clusters, closed pipes: what a shell may bring about.
#include <signal.h>

#include <string>

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

}  // namespace
}  // namespace tenure::process
