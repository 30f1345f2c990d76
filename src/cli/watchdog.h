// The process that ends COMMAND when its lease is over, whatever became of `tenure`.
//
//   tenure ── watchdog ── COMMAND
//
// Both are forked before `tenure` has threads or sockets, so neither inherits any. The watchdog is
// COMMAND's parent and has a process group of its own; it has none of the caller's descriptors, so
// a pipeline ends when COMMAND does. COMMAND has another group, and the caller's descriptors; until
// Start() it is a process that waits.
//
// `tenure` feeds deadlines. The watchdog sends TERM to COMMAND's group when a deadline's `window`
// has begun, and KILL before the deadline, and then to whatever COMMAND started outside its group,
// which falls to the watchdog as their subreaper. If `tenure` is gone, TERM is sent at once. If the
// watchdog is gone, COMMAND gets KILL from the kernel (PR_SET_PDEATHSIG), and `tenure`, the next
// subreaper, ends the rest.
//
// COMMAND's group leader stays unreaped until `tenure` hangs up, so its number cannot pass to
// anybody else meanwhile and both may signal the group by it.
//
// Limits: a COMMAND that changes its user cannot be signalled; and when the whole machine stands
// still (suspend, a frozen container), COMMAND may run for a moment after it wakes, before it is
// ended. The fencing token is there for that.
#ifndef CLI_WATCHDOG_H_
#define CLI_WATCHDOG_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/descriptor.h"
#include "tenure/types.h"

namespace tenure::cli {

// What the watchdog tells.
struct Report {
  enum class Kind : int {
    kStopped,  // COMMAND was stopped by signal `value`
    kEnding,   // TERM was sent because the deadline is near
    kEnded,    // COMMAND is over; `value` is what waitpid says of it
  };
  Kind kind = Kind::kEnded;
  int value = 0;
  // kEnded: it was ended because of its deadline, and nothing that it started is left.
  bool lost = false;
};

class Watchdog {
 public:
  // Call before the process has threads. COMMAND is looked up and run only by Start().
  static absl::StatusOr<std::unique_ptr<Watchdog>> Fork(const std::vector<std::string>& command);
  // Hangs up: COMMAND, if it still runs, is ended. Waits a moment for the watchdog to be gone.
  ~Watchdog();

  // Runs COMMAND with these variables ("NAME=value") besides its own. `window` before a deadline it
  // gets TERM; `margin` before it, KILL.
  absl::Status Start(const std::vector<std::string>& environment, absl::Duration window,
                     absl::Duration margin, Instant deadline);
  // The lease now lasts until `deadline`, which may also be earlier than it was.
  absl::Status Feed(Instant deadline);

  // Readable when there is a report, or when the watchdog is gone.
  int descriptor() const { return control_.get(); }
  // The next report, if there is one. kDataLoss: the watchdog is gone.
  absl::StatusOr<std::optional<Report>> Read();

  // COMMAND could not be run; known once it has ended.
  bool exec_failed() const { return *exec_failed_ != 0; }
  // COMMAND's process group.
  pid_t group() const { return group_; }
  // For tests.
  pid_t process() const { return process_; }

 private:
  Watchdog() = default;
  static volatile int* NewFlag();

  Descriptor control_;
  volatile int* exec_failed_ = nullptr;  // in memory that is shared with COMMAND's process
  pid_t process_ = 0;
  pid_t group_ = 0;
};

// Sends KILL to every process that descends from this one, but for `keep` (0: none), until none is
// left or `limit` is over. This process must be a subreaper. Reaps them, but for `keep`.
bool KillDescendants(pid_t keep, absl::Duration limit);

}  // namespace tenure::cli

#endif  // CLI_WATCHDOG_H_
