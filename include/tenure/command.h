// What the state machine takes and gives: commands, replies, events. Plain structs on the lowest
// floor. Handles (client/) make commands, backends carry them, the machine (machine/) answers them.
// The schema's messages of the same names are their only other form.
//
// Durations and moments here are nanoseconds of *cluster time* (docs/architecture.md, Time), which
// is not any machine's clock.
#ifndef TENURE_COMMAND_H_
#define TENURE_COMMAND_H_

#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "tenure/types.h"

namespace tenure {

// The version of the machine's rules that a command needs. A leader refuses a command that needs
// more than the version that is active; members decode exactly the active one.
inline constexpr std::uint32_t kMachineVersion = 1;

// ---- Commands
// ------------------------------------------------------------------------------------

// Opens a session. Idempotent by the command's instance key: a retry is answered with the same
// session.
struct OpenSession {
  std::int64_t ttl_ns = 0;  // wanted; the reply has what was granted, within the cluster's limits
  std::string label;        // for people: "host:pid"
};
// Renews the lease. Never deduplicated: each attempt is a command of its own, and its answer, which
// repeats the number, is the machine's verdict when it was applied.
struct RenewSession {
  std::uint64_t attempt = 0;
};
// Ends the session: everything that hangs on it is free to others in the same entry.
struct CloseSession {};

inline constexpr std::int64_t kWaitForever = std::numeric_limits<std::int64_t>::max();

// Takes an exclusive lock, or queues for it. Answered at once: LockGranted, LockQueued or LockHeld.
// A queued wait ends with exactly one event, LockGrantedEvent or WaitEndedEvent, unless a
// CancelWait or the session's end comes first.
struct AcquireLock {
  std::string name;
  std::int64_t wait_ns = 0;  // 0: try; kWaitForever: no deadline
  std::string value;         // shown to whoever inspects the lock
};
// Ends the wait of this session's AcquireLock with that sequence: WaitCancelled, or LockGranted if
// the grant came first, or, if the acquire has not been seen yet, WaitCancelled, which it then
// meets.
struct CancelWait {
  Sequence acquire = 0;
};
// Gives one grant back. It names the grant, so a repeat cannot free a later one.
struct ReleaseLock {
  std::string name;
  Revision token = 0;
};

// Reads: never in the log, answered by the machine as it stands after ReadIndex.
struct GetLock {
  std::string name;
};
struct ListLocks {
  std::string after;  // names greater than this, in byte order; empty: from the first
  std::uint32_t limit = 1000;
};
struct ListSessions {
  SessionId after = 0;
  std::uint32_t limit = 1000;
};
// Answered by the member that gets it from what it knows, also without a leader.
struct GetStatus {};
// Changes who takes part. Answered by the leader, with its status, once it is done; safe to repeat:
// what is so already is done. Consensus sees to it: it never enters a command log.
enum class MemberAction : std::uint8_t {
  kAdd = 0,       // `name` at `address`, started with a list that has it, becomes a voter
  kRemove = 1,    // `name` takes no part any more, and is told so
  kPromote = 2,   // the learner `name` becomes a voter, once it has caught up
  kTransfer = 3,  // leadership goes to `name`, or, if that is empty, to the voter that lags least
};
struct ChangeMembers {
  MemberAction action = MemberAction::kAdd;
  std::string name;
  std::string address;
};

using Operation =
    std::variant<OpenSession, RenewSession, CloseSession, AcquireLock, CancelWait, ReleaseLock,
                 GetLock, ListLocks, ListSessions, GetStatus, ChangeMembers>;

struct Command {
  std::uint32_t machine_version = kMachineVersion;
  SessionId session = 0;  // 0 for OpenSession and reads
  InstanceKey key;        // the opener's; a command with another is refused
  // Numbers what must take effect once: AcquireLock, CancelWait, ReleaseLock. 0 for everything
  // else.
  Sequence sequence = 0;
  // Replies that the client has: all up to `acknowledged_through`, and each of `acknowledged`,
  // which are above it. The machine forgets them. A sequence that was acknowledged is never
  // executed again.
  Sequence acknowledged_through = 0;
  std::vector<Sequence> acknowledged;
  Revision events_seen_through = 0;  // events of this session that the client has
  Operation operation;
};

// True for what changes the machine and goes through the log.
inline bool IsWrite(const Operation& operation) {
  return !std::holds_alternative<GetLock>(operation) &&
         !std::holds_alternative<ListLocks>(operation) &&
         !std::holds_alternative<ListSessions>(operation) &&
         !std::holds_alternative<GetStatus>(operation) &&
         !std::holds_alternative<ChangeMembers>(operation);
}
// True for what keeps or frees something: such commands have a reserved share of every queue.
inline bool IsReserved(const Operation& operation) {
  return std::holds_alternative<RenewSession>(operation) ||
         std::holds_alternative<ReleaseLock>(operation) ||
         std::holds_alternative<CloseSession>(operation) ||
         std::holds_alternative<CancelWait>(operation);
}

// ---- Replies
// -------------------------------------------------------------------------------------

// Who holds a lock.
struct LockHolder {
  SessionId session = 0;
  Revision token = 0;
  std::string label;         // the session's
  std::string value;         // the holder's own
  std::int64_t held_ns = 0;  // cluster time since the grant

