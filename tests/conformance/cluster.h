// Three members in this process: what the member and remote backends are tried on.
#ifndef TENURE_TESTS_CONFORMANCE_CLUSTER_H_
#define TENURE_TESTS_CONFORMANCE_CLUSTER_H_

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

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
      Addresses addresses, const std::function<std::unique_ptr<Transport>()>& new_transport);

  const Addresses& addresses() const { return addresses_; }
  Member& member(int i) { return *members_[static_cast<std::size_t>(i)]; }
  bool running(int i) const { return members_[static_cast<std::size_t>(i)] != nullptr; }

  // Waits until a leader serves that `can_lead` lets pass; which it is.
  int AwaitLeader(const std::function<bool(int)>& can_lead = nullptr);
  // Ends a member without a word to anybody.
  void Kill(int i) { members_[static_cast<std::size_t>(i)] = nullptr; }

 private:
  explicit Cluster(Addresses addresses) : addresses_(std::move(addresses)) {}

  const Addresses addresses_;
  std::array<std::unique_ptr<Member>, kSize> members_;
};

// Runs something once, on a thread of its own, when it is told to or when it ends.
class Trigger {
 public:
  explicit Trigger(std::function<void()> action);
  ~Trigger();
  void Pull();

 private:
  std::atomic<bool> pulled_ = false;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

// A backend that pulls a trigger with the `at`th command of all clients: what was sent just before
// is then under way.
class Tripwire {
 public:
  Tripwire(int at, std::function<void()> action) : at_(at), trigger_(std::move(action)) {}

  Coordinator Guard(const Coordinator& coordinator, CoordinatorOptions options);
  void Count() {
    if (++count_ == at_) trigger_.Pull();
  }

 private:
  const int at_;
  std::atomic<int> count_ = 0;
  Trigger trigger_;
};

}  // namespace tenure::conformance

#endif  // TENURE_TESTS_CONFORMANCE_CLUSTER_H_
