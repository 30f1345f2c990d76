#include "bench/report/processes.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace tenure::bench {
namespace {

constexpr int kStopMs = 5000;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "tenure_bench: %s\n", what.c_str());
  std::exit(1);
}

struct Child {
  pid_t pid;
  int output;
};

Child Spawn(const std::vector<std::string>& command) {
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
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(ends[1]);
  return {pid, ends[0]};
}

}  // namespace

Server::Server(const std::vector<std::string>& command) {
  const Child child = Spawn(command);
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

std::string Run(const std::vector<std::string>& command) {
  const Child child = Spawn(command);
  std::string output;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(child.output, buffer, sizeof buffer)) > 0;)
    output.append(buffer, n);
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
