// The streams between clients and members.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "testing/network_impl.h"
#include "testing/random.h"

namespace tenure::testing {

// Frames sent to a client that it has not read yet; past it the member closes the connection.
constexpr std::size_t kFramesToClientMax = 4096;

// A stream as both ends and the network see it. Each end is told of the end once.
struct Stream {
  struct Direction {
    Address from = 0;
    Address to = 0;
    std::int64_t last_arrival_ns = 0;
    std::deque<Frame> arrived;  // held up by a cut or a clog
  };

  ConnectionId id = 0;
  Direction up;
  Direction down;

  VirtualLoop* client_loop = nullptr;
  ClientStreamSink* client = nullptr;  // null: closed at this end
  std::shared_ptr<Endpoint> server;    // null: not accepted, or closed at this end
  std::size_t unread = 0;              // frames down
  bool accepted = false;

  bool over() const { return client == nullptr && server == nullptr; }
  void DropArrived() {
    const std::deque<Frame> going_up = std::exchange(up.arrived, {});
    const std::deque<Frame> going_down = std::exchange(down.arrived, {});
  }
  Direction& direction(bool is_up) { return is_up ? up : down; }
};

// ---- Moving frames
// --------------------------------------------------------------------------------

void NetworkImpl::Push(const std::shared_ptr<Stream>& stream, bool up, Frame frame) {
  Stream::Direction& way = stream->direction(up);
  const LinkOptions& options = OptionsOf(LinkOf(way.from, way.to));
  const std::int64_t latency = DrawNs(random_, options.latency_min, options.latency_max);
  way.last_arrival_ns = std::max(way.last_arrival_ns, events_.now_ns() + latency);
  events_.Add(way.last_arrival_ns, [this, stream, up, frame = std::move(frame)]() mutable {
    trace_.Mix(events_.now_ns(), stream->id, up);
    if (stream->over()) return;
    stream->direction(up).arrived.push_back(std::move(frame));
    Pump(stream, up);
  });
}

void NetworkImpl::Pump(const std::shared_ptr<Stream>& stream, bool up) {
  Stream::Direction& way = stream->direction(up);
  const Link& link = LinkOf(way.from, way.to);
  while (link.up && !link.clogged && !way.arrived.empty()) {
    Frame frame = std::move(way.arrived.front());
    way.arrived.pop_front();
    std::move(frame)();
  }
}

// A link changed: what it held goes on, or its streams' days are counted.
void NetworkImpl::PumpAll(Address from, Address to) {
  const std::map<ConnectionId, std::shared_ptr<Stream>> streams = streams_;
  const bool is_up = LinkOf(from, to).up;
  for (const auto& [id, stream] : streams) {
    for (const bool up : {true, false}) {
      const Stream::Direction& way = stream->direction(up);
      if (way.from != from || way.to != to) continue;
      if (is_up) {
        Pump(stream, up);
      } else {
        WatchCut(stream);
      }
    }
  }
}

// Keepalive, for both ends: a stream with a direction that stays cut breaks.
void NetworkImpl::WatchCut(const std::shared_ptr<Stream>& stream) {
  const std::int64_t timeout = absl::ToInt64Nanoseconds(stream_timeout_);
  events_.Add(events_.now_ns() + timeout, [this, stream, timeout] {
    for (const bool up : {true, false}) {
      const Stream::Direction& way = stream->direction(up);
      const Link& link = LinkOf(way.from, way.to);
      if (link.up || events_.now_ns() - link.down_since_ns < timeout) continue;
      BreakServer(stream);
      BreakClient(stream, absl::UnavailableError("the connection timed out"));
    }
  });
}

// ---- The client's end
// -----------------------------------------------------------------------------

std::shared_ptr<Stream> NetworkImpl::Open(VirtualLoop& loop, Address from, Address to,
                                          ClientStreamSink* sink) {
  auto stream = std::make_shared<Stream>();
  stream->id = ++last_connection_;
  stream->up.from = stream->down.to = from;
  stream->up.to = stream->down.from = to;
  stream->client_loop = &loop;
  if (loop.dead()) return stream;
  stream->client = sink;
  streams_[stream->id] = stream;
  Push(stream, /*up=*/true, [this, stream] { Accept(stream); });
  if (!LinkOf(from, to).up || !LinkOf(to, from).up) {
    WatchCut(stream);
  }
  return stream;
}

void NetworkImpl::SendUp(const std::shared_ptr<Stream>& stream,
                         std::vector<ClientRequest> requests) {
  if (stream->client == nullptr || requests.empty()) return;
  Push(stream, /*up=*/true, [stream, requests = std::move(requests)]() mutable {
    if (stream->server == nullptr) return;
    stream->server->loop->Post(
        [stream, server = stream->server, requests = std::move(requests)]() mutable {
          if (server->sink == nullptr || stream->server == nullptr) return;
          server->sink->OnClientRequests(stream->id, std::move(requests));
        });
  });
}

void NetworkImpl::CloseAtClient(const std::shared_ptr<Stream>& stream) {
  if (stream->client == nullptr) return;
  stream->client = nullptr;
  Push(stream, /*up=*/true, [this, stream] { BreakServer(stream); });
  Forget(stream);
}

void NetworkImpl::CloseClientsOf(const VirtualLoop& loop) {
  const std::map<ConnectionId, std::shared_ptr<Stream>> streams = streams_;
  for (const auto& [id, stream] : streams) {
    if (stream->client_loop == &loop) CloseAtClient(stream);
  }
}

void NetworkImpl::BreakClient(const std::shared_ptr<Stream>& stream, absl::Status why) {
  if (stream->client == nullptr) return;
  stream->client_loop->Post([this, stream, why = std::move(why)]() mutable {
    ClientStreamSink* const sink = std::exchange(stream->client, nullptr);
    Forget(stream);
    if (sink != nullptr) sink->OnClosed(std::move(why));
  });
}

// ---- The server's end
// -----------------------------------------------------------------------------

void NetworkImpl::Accept(const std::shared_ptr<Stream>& stream) {
  if (stream->client == nullptr) return;
  const std::shared_ptr<Endpoint>& listener = listeners_[stream->up.to];
  if (listener == nullptr) {
    Push(stream, /*up=*/false, [this, stream] {
      BreakClient(stream, absl::UnavailableError("the connection was refused"));
    });
    return;
  }
  stream->server = listener;
  Push(stream, /*up=*/false, [stream] {
    stream->client_loop->Post([stream] {
      if (stream->client != nullptr) stream->client->OnConnected();
    });
  });
}

std::shared_ptr<Stream> NetworkImpl::Find(const Endpoint& server, ConnectionId id) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || found->second->server.get() != &server) return nullptr;
  return found->second;
}

