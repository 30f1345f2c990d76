// What consensus speaks of: entries, configurations, messages, and what must be durable. Plain
// structs on the lowest floor, named by the Transport and Storage seams; only transport/, storage/
// and backends/ convert them to the schema. Section numbers are those of Ongaro's dissertation
// (2014).
#ifndef TENURE_RAFT_TYPES_H_
#define TENURE_RAFT_TYPES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tenure/types.h"

namespace tenure::raft {

// One server of a configuration, by incarnation.
struct Server {
  MemberId id;
  std::string address;  // host:port, where it serves peers and clients alike

  friend bool operator==(const Server&, const Server&) = default;
};

// Who decides. When `voters_outgoing` is not empty the configuration is joint (section 4.3): votes
// and commits need a quorum of each half. A configuration is in force from the moment that it is
// appended.
struct Configuration {
  std::vector<Server> voters;           // sorted by id
  std::vector<Server> voters_outgoing;  // sorted by id; empty unless joint
  std::vector<Server> learners;         // sorted by id; replicated to, never counted

  bool joint() const { return !voters_outgoing.empty(); }
  // The server of that incarnation, in whichever part; null: none is named.
  const Server* Find(const MemberId& id) const {
    for (const auto* part : {&voters, &voters_outgoing, &learners}) {
      for (const Server& server : *part) {
        if (server.id == id) return &server;
      }
    }
    return nullptr;
  }
  friend bool operator==(const Configuration&, const Configuration&) = default;
};

enum class EntryKind : std::uint8_t {
  kNoOp = 0,           // what a new leader appends first (section 6.4)
  kCommands = 1,       // commands for the state machine; consensus sees only bytes
  kConfiguration = 2,  // a configuration; entry 1 also carries the machine's first state as payload
  kVersion = 3,        // raises the version of the machine's rules to that in the payload
};
inline constexpr EntryKind kLastEntryKind = EntryKind::kVersion;

// An entry's bytes, shared between log, storage, transport and state machine, never copied or
// changed. Null means empty.
using Payload = std::shared_ptr<const std::string>;

struct Entry {
  Index index = 0;
  Term term = 0;
  EntryKind kind = EntryKind::kNoOp;
  // Cluster time in nanoseconds (docs/architecture.md, Time). Never falls along a log. Opaque to
  // consensus, but for that rule and for the no-op, which repeats the stamp of the entry before it.
  std::int64_t stamp_ns = 0;
  Payload payload;
  std::shared_ptr<const Configuration> configuration;  // for kConfiguration alone

  std::size_t payload_bytes() const { return payload == nullptr ? 0 : payload->size(); }
};

// What a member must never forget between messages (section 3.8).
struct HardState {
  Term term = 0;
  MemberId vote;  // empty: none in this term

  friend bool operator==(const HardState&, const HardState&) = default;
};

// What another member was seen to attest by what it said, which it may say only once it is durable
// (section 3.8): the least that its storage must still hold when it starts again. A storage that
// went back, by an older copy or by writes that it lost, is found by this.
struct Attested {
  MemberId who;
  Term term = 0;  // the newest that it spoke of as its own
  MemberId vote;  // in that term; empty: none seen
  // What it acknowledged in that term: its log was durable up to this entry, of this term. 0:
  // nothing; a term of 0: it led, so the log is its own.
  Index match_index = 0;
  Term match_term = 0;
  Index applied = 0;  // so committed, and in its log or its snapshot, whatever the term

