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

enum class LockMode : std::uint8_t {
  kExclusive = 0,
  kShared = 1,   // together with others that share it
  kPermits = 2,  // `permits` of the semaphore's `total`
};

// Takes a lock or permits of a semaphore, or queues for them. Answered at once: LockGranted,
// LockQueued or LockHeld. A queued wait ends with exactly one event, LockGrantedEvent or
// WaitEndedEvent, unless a CancelWait or the session's end comes first. First come, first served,
// whatever the modes: nobody passes one who waits, so no stream of readers starves a writer.
//
// Refused with kConflict: another total than the semaphore has, which is fixed while anyone holds
// or waits for it; permits of what is a lock, and the reverse; the exclusive lock, for a session
// and owner that share it: they would wait for themselves.
//
// With `reentrant`, a session and owner that hold the lock exclusively and ask for it again hold it
// once more: LockGranted with the same token and the count in `holds`; value and delay stay those
// of the first. Each ReleaseLock of the token takes one back, and the last one frees the lock; a
// break or the session's end frees all at once. Refused with kInvalid without an owner, and for
// permits; with kConflict if they ask to share what they hold exclusively (see Downgrade), or to
// share again behind somebody who waits for their first share to end.
//
// With `detect_deadlock`, a wait that would close a cycle among explicitly named owners is refused
// at once, with kDeadlock and the cycle: each owner waits for a lock that the next one holds, or
// stands before it in the queue of, and the last one's is so kept from it by this session and
// owner. An owner is one line of work: it goes on when all that it waits for was granted. A
// semaphore closes a cycle only if nobody outside it could free enough. Waits of owners that did
// not ask for detection count as well, only that nobody looks when they begin. A cycle of more than
// kCycleMax owners, or one that takes more than some thousand steps to find, goes unnoticed: the
// wait begins. Refused with kInvalid without an owner.
struct AcquireLock {
  std::string name;
  std::int64_t wait_ns = 0;  // 0: try; kWaitForever: no deadline
  std::string value;         // shown to whoever inspects the lock
  LockMode mode = LockMode::kExclusive;
  std::uint64_t permits = 0;  // of kPermits only: from 1 to `total`
  std::uint64_t total = 0;
  // How long nobody gets the lock after its holder's session expired, or the lock was broken: time
  // for what the holder had begun to come to its end. Of kExclusive only.
  std::int64_t delay_ns = 0;
  std::string owner;  // tells apart who uses the lock within the session; may be empty
  bool reentrant = false;
  bool detect_deadlock = false;
};
// Takes several locks, all or none. It enters all their queues at one revision, and is granted once
// it is at the head of each and none keeps it out; meanwhile nothing later passes it on any of
// them. So several who want the same locks in whatever order never wait for each other in a circle.
// Answered, waited for and cancelled as an AcquireLock is; `name` in LockQueued and LockHeld is the
// first lock that keeps it out.
//
// There is one token for all, the revision of the grant. Each name is released, broken or
// downgraded with it by itself, and who loses one keeps the others. A wait that ends leaves all
// queues at once.
//
// Refused with kInvalid: no name, more than Limits::locks_at_once_max, a name twice, or permits;
// with kConflict, for any of the names, as an AcquireLock of it.
struct LockInSet {
  std::string name;
  LockMode mode = LockMode::kExclusive;  // or kShared
};
struct AcquireAll {
  std::vector<LockInSet> locks;
  std::int64_t wait_ns = 0;  // 0: try; kWaitForever: no deadline
  std::string value;         // as in AcquireLock, for each of them; likewise the rest
  std::string owner;
  bool detect_deadlock = false;
  std::int64_t delay_ns = 0;  // of each that is exclusive; kInvalid if none is
};
// Turns an exclusive hold into a shared one, with the same token: LockGranted. Those who wait to
// share, up to the next that does not, get it too. kConflict while it is held more than once.
struct Downgrade {
  std::string name;
  Revision token = 0;
};
// Ends the wait of this session's AcquireLock, AcquireAll, Campaign, Observe, Begin or
// AwaitOperation with that sequence: WaitCancelled, or LockGranted or AttemptStarted if the grant
// came first, or, if the acquire has not been seen yet, WaitCancelled, which it then meets.
struct CancelWait {
  Sequence acquire = 0;
};
// Gives one grant back, or one hold of a reentrant one. It names the grant, so a repeat cannot free
// a later one.
struct ReleaseLock {
  std::string name;
  Revision token = 0;
};

