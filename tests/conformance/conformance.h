// One suite for all backends: what handles promise, whatever is below. A backend instantiates it in
// a small file of its own:
//
//   INSTANTIATE_TEST_SUITE_P(Local, Conformance, testing::Values(BackendCase{"local", &NewLocal}),
//                            BackendCase::Name);
//
// and links tenure_conformance. Tests go through public handles; where a client is needed that
// died, they send its commands through Coordinator::backend() and then nothing more.
#ifndef TENURE_TESTS_CONFORMANCE_CONFORMANCE_H_
#define TENURE_TESTS_CONFORMANCE_CONFORMANCE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "tenure/coordinator.h"

namespace tenure::conformance {

// What a backend may lack. Tests that need it are skipped then.
enum class Capability {
  kValues,    // a holder's value can be inspected
  kSessions,  // sessions can be listed
};

// A running cluster, empty, or what stands for one. Destroyed after all that came out of it.
class BackendFixture {
 public:
  virtual ~BackendFixture() = default;
  // A client of its own: a new connection, if there are connections.
  virtual Coordinator Connect(CoordinatorOptions options = {}) = 0;
  // Kills the leader, if there is one whose death the cluster survives; false if not.
  virtual bool KillLeader() { return false; }
  virtual bool Has(Capability /*capability*/) const { return true; }
  // Threads that may come and go by themselves while a test counts them.
  virtual int ThreadSlack() const { return 0; }
};

struct BackendCase {
  std::string name;
  std::unique_ptr<BackendFixture> (*make)();

  static std::string Name(const testing::TestParamInfo<BackendCase>& info) {
    return info.param.name;
  }
};

class Conformance : public testing::TestWithParam<BackendCase> {
 protected:
  Conformance()
      : fixture_(GetParam().make()), one_(fixture_->Connect()), two_(fixture_->Connect()) {}

  BackendFixture& fixture() { return *fixture_; }
  // Two clients.
  Coordinator& one() { return one_; }
  Coordinator& two() { return two_; }

 private:
  std::unique_ptr<BackendFixture> fixture_;
  Coordinator one_;
  Coordinator two_;
};

// Something that a callback will bring. Kept alive by its callbacks.
template <typename T>
class Awaited {
 public:
  // A callback, to be given away once.
  auto Callback() {
    return [state = state_](T value) {
      const std::lock_guard<std::mutex> lock(state->mutex);
      state->value.emplace(std::move(value));
      state->changed.notify_all();
    };
  }
  bool IsHere() const {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    return state_->value.has_value();
  }
  // Takes it. If it does not come, the test is over; only then does this take long.
  T Get() {
    std::unique_lock<std::mutex> lock(state_->mutex);
    if (!state_->changed.wait_for(lock, std::chrono::seconds(30),
                                  [this] { return state_->value.has_value(); })) {
      ADD_FAILURE() << "waited 30 s for what did not come";
      std::abort();
    }
    return *std::move(state_->value);
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<T> value;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace tenure::conformance

#endif  // TENURE_TESTS_CONFORMANCE_CONFORMANCE_H_
