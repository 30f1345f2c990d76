// What people read, and the statuses that callers act on.
#ifndef TENURE_CLIENT_DESCRIBE_H_
#define TENURE_CLIENT_DESCRIBE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tenure/command.h"

namespace tenure::client {

// The status for a reply whose code is not kOk.
absl::Status RefusalStatus(const Reply& reply);

// "invoices/42 is held by host-3 (session 7340041, token 1841) for 12.4 s; 3 are waiting before
// you".
// `led`: it is an election.
absl::Status HeldStatus(absl::string_view name, bool led, const LockHeld& held);
// The same for a wait that ended: what was so when it began.
absl::Status WaitOverStatus(absl::string_view name, bool led, absl::Duration wait,
                            const LockQueued& queued);
// A wait that nothing ever answered; `last` is the last failure, or OK.
absl::Status NoAnswerStatus(absl::string_view name, absl::Duration wait, const absl::Status& last);

// "attempt 1841 is host-3's (session 7340041), for 12.4 s; 3 are waiting".
std::string WhoAttempts(const AttemptInProgress& progress);

// What an administrator took: "invoices/42 was broken by root@ops (session 7340041): it is stuck".
// `by`: as in BreakRecord.
absl::Status BrokenStatus(absl::string_view what, absl::string_view name, absl::string_view by);

absl::Status ForkedStatus();

}  // namespace tenure::client

#endif  // TENURE_CLIENT_DESCRIBE_H_
