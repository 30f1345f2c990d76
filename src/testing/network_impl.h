#ifndef TENURE_TESTING_NETWORK_IMPL_H_
#define TENURE_TESTING_NETWORK_IMPL_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "raft/prng.h"
#include "tenure/testing/network.h"
#include "testing/event_queue.h"
#include "testing/trace.h"
#include "testing/virtual_loop.h"

namespace tenure::testing {

// What the network knows of a started transport. Shared with what is posted to the loop, which
// finds `sink` null once the transport has stopped.
struct Endpoint {
  VirtualLoop* loop = nullptr;
  Identity self;
  TransportSink* sink = nullptr;
};

// Addresses are interned: 0, 1, 2, ... in the order in which they came up.
using Address = std::uint32_t;
// Something that arrives on a stream.
using Frame = absl::AnyInvocable<void() &&>;
struct Stream;

class NetworkImpl {
 public:
  NetworkImpl(EventQueue& events, Trace& trace, std::uint64_t seed)
      : events_(events), trace_(trace), random_(seed) {}
  ~NetworkImpl();
  NetworkImpl(const NetworkImpl&) = delete;
  NetworkImpl& operator=(const NetworkImpl&) = delete;
  Address Intern(absl::string_view address);

  // ---- Links ----
  void SetDefaults(const LinkOptions& options) { defaults_ = options; }
  void SetLinkOptions(Address from, Address to, const LinkOptions& options);
  void SetLink(Address from, Address to, bool up);
  void SetClogged(Address from, Address to, bool clogged);
  void MendAll();
  void set_stream_timeout(absl::Duration timeout) { stream_timeout_ = timeout; }

  // ---- Members ----
  absl::Status Listen(const std::shared_ptr<Endpoint>& endpoint);
  // Also breaks its streams. Nothing is delivered to it any more.
  void Unlisten(Endpoint& endpoint);
  void Send(Address from, Address to, Envelope envelope);

  // ---- Streams of clients (streams.cc) ----
  std::shared_ptr<Stream> Open(VirtualLoop& loop, Address from, Address to, ClientStreamSink* sink);
  void SendUp(const std::shared_ptr<Stream>& stream, std::vector<ClientRequest> requests);
  void SendDown(const Endpoint& server, ConnectionId id, ServerMessage message);
  void CloseAtServer(const Endpoint& server, ConnectionId id, absl::Status why);
  void CloseAtClient(const std::shared_ptr<Stream>& stream);
  // The process of this loop was killed.
  void CloseClientsOf(const VirtualLoop& loop);

  std::uint64_t sent() const { return sent_; }
  std::uint64_t delivered() const { return delivered_; }

 private:
  struct Link;
  // A message on its way. Counts against its link until the receiver has it or nobody ever will.
  struct Flight {
    Flight(NetworkImpl* owner, Link* way, Address a, Address b, Envelope e)
        : network(owner), link(way), from(a), to(b), envelope(std::move(e)) {
      ++link->in_flight;
    }
    ~Flight() { --link->in_flight; }
    Flight(const Flight&) = delete;
    Flight& operator=(const Flight&) = delete;

    NetworkImpl* network;
    Link* link;
    Address from;
    Address to;
    Envelope envelope;
    std::shared_ptr<Endpoint> receiver;
  };
  struct Link {
    bool up = true;
    bool clogged = false;
    std::int64_t down_since_ns = 0;
    std::optional<LinkOptions> options;
    std::int64_t last_arrival_ns = 0;
    std::size_t in_flight = 0;
    std::vector<std::unique_ptr<Flight>> held;
  };

  Link& LinkOf(Address from, Address to) { return links_[(std::uint64_t{from} << 32) | to]; }
  const LinkOptions& OptionsOf(const Link& link) const {
    return link.options ? *link.options : defaults_;
  }
  void Arrive(std::unique_ptr<Flight> flight);
  void Deliver(std::unique_ptr<Flight> flight);

  // Whole and in order: runs `frame` where the stream's direction ends, unless the stream broke.
  void Push(const std::shared_ptr<Stream>& stream, bool up, Frame frame);
  void Pump(const std::shared_ptr<Stream>& stream, bool up);
  void PumpAll(Address from, Address to);
  void WatchCut(const std::shared_ptr<Stream>& stream);
  void Accept(const std::shared_ptr<Stream>& stream);
  void BreakServer(const std::shared_ptr<Stream>& stream);
  void BreakClient(const std::shared_ptr<Stream>& stream, absl::Status why);
  std::shared_ptr<Stream> Find(const Endpoint& server, ConnectionId id);
  void Forget(const std::shared_ptr<Stream>& stream);

  EventQueue& events_;
  Trace& trace_;
  raft::Prng random_;
  LinkOptions defaults_;
  absl::Duration stream_timeout_ = absl::Seconds(2);

  std::map<std::string, Address, std::less<>> addresses_;
  std::vector<std::shared_ptr<Endpoint>> listeners_;    // by address
  std::unordered_map<std::uint64_t, Link> links_;       // looked up, never iterated: no order
  std::vector<std::pair<Address, Address>> disturbed_;  // ever cut or clogged

  std::map<ConnectionId, std::shared_ptr<Stream>> streams_;
  ConnectionId last_connection_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t delivered_ = 0;
};

}  // namespace tenure::testing

#endif  // TENURE_TESTING_NETWORK_IMPL_H_
