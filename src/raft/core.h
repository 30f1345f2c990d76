// The Raft core: consensus as a pure function of (state, moment, event). It reads no clock, starts
// no thread, does no I/O and calls nobody back; its randomness is seeded, so a seed replays a run.
//
// Sources: Ongaro, "Consensus: Bridging Theory and Practice" (2014), by section; DESIGN section 6.
#ifndef TENURE_RAFT_CORE_H_
#define TENURE_RAFT_CORE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tenure/raft_types.h"
#include "tenure/types.h"

namespace tenure::raft {

struct Options {
  MemberId self;
  std::uint64_t seed = 0;  // of the core's only randomness: election timeouts

  absl::Duration heartbeat_interval = absl::Milliseconds(100);
  // An election timeout is drawn anew from [min, max) at each use. The minimum is also what
  // stickiness and check-quorum count by (section 6.2; etcd#10483: never equal to a drawn timeout's
  // maximum).
  absl::Duration election_timeout_min = absl::Milliseconds(300);
  absl::Duration election_timeout_max = absl::Milliseconds(600);

  // Limits of one append message, and of what may be under way to one follower.
  std::size_t append_entries_max = 1024;
  std::size_t append_bytes_max = 1 << 20;
  std::size_t inflight_appends_max = 64;
  std::size_t inflight_bytes_max = 8 << 20;
  // Reads waiting for a round of acknowledgements; past that they are refused.
  std::size_t pending_reads_max = 65536;

  // Whether the log may be trimmed past the last snapshot, up to what every member has applied:
  // where no restart needs the log to make the state anew.
  bool trim_without_snapshot = true;

  // Bound on every member's clock rate against real time: what the leader's lease allows for.
  double clock_drift_max = 0.01;
  // Serves reads by the lease while there is one, without a round of acknowledgements.
  bool lease_reads = false;
  // A leader hands over to a voter of greater priority that has caught up.
  std::uint32_t priority = 0;
};

// What a member recovered from its storage, or what bootstrap gave it.
struct Initial {
  HardState hard_state;
  Index trimmed_through = 0;  // entries up to here are gone from the log...
  Term trimmed_term = 0;      // ...the last of which had this term and stamp
  std::int64_t trimmed_stamp_ns = 0;
  std::shared_ptr<const Configuration> trimmed_configuration;  // in force at trimmed_through
  std::vector<Entry> entries;  // contiguous from trimmed_through + 1
  Index applied = 0;           // what the state machine already holds; 0: nothing
  SnapshotInfo snapshot;       // what the storage holds, durable and whole
  // When this member may first vote or pre-vote (one maximum election timeout after its start, so
  // that a restart does not forget a promise to a leader); Instant{} in the first election of a
  // bootstrap.
  Instant may_vote_from;
  // Neither votes nor campaigns, beyond that, until AllowVotes: its storage may have gone back.
  bool votes_withheld = false;
};

// ---- Events ----

using ReadId = std::uint64_t;

// A message arrived. `from` is the incarnation that sent it, already checked to be meant for this
// incarnation of this cluster. It may be late, repeated or out of order.
struct Received {
  MemberId from;
  Message message;
};
// The batch of this id, and so all before it, is durable.
struct WriteDurable {
  WriteId id = 0;
};
// The batch of this id may or may not be durable. Final: the core stops taking part.
struct WriteFailed {
  WriteId id = 0;
};
// Appends one entry of commands, if this member leads. `stamp_ns` must not be below
// last_stamp_ns().
struct Propose {
  Payload payload;
  std::int64_t stamp_ns = 0;
  EntryKind kind = EntryKind::kCommands;  // not kConfiguration
};
// Asks for a linearizable read (ReadIndex, section 6.4). Answered in Output::reads_ready or
// reads_refused. Ids are the caller's own and are unique among those pending.
struct Read {
  ReadId id = 0;
};
// The state machine has applied up to here.
struct Applied {
  Index through = 0;
};
// The deadline has come; also harmless at any other time.
struct Timer {};
// Who shall take part from now on. A change of voters goes through a joint configuration (section
// 4.3), which the leader leaves by itself as soon as it is committed; a change of learners alone
// takes one step, as they are never counted. Answered in Output::proposed or Output::refused.
struct Configure {
  std::vector<Server> voters;
  std::vector<Server> learners;
};
// A younger incarnation of that name attested that this one is lost: it will never speak again, and
// what it held is gone. See Peers for what follows.
struct AttestLost {
  MemberId who;
};
// Initial::votes_withheld is over.
struct AllowVotes {};
// Hands leadership over to `target`, or, if that is empty, to the voter that lags least (section
// 3.10). It ends within one least election timeout: with another leader, or with
// Output::transfer_failed. Refused in Output::refused.
struct Transfer {
  MemberId target;
};

// A piece of a snapshot of this member's own state as it was when `through` was applied, in order
// from offset 0. Pieces of one that this core has no use for any more are dropped:
// making_snapshot() tells. With the last one durable, the snapshot may be sent, and the log before
// it dropped.
struct SnapshotPiece {
  Index through = 0;
  std::uint64_t offset = 0;
  Payload data;
  bool last = false;
};

using Event = std::variant<Received, WriteDurable, WriteFailed, Propose, Read, Applied, Timer,
                           Configure, AttestLost, AllowVotes, Transfer, SnapshotPiece>;

// ---- Output ----

struct Outgoing {
  MemberId to;
  Message message;
};

// A message that may leave only once the write is durable.
struct GatedOutgoing {
  WriteId after = 0;
  Outgoing outgoing;
};

// A piece of a snapshot that the leader sends, in order from offset 0, which begins anew. With the
// last one, the state machine becomes what the pieces say, in place of what it was; `committed`
// goes on from there.
struct InstallPiece {
  SnapshotInfo snapshot;
  std::uint64_t offset = 0;
  Payload data;
  bool last = false;
};

// A read may be served once the state machine has applied `index`.
struct ReadReady {
  ReadId id = 0;
  Index index = 0;
};

enum class Role : std::uint8_t { kFollower, kPreCandidate, kCandidate, kLeader, kStopped };

struct RoleChange {
  Role role = Role::kFollower;
  Term term = 0;
  MemberId leader;  // empty: unknown
};

struct Output {
  std::vector<Outgoing> messages;          // may leave now, beside the write (section 10.2.1)
  std::vector<GatedOutgoing> after_write;  // in order of their writes
  std::optional<WriteBatch> write;         // at most one a step; hand it to Storage in order
  std::optional<InstallPiece> install;     // before what is committed
  std::vector<Entry> committed;            // contiguous, each exactly once: apply in order
  std::vector<ReadReady> reads_ready;
  std::vector<ReadId> reads_refused;      // retry-safe: this member does not (or no longer) lead
  std::optional<RoleChange> role_change;  // whenever role, term or known leader changed
  // For Propose and Configure: where the entry went; absent if it was refused because this member
  // does not lead or is handing over. It is committed only if `committed` later brings this index
  // *with this term*.
  struct Proposed {
    Index index = 0;
    Term term = 0;
  };
  std::optional<Proposed> proposed;
  // Why a Configure or Transfer was refused, for people. kUnavailable: this member does not lead;
  // kFailedPrecondition: not now, try again; kInvalidArgument: never.
  absl::Status refused;
  bool transfer_failed = false;                  // the hand-over was given up: this member leads on
  Instant deadline = Instant::InfiniteFuture();  // send Timer then, at the latest
};

// One member's consensus. Not thread-safe: one actor drives it. `now` must never go back on either
// clock between steps. Construction says nothing: step a Timer right after it for the first
// deadline.
class Core {
 public:
  Core(Options options, Initial initial, Instant now);
  ~Core();
  Core(Core&&) noexcept;
  Core& operator=(Core&&) noexcept;

