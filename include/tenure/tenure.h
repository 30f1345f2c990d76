// Tenure: locks, elections and idempotency for the copies of a service, with no server beside them.
//
// Start here. A Coordinator comes from one of three places:
//
//   tenure::Open("memory:")                      this process alone: tests, tools, single copies
//   tenure::Open("tenure://h1:7400,h2:7400,...") a cluster somewhere: `tenure serve`, or services
//   that
//                                                run members themselves
//   tenure::StartMember({.id = ..., .cluster = ...})->coordinator()   this process is a member
//
// and gives locks (mutex.h, semaphore.h), Elections (election.h) and operations that take effect
// once (idempotency.h), under an implicit Session or sessions of one's own (session.h). What these
// protect should check their fencing tokens (fencing.h). Errors are absl::Status of three kinds
// (errors.h). Nothing here throws, prints, installs a signal handler or keeps global state.
//
// Not included here: awaitable.h, for coroutines, and lockable.h, for the standard library's locks,
// which does throw.
#ifndef TENURE_TENURE_H_
#define TENURE_TENURE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tenure/coordinator.h"
#include "tenure/election.h"
#include "tenure/errors.h"
#include "tenure/fencing.h"
#include "tenure/idempotency.h"
#include "tenure/local.h"
#include "tenure/lock_set.h"
#include "tenure/member.h"
#include "tenure/mutex.h"
#include "tenure/semaphore.h"
#include "tenure/session.h"

namespace tenure {

// Opens by URI, as above. Does not wait for a cluster to answer: the first call does. Starts one
// thread. kInvalidArgument: a malformed URI; kUnimplemented: a part that was not built. Linked from
// tenure::all.
absl::StatusOr<Coordinator> Open(absl::string_view uri, CoordinatorOptions options = {});

// Starts a member that talks gRPC and keeps its state in memory, or, with MemberOptions::data set,
// on disk (sqlite/storage.h, whose errors are returned as well). Starts one thread, and one more
// with a disk. kUnimplemented: a part that was not built. Linked from tenure::all.
absl::StatusOr<std::unique_ptr<Member>> StartMember(MemberOptions options);

}  // namespace tenure

#endif  // TENURE_TENURE_H_
