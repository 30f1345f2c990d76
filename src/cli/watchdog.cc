#include "cli/watchdog.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/command.h"
#include "cli/watchdog_process.h"
#include "tenure/loop.h"

namespace tenure::cli {
namespace {

absl::Status Errno(absl::string_view what) {
  return absl::InternalError(absl::StrCat("cannot ", what, ": ", std::strerror(errno)));
}

// The children of this process, dead ones that were not reaped among them.
std::vector<pid_t> Children() {
  std::vector<pid_t> children;
  // COMMAND's processes fall to the main thread, whoever forked them.
  std::ifstream file(absl::StrCat("/proc/self/task/", getpid(), "/children"));
  for (pid_t child; file >> child;) children.push_back(child);
  return children;
}

}  // namespace

bool KillDescendants(pid_t keep, absl::Duration limit) {
  const Instant until = ReadMonotonicClocks() + limit;
  while (true) {
    // A child's number is its own until it is reaped here. What a child leaves behind becomes a
    // child.
    bool any = false;
    for (const pid_t child : Children()) {
      if (child == keep) continue;
      any = true;
      kill(child, SIGKILL);
      waitpid(child, nullptr, WNOHANG);
    }
    if (!any) return true;
    if (ReadMonotonicClocks().Reached(until)) return false;
    poll(nullptr, 0, 1);
  }
}

bool WatchdogProcess::AnyOtherChild() {
  bool any = false;
  for (const pid_t child : Children()) {
    if (child == leader_) continue;
    if (waitpid(child, nullptr, WNOHANG) != child) any = true;
  }
  return any;
}

void WatchdogProcess::Run() {
  sigset_t child_signal;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  signals_ = Descriptor(signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK));
  // Runs on through suspend, so that a deadline that passed meanwhile is acted on at once.
  timer_ = Descriptor(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  while (!finished_) {
    SetTimer();
    pollfd ready[] = {
        {control_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}, {timer_.get(), POLLIN, 0}};
    if (poll(ready, 3, -1) < 0 && errno != EINTR) break;
    if (control_.open()) ReadControl();
    signalfd_siginfo drained;
    while (read(signals_.get(), &drained, sizeof(drained)) > 0) {
    }
    std::uint64_t times;
    while (read(timer_.get(), &times, sizeof(times)) > 0) {
    }
    if (!finished_) Watch();
  }
  // Whatever made the loop end: no COMMAND without a watchdog.
  if (phase_ != Phase::kEnded) {
    kill(-leader_, SIGKILL);
    KillDescendants(0, absl::Seconds(1));
  }
  // Nobody else would, where process 1 is a service that knows nothing of orphans.
  while (waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

void WatchdogProcess::SetTimer() {
  const Instant next = phase_ == Phase::kRunning  ? term_at_
                       : phase_ == Phase::kEnding ? kill_at_
                                                  : Instant::InfiniteFuture();
  itimerspec when = {};
  if (!(next == Instant::InfiniteFuture())) {
    // The timer knows one of the two clocks. The other may run faster by a few per cent: wake
    // early, and look again.
    const Instant now = ReadMonotonicClocks();
    const std::int64_t left = std::min(next.boottime_ns() - now.boottime_ns(),
                                       next.monotonic_raw_ns() - now.monotonic_raw_ns());
    const std::int64_t wait = std::max<std::int64_t>(left > 10'000'000 ? left / 8 * 7 : left, 1);
    when.it_value.tv_sec = wait / 1'000'000'000;
    when.it_value.tv_nsec = wait % 1'000'000'000;
  }
  timerfd_settime(timer_.get(), 0, &when, nullptr);
}

void WatchdogProcess::ReadControl() {
  char buffer[kMessageBytesMax];
  while (control_.open()) {
    const ssize_t size = recv(control_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) {
      control_.Close();
      OnHangUp();
      return;
    }
    FeedMessage message;
    if (static_cast<size_t>(size) < sizeof(message)) continue;
    std::memcpy(&message, buffer, sizeof(message));
    if (message.magic != FeedMessage::kMagic) continue;
    deadline_ = Instant::FromReadings(message.boottime_ns, message.monotonic_raw_ns);
    if (message.start && phase_ == Phase::kWaiting) {
      window_ns_ = message.window_ns;
      margin_ns_ = message.margin_ns;
      phase_ = Phase::kRunning;
      const char* variables = buffer + sizeof(message);
      const auto length = static_cast<ssize_t>(size - sizeof(message));
      if (write(go_.get(), variables, length) != length) kill(leader_, SIGKILL);
      go_.Close();
    }
    if (phase_ != Phase::kRunning && phase_ != Phase::kEnding) continue;
    const Instant term_at = Before(deadline_, window_ns_);
    const Instant kill_at = Before(deadline_, margin_ns_);
    term_at_ = term_at;
    // Once TERM was sent there is no way back, only less time.
    kill_at_ = phase_ == Phase::kEnding ? Instant::Earlier(kill_at_, kill_at) : kill_at;
  }
}

Instant WatchdogProcess::Before(Instant deadline, std::int64_t ns) {
  return Instant::FromReadings(deadline.boottime_ns() - ns, deadline.monotonic_raw_ns() - ns);
}

void WatchdogProcess::OnHangUp() {
  switch (phase_) {
    case Phase::kWaiting:
      kill(leader_, SIGKILL);
      waitpid(leader_, nullptr, 0);
      phase_ = Phase::kEnded;
      finished_ = true;
      return;
    case Phase::kRunning:
      // The lease is not renewed any more; there is no reason to wait.
      kill_at_ = Instant::Earlier(kill_at_, ReadMonotonicClocks().PlusNs(window_ns_));
      Terminate();
      return;
    case Phase::kEnding:
      return;
    case Phase::kEnded:
      finished_ = true;
      return;
  }
}

void WatchdogProcess::Terminate() {
  phase_ = Phase::kEnding;
  kill(-leader_, SIGTERM);
  kill(-leader_, SIGCONT);  // a stopped process takes no TERM
  Tell({Report::Kind::kEnding});
}

void WatchdogProcess::Watch() {
  siginfo_t info = {};
  while (waitid(P_PID, leader_, &info, WSTOPPED | WNOHANG) == 0 && info.si_pid == leader_) {
    Tell({Report::Kind::kStopped, info.si_status});
    info = {};
  }
  const Instant now = ReadMonotonicClocks();
  // Left unreaped: its number is the group's.
  const bool leader_over =
      waitid(P_PID, leader_, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == leader_;
  const int status = info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0) : info.si_status;
  const bool others = AnyOtherChild();
  switch (phase_) {
    case Phase::kWaiting:
    case Phase::kRunning:
      if (leader_over) {
        phase_ = Phase::kEnded;
        Tell({Report::Kind::kEnded, status, false});
      } else if (phase_ == Phase::kRunning && now.Reached(term_at_)) {
        Terminate();
      } else {
        return;
      }
      break;
    case Phase::kEnding:
      break;
    case Phase::kEnded:
      return;
  }
  if (phase_ != Phase::kEnding) return;
  if (!(leader_over && !others) && now.Reached(kill_at_)) {
    kill(-leader_, SIGKILL);
    KillDescendants(leader_, absl::Seconds(1));
    siginfo_t dead = {};
    waitid(P_PID, leader_, &dead, WEXITED | WNOWAIT);
    phase_ = Phase::kEnded;
    Tell({Report::Kind::kEnded,
          dead.si_code == CLD_EXITED ? W_EXITCODE(dead.si_status, 0) : dead.si_status, true});
  } else if (leader_over && !others) {
    phase_ = Phase::kEnded;
    Tell({Report::Kind::kEnded, status, true});
  }
  if (phase_ == Phase::kEnded && !control_.open()) finished_ = true;
}

void WatchdogProcess::Tell(const Report& report) {
  if (control_.open()) send(control_.get(), &report, sizeof(report), MSG_NOSIGNAL | MSG_DONTWAIT);
}

absl::StatusOr<std::unique_ptr<Watchdog>> Watchdog::Fork(const std::vector<std::string>& command) {
  int control[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0) {
    return Errno("make a socket pair");
  }
  Descriptor ours(control[0]);
  Descriptor theirs(control[1]);
  // If the watchdog is killed, what it guarded falls to this process.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  volatile int* const flag = NewFlag();
  if (flag == nullptr) return Errno("share memory");
  sigset_t all;
  sigset_t callers;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &callers);
  const pid_t process = fork();
  if (process == 0) {
    ours.Close();
    BecomeWatchdog(std::move(theirs), command, callers, flag);
  }
  sigprocmask(SIG_SETMASK, &callers, nullptr);
  if (process < 0) return Errno("fork the watchdog");
  theirs.Close();
  std::unique_ptr<Watchdog> watchdog(new Watchdog);
  watchdog->control_ = std::move(ours);
  watchdog->exec_failed_ = flag;
  watchdog->process_ = process;
  // Its first message is COMMAND's number.
  if (recv(watchdog->control_.get(), &watchdog->group_, sizeof(pid_t), 0) != sizeof(pid_t)) {
    watchdog->group_ = 0;
    return absl::InternalError("the watchdog could not fork COMMAND");
  }
  return watchdog;
}

volatile int* Watchdog::NewFlag() {
  void* const memory =
      mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<volatile int*>(memory);
}

Watchdog::~Watchdog() {
  control_.Close();
  if (exec_failed_ != nullptr) munmap(const_cast<int*>(exec_failed_), sizeof(int));
  if (process_ <= 0) return;
  // It reaps COMMAND and ends by itself; a stopped one is not waited for.
  const Descriptor handle(static_cast<int>(syscall(SYS_pidfd_open, process_, 0)));
  pollfd gone = {handle.get(), POLLIN, 0};
  if (handle.open()) poll(&gone, 1, 1000);
  waitpid(process_, nullptr, WNOHANG);
}

absl::Status Watchdog::Start(const std::vector<std::string>& environment, absl::Duration window,
                             absl::Duration margin, Instant deadline) {
  const FeedMessage message = {.start = true,
                               .boottime_ns = deadline.boottime_ns(),
                               .monotonic_raw_ns = deadline.monotonic_raw_ns(),
                               .window_ns = absl::ToInt64Nanoseconds(std::max(window, margin)),
                               .margin_ns = absl::ToInt64Nanoseconds(margin)};
  std::string bytes(reinterpret_cast<const char*>(&message), sizeof(message));
  for (const std::string& variable : environment)
    bytes.append(variable.c_str(), variable.size() + 1);
  if (bytes.size() > kMessageBytesMax) {
    return absl::InvalidArgumentError("the variables for COMMAND are too long");
  }
  if (send(control_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) {
    return Errno("reach the watchdog");
  }
  return absl::OkStatus();
}

absl::Status Watchdog::Feed(Instant deadline) {
  const FeedMessage message = {.start = false,
                               .boottime_ns = deadline.boottime_ns(),
                               .monotonic_raw_ns = deadline.monotonic_raw_ns()};
  // A watchdog that does not read (it was stopped) is not waited for.
  if (send(control_.get(), &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
      errno != EAGAIN) {
    return Errno("reach the watchdog");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Report>> Watchdog::Read() {
  Report report;
  const ssize_t size = recv(control_.get(), &report, sizeof(report), MSG_DONTWAIT);
  if (size == sizeof(report)) return report;
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  return absl::DataLossError("the watchdog is gone");
}

}  // namespace tenure::cli
