#include "cli/elect.h"

#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/exit_status.h"
#include "cli/leased_run.h"
#include "tenure/election.h"

namespace tenure::cli {
namespace {

class ElectRun final : public LeasedRun {
 public:
  ElectRun(const ElectFlags& flags, std::unique_ptr<Watchdog> watchdog)
      : LeasedRun("elect", flags, std::move(watchdog)), flags_(flags) {}

 private:
  absl::Status Acquire() override {
    Outcome<absl::StatusOr<Leadership>> elected;
    std::stop_source cancel;
    session()
        .election(flags_.name)
        .Campaign({.value = flags_.value,
                   .wait = Wait(),
                   .priority = flags_.priority,
                   .cancel = cancel.get_token()},
                  elected.callback());
    std::optional<absl::StatusOr<Leadership>> leadership = Await(elected);
    if (!leadership.has_value()) {
      cancel.request_stop();
      elected.Take(1000);
      return absl::CancelledError("interrupted");
    }
    if (!leadership->ok()) return leadership->status();
    leadership_ = **std::move(leadership);
    return absl::OkStatus();
  }

  int Hold() override {
    const RunResult result =
        RunUnderLease({absl::StrCat("TENURE_FENCING_TOKEN=", leadership_.term())},
                      [this] { return leadership_.Valid(); });
    if (result.lost) {
      Say(absl::StrCat("lost the lead of ", flags_.name, ", term ", leadership_.term(),
                       ", while COMMAND was running; COMMAND was ended",
                       WhyLost(leadership_.status())));
    }
    // Leaves before the session's end does, in the same round trip: observers are not told of a
    // loss.
    if (!result.lost) leadership_.Resign(ttl(), [](const absl::Status&) {});
    const absl::Status closed = Close();
    if (!closed.ok() && !result.lost) {
      Say(absl::StrCat("COMMAND is done, but nobody answers to resigning from ", flags_.name,
                       "; another one leads within ", absl::FormatDuration(ttl())));
    }
    return result.exit_status;
  }

  const ElectFlags& flags_;
  Leadership leadership_;
};

}  // namespace

int RunElect(const ElectFlags& flags) {
  absl::StatusOr<std::unique_ptr<Watchdog>> watchdog = Watchdog::Fork(flags.command);
  if (!watchdog.ok()) {
    Complain("elect", watchdog.status().message());
    return kExitUnavailable;
  }
  return ElectRun(flags, *std::move(watchdog)).Run();
}

}  // namespace tenure::cli
