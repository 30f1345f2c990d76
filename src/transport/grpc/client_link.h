// A client's connection to one member, over gRPC: what the remote backend stands on.
#ifndef TENURE_TRANSPORT_GRPC_CLIENT_LINK_H_
#define TENURE_TRANSPORT_GRPC_CLIENT_LINK_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "transport/grpc/loop.h"
#include "transport/link.h"

namespace tenure::grpc_transport {

struct ClientLinkOptions {
  std::string label;  // for people: "host:pid"
  absl::Duration connect_timeout = absl::Seconds(2);
  // The member does not answer the hello, or the network takes nothing, for so long: it is dead.
  absl::Duration dead_after = absl::Seconds(5);
};

// A Loop for outgoing streams. Its thread runs until it is destroyed; streams that are left end
// then.
std::unique_ptr<GrpcLoop> NewGrpcClientLoop(absl::Duration spin = GrpcLoop::kDefaultSpin);

// Begins to connect to `address`. On `loop`, as are all calls.
std::unique_ptr<backends::Link> ConnectClientLink(GrpcLoop* loop, const std::string& address,
                                                  backends::LinkSink* sink,
                                                  const ClientLinkOptions& options = {});

// The same, as the backend wants it. `loop` outlives the factory and its links.
backends::LinkFactory GrpcLinkFactory(GrpcLoop* loop, ClientLinkOptions options = {});

}  // namespace tenure::grpc_transport

#endif  // TENURE_TRANSPORT_GRPC_CLIENT_LINK_H_
