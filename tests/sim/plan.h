// What a seed decides before anything happens: the cluster, its options, the workload, and which
// kinds of faults there will be. Each seed turns many of them off: what never meets its opposite
// hides no bug behind another.
#ifndef TENURE_TESTS_SIM_PLAN_H_
#define TENURE_TESTS_SIM_PLAN_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "tenure/testing/network.h"

namespace tenure::sim {

// Kinds of faults. A place for the next: add it here, to DrawPlan, and to Faults.
enum class Fault : std::uint8_t {
  kPartition,    // two sides; or one member from all others
  kOneWay,       // one direction of one link, or all that one member hears
  kBrokenLink,   // both directions of one link: not transitive
  kClog,         // one direction held back, then released in random order
  kCutClient,    // a client from some or all members
  kNoise,        // loss, duplication, reordering, replay of old messages, slow links: anew
  kKill,         // at a random moment; restarted later
  kKillAtWrite,  // when a write was handed to the disk, or just became durable
  kKillAll,      // everybody at once
  kPause,        // a member, up to past every timeout
  kSuspend,      // a member's machine: CLOCK_MONOTONIC_RAW stands still, too
  kSlow,         // turns take long
  kDiskSlow,
  kDiskStall,
  kDiskFail,     // a write fails: the member stops itself, and is started again
  kDiskOlder,    // a member is killed, and started from a copy that its disk's owner made before
  kDiskEmpty,    // a member is killed, and started with nothing on its disk
  kPauseClient,  // past its lease or not
  kSuspendClient,
  kKillClient,
  kClockDrift,  // anew, within the plan's bound or beyond it
  kClockJump,   // CLOCK_BOOTTIME alone; both clocks if the plan's clocks are wild
  kMembers,     // an operator takes a member out, and puts it in again with nothing on its disk
  kUpgrade,     // a member is killed, and started with a program that has newer rules
  kDiskSync,    // a sync fails: the member stops itself, and is started again
  kDiskFull,    // nothing more fits, whoever starts, until there is room again
  kDiskRot,     // a member is killed, and started from a disk of which some was damaged
  kCount,
};
inline constexpr int kFaults = static_cast<int>(Fault::kCount);
const char* NameOf(Fault fault);

struct Plan {
  std::uint64_t seed = 0;

  // The cluster.
  int members = 3;
  bool durable = false;
  absl::Duration heartbeat = absl::Milliseconds(100);
  absl::Duration election_min = absl::Milliseconds(300);
  absl::Duration election_max = absl::Milliseconds(600);
  absl::Duration ttl_max = absl::Seconds(10);
  double drift_max = 0.01;   // the bound that members and clients are told
  bool assert_new = true;    // at the first start; never after
  bool rough_start = false;  // members come one by one, some again, before there is a leader
  absl::Duration disk_latency_max;
  int byte_disks = 0;  // so many, of the first members, are written as the storage on disk does it
  std::size_t snapshot_log_bytes = std::size_t{64} << 20;  // far more than a run's log
  absl::Duration member_turn_cost;
  bool priorities = false;   // each member has one of its own
  bool lease_reads = false;  // never with wild clocks
  testing::LinkOptions link;

  // Clocks keep drift_max at all times, or do not: then holders may overlap, and the gate judges.
  bool wild_clocks = false;

  // The workload.
  int clients = 3;
  int sessions = 1;  // of each client, at once
  int locks = 3;
  bool varied = true;  // all that there is, not only exclusive locks and operations
  absl::Duration ttl_min = absl::Seconds(1);
  absl::Duration think_max = absl::Milliseconds(500);

  // The faults.
  absl::Duration chaos = absl::Seconds(30);
  absl::Duration fault_gap_max = absl::Seconds(2);
  bool enabled[kFaults] = {};
  // After the faults: leaders that never stay, and a holder that died.
  bool restless = false;

  bool On(Fault fault) const { return enabled[static_cast<int>(fault)]; }
  std::string Describe() const;
};

Plan DrawPlan(std::uint64_t seed);

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_PLAN_H_
