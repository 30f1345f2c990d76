// Reachability marks: how often a run visited the rare paths that it exists for. A path that no
// seed visits is a path that no seed tests.
#ifndef TENURE_TESTS_SIM_MARKS_H_
#define TENURE_TESTS_SIM_MARKS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"

namespace tenure::sim {

class Marks {
 public:
  void Visit(absl::string_view path, std::uint64_t times = 1) {
    const auto it = visits_.find(path);
    if (it != visits_.end()) {
      it->second += times;
    } else {
      visits_.emplace(path, times);
    }
  }
  // In how many runs of several a path was visited, and how often: runs are added one by one.
  void Add(const Marks& run) {
    for (const auto& [path, times] : run.visits_) Visit(path, times);
  }
  const std::map<std::string, std::uint64_t, std::less<>>& visits() const { return visits_; }

 private:
  std::map<std::string, std::uint64_t, std::less<>> visits_;
};

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_MARKS_H_
