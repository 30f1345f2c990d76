// One suite for all backends: what handles promise, whatever is below. A backend instantiates it in
// a small file of its own:
//
//   INSTANTIATE_TEST_SUITE_P(Local, Conformance,
//                            testing::Values(BackendCase{"local", &NewLocal,
//                            {Capability::kOutage}}), BackendCase::Name);
//
// and links tenure_conformance. Tests go through public handles; where a client is needed that
// died, they send its commands through Coordinator::backend() and then nothing more.
//
// What a backend lacks is named, here and in docs/backends.md; a test that needs it is skipped and
// says why.
#ifndef TENURE_TESTS_CONFORMANCE_CONFORMANCE_H_
#define TENURE_TESTS_CONFORMANCE_CONFORMANCE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tenure/coordinator.h"

namespace tenure::conformance {

// What a backend may be able to do, beyond what all do.
enum class Capability {
  kValues,      // a holder's value can be inspected
  kSessions,    // sessions can be listed
  kLeaderKill,  // there is a leader, whose death the clients survive
  kLeaderCut,   // the leader can be cut off from the others, and be joined to them again
  kOutage,      // all that answers can go away while the clients live on
  kRestart,     // all that answers can go, and come again without any memory
  kSteady,      // nothing is killed while a test runs: answers come at once
};

inline const char* NameOf(Capability capability) {
  switch (capability) {
    case Capability::kValues:
      return "values";
    case Capability::kSessions:
      return "listed sessions";
    case Capability::kLeaderKill:
      return "a leader that can be killed";
    case Capability::kLeaderCut:
      return "a leader that can be cut off";
    case Capability::kOutage:
      return "an outage";
    case Capability::kRestart:
      return "a full restart";
    case Capability::kSteady:
      return "a steady leader";
  }
  return "?";
}

// A running cluster, empty, or what stands for one. Destroyed after all that came out of it.
class BackendFixture {
 public:
  virtual ~BackendFixture() = default;
  // A client of its own: a new connection, if there are connections.
  virtual Coordinator Connect(CoordinatorOptions options = {}) = 0;
  // kLeaderKill. Once, as the cluster survives one death.
  virtual void KillLeader() { ADD_FAILURE() << "there is no leader to kill"; }
  // kLeaderCut. Cuts the leader off, until another has taken over; then it may come back.
  virtual void DeposeLeader() { ADD_FAILURE() << "there is no leader to depose"; }
  // kOutage. From now on nobody answers.
  virtual void TakeDown() { ADD_FAILURE() << "there is nothing to take down"; }
  // kRestart. Ends all that answers, and starts it again at the same place, as a new cluster that
  // knows nothing. Whether clients that were connected before find that one.
  virtual bool Restart() {
    ADD_FAILURE() << "there is nothing to start again";
    return false;
  }
  // Threads that may come and go by themselves while a test counts them.
  virtual int ThreadSlack() const { return 0; }
};

// How soon the members of a backend that has any suspect their leader.
enum class Elections {
  kQuick,    // a fail-over does not hold a test up, and a host that stands still causes one
  kPatient,  // for seconds: work that comes all at once on a slow host does not cost the leader
};

struct BackendCase {
  std::string name;
  std::unique_ptr<BackendFixture> (*make)(Elections elections);
  std::vector<Capability> lacks;

  friend void PrintTo(const BackendCase& backend, std::ostream* out) { *out << backend.name; }
  bool Has(Capability capability) const {
    return std::find(lacks.begin(), lacks.end(), capability) == lacks.end();
  }
  static std::string Name(const testing::TestParamInfo<BackendCase>& info) {
    return info.param.name;
  }
};

// At the head of a test that needs it.
#define NEEDS(capability)                                                             \
  if (!GetParam().Has(capability)) {                                                  \
    GTEST_SKIP() << "backend " << GetParam().name << " lacks " << NameOf(capability); \
  }

class Conformance : public testing::TestWithParam<BackendCase> {
 protected:
  explicit Conformance(Elections elections = Elections::kQuick)
      : fixture_(GetParam().make(elections)),
        one_(fixture_->Connect()),
        two_(fixture_->Connect()) {}

  BackendFixture& fixture() { return *fixture_; }
  bool Has(Capability capability) const { return GetParam().Has(capability); }
  // Two clients.
  Coordinator& one() { return one_; }
  Coordinator& two() { return two_; }

 private:
  std::unique_ptr<BackendFixture> fixture_;
  Coordinator one_;
  Coordinator two_;
};

// What a change of the leader would disturb. For the backends that have kSteady.
class SteadyConformance : public Conformance {
 protected:
  SteadyConformance() : Conformance(Elections::kPatient) {}
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

// A coroutine that runs until it first waits; nobody waits for its end.
struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

// A client that sends single commands, and may be silent for ever after.
class RawClient {
 public:
  RawClient(Coordinator coordinator, InstanceKey key)
      : coordinator_(std::move(coordinator)), key_(key) {}

  // What the machine answers. A renewal that was lost with its leader is sent again as it is, which
  // is another attempt.
  Reply Do(Operation operation, SessionId session = 0, Sequence sequence = 0) {
    Command command;
    command.session = session;
    command.sequence = sequence;
    command.key = key_;
    command.operation = std::move(operation);
    for (int tries = 0;; ++tries) {
      const bool retry = !std::holds_alternative<RenewSession>(command.operation);
      Awaited<absl::StatusOr<Reply>> answer;
      coordinator_.backend()->Call(command, {.timeout = absl::Seconds(20), .retry = retry},
                                   answer.Callback());
      absl::StatusOr<Reply> reply = answer.Get();
      if (reply.ok()) return *std::move(reply);
      if (retry || tries == 10) {
        ADD_FAILURE() << reply.status();
        return Reply();
      }
    }
  }
  // The result of that kind, which it must be.
  template <typename T>
  T Get(Operation operation, SessionId session = 0, Sequence sequence = 0) {
    const Reply reply = Do(std::move(operation), session, sequence);
    const T* const result = std::get_if<T>(&reply.result);
    EXPECT_NE(result, nullptr) << "code " << static_cast<int>(reply.code) << " " << reply.message;
    return result == nullptr ? T() : *result;
  }

 private:
  Coordinator coordinator_;
  InstanceKey key_;
};

// The key of the first session of a coordinator with that seed: for a thief, who ends it.
inline InstanceKey FirstKey(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::uint64_t high = random();
  return {high, random()};
}

}  // namespace tenure::conformance

#endif  // TENURE_TESTS_CONFORMANCE_CONFORMANCE_H_
