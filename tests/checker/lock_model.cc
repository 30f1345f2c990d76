#include "tests/checker/lock_model.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace tenure::checker {
namespace {

using Kind = LockOperation::Kind;
using LockCall = Call<LockOperation>;

// What is known of one token.
struct Grant {
  const LockCall* acquire = nullptr;
  const LockCall* end = nullptr;      // a release that is certain, or else what may come first
  bool needed = false;                // something certain tells of it
  std::int64_t seen_by = kNeverEnds;  // something that saw it had ended by then
};

// The place of a call in the order that tokens suggest.
using Place = std::tuple<std::uint64_t, int, std::int64_t>;

class Witness {
 public:
  explicit Witness(const std::vector<LockCall>& calls) : calls_(calls) {}

  bool Found() {
    for (const LockCall& call : calls_) Note(call);
    std::vector<std::pair<Place, const LockCall*>> order;
    for (const LockCall& call : calls_) {
      const LockOperation& operation = call.operation;
      switch (operation.kind) {
        case Kind::kAcquire:
          if (!call.optional || grants_[operation.token].needed)
            order.push_back({{operation.token, 0, 0}, &call});
          break;
        case Kind::kEnd:
          if (&call == grants_[operation.token].end) {
            if (!call.optional || Needed(operation.token))
              order.push_back({{operation.token, 2, 0}, &call});
          } else if (!call.optional) {
            return false;  // a second end that is certain: let the search tell
          }
          break;
        case Kind::kRead:
          if (operation.token != 0) {
            order.push_back({{operation.token, 1, call.start}, &call});
          } else {
            order.push_back({{LastBefore(call), 3, call.start}, &call});
          }
          break;
        case Kind::kNotHeld:
          order.push_back({{std::max(operation.token, LastBefore(call)), 3, call.start}, &call});
          break;
        case Kind::kShare:
        case Kind::kDowngrade:
          return false;  // who share it end in any order
      }
    }
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    return Holds(order);
  }

 private:
  void Note(const LockCall& call) {
    const LockOperation& operation = call.operation;
    if (operation.token == 0) return;
    Grant& grant = grants_[operation.token];
    if (operation.kind == Kind::kAcquire) {
      grant.acquire = &call;
      if (!call.optional) grant.seen_by = std::min(grant.seen_by, call.end);
    } else if (operation.kind == Kind::kRead) {
      grant.needed = true;
      grant.seen_by = std::min(grant.seen_by, call.end);
    } else if (operation.kind == Kind::kEnd) {
      const bool better = grant.end == nullptr || (grant.end->optional && !call.optional) ||
                          (grant.end->optional && call.start < grant.end->start);
      if (better) grant.end = &call;
      if (!call.optional) grant.needed = true;
    }
  }
  bool Needed(std::uint64_t token) const {
    const Grant& grant = grants_.at(token);
    return grant.acquire != nullptr && (!grant.acquire->optional || grant.needed);
  }
  // The greatest token that certainly had been given when `call` started.
  std::uint64_t LastBefore(const LockCall& call) {
    if (by_time_.empty()) {
      for (const auto& [token, grant] : grants_) {
        if (grant.seen_by != kNeverEnds) by_time_.push_back({grant.seen_by, token});
      }
      std::sort(by_time_.begin(), by_time_.end());
      for (std::size_t i = 1; i < by_time_.size(); ++i)
        by_time_[i].second = std::max(by_time_[i].second, by_time_[i - 1].second);
      by_time_.insert(by_time_.begin(), {std::numeric_limits<std::int64_t>::min(), 0});
    }
    const auto it = std::lower_bound(by_time_.begin(), by_time_.end(),
                                     std::pair<std::int64_t, std::uint64_t>{call.start, 0});
    return it == by_time_.begin() ? 0 : std::prev(it)->second;
  }
  // Each call at the earliest moment that the order leaves it.
  static bool Holds(const std::vector<std::pair<Place, const LockCall*>>& order) {
    LockModel model;
    std::int64_t moment = std::numeric_limits<std::int64_t>::min();
    for (const auto& [place, call] : order) {
      moment = std::max(moment, call->start);
      if (!call->optional && moment > call->end) return false;
      if (!model.Step(call->operation)) return false;
    }
    return true;
  }

  const std::vector<LockCall>& calls_;
  std::map<std::uint64_t, Grant> grants_;
  std::vector<std::pair<std::int64_t, std::uint64_t>> by_time_;
};

}  // namespace

Result CheckLock(const std::vector<Call<LockOperation>>& calls, std::uint64_t budget) {
  if (Witness(calls).Found()) return {Verdict::kLinearizable, 0, true};
  return CheckLinearizable(calls, LockModel(), budget);
}

}  // namespace tenure::checker
