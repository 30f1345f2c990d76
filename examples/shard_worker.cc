// Workers that share out shards among themselves: each shard is one lock, and has one worker at a
// time. A worker that dies is replaced by whoever waits, within the lease.
//
//   shard_worker tenure://127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403 NAME SHARDS AT_MOST
//
// Waits for all shards at once, which costs no thread, until it has AT_MOST of them; then it leaves
// the other queues to others. Runs until its input ends.
#include <unistd.h>

#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/tenure.h"

namespace {

class Worker {
 public:
  Worker(tenure::Coordinator coordinator, std::string name, int shards, std::size_t at_most)
      : coordinator_(std::move(coordinator)),
        name_(std::move(name)),
        shards_(shards),
        at_most_(at_most) {}

  // Until `end` is stopped. What callbacks bring is done here: they must not block.
  void Run(const std::stop_token& end) {
    const std::stop_callback wake(end, [this] { Wake(); });
    while (!end.stop_requested()) {
      for (auto it = held_.begin(); it != held_.end();) {
        if (it->second.guard.Valid()) {
          ++it;
          continue;
        }
        Say("loses", it->first, it->second.guard.token());
        it = held_.erase(it);
      }
      if (held_.size() < at_most_ && waits_.stop_requested()) waits_ = std::stop_source();
      if (held_.size() < at_most_) AskForTheRest();
      Await();
      for (auto& [shard, guard] : std::exchange(granted_, {})) {
        waiting_.erase(shard);
        if (!guard.ok() || held_.size() >= at_most_) continue;  // one too many is given back
        Say("works on", shard, guard->token());
        const std::stop_token lost = guard->lost();
        held_.try_emplace(shard, *std::move(guard), lost, [this] { Wake(); });
      }
      if (held_.size() >= at_most_) waits_.request_stop();
    }
    waits_.request_stop();
    // Each wait calls back once, also one that is cancelled; this must live until then.
    while (!waiting_.empty()) {
      Await();
      for (const auto& [shard, guard] : std::exchange(granted_, {})) waiting_.erase(shard);
    }
  }

 private:
  // A shard that it works on; it is woken when that is lost.
  struct Held {
    template <typename OnLost>
    Held(tenure::LockGuard g, const std::stop_token& lost, OnLost on_lost)
        : guard(std::move(g)), callback(lost, std::move(on_lost)) {}
    tenure::LockGuard guard;
    std::stop_callback<std::function<void()>> callback;
  };

  void AskForTheRest() {
    for (int shard = 0; shard < shards_; ++shard) {
      if (held_.count(shard) > 0 || !waiting_.emplace(shard, true).second) continue;
      coordinator_.mutex(absl::StrCat("shards/", shard))
          .Lock({.value = name_, .cancel = waits_.get_token()},
                [this, shard](absl::StatusOr<tenure::LockGuard> guard) {
                  {
                    const std::lock_guard<std::mutex> lock(mutex_);
                    came_.emplace(shard, std::move(guard));
                  }
                  Wake();
                });
    }
  }

  void Wake() {
    const std::lock_guard<std::mutex> lock(mutex_);
    woken_ = true;
    something_.notify_one();
  }
  void Await() {
    std::unique_lock<std::mutex> lock(mutex_);
    something_.wait(lock, [this] { return woken_; });
    woken_ = false;
    granted_.swap(came_);
  }

  void Say(const char* what, int shard, tenure::Revision token) const {
    std::printf("%s %s shard %d, token %llu\n", name_.c_str(), what, shard,
                static_cast<unsigned long long>(token));
    std::fflush(stdout);
  }

  using Guards = std::map<int, absl::StatusOr<tenure::LockGuard>>;

  tenure::Coordinator coordinator_;
  const std::string name_;
  const int shards_;
  const std::size_t at_most_;
  std::map<int, Held> held_;
  std::map<int, bool> waiting_;
  std::stop_source waits_;
  Guards granted_;

  std::mutex mutex_;
  std::condition_variable something_;
  bool woken_ = false;
  Guards came_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 || std::atoi(argv[3]) < 1 || std::atoi(argv[4]) < 1) {
    std::fprintf(stderr, "usage: shard_worker WHERE NAME SHARDS AT_MOST\n");
    return 64;
  }
  absl::StatusOr<tenure::Coordinator> coordinator =
      tenure::Open(argv[1], {.session = {.ttl = absl::Seconds(2), .label = argv[2]}});
  if (!coordinator.ok()) {
    std::fprintf(stderr, "%s\n", coordinator.status().ToString().c_str());
    return 64;
  }
  Worker worker(*coordinator, argv[2], std::atoi(argv[3]),
                static_cast<std::size_t>(std::atoi(argv[4])));
  std::jthread works([&worker](const std::stop_token& end) { worker.Run(end); });
  while (std::getchar() != EOF) continue;
  return 0;
}
