// A lock with fencing tokens, held by one or by many who share it, for the checker.
#ifndef TENURE_TESTS_CHECKER_LOCK_MODEL_H_
#define TENURE_TESTS_CHECKER_LOCK_MODEL_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tests/checker/linearizability.h"

namespace tenure::checker {

struct LockOperation {
  enum class Kind : std::uint8_t {
    kAcquire,    // granted to one alone with `token`: it was free, and no token was as high
    kEnd,        // `token` held it, and holds it no more: released, lost, expired
    kRead,       // it was held by `token` alone, or by those of `shared`; 0 and none: by nobody
    kNotHeld,    // it was not held by `token`: a release or a downgrade in vain
    kShare,      // granted with `token` to one who shares it: nobody had it alone
    kDowngrade,  // `token` had it alone, and shares it now
  };
  Kind kind = Kind::kRead;
  std::uint64_t token = 0;
  std::vector<std::uint64_t> shared = {};  // of kRead, rising
};

struct LockModel {
  using Operation = LockOperation;
  using Kind = Operation::Kind;

  bool Step(const Operation& operation) {
    const std::uint64_t token = operation.token;
    const auto share = std::lower_bound(sharers.begin(), sharers.end(), token);
    const bool shares = share != sharers.end() && *share == token;
    switch (operation.kind) {
      case Kind::kAcquire:
        if (holder != 0 || !sharers.empty() || token <= last) return false;
        holder = last = token;
        return true;
      case Kind::kShare:
        if (holder != 0 || token <= last) return false;
        sharers.push_back(last = token);
        return true;
      case Kind::kDowngrade:
        if (holder != token) return false;
        holder = 0;
        sharers.push_back(token);
        return true;
      case Kind::kEnd:
        if (!shares && holder != token) return false;
        if (shares) sharers.erase(share);
        if (holder == token) holder = 0;
        return true;
      case Kind::kRead:
        return sharers == operation.shared && holder == token;
      case Kind::kNotHeld:
        return !shares && holder != token;
    }
    return false;
  }
  std::uint64_t Hash() const {
    std::uint64_t hash = holder * 0x9e3779b97f4a7c15u ^ (last + 0x7f4a7c15u) * 0xbf58476d1ce4e5b9u;
    for (const std::uint64_t token : sharers) hash = (hash ^ token) * 0x94d049bb133111ebu;
    return hash;
  }
  friend bool operator==(const LockModel&, const LockModel&) = default;

  std::uint64_t holder = 0;            // alone
  std::vector<std::uint64_t> sharers;  // by their tokens; beside no holder
  std::uint64_t last = 0;
};

// Tries first the one order that tokens suggest: grants by their tokens, each followed by what saw
// it and by its end. If that order is a witness, there is no need to search; if not, that says
// nothing, and the search decides.
Result CheckLock(const std::vector<Call<LockOperation>>& calls, std::uint64_t budget);

}  // namespace tenure::checker

#endif  // TENURE_TESTS_CHECKER_LOCK_MODEL_H_
