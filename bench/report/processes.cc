#include "bench/report/processes.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace tenure::bench {
namespace {

constexpr int kStopMs = 5000;

// What servers say, which nobody wants to read unless something fails.
int ServersLog() {
  static const int file = memfd_create("servers", MFD_CLOEXEC);
  return file;
}

[[noreturn]] void Fail(const std::string& what) {
  char buffer[4096];
  ssize_t n = 0;
  for (off_t at = 0; (n = pread(ServersLog(), buffer, sizeof buffer, at)) > 0; at += n)
    std::fwrite(buffer, 1, static_cast<std::size_t>(n), stderr);
  std::fprintf(stderr, "tenure_bench: %s\n", what.c_str());
  std::exit(1);
}

struct Child {
  pid_t pid;
  int output;
};

// `log`: where its standard error goes, if not to this process's.
Child Spawn(const std::vector<std::string>& command, int log = -1) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) Fail("no pipe");
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) Fail("no process");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    dup2(ends[1], STDOUT_FILENO);
    if (log >= 0) dup2(log, STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(ends[1]);
  return {pid, ends[0]};
}

}  // namespace

Server::Server(const std::vector<std::string>& command) {
  const Child child = Spawn(command, ServersLog());
  pid_ = child.pid;
  output_ = child.output;
}

Server::Server(Server&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), output_(std::exchange(other.output_, -1)) {}

Server::~Server() {
  if (pid_ <= 0) return;
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  kill(pid_, SIGTERM);
  pollfd ended{.fd = handle, .events = POLLIN, .revents = 0};
  if (handle < 0 || poll(&ended, 1, kStopMs) != 1) kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  if (handle >= 0) close(handle);
  close(output_);
}

std::string Server::ReadLine() {
  std::string line;
  char c = 0;
  while (read(output_, &c, 1) == 1 && c != '\n') line += c;
  return line;
}

std::string Run(const std::vector<std::string>& command, std::chrono::seconds limit) {
  const Child child = Spawn(command);
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::string output;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd ready{.fd = child.output, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || poll(&ready, 1, static_cast<int>(left.count())) == 0) {
      kill(child.pid, SIGKILL);
      waitpid(child.pid, nullptr, 0);
      Fail(command[0] + " did not end within " + std::to_string(limit.count()) + " s");
    }
    char buffer[4096];
    const ssize_t n = read(child.output, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    output.append(buffer, static_cast<std::size_t>(n));
  }
  close(child.output);
  int status = 0;
  waitpid(child.pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) Fail(command[0] + " failed");
  return output;
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    Fail("no free port");
  }
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace tenure::bench
