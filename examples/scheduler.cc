// A scheduler of which any number of copies run, and one at a time schedules.
//
//   scheduler tenure://127.0.0.1:7401,... jobs LEDGER host-1      (and host-2, and host-3)
//
// Each round is a line in LEDGER: its number, the term of whoever ran it, and who that was. Whoever
// is elected goes on with the next number. A copy that was paused past its lease finds out by its
// own clocks when it wakes; should it write before it looks, the ledger has seen a higher term and
// refuses it.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cinttypes>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "tenure/tenure.h"

namespace {

// What only the leader may write. It keeps its own gate, as any resource should that a lease alone
// cannot protect: the term of its last line is the least that it takes.
class Ledger {
 public:
  explicit Ledger(std::string path) : path_(std::move(path)) {}

  // Writes down the next round; which it was.
  absl::StatusOr<std::int64_t> NextRound(tenure::Revision term, const std::string& who) const {
    const int file = open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0 || flock(file, LOCK_EX) != 0) {  // goes with the descriptor
      return absl::UnavailableError("cannot open " + path_);
    }
    std::string text;
    char buffer[4096];
    for (ssize_t size = 0; (size = read(file, buffer, sizeof(buffer))) > 0;) {
      text.append(buffer, static_cast<std::size_t>(size));
    }
    const std::size_t end = text.size() < 2 ? std::string::npos : text.rfind('\n', text.size() - 2);
    const std::string last = end == std::string::npos ? text : text.substr(end + 1);
    std::int64_t round = 0;
    tenure::Revision seen = 0;
    std::sscanf(last.c_str(), "%" SCNd64 " %" SCNu64, &round, &seen);
    tenure::FencingGate gate(seen);
    absl::Status status = gate.Admit(term);
    if (status.ok()) {
      const std::string line =
          std::to_string(round + 1) + " " + std::to_string(term) + " " + who + "\n";
      if (write(file, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
        status = absl::DataLossError("cannot write to " + path_);
      }
    }
    close(file);
    if (!status.ok()) return status;
    return round + 1;
  }

 private:
  const std::string path_;
};

// Waits for as long, or until it is to stop.
void Pause(std::chrono::milliseconds duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any woken;
  std::unique_lock<std::mutex> lock(mutex);
  woken.wait_for(lock, stop, duration, [] { return false; });
}

absl::Status Schedule(const tenure::Coordinator& coordinator, const std::string& election,
                      const Ledger& ledger, const std::string& who, std::stop_token stop) {
  const auto lead = [&](tenure::Leadership& leadership) {
    std::printf("%s leads in term %" PRIu64 "\n", who.c_str(), leadership.term());
    std::fflush(stdout);
    // What ends the pause between two rounds at once.
    std::stop_source over;
    const auto end = [&over] { over.request_stop(); };
    const std::stop_callback on_lost(leadership.lost(), end);
    const std::stop_callback on_stop(stop, end);
    while (leadership.Valid() && !stop.stop_requested()) {
      const absl::StatusOr<std::int64_t> round = ledger.NextRound(leadership.term(), who);
      if (!round.ok()) {
        std::fprintf(stderr, "%s: %s\n", who.c_str(), round.status().ToString().c_str());
        break;
      }
      Pause(std::chrono::milliseconds(50), over.get_token());
    }
    std::printf("%s leads no more\n", who.c_str());
    std::fflush(stdout);
  };  // resigns, if there is anything left to resign
  return coordinator.election(election).Run({.value = who, .cancel = stop}, lead);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: scheduler AT ELECTION LEDGER WHO [TTL_SECONDS]\n");
    return 64;
  }
  // Before there are threads, so that all of them leave these signals to this one.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  const int ttl_s = argc > 5 ? std::atoi(argv[5]) : 10;
  absl::StatusOr<tenure::Coordinator> coordinator =
      tenure::Open(argv[1], {.session = {.ttl = absl::Seconds(ttl_s)}});
  if (!coordinator.ok()) {
    std::fprintf(stderr, "%s\n", coordinator.status().ToString().c_str());
    return 64;
  }
  const Ledger ledger(argv[3]);
  absl::Status result;
  std::jthread scheduling([&](const std::stop_token& stop) {
    result = Schedule(*coordinator, argv[2], ledger, argv[4], stop);
    kill(getpid(), SIGTERM);  // wakes the other one, if it ended by itself
  });
  int signal = 0;
  sigwait(&ends, &signal);
  scheduling.request_stop();
  scheduling.join();
  if (!result.ok()) std::fprintf(stderr, "%s\n", result.ToString().c_str());
  return result.ok() ? 0 : 1;
}