// ---- Elections: named apart from locks, and otherwise like them. A term is a token.

inline constexpr std::uint32_t kPriorityMax = 255;

// Leads the election, or becomes a candidate. Answered, waited for and cancelled as an AcquireLock
// is, with the term as the token. Candidates are elected by priority, greater first, and by the
// order of their campaigns. Priority chooses among those who wait; it deposes no leader.
struct Campaign {
  std::string name;
  std::int64_t wait_ns = kWaitForever;
  std::string value;  // what the leader says of itself: an address
  std::uint32_t priority = 0;
};
// Changes the leader's value: Proclaimed, or kNotHeld if the term is not (or no longer) this
// session's.
struct Proclaim {
  std::string name;
  Revision term = 0;
  std::string value;
};
// Ends the term: LockReleased. It names the term, so a late one cannot end a successor's.
struct Resign {
  std::string name;
  Revision term = 0;
};
// Ends the term in favour of one candidate, whatever the order: LockReleased, and the candidate
// gets its grant in the same entry. kAbsent, and nothing happens, if that one is no candidate any
// more.
struct HandOver {
  std::string name;
  Revision term = 0;
  SessionId candidate = 0;
  Sequence campaign = 0;  // the candidate's own; see ElectionDescription
};

// ---- Watching

enum class ObjectKind : std::uint8_t {
  kLock = 0,
  kElection = 1,
  kOperation = 2,  // not to be observed: see AwaitOperation
};

// Asks for what happened to a lock or an election later than `after`. Answered at once with
// Observed if something did, or if `after` is 0; otherwise with Observing, and then exactly one
// ChangedEvent follows, unless a CancelWait or the session's end comes first. Whoever goes on with
// `after` set to the revision of what it was told last misses nothing, or is told of the gap. The
// last Limits::changes_kept changes are kept; of locks, only from when somebody first observed
// them.
struct Observe {
  ObjectKind kind = ObjectKind::kElection;
  std::string name;
  Revision after = 0;
};

// ---- Operations that take effect once, known by scope and key

// Begins an attempt at the operation. Answered with AttemptStarted; or AttemptInProgress, if there
// is another attempt; or OperationDone, with the stored outcome; or kMismatch, if the key was begun
// with another fingerprint.
//
// An attempt belongs to the session. It is over when its session ends or it finishes, and may be
// taken over once its deadline has passed; until it is, its token still finishes it. Whoever waits
// takes over in the order of their Begins: with `wait_ns` the answer is AttemptInProgress and
// exactly one event follows: AttemptStartedEvent; or OperationEndedEvent, when another's attempt
// has an outcome, which a further Begin is answered with; or WaitEndedEvent; unless a CancelWait or
// the session's end comes first.
//
// With `lock`, the attempt and that lock, exclusively, are taken as one and given back as one: they
// have one token, and what ends one ends the other in the same entry, whether it is the outcome, a
// release, the session's end, a break of either, or somebody who comes after the attempt's
// deadline. So nobody finishes an attempt whose lock was lost. It waits in the lock's queue, not in
// the key's: the record is looked at when the command comes and again when the lock is free for it,
// and made only then. If by then there is an outcome, somebody else's fingerprint, or an attempt
// without that lock, the event is OperationEndedEvent and the lock goes on to the next one. Refused
// with kConflict while the key is attempted without that lock: whoever may attempt a key has to
// name the same.
struct Begin {
  std::string scope;  // may be empty; without NUL
  std::string key;
  std::string fingerprint;                         // of the parameters; compared byte by byte
  std::int64_t deadline_ns = kWaitForever;         // of the attempt, from its start; never 0
  std::int64_t retention_ns = 86'400'000'000'000;  // of the outcome, or of the recovery point that
                                                   // is left when an attempt ends without one
  std::int64_t wait_ns = 0;
  std::string lock;   // empty: none
  std::string value;  // of the lock, as in AcquireLock
};
// Stores how far the attempt has come, for whoever takes over, and starts its deadline anew:
// AttemptExtended. kNotHeld if the token is not, or no longer, the current attempt's; likewise
// below.
struct Checkpoint {
  std::string scope;
  std::string key;
  Revision token = 0;
  std::string point;
};
// Lets the attempt's deadline pass `deadline_ns` from now: AttemptExtended.
struct Extend {
  std::string scope;
  std::string key;
  Revision token = 0;
  std::int64_t deadline_ns = kWaitForever;
};
enum class Outcome : std::uint8_t {
  kCompleted = 0,  // stored, and the answer to every later Begin
  kFailed = 1,     // likewise, as a failure that no retry changes
  kAbandoned = 2,  // not stored: a failure that will pass; the next Begin is a new attempt
};
// Ends the attempt: AttemptFinished.
struct FinishAttempt {
  std::string scope;
  std::string key;
  Revision token = 0;
  Outcome outcome = Outcome::kCompleted;
  std::string response;  // of the first two outcomes
};
// Waits for an outcome without ever attempting: OperationDone; kAbsent if nobody began it; or
// AttemptInProgress, and then exactly one event, OperationEndedEvent or WaitEndedEvent, follows,
// unless a CancelWait or the session's end comes first.
struct AwaitOperation {
  std::string scope;
  std::string key;
  std::int64_t wait_ns = kWaitForever;
};
// Forgets an outcome, or what an attempt without one has left: OperationForgotten, also if there
// was nothing. kConflict while an attempt is in progress or somebody waits.
struct Forget {
  std::string scope;
  std::string key;
};

