#include "cli/serve.h"

#include <poll.h>
#include <signal.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/connection.h"
#include "cli/exit_status.h"
#include "cli/outcome.h"
#include "cli/signals.h"
#include "tenure/tenure.h"

namespace tenure::cli {
namespace {

void Log(absl::string_view line) {
  const absl::Time now = absl::Now();  // wall-clock: for the people who read the log
  const std::string when = absl::FormatTime("%Y-%m-%d %H:%M:%E3S", now, absl::LocalTimeZone());
  const std::string text = absl::StrCat(when, " ", line, "\n");
  // In one write, so that lines of several members in one file stay whole.
  std::fwrite(text.data(), 1, text.size(), stderr);
}

// The exit status; none if the member is to be started again.
std::optional<int> ServeOnce(const ServeFlags& flags, Signals& signals) {
  Outcome<absl::Status> stopped;
  MemberOptions options;
  options.id = flags.id;
  options.cluster = flags.cluster;
  options.listen = flags.listen;
  options.data = flags.data;
  options.strict_restart = flags.strict_restart;
  options.assert_new = flags.assert_new;
  options.ttl_max = flags.ttl_max;
  options.election_timeout_min = flags.election_timeout;
  options.election_timeout_max = flags.election_timeout * 2;
  options.heartbeat_interval = flags.election_timeout / 3;
  options.log = Log;  // each line begins with the member's name
  options.on_stopped = stopped.callback();
  absl::StatusOr<std::unique_ptr<Member>> member = StartMember(std::move(options));
  if (!member.ok()) {
    Complain("serve", member.status().message());
    return ExitStatusFor(member.status());
  }
  if (flags.development) {
    const std::string where = flags.data.empty() ? "in memory" : "on disk in " + flags.data;
    std::fprintf(stderr,
                 "tenure: no --cluster: one member, %s, for development; --new is implied: it "
                 "takes it, at its first start, that no holder of an earlier lock still runs\n",
                 where.c_str());
  }
  std::printf("tenure: %s serves on %s\n", flags.id.c_str(), (*member)->address().c_str());
  std::fflush(stdout);

  while (true) {
    pollfd ready[] = {{signals.descriptor(), POLLIN, 0}, {stopped.descriptor(), POLLIN, 0}};
    poll(ready, 2, -1);
    if (const int signal = signals.Next()) {
      Log(absl::StrCat(flags.id, ": stops: ", signal == SIGTERM ? "SIGTERM" : "SIGINT"));
      if (const absl::Status handed = (*member)->HandOver(); !handed.ok()) {
        Log(absl::StrCat(flags.id, ": ", handed.message()));
      }
      (*member)->Stop();
      return kExitOk;
    }
    if (std::optional<absl::Status> why = stopped.Take(0)) {
      // Nothing was held, and nothing is lost; or what its disk holds is not to be relied on.
      if (absl::IsAborted(*why)) return std::nullopt;
      Complain("serve", absl::StrCat(flags.id, " has stopped: ", why->message()));
      return kExitUnavailable;
    }
  }
}

}  // namespace

int RunServe(const ServeFlags& flags) {
  // A log whose reader went away is no reason to stop serving.
  signal(SIGPIPE, SIG_IGN);
  // A file that may not grow is an error of the disk, which is reported.
  signal(SIGXFSZ, SIG_IGN);
  Signals signals({SIGINT, SIGTERM});
  ServeFlags now = flags;
  while (true) {
    if (const std::optional<int> status = ServeOnce(now, signals)) return *status;
    // A disk that was emptied is no first start: what was acknowledged before may live on.
    if (!now.data.empty()) now.assert_new = false;
  }
}

}  // namespace tenure::cli
