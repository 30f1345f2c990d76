#include "cli/command.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "cli/exit_status.h"
#include "cli/watchdog_process.h"

namespace tenure::cli {
namespace {

// Keeps `control` and `go`, as 3 and 4, and nothing else that was open.
void LetGoOfDescriptors(Descriptor& control, Descriptor& go) {
  // Out of the way of the numbers that they are to have.
  Descriptor high_control(fcntl(control.get(), F_DUPFD_CLOEXEC, 10));
  Descriptor high_go(fcntl(go.get(), F_DUPFD_CLOEXEC, 10));
  // No place for them: then no COMMAND either, which waits for `go`.
  if (!high_control.open() || !high_go.open()) _exit(1);
  control.Close();
  go.Close();
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
  dup3(high_control.get(), 3, O_CLOEXEC);
  dup3(high_go.get(), 4, O_CLOEXEC);
  control = Descriptor(3);
  go = Descriptor(4);
  close_range(5, ~0U, 0);
  // They were among those; closing them again must not hit others.
  static_cast<void>(high_control.Release());
  static_cast<void>(high_go.Release());
}

}  // namespace

void BecomeWatchdog(Descriptor control, const std::vector<std::string>& command,
                    const sigset_t& callers, volatile int* exec_failed) {
  setpgid(0, 0);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  // An ignored SIGCHLD, which a caller may have left behind, would reap COMMAND unseen.
  signal(SIGCHLD, SIG_DFL);
  int go[2];
  if (pipe2(go, O_CLOEXEC) != 0) _exit(1);
  Descriptor go_read(go[0]);
  Descriptor go_write(go[1]);
  const pid_t leader = fork();
  if (leader < 0) _exit(1);
  if (leader == 0) {
    control.Close();
    go_write.Close();
    BecomeCommand(std::move(go_read), command, callers, exec_failed);
  }
  go_read.Close();
  setpgid(leader, leader);  // the child does it too: whoever comes first
  LetGoOfDescriptors(control, go_write);
  if (chdir("/") != 0) _exit(1);
  prctl(PR_SET_NAME, "tenure-watchdog");
  send(control.get(), &leader, sizeof(leader), MSG_NOSIGNAL);
  WatchdogProcess(std::move(control), std::move(go_write), leader).Run();
  _exit(0);
}

void BecomeCommand(Descriptor go, const std::vector<std::string>& command, const sigset_t& callers,
                   volatile int* exec_failed) {
  setpgid(0, 0);
  // Ended with the watchdog, should that ever be killed. A watchdog that is gone already has closed
  // the pipe.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigprocmask(SIG_SETMASK, &callers, nullptr);
  std::string variables;
  char buffer[kMessageBytesMax];
  while (true) {
    const ssize_t size = read(go.get(), buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    variables.append(buffer, static_cast<size_t>(size));
  }
  if (variables.empty()) _exit(0);  // it is not to run
  for (size_t at = 0; at < variables.size(); at += std::strlen(&variables[at]) + 1) {
    // The environment keeps the pointer; `variables` lives until exec.
    putenv(&variables[at]);
  }
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  execvp(words[0], words.data());
  const int why = errno;
  *exec_failed = 1;
  std::fprintf(stderr, "tenure: cannot run %s: %s\n", words[0], std::strerror(why));
  _exit(why == ENOENT || why == ENOTDIR ? kExitNotFound : kExitCannotRun);
}

}  // namespace tenure::cli
