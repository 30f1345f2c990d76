// COMMAND's life under a lease, without a cluster: the lease is whatever the test says it is.
//
// Each test forks a process that stands for `tenure`, so that it can be killed and stopped.
#include "cli/runner.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/exit_status.h"
#include "cli/watchdog.h"
#include "cli/watchdog_process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tenure/loop.h"
#include "tests/process/watch.h"

namespace tenure::cli {
namespace {

using process::Alive;
using process::Eventually;
using ::testing::HasSubstr;

constexpr absl::Duration kTtl = absl::Seconds(2);

class RunnerTest : public ::testing::Test {
 protected:
  RunnerTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tenure-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    // What escapes a test falls to this process and is found by it.
    prctl(PR_SET_CHILD_SUBREAPER, 1);
  }
  ~RunnerTest() override {
    EXPECT_TRUE(KillDescendants(0, absl::Seconds(10)));
    std::filesystem::remove_all(directory_);
  }

  std::string Path(const std::string& name) { return directory_ + "/" + name; }
  std::string Text(const std::string& name) {
    std::ostringstream text;
    text << std::ifstream(Path(name)).rdbuf();
    return text.str();
  }

  // Starts a process that runs `script` under a lease of `lease`, renewed all the time if
  // `renewed`.
  pid_t Start(const std::string& script, absl::Duration lease = absl::Hours(1),
              bool renewed = true) {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::unique_ptr<Watchdog> watchdog =
        *Watchdog::Fork({"sh", "-c", "cd " + directory_ + "; " + script});
    std::ofstream(Path("watchdog")) << watchdog->process() << std::endl;
    Signals signals = CommandSignals();
    const Instant deadline = ReadMonotonicClocks() + lease;
    const RunResult result =
        RunCommand(*watchdog, signals,
                   {.environment = {"TENURE_FENCING_TOKEN=42", "TENURE_NAME=a b"},
                    .ttl = kTtl,
                    .grace = absl::Seconds(5),
                    .remaining = [=] {
                      if (renewed) return lease;
                      const Instant now = ReadMonotonicClocks();
                      return absl::Nanoseconds(-now.HolderElapsedNs(deadline));
                    }});
    watchdog.reset();
    _exit(result.exit_status);
  }

  int Wait(pid_t pid) {
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  pid_t Pid(const std::string& name) {
    EXPECT_TRUE(Eventually([&] { return Text(name).ends_with('\n'); })) << name;
    return std::stoi(Text(name));
  }
  std::string directory_;
};

TEST_F(RunnerTest, PassesTheExitStatusThrough) {
  EXPECT_EQ(Wait(Start("exit 0")), 0);
  EXPECT_EQ(Wait(Start("exit 7")), 7);
  EXPECT_EQ(Wait(Start("kill -KILL $$")), 128 + SIGKILL);
}

TEST_F(RunnerTest, GivesTheVariables) {
  EXPECT_EQ(Wait(Start("printf '%s|%s' \"$TENURE_FENCING_TOKEN\" \"$TENURE_NAME\" >out")), 0);
  EXPECT_EQ(Text("out"), "42|a b");
}

TEST_F(RunnerTest, SaysWhatCannotBeFoundOrRun) {
  EXPECT_EQ(Wait(Start("exec ./none 2>/dev/null")), 127);
  for (const auto& [program, expected] : std::vector<std::pair<std::string, int>>{
           {"/nowhere/none", 127}, {"/etc/passwd", 126}, {"", 127}}) {
    const pid_t pid = fork();
    if (pid == 0) {
      std::unique_ptr<Watchdog> watchdog = *Watchdog::Fork({program});
      Signals signals = CommandSignals();
      _exit(RunCommand(*watchdog, signals,
                       {.environment = {"A=B"}, .remaining = [] { return absl::Hours(1); }})
                .exit_status);
    }
    EXPECT_EQ(Wait(pid), expected) << program;
  }
}

TEST_F(RunnerTest, PassesSignalsOnToTheWholeGroup) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}) {
    std::filesystem::remove(Path("pid"));
    const pid_t pid = Start("sh -c 'echo $$ >pid; exec tail -f /dev/null'; exit 3");
    const pid_t inner = Pid("pid");
    kill(pid, signal);
    EXPECT_EQ(Wait(pid), 128 + signal);
    EXPECT_TRUE(Eventually([&] { return !Alive(inner); })) << signal;
  }
}

