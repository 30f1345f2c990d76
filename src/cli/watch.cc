#include "cli/watch.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/connection.h"
#include "cli/exit_status.h"
#include "cli/json.h"
#include "cli/outcome.h"
#include "cli/signals.h"
#include "tenure/coordinator.h"
#include "tenure/election.h"
#include "tenure/mutex.h"
#include "tenure/observer.h"
#include "tenure/session.h"
#include "tenure/types.h"

namespace tenure::cli {
namespace {

// How long the end may take.
constexpr absl::Duration kClosePatience = absl::Seconds(2);

// Under a session of its own, so that it can be closed on the way out.
class Watching {
 public:
  explicit Watching(const WatchFlags& flags)
      : flags_(flags), after_(flags.after), patience_(flags.timeout) {}

  int Run() {
    absl::StatusOr<Coordinator> coordinator = ConnectTo(flags_.endpoints);
    if (!coordinator.ok()) return Fail(coordinator.status());
    coordinator_ = *std::move(coordinator);
    absl::Status status;
    do {
      status = WatchUnderOneSession();
    } while (!status.ok() && lost_ && status.code() != absl::StatusCode::kCancelled);
    Close();
    return status.ok() ? kExitOk : Fail(status);
  }

 private:
  // OK: it is to end. Sets lost_ if that is because of the session: it goes on with another one.
  absl::Status WatchUnderOneSession() {
    lost_ = false;
    Outcome<absl::StatusOr<Session>> opened;
    coordinator_.OpenSession({.open_timeout = patience_}, opened.callback());
    if (!Await(opened)) return absl::OkStatus();
    absl::StatusOr<Session> session = *opened.Take(0);
    if (!session.ok()) return session.status();
    session_ = *std::move(session);
    const bool election = flags_.what == WatchFlags::What::kElection;
    Observer observer = election ? session_.election(flags_.name).Observe(after_)
                                 : session_.mutex(flags_.name).Observe(after_);
    while (true) {
      Outcome<absl::StatusOr<News>> next;
      // One who goes on after what he knows may have to wait for news.
      observer.Next(after_ == 0 ? patience_ : absl::InfiniteDuration(), next.callback());
      if (!Await(next)) return absl::OkStatus();
      const absl::StatusOr<News> news = *next.Take(0);
      if (!news.ok()) {
        lost_ = !session_.Valid();
        return news.status();
      }
      if (!Write(NewsJson(election ? "election" : "lock", flags_.name, *news))) {
        return absl::OkStatus();
      }
      // Only the first answer has a time limit. There was a cluster, and it is waited for.
      after_ = observer.revision();
      patience_ = absl::InfiniteDuration();
    }
  }

  void Close() {
    if (session_.id() == 0) return;
    Outcome<absl::Status> closed;
    session_.Close(kClosePatience, closed.callback());
    closed.Take(static_cast<int>(absl::ToInt64Milliseconds(kClosePatience)));
  }

  // False if a signal came, or nobody reads any more.
  template <typename T>
  bool Await(Outcome<T>& next) {
    while (!next.ready()) {
      // A pipe without a reader is in error, whatever is asked about it.
      pollfd ready[] = {{next.descriptor(), POLLIN, 0},
                        {signals_.descriptor(), POLLIN, 0},
                        {STDOUT_FILENO, 0, 0}};
      poll(ready, 3, -1);
      if (ready[1].revents != 0 || (ready[2].revents & (POLLERR | POLLNVAL)) != 0) return false;
    }
    return true;
  }

  static bool Write(const std::string& lines) {
    return std::fwrite(lines.data(), 1, lines.size(), stdout) == lines.size() &&
           std::fflush(stdout) == 0;
  }

  static int Fail(const absl::Status& status) {
    Complain("watch", status.message());
    return ExitStatusFor(status);
  }

  const WatchFlags& flags_;
  Revision after_;
  absl::Duration patience_;
  bool lost_ = false;
  Coordinator coordinator_;
  Session session_;
  Signals signals_{SIGINT, SIGTERM, SIGHUP, SIGPIPE};
};

}  // namespace

int RunWatch(const WatchFlags& flags) { return Watching(flags).Run(); }

}  // namespace tenure::cli
