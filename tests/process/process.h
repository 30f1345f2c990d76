// A program that a test starts, and what it leaves behind.
#ifndef TENURE_TESTS_PROCESS_PROCESS_H_
#define TENURE_TESTS_PROCESS_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/descriptor.h"

namespace tenure::process {

struct Result {
  int status = -1;  // as a shell says it: 128 + n if signal n ended it
  std::string out;
  std::string err;
};

struct ProcessOptions {
  std::vector<std::string> environment;  // NAME=value, besides this process's own
  std::string input;                     // on its standard input, which ends then
  bool input_stays_open = false;         // it ends with CloseInput() instead
};

// Runs until it ends or this is destroyed, and never beyond this process's own end. Not
// thread-safe; it belongs to the thread that made it.
class Process {
 public:
  Process() = default;  // none
  explicit Process(const std::vector<std::string>& command, const ProcessOptions& options = {});
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  // SIGKILL, also to one that is stopped.
  ~Process();

  pid_t pid() const { return pid_; }
  bool running();
  void Signal(int signal) const;
  // SIGSTOP, and waits until it has: what follows happens while it stands still.
  void Pause() const;
  void Resume() const;
  // SIGKILL, and waits until it is gone.
  void Kill();

  void CloseInput() { input_.Close(); }
  // What it has written so far.
  std::string out() const;
  std::string err() const;
  bool AwaitOut(const std::string& text);
  bool AwaitErr(const std::string& text);

  // Its end. A test fails if that does not come within `limit`; it is killed then.
  Result Wait(absl::Duration limit = absl::Seconds(60));

 private:
  void Reap(int status);

  pid_t pid_ = 0;
  int status_ = -1;  // once it was reaped
  cli::Descriptor handle_;
  cli::Descriptor input_;
  cli::Descriptor out_;
  cli::Descriptor err_;
};

}  // namespace tenure::process

#endif  // TENURE_TESTS_PROCESS_PROCESS_H_