  friend bool operator==(const LockHolder&, const LockHolder&) = default;
};

struct SessionOpened {
  SessionId session = 0;
  std::int64_t ttl_ns = 0;
};
struct SessionRenewed {
  std::uint64_t attempt = 0;
  std::int64_t ttl_ns = 0;
};
struct SessionClosed {};
struct LockGranted {
  Revision token = 0;
};
struct LockQueued {
  std::uint64_t ahead = 0;  // waiters before this one
  LockHolder holder;        // session 0: nobody (a new cluster does not grant yet)
  // Until when nothing is granted, as cluster time from now; 0 unless a new cluster holds back.
  std::int64_t held_back_ns = 0;
};
struct LockHeld {  // the answer to a try
  LockHolder holder;
  std::uint64_t waiting = 0;
  std::int64_t held_back_ns = 0;
};
struct LockReleased {};
struct WaitCancelled {};

struct LockWaiter {
  SessionId session = 0;
  std::string label;
  std::int64_t waited_ns = 0;

  friend bool operator==(const LockWaiter&, const LockWaiter&) = default;
};
struct LockDescription {
  std::string name;
  LockHolder holder;  // session 0: free
  std::uint64_t waiting = 0;
  std::vector<LockWaiter> waiters;  // the first 100, in their order; only from GetLock

  friend bool operator==(const LockDescription&, const LockDescription&) = default;
};
struct LockList {
  std::vector<LockDescription> locks;  // by name; held ones and waited-for ones
  bool more = false;
};
struct SessionDescription {
  SessionId session = 0;
  std::string label;
  std::int64_t ttl_ns = 0;
  std::int64_t expires_in_ns = 0;
  std::uint64_t locks = 0;
  std::uint64_t waits = 0;
};
struct SessionList {
  std::vector<SessionDescription> sessions;  // by id
  bool more = false;
};

struct MemberStatus {
  MemberId id;
  std::string address;
  std::string role;  // "leader", "follower", "candidate", "learner", "free", "lost", "unknown"
  bool reachable = false;
  Index applied = 0;
};
struct ClusterStatus {
  ClusterId cluster;  // empty: not bootstrapped
  MemberId answered_by;
  MemberId leader;  // empty: none known
  Term term = 0;
  Revision revision = 0;
  Index commit = 0;
  Index applied = 0;
  std::uint64_t log_bytes = 0;
  std::int64_t cluster_time_ns = 0;
  std::int64_t held_back_ns = 0;  // a new cluster grants nothing for that long
  std::uint64_t sessions = 0;
  std::uint64_t locks = 0;
  std::uint64_t state_hash = 0;  // at `applied`
  bool may_stop_one = false;     // another member may be stopped without losing the quorum
  std::string message;           // what an operator should know; empty when all is well
  std::vector<MemberStatus> members;
};

enum class ReplyCode : std::uint8_t {
  kOk = 0,            // `result` has the answer
  kSessionEnded = 1,  // the session is unknown or has ended; for a sequenced command: uncertain
  kWrongKey = 2,      // the session belongs to another instance
  kInvalid = 3,       // malformed, or beyond a limit that no retry changes
  kLimit = 4,         // a table is full: retry-safe later
  kNotHeld = 5,       // the token is not (or no longer) the holder's
  kForgotten = 6,     // this sequence was acknowledged before, or is outside the window
  kVersion = 7,       // the command needs a newer machine
};

struct Reply {
  ReplyCode code = ReplyCode::kOk;
  std::string message;    // for codes other than kOk: what is wrong
  Revision revision = 0;  // the machine's, after this command
  std::variant<std::monostate, SessionOpened, SessionRenewed, SessionClosed, LockGranted,
               LockQueued, LockHeld, LockReleased, WaitCancelled, LockDescription, LockList,
               SessionList, ClusterStatus>
      result;
};

// ---- Events
// --------------------------------------------------------------------------------------

struct LockGrantedEvent {
  Sequence acquire = 0;
  std::string name;
  Revision token = 0;
};
enum class WaitEnd : std::uint8_t { kDeadline = 0 };
struct WaitEndedEvent {
  Sequence acquire = 0;
  std::string name;
  WaitEnd reason = WaitEnd::kDeadline;
};
enum class SessionEnd : std::uint8_t { kExpired = 0, kClosed = 1, kUnknown = 2 };
// The last event of a session. Told from an applied entry, or after ReadIndex, only.
struct SessionEndedEvent {
  SessionEnd reason = SessionEnd::kExpired;
};

// Something that happened to a session. Kept by the machine, and delivered again after a fail-over,
// until a command of the session says that it was seen; SessionEndedEvent is told once at most, and
// again to whoever listens to a session that is no more.
struct SessionEvent {
  SessionId session = 0;
  Revision revision = 0;  // strictly rising within a session
  std::variant<LockGrantedEvent, WaitEndedEvent, SessionEndedEvent> body;
};

}  // namespace tenure

#endif  // TENURE_COMMAND_H_
