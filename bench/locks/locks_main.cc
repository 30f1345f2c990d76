// tenure_bench_locks: lock cycles against a cluster, counted as operations: a cycle is an acquire
// and a release, each a replicated command.
#include <absl/synchronization/mutex.h>
#include <grpc/support/log.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/floor/histogram.h"
#include "tenure/tenure.h"

namespace tenure::bench {
namespace {

using floor::Histogram;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string endpoints;
  std::string mode = "one";
  double seconds = 5;
  double warmup = 0.5;
};

// When operations start to count, and when they end.
struct Window {
  Clock::time_point begin;
  Clock::time_point end;
};

Window WindowFromNow(const Options& options) {
  using std::chrono::duration;
  const auto begin =
      Clock::now() + duration_cast<Clock::duration>(duration<double>(options.warmup));
  return {begin, begin + duration_cast<Clock::duration>(duration<double>(options.seconds))};
}

// A benchmark has no use for half a run.
void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "tenure_bench_locks: %s\n", status.ToString().c_str());
  std::_Exit(1);
}

// Locks and unlocks again and again until the window ends; each of the two is an operation.
void CycleUntilEnd(Mutex mutex, Window window, Histogram* histogram) {
  for (auto start = Clock::now(); start < window.end;) {
    absl::StatusOr<LockGuard> guard = mutex.Lock();
    Require(guard.status());
    const auto locked = Clock::now();
    Require(guard->Unlock());
    const auto now = Clock::now();
    if (start >= window.begin && now < window.end) {
      histogram->Add(locked - start);
      histogram->Add(now - locked);
    }
    start = now;
  }
}

void RunThreads(const Coordinator& coordinator, const Options& options, int count,
                Histogram* histogram) {
  const Window window = WindowFromNow(options);
  std::vector<Histogram> histograms(count);
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      CycleUntilEnd(coordinator.mutex("bench/" + std::to_string(i)), window, &histograms[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Histogram& one : histograms) histogram->Add(one);
}

// One of the cycles in flight: begins anew from its own callback until the window ends.
class Chain {
 public:
  Chain(Mutex mutex, Window window, Histogram* histogram, std::atomic<int>* running)
      : mutex_(std::move(mutex)), window_(window), histogram_(histogram), running_(running) {}

  void Lock() {
    start_ = Clock::now();
    if (start_ >= window_.end) {
      running_->fetch_sub(1);
      running_->notify_one();
      return;
    }
    mutex_.Lock({}, [this](absl::StatusOr<LockGuard> guard) {
      Require(guard.status());
      Count();
      guard_ = *std::move(guard);
      guard_.Unlock(absl::Seconds(5), [this](absl::Status status) {
        Require(status);
        Count();
        Lock();
      });
    });
  }

 private:
  void Count() {
    const auto now = Clock::now();
    if (start_ >= window_.begin && now < window_.end) histogram_->Add(now - start_);
    start_ = now;
  }

  Mutex mutex_;
  const Window window_;
  Histogram* const histogram_;  // callbacks run on one thread
  std::atomic<int>* const running_;
  LockGuard guard_;
  Clock::time_point start_;
};

void RunInFlight(const Coordinator& coordinator, const Options& options, int count,
                 Histogram* histogram) {
  const Window window = WindowFromNow(options);
  std::atomic<int> running = count;
  std::deque<Chain> chains;
  for (int i = 0; i < count; ++i) {
    chains.emplace_back(coordinator.mutex("bench/" + std::to_string(i)), window, histogram,
                        &running);
    chains.back().Lock();
  }
  for (int now = running.load(); now > 0; now = running.load()) running.wait(now);
}

int Main(int argc, char** argv) {
  CLI::App app("Lock cycles against a Tenure cluster");
  Options options;
  app.add_option("--endpoints", options.endpoints, "Members, host:port, separated by commas")
      ->required();
  app.add_option("--mode", options.mode, "How operations are issued")
      ->check(CLI::IsMember({"one", "threads64", "inflight1024"}));
  app.add_option("--seconds", options.seconds, "How long to measure");
  app.add_option("--warmup", options.warmup, "Seconds before that");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 64;
  }
  // Costs 6 to 12 % of one operation, and is a matter of the whole process: only a program may.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  gpr_set_log_function([](gpr_log_func_args*) {});

  absl::StatusOr<Coordinator> coordinator = Open("tenure://" + options.endpoints);
  Require(coordinator.status());
  const auto histogram = std::make_unique<Histogram>();
  if (options.mode == "one")
    CycleUntilEnd(coordinator->mutex("bench/0"), WindowFromNow(options), histogram.get());
  if (options.mode == "threads64") RunThreads(*coordinator, options, 64, histogram.get());
  if (options.mode == "inflight1024") RunInFlight(*coordinator, options, 1024, histogram.get());
  const auto operations = histogram->total();
  std::cout << nlohmann::ordered_json{{"mode", options.mode},
                                      {"operations", operations},
                                      {"seconds", options.seconds},
                                      {"operations_per_second", operations / options.seconds},
                                      {"p50_us", histogram->Quantile(0.5)},
                                      {"p99_us", histogram->Quantile(0.99)}}
            << std::endl;
  return 0;
}

}  // namespace
}  // namespace tenure::bench

int main(int argc, char** argv) { return tenure::bench::Main(argc, argv); }
