#include "tests/process/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/process/watch.h"

namespace tenure::process {
namespace {

cli::Descriptor MemoryFile() { return cli::Descriptor(memfd_create("output", MFD_CLOEXEC)); }

std::string ContentOf(const cli::Descriptor& file) {
  std::string content;
  char buffer[4096];
  while (true) {
    const ssize_t size =
        pread(file.get(), buffer, sizeof(buffer), static_cast<off_t>(content.size()));
    if (size <= 0) return content;
    content.append(buffer, static_cast<size_t>(size));
  }
}

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// This process's own, but for what a user of these tests may have set for his own cluster.
std::vector<std::string> Environment(const std::vector<std::string>& added) {
  std::vector<std::string> all = added;
  const auto add = [&all](const std::string& variable) {
    const std::string name = variable.substr(0, variable.find('=') + 1);
    const bool set = std::any_of(all.begin(), all.end(), [&](const std::string& other) {
      return absl::StartsWith(other, name);
    });
    if (!set) all.push_back(variable);
  };
  add("TENURE_ENDPOINTS=");
  for (char** variable = environ; *variable != nullptr; ++variable) add(*variable);
  return all;
}

}  // namespace

Process::Process(const std::vector<std::string>& command, const ProcessOptions& options)
    : out_(MemoryFile()), err_(MemoryFile()) {
  int pipe_ends[2];
  EXPECT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  cli::Descriptor in(pipe_ends[0]);
  input_ = cli::Descriptor(pipe_ends[1]);
  const std::vector<std::string> environment = Environment(options.environment);
  const std::vector<char*> words = Pointers(command);
  const std::vector<char*> variables = Pointers(environment);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    // Whoever runs the tests in the background ignores some.
    for (int number = 1; number < SIGRTMIN; ++number) signal(number, SIG_DFL);
    dup2(in.get(), 0);
    dup2(out_.get(), 1);
    dup2(err_.get(), 2);
    execve(words[0], words.data(), variables.data());
    _exit(127);
  }
  EXPECT_GT(pid_, 0);
  in.Close();
  EXPECT_EQ(write(input_.get(), options.input.data(), options.input.size()),
            static_cast<ssize_t>(options.input.size()));
  if (!options.input_stays_open) input_.Close();
  handle_ = cli::Descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  EXPECT_TRUE(handle_.open());
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      status_(other.status_),
      handle_(std::move(other.handle_)),
      input_(std::move(other.input_)),
      out_(std::move(other.out_)),
      err_(std::move(other.err_)) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    Kill();
    pid_ = std::exchange(other.pid_, 0);
    status_ = other.status_;
    handle_ = std::move(other.handle_);
    input_ = std::move(other.input_);
    out_ = std::move(other.out_);
    err_ = std::move(other.err_);
  }
  return *this;
}

Process::~Process() { Kill(); }

void Process::Reap(int status) {
  status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool Process::running() {
  if (pid_ == 0 || status_ >= 0) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return true;
  Reap(status);
  return false;
}

void Process::Signal(int signal) const {
  // Once reaped, its number may be somebody else's.
  if (pid_ > 0 && status_ < 0) kill(pid_, signal);
}

void Process::Pause() const {
  Signal(SIGSTOP);
  EXPECT_TRUE(Eventually([this] { return StateOf(pid_) == 'T'; }));
}

void Process::Resume() const { Signal(SIGCONT); }

void Process::Kill() {
  if (!running()) return;
  Signal(SIGKILL);
  int status = 0;
  waitpid(pid_, &status, 0);
  Reap(status);
}

std::string Process::out() const { return ContentOf(out_); }
std::string Process::err() const { return ContentOf(err_); }

bool Process::AwaitOut(const std::string& text) {
  return Eventually([&] { return out().find(text) != std::string::npos || !running(); }) &&
         out().find(text) != std::string::npos;
}
bool Process::AwaitErr(const std::string& text) {
  return Eventually([&] { return err().find(text) != std::string::npos || !running(); }) &&
         err().find(text) != std::string::npos;
}

Result Process::Wait(absl::Duration limit) {
  if (running()) {
    pollfd over = {handle_.get(), POLLIN, 0};
    if (poll(&over, 1, static_cast<int>(absl::ToInt64Milliseconds(limit))) != 1) {
      ADD_FAILURE() << "still running after " << absl::FormatDuration(limit) << "; it wrote:\n"
                    << out() << err();
    }
    Kill();  // reaps it
  }
  return {status_, out(), err()};
}

}  // namespace tenure::process
