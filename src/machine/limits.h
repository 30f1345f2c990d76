// What is to be done with limits, field by field: a new one has its line in each of these.
#ifndef TENURE_MACHINE_LIMITS_H_
#define TENURE_MACHINE_LIMITS_H_

#include "absl/status/status.h"
#include "machine/machine.h"
#include "machine/state_hash.h"

namespace tenure::v1 {
class Limits;
}  // namespace tenure::v1

namespace tenure::machine {

inline constexpr Revision kRevisionMax = Revision{1} << 53;  // safe in JSON

// kInvalidArgument, with the reason, if a machine cannot run with them.
absl::Status CheckLimits(const Limits& limits);
void AddLimits(const Limits& limits, StateHash& hash);

void WriteLimits(const Limits& in, v1::Limits* out);
// What an older writer did not know has its default.
Limits ReadLimits(const v1::Limits& in);

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_LIMITS_H_
