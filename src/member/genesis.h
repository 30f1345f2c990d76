// The machine's first state, as the member that proposes a new cluster writes it into entry 1.
#ifndef TENURE_MEMBER_GENESIS_H_
#define TENURE_MEMBER_GENESIS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "machine/machine.h"

namespace tenure::member {

struct GenesisOptions {
  absl::Duration ttl_max = absl::Seconds(60);
  double clock_drift_max = 0.01;
  bool all_new = false;  // every voter was started with --new
  // A floor that a survivor of an earlier cluster or an operator names; 0: none.
  Revision revision_floor = 0;
};

// How long a new cluster grants nothing: the longest TTL of an earlier one, as a holder with a slow
// clock counts it and a leader with a fast one (PITFALLS T10).
std::int64_t HoldBackNs(absl::Duration ttl_max, double clock_drift_max);

// `wall_clock` decides one number and nothing else: the first revision (docs/guarantees.md,
// Fencing). A clock that stands before this library was written would let tokens fall, and is
// refused.
absl::StatusOr<machine::Genesis> MakeGenesis(const GenesisOptions& options, absl::Time wall_clock);

}  // namespace tenure::member

#endif  // TENURE_MEMBER_GENESIS_H_