TEST_F(RunnerTest, CommandMayHeedASignalItself) {
  const pid_t pid = Start("trap 'exit 9' TERM; echo $$ >pid; while :; do :; done");
  Pid("pid");
  kill(pid, SIGTERM);
  EXPECT_EQ(Wait(pid), 9);
}

TEST_F(RunnerTest, ALostLeaseEndsTheGroupBeforeTheDeadline) {
  const Instant before = ReadMonotonicClocks();
  // Shrugs TERM off, as does its child.
  const pid_t pid = Start(
      "trap 'echo term >>out' TERM; (trap '' TERM; echo $$ >pid; while :; do :; done) & "
      "while :; do :; done",
      absl::Seconds(3), /*renewed=*/false);
  const pid_t inner = Pid("pid");
  EXPECT_EQ(Wait(pid), kExitLost);
  EXPECT_FALSE(Alive(inner));
  EXPECT_LT(ReadMonotonicClocks().HolderElapsedNs(before), 4e9);
  EXPECT_EQ(Text("out"), "term\n");
}

TEST_F(RunnerTest, ALostLeaseEndsWhatLeftTheGroup) {
  const pid_t pid = Start("setsid sh -c 'echo $$ >pid; exec tail -f /dev/null' & wait",
                          absl::Seconds(3), /*renewed=*/false);
  const pid_t inner = Pid("pid");
  EXPECT_EQ(Wait(pid), kExitLost);
  EXPECT_FALSE(Alive(inner));
}

TEST_F(RunnerTest, WhatEndsOrderlyOnTermIsStillLost) {
  EXPECT_EQ(Wait(Start("trap 'exit 0' TERM; while :; do :; done", absl::Seconds(1), false)),
            kExitLost);
}

// T16: `tenure` is killed, and COMMAND runs on beside its successor.
TEST_F(RunnerTest, T16_KilledTenureTakesCommandWithIt) {
  const pid_t pid = Start("trap '' TERM; sh -c 'echo $$ >pid; exec tail -f /dev/null'");
  const pid_t inner = Pid("pid");
  const pid_t watchdog = Pid("watchdog");
  const Instant before = ReadMonotonicClocks();
  kill(pid, SIGKILL);
  EXPECT_EQ(Wait(pid), 1000 + SIGKILL);
  EXPECT_TRUE(Eventually([&] { return !Alive(inner) && !Alive(watchdog); }));
  // A quarter of the TTL, not the hour that the lease lasts.
  EXPECT_LT(ReadMonotonicClocks().HolderElapsedNs(before), 5e9);
}

// T16: `tenure` is stopped; nobody feeds deadlines.
TEST_F(RunnerTest, T16_StoppedTenureLosesCommandInTime) {
  const pid_t pid =
      Start("trap '' TERM; sh -c 'echo $$ >pid; exec tail -f /dev/null'", absl::Seconds(3));
  const pid_t inner = Pid("pid");
  kill(pid, SIGSTOP);
  EXPECT_TRUE(Eventually([&] { return !Alive(inner); }, absl::Seconds(5)));
  kill(pid, SIGCONT);
  EXPECT_EQ(Wait(pid), kExitLost);
}

TEST_F(RunnerTest, AKilledWatchdogTakesCommandWithIt) {
  const pid_t pid = Start("setsid sh -c 'echo $$ >pid; exec tail -f /dev/null'; wait");
  const pid_t inner = Pid("pid");
  kill(Pid("watchdog"), SIGKILL);
  EXPECT_EQ(Wait(pid), kExitLost);
  EXPECT_FALSE(Alive(inner));
}

