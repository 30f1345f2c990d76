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
  // When this member may first vote or pre-vote (one maximum election timeout after its start, so
  // that a restart does not forget a promise to a leader); Instant{} in the first election of a
  // bootstrap.
  Instant may_vote_from;
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
// Later alternatives: Configure, Transfer, SnapshotTaken, SnapshotInstalled.

using Event = std::variant<Received, WriteDurable, WriteFailed, Propose, Read, Applied, Timer>;

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
  std::vector<Entry> committed;            // contiguous, each exactly once: apply in order
  std::vector<ReadReady> reads_ready;
  std::vector<ReadId> reads_refused;      // retry-safe: this member does not (or no longer) lead
  std::optional<RoleChange> role_change;  // whenever role, term or known leader changed
  // For Propose: where the entry went; absent if the proposal was refused because this member does
  // not lead. It is committed only if `committed` later brings this index *with this term*.
  struct Proposed {
    Index index = 0;
    Term term = 0;
  };
  std::optional<Proposed> proposed;
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
  Index commit_index() const;
  std::int64_t committed_stamp_ns() const;  // of the last committed entry (its value when trimmed)
  // The first index of this leader's own term; reads wait for it. 0 unless leader.
  Index term_start_index() const;
  const Configuration& configuration() const;
  // Bytes of the entries held, payloads and a fixed charge for each: what a log limit counts.
  std::size_t log_bytes() const;
  // What the leader knows of another member: its last acknowledged index and applied index, and
  // whether it answered within one election timeout. Absent unless this member leads and knows it.
  struct Progress {
    Index match_index = 0;
    Index applied = 0;
    bool active = false;
  };
  std::optional<Progress> progress(const MemberId& id) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tenure::raft

#endif  // TENURE_RAFT_CORE_H_
