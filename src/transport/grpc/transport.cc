#include "transport/grpc/transport.h"

#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "transport/grpc/client_stream.h"

namespace tenure::grpc_transport {
namespace {

PeerLink::Options LinkOptions(const grpc::TransportOptions& options) {
  return {
      .stream = {.connect_timeout = options.connect_timeout, .dead_after = options.stall_timeout},
      .first_retry = options.first_retry,
      .last_retry = options.last_retry,
      .queue_bytes = options.peer_queue_bytes,
      .queue_messages = options.peer_queue_messages,
      .max_message_bytes = options.max_frame_bytes - (64 << 10),
      .max_frame_bytes = options.max_frame_bytes};
}

// Whether a frame carried operations, rather than heartbeats or handshakes.
bool CarriesOperations(const PeerBody& body) {
  if (const auto* message = std::get_if<raft::Message>(&body)) {
    const auto* append = std::get_if<raft::AppendRequest>(message);
    return append != nullptr && !append->entries.empty();
  }
  return std::holds_alternative<Forward>(body);
}

// What answers a message of the peer's own. It goes back on the peer's stream: there the one write
// is answer, acknowledgement and window update together.
bool IsAnswer(const PeerBody& body) {
  if (const auto* message = std::get_if<raft::Message>(&body)) {
    return std::holds_alternative<raft::AppendResponse>(*message) ||
           std::holds_alternative<raft::VoteResponse>(*message) ||
           std::holds_alternative<raft::SnapshotResponse>(*message);
  }
  if (const auto* handshake = std::get_if<Handshake>(&body))
    return std::holds_alternative<Attestation>(*handshake);
  const auto* forward = std::get_if<Forward>(&body);
  return forward != nullptr && std::holds_alternative<ForwardedReplies>(*forward);
}

absl::string_view View(const ReceivedFrame& frame) { return {frame.data(), frame.size()}; }

}  // namespace

GrpcTransport::GrpcTransport(const grpc::TransportOptions& options)
    : options_(options), link_options_(LinkOptions(options)) {
  ::grpc::ServerBuilder builder;
  // Sizes and deadlines are watched here (acceptor.h), so gRPC's filters for them are left out.
  builder.AddChannelArgument("grpc.minimal_stack", 1);
  builder.AddChannelArgument("grpc.http2.bdp_probe", 0);
  builder.AddChannelArgument("grpc.http2.lookahead_bytes", 4 << 20);
  builder.AddChannelArgument("grpc.max_concurrent_streams", 4);
  builder.AddChannelArgument("grpc.http2.min_ping_interval_without_data_ms", 500);
  builder.AddChannelArgument("grpc.http2.max_ping_strikes", 0);
  builder.RegisterAsyncGenericService(&service_);
  auto queue = builder.AddCompletionQueue();
  server_ = builder.BuildAndStart();  // listens nowhere: the acceptor does
  loop_ = std::make_unique<GrpcLoop>(std::move(queue), options.spin);
}

GrpcTransport::~GrpcTransport() {
  Stop();
  loop_->Stop();
}

// ---- Start and stop, from another thread
// ---------------------------------------------------------

absl::Status GrpcTransport::Start(const Identity& self, TransportSink* sink) {
  if (server_ == nullptr) return absl::InternalError("gRPC did not start a server");
  const std::string& listen = self.listen.empty() ? self.address : self.listen;
  auto acceptor =
      Acceptor::Listen(listen,
                       {.connections = options_.max_connections,
                        .handshake_timeout = options_.hello_timeout,
                        .unfinished_bytes = options_.max_frame_bytes + (6 << 20)},
                       [this](int fd) { ::grpc::AddInsecureChannelFromFd(server_.get(), fd); });
  if (!acceptor.ok()) return acceptor.status();
  acceptor_ = *std::move(acceptor);
  loop_->RunOnLoop([&] {
    self_ = self;
    sink_ = sink;
    ServerStream::Accept(loop_.get(), &service_, &handlers_);
    WatchStreams();
  });
  acceptor_->Start();
  return absl::OkStatus();
}

std::string GrpcTransport::bound_address() const {
  return acceptor_ == nullptr ? "" : acceptor_->bound_address();
}

void GrpcTransport::Stop() {
  if (std::exchange(stopped_, true)) return;
  loop_->RunOnLoop([this] { StopOnLoop(); });
  if (acceptor_ != nullptr) acceptor_->Stop();
  // Cancels what is left; what it waits for comes back through the loop.
  if (server_ != nullptr) server_->Shutdown(gpr_inf_past(GPR_CLOCK_MONOTONIC));
}

void GrpcTransport::StopOnLoop() {
  sink_ = nullptr;
  watch_.Cancel();
  peers_.clear();
  clients_.clear();
  ways_back_.clear();
  std::vector<std::shared_ptr<ServerStream>> streams;
  for (auto& [stream, incoming] : incoming_) streams.push_back(incoming.stream);
  for (const auto& stream : streams) stream->Abandon();
}

// ---- Streams that others open
// ----------------------------------------------------------------------

void GrpcTransport::OnAccepted(const std::shared_ptr<ServerStream>& stream) {
  if (sink_ == nullptr) return stream->Abandon();
  ServerStream::Accept(loop_.get(), &service_, &handlers_);
  const bool peer = stream->method() == kPeerMethod;
  std::shared_ptr<Connection> connection = acceptor_->Find(stream->socket());
  if (!peer && stream->method() != kClientMethod) {
    stream->Close(absl::UnimplementedError("this port speaks tenure.v1.Tenure only"));
  } else if (connection == nullptr) {
    stream->Abandon();  // gone already
  } else {
    incoming_[stream.get()] = {.kind = peer ? StreamKind::kPeer : StreamKind::kClient,
                               .stream = stream,
                               .opened = loop_->Now()};
    stream->Begin(std::move(connection));
  }
}

void GrpcTransport::OnFrame(ServerStream* stream, const ReceivedFrame& frame) {
  const auto found = incoming_.find(stream);
  if (found == incoming_.end() || sink_ == nullptr) return;
  Incoming& incoming = found->second;
  absl::Status status;
  if (frame.size() > options_.max_frame_bytes) {
    status = absl::ResourceExhaustedError(
        absl::StrCat("a frame of ", frame.size(), " bytes; at most ", options_.max_frame_bytes));
  } else if (incoming.kind == StreamKind::kPeer) {
    status = OnPeerFrame(incoming, frame);
  } else {
    status = OnClientFrame(incoming, frame);
  }
  if (!status.ok()) stream->Close(status);
}

void GrpcTransport::OnClosed(ServerStream* stream) {
  const auto found = incoming_.find(stream);
  if (found == incoming_.end()) return;
  const Incoming incoming = std::move(found->second);
  incoming_.erase(found);
  if (!incoming.peer.empty()) {
    --peer_streams_;
    const auto back = ways_back_.find(incoming.peer.name);
    if (back != ways_back_.end() && back->second.stream == incoming.stream) ways_back_.erase(back);
  }
  const auto client = clients_.find(incoming.client);
  if (client == clients_.end()) return;
  loop_->AddInFlight(-static_cast<std::int64_t>(client->second.in_flight));
  clients_.erase(client);
  if (sink_ != nullptr) sink_->OnClientClosed(incoming.client);
}

// Closes what has not introduced itself, has fallen silent, or does not take what is written to it.
void GrpcTransport::WatchStreams() {
  const absl::Duration interval =
      std::min({options_.hello_timeout, options_.silence_timeout, options_.stall_timeout}) / 4;
  const Instant now = loop_->Now();
  std::vector<std::shared_ptr<ServerStream>> late;
  for (auto& [stream, incoming] : incoming_) {
    const bool introduced = incoming.client != 0 || !incoming.peer.empty();
    const absl::Duration patience = introduced ? options_.silence_timeout : options_.hello_timeout;
    const Instant since = introduced ? stream->last_frame() : incoming.opened;
    if (now.LeaderElapsedNs(since) > absl::ToInt64Nanoseconds(patience)) {
      late.push_back(incoming.stream);
    }
  }
  for (const auto& stream : late) {
    stream->Close(absl::DeadlineExceededError("nothing was heard for too long"));
  }
  watch_ = loop_->At(now + interval, [this] { WatchStreams(); });
}

// ---- Peers
// -----------------------------------------------------------------------------------------

absl::Status GrpcTransport::OnPeerHello(Incoming& incoming, const wire::PeerHello& hello) {
  if (!incoming.peer.empty()) return absl::InvalidArgumentError("a second hello");
  if (hello.protocol == 0 || hello.from_name.empty() || hello.from_incarnation == 0) {
    return absl::InvalidArgumentError("a hello that does not say who speaks");
  }
  if (hello.to_name != self_.id.name) {
    return absl::FailedPreconditionError(
        absl::StrCat("this is member ", self_.id.name, ", not ", hello.to_name,
                     ": compare the addresses in the members' cluster lists"));
  }
  if (hello.from_name == self_.id.name) {
    return absl::FailedPreconditionError(
        absl::StrCat("another process is member ", self_.id.name, ": compare the members' names"));
  }
  if (peer_streams_ >= options_.max_peer_streams) {
    return absl::ResourceExhaustedError("too many peers");
  }
  ++peer_streams_;
  incoming.peer = {hello.from_name, hello.from_incarnation};
  incoming.stream->Introduced(/*as_peer=*/true);
  incoming.stream->outgoing().Append([&](std::string* frame) {
    wire::AppendHello(wire::PeerHello{.from_name = self_.id.name,
                                      .from_incarnation = self_.id.incarnation,
                                      .to_name = hello.from_name},
                      frame);
  });
  incoming.stream->FlushSoon();
  ways_back_[hello.from_name] = {incoming.peer, incoming.stream};
  // Who reconnects has given its earlier stream up.
  for (auto& [stream, other] : incoming_) {
    if (stream != incoming.stream.get() && other.peer == incoming.peer) {
      stream->Close(absl::AbortedError("replaced by a newer stream"));
    }
  }
  const auto link = peers_.find(hello.from_name);
  if (link != peers_.end()) link->second->TryNow();
  return absl::OkStatus();
}

absl::Status GrpcTransport::OnPeerFrame(Incoming& incoming, const ReceivedFrame& bytes) {
  absl::StatusOr<wire::PeerFrame> frame = wire::ParsePeerFrame(View(bytes));
  if (!frame.ok()) return frame.status();
  if (frame->hello.has_value()) {
    absl::Status status = OnPeerHello(incoming, *frame->hello);
    if (!status.ok()) return status;
  }
  if (incoming.peer.empty()) return absl::InvalidArgumentError("the first frame is not a hello");
  const MemberId from = incoming.peer;
  for (const Envelope& envelope : frame->envelopes) {
    // A stream speaks for one incarnation: nothing of another's may be counted as its.
    if (envelope.from.incarnation != from.incarnation) {
      return absl::InvalidArgumentError("a message of another incarnation than the stream's");
    }
  }
  TakeEnvelopes(from, std::move(frame->envelopes));
  return absl::OkStatus();
}

void GrpcTransport::TakeEnvelopes(const MemberId& from, std::vector<Envelope> envelopes) {
  for (Envelope& envelope : envelopes) {
    if (CarriesOperations(envelope.body)) loop_->MarkActive();
    envelope.from = from;
    envelope.to.name = self_.id.name;
    if (sink_ != nullptr) sink_->OnPeer(std::move(envelope));
  }
}

void GrpcTransport::SetPeers(absl::Span<const Peer> peers) {
  if (sink_ == nullptr) return;
  std::set<std::string, std::less<>> wanted;
  for (const Peer& peer : peers) {
    if (peer.name == self_.id.name || peer.address.empty()) continue;
    wanted.insert(peer.name);
    std::unique_ptr<PeerLink>& link = peers_[peer.name];
    if (link != nullptr && link->peer() == peer) continue;
    link =
        std::make_unique<PeerLink>(loop_.get(), self_.id, peer, link_options_,
                                   [this](const MemberId& from, std::vector<Envelope> envelopes) {
                                     TakeEnvelopes(from, std::move(envelopes));
                                   });
  }
  for (auto at = peers_.begin(); at != peers_.end();) {
    at = wanted.contains(at->first) ? std::next(at) : peers_.erase(at);
  }
}

void GrpcTransport::Send(Envelope envelope) {
  if (sink_ == nullptr || envelope.from != self_.id) return;
  const auto link = peers_.find(envelope.to.name);
  const bool answers = IsAnswer(envelope.body);
  if (link == peers_.end() && !answers) return;
  if (CarriesOperations(envelope.body)) loop_->MarkActive();
  // Also to one that this member's own configuration does not know yet.
  if (answers && SendBack(envelope)) return;
  if (link != peers_.end()) link->second->Send(envelope);
}

bool GrpcTransport::SendBack(const Envelope& envelope) {
  const auto back = ways_back_.find(envelope.to.name);
  if (back == ways_back_.end() || back->second.peer != envelope.to) return false;
  ServerStream& stream = *back->second.stream;
  FrameQueue& queue = stream.outgoing();
  if (!stream.open() || stream.closing() || queue.elements() >= options_.peer_queue_messages ||
      queue.bytes() >= options_.peer_queue_bytes) {
    return false;
  }
  const std::size_t size =
      queue.Append([&](std::string* frame) { wire::AppendEnvelope(envelope, frame); });
  if (size > link_options_.max_message_bytes) queue.Undo(size);  // the peer would take offence
  stream.FlushSoon();
  return true;
}

PeerLink* GrpcTransport::peer_link(const std::string& name) {
  const auto link = peers_.find(name);
  return link == peers_.end() ? nullptr : link->second.get();
}

// ---- Clients
// ---------------------------------------------------------------------------------------

void GrpcTransport::OnClientHello(Incoming& incoming) {
  incoming.client = ++last_client_;
  Client& client = clients_[incoming.client];
  client.stream = incoming.stream;
  incoming.stream->Introduced(/*as_peer=*/false);
  incoming.stream->outgoing().Append([this](std::string* frame) {
    wire::AppendHello(wire::ServerHello{.member_name = self_.id.name}, frame);
  });
  incoming.stream->FlushSoon();
}

absl::Status GrpcTransport::OnClientFrame(Incoming& incoming, const ReceivedFrame& bytes) {
  absl::StatusOr<wire::ClientFrame> frame = wire::ParseClientFrame(View(bytes));
  if (!frame.ok()) return frame.status();
  if (frame->hello.has_value()) {
    if (incoming.client != 0) return absl::InvalidArgumentError("a second hello");
    if (frame->hello->protocol == 0) return absl::InvalidArgumentError("a hello without protocol");
    OnClientHello(incoming);
  }
  if (incoming.client == 0) return absl::InvalidArgumentError("the first frame is not a hello");
  if (frame->requests.empty()) return absl::OkStatus();
  Client& client = clients_[incoming.client];
  RefuseSome(client, &frame->requests);
  for (const ClientRequest& request : frame->requests) {
    if (request.kind == RequestKind::kUnlisten) continue;
    ++client.in_flight;
    loop_->AddInFlight(1);
  }
  loop_->MarkActive();
  // The answer to these will carry the window update; what comes in between can wait for it.
  incoming.stream->set_owed(client.in_flight > 0 ? ServerStream::Owed::kNothing
                                                 : ServerStream::Owed::kPerhaps);
  sink_->OnClientRequests(incoming.client, std::move(frame->requests));
  return absl::OkStatus();
}

void GrpcTransport::RefuseSome(Client& client, std::vector<ClientRequest>* requests) {
  std::size_t room =
      options_.client_requests - std::min(options_.client_requests, client.in_flight);
  const auto refuse = [&](const ClientRequest& request) {
    if (request.kind == wire::kUnknownKind) {
      Reply(client, {.id = request.id,
                     .refusal = Refusal::kInvalid,
                     .message = "this member does not know such requests"});
      return true;
    }
    if (room == 0 && request.kind != RequestKind::kUnlisten) {
      Reply(client, {.id = request.id,
                     .refusal = Refusal::kOverloaded,
                     .message = "too many requests of this connection have no answer yet"});
      return true;
    }
    if (request.kind != RequestKind::kUnlisten) --room;
    return false;
  };
  requests->erase(std::remove_if(requests->begin(), requests->end(), refuse), requests->end());
  CheckQueue(client);
}

void GrpcTransport::Reply(Client& client, ClientReply reply) {
  client.stream->outgoing().Append([&](std::string* frame) { wire::AppendReply(reply, frame); });
  client.stream->FlushSoon();
}

void GrpcTransport::SendToClient(ConnectionId connection, ServerMessage message) {
  const auto found = clients_.find(connection);
  if (found == clients_.end() || found->second.stream->closing()) return;
  Client& client = found->second;
  FrameQueue& queue = client.stream->outgoing();
  for (ClientReply& reply : message.replies) {
    // A client that reads slowly is asked to fetch its long answers later, before it is given up.
    if (reply.reply.size() >= kLongReplyBytes && queue.bytes() > options_.client_queue_bytes / 2) {
      reply = {.id = reply.id,
               .refusal = Refusal::kUncertain,
               .message = "too much waits to be sent to this client"};
    }
    queue.Append([&](std::string* frame) { wire::AppendReply(reply, frame); });
  }
  for (const std::string& event : message.events) {
    queue.Append([&](std::string* frame) { wire::AppendEvent(event, frame); });
  }
  const std::size_t answered = std::min(client.in_flight, message.replies.size());
  client.in_flight -= answered;
  loop_->AddInFlight(-static_cast<std::int64_t>(answered));
  loop_->MarkActive();
  client.stream->FlushSoon();
  CheckQueue(client);
}

void GrpcTransport::CheckQueue(Client& client) {
  if (client.stream->outgoing().bytes() <= options_.client_queue_bytes) return;
  client.stream->Close(absl::ResourceExhaustedError("the client does not read what it is sent"));
}

void GrpcTransport::CloseClient(ConnectionId connection, absl::Status why) {
  const auto found = clients_.find(connection);
  if (found != clients_.end()) found->second.stream->Close(why);
}

}  // namespace tenure::grpc_transport

namespace tenure::grpc {

std::unique_ptr<Transport> NewTransport(TransportOptions options) {
  return std::make_unique<grpc_transport::GrpcTransport>(options);
}

}  // namespace tenure::grpc