  friend bool operator==(const Attested&, const Attested&) = default;
};

// ---- Messages
// ------------------------------------------------------------------------------------ Each carries
// the sender's term. `from`, `to` and the cluster travel in the Envelope (transport.h).

// A request for a vote, or, with `pre_vote`, for the promise of one (section 9.6). A pre-vote asks
// on behalf of `term`, which the sender has not entered.
struct VoteRequest {
  Term term = 0;
  bool pre_vote = false;
  Index last_index = 0;
  Term last_term = 0;
  // The leader itself asked for this election (TimeoutNow), so its followers need not keep to it.
  bool transfer = false;
};

// `term` is the responder's own term; `request_term` repeats the request's, so that an answer to an
// earlier request counts for nothing.
struct VoteResponse {
  Term term = 0;
  Term request_term = 0;
  bool pre_vote = false;
  bool granted = false;
};

// Entries to append, or, with none, a heartbeat.
struct AppendRequest {
  Term term = 0;
  Index prev_index = 0;
  Term prev_term = 0;
  std::vector<Entry> entries;  // contiguous from prev_index + 1
  Index commit = 0;
  // Numbers the leader's broadcasts within its term, from 1. Echoed by the answer: it tells which
  // reads, which check-quorum interval and (later) which lease an answer confirms (section 6.4).
  std::uint64_t round = 0;
  // Every member of the configuration has applied up to here: the log before it may be dropped.
  Index trim_through = 0;
  // Numbers the hand-overs of this leader and their withdrawals, from 1: a TimeoutNow of an earlier
  // number is void for whoever heard of this one.
  std::uint64_t transfer = 0;
  // The leader's own log is durable up to here, which it may have counted: see Attested.
  Index durable = 0;
};

struct AppendResponse {
  Term term = 0;
  bool accepted = false;
  // Accepted: the last index known to agree with the leader's log and durable here.
  // Refused: the responder's last index that may agree; the leader probes from there.
  Index match_index = 0;
  Term hint_term = 0;          // refused: the term at match_index in the responder's log
  Index rejected_prev = 0;     // refused: the prev_index that was refused, to tell late answers
  Index applied = 0;           // the last index that the responder's state machine has applied
  std::uint64_t round = 0;     // repeats the request's
  std::uint64_t transfer = 0;  // the greatest number of a hand-over heard in this term
  std::uint32_t priority = 0;  // the responder's: among those that can lead, the greatest should
};

// The leader asks its follower to campaign at once (section 3.10).
struct TimeoutNow {
  Term term = 0;
  std::uint64_t transfer = 0;  // obeyed only if it is the newest number that the receiver heard
};

// What a snapshot stands for: the state machine's state once everything up to `index` was applied,
// which is committed. Two snapshots of one place are the same but for `bytes` (section 5.1).
struct SnapshotInfo {
  Index index = 0;  // 0: none
  Term term = 0;
  std::int64_t stamp_ns = 0;
  std::shared_ptr<const Configuration> configuration;  // in force at `index`
  std::uint64_t bytes = 0;

  bool empty() const { return index == 0; }
};

// One chunk of a snapshot, for a follower that lags behind the leader's log. It is a heartbeat too.
struct SnapshotRequest {
  Term term = 0;
  SnapshotInfo snapshot;
  std::uint64_t offset = 0;
  Payload data;  // empty as the core leaves it: whoever sends it fills it from the storage
  std::uint64_t round = 0;
};

// What the follower wants next. Once the snapshot is installed, it answers with an AppendResponse.
struct SnapshotResponse {
  Term term = 0;
  Index index = 0;           // repeats the snapshot's
  std::uint64_t offset = 0;  // all before is durable here
  std::uint64_t round = 0;   // repeats the request's
};

using Message = std::variant<VoteRequest, VoteResponse, AppendRequest, AppendResponse, TimeoutNow,
                             SnapshotRequest, SnapshotResponse>;

// ---- Durability
// ----------------------------------------------------------------------------------

// Names a write, so that what depends on it can wait. Rises by one with each batch of one
// incarnation.
using WriteId = std::uint64_t;

// A piece of a snapshot in the making. Piece follows piece from offset 0, which begins anew and
// drops what was in the making before.
struct SnapshotChunk {
  Index index = 0;
  std::uint64_t offset = 0;
  Payload data;
};

// What becomes durable together, or not at all; batches become durable in their order. The hard
// state belongs to the same batch as the entries of its term: never after them.
struct WriteBatch {
  WriteId id = 0;
  std::optional<HardState> hard_state;
  Index truncate_from = 0;     // drop entries from this index on, before appending; 0: none
  std::vector<Entry> entries;  // contiguous
  Index trim_through = 0;      // entries up to here may be dropped; 0: none
  std::optional<SnapshotChunk> chunk;
  // The chunks written so far, this batch's included, are this snapshot now, in place of any other.
  // If the log does not hold its entry, it replaces the log, before anything else of this batch.
  std::optional<SnapshotInfo> snapshot;
  // Set once, when a free member enters a cluster: it is what makes the member belong to it.
  std::optional<ClusterId> entered;
  // All that is known of others, in place of what was written before; a few hundred bytes.
  std::optional<std::vector<Attested>> attested;
  // Alone in its batch: all that is held is dropped, whose it is included. The storage is as new.
  bool forget = false;
};

}  // namespace tenure::raft

#endif  // TENURE_RAFT_TYPES_H_
