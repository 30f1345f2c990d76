// tenure_bench: runs the floor and a Tenure cluster in turn, and prints what Tenure costs as
// multiples of the floor. Absolute times mean nothing on a shared machine; ratios of neighbouring
// runs do.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/report/processes.h"

namespace tenure::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string bin;
  std::string json;
  double seconds = 2;
  int rounds = 5;
};

struct Case {
  std::string mode;
  std::string title;
  std::string figure;  // of a run, that is compared
  bool higher_is_better;
  double target;  // section 10's, as a ratio to the floor
};

const std::vector<Case>& Cases() {
  static const auto& cases = *new std::vector<Case>{
      {"one", "one client, one operation at a time, p50", "p50_us", false, 1.4},
      {"threads64", "64 blocking threads, operations per second", "operations_per_second", true, 0},
      {"inflight1024", "1,024 in flight, operations per second", "operations_per_second", true,
       0.4},
  };
  return cases;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// Of one run: many times what it takes.
std::chrono::seconds Limit(double seconds) {
  return std::chrono::seconds(60 + static_cast<std::int64_t>(10 * seconds));
}

// A leader and two followers, as far from consensus as can be.
class Floor {
 public:
  explicit Floor(const std::string& bin) : program_(bin + "/tenure_bench_floor") {
    std::string followers;
    for (int i = 0; i < 2; ++i) {
      servers_.emplace_back(std::vector<std::string>{program_, "--follower", "--port=0"});
      followers += (i == 0 ? "" : ",") + Address(&servers_.back());
    }
    servers_.emplace_back(
        std::vector<std::string>{program_, "--leader", "--followers=" + followers, "--port=0"});
    leader_ = Address(&servers_.back());
  }

  Json Measure(const std::string& mode, double seconds) const {
    return Json::parse(Run(
        {program_, "--client=" + leader_, "--mode=" + mode, "--seconds=" + std::to_string(seconds)},
        Limit(seconds)));
  }

 private:
  static std::string Address(Server* server) {
    const std::string line = server->ReadLine();  // "listening 127.0.0.1:PORT"
    return line.substr(line.find(' ') + 1);
  }

  const std::string program_;
  std::vector<Server> servers_;
  std::string leader_;
};

// Three members with default settings, in memory.
class Cluster {
 public:
  explicit Cluster(const std::string& bin) : bin_(bin) {
    std::string list;
    for (int i = 1; i <= 3; ++i) {
      const std::string address = "127.0.0.1:" + std::to_string(FreePort());
      endpoints_ += (i == 1 ? "" : ",") + address;
      list += (i == 1 ? "n" : ",n") + std::to_string(i) + "=" + address;
    }
    for (int i = 1; i <= 3; ++i) {
      servers_.emplace_back(std::vector<std::string>{
          bin + "/tenure", "serve", "--id=n" + std::to_string(i), "--cluster=" + list, "--new"});
    }
  }

  Json Measure(const std::string& mode, double seconds) const {
    return Json::parse(Run({bin_ + "/tenure_bench_locks", "--endpoints=" + endpoints_,
                            "--mode=" + mode, "--seconds=" + std::to_string(seconds)},
                           Limit(seconds)));
  }

 private:
  const std::string bin_;
  std::string endpoints_;
  std::vector<Server> servers_;
};

// Runs of both sides in turn, so that a drift of the machine meets both.
Json MeasureCase(const Case& each, const Options& options, const Floor& floor,
                 const Cluster& cluster) {
  Json runs = Json::array();
  std::vector<double> floors, tenures, ratios;
  for (int round = 0; round < options.rounds; ++round) {
    const Json a = floor.Measure(each.mode, options.seconds);
    const Json b = cluster.Measure(each.mode, options.seconds);
    floors.push_back(a[each.figure]);
    tenures.push_back(b[each.figure]);
    ratios.push_back(tenures.back() / floors.back());
    runs.push_back({{"floor", a}, {"tenure", b}});
  }
  Json result{{"case", each.title},
              {"mode", each.mode},
              {"figure", each.figure},
              {"floor", Median(floors)},
              {"tenure", Median(tenures)},
              {"ratio", Median(ratios)},
              {"ratio_min", *std::min_element(ratios.begin(), ratios.end())},
              {"ratio_max", *std::max_element(ratios.begin(), ratios.end())}};
  if (each.target > 0) result["target_ratio"] = each.target;
  result["runs"] = std::move(runs);
  return result;
}

void PrintRow(const Case& each, const Json& result) {
  char target[32] = "-";
  if (each.target > 0) {
    std::snprintf(target, sizeof target, "%s %.2f",
                  each.higher_is_better ? ">=" : "<=", each.target);
  }
  std::printf("%-46s %12.1f %12.1f %7.2f  (%.2f to %.2f)  %s\n", each.title.c_str(),
              result["floor"].get<double>(), result["tenure"].get<double>(),
              result["ratio"].get<double>(), result["ratio_min"].get<double>(),
              result["ratio_max"].get<double>(), target);
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  CLI::App app("What Tenure costs, as multiples of a bare gRPC relay");
  Options options;
  app.add_option("--bin", options.bin, "Directory of the programs")->required();
  app.add_option("--json", options.json, "Where to write all figures");
  app.add_option("--seconds", options.seconds, "Of each run");
  app.add_option("--rounds", options.rounds, "Pairs of runs of each case")
      ->check(CLI::Range(1, 100));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 64;
  }
  std::printf("%-46s %12s %12s %7s  %-14s  %s\n", "case (3 members, loopback, in memory)", "floor",
              "tenure", "ratio", "(spread)", "target");
  Json results = Json::array();
  const Floor floor(options.bin);
  const Cluster cluster(options.bin);
  for (const Case& each : Cases()) {
    results.push_back(MeasureCase(each, options, floor, cluster));
    PrintRow(each, results.back());
  }
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << Json{{"seconds", options.seconds}, {"rounds", options.rounds}, {"cases", results}}.dump(
                2)
         << "\n";
    if (!file.flush()) {
      std::fprintf(stderr, "tenure_bench: cannot write %s\n", options.json.c_str());
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace tenure::bench

int main(int argc, char** argv) { return tenure::bench::Main(argc, argv); }
