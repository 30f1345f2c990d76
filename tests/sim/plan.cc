#include "tests/sim/plan.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "raft/prng.h"
#include "testing/random.h"
#include "tests/sim/byte_disk.h"

namespace tenure::sim {

using testing::DrawChance;
using testing::DrawNs;

namespace {

// How many seeds of those with durable disks that take their time have disks that are bytes, and on
// how many members at most: a run takes twice the time where all members have them.
constexpr double kByteDisks = 0.2;
constexpr int kByteDisksMax = 3;

}  // namespace

const char* NameOf(Fault fault) {
  switch (fault) {
    case Fault::kPartition:
      return "partition";
    case Fault::kOneWay:
      return "one-way cut";
    case Fault::kBrokenLink:
      return "broken link";
    case Fault::kClog:
      return "clog";
    case Fault::kCutClient:
      return "client cut off";
    case Fault::kNoise:
      return "noise";
    case Fault::kKill:
      return "kill";
    case Fault::kKillAtWrite:
      return "kill at a write";
    case Fault::kKillAll:
      return "kill all";
    case Fault::kPause:
      return "pause";
    case Fault::kSuspend:
      return "suspend";
    case Fault::kSlow:
      return "slow";
    case Fault::kDiskSlow:
      return "slow disk";
    case Fault::kDiskStall:
      return "stalled disk";
    case Fault::kDiskFail:
      return "failed write";
    case Fault::kDiskOlder:
      return "older disk";
    case Fault::kDiskEmpty:
      return "empty disk";
    case Fault::kPauseClient:
      return "client paused";
    case Fault::kSuspendClient:
      return "client suspended";
    case Fault::kKillClient:
      return "client killed";
    case Fault::kClockDrift:
      return "clock drift";
    case Fault::kClockJump:
      return "clock jump";
    case Fault::kMembers:
      return "members removed and added";
    case Fault::kUpgrade:
      return "upgrade";
    case Fault::kDiskSync:
      return "failed sync";
    case Fault::kDiskFull:
      return "full disk";
    case Fault::kDiskRot:
      return "rot";
    case Fault::kCount:
      break;
  }
  return "?";
}

Plan DrawPlan(std::uint64_t seed) {
  // Apart from the world's own randomness, which begins at the same seed.
  raft::Prng random(seed ^ 0x706c616e706c616eu);
  const auto chance = [&random](double p) { return DrawChance(random, p); };
  const auto between = [&random](absl::Duration min, absl::Duration max) {
    return absl::Nanoseconds(DrawNs(random, min, max));
  };
  const auto pick = [&random](std::initializer_list<int> from) {
    return *(from.begin() + random.Below(from.size()));
  };

  Plan plan;
  plan.seed = seed;
  plan.members = pick({1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 6, 7});
  plan.durable = chance(0.6);
  if (chance(0.4)) {
    plan.heartbeat = between(absl::Milliseconds(40), absl::Milliseconds(150));
    plan.election_min = plan.heartbeat * (2 + static_cast<double>(random.Below(30)) / 10);
    plan.election_max = plan.election_min * (1.2 + static_cast<double>(random.Below(20)) / 10);
  }
  plan.ttl_max = between(absl::Seconds(3), absl::Seconds(12));
  plan.assert_new = chance(0.9);
  if (plan.durable && chance(0.8))
    plan.disk_latency_max = between(absl::Microseconds(100), absl::Milliseconds(8));
  if (chance(0.2)) plan.member_turn_cost = between(absl::Microseconds(10), absl::Milliseconds(2));
  plan.link.latency_max = between(absl::Milliseconds(1), absl::Milliseconds(8));
  plan.wild_clocks = chance(0.15);

  plan.clients = 2 + static_cast<int>(random.Below(4));
  plan.sessions = 1 + static_cast<int>(random.Below(2));
  plan.locks = 1 + static_cast<int>(random.Below(4));
  plan.think_max = between(absl::Milliseconds(40), absl::Milliseconds(1600));

  plan.chaos = between(absl::Seconds(30), absl::Seconds(120));
  plan.fault_gap_max = between(absl::Milliseconds(300), absl::Seconds(4));
  const double density = 0.15 + 0.1 * static_cast<double>(random.Below(6));
  for (int i = 0; i < static_cast<int>(Fault::kMembers); ++i) plan.enabled[i] = chance(density);
  plan.restless = plan.members >= 3 && chance(0.25);
  // From one in a few dozen entries to one in a thousand.
  if (chance(0.5)) plan.snapshot_log_bytes = std::size_t{4096} << random.Below(7);
  plan.varied = chance(0.5);
  // Where there is more to keep, a snapshot costs more: as often as that, it would be all that a
  // run does.
  if (plan.varied) plan.snapshot_log_bytes = std::max(plan.snapshot_log_bytes, std::size_t{16384});
  plan.enabled[static_cast<int>(Fault::kMembers)] = plan.members > 1 && chance(density);
  plan.enabled[static_cast<int>(Fault::kUpgrade)] =
      (plan.members > 1 || plan.durable) && chance(density);

  // With a latency: what is written within no time is never being written when the power goes.
  const bool slow = plan.disk_latency_max > absl::ZeroDuration();
  const int most = std::min(plan.members, kByteDisksMax);
  const int byte_disks = 1 + static_cast<int>(random.Below(static_cast<std::uint64_t>(most)));
  if (chance(kByteDisks) && plan.durable && slow && HaveByteDisks()) plan.byte_disks = byte_disks;
  for (const Fault fault : {Fault::kDiskSync, Fault::kDiskFull}) {
    plan.enabled[static_cast<int>(fault)] = chance(density) && plan.durable;
  }
  plan.enabled[static_cast<int>(Fault::kDiskRot)] = chance(0.6) && plan.byte_disks > 0;
  plan.rough_start = chance(0.4);
  plan.priorities = chance(0.3);
  plan.lease_reads = chance(0.3) && !plan.wild_clocks;
  // A stale holder is one that cannot renew while its clock is wrong.
  for (const Fault fault : {Fault::kCutClient, Fault::kClockDrift, Fault::kClockJump}) {
    plan.enabled[static_cast<int>(fault)] |= plan.wild_clocks;
  }
  return plan;
}

std::string Plan::Describe() const {
  std::vector<std::string> faults;
  for (int i = 0; i < kFaults; ++i) {
    if (enabled[i]) faults.emplace_back(NameOf(static_cast<Fault>(i)));
  }
  return absl::StrCat(
      members, durable ? " durable" : " memory-only", " members (heartbeat ",
      absl::FormatDuration(heartbeat), ", election ", absl::FormatDuration(election_min), " to ",
      absl::FormatDuration(election_max), ", greatest TTL ", absl::FormatDuration(ttl_max),
      snapshot_log_bytes < (std::size_t{1} << 20)
          ? absl::StrCat(", snapshots every ", snapshot_log_bytes, " bytes")
          : "",
      byte_disks > 0 ? absl::StrCat(", the disks of ", byte_disks, " are bytes") : "",
      rough_start ? ", a rough start" : "", wild_clocks ? ", wild clocks" : "",
      priorities ? ", priorities" : "", lease_reads ? ", reads by lease" : "", "), ", clients,
      " clients with ", sessions, " sessions on ", locks, " locks",
      varied ? " and all else, " : ", ", absl::FormatDuration(chaos),
      " of: ", faults.empty() ? "no faults" : absl::StrJoin(faults, ", "),
      restless ? "; then restless leaders" : "");
}

}  // namespace tenure::sim
