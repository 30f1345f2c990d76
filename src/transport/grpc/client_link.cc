#include "transport/grpc/client_link.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "transport/grpc/client_stream.h"
#include "transport/wire.h"

namespace tenure::grpc_transport {
namespace {

// A member accepts 4 MiB in one frame by default; no command comes near it.
constexpr std::size_t kMaxRequestBytes = 3 << 20;

// What a member sends is trusted further than what it is sent, but not without end.
constexpr std::size_t kMaxServerFrameBytes = 64 << 20;

class ClientLink final : public backends::Link {
 public:
  ClientLink(GrpcLoop* loop, const std::string& address, backends::LinkSink* sink,
             const ClientLinkOptions& options);
  ~ClientLink() override;

  void Send(std::vector<ClientRequest> requests) override;

 private:
  void OnFrame(const ReceivedFrame& frame);
  void OnAnswered(std::size_t replies);
  // A request that no member would accept is answered here.
  void RefuseTooLarge(std::uint64_t id);

  GrpcLoop* const loop_;
  backends::LinkSink* const sink_;
  std::shared_ptr<ClientStream> stream_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  TimerHandle hello_timeout_;
  bool connected_ = false;
  std::int64_t in_flight_ = 0;
};

ClientLink::ClientLink(GrpcLoop* loop, const std::string& address, backends::LinkSink* sink,
                       const ClientLinkOptions& options)
    : loop_(loop), sink_(sink) {
  stream_ = ClientStream::Connect(
      loop_, address, kClientMethod,
      {.connect_timeout = options.connect_timeout, .dead_after = options.dead_after},
      {.on_open = [] {},
       .on_frame = [this](const ReceivedFrame& frame) { OnFrame(frame); },
       .on_closed = [this](absl::Status why) { sink_->OnClosed(std::move(why)); }});
  stream_->outgoing().Append([&](std::string* frame) {
    wire::AppendHello(wire::ClientHello{.label = options.label}, frame);
  });
  hello_timeout_ = loop_->At(loop_->Now() + options.dead_after, [this, address] {
    stream_->Fail(absl::UnavailableError(absl::StrCat(address, ": no answer")));
  });
}

ClientLink::~ClientLink() {
  *alive_ = false;
  loop_->AddInFlight(-in_flight_);
  stream_->Close();
}

void ClientLink::Send(std::vector<ClientRequest> requests) {
  for (const ClientRequest& request : requests) {
    if (request.command.size() > kMaxRequestBytes) {
      RefuseTooLarge(request.id);
      continue;
    }
    stream_->outgoing().Append([&](std::string* frame) { wire::AppendRequest(request, frame); });
    if (request.kind == RequestKind::kUnlisten) continue;
    ++in_flight_;
    loop_->AddInFlight(1);
  }
  loop_->MarkActive();
  stream_->FlushSoon();
}

void ClientLink::RefuseTooLarge(std::uint64_t id) {
  loop_->Post([this, alive = alive_, id] {
    if (!*alive) return;
    ServerMessage message;
    message.replies.push_back(
        {.id = id,
         .refusal = Refusal::kInvalid,
         .message = absl::StrCat("a command of more than ", kMaxRequestBytes, " bytes")});
    sink_->OnMessage(std::move(message));
  });
}

void ClientLink::OnFrame(const ReceivedFrame& bytes) {
  absl::StatusOr<wire::ServerFrame> frame =
      bytes.size() > kMaxServerFrameBytes ? absl::ResourceExhaustedError("an oversized frame")
                                          : wire::ParseServerFrame({bytes.data(), bytes.size()});
  if (!frame.ok()) return stream_->Fail(frame.status());
  if (frame->hello.has_value() == connected_) {
    return stream_->Fail(absl::InternalError("the server does not speak Tenure's protocol"));
  }
  const std::shared_ptr<bool> alive = alive_;
  if (frame->hello.has_value()) {
    connected_ = true;
    hello_timeout_.Cancel();
    sink_->OnConnected(std::move(frame->hello->leader_address));
  }
  if (!*alive || frame->message.empty()) return;
  OnAnswered(frame->message.replies.size());
  sink_->OnMessage(std::move(frame->message));
}

void ClientLink::OnAnswered(std::size_t replies) {
  const std::int64_t answered = std::min(in_flight_, static_cast<std::int64_t>(replies));
  in_flight_ -= answered;
  loop_->AddInFlight(-answered);
  loop_->MarkActive();
}

}  // namespace

std::unique_ptr<GrpcLoop> NewGrpcClientLoop(absl::Duration spin) {
  return std::make_unique<GrpcLoop>(std::make_unique<::grpc::CompletionQueue>(), spin,
                                    GrpcLoop::Loans::kTaken);
}

std::unique_ptr<backends::Link> ConnectClientLink(GrpcLoop* loop, const std::string& address,
                                                  backends::LinkSink* sink,
                                                  const ClientLinkOptions& options) {
  return std::make_unique<ClientLink>(loop, address, sink, options);
}

backends::LinkFactory GrpcLinkFactory(GrpcLoop* loop, ClientLinkOptions options) {
  return
      [loop, options = std::move(options)](const std::string& address, backends::LinkSink* sink) {
        return ConnectClientLink(loop, address, sink, options);
      };
}

}  // namespace tenure::grpc_transport