TEST_F(RunnerTest, AStoppedWatchdogIsStoodInFor) {
  const pid_t pid =
      Start("trap '' TERM; echo $$ >pid; while :; do :; done", absl::Seconds(3), false);
  const pid_t inner = Pid("pid");
  kill(Pid("watchdog"), SIGSTOP);
  EXPECT_EQ(Wait(pid), kExitLost);
  EXPECT_FALSE(Alive(inner));
}

TEST_F(RunnerTest, AStoppedCommandIsEndedToo) {
  const pid_t pid = Start("echo $$ >pid; kill -STOP $$; exit 0", absl::Seconds(2), false);
  Pid("pid");
  EXPECT_EQ(Wait(pid), kExitLost);
}

// The reader of a pipe sees its end when COMMAND ends, though the watchdog may live a little
// longer, and COMMAND has what the caller had open, and nothing of ours.
TEST_F(RunnerTest, TheWatchdogKeepsNoDescriptorsAndCommandGetsOnlyTheCallers) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const int callers = open("/dev/null", O_RDONLY);
  const pid_t pid =
      Start("ls /proc/self/fd >fds; exec 1>&- 2>&-; exec tail -f /dev/null >/dev/null " +
            absl::StrCat(pipe_ends[1], ">&-"));
  const pid_t watchdog = Pid("watchdog");
  EXPECT_TRUE(Eventually([&] { return Text("fds").size() > 5; }));
  std::string of_watchdog;
  for (const auto& entry :
       std::filesystem::directory_iterator(absl::StrCat("/proc/", watchdog, "/fd"))) {
    std::error_code ignored;
    absl::StrAppend(&of_watchdog, " ",
                    std::filesystem::read_symlink(entry.path(), ignored).string());
  }
  EXPECT_THAT(
      of_watchdog, ::testing::Not(HasSubstr("pipe:[" + [&] {
        const std::string link =
            std::filesystem::read_symlink(absl::StrCat("/proc/self/fd/", pipe_ends[1])).string();
        return link.substr(6, link.size() - 7);
      }())));
  EXPECT_THAT(Text("fds"), HasSubstr(absl::StrCat(callers, "\n")));
  close(pipe_ends[1]);
  kill(pid, SIGKILL);
  Wait(pid);
  pollfd end = {pipe_ends[0], POLLIN, 0};
  EXPECT_EQ(poll(&end, 1, 20000), 1);
  char byte;
  EXPECT_EQ(read(pipe_ends[0], &byte, 1), 0);
  close(pipe_ends[0]);
  close(callers);
}

TEST_F(RunnerTest, OnlyTheFirstRealOrderStartsCommand) {
  std::unique_ptr<Watchdog> watchdog =
      *Watchdog::Fork({"sh", "-c", "cd " + directory_ + "; echo $WHO >who"});
  // What somebody else may write to its socket, in the very form of an order.
  const Instant deadline = ReadMonotonicClocks() + absl::Hours(1);
  const FeedMessage order = {.magic = 0,
                             .start = true,
                             .boottime_ns = deadline.boottime_ns(),
                             .monotonic_raw_ns = deadline.monotonic_raw_ns(),
                             .window_ns = 1'000'000'000};
  std::string bytes(reinterpret_cast<const char*>(&order), sizeof(order));
  bytes.append("WHO=stranger", sizeof("WHO=stranger"));
  ASSERT_EQ(send(watchdog->descriptor(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(bytes.size()));
  for (const char* who : {"WHO=first", "WHO=second"}) {
    ASSERT_TRUE(watchdog->Start({who}, absl::Seconds(1), absl::Milliseconds(100), deadline).ok());
  }
  EXPECT_TRUE(Eventually([&] { return Text("who").ends_with('\n'); }));
  EXPECT_EQ(Text("who"), "first\n");
}

TEST_F(RunnerTest, ABackgroundProcessMayOutliveItsCommand) {
  EXPECT_EQ(Wait(Start("sh -c 'echo $$ >pid; exec tail -f /dev/null' & exit 5")), 5);
  EXPECT_TRUE(Alive(Pid("pid")));
}

}  // namespace
}  // namespace tenure::cli
