#include "member/genesis.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace tenure::member {
namespace {

constexpr std::int64_t k2020 = 1'577'836'800;     // 2020-01-01, in Unix seconds
constexpr std::int64_t kWritten = 1'767'225'600;  // 2026-01-01: this code is not older
constexpr std::int64_t kTokensEnd = k2020 + (std::int64_t{1} << 31);  // revisions stay below 2^53

}  // namespace

std::int64_t HoldBackNs(absl::Duration ttl_max, double clock_drift_max) {
  const double stretch = (1 + clock_drift_max) / (1 - clock_drift_max);
  return static_cast<std::int64_t>(
      std::ceil(static_cast<double>(absl::ToInt64Nanoseconds(ttl_max)) * stretch));
}

absl::StatusOr<machine::Genesis> MakeGenesis(const GenesisOptions& options, absl::Time wall_clock) {
  const std::int64_t now = absl::ToUnixSeconds(wall_clock);
  if (now < kWritten || now >= kTokensEnd) {
    return absl::FailedPreconditionError(absl::StrCat(
        "this machine's wall clock says ", absl::FormatTime(wall_clock, absl::UTCTimeZone()),
        ", which cannot be: a new cluster's fencing tokens would not rise above an earlier one's; "
        "set the clock"));
  }
  machine::Genesis genesis;
  // 2^22 for each second, also for its parts: a cluster that starts anew within the same second
  // must rise above the earlier one, too.
  const absl::Duration age = wall_clock - absl::FromUnixSeconds(k2020);
  genesis.first_revision = static_cast<Revision>(
      (static_cast<__int128>(absl::ToInt64Nanoseconds(age)) << 22) / 1'000'000'000);
  if (options.revision_floor != 0) {
    genesis.first_revision =
        std::max(genesis.first_revision, options.revision_floor + (Revision{1} << 32));
  }
  genesis.grants_from_ns =
      options.all_new ? 0 : HoldBackNs(options.ttl_max, options.clock_drift_max);
  genesis.limits.ttl_max_ns = absl::ToInt64Nanoseconds(options.ttl_max);
  return genesis;
}

}  // namespace tenure::member
