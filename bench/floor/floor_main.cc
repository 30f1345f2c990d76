// tenure_bench_floor: a bare gRPC relay, the least that a replicated operation can cost.
#include <absl/synchronization/mutex.h>
#include <grpc/support/log.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "bench/floor/client.h"
#include "bench/floor/histogram.h"
#include "bench/floor/relay.h"

namespace tenure::bench::floor {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  bool follower = false;
  bool leader = false;
  RelayOptions relay;
  std::vector<std::string> followers;
  std::string client;
  std::string mode = "one";
  double seconds = 5;
  double warmup = 0.5;
  size_t payload = 32;
  int spin_us = Loop::kDefaultSpin.count();
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

// Calls again and again until the window ends.
template <typename Client>
void CallUntilEnd(Client* client, const std::string& payload, Window window, Histogram* histogram) {
  for (auto start = Clock::now(); start < window.end;) {
    client->Call(payload);
    const auto now = Clock::now();
    if (start >= window.begin && now < window.end) histogram->Add(now - start);
    start = now;
  }
}

void RunOne(const Options& options, Histogram* histogram) {
  DirectClient client(options.client, options.relay.spin);
  CallUntilEnd(&client, std::string(options.payload, 'x'), WindowFromNow(options), histogram);
}

void RunThreads(const Options& options, int count, Histogram* histogram) {
  SharedClient client(options.client, options.relay.spin);
  const Window window = WindowFromNow(options);
  std::vector<Histogram> histograms(count);
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      // Payloads of their own: a reply to the wrong caller would be noticed.
      CallUntilEnd(&client, std::string(options.payload, static_cast<char>('0' + i)), window,
                   &histograms[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Histogram& one : histograms) histogram->Add(one);
}

// One of the operations in flight: issues itself again until the window ends.
class Chain : public SharedClient::Callback {
 public:
  Chain(SharedClient* client, std::string payload, Window window, Histogram* histogram)
      : client_(client), payload_(std::move(payload)), window_(window), histogram_(histogram) {
    client_->Submit(payload_, this);
  }

  void OnReply(const std::string& payload, Clock::time_point now) override {
    if (payload != payload_) std::abort();
    if (start_ >= window_.begin && now < window_.end) histogram_->Add(now - start_);
    if (now >= window_.end) return;
    start_ = now;
    client_->Submit(payload_, this);
  }

 private:
  SharedClient* const client_;
  const std::string payload_;
  const Window window_;
  Histogram* const histogram_;
  Clock::time_point start_ = Clock::now();
};

void RunInFlight(const Options& options, int count, Histogram* histogram) {
  std::deque<Chain> chains;
  SharedClient client(options.client, options.relay.spin);  // ends when the last reply is there
  const Window window = WindowFromNow(options);
  for (int i = 0; i < count; ++i) {
    chains.emplace_back(&client, std::string(options.payload, static_cast<char>(i)), window,
                        histogram);
  }
}

int RunClient(const Options& options) {
  auto histogram = std::make_unique<Histogram>();
  if (options.mode == "one") RunOne(options, histogram.get());
  if (options.mode == "threads64") RunThreads(options, 64, histogram.get());
  if (options.mode == "inflight1024") RunInFlight(options, 1024, histogram.get());
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

void Define(CLI::App* app, Options* options) {
  auto* follower =
      app->add_flag("--follower", options->follower, "Acknowledge what a leader sends");
  auto* leader = app->add_flag("--leader", options->leader, "Forward to followers, answer clients");
  auto* client = app->add_option("--client", options->client, "Measure the leader at this address");
  app->add_option("--followers", options->followers, "Addresses, separated by commas")
      ->delimiter(',')
      ->needs(leader);
  app->add_option("--port", options->relay.port, "Port of leader or follower; 0: any free one");
  app->add_option("--mode", options->mode, "How operations are issued")
      ->check(CLI::IsMember({"one", "threads64", "inflight1024"}))
      ->needs(client);
  app->add_option("--seconds", options->seconds, "How long to measure")->needs(client);
  app->add_option("--warmup", options->warmup, "Seconds before that")->needs(client);
  app->add_option("--payload", options->payload, "Bytes of an operation")->needs(client);
  app->add_option("--spin", options->spin_us, "Microseconds to poll before blocking; 0: none");
  follower->excludes(leader)->excludes(client);
  leader->excludes(client);
}

int Main(int argc, char** argv) {
  CLI::App app("A bare gRPC relay: the floor of Tenure's benchmark");
  Options options;
  Define(&app, &options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 64;  // 0: help was asked for
  }
  options.relay.spin = std::chrono::microseconds(options.spin_us);
  // Costs 6 to 12 % of one operation, and is a matter of the whole process: only a program may.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  gpr_set_log_function([](gpr_log_func_args*) {});
  if (!options.client.empty()) return RunClient(options);
  // Before gRPC starts threads: they inherit it, and the signals wait for the one that asks.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  if (options.follower) return RunFollower(options.relay);
  if (options.leader && !options.followers.empty()) {
    return RunLeader(options.relay, options.followers);
  }
  std::fprintf(stderr,
               "tenure_bench_floor: give --follower, --leader --followers=…, or "
               "--client=ADDRESS; see --help\n");
  return 64;
}

}  // namespace
}  // namespace tenure::bench::floor

int main(int argc, char** argv) { return tenure::bench::floor::Main(argc, argv); }
