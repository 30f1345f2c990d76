// An operator of the cluster, who takes members out and puts them in again, from a machine of its
// own that nothing happens to.
#ifndef TENURE_TESTS_SIM_OPERATOR_H_
#define TENURE_TESTS_SIM_OPERATOR_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tenure/coordinator.h"
#include "tests/sim/members.h"
#include "tests/sim/process.h"
#include "tests/sim/scene.h"

namespace tenure::sim {

// One change at a time, asked again until it is done: whoever was not answered does not know.
class Operator {
 public:
  Operator(Scene& scene, Members& members);
  ~Operator();
  Operator(const Operator&) = delete;
  Operator& operator=(const Operator&) = delete;

  // Takes it out, and puts it in again `after` it is out. False: not now.
  bool Replace(int member, absl::Duration after);
  // Whoever is out is put in again now.
  void PutIn();
  // From now on, too, and whoever is found missing: a change that was given up may still happen.
  void Finish();
  // All are members.
  bool Done();

 private:
  enum class State : std::uint8_t { kIdle, kRemoving, kOut, kAdding };

  void Enter(State state);
  void Ask();
  void OnAnswer(std::uint64_t asked, const absl::Status& answer);
  // A member that the leader's configuration does not name; -1: none, or nobody leads.
  int Missing() const;

  Scene& scene_;
  Members& members_;
  testing::VirtualNode& machine_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::shared_ptr<MortalLoop> loop_;
  Coordinator coordinator_;
  State state_ = State::kIdle;
  std::uint64_t entered_ = 0;  // states so far
  int member_ = -1;
  absl::Duration after_;
  bool finishing_ = false;
};

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_OPERATOR_H_
