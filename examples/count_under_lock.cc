// A client that counts in a file, under a lock: again and again until SIGTERM, or, as COMMAND of
// `tenure lock`, once.
//
//   count_under_lock --at=tenure://127.0.0.1:7401,... --counter=FILE --journal=FILE
//   tenure lock NAME -- count_under_lock --counter=FILE --journal=FILE
#include <absl/synchronization/mutex.h>
#include <grpc/support/log.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "examples/journal.h"
#include "tenure/tenure.h"

namespace {

using examples::NowUs;

struct Options {
  std::string at;
  std::string lock = "counter";
  std::string counter;
  std::string journal;
  int hold_ms = 1;
  int ttl_s = 10;
  bool without_lock = false;
  bool verbose = false;
};

volatile std::sig_atomic_t stop = 0;

// Read, take some time, write: two at once would lose a count. False if the lock was lost before.
bool CountOnce(const Options& options, std::uint64_t token, const std::function<bool()>& valid) {
  examples::Section section{.begin_us = NowUs(), .token = token};
  section.end_us = section.begin_us;
  if (options.verbose) {
    std::printf("holds %s\n", std::to_string(token).c_str());
    std::fflush(stdout);
  }
  const std::int64_t count = examples::ReadCounter(options.counter);
  const std::int64_t until = section.begin_us + options.hold_ms * 1000;
  bool held = true;
  while (held) {
    const std::int64_t now = NowUs();
    held = valid();
    if (!held) break;
    section.end_us = now;
    if (now >= until) break;
    std::this_thread::sleep_for(
        std::chrono::microseconds(std::min<std::int64_t>(until - now, 1000)));
  }
  if (held) {
    section.count = count + 1;
    std::ofstream(options.counter) << section.count << std::endl;
    section.end_us = NowUs();
  }
  examples::Append(options.journal, section);
  return held;
}

int CountUnderLock(const Options& options) {
  absl::StatusOr<tenure::Coordinator> coordinator =
      tenure::Open(options.at, {.session = {.ttl = absl::Seconds(options.ttl_s)}});
  if (!coordinator.ok()) {
    std::fprintf(stderr, "%s\n", coordinator.status().ToString().c_str());
    return 64;
  }
  tenure::Mutex mutex = coordinator->mutex(options.lock);
  while (stop == 0) {
    absl::StatusOr<tenure::LockGuard> guard = mutex.Lock({.wait = absl::Seconds(10)});
    if (!guard.ok()) {  // tells who holds it, or that nobody answers: then it is worth trying again
      std::fprintf(stderr, "%s\n", guard.status().ToString().c_str());
      if (tenure::KindOf(guard.status()) == tenure::ErrorKind::kRetrySafe) continue;
      if (guard.status().code() == absl::StatusCode::kAborted) continue;
      return 1;
    }
    if (!CountOnce(options, guard->token(), [&] { return guard->Valid(); })) {
      std::fprintf(stderr, "lost the lock, token %s\n", std::to_string(guard->token()).c_str());
      return 76;
    }
    // If it gets no answer, the cluster has it all the same, or the lease's end frees the lock.
    guard->Unlock().IgnoreError();
  }
  return 0;
}

int Run(const Options& options) {
  std::signal(SIGTERM, [](int) { stop = 1; });
  if (options.without_lock) {
    while (stop == 0) CountOnce(options, 0, [] { return true; });
    return 0;
  }
  if (!options.at.empty()) return CountUnderLock(options);
  const char* token = std::getenv("TENURE_FENCING_TOKEN");
  if (token == nullptr) {
    std::fprintf(stderr, "count_under_lock: no --at, and not run by `tenure lock`\n");
    return 64;
  }
  // `tenure lock` ends this process before the lease is over.
  CountOnce(options, std::strtoull(token, nullptr, 10), [] { return true; });
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Counts in a file, under a lock, until SIGTERM");
  Options options;
  app.add_option("--at", options.at, "tenure://host:port,...; else the caller is `tenure lock`");
  app.add_option("--lock", options.lock, "The lock's name");
  app.add_option("--counter", options.counter, "The file with the count")->required();
  app.add_option("--journal", options.journal, "Where to write down each time it held the lock")
      ->required();
  app.add_option("--hold-ms", options.hold_ms, "How long to hold the lock each time");
  app.add_option("--ttl-s", options.ttl_s, "The lease");
  app.add_flag("--without-lock", options.without_lock, "To see what becomes of the count then");
  app.add_flag("--verbose", options.verbose, "Say when it holds the lock");
  CLI11_PARSE(app, argc, argv);
  // gRPC prints, and Debian's Abseil checks mutexes for deadlocks; a program may turn that off.
  gpr_set_log_function([](gpr_log_func_args*) {});
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return Run(options);
}
