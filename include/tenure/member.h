// A member of a cluster, in this process.
#ifndef TENURE_MEMBER_H_
#define TENURE_MEMBER_H_

#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/command.h"
#include "tenure/coordinator.h"
#include "tenure/member_options.h"
#include "tenure/storage.h"
#include "tenure/transport.h"
#include "tenure/types.h"

namespace tenure {

namespace member {
class LeadBoard;  // src/member/lead_board.h
}

// Whether this process leads its group: Raft's own leadership, for services that need one leader
// among their members and nothing else. It costs no round trip and no session. Cheap to copy,
// thread-safe; outlives the Member, and then says no.
//
// It is judged by the leader's lease against this machine's clocks, not by what a thread was told
// last: so no two members are leaders at once, whatever stands still, as long as clock rates keep
// within MemberOptions::clock_drift_max. A write that leaves while IsLeader() is true may arrive
// later: give term() along, and let the receiver refuse lower ones, as with any token (terms are
// not comparable with the tokens of locks).
class GroupLeadership {
 public:
  GroupLeadership() = default;  // of nobody
  GroupLeadership(std::shared_ptr<member::LeadBoard> board, std::shared_ptr<void> keeps)
      : keeps_(std::move(keeps)), board_(std::move(board)) {}

  // Two clock readings. False in the first moments of a term, until its lease is there, and from
  // the moment at which leadership begins to be handed over.
  bool IsLeader() const { return term() != 0; }
  // Raft's term while it leads; 0 otherwise. Greater than that of every earlier leader.
  Term term() const;
  // Fires when this member's present lead is over for good: on the member's Loop, so what it calls
  // must not block. Fired already if it leads not. A lead that IsLeader() denies for a while, as
  // its followers are silent, is not over yet.
  std::stop_token lost() const;

 private:
  std::shared_ptr<void> keeps_;  // what the board reads the time from
  std::shared_ptr<member::LeadBoard> board_;
};

// One actor on its transport's Loop. Thread-safe.
class Member {
 public:
  // Starts to serve, and to look for the others, and returns: it does not wait for them. Errors:
  // kInvalidArgument (options), kUnavailable (the address cannot be bound), what the storage says.
  static absl::StatusOr<std::unique_ptr<Member>> Start(MemberOptions options,
                                                       std::unique_ptr<Transport> transport,
                                                       std::unique_ptr<Storage> storage);
  // Stops. Prompt, whatever the network does.
  virtual ~Member() = default;

  // A coordinator on this member: commands go to the state machine here if this member leads, and
  // through it to the leader otherwise. It is of no use once the member has stopped: see Stop.
  virtual Coordinator coordinator(CoordinatorOptions options = {}) = 0;

  // Whether this member leads the group. From the first call on it is kept up to date.
  virtual GroupLeadership leadership() = 0;

  virtual MemberId id() const = 0;
  // The address that was bound.
  virtual std::string address() const = 0;
  // What this member knows; `done` runs on its Loop.
  virtual void GetStatus(absl::AnyInvocable<void(ClusterStatus) &&> done) = 0;
  // Hands leadership over, if this member leads, as is kind before Stop: nobody need miss it then.
  // Waits for that, about one least election timeout at most. kUnavailable: nobody could take it.
  // Not from the Loop.
  virtual absl::Status HandOver() = 0;
  // Stops taking part. What coordinators have under way ends with kCancelled, or kUnknown if it may
  // have happened; new calls answer kCancelled; sessions expire with their leases, and end the
  // waits that are queued. Idempotent. Not from the Loop.
  virtual void Stop() = 0;
};

}  // namespace tenure

#endif  // TENURE_MEMBER_H_
