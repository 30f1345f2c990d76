// The state machine: everything that Tenure coordinates, as one deterministic value. It takes
// entries of commands in log order and yields replies and events. It reads no clock: time is the
// stamp that each entry carries. Equal logs make equal machines, byte for byte (StateHash).
#ifndef TENURE_MACHINE_MACHINE_H_
#define TENURE_MACHINE_MACHINE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tenure/command.h"
#include "tenure/types.h"

namespace tenure::machine {

// What every member must agree on; part of the replicated state, set by the cluster's first entry
// and never a member's own option.
struct Limits {
  std::int64_t ttl_min_ns = 1'000'000'000;
  std::int64_t ttl_max_ns = 60'000'000'000;
  std::uint64_t sessions_max = 200'000;
  std::uint64_t locks_max = 4'000'000;  // held or waited for
  std::uint64_t waiters_per_lock_max = 100'000;
  std::uint64_t waits_per_session_max = 100'000;
  std::uint64_t locks_per_session_max = 4'000'000;
  std::uint64_t window = 8192;  // sequences of one session above its floor
  std::uint64_t name_bytes_max = 512;
  std::uint64_t value_bytes_max = 4096;
  std::uint64_t label_bytes_max = 256;
  std::uint64_t cleanup_per_entry = 1000;  // hand-overs and removals, at most, in one entry
  std::uint64_t elections_max = 100'000;   // led or campaigned for
  std::uint64_t observers_per_name_max = 100'000;
  std::uint64_t changes_kept = 32;  // of each election, for observers
  std::uint64_t keys_max = 1'000'000;
  // Of all recovery points and responses together, past which no new key is begun. Those that were
  // begun may still finish.
  std::uint64_t key_bytes_max = 512 << 20;
  std::uint64_t response_bytes_max = 64 << 10;
  std::int64_t retention_max_ns = 30 * std::int64_t{86'400'000'000'000};
  std::uint64_t permits_max = 1'000'000;  // of one semaphore
  std::uint64_t locks_at_once_max = 64;   // names of one AcquireAll

  friend bool operator==(const Limits&, const Limits&) = default;
};

// The machine's first state: the payload of entry 1.
struct Genesis {
  std::uint32_t machine_version = kMachineVersion;
  Revision first_revision = 0;      // revisions start above it
  std::int64_t grants_from_ns = 0;  // cluster time before which nothing is granted (0: at once)
  Limits limits;
};

// What applying one entry yields.
struct Applied {
  std::vector<Reply> replies;        // one for each command, in order
  std::vector<SessionEvent> events;  // in order of their revisions
};

class SnapshotReader;

// Not thread-safe. Apply costs O(commands + timers due + clean-up allowed), whatever the state's
// size.
class Machine {
 public:
  Machine();
  ~Machine();
  Machine(Machine&&) noexcept;
  Machine& operator=(Machine&&) noexcept;

  // Entry 1. An error if the genesis is malformed: the member must stop.
  absl::Status Start(const Genesis& genesis, std::int64_t stamp_ns);

  // Commands that need this version are taken from now on. It never falls.
  void RaiseVersion(std::uint32_t version);

  // Applies one entry: sets the time to `stamp_ns`; ends every session that is due, with its waits;
  // runs other timers by (due, id); then hand-overs and clean-up, a bounded number; then the
  // commands. `stamp_ns` must not be below the last one. Also for entries without commands
  // (no-ops): time runs.
  Applied Apply(std::int64_t stamp_ns, absl::Span<const Command> commands);

  // A read of the machine as it stands; see IsWrite(). GetStatus is not the machine's.
  Reply Query(const Operation& operation) const;

  // Events of `session` later than `after` that are not acknowledged yet; for a session that is no
  // more, one SessionEndedEvent with revision max(after + 1, revision()).
  std::vector<SessionEvent> EventsAfter(SessionId session, Revision after) const;

  std::int64_t now_ns() const;  // the last stamp
  Revision revision() const;
  std::uint64_t session_count() const;
  std::uint64_t lock_count() const;      // held or waited for
  std::uint64_t election_count() const;  // led or campaigned for
  std::uint64_t key_count() const;       // of operations, in whatever state
  std::int64_t grants_from_ns() const;
  const Limits& limits() const;
  std::uint32_t version() const;  // active; 0: not started

  // True while time matters: a session lives, a wait has a deadline, an operation's record will
  // expire, clean-up is unfinished, or a new cluster still holds grants back. The leader then
  // appends an entry at least every heartbeat.
  bool HasDeadline() const;

  // True while hand-overs or clean-up are left over that another entry would go on with: some
  // waiter may be entitled to its grant already. A leader need not wait for its heartbeat to append
  // one.
  bool HasBacklog() const;

  // A hash of the whole state, equal on members that applied the same log (PITFALLS T9). O(1): kept
  // up as effects happen, over (stamp, replies, events, timers) in the order in which they
  // happened.
  std::uint64_t StateHash() const;

  // Fixes the state as it is now for a snapshot. Costs the same whatever the state's size: the
  // machine goes on at once, and saves for the reader what it is about to change. At most one
  // reader at a time: null while there is another that neither came to its end nor was dropped.
  std::unique_ptr<SnapshotReader> Freeze();

  class Impl;  // for machine/ alone

 private:
  friend class SnapshotWriter;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_MACHINE_H_
