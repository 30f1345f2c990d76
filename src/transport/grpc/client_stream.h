// A stream that this process opens to an address: to a peer, or as a client.
#ifndef TENURE_TRANSPORT_GRPC_CLIENT_STREAM_H_
#define TENURE_TRANSPORT_GRPC_CLIENT_STREAM_H_

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "transport/grpc/frame_stream.h"

namespace tenure::grpc_transport {

inline constexpr char kPeerMethod[] = "/tenure.v1.Tenure/Peer";
inline constexpr char kClientMethod[] = "/tenure.v1.Tenure/Client";

// Connects, once. Its channel is its own, so that neither another stream's back-off nor another
// part of this process stands in its way.
class ClientStream final : public FrameStream<::grpc::GenericClientAsyncReaderWriter> {
 public:
  struct Options {
    absl::Duration connect_timeout = absl::Seconds(2);
    // Without anything written for so long, an empty frame says that we are there.
    absl::Duration keep_alive = absl::Seconds(3);
    // A write that the network does not take, or a host that does not answer for so long, is dead.
    absl::Duration dead_after = absl::Seconds(5);
  };
  struct Handlers {
    std::function<void()> on_open;  // connected, as far as gRPC can tell
    std::function<void(const ReceivedFrame&)> on_frame;
    std::function<void(absl::Status)> on_closed;  // the last call; never after Close
  };

  static std::shared_ptr<ClientStream> Connect(GrpcLoop* loop, const std::string& address,
                                               const char* method, Options options,
                                               Handlers handlers);

  explicit ClientStream(GrpcLoop* loop, Options options, Handlers handlers);

  // Ends the stream at once. No handler is called any more.
  void Close();
  // Ends the stream for a reason that on_closed will have.
  void Fail(absl::Status why);
  void Abandon() override { Close(); }

 private:
  void Start(const std::string& address, const char* method);
  void OnFrame(::grpc::ByteBuffer* frame) override;
  void OnBroken() override;
  void OnStarted(bool ok);
  void OnFinished();
  void Watch();

  const Options options_;
  const Handlers handlers_;
  bool muted_ = false;                  // no handler is called any more
  std::shared_ptr<ClientStream> self_;  // while operations are under way
  ::grpc::ClientContext context_;
  std::unique_ptr<::grpc::GenericStub> stub_;
  std::unique_ptr<::grpc::GenericClientAsyncReaderWriter> rpc_;
  ::grpc::Status status_;
  std::string address_;
  absl::Status why_;
  bool starting_ = true;
  bool closing_ = false;
  bool finishing_ = false;
  TimerHandle watch_;
  std::uint64_t write_seen_ = 0;  // frames_written() when last looked at
  absl::Duration stalled_for_;
  absl::Duration quiet_for_;
  Tag started_{[this](bool ok) { OnStarted(ok); }};
  Tag finished_{[this](bool) { OnFinished(); }};
};

}  // namespace tenure::grpc_transport

#endif  // TENURE_TRANSPORT_GRPC_CLIENT_STREAM_H_
