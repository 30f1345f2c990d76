// A member of a cluster, in this process.
#ifndef TENURE_MEMBER_H_
#define TENURE_MEMBER_H_

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/command.h"
#include "tenure/coordinator.h"
#include "tenure/member_options.h"
#include "tenure/storage.h"
#include "tenure/transport.h"

namespace tenure {

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
