// A member's transport on the virtual network.
#ifndef TENURE_TESTING_VIRTUAL_TRANSPORT_H_
#define TENURE_TESTING_VIRTUAL_TRANSPORT_H_

#include <memory>
#include <string>
#include <vector>

#include "tenure/transport.h"
#include "testing/network_impl.h"

namespace tenure::testing {

class VirtualTransport final : public Transport {
 public:
  VirtualTransport(NetworkImpl& network, std::shared_ptr<Endpoint> endpoint)
      : network_(network), endpoint_(std::move(endpoint)) {}
  ~VirtualTransport() override { Stop(); }

  Loop& loop() override { return *endpoint_->loop; }
  absl::Status Start(const Identity& self, TransportSink* sink) override;
  std::string bound_address() const override;
  void SetPeers(absl::Span<const Peer> peers) override;
  void Send(Envelope envelope) override;
  void SendToClient(ConnectionId connection, ServerMessage message) override;
  void CloseClient(ConnectionId connection, absl::Status why) override;
  void Stop() override;

 private:
  struct Route {
    std::string name;
    Address address = 0;
  };
  bool started() const { return endpoint_->sink != nullptr; }

  NetworkImpl& network_;
  const std::shared_ptr<Endpoint> endpoint_;
  Address address_ = 0;
  std::vector<Route> routes_;
};

}  // namespace tenure::testing

#endif  // TENURE_TESTING_VIRTUAL_TRANSPORT_H_
