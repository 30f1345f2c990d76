// A client that takes, gives back and looks at locks at random until SIGTERM, and writes down what
// it was told:
//
//   journaling_client ENDPOINTS JOURNAL SEED
#include <absl/synchronization/mutex.h>  // absl-mutex: only to turn its deadlock detection off
#include <grpc/support/log.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>

#include "tenure/tenure.h"
#include "tests/process/lock_journal.h"

namespace tenure::process {
namespace {

volatile std::sig_atomic_t stop = 0;

class Client {
 public:
  Client(Coordinator coordinator, const std::string& journal, unsigned seed)
      : coordinator_(std::move(coordinator)), journal_(journal), random_(seed) {}

  void Run() {
    while (stop == 0) {
      if (!session_.Valid()) {
        absl::StatusOr<Session> opened = coordinator_.OpenSession({.ttl = absl::Seconds(2)});
        if (!opened.ok()) continue;
        session_ = *std::move(opened);
      }
      const std::string lock(1, static_cast<char>('a' + random_() % 3));
      if (random_() % 4 == 0) {
        Look(lock);
      } else {
        Hold(lock);
      }
    }
  }

 private:
  void Look(const std::string& lock) {
    Note("reading", lock);
    const absl::StatusOr<LockDescription> seen = coordinator_.mutex(lock).Inspect(absl::Seconds(2));
    if (seen.ok()) Note("read", lock, seen->holder.token, seen->holder.session);
  }

  void Hold(const std::string& lock) {
    std::int64_t valid_ns = JournalNow();  // then, or later, it was certainly not over
    Note("asked", lock, session_.id(), 0, valid_ns);
    const bool waits = random_() % 3 != 0;
    absl::StatusOr<LockGuard> guard =
        session_.mutex(lock).Lock({.wait = waits ? absl::Milliseconds(200) : absl::ZeroDuration()});
    if (!guard.ok()) return;
    const std::uint64_t token = guard->token();
    Note("granted", lock, token);
    // This process may have stood still since: a lease may be over when its grant is written down.
    const auto valid = [&] {
      const std::int64_t now = JournalNow();
      const bool held = guard->Valid();
      if (held) valid_ns = now;
      return held;
    };
    for (auto rounds = random_() % 3; rounds > 0 && valid(); --rounds) Look(lock);
    if (!valid()) {
      Note("may-end", lock, token, 0, valid_ns);
      return;  // what it leaves is given back in the background
    }
    Note("unlocking", lock, token);
    const absl::Status unlocked = guard->Unlock(absl::Seconds(5));
    if (unlocked.ok()) return Note("unlocked", lock, 1);
    if (absl::IsNotFound(unlocked)) {
      Note("may-end", lock, token, 0, valid_ns);
      Note("unlocked", lock, 0);
    }
  }

  void Note(const std::string& what, const std::string& lock, std::uint64_t first = 0,
            std::uint64_t second = 0, std::int64_t at_ns = JournalNow()) {
    Write(journal_, {what, lock, at_ns, first, second});
  }

  Coordinator coordinator_;
  Session session_;
  std::ofstream journal_;
  std::mt19937 random_;
};

int Run(const std::string& endpoints, const std::string& journal, unsigned seed) {
  std::signal(SIGTERM, [](int) { stop = 1; });
  gpr_set_log_function([](gpr_log_func_args*) {});
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  absl::StatusOr<Coordinator> coordinator = Open("tenure://" + endpoints);
  if (!coordinator.ok()) {
    std::fprintf(stderr, "%s\n", coordinator.status().ToString().c_str());
    return 1;
  }
  Client(*std::move(coordinator), journal, seed).Run();
  return 0;
}

}  // namespace
}  // namespace tenure::process

int main(int argc, char** argv) {
  if (argc != 4) return 64;
  return tenure::process::Run(argv[1], argv[2],
                              static_cast<unsigned>(std::strtoul(argv[3], nullptr, 10)));
}
