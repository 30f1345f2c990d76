// An operation has one outcome, whoever asks, and it is not of an attempt that was taken over;
// nobody begins what is done; an attempt begins where the last acknowledged recovery point stands.
// A cluster that was wiped and bootstrapped anew knows nothing of an earlier one's: tokens tell
// which one spoke. DESIGN section 5; PITFALLS I1, I6.
#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class OneOutcome final : public Invariant {
 public:
  explicit OneOutcome(Scene& scene) : Invariant(scene, "one outcome") {}

  void OnApplied(const Actor&, const AppliedEntry& applied) override {
    // The revisions of each cluster are above those of all that were before it.
    if (applied.first && applied.entry.index == 1) firsts_[applied.machine.revision()] = true;
  }
  void OnAttempt(const std::string& key, Revision token, const std::string& point,
                 absl::Duration asked) override {
    Key& known = KeyOf(key, token);
    known.newest = std::max(known.newest, token);
    if (known.outcome != 0 && known.outcome_at < asked) {
      return Fail(absl::StrCat(key, " has the outcome of attempt ", known.outcome, ", and attempt ",
                               token, " begins"));
    }
    int reached = 0;
    if (!point.empty() && !absl::SimpleAtoi(point, &reached)) {
      return Fail(absl::StrCat(key, " has a recovery point that nobody gave: ", point));
    }
    if (known.point_at < asked && reached < known.point) {
      Fail(absl::StrCat("attempt ", token, " at ", key, " begins at recovery point ", reached,
                        ", and ", known.point, " was acknowledged before it asked"));
    }
  }
  void OnCheckpoint(const std::string& key, Revision token, const std::string& point) override {
    Key& known = KeyOf(key, token);
    int reached = 0;
    if (!absl::SimpleAtoi(point, &reached)) return;
    known.point = std::max(known.point, reached);
    known.point_at = scene_.world.now();
  }
  void OnOutcome(const std::string& key, Revision token, absl::Duration asked) override {
    Key& known = KeyOf(key, token);
    if (token < known.newest) {
      return Fail(absl::StrCat(key, " has the outcome of attempt ", token, ", which attempt ",
                               known.newest, " had taken over"));
    }
    if (known.outcome == 0) {
      known.outcome = token;
      known.outcome_at = scene_.world.now();
    } else if (known.outcome != token) {
      Fail(absl::StrCat(key, " has the outcome of attempt ", known.outcome, " and that of ", token,
                        ", asked for at ", absl::FormatDuration(asked)));
    }
  }

 private:
  struct Key {
    Revision outcome = 0;  // whose; 0: none is known
    absl::Duration outcome_at;
    Revision newest = 0;  // of the attempts that began
    int point = 0;
    absl::Duration point_at;
  };
  Key& KeyOf(const std::string& key, Revision token) {
    auto after = firsts_.upper_bound(token);
    const Revision cluster = after == firsts_.begin() ? 0 : std::prev(after)->first;
    return keys_[{key, cluster}];
  }

  std::map<Revision, bool> firsts_;
  std::map<std::pair<std::string, Revision>, Key> keys_;
};

}  // namespace

std::unique_ptr<Invariant> NewOneOutcome(Scene& scene) {
  return std::make_unique<OneOutcome>(scene);
}

}  // namespace tenure::sim
