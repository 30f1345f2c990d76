// A first start at which members come one by one, and some are killed and come again, before there
// is a leader: the time in which free members agree on who the cluster is.
#ifndef TENURE_TESTS_SIM_ROUGH_START_H_
#define TENURE_TESTS_SIM_ROUGH_START_H_

#include "absl/time/time.h"
#include "tests/sim/members.h"
#include "tests/sim/scene.h"

namespace tenure::sim {

class RoughStart {
 public:
  RoughStart(Scene& scene, Members& members) : scene_(scene), members_(members) {}

  // Says what will happen when. All is over, and who was killed may be started again, after
  // kLasts.
  void Begin();
  // Nobody is killed any more, and every link is well.
  void End();

  static constexpr absl::Duration kLasts = absl::Seconds(4);

 private:
  void Disturb();
  void Revive(int member);
  int AMember();

  Scene& scene_;
  Members& members_;
  bool over_ = false;
};

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_ROUGH_START_H_
