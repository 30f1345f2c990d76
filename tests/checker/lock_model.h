// An exclusive lock with fencing tokens, for the checker.
#ifndef TENURE_TESTS_CHECKER_LOCK_MODEL_H_
#define TENURE_TESTS_CHECKER_LOCK_MODEL_H_

#include <cstdint>
#include <vector>

#include "tests/checker/linearizability.h"

namespace tenure::checker {

struct LockOperation {
  enum class Kind : std::uint8_t {
    kAcquire,  // granted with `token`: it was free, and no token was as high
    kEnd,      // `token` held it, and holds it no more: released, lost, expired
    kRead,     // it was held by `token`; 0: by nobody
    kNotHeld,  // it was not held by `token`: a release in vain
  };
  Kind kind = Kind::kRead;
  std::uint64_t token = 0;
};

struct LockModel {
  using Operation = LockOperation;

  bool Step(const Operation& operation) {
    switch (operation.kind) {
      case Operation::Kind::kAcquire:
        if (holder != 0 || operation.token <= last) return false;
        holder = last = operation.token;
        return true;
      case Operation::Kind::kEnd:
        if (holder != operation.token) return false;
        holder = 0;
        return true;
      case Operation::Kind::kRead:
        return holder == operation.token;
      case Operation::Kind::kNotHeld:
        return holder != operation.token;
    }
    return false;
  }
  std::uint64_t Hash() const {
    return holder * 0x9e3779b97f4a7c15u ^ (last + 0x7f4a7c15u) * 0xbf58476d1ce4e5b9u;
  }
  friend bool operator==(const LockModel&, const LockModel&) = default;

  std::uint64_t holder = 0;
  std::uint64_t last = 0;
};

// Tries first the one order that tokens suggest: grants by their tokens, each followed by what saw
// it and by its end. If that order is a witness, there is no need to search; if not, that says
// nothing, and the search decides.
Result CheckLock(const std::vector<Call<LockOperation>>& calls, std::uint64_t budget);

}  // namespace tenure::checker

#endif  // TENURE_TESTS_CHECKER_LOCK_MODEL_H_
