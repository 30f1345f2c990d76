// Draws from a seeded generator that come out the same on every platform.
#ifndef TENURE_TESTING_RANDOM_H_
#define TENURE_TESTING_RANDOM_H_

#include <cstdint>

#include "absl/time/time.h"
#include "raft/prng.h"

namespace tenure::testing {

inline bool DrawChance(raft::Prng& random, double probability) {
  // Nothing is drawn for what cannot or must happen, so that an option at 0 costs nothing.
  if (probability <= 0) return false;
  if (probability >= 1) return true;
  constexpr double kTwo53 = 9007199254740992.0;
  return static_cast<double>(random.Next() >> 11) < probability * kTwo53;
}

// In [min, max].
inline std::int64_t DrawNs(raft::Prng& random, absl::Duration min, absl::Duration max) {
  const std::int64_t from = absl::ToInt64Nanoseconds(min);
  const std::int64_t to = absl::ToInt64Nanoseconds(max);
  if (to <= from) return from;
  return from + static_cast<std::int64_t>(random.Below(static_cast<std::uint64_t>(to - from) + 1));
}

}  // namespace tenure::testing

#endif  // TENURE_TESTING_RANDOM_H_
