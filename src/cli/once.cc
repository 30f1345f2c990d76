#include "cli/once.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/exit_status.h"
#include "cli/kept_output.h"
#include "cli/leased_run.h"
#include "tenure/idempotency.h"

namespace tenure::cli {
namespace {

class OnceRun final : public LeasedRun {
 public:
  OnceRun(const OnceFlags& flags, std::unique_ptr<Watchdog> watchdog, KeptOutput output)
      : LeasedRun("once", flags, std::move(watchdog)), flags_(flags), output_(std::move(output)) {}

 private:
  absl::Status Acquire() override {
    Outcome<absl::StatusOr<Begun>> begun;
    std::stop_source cancel;
    session()
        .idempotency(flags_.scope)
        .Begin(flags_.name, flags_.fingerprint,
               {.wait = Wait(), .cancel = cancel.get_token(), .retention = flags_.retention},
               begun.callback());
    std::optional<absl::StatusOr<Begun>> answer = Await(begun);
    if (!answer.has_value()) {
      cancel.request_stop();
      begun.Take(1000);
      return absl::CancelledError("interrupted");
    }
    if (!answer->ok()) return answer->status();
    begun_ = **std::move(answer);
    if (begun_.state != Begun::State::kInProgress) return absl::OkStatus();
    const std::string within = absl::FormatDuration(flags_.wait);
    // As it stood when this one asked; nobody need be at it.
    if (begun_.progress.held_back_ns > 0) {
      return absl::AbortedError(
          absl::StrCat(flags_.name, " could not begin within ", within,
                       ": this cluster is new, and lets attempts of an earlier one run out, until "
                       "when `tenure status` says"));
    }
    return absl::AbortedError(
        absl::StrCat(flags_.name, " is under way elsewhere, and was not done within ", within));
  }

  int Hold() override {
    if (begun_.state == Begun::State::kDone) {
      Close().IgnoreError();
      return Replay(begun_.outcome.result);
    }
    Attempt& attempt = begun_.attempt;
    const RunResult result = RunUnderLease(
        {absl::StrCat("TENURE_ATTEMPT=", attempt.token()),
         absl::StrCat("TENURE_FENCING_TOKEN=", attempt.token())},
        [&attempt] { return attempt.Valid(); }, [this] { output_.Trim(); });
    if (result.lost) {
      Say(absl::StrCat("lost ", flags_.name, ", attempt ", attempt.token(),
                       ", while COMMAND was running; COMMAND was ended",
                       WhyLost(attempt.status())));
      Close().IgnoreError();
      return result.exit_status;
    }
    // What did not run, or was ended by a signal, has not completed: the next caller runs it.
    if (!result.ran || result.signalled) {
      Close().IgnoreError();
      return result.exit_status;
    }
    return Complete(result.exit_status);
  }

  int Complete(int exit_status) {
    const absl::StatusOr<CommandOutcome> outcome = output_.Read(exit_status);
    if (!outcome.ok()) {
      Say(outcome.status().message());
      Close().IgnoreError();
      return kExitLost;
    }
    // For as long as the lease lasts: then another may have it.
    const absl::Status stored =
        begun_.attempt.Complete(EncodeOutcome(*outcome), session().remaining());
    if (stored.ok()) {
      Close().IgnoreError();
      return Print(*outcome);
    }
    // It may have been stored all the same; or somebody else's was.
    const absl::StatusOr<StoredOutcome> counts =
        coordinator().idempotency(flags_.scope).Wait(flags_.name, {.wait = absl::Seconds(5)});
    if (counts.ok()) return Replay(counts->result);
    Say(absl::StrCat("COMMAND is done, but its outcome was not stored: ", stored.message()));
    return kExitLost;
  }

  int Replay(const absl::StatusOr<std::string>& stored) {
    if (!stored.ok()) {  // a failure that was stored through the library
      Say(stored.status().message());
      return kExitUnavailable;
    }
    const absl::StatusOr<CommandOutcome> outcome = DecodeOutcome(*stored);
    if (outcome.ok()) return Print(*outcome);
    Say(outcome.status().message());
    return kExitUsage;
  }

  int Print(const CommandOutcome& outcome) {
    // If nobody reads it, COMMAND's status is still what this ends with. COMMAND is over: nobody
    // inherits this.
    std::signal(SIGPIPE, SIG_IGN);
    for (std::size_t at = 0; at < outcome.output.size();) {
      const ssize_t size =
          write(STDOUT_FILENO, outcome.output.data() + at, outcome.output.size() - at);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0 && errno == EAGAIN) {
        pollfd writable = {STDOUT_FILENO, POLLOUT, 0};
        poll(&writable, 1, -1);
        continue;
      }
      if (size < 0) {
        if (errno != EPIPE) Say(absl::StrCat("cannot print the output: ", std::strerror(errno)));
        break;
      }
      at += static_cast<std::size_t>(size);
    }
    if (outcome.written > outcome.output.size()) {
      Say(absl::StrCat("COMMAND wrote ", outcome.written, " bytes, of which the first ",
                       outcome.output.size(), " are kept"));
    }
    return outcome.exit_status;
  }

  const OnceFlags& flags_;
  const KeptOutput output_;
  Begun begun_;
};

}  // namespace

int RunOnce(const OnceFlags& flags) {
  // COMMAND is forked while standard output is the file.
  absl::StatusOr<KeptOutput> output = KeptOutput::Redirect();
  absl::Status ready = output.status();
  std::unique_ptr<Watchdog> watchdog;
  if (ready.ok()) {
    absl::StatusOr<std::unique_ptr<Watchdog>> forked = Watchdog::Fork(flags.command);
    ready = output->Restore();
    if (!forked.ok()) {
      ready = forked.status();
    } else {
      watchdog = *std::move(forked);
    }
  }
  if (!ready.ok()) {
    Complain("once", ready.message());
    return kExitUnavailable;
  }
  return OnceRun(flags, std::move(watchdog), *std::move(output)).Run();
}

}  // namespace tenure::cli
