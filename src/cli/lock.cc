#include "cli/lock.h"

#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/exit_status.h"
#include "cli/leased_run.h"
#include "tenure/mutex.h"
#include "tenure/semaphore.h"

namespace tenure::cli {
namespace {

class LockRun final : public LeasedRun {
 public:
  LockRun(const LockFlags& flags, std::unique_ptr<Watchdog> watchdog)
      : LeasedRun("lock", flags, std::move(watchdog)), flags_(flags) {}

 private:
  absl::Status Acquire() override {
    Outcome<absl::StatusOr<LockGuard>> locked;
    std::stop_source cancel;
    Ask(Wait(), cancel.get_token(), locked);
    std::optional<absl::StatusOr<LockGuard>> guard = Await(locked);
    if (!guard.has_value()) {
      cancel.request_stop();
      locked.Take(1000);
      return absl::CancelledError("interrupted");
    }
    if (!guard->ok()) return guard->status();
    guard_ = **std::move(guard);
    return absl::OkStatus();
  }

  void Ask(absl::Duration wait, std::stop_token cancel,
           Outcome<absl::StatusOr<LockGuard>>& locked) {
    if (flags_.total > 0) {
      session()
          .semaphore(flags_.name, flags_.total)
          .Acquire({.permits = flags_.permits,
                    .wait = wait,
                    .value = flags_.value,
                    .cancel = std::move(cancel)},
                   locked.callback());
      return;
    }
    LockOptions options{.wait = wait, .value = flags_.value, .cancel = std::move(cancel)};
    SharedMutex mutex = session().shared_mutex(flags_.name);
    if (flags_.shared) return mutex.LockShared(std::move(options), locked.callback());
    mutex.Lock(std::move(options), locked.callback());
  }

  int Hold() override {
    const RunResult result = RunUnderLease({absl::StrCat("TENURE_FENCING_TOKEN=", guard_.fence())},
                                           [this] { return guard_.Valid(); });
    if (result.lost) {
      Say(absl::StrCat("lost ", flags_.name, ", token ", guard_.token(),
                       ", while COMMAND was running; COMMAND was ended", WhyLost(guard_.status())));
    }
    // Gives it back before the session's end does, in the same round trip: who watches the lock is
    // not told of a loss.
    if (!result.lost) guard_.Unlock(ttl(), [](const absl::Status&) {});
    const absl::Status closed = Close();
    if (!closed.ok() && !result.lost) {
      Say(absl::StrCat("COMMAND is done, but nobody answers to giving ", flags_.name,
                       " back; it is free within ", absl::FormatDuration(ttl())));
    }
    return result.exit_status;
  }

  const LockFlags& flags_;
  LockGuard guard_;
};

}  // namespace

int RunLock(const LockFlags& flags) {
  absl::StatusOr<std::unique_ptr<Watchdog>> watchdog = Watchdog::Fork(flags.command);
  if (!watchdog.ok()) {
    Complain("lock", watchdog.status().message());
    return kExitUnavailable;
  }
  return LockRun(flags, *std::move(watchdog)).Run();
}

}  // namespace tenure::cli
