// A client on virtual time, its network, and a rival without faults.
#ifndef TENURE_TESTS_CLIENT_FIXTURE_H_
#define TENURE_TESTS_CLIENT_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "backends/local.h"
#include "client/faulty_backend.h"
#include "tenure/coordinator.h"
#include "tenure/mutex.h"
#include "tenure/session.h"
#include "tenure/testing/world.h"

namespace tenure::client {

using Guard = absl::StatusOr<LockGuard>;

template <typename T>
class Caught {
 public:
  auto Callback() {
    return [state = state_](T value) {
      EXPECT_FALSE(state->has_value()) << "called twice";
      state->emplace(std::move(value));
    };
  }
  bool here() const { return state_->has_value(); }
  T& operator*() { return **state_; }
  T* operator->() { return &**state_; }

 private:
  std::shared_ptr<std::optional<T>> state_ = std::make_shared<std::optional<T>>();
};

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() {
    machine_ = backends::LocalBackend::New(&server_.loop());
    net_ = std::make_shared<FaultyBackend>(&node_.loop(), machine_);
    client_ = Coordinator(net_);
    rival_ = Coordinator(machine_);
  }

  Session Open(SessionOptions options = {}) { return OpenAt(client_, std::move(options)); }
  Session OpenAt(Coordinator& coordinator, SessionOptions options = {}) {
    Caught<absl::StatusOr<Session>> opened;
    coordinator.OpenSession(std::move(options), opened.Callback());
    EXPECT_TRUE(world_.RunUntil([&] { return opened.here(); }, absl::Seconds(60)));
    EXPECT_TRUE(opened->ok()) << opened->status();
    return opened->ok() ? **opened : Session();
  }
  template <typename Handle>  // a Session or a Coordinator
  Guard Lock(Handle& on, const std::string& name, LockOptions options = {}) {
    Caught<Guard> got;
    on.mutex(name).Lock(std::move(options), got.Callback());
    EXPECT_TRUE(world_.RunUntil([&] { return got.here(); }, absl::Hours(1)));
    return std::move(*got);
  }
  template <typename Handle>
  bool IsFree(Handle& on, const std::string& name) {
    return Lock(on, name, {.wait = absl::ZeroDuration()}).ok();
  }
  // Loses all of the client's commands from now on, or of one kind.
  void CutOff(Fate fate = Fate::kLoseRequest) {
    net_->fate = [fate](const Command&) { return fate; };
  }
  template <typename T>
  void Only(Fate fate) {
    net_->fate = [fate](const Command& command) { return Is<T>(command) ? fate : Fate::kPass; };
  }
  // The first `times` commands of a kind meet that fate.
  template <typename T>
  void First(int times, Fate fate) {
    net_->fate = [fate, times](const Command& command) mutable {
      return Is<T>(command) && times-- > 0 ? fate : Fate::kPass;
    };
  }
  void Heal() { net_->fate = nullptr; }

  tenure::testing::World world_{1};
  tenure::testing::VirtualNode& node_ = world_.AddNode("client");
  tenure::testing::VirtualNode& server_ = world_.AddNode("server");
  std::shared_ptr<backends::LocalBackend> machine_;
  std::shared_ptr<FaultyBackend> net_;
  Coordinator client_;
  Coordinator rival_;
};

}  // namespace tenure::client

#endif  // TENURE_TESTS_CLIENT_FIXTURE_H_
