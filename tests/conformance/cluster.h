// Three members in this process: what the member and remote backends are tried on.
#ifndef TENURE_TESTS_CONFORMANCE_CLUSTER_H_
#define TENURE_TESTS_CONFORMANCE_CLUSTER_H_

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "conformance/conformance.h"
#include "tenure/backend.h"
#include "tenure/coordinator.h"
#include "tenure/member.h"
#include "tenure/transport.h"

namespace tenure::conformance {

class Cluster {
 public:
  static constexpr int kSize = 3;
  using Addresses = std::array<std::string, kSize>;

  // Starts three members. Fails, with nothing left running, if one does not start.
  static absl::StatusOr<std::unique_ptr<Cluster>> Start(
      Addresses addresses, Elections elections,
      std::function<std::unique_ptr<Transport>()> new_transport);

  const Addresses& addresses() const { return addresses_; }
  Member& member(int i) { return *members_[static_cast<std::size_t>(i)]; }
  bool running(int i) const { return members_[static_cast<std::size_t>(i)] != nullptr; }

  // Waits until a leader serves that `can_lead` lets pass; which it is.
  int AwaitLeader(const std::function<bool(int)>& can_lead = nullptr);
  // Ends a member, if it runs, without a word to anybody. From any thread.
  void Kill(int i);
  // Ends all that still run, and starts three members with their names at their addresses, that
  // know nothing of the others: another cluster.
  absl::Status Restart();

 private:
  Cluster(Addresses addresses, Elections elections,
          std::function<std::unique_ptr<Transport>()> new_transport)
      : addresses_(std::move(addresses)),
        elections_(elections),
        new_transport_(std::move(new_transport)) {}

  absl::Status StartMembers();

  const Addresses addresses_;
  const Elections elections_;
  const std::function<std::unique_ptr<Transport>()> new_transport_;
  std::mutex killing_;
  std::array<std::unique_ptr<Member>, kSize> members_;
};

// Runs `action`, on a thread of its own, once the `at`th command has been sent by all the
// coordinators that it watches: that command is under way then.
class Tripwire {
 public:
  Tripwire(int at, std::function<void()> action);
  ~Tripwire();

  // A coordinator on the same backend, which is watched. It may outlive this.
  Coordinator Watch(const Coordinator& coordinator, CoordinatorOptions options);

 private:
  class WatchedBackend;
  struct Wire {
    const int at;
    std::atomic<int> sent = 0;
    std::atomic<bool> tripped = false;

    void Trip() {
      tripped = true;
      tripped.notify_all();
    }
  };

  const std::shared_ptr<Wire> wire_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

}  // namespace tenure::conformance

#endif  // TENURE_TESTS_CONFORMANCE_CLUSTER_H_
