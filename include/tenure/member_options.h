// What a member is started with.
#ifndef TENURE_MEMBER_OPTIONS_H_
#define TENURE_MEMBER_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tenure {

struct MemberOptions {
  // This member's name, one of those in `cluster`.
  std::string id;
  // Everybody's name and address, the same text on every member, in any order:
  // "n1=10.0.0.1:7400,n2=10.0.0.2:7400,n3=10.0.0.3:7400". One to seven members. All of them must be
  // there once, for the first start.
  std::string cluster;
  // What to bind, if not this member's own address in `cluster`: "0.0.0.0:7400".
  std::string listen;
  // The directory in which to keep what must survive, this member's own (docs/storage.md); empty
  // keeps it in memory. A relative one is meant from where the process runs. Used by StartMember
  // alone: Member::Start is given a Storage.
  std::string data;
  // Asserts that no holder of a lock of an earlier cluster is still alive. Without it, on every
  // member, a new cluster grants nothing for the maximum TTL.
  bool assert_new = false;

  // For members with a disk. A member that starts from its data neither votes nor campaigns until
  // every other voter that kept its memory has said what it had heard this one attest: a storage
  // that went back is found before it does harm, whoever was down meanwhile, and a member may wait
  // for one that is down. Without it, it waits for one maximum election timeout.
  // docs/storage.md says what remains.
  bool strict_restart = false;

  // Heartbeats and elections. A leader is missed after between min and max; the defaults find a new
  // one in about half a second and cost an idle cluster next to nothing.
  absl::Duration heartbeat_interval = absl::Milliseconds(100);
  absl::Duration election_timeout_min = absl::Milliseconds(300);
  absl::Duration election_timeout_max = absl::Milliseconds(600);

  // The longest lease that the cluster grants. Fixed when the cluster is first started.
  absl::Duration ttl_max = absl::Seconds(60);
  // Bound on every member's clock rate against real time.
  double clock_drift_max = 0.01;

  // Once the log holds so many bytes more than the last snapshot, another is taken, and the log
  // before it is dropped: a member that lags behind gets the snapshot.
  std::size_t snapshot_log_bytes = std::size_t{64} << 20;
  // Bytes of log at most, whoever lags; past it new commands are refused with kResourceExhausted.
  std::size_t log_bytes_max = std::size_t{512} << 20;
  // Commands taken and not yet answered; past it (nine tenths of it, for what neither renews nor
  // frees) they are refused with kResourceExhausted.
  std::size_t commands_pending_max = 65536;

  // Leadership goes to the voter of the greatest priority that has caught up.
  std::uint32_t priority = 0;
  // Serves reads by the leader's lease, without a round of acknowledgements. As safe as the locks
  // themselves: both trust `clock_drift_max`.
  bool lease_reads = false;

  // Seeds all randomness of the member but its incarnation; 0 draws one. For simulation.
  std::uint64_t seed = 0;
  // The incarnation to take if the storage holds none; 0 draws one. For simulation.
  std::uint64_t incarnation = 0;

  // Called, on the member's Loop, with what people should read: one line each, no newline. Nothing
  // is printed without it.
  absl::AnyInvocable<void(absl::string_view line)> log;
  // Called once, on the Loop, if the member stops by itself: its storage failed, it was declared
  // lost or removed, or its data is not this cluster's. The process should exit and let an operator
  // read why; but with kAborted it should start the member again, which is a new incarnation then:
  // the cluster lost its majority before it held anything, or this member's storage had gone back
  // and was emptied.
  absl::AnyInvocable<void(absl::Status why)> on_stopped;
};

// Parses and checks `id` and `cluster`, without starting anything: kInvalidArgument with what to
// do.
absl::Status ValidateMemberOptions(const MemberOptions& options);

}  // namespace tenure

#endif  // TENURE_MEMBER_OPTIONS_H_
