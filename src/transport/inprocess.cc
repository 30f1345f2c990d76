// Transports of one process: each on a thread of its own, a message is work posted to the
// receiver's.
#include "transport/inprocess.h"

#include <atomic>
#include <cstddef>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/transport.h"

namespace tenure {
namespace {

// Messages to one peer, and frames to one client, that were sent and not received yet.
constexpr std::size_t kPeerQueueMax = 4096;
constexpr std::size_t kClientQueueMax = 4096;

// Counts what is under way, for as long as it is.
class InFlight {
 public:
  using Counter = std::shared_ptr<std::atomic<std::size_t>>;
  explicit InFlight(Counter counter) : counter_(std::move(counter)) { ++*counter_; }
  InFlight(InFlight&&) noexcept = default;
  ~InFlight() {
    if (counter_ != nullptr) --*counter_;
  }

 private:
  Counter counter_;
};

// A client's connection, shared by both ends.
struct Stream {
  ConnectionId id = 0;
  std::string client_address;
  // Both only on the client's loop.
  InProcessClientSink* sink = nullptr;
  bool closed = false;

  const InFlight::Counter unread = std::make_shared<std::atomic<std::size_t>>(0);

  // Runs `work` on the client's loop, if the client is still there then.
  void PostToClient(absl::AnyInvocable<void() &&> work) {
    std::lock_guard<std::mutex> lock(mutex);
    if (client_loop != nullptr) client_loop->Post(std::move(work));
  }
  std::mutex mutex;
  Loop* client_loop = nullptr;  // null once the client is gone
};

void CloseAtClient(const std::shared_ptr<Stream>& stream, absl::Status why) {
  stream->PostToClient([stream, why = std::move(why)]() mutable {
    if (stream->sink == nullptr || std::exchange(stream->closed, true)) return;
    stream->sink->OnClosed(std::move(why));
  });
}

// What others know of a started transport.
struct Endpoint {
  Identity self;
  // Others touch the loop under the network's mutex while the endpoint is registered, so it cannot
  // go meanwhile.
  Loop* loop = nullptr;
  // On the loop only, from here on.
  TransportSink* sink = nullptr;
  std::map<ConnectionId, std::shared_ptr<Stream>> streams;
};
using EndpointPtr = std::shared_ptr<Endpoint>;

void CloseAtServer(const EndpointPtr& endpoint, ConnectionId id) {
  if (endpoint->streams.erase(id) == 0 || endpoint->sink == nullptr) return;
  endpoint->sink->OnClientClosed(id);
}

class Network final : public InProcessNetwork {
 public:
  std::unique_ptr<Transport> NewTransport() override;

  void SetLink(absl::string_view from, absl::string_view to, bool up) override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (up) {
      cuts_.erase({std::string(from), std::string(to)});
    } else {
      cuts_.emplace(from, to);
    }
  }

  absl::Status Listen(const EndpointPtr& endpoint) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (endpoints_.try_emplace(endpoint->self.address, endpoint).second) return absl::OkStatus();
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", endpoint->self.address, ": address in use"));
  }
  void Unlisten(const EndpointPtr& endpoint) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = endpoints_.find(endpoint->self.address);
    if (found != endpoints_.end() && found->second == endpoint) endpoints_.erase(found);
  }

  // Runs `work` on the loop of whoever has the address. False if nobody has, or the way is cut.
  using Work = absl::AnyInvocable<void(const EndpointPtr&) &&>;
  bool PostTo(const std::string& from, const std::string& to, Work work) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = endpoints_.find(to);
    if (found == endpoints_.end() || IsCut(from, to)) return false;
    const EndpointPtr& endpoint = found->second;
    endpoint->loop->Post(
        [endpoint, work = std::move(work)]() mutable { std::move(work)(endpoint); });
    return true;
  }
  bool Up(const std::string& from, const std::string& to) {
    std::lock_guard<std::mutex> lock(mutex_);
    return !IsCut(from, to);
  }
  ConnectionId NewConnection() { return ++last_connection_; }

 private:
  bool IsCut(const std::string& from, const std::string& to) const {
    return !cuts_.empty() && cuts_.contains({from, to});
  }

  std::mutex mutex_;
  std::map<std::string, EndpointPtr> endpoints_;  // by address
  std::set<std::pair<std::string, std::string>> cuts_;
  std::atomic<ConnectionId> last_connection_{0};
};

// ---- The member's end
// -----------------------------------------------------------------------------

class InProcessTransport final : public Transport {
 public:
  explicit InProcessTransport(Network& network) : network_(network), loop_(NewThreadLoop()) {}
  ~InProcessTransport() override { Stop(); }

  Loop& loop() override { return *loop_; }
  absl::Status Start(const Identity& self, TransportSink* sink) override;
  std::string bound_address() const override {
    const Identity& self = endpoint_->self;
    return self.listen.empty() ? self.address : self.listen;
  }
  void SetPeers(absl::Span<const Peer> peers) override;
  void Send(Envelope envelope) override;
  void SendToClient(ConnectionId connection, ServerMessage message) override;
  void CloseClient(ConnectionId connection, absl::Status why) override;
  void Stop() override;

 private:
  struct Route {
    std::string address;
    InFlight::Counter in_flight;
  };

  Network& network_;
  const EndpointPtr endpoint_ = std::make_shared<Endpoint>();
  std::map<std::string, Route> routes_;  // by name
  bool listening_ = false;
  std::unique_ptr<Loop> loop_;  // last: what is posted to it uses the above
};

absl::Status InProcessTransport::Start(const Identity& self, TransportSink* sink) {
  endpoint_->self = self;
  endpoint_->loop = loop_.get();
  endpoint_->sink = sink;  // the loop sees it by way of the network's mutex
  absl::Status status = network_.Listen(endpoint_);
  listening_ = status.ok();
  return status;
}