void NetworkImpl::SendDown(const Endpoint& server, ConnectionId id, ServerMessage message) {
  const std::shared_ptr<Stream> stream = Find(server, id);
  if (stream == nullptr) return;
  if (stream->unread >= kFramesToClientMax) {
    CloseAtServer(server, id, absl::ResourceExhaustedError("the client does not read"));
    return;
  }
  ++stream->unread;
  Push(stream, /*up=*/false, [stream, message = std::move(message)]() mutable {
    stream->client_loop->Post([stream, message = std::move(message)]() mutable {
      --stream->unread;
      if (stream->client != nullptr) stream->client->OnMessage(std::move(message));
    });
  });
}

void NetworkImpl::CloseAtServer(const Endpoint& server, ConnectionId id, absl::Status why) {
  const std::shared_ptr<Stream> stream = Find(server, id);
  if (stream == nullptr) return;
  BreakServer(stream);
  Push(stream, /*up=*/false,
       [this, stream, why = std::move(why)]() mutable { BreakClient(stream, std::move(why)); });
}

void NetworkImpl::BreakServer(const std::shared_ptr<Stream>& stream) {
  const std::shared_ptr<Endpoint> server = std::exchange(stream->server, nullptr);
  Forget(stream);
  if (server == nullptr) return;
  server->loop->Post([server, id = stream->id] {
    if (server->sink != nullptr) server->sink->OnClientClosed(id);
  });
}

void NetworkImpl::Unlisten(Endpoint& endpoint) {
  endpoint.sink = nullptr;
  std::shared_ptr<Endpoint>& listener = listeners_[Intern(endpoint.self.address)];
  if (listener.get() == &endpoint) listener = nullptr;
  const std::map<ConnectionId, std::shared_ptr<Stream>> streams = streams_;
  for (const auto& [id, stream] : streams) {
    if (stream->server.get() != &endpoint) continue;
    stream->server = nullptr;
    Push(stream, /*up=*/false, [this, stream = stream] {
      BreakClient(stream, absl::UnavailableError("the connection was reset"));
    });
  }
}

// Once both ends know, nobody looks for it any more. What a cut held up would keep it alive: it
// refers to it.
void NetworkImpl::Forget(const std::shared_ptr<Stream>& stream) {
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): `stream` may be what is erased
  const std::shared_ptr<Stream> kept = stream;
  if (!kept->over()) return;
  streams_.erase(kept->id);
  kept->DropArrived();
}

NetworkImpl::~NetworkImpl() {
  for (const auto& [id, stream] : streams_) stream->DropArrived();
}

}  // namespace tenure::testing