// ---- For administrators

// Takes a lock, permits, a term or an attempt from whoever has it with that token: LockBroken;
// kAbsent if nobody has. The loser is told by a LockLostEvent. The break stands in the journal of
// what was broken, with the breaker's label and the reason: see Observe and GetElection. With
// LockDescription::delay as the token it ends that delay, and whoever waits gets the lock.
struct BreakLock {
  ObjectKind kind = ObjectKind::kLock;
  std::string scope;  // of operations only
  std::string name;
  Revision token = 0;
  std::string reason;
};

// Reads: never in the log, answered by the machine as it stands after ReadIndex.
struct GetLock {
  std::string name;
};
struct ListLocks {
  std::string after;  // names greater than this, in byte order; empty: from the first
  std::uint32_t limit = 1000;
};
struct GetElection {
  std::string name;
  Revision after = 0;  // changes later than this
};
struct ListElections {
  std::string after;
  std::uint32_t limit = 1000;
};
struct GetOperation {
  std::string scope;
  std::string key;
};
struct ListOperations {
  std::string scope;
  std::string after;  // keys greater than this, in byte order
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

// One of the above. A class of its own, as ReplyResult and EventBody are: what copies, moves and
// destroys so many kinds is compiled once, and not in every file that passes one on.
class Operation
    : public std::variant<OpenSession, RenewSession, CloseSession, AcquireLock, CancelWait,
                          ReleaseLock, Campaign, Proclaim, Resign, HandOver, Observe, Begin,
                          Checkpoint, Extend, FinishAttempt, AwaitOperation, Forget, Downgrade,
                          BreakLock, GetLock, ListLocks, GetElection, ListElections, GetOperation,
                          ListOperations, ListSessions, GetStatus, ChangeMembers, AcquireAll> {
 public:
  using variant::variant;
  Operation();
  Operation(const Operation&);
  Operation(Operation&&) noexcept;
  Operation& operator=(const Operation&);
  Operation& operator=(Operation&&) noexcept;
  ~Operation();
};

struct Command {
  std::uint32_t machine_version = kMachineVersion;
  SessionId session = 0;  // 0 for OpenSession and reads
  InstanceKey key;        // the opener's; a command with another is refused
  // Numbers what must take effect once: all writes except those that open, renew and close
  // sessions. 0 for everything else.
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
         !std::holds_alternative<GetElection>(operation) &&
         !std::holds_alternative<ListElections>(operation) &&
         !std::holds_alternative<GetOperation>(operation) &&
         !std::holds_alternative<ListOperations>(operation) &&
         !std::holds_alternative<ListSessions>(operation) &&
         !std::holds_alternative<GetStatus>(operation) &&
         !std::holds_alternative<ChangeMembers>(operation);
}
// True for what keeps or frees something: such commands have a reserved share of every queue.
inline bool IsReserved(const Operation& operation) {
  return std::holds_alternative<RenewSession>(operation) ||
         std::holds_alternative<ReleaseLock>(operation) ||
         std::holds_alternative<Downgrade>(operation) ||
         std::holds_alternative<BreakLock>(operation) ||
         std::holds_alternative<Resign>(operation) || std::holds_alternative<HandOver>(operation) ||
         std::holds_alternative<Checkpoint>(operation) ||
         std::holds_alternative<Extend>(operation) ||
         std::holds_alternative<FinishAttempt>(operation) ||
         std::holds_alternative<CloseSession>(operation) ||
         std::holds_alternative<CancelWait>(operation);
}

// ---- Replies
// -------------------------------------------------------------------------------------

// Who holds a lock.
struct LockHolder {
  SessionId session = 0;
  Revision token = 0;
  std::string label;          // the session's
  std::string value;          // the holder's own
  std::int64_t held_ns = 0;   // cluster time since the grant
  std::string owner;          // as it called itself; of locks only
  std::uint64_t permits = 0;  // of a semaphore

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
  // What a gate compares, if that is not the token: all who share a lock have the token of the
  // first of them, so that the gate refuses none of them.
  Revision fence = 0;
  // Of a semaphore's holders, each has a seat of its own below `total`; gates are one for each
  // seat.
  std::uint64_t seat = 0;
  std::uint64_t holds = 1;  // how often it is held: above 1 only of what was asked for reentrantly
  // Of an AcquireAll with more names than one: the fence of each, in its order; 0: the token.
  std::vector<Revision> fences = {};
};
struct LockQueued {
  std::uint64_t ahead = 0;  // waiters before this one
  LockHolder holder;        // session 0: nobody (a new cluster does not grant yet)
  // Until when nothing is granted, as cluster time from now; 0 unless a new cluster holds back.
  std::int64_t held_back_ns = 0;
  std::string name = {};  // of an AcquireAll: the lock that this is about
};
struct LockHeld {  // the answer to a try
  LockHolder holder;
  std::uint64_t waiting = 0;
  std::int64_t held_back_ns = 0;
  std::string name = {};  // as in LockQueued
};
struct LockReleased {
  std::uint64_t holds = 0;  // how often it is still held; 0: it is free
};
struct WaitCancelled {};

// The longest cycle of owners that is looked for.
inline constexpr std::size_t kCycleMax = 16;
struct Deadlock {
  std::vector<WaitingOwner> cycle;  // the one that was refused comes first
};

struct Proclaimed {};

enum class ChangeKind : std::uint8_t {
  kGranted = 0,     // `session` holds it, or leads, with `token`
  kValue = 1,       // the same, with another value
  kReleased = 2,    // given back, or resigned
  kHandedOver = 3,  // resigned in favour of a candidate
  kLost = 4,        // the session had ended, or its attempt was late and taken over
  kBroken = 5,      // by an administrator; `value` says by whom and why
};
// One thing that happened to a lock or an election.
struct Change {
  Revision revision = 0;
  ChangeKind kind = ChangeKind::kGranted;
  Revision token = 0;  // of the grant that began, changed or ended; or of a delay
  SessionId session = 0;
  std::string label;       // the session's
  std::string value;       // the holder's, while it holds
  std::int64_t at_ns = 0;  // cluster time

