// The inside of the watchdog's process; see watchdog.h.
#ifndef CLI_WATCHDOG_PROCESS_H_
#define CLI_WATCHDOG_PROCESS_H_

#include <signal.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cli/descriptor.h"
#include "cli/watchdog.h"
#include "tenure/types.h"

namespace tenure::cli {

// From `tenure` to the watchdog, over a socket that keeps messages apart. If `start`, COMMAND's
// variables follow, each with its terminating zero. 8 KiB hold the longest lock name and more, and
// a pipe takes them in one write.
struct FeedMessage {
  // Nothing else is taken for one, whoever else may write to the socket.
  static constexpr std::uint64_t kMagic = 0x9e7a1c0d54656e75;
  std::uint64_t magic = kMagic;
  bool start = false;
  std::int64_t boottime_ns = 0;  // the deadline
  std::int64_t monotonic_raw_ns = 0;
  std::int64_t window_ns = 0;  // with `start` only
  std::int64_t margin_ns = 0;
};
inline constexpr size_t kMessageBytesMax = 8192;

class WatchdogProcess {
 public:
  // `leader` waits at the other end of `go` for its variables.
  WatchdogProcess(Descriptor control, Descriptor go, pid_t leader)
      : control_(std::move(control)), go_(std::move(go)), leader_(leader) {}

  // Returns when COMMAND is over and `tenure` has hung up. All signals are blocked.
  void Run();

 private:
  enum class Phase {
    kWaiting,  // for Start
    kRunning,
    kEnding,  // TERM was sent
    kEnded,
  };

  static Instant Before(Instant deadline, std::int64_t ns);
  void SetTimer();
  void ReadControl();
  void OnHangUp();
  void Watch();
  void Terminate();
  bool AnyOtherChild();
  void Tell(const Report& report);

  Descriptor control_;
  Descriptor go_;
  Descriptor signals_;
  Descriptor timer_;
  pid_t leader_;
  Phase phase_ = Phase::kWaiting;
  bool finished_ = false;
  Instant deadline_ = Instant::InfiniteFuture();
  Instant term_at_ = Instant::InfiniteFuture();
  Instant kill_at_ = Instant::InfiniteFuture();
  std::int64_t window_ns_ = 0;
  std::int64_t margin_ns_ = 0;
};

}  // namespace tenure::cli

#endif  // CLI_WATCHDOG_PROCESS_H_
