// A stream that somebody has opened to this process: a peer or a client.
#ifndef TENURE_TRANSPORT_GRPC_SERVER_STREAM_H_
#define TENURE_TRANSPORT_GRPC_SERVER_STREAM_H_

#include <grpcpp/generic/async_generic_service.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "transport/grpc/acceptor.h"
#include "transport/grpc/frame_stream.h"

namespace tenure::grpc_transport {

class ServerStream final : public FrameStream<::grpc::GenericServerAsyncReaderWriter> {
 public:
  struct Handlers {
    // Somebody opened a stream; it is not open yet. The next may be awaited.
    std::function<void(const std::shared_ptr<ServerStream>&)> on_accepted;
    std::function<void(ServerStream*, const ReceivedFrame&)> on_frame;
    // The last call; it comes after Close as well, but never from inside it.
    std::function<void(ServerStream*)> on_closed;
  };

  // Awaits a stream. `handlers` outlives it.
  static void Accept(GrpcLoop* loop, ::grpc::AsyncGenericService* service,
                     const Handlers* handlers);

  ServerStream(GrpcLoop* loop, const Handlers* handlers);

  const std::string& method() const { return context_.method(); }
  // gRPC's number of the socket, or -1.
  int socket() const;

  // What on_accepted answers with: this, or Close.
  void Begin(std::shared_ptr<Connection> connection);
  // Has introduced itself: the connection is of use.
  void Introduced(bool as_peer);

  // Ends the stream and tells the other side why, if it listens.
  void Close(const absl::Status& why);
  // Ends it at once.
  void Abandon() override;

  bool closing() const { return closing_; }
  const absl::Status& why() const { return why_; }
  Instant last_frame() const { return last_frame_; }

 private:
  void OnAccepted(bool ok);
  void OnFrame(::grpc::ByteBuffer* frame) override;
  void OnBroken() override;
  void OnFinished();
  void Finish();
  void TellClosed();

  const Handlers* const handlers_;
  std::shared_ptr<ServerStream> self_;  // while operations are under way
  ::grpc::GenericServerContext context_;
  ::grpc::GenericServerAsyncReaderWriter rpc_{&context_};
  std::shared_ptr<Connection> connection_;
  absl::Status why_;
  Instant last_frame_;
  bool introduced_ = false;
  bool accepted_ok_ = false;
  bool closing_ = false;
  bool finishing_ = false;
  bool finished_done_ = false;
  bool closed_told_ = false;
  Tag accepted_{[this](bool ok) { OnAccepted(ok); }};
  Tag finished_{[this](bool) { OnFinished(); }};
};

}  // namespace tenure::grpc_transport

#endif  // TENURE_TRANSPORT_GRPC_SERVER_STREAM_H_
