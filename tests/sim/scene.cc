#include "tests/sim/scene.h"

#include <cstdio>

#include "absl/strings/str_format.h"
#include "tests/sim/invariants/all.h"

namespace tenure::sim {

void TimeLine::Say(absl::string_view what) {
  std::string text = absl::StrFormat("%12.6f  %s", absl::ToDoubleSeconds(world_->now()), what);
  if (print_) std::printf("%s\n", text.c_str());
  last_.push_back(std::move(text));
  if (last_.size() > 60) last_.pop_front();
}

Scene::Scene(const Plan& p, bool verbose)
    : world(p.seed), plan(p), line(&world, verbose), invariants(AllInvariants(*this)) {}

Scene::~Scene() = default;

void Scene::Violated(absl::string_view invariant, absl::string_view what) {
  violations.push_back(absl::StrCat(invariant, ": ", what));
  line.Say(absl::StrCat("VIOLATED ", violations.back()));
}

}  // namespace tenure::sim