  // Takes one event and says what follows from it. Never blocks; costs O(followers + entries
  // moved).
  Output Step(Instant now, Event event);

  Role role() const;
  Term term() const;
  const MemberId& leader() const;  // empty: unknown
  Index last_index() const;
  std::int64_t last_stamp_ns() const;  // of the last entry of the own log
  Term TermAt(Index index) const;      // of that entry of it; 0: it is not held
  Index commit_index() const;
  std::int64_t committed_stamp_ns() const;  // of the last committed entry (its value when trimmed)
  // The first index of this leader's own term; reads wait for it. 0 unless leader.
  Index term_start_index() const;
  const Configuration& configuration() const;
  // Where the configuration in force stands in the log; it is committed if that is.
  Index configuration_index() const;
  // A leader that may tell no client what it commits: too few voters are left for an ordinary
  // majority, until the lost ones are exchanged (BOOTSTRAP rule 11).
  bool short_handed() const;
  // Whether its loss was attested here.
  bool lost(const MemberId& id) const;
  // A leader that is handing over takes no proposals.
  bool transferring() const;
  // True while nobody else can lead: by a quorum's answers, the clocks' drift and the promises that
  // they keep (section 6.4.1). Void from the moment that a TimeoutNow leaves, for the rest of the
  // term, unless its receiver acknowledged the withdrawal.
  bool HasLease(Instant now) const;
  // Since when, and for how long by the greater elapsed of the two clocks, that is so without
  // another answer; `ns` is 0 if it is not so.
  struct Lease {
    Instant since;
    std::int64_t ns = 0;
  };
  Lease lease(Instant now) const;
  // The snapshot that is held, durable and whole.
  const SnapshotInfo& snapshot() const;
  // The index of the own snapshot in the making; 0: none.
  Index making_snapshot() const;
  // A member lags behind the log and a snapshot must be taken for it.
  bool snapshot_wanted() const;
  // One that answers is being sent the present snapshot: another now would let it begin anew.
  bool sending_snapshot() const;
  // Whether an entry that is held carries commands. O(entries).
  bool HoldsCommands() const;
  // Bytes of the entries held, payloads and a fixed charge for each: what a log limit counts.
  std::size_t log_bytes() const;
  // Of those after the snapshot: what another one would stand for.
  std::size_t log_bytes_after_snapshot() const;
  // What the leader knows of another member: its last acknowledged index and applied index, and
  // whether it answered within one election timeout. Absent unless this member leads and knows it.
  struct Progress {
    Index match_index = 0;
    Index applied = 0;
    bool active = false;
    std::uint32_t priority = 0;
    bool snapshot = false;  // it is being sent a snapshot
  };
  std::optional<Progress> progress(const MemberId& id) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tenure::raft

#endif  // TENURE_RAFT_CORE_H_
