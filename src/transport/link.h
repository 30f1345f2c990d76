// One connection from a client to one member: what the replicated backend stands on. The gRPC
// client stream is one, a port into this process's own member another, the virtual world's a third.
#ifndef TENURE_TRANSPORT_LINK_H_
#define TENURE_TRANSPORT_LINK_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tenure/loop.h"
#include "tenure/transport.h"

namespace tenure::backends {

// What a Link calls, on its Loop only; never from inside Send or the Link's construction.
class LinkSink {
 public:
  virtual ~LinkSink() = default;
  // The member answered. `leader_address`: who leads, as far as it knows; empty: unknown, or
  // itself.
  virtual void OnConnected(std::string leader_address) = 0;
  virtual void OnMessage(ServerMessage message) = 0;
  // The last call: whatever was sent and not answered may or may not have arrived.
  virtual void OnClosed(absl::Status why) = 0;
};

// Used on its Loop only. Requests may be sent before OnConnected; they are queued. Destroying a
// Link closes it, at once and without a further call to the sink; that may happen inside a call to
// the sink.
class Link {
 public:
  virtual ~Link() = default;
  // Requests of one turn leave in one frame.
  virtual void Send(std::vector<ClientRequest> requests) = 0;
};

// Begins to connect; OnConnected or OnClosed follows.
using LinkFactory =
    std::function<std::unique_ptr<Link>(const std::string& address, LinkSink* sink)>;

}  // namespace tenure::backends

#endif  // TENURE_TRANSPORT_LINK_H_
