// The table of sessions: who may command, until when, and what each one has been told.
#ifndef TENURE_MACHINE_SESSIONS_H_
#define TENURE_MACHINE_SESSIONS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "machine/core.h"
#include "machine/timers.h"
#include "machine/window.h"
#include "tenure/command.h"

namespace tenure::machine {

struct Lock;
struct Wait;

// What one command has of one lock: an AcquireAll has several, numbered in its order.
struct ClaimKey {
  ClaimKey(Sequence of, std::uint32_t which = 0)
      : sequence(of), part(which) {}  // NOLINT: as itself
  Sequence sequence;
  std::uint32_t part;

  friend bool operator<(const ClaimKey& a, const ClaimKey& b) {
    return a.sequence != b.sequence ? a.sequence < b.sequence : a.part < b.part;
  }
};

// What one AcquireLock made: a wait, or, once it is granted, a hold.
struct Claim {
  Lock* lock = nullptr;
  Wait* wait = nullptr;  // null: held
};

// A session is alive, then dead (ended, but things still hang on it), then buried (nothing hangs on
// it; it is kept for a while because its replies may answer a late retry), then gone.
// What a session is by itself; a copy is what a snapshot keeps of it.
struct SessionState {
  SessionId id = 0;
  InstanceKey key;
  std::int64_t ttl_ns = 0;
  std::int64_t due_ns = 0;
  std::int64_t timer_ns = 0;  // when its timer stands; not after due_ns
  std::string label;
  bool dead = false;
  bool buried = false;
  SessionEnd end = SessionEnd::kExpired;  // of a dead one
  Revision ended = 0;                     // likewise: the order of deaths
  std::uint32_t epoch = 0;

  SequenceWindow window;
};

// An event that its session has not acknowledged yet.
struct KeptEvent {
  SessionEvent event;
  std::uint32_t epoch = 0;
};

struct Session : SessionState {
  absl::btree_map<Revision, KeptEvent> events;
  // What hangs on the session, one member for each table.
  absl::btree_map<ClaimKey, Claim> claims;
  std::uint64_t waits = 0;  // claims that are waits
};

class Sessions {
 public:
  explicit Sessions(Core* core) : core_(core) {}

  // Null if there is none or it is gone. May be dead.
  Session* Find(SessionId id) const;
  std::uint64_t live_count() const { return by_key_.size(); }

  void Open(const Command& command, const OpenSession& open, Reply& reply);
  // `session` must be alive. Whoever calls has touched it.
  void Renew(Session& session, const RenewSession& renew, Reply& reply);
  void AcknowledgeEvents(Session& session, Revision through);
  // Keeps the event until it is acknowledged. The revision must be new.
  void Tell(Session& session, SessionEvent event);

  // The session is dead from here on. O(log n), whatever hangs on it: clean-up comes later.
  void End(Session& session, SessionEnd reason);
  // Ends all whose lease is over, by (due, id).
  void EndDue();
  // The dead session that died first and is not buried. Null if there is none.
  Session* FirstDead() const { return dead_.empty() ? nullptr : dead_.front(); }
  // Buries FirstDead(), on which nothing must hang any more.
  void BuryFirstDead();

  std::vector<SessionEvent> EventsAfter(SessionId id, Revision after) const;
  void List(const ListSessions& list, Reply& reply) const;

  // The first session with an id above `after`, in whatever state. Null if there is none.
  Session* NextAfter(SessionId after) const;
  // Put together again what a snapshot has of sessions, in any order. Null or false if there is one
  // already. After the last one: FinishRestore().
  Session* Restore(SessionState state);
  bool RestoreEvent(Session& session, SessionEvent event);
  bool FinishRestore();

 private:
  void SetTimer(Session& session);

  Core* core_;
  absl::btree_map<SessionId, std::unique_ptr<Session>> by_id_;
  absl::flat_hash_map<InstanceKey, Session*> by_key_;  // the live ones; never iterated
  // Lazy: a timer may stand earlier than its session's due time, and is then put back when it comes
  // up. So a renewal touches nothing but the session.
  Timers<Session> timers_;
  std::deque<Session*> dead_;    // in the order of their deaths
  std::deque<Session*> buried_;  // likewise
  std::size_t buried_replies_ = 0;
};

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_SESSIONS_H_
