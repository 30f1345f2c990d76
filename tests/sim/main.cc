// tenure_sim: whole clusters on virtual time, by seeds.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "tests/sim/run.h"

namespace tenure::sim {
namespace {

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// What many runs add up to.
struct Total {
  std::uint64_t seeds = 0;
  absl::Duration simulated;
  absl::Duration simulated_of_three;  // by clusters of three members
  double cpu_of_three = 0;
  double cpu = 0;
  double slowest = 0;
  std::uint64_t slowest_seed = 0;
  std::uint64_t events = 0, entries = 0, leaders = 0, calls = 0, searches = 0;
  Scene::Counts counts;
  Marks marks;

  void Add(const Outcome& run, double seconds) {
    ++seeds;
    simulated += run.simulated;
    cpu += seconds;
    if (run.plan.members == 3) {
      simulated_of_three += run.simulated;
      cpu_of_three += seconds;
    }
    if (seconds > slowest) {
      slowest = seconds;
      slowest_seed = run.plan.seed;
    }
    events += run.events;
    entries += run.entries;
    leaders += run.leader_changes;
    calls += run.checked_calls;
    searches += run.searches;
    counts.grants += run.counts.grants;
    counts.unlocks += run.counts.unlocks;
    counts.reads += run.counts.reads;
    counts.losses += run.counts.losses;
    counts.faults += run.counts.faults;
    counts.restarts += run.counts.restarts;
    counts.gate_writes += run.counts.gate_writes;
    counts.gate_refusals += run.counts.gate_refusals;
    marks.Add(run.marks);
  }

  void Print() const {
    const double seconds = absl::ToDoubleSeconds(simulated);
    std::printf(
        "%llu seeds, %.2f simulated hours, %.1f faults a run, %.3f s of CPU a seed (slowest %.3f "
        "s, "
        "seed %llu), %.0f x real time",
        static_cast<unsigned long long>(seeds), seconds / 3600,
        static_cast<double>(counts.faults) / static_cast<double>(seeds),
        cpu / static_cast<double>(seeds), slowest, static_cast<unsigned long long>(slowest_seed),
        seconds / cpu);
    if (cpu_of_three > 0)
      std::printf(" (3 members: %.0f x)", absl::ToDoubleSeconds(simulated_of_three) / cpu_of_three);
    std::printf(
        "\n%llu events, %llu entries, %llu leaders, %llu restarts, %llu grants, %llu unlocks, %llu "
        "reads, %llu sessions lost, %llu writes through a gate, %llu refused by it, %llu calls "
        "checked for linearizability (%llu histories searched)\n",
        static_cast<unsigned long long>(events), static_cast<unsigned long long>(entries),
        static_cast<unsigned long long>(leaders), static_cast<unsigned long long>(counts.restarts),
        static_cast<unsigned long long>(counts.grants),
        static_cast<unsigned long long>(counts.unlocks),
        static_cast<unsigned long long>(counts.reads),
        static_cast<unsigned long long>(counts.losses),
        static_cast<unsigned long long>(counts.gate_writes),
        static_cast<unsigned long long>(counts.gate_refusals),
        static_cast<unsigned long long>(calls), static_cast<unsigned long long>(searches));
    std::printf("visited:");
    const char* comma = "";
    for (const auto& [path, times] : marks.visits()) {
      std::printf("%s %s %llu", comma, path.c_str(), static_cast<unsigned long long>(times));
      comma = ",";
    }
    std::printf("\n");
  }
};

// 0 if it was clean.
int One(std::uint64_t seed, const std::string& program, bool verbose, Total* total) {
  const double before = CpuSeconds();
  const Outcome outcome = RunSeed(seed, {.verbose = verbose});
  total->Add(outcome, CpuSeconds() - before);
  if (outcome.violations.empty()) {
    if (verbose) std::printf("seed %llu: clean\n", static_cast<unsigned long long>(seed));
    return 0;
  }
  if (!verbose) {
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed),
                outcome.plan.Describe().c_str());
    for (const std::string& line : outcome.last_lines) std::printf("%s\n", line.c_str());
  }
  total->Print();
  std::printf("seed %llu violates after %llu seeds and %.1f s of CPU: %s\n",
              static_cast<unsigned long long>(seed), static_cast<unsigned long long>(total->seeds),
              total->cpu, outcome.violations.front().c_str());
  std::printf("%s --seed=%llu\n", program.c_str(), static_cast<unsigned long long>(seed));
  return 1;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Simulates whole clusters of members and clients on virtual time, by seeds, and "
      "checks what must hold. Exits with 1, and the command to replay it as the last line, "
      "at the first violation.");
  std::uint64_t seed = 0;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  double minutes = 0;
  bool verbose = false;
  CLI::Option* const one = app.add_option("--seed", seed, "Run this one, and print its trace hash");
  CLI::Option* const many =
      app.add_option("--first-seed", first, "Run --count seeds from this one on")->excludes(one);
  CLI::Option* const how_many =
      app.add_option("--count", count, "How many seeds")->excludes(one)->check(CLI::PositiveNumber);
  CLI::Option* const fresh = app.add_option("--minutes", minutes, "Run fresh seeds for that long")
                                 ->excludes(one)
                                 ->excludes(many)
                                 ->excludes(how_many)
                                 ->check(CLI::PositiveNumber);
  app.add_flag("--verbose", verbose, "Print the time line of each run");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 64;
  }
  const std::string program = argv[0];
  Total total;

  if (one->count() > 0) {
    const double before = CpuSeconds();
    const Outcome outcome = RunSeed(seed, {.verbose = verbose});
    total.Add(outcome, CpuSeconds() - before);
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed),
                outcome.plan.Describe().c_str());
    if (!outcome.violations.empty() && !verbose) {
      for (const std::string& line : outcome.last_lines) std::printf("%s\n", line.c_str());
    }
    total.Print();
    std::printf("trace hash %016llx\n", static_cast<unsigned long long>(outcome.trace_hash));
    for (const std::string& violation : outcome.violations)
      std::printf("VIOLATED %s\n", violation.c_str());
    if (outcome.violations.empty()) return 0;
    std::printf("%s --seed=%llu\n", program.c_str(), static_cast<unsigned long long>(seed));
    return 1;
  }
  if (fresh->count() == 0) {
    if (count == 0) count = 1;
    for (std::uint64_t i = 0; i < count; ++i) {
      if (One(first + i, program, verbose, &total) != 0) return 1;
    }
    total.Print();
    return 0;
  }
  std::random_device device;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(minutes * 60);
  // One random beginning, printed; the seeds count on from it.
  std::uint64_t next = std::uint64_t{device()} << 16;
  std::printf("fresh seeds from %llu on\n", static_cast<unsigned long long>(next));
  std::fflush(stdout);
  while (std::chrono::steady_clock::now() < end) {
    if (One(next++, program, verbose, &total) != 0) return 1;
  }
  total.Print();
  return 0;
}

}  // namespace
}  // namespace tenure::sim

int main(int argc, char** argv) { return tenure::sim::Main(argc, argv); }