  friend bool operator==(const Change&, const Change&) = default;
};
struct Observing {};
struct Observed {
  LockHolder holder;  // as it is now; session 0: nobody
  std::vector<Change> changes;
  bool gap = false;  // there were others before these, which are no longer kept
};

struct AttemptStarted {
  Revision token = 0;
  std::string point;           // the last Checkpoint of an earlier attempt; empty: none
  std::uint64_t attempts = 1;  // this is the nth since the key was begun
};
struct AttemptInProgress {
  LockHolder holder;  // of the attempt; session 0: nobody (a new cluster starts none yet)
  // Until it may be taken over for its deadline; kWaitForever if it has none.
  std::int64_t ends_in_ns = kWaitForever;
  std::uint64_t ahead = 0;  // who wait before this one
  std::int64_t held_back_ns = 0;
};
struct OperationDone {
  bool failed = false;
  std::string response;
  std::int64_t expires_in_ns = 0;
};
struct AttemptExtended {
  std::int64_t ends_in_ns = kWaitForever;
};
struct AttemptFinished {};
struct OperationForgotten {};
struct LockBroken {};

// The last time that an administrator took something from who had it, while it is on record: as
// long as any other change of what was broken, see Observe.
struct BreakRecord {
  Revision revision = 0;  // 0: none is on record
  Revision token = 0;     // of the grant that it ended
  SessionId session = 0;  // whose that was; 0: nobody's, the token is that of a delay
  std::string label;      // that session's
  std::string by;         // who broke it, and why
  std::int64_t ago_ns = 0;

