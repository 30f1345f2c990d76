// tenure::Transport over gRPC streams.
#ifndef TENURE_TRANSPORT_GRPC_TRANSPORT_H_
#define TENURE_TRANSPORT_GRPC_TRANSPORT_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tenure/grpc/transport.h"
#include "tenure/transport.h"
#include "transport/grpc/acceptor.h"
#include "transport/grpc/loop.h"
#include "transport/grpc/peer_link.h"
#include "transport/grpc/server_stream.h"
#include "transport/wire.h"

namespace tenure::grpc_transport {

class GrpcTransport final : public Transport {
 public:
  explicit GrpcTransport(const grpc::TransportOptions& options);
  ~GrpcTransport() override;

  Loop& loop() override { return *loop_; }
  absl::Status Start(const Identity& self, TransportSink* sink) override;
  std::string bound_address() const override;
  void SetPeers(absl::Span<const Peer> peers) override;
  void Send(Envelope envelope) override;
  void SendToClient(ConnectionId connection, ServerMessage message) override;
  void CloseClient(ConnectionId connection, absl::Status why) override;
  void Stop() override;

  // For tests.
  PeerLink* peer_link(const std::string& name);
  GrpcLoop& grpc_loop() { return *loop_; }
  std::size_t clients() const { return clients_.size(); }

 private:
  // A stream from a client, from its hello on.
  struct Client {
    std::shared_ptr<ServerStream> stream;
    std::size_t in_flight = 0;  // requests without an answer
  };
  enum class StreamKind : std::uint8_t { kPeer, kClient };
  // Any stream that was accepted.
  struct Incoming {
    StreamKind kind = StreamKind::kClient;
    std::shared_ptr<ServerStream> stream;
    ConnectionId client = 0;  // after a client's hello
    MemberId peer;            // after a peer's hello
    Instant opened;
  };

  void OnAccepted(const std::shared_ptr<ServerStream>& stream);
  void OnFrame(ServerStream* stream, const ReceivedFrame& frame);
  void OnClosed(ServerStream* stream);
  absl::Status OnPeerFrame(Incoming& incoming, const ReceivedFrame& frame);
  void TakeEnvelopes(const MemberId& from, std::vector<Envelope> envelopes);
  // False: the peer has no stream here that takes it.
  bool SendBack(const Envelope& envelope);
  absl::Status OnPeerHello(Incoming& incoming, const wire::PeerHello& hello);
  absl::Status OnClientFrame(Incoming& incoming, const ReceivedFrame& frame);
  void OnClientHello(Incoming& incoming);
  // Answers the requests that no member should see, and takes them out.
  void RefuseSome(Client& client, std::vector<ClientRequest>* requests);
  void Reply(Client& client, ClientReply reply);
  void CheckQueue(Client& client);
  void WatchStreams();
  void StopOnLoop();

  const grpc::TransportOptions options_;
  const PeerLink::Options link_options_;
  ::grpc::AsyncGenericService service_;
  std::unique_ptr<::grpc::Server> server_;
  std::unique_ptr<GrpcLoop> loop_;
  std::unique_ptr<Acceptor> acceptor_;
  bool stopped_ = false;

  // The loop's thread only.
  Identity self_;
  TransportSink* sink_ = nullptr;  // null: not started, or stopped
  std::map<std::string, std::unique_ptr<PeerLink>, std::less<>> peers_;
  std::unordered_map<ServerStream*, Incoming> incoming_;
  // The newest stream of each peer, by its name: what answers the peer goes back on it.
  struct WayBack {
    MemberId peer;
    std::shared_ptr<ServerStream> stream;
  };
  std::map<std::string, WayBack, std::less<>> ways_back_;
  std::unordered_map<ConnectionId, Client> clients_;
  ConnectionId last_client_ = 0;
  std::size_t peer_streams_ = 0;
  TimerHandle watch_;
  const ServerStream::Handlers handlers_{
      .on_accepted = [this](const std::shared_ptr<ServerStream>& s) { OnAccepted(s); },
      .on_frame = [this](ServerStream* s, const ReceivedFrame& f) { OnFrame(s, f); },
      .on_closed = [this](ServerStream* s) { OnClosed(s); }};
};

}  // namespace tenure::grpc_transport

#endif  // TENURE_TRANSPORT_GRPC_TRANSPORT_H_
