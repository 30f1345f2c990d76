// The three kinds of error, told apart without parsing text.
//
//   refused     nothing happened, and trying the same again will not help until something changes
//               kInvalidArgument, kNotFound, kAlreadyExists, kPermissionDenied,
//               kFailedPrecondition, kAborted (a lock was not acquired: somebody else holds it, or
//               waiting for it would never end, see DeadlockOf),
//               kCancelled, kUnimplemented
//   retry-safe  nothing happened; try again
//               kUnavailable (no leader, not reachable), kResourceExhausted (overloaded; see
//               RetryAfter)
//   uncertain   it may or may not have happened
//               kDeadlineExceeded (sent, and no answer in time), kUnknown (sent, and the session
//               ended or the connection was lost before an answer), kDataLoss, kInternal
#ifndef TENURE_ERRORS_H_
#define TENURE_ERRORS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tenure/types.h"

namespace tenure {

enum class ErrorKind { kNone, kRefused, kRetrySafe, kUncertain };

// The kind of `status`, by its code as above; kNone for an OK status.
ErrorKind KindOf(const absl::Status& status);

// How long an overloaded cluster asked to wait before trying again; zero if it did not say.
absl::Duration RetryAfter(const absl::Status& status);
// `status` with that hint attached.
absl::Status WithRetryAfter(absl::Status status, absl::Duration after);

// Who would have waited for each other in a cycle, if that is why a wait was refused (see
// LockOptions::detect_deadlock): each waits for a lock that the next one keeps it from, and the
// last one for a lock that the first, who asked, keeps it from. Empty if `status` is another.
std::vector<WaitingOwner> DeadlockOf(const absl::Status& status);
// `status` with that cycle attached.
absl::Status WithDeadlock(absl::Status status, const std::vector<WaitingOwner>& cycle);

}  // namespace tenure

#endif  // TENURE_ERRORS_H_