  friend bool operator==(const BreakRecord&, const BreakRecord&) = default;
};
struct LockWaiter {
  SessionId session = 0;
  std::string label;
  std::int64_t waited_ns = 0;
  LockMode mode = LockMode::kExclusive;
  std::uint64_t permits = 0;  // of a semaphore
  std::string owner;          // as it called itself

  friend bool operator==(const LockWaiter&, const LockWaiter&) = default;
};
struct LockDescription {
  std::string name;
  LockHolder holder;  // session 0: free
  std::uint64_t waiting = 0;
  std::vector<LockWaiter> waiters;  // the first 100, in their order; only from GetLock
  // Who share it, or have permits; then `holder` is the first of them.
  std::uint64_t shares = 0;
  std::vector<LockHolder> sharers;  // the first 100, by their tokens; only from GetLock
  std::uint64_t permits = 0;        // taken, of
  std::uint64_t total = 0;          // these; 0: it is no semaphore
  std::uint64_t holds = 0;          // of one who holds it exclusively, and may more than once
  BreakRecord broken;               // only from GetLock
  // Nobody gets it for so long, as its holder was lost: AcquireLock::delay_ns.
  std::int64_t delay_left_ns = 0;
  Revision delay = 0;  // what BreakLock calls that; 0: there is none

  friend bool operator==(const LockDescription&, const LockDescription&) = default;
};
struct LockList {
  std::vector<LockDescription> locks;  // by name; held ones and waited-for ones
  bool more = false;
};
struct Candidate {
  SessionId session = 0;
  Sequence campaign = 0;
  std::string label;
  std::string value;
  std::uint32_t priority = 0;
  std::int64_t waited_ns = 0;

  friend bool operator==(const Candidate&, const Candidate&) = default;
};
struct ElectionDescription {
  std::string name;
  LockHolder leader;  // session 0: nobody
  std::uint64_t waiting = 0;
  std::vector<Candidate> candidates;  // the first 100, in their order; only from GetElection
  std::vector<Change> changes;        // later than asked for; likewise
  bool gap = false;                   // likewise, as in Observed
  BreakRecord broken;                 // likewise

  friend bool operator==(const ElectionDescription&, const ElectionDescription&) = default;
};
struct ElectionList {
  std::vector<ElectionDescription> elections;  // by name; led ones and campaigned-for ones
  bool more = false;
};
enum class OperationState : std::uint8_t {
  kAbsent = 0,
  kInProgress = 1,
  kClaimable = 2,  // the last attempt is over, or may be taken over
  kDone = 3,
  kFailed = 4,
};
struct OperationDescription {
  std::string scope;
  std::string key;
  OperationState state = OperationState::kAbsent;
  LockHolder holder;  // of the current attempt; session 0: none
  std::uint64_t attempts = 0;
  std::int64_t ends_in_ns = kWaitForever;     // the attempt
  std::int64_t expires_in_ns = kWaitForever;  // the record, once no attempt is in progress
  std::uint64_t waiting = 0;
  std::string fingerprint;  // these three only from GetOperation
  std::string point;
  std::string response;
  std::string lock;    // that is held with the attempt; empty: none
  BreakRecord broken;  // only from GetOperation