void InProcessTransport::SetPeers(absl::Span<const Peer> peers) {
  std::map<std::string, Route> routes;
  for (const Peer& peer : peers) {
    const auto old = routes_.find(peer.name);
    InFlight::Counter in_flight = old != routes_.end() && old->second.address == peer.address
                                      ? old->second.in_flight
                                      : std::make_shared<std::atomic<std::size_t>>(0);
    routes[peer.name] = {peer.address, std::move(in_flight)};
  }
  routes_ = std::move(routes);
}

void InProcessTransport::Send(Envelope envelope) {
  const auto route = routes_.find(envelope.to.name);
  if (route == routes_.end() || *route->second.in_flight >= kPeerQueueMax) return;
  // Nobody can speak in another's name, whatever the caller wrote.
  envelope.from = endpoint_->self.id;
  network_.PostTo(endpoint_->self.address, route->second.address,
                  [envelope = std::move(envelope),
                   counted = InFlight(route->second.in_flight)](const EndpointPtr& to) mutable {
                    if (to->sink == nullptr || to->self.id.name != envelope.to.name) return;
                    to->sink->OnPeer(std::move(envelope));
                  });
}

void InProcessTransport::SendToClient(ConnectionId connection, ServerMessage message) {
  const auto found = endpoint_->streams.find(connection);
  if (found == endpoint_->streams.end()) return;
  const std::shared_ptr<Stream> stream = found->second;
  if (*stream->unread >= kClientQueueMax) {
    CloseClient(connection, absl::ResourceExhaustedError("the client does not read"));
  } else if (!network_.Up(endpoint_->self.address, stream->client_address)) {
    CloseClient(connection, absl::UnavailableError("the connection is cut"));
  } else {
    stream->PostToClient(
        [stream, message = std::move(message), counted = InFlight(stream->unread)]() mutable {
          if (stream->sink != nullptr && !stream->closed)
            stream->sink->OnMessage(std::move(message));
        });
  }
}

void InProcessTransport::CloseClient(ConnectionId connection, absl::Status why) {
  const auto found = endpoint_->streams.find(connection);
  if (found == endpoint_->streams.end()) return;
  CloseAtClient(found->second, std::move(why));
  loop_->Post([endpoint = endpoint_, connection] { CloseAtServer(endpoint, connection); });
}

void InProcessTransport::Stop() {
  if (!std::exchange(listening_, false)) return;
  network_.Unlisten(endpoint_);
  // Behind all that was posted before, which may still send.
  std::promise<void> stopped;
  loop_->Post([&] {
    endpoint_->sink = nullptr;
    for (const auto& [id, stream] : std::exchange(endpoint_->streams, {})) {
      CloseAtClient(stream, absl::UnavailableError("the member stopped"));
    }
    stopped.set_value();
  });
  stopped.get_future().wait();
}

std::unique_ptr<Transport> Network::NewTransport() {
  return std::make_unique<InProcessTransport>(*this);
}

// ---- The client's end
// -----------------------------------------------------------------------------

class Client final : public InProcessClient {
 public:
  Client(Network& network, Loop& loop, absl::string_view from, absl::string_view to,
         InProcessClientSink* sink)
      : network_(network), to_(to), stream_(std::make_shared<Stream>()) {
    stream_->id = network.NewConnection();
    stream_->client_address = std::string(from);
    stream_->client_loop = &loop;
    stream_->sink = sink;
    const auto accept = [stream = stream_](const EndpointPtr& endpoint) {
      if (endpoint->sink == nullptr) {
        CloseAtClient(stream, absl::UnavailableError("the member stopped"));
        return;
      }
      endpoint->streams[stream->id] = stream;
      stream->PostToClient([stream] {
        if (stream->sink != nullptr && !stream->closed) stream->sink->OnConnected();
      });
    };
    if (!network_.PostTo(stream_->client_address, to_, accept)) {
      CloseAtClient(stream_, absl::UnavailableError(absl::StrCat("nobody answers at ", to_)));
    }
  }

  ~Client() override {
    stream_->sink = nullptr;
    {
      std::lock_guard<std::mutex> lock(stream_->mutex);
      stream_->client_loop = nullptr;
    }
    network_.PostTo(stream_->client_address, to_, [id = stream_->id](const EndpointPtr& endpoint) {
      CloseAtServer(endpoint, id);
    });
  }

  void Send(std::vector<ClientRequest> requests) override {
    if (stream_->closed) return;
    auto deliver = [stream = stream_,
                    requests = std::move(requests)](const EndpointPtr& endpoint) mutable {
      // Another may have taken the address since.
      if (endpoint->sink == nullptr || !endpoint->streams.contains(stream->id)) return;
      endpoint->sink->OnClientRequests(stream->id, std::move(requests));
    };
    if (!network_.PostTo(stream_->client_address, to_, std::move(deliver))) {
      CloseAtClient(stream_, absl::UnavailableError("the connection is cut"));
    }
  }

 private:
  Network& network_;
  const std::string to_;
  const std::shared_ptr<Stream> stream_;
};

}  // namespace

std::unique_ptr<InProcessNetwork> NewInProcessNetwork() { return std::make_unique<Network>(); }

std::unique_ptr<InProcessClient> ConnectInProcess(InProcessNetwork& network, Loop& loop,
                                                  absl::string_view from, absl::string_view to,
                                                  InProcessClientSink* sink) {
  // There is no other kind.
  return std::make_unique<Client>(static_cast<Network&>(network), loop, from, to, sink);
}

}  // namespace tenure
