// Decides whether a history of concurrent calls on one object could have happened one at a time:
// each at some moment between its start and its end, with the answers that it got.
//
// Sources: Wing and Gong, "Testing and verifying concurrent objects" (1993), for the search; Lowe,
// "Testing for linearizability" (2017), for remembering configurations that led nowhere; Horn and
// Kroening, "Faster linearizability checking via P-compositionality" (2015), for the list of calls
// and ends from which calls are lifted. Histories are cut by key before: one object at a time.
#ifndef TENURE_TESTS_CHECKER_LINEARIZABILITY_H_
#define TENURE_TESTS_CHECKER_LINEARIZABILITY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <unordered_set>
#include <utility>
#include <vector>

namespace tenure::checker {

inline constexpr std::int64_t kNeverEnds = std::numeric_limits<std::int64_t>::max();

// One call. `optional`: its outcome is unknown, so it may have taken effect at any moment after its
// start, or never; it has no end.
template <typename Operation>
struct Call {
  Operation operation;
  std::int64_t start = 0;
  std::int64_t end = kNeverEnds;
  bool optional = false;
};

enum class Verdict : std::uint8_t {
  kLinearizable,
  kViolated,
  kUnknown,  // the budget is used up: counts as a failure
};

struct Result {
  Verdict verdict = Verdict::kUnknown;
  std::uint64_t configurations = 0;  // that were looked at
  bool fast = false;                 // settled without a search
  std::size_t stuck = 0;  // of a violation: the call that the longest attempt could not place
};

// A Model is a value: the object's state. It has
//   using Operation = ...;
//   bool Step(const Operation&);     takes effect, if the answer fits; else leaves it as it is
//   std::uint64_t Hash() const;      operator==
//
// Calls that touch (one ends in the very moment in which the other starts) count as concurrent.
template <typename Model>
class Search {
 public:
  using Operation = typename Model::Operation;

  Search(const std::vector<Call<Operation>>& calls, std::uint64_t budget)
      : calls_(calls), budget_(budget), done_((calls.size() + 63) / 64) {
    std::vector<Node> order;
    for (std::size_t i = 0; i < calls.size(); ++i) {
      order.push_back({.call = i, .time = calls[i].start, .start = true});
      if (calls[i].optional) continue;
      order.push_back({.call = i, .time = calls[i].end, .start = false});
      ++mandatory_;
    }
    std::stable_sort(order.begin(), order.end(), [](const Node& a, const Node& b) {
      return a.time != b.time ? a.time < b.time : a.start > b.start;
    });
    // nodes_[0] is the head of a list through all of them; 0 also ends it.
    nodes_.push_back({});
    for (const Node& node : order) nodes_.push_back(node);
    end_of_.resize(calls.size(), 0);
    for (std::size_t n = 1; n < nodes_.size(); ++n) {
      nodes_[n].before = n - 1;
      nodes_[n].after = n + 1 < nodes_.size() ? n + 1 : 0;
      if (!nodes_[n].start) end_of_[nodes_[n].call] = n;
    }
    nodes_[0].after = nodes_.size() > 1 ? 1 : 0;
  }

  Result Run(Model state) {
    std::size_t at = nodes_[0].after;
    std::size_t left = mandatory_;
    while (left > 0) {
      const bool start = at != 0 && nodes_[at].start;
      if (start) {
        const std::size_t call = nodes_[at].call;
        Model next = state;
        if (next.Step(calls_[call].operation) && Remember(call, next)) {
          if (configurations_ > budget_) return {Verdict::kUnknown, configurations_};
          path_.push_back({at, state});
          state = std::move(next);
          Lift(at);
          if (!calls_[call].optional) --left;
          at = nodes_[0].after;
          continue;
        }
        at = nodes_[at].after;
        continue;
      }
      // An end is reached of a call that did not take effect, or everything that may come first was
      // tried: what was done last was wrong.
      if (at != 0 && path_.size() >= longest_) {
        longest_ = path_.size();
        stuck_ = nodes_[at].call;
      }
      if (path_.empty()) return {Verdict::kViolated, configurations_, false, stuck_};
      const std::size_t undo = path_.back().first;
      state = std::move(path_.back().second);
      path_.pop_back();
      const std::size_t call = nodes_[undo].call;
      done_[call / 64] &= ~(std::uint64_t{1} << (call % 64));
      Unlift(undo);
      if (!calls_[call].optional) ++left;
      at = nodes_[undo].after;
    }
    return {Verdict::kLinearizable, configurations_};
  }

 private:
  struct Node {
    std::size_t call = 0;
    std::int64_t time = 0;
    bool start = false;
    std::size_t before = 0;
    std::size_t after = 0;
  };
  // What was done, and what came of it: the way there does not matter.
  struct Configuration {
    std::vector<std::uint64_t> done;
    Model state;
    friend bool operator==(const Configuration&, const Configuration&) = default;
  };
  struct HashOf {
    std::size_t operator()(const Configuration& configuration) const {
      std::uint64_t hash = configuration.state.Hash();
      for (const std::uint64_t word : configuration.done) {
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
      }
      return hash;
    }
  };

  // Marks `call` as done, and says whether that configuration is new.
  bool Remember(std::size_t call, const Model& state) {
    done_[call / 64] |= std::uint64_t{1} << (call % 64);
    if (seen_.insert({done_, state}).second) {
      ++configurations_;
      return true;
    }
    done_[call / 64] &= ~(std::uint64_t{1} << (call % 64));
    return false;
  }
  void Remove(std::size_t node) {
    nodes_[nodes_[node].before].after = nodes_[node].after;
    nodes_[nodes_[node].after].before = nodes_[node].before;
  }
  void Insert(std::size_t node) {
    nodes_[nodes_[node].before].after = node;
    nodes_[nodes_[node].after].before = node;
  }
  void Lift(std::size_t start) {
    Remove(start);
    if (const std::size_t end = end_of_[nodes_[start].call]; end != 0) Remove(end);
  }
  void Unlift(std::size_t start) {
    if (const std::size_t end = end_of_[nodes_[start].call]; end != 0) Insert(end);
    Insert(start);
  }

  const std::vector<Call<Operation>>& calls_;
  const std::uint64_t budget_;
  std::vector<Node> nodes_;
  std::vector<std::size_t> end_of_;  // by call; 0: none
  std::size_t mandatory_ = 0;
  std::vector<std::uint64_t> done_;
  std::vector<std::pair<std::size_t, Model>> path_;
  std::unordered_set<Configuration, HashOf> seen_;
  std::uint64_t configurations_ = 0;
  std::size_t longest_ = 0;
  std::size_t stuck_ = 0;
};

template <typename Model>
Result CheckLinearizable(const std::vector<Call<typename Model::Operation>>& calls,
                         const Model& initial, std::uint64_t budget) {
  return Search<Model>(calls, budget).Run(initial);
}

}  // namespace tenure::checker

#endif  // TENURE_TESTS_CHECKER_LINEARIZABILITY_H_
