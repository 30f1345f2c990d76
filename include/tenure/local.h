// Coordination inside one process: the same handles, the state machine right here, no network.
#ifndef TENURE_LOCAL_H_
#define TENURE_LOCAL_H_

#include "absl/status/statusor.h"
#include "tenure/coordinator.h"

namespace tenure {

// What "memory:" opens: a coordinator of its own, empty. Starts one thread, for timers. Commands
// run on their caller's thread. Leases still expire, by this machine's clock, so that code that was
// written for a cluster behaves alike.
absl::StatusOr<Coordinator> OpenLocal(CoordinatorOptions options = {});

}  // namespace tenure

#endif  // TENURE_LOCAL_H_
