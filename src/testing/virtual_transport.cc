#include "testing/virtual_transport.h"

#include <utility>

namespace tenure::testing {

absl::Status VirtualTransport::Start(const Identity& self, TransportSink* sink) {
  if (endpoint_->loop->dead()) return absl::UnavailableError("the process was killed");
  endpoint_->self = self;
  if (absl::Status status = network_.Listen(endpoint_); !status.ok()) return status;
  endpoint_->sink = sink;
  address_ = network_.Intern(self.address);
  return absl::OkStatus();
}

std::string VirtualTransport::bound_address() const {
  const Identity& self = endpoint_->self;
  return self.listen.empty() ? self.address : self.listen;
}

void VirtualTransport::SetPeers(absl::Span<const Peer> peers) {
  routes_.clear();
  for (const Peer& peer : peers) routes_.push_back({peer.name, network_.Intern(peer.address)});
}

void VirtualTransport::Send(Envelope envelope) {
  if (!started()) return;
  // Nobody can speak in another's name, whatever the caller wrote.
  envelope.from = endpoint_->self.id;
  for (const Route& route : routes_) {
    if (route.name == envelope.to.name) {
      network_.Send(address_, route.address, std::move(envelope));
      return;
    }
  }
}

void VirtualTransport::SendToClient(ConnectionId connection, ServerMessage message) {
  if (started()) network_.SendDown(*endpoint_, connection, std::move(message));
}

void VirtualTransport::CloseClient(ConnectionId connection, absl::Status why) {
  if (started()) network_.CloseAtServer(*endpoint_, connection, std::move(why));
}

void VirtualTransport::Stop() {
  if (!started()) return;
  endpoint_->loop->RunPosted();
  network_.Unlisten(*endpoint_);
}

}  // namespace tenure::testing
