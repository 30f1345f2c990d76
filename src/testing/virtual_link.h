// The virtual network as the replicated backend's link: the remote client on virtual time.
#ifndef TENURE_TESTING_VIRTUAL_LINK_H_
#define TENURE_TESTING_VIRTUAL_LINK_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tenure/testing/world.h"
#include "transport/link.h"

namespace tenure::testing {

class VirtualLink final : public backends::Link, private ClientStreamSink {
 public:
  VirtualLink(World& world, VirtualNode& node, const std::string& address, backends::LinkSink* sink)
      : sink_(sink), stream_(world.network().Connect(node, address, this)) {}

  void Send(std::vector<ClientRequest> requests) override { stream_->Send(std::move(requests)); }

 private:
  // The member says who leads when it refuses, not before.
  void OnConnected() override { sink_->OnConnected(/*leader_address=*/""); }
  void OnMessage(ServerMessage message) override { sink_->OnMessage(std::move(message)); }
  void OnClosed(absl::Status why) override { sink_->OnClosed(std::move(why)); }

  backends::LinkSink* const sink_;
  const std::unique_ptr<ClientStream> stream_;
};

// Links from the process that runs on `node` to whatever address. For a backend on node.loop().
inline backends::LinkFactory VirtualLinks(World& world, VirtualNode& node) {
  return [&world, &node](const std::string& address, backends::LinkSink* sink) {
    return std::make_unique<VirtualLink>(world, node, address, sink);
  };
}

}  // namespace tenure::testing

#endif  // TENURE_TESTING_VIRTUAL_LINK_H_
