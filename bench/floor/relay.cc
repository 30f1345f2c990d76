#include "bench/floor/relay.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <utility>

#include "bench/floor/floor.pb.h"
#include "bench/floor/server.h"
#include "bench/floor/wire.h"

namespace tenure::bench::floor {
namespace {

// ---- The follower ---------------------------------------------------------------------------

class Follower {
 public:
  explicit Follower(const RelayOptions& options)
      : server_(options.port, options.spin, kFollowMethod,
                {.on_open = [](ServerStream* leader) { leader->duplex().Read(); },
                 .on_frame = [this](ServerStream* leader,
                                    grpc::ByteBuffer* frame) { OnFrame(leader, frame); },
                 .on_closed = [this](ServerStream* leader) { unanswered_.erase(leader); },
                 .on_turn_end = [this] { Flush(); }}) {}

  Server& server() { return server_; }

 private:
  void OnFrame(ServerStream* leader, grpc::ByteBuffer* frame) {
    if (!Parse(frame, &append_)) return server_.Stop(1);
    unanswered_[leader] = append_.sequence();
  }

  void Flush() {
    for (auto it = unanswered_.begin(); it != unanswered_.end();) {
      auto& [leader, sequence] = *it;
      if (leader->duplex().writing()) {
        ++it;
        continue;
      }
      acknowledgement_.set_sequence(sequence);
      leader->duplex().Write(Serialize(acknowledgement_));
      leader->duplex().Read();
      it = unanswered_.erase(it);
    }
  }

  Append append_;
  Acknowledgement acknowledgement_;
  std::map<ServerStream*, uint64_t> unanswered_;
  Server server_;
};

// ---- The leader -----------------------------------------------------------------------------

// The leader's stream to one follower.
class Peer {
 public:
  using Rpc = grpc::GenericClientAsyncReaderWriter;

  Peer(const std::string& address, grpc::CompletionQueue* queue,
       std::function<void(uint64_t)> on_acknowledged, std::function<void()> on_failed)
      : on_acknowledged_(std::move(on_acknowledged)),
        on_failed_(on_failed),
        stub_(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(),
                                        FastChannelArguments())),
        started_([this](bool ok) { ok ? void(usable_ = true) : on_failed_(); }) {
    rpc_ = stub_.PrepareCall(&context_, kFollowMethod, queue);
    duplex_.emplace(rpc_.get(),
                    Duplex<Rpc>::Handlers{.on_frame = [this](grpc::ByteBuffer* f) { OnFrame(f); },
                                          .on_failed = std::move(on_failed)});
    rpc_->StartCall(&started_);
  }

  bool CanWrite() const { return usable_ && !duplex_->writing(); }

  void Write(uint64_t sequence, const grpc::ByteBuffer& frame) {
    sent_ = sequence;
    duplex_->Write(frame);
  }

  // Comes after the turn's writes; a Read with nothing to come would only cost a window update.
  void ReadIfOwed() {
    if (acknowledged_ < sent_ && !duplex_->reading()) duplex_->Read();
  }

  void Cancel() { context_.TryCancel(); }

 private:
  void OnFrame(grpc::ByteBuffer* frame) {
    if (!Parse(frame, &acknowledgement_)) return on_failed_();
    acknowledged_ = acknowledgement_.sequence();
    on_acknowledged_(acknowledged_);
  }

  const std::function<void(uint64_t)> on_acknowledged_;
  const std::function<void()> on_failed_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  std::unique_ptr<Rpc> rpc_;
  std::optional<Duplex<Rpc>> duplex_;
  bool usable_ = false;
  uint64_t sent_ = 0;
  uint64_t acknowledged_ = 0;
  Acknowledgement acknowledgement_;
  Tag started_;
};

class Leader {
 public:
  Leader(const RelayOptions& options, const std::vector<std::string>& followers)
      : server_(options.port, options.spin, kOperateMethod,
                {.on_open = [this](ServerStream* client) { OnOpen(client); },
                 .on_frame = [this](ServerStream* client,
                                    grpc::ByteBuffer* frame) { OnFrame(client, frame); },
                 .on_closed = [this](ServerStream* client) { clients_.erase(client); },
                 .on_turn_end = [this] { Flush(); }}) {
    if (server_.port() == 0) return;
    for (const std::string& address : followers) {
      peers_.push_back(std::make_unique<Peer>(
          address, server_.queue(),
          [this](uint64_t sequence) { committed_ = std::max(committed_, sequence); },
          [this] { OnPeerFailed(); }));
    }
  }

  ~Leader() {
    for (const auto& peer : peers_) peer->Cancel();
  }

  Server& server() { return server_; }

 private:
  // One frame of a client is on its way at a time: the next Read is armed after the reply.
  struct Client {
    Frame frame;
    ReplyFrame replies;
    uint64_t sequence = 0;  // of the append that carries the frame; 0: none
  };

  void OnOpen(ServerStream* client) {
    clients_[client];
    client->duplex().Read();
  }

  void OnFrame(ServerStream* stream, grpc::ByteBuffer* buffer) {
    Client& client = clients_[stream];
    if (!Parse(buffer, &client.frame)) return server_.Stop(1);
    client.sequence = next_sequence_;
    client.replies.Clear();
    for (const Operation& operation : client.frame.operations()) {
      *append_.add_operations() = operation;
      Reply* reply = client.replies.add_replies();
      reply->set_id(operation.id());
      reply->set_payload(operation.payload());
    }
  }

  void Flush() {
    FlushReplies();
    FlushAppend();
    for (const auto& peer : peers_) peer->ReadIfOwed();
  }

  void FlushReplies() {
    for (auto& [stream, client] : clients_) {
      if (client.sequence == 0 || client.sequence > committed_ || stream->duplex().writing()) {
        continue;
      }
      client.sequence = 0;
      stream->duplex().Write(Serialize(client.replies));
      stream->duplex().Read();
    }
  }

  void FlushAppend() {
    // Until all can write, further operations join the frame.
    const bool writable = std::all_of(peers_.begin(), peers_.end(),
                                      [](const auto& peer) { return peer->CanWrite(); });
    if (append_.operations().empty() || !writable) return;
    append_.set_sequence(next_sequence_);
    const grpc::ByteBuffer frame = Serialize(append_);
    for (const auto& peer : peers_) peer->Write(next_sequence_, frame);
    append_.Clear();
    ++next_sequence_;
  }

  void OnPeerFailed() {
    if (std::exchange(peer_failed_, true)) return;
    std::fprintf(stderr, "tenure_bench_floor: a follower cannot be reached\n");
    server_.Stop(1);
  }

  Append append_;
  uint64_t next_sequence_ = 1;
  uint64_t committed_ = 0;
  bool peer_failed_ = false;
  std::map<ServerStream*, Client> clients_;
  std::vector<std::unique_ptr<Peer>> peers_;  // outlive the server, which drains their queue
  Server server_;
};

int Run(Server& server) {
  if (server.port() == 0) {
    std::fprintf(stderr, "tenure_bench_floor: the port is taken; use --port=0 for a free one\n");
    return 69;
  }
  return server.Run();
}

}  // namespace

int RunFollower(const RelayOptions& options) { return Run(Follower(options).server()); }

int RunLeader(const RelayOptions& options, const std::vector<std::string>& followers) {
  return Run(Leader(options, followers).server());
}

}  // namespace tenure::bench::floor
