// A client of a remote cluster, over gRPC. Target tenure::grpc.
#ifndef TENURE_GRPC_CONNECT_H_
#define TENURE_GRPC_CONNECT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/coordinator.h"

namespace tenure::grpc {

struct ConnectOptions {
  CoordinatorOptions coordinator;
  // Poll for up to that long before sleeping, after operations that follow each other closely (50
  // us after others), and never while idle. It hides the cost of waking an idle core, for CPU time.
  // Zero turns it off.
  absl::Duration spin = absl::Microseconds(300);
};

// What "tenure://h1:p1,h2:p2,..." opens. Finds the leader among `endpoints`, follows it through
// fail-over, and carries all sessions over one stream. Returns at once; starts one thread.
// kInvalidArgument: no endpoint, or one that is not host:port.
absl::StatusOr<Coordinator> Connect(std::vector<std::string> endpoints,
                                    ConnectOptions options = {});

}  // namespace tenure::grpc

#endif  // TENURE_GRPC_CONNECT_H_
