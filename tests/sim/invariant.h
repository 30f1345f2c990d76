// The interface of everything that must hold. Each invariant is one file in invariants/, and hears
// what happens as it happens: each step of each core, each message, each write, each entry that is
// applied, and what clients are told.
#ifndef TENURE_TESTS_SIM_INVARIANT_H_
#define TENURE_TESTS_SIM_INVARIANT_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "machine/machine.h"
#include "raft/core.h"
#include "tenure/command.h"
#include "tenure/mutex.h"
#include "tenure/raft_types.h"
#include "tenure/storage.h"
#include "tenure/transport.h"
#include "tests/sim/facts.h"

namespace tenure::sim {

struct Scene;

// Who acts.
struct Actor {
  IncarnationFacts* facts = nullptr;  // before the act
  Instant now;                        // by its own clocks
};

// A guard that a client got.
struct Hold {
  std::uint64_t id = 0;
  int client = 0;
  std::string lock;
  Revision token = 0;
  SessionId session = 0;
  LockGuard guard;  // empty once it was given back
};

// Names of what is not an exclusive lock. What administrators break is apart from the rest.
inline constexpr char kSharedPrefix[] = "shared-";
inline constexpr int kSharedCount = 4;
// Others of these, of which all that clients ask and are told is in the history.
inline constexpr char kJournaledPrefix[] = "shared-journaled-";
inline constexpr int kJournaledCount = 2;
// One of these, which is also taken with attempts at operations.
inline constexpr char kSharedWithAttempts[] = "shared-3";
inline constexpr char kSemaphore[] = "permits";
inline constexpr std::uint64_t kPermits = 4;
inline constexpr char kBreakable[] = "breakable";

// Something else that a client has: an exclusive or shared lock, permits, a lead.
struct Share {
  std::string name;  // of an election: with a prefix
  Revision token = 0;
  Revision fence = 0;
  bool shared = false;
  std::uint64_t permits = 0;  // 0: it is no semaphore
  bool breakable = false;     // by an administrator, whom it may hear of late
  std::uint64_t id = 0;       // of all that was granted as one
  int client = 0;
  SessionId session = 0;
  std::function<bool()> valid = nullptr;
};

class Invariant {
 public:
  Invariant(Scene& scene, absl::string_view name) : scene_(scene), name_(name) {}
  virtual ~Invariant() = default;
  Invariant(const Invariant&) = delete;
  Invariant& operator=(const Invariant&) = delete;

  // A process starts, with what its storage gave it. `actor.facts` are those of its earlier life,
  // if it had one.
  virtual void OnRecovered(const Actor&, const Recovered&) {}
  virtual void OnStep(const Actor&, const ClusterId&, const raft::Core&, const raft::Output&) {}
  // Handed to the disk; durable.
  virtual void OnWrite(const Actor&, const raft::WriteBatch&) {}
  virtual void OnSend(const Actor&, const Envelope&) {}
  // `first`: no other member has applied it before.
  struct AppliedEntry {
    const ClusterId& cluster;
    const raft::Entry& entry;
    absl::Span<const Command> commands;
    const machine::Applied& applied;
    const machine::Machine& machine;
    bool first;
  };
  virtual void OnApplied(const Actor&, const AppliedEntry&) {}

  // A client has a new guard. All others are in `holds`, each until it is given back.
  virtual void OnGranted(const Hold&, absl::Span<const Hold* const> /*holds*/) {}
  // The same of a share; all are in `shares`.
  virtual void OnShared(const Share&, absl::Span<const Share* const> /*shares*/) {}
  // A holder that believes itself to be one writes to what the lock guards.
  virtual void OnGuardedWrite(const Hold&) {}
  // An attempt at an operation began, by a Begin that was asked at `asked`, with that recovery
  // point.
  virtual void OnAttempt(const std::string& /*key*/, Revision /*token*/,
                         const std::string& /*point*/, absl::Duration /*asked*/) {}
  // A Checkpoint of it was acknowledged.
  virtual void OnCheckpoint(const std::string& /*key*/, Revision /*token*/,
                            const std::string& /*point*/) {}
  // The operation has the outcome of the attempt with that token: acknowledged to whoever stored
  // it, or told to somebody who asked at `asked`.
  virtual void OnOutcome(const std::string& /*key*/, Revision /*token*/, absl::Duration /*asked*/) {
  }
  // A client is told that its session is over, `left` before its own deadline.
  virtual void OnLost(SessionId, absl::Duration /*left*/) {}
  // A read was answered: of a machine at `revision`, asked for when `committed` was the greatest
  // revision of what was committed.
  virtual void OnRead(Revision /*committed*/, Revision /*revision*/) {}

 protected:
  void Fail(absl::string_view what) const;

  Scene& scene_;

 private:
  const std::string name_;
};

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_INVARIANT_H_
