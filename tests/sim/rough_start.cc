#include "tests/sim/rough_start.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace tenure::sim {

void RoughStart::Begin() {
  for (int i = 0; i < members_.size(); ++i) {
    scene_.world.After(scene_.world.RandomDuration(absl::ZeroDuration(), absl::Milliseconds(800)),
                       [this, i] { Revive(i); });
  }
  const std::uint64_t times = 1 + scene_.world.RandomBelow(5);
  for (std::uint64_t i = 0; i < times; ++i) {
    scene_.world.After(scene_.world.RandomDuration(absl::Milliseconds(20), kLasts / 2),
                       [this] { Disturb(); });
  }
}

void RoughStart::End() {
  over_ = true;
  scene_.world.network().MendAll();
  scene_.world.network().SetDefaults(scene_.plan.link);
  for (int i = 0; i < members_.size(); ++i) members_.KillAtWrite(i, 0, false, 0);
}

int RoughStart::AMember() {
  return static_cast<int>(scene_.world.RandomBelow(static_cast<std::uint64_t>(members_.size())));
}

void RoughStart::Disturb() {
  const int a = AMember();
  if (scene_.world.Chance(0.3)) {
    const int b = AMember();
    scene_.line.Say(
        absl::StrCat("first start: ", members_.name(a), " does not reach ", members_.name(b)));
    scene_.world.network().SetLink(members_.address(a), members_.address(b), false);
    return;  // until the end
  }
  if (!members_.running(a)) return;
  scene_.marks.Visit("killed at the first start");
  if (scene_.world.Chance(0.5)) {
    scene_.line.Say(absl::StrCat("first start: ", members_.name(a), " is killed"));
    members_.Kill(a);
  } else {
    members_.KillAtWrite(a, 1 + static_cast<int>(scene_.world.RandomBelow(3)),
                         scene_.world.Chance(0.4), scene_.world.RandomBelow(3));
  }
  scene_.world.After(scene_.world.RandomDuration(absl::Milliseconds(1), absl::Milliseconds(400)),
                     [this, a] { Revive(a); });
}

void RoughStart::Revive(int member) {
  if (over_ || (members_.running(member) && members_.stopped(member).ok())) return;
  scene_.line.Say(absl::StrCat("first start: ", members_.name(member), " starts"));
  members_.Start(member);
}

}  // namespace tenure::sim