  friend bool operator==(const OperationDescription&, const OperationDescription&) = default;
};
struct OperationList {
  std::vector<OperationDescription> operations;  // of one scope, by key
  bool more = false;
};
struct SessionDescription {
  SessionId session = 0;
  std::string label;
  std::int64_t ttl_ns = 0;
  std::int64_t expires_in_ns = 0;
  std::uint64_t locks = 0;  // held locks, elections led and attempts in progress
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
  std::uint64_t locks = 0;       // held or waited for
  std::uint64_t state_hash = 0;  // at `applied`
  // The version of the machine's rules that is active, and the newest that the answering member's
  // program has. A leader raises the one once all members have the other.
  std::uint32_t machine_version = 0;
  std::uint32_t newest_machine_version = 0;
  bool may_stop_one = false;  // another member may be stopped without losing the quorum
  std::string message;        // what an operator should know; empty when all is well
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
  kAbsent = 8,        // what the command names is not there
  kMismatch = 9,      // the key was begun with another fingerprint
  kConflict = 10,     // what the command names is in use in a way that forbids it
  kDeadlock = 11,     // the wait would never end; `result` has the Deadlock
};

// What there is to say with kOk, and of a deadlock.
class ReplyResult
    : public std::variant<std::monostate, SessionOpened, SessionRenewed, SessionClosed, LockGranted,
                          LockQueued, LockHeld, LockReleased, WaitCancelled, Proclaimed, Observing,
                          Observed, AttemptStarted, AttemptInProgress, OperationDone,
                          AttemptExtended, AttemptFinished, OperationForgotten, LockBroken,
                          Deadlock, OperationDescription, OperationList, LockDescription, LockList,
                          ElectionDescription, ElectionList, SessionList, ClusterStatus> {
 public:
  using variant::variant;
  ReplyResult();
  ReplyResult(const ReplyResult&);
  ReplyResult(ReplyResult&&) noexcept;
  ReplyResult& operator=(const ReplyResult&);
  ReplyResult& operator=(ReplyResult&&) noexcept;
  ~ReplyResult();
};

struct Reply {
  ReplyCode code = ReplyCode::kOk;
  std::string message;    // for codes other than kOk: what is wrong
  Revision revision = 0;  // the machine's, after this command
  ReplyResult result;
};

// ---- Events
// --------------------------------------------------------------------------------------

// Of an AcquireLock, a Campaign or an AcquireAll; then `name` is the first of its names.
struct LockGrantedEvent {
  Sequence acquire = 0;
  std::string name;
  Revision token = 0;
  Revision fence = 0;  // as in LockGranted
  std::uint64_t seat = 0;
  std::vector<Revision> fences = {};  // as in LockGranted
};
// An administrator took what was granted, or somebody an attempt after its deadline. Told once, and
// only to who had it.
struct LockLostEvent {
  Sequence acquire = 0;  // that of the AcquireLock, AcquireAll, Campaign or Begin
  std::string name;
  Revision token = 0;
  std::string by = {};  // what happened to it, and by whom, as in BreakRecord; empty: the cluster
                        // is older, and does not say
};
enum class WaitEnd : std::uint8_t { kDeadline = 0 };
// Of whatever can wait until a deadline.
struct WaitEndedEvent {
  Sequence acquire = 0;  // its sequence
  std::string name;
  WaitEnd reason = WaitEnd::kDeadline;
};
// Something happened to what an Observe asked about.
struct ChangedEvent {
  Sequence observe = 0;
  std::string name;
  bool gap = false;  // there were others before this one, which are no longer kept
  Change change;
};
// Of a Begin.
struct AttemptStartedEvent {
  Sequence begin = 0;
  std::string scope;
  std::string key;
  Revision token = 0;
  std::string point;
  std::uint64_t attempts = 1;
};
// Of a Begin or an AwaitOperation: there is an outcome, to be asked for.
struct OperationEndedEvent {
  Sequence begin = 0;
  std::string scope;
  std::string key;
};
enum class SessionEnd : std::uint8_t { kExpired = 0, kClosed = 1, kUnknown = 2 };
// The last event of a session. Told from an applied entry, or after ReadIndex, only.
struct SessionEndedEvent {
  SessionEnd reason = SessionEnd::kExpired;
};

class EventBody
    : public std::variant<LockGrantedEvent, WaitEndedEvent, ChangedEvent, AttemptStartedEvent,
                          OperationEndedEvent, LockLostEvent, SessionEndedEvent> {
 public:
  using variant::variant;
  EventBody();
  EventBody(const EventBody&);
  EventBody(EventBody&&) noexcept;
  EventBody& operator=(const EventBody&);
  EventBody& operator=(EventBody&&) noexcept;
  ~EventBody();
};

// Something that happened to a session. Kept by the machine, and delivered again after a fail-over,
// until a command of the session says that it was seen; SessionEndedEvent is told once at most, and
// again to whoever listens to a session that is no more.
struct SessionEvent {
  SessionId session = 0;
  Revision revision = 0;  // strictly rising within a session
  EventBody body;
};

}  // namespace tenure

#endif  // TENURE_COMMAND_H_
