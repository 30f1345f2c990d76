// The network of a simulated world: latency, loss, duplication, reordering, cuts, and client
// connections.
#ifndef TENURE_TESTING_NETWORK_H_
#define TENURE_TESTING_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tenure/transport.h"

namespace tenure::testing {

class NetworkImpl;
class VirtualNode;

// How a one-way link treats messages between members. Client connections feel its latency alone:
// they are streams, in order and whole until they break.
struct LinkOptions {
  absl::Duration latency_min = absl::Microseconds(50);
  absl::Duration latency_max = absl::Microseconds(500);
  double loss = 0;
  double duplication = 0;
  // A duplicate comes up to so much after its original: old messages, replayed.
  absl::Duration duplicate_delay = absl::Milliseconds(10);
  // The chance that a message may be overtaken. All others keep their order.
  double reordering = 0;
  // Messages under way or waiting at the receiver; what does not fit is dropped.
  std::size_t capacity = 4096;
};

// What a ClientStream calls, on its node's loop; never from inside Connect or Send.
class ClientStreamSink {
 public:
  virtual ~ClientStreamSink() = default;
  virtual void OnConnected() = 0;
  virtual void OnMessage(ServerMessage message) = 0;
  // The last call. What was sent and not answered may or may not have arrived.
  virtual void OnClosed(absl::Status why) = 0;
};

// The client's end of a connection to a member. Destroying it closes the connection, without a call
// to the sink. It must not outlive the world.
class ClientStream {
 public:
  virtual ~ClientStream() = default;
  // May be called before OnConnected. On the loop, what one turn sends arrives as one frame.
  virtual void Send(std::vector<ClientRequest> requests) = 0;
};

// Addresses are names, taken as they are. Members reach each other by the address that their
// Transport::Start was given; a client has the name of its node for an address.
//
// A message is delivered to whoever has the address when it arrives, also a later incarnation:
// receivers have to look. The transport itself refuses only what is meant for another name.
class VirtualNetwork {
 public:
  explicit VirtualNetwork(NetworkImpl& impl) : impl_(impl) {}  // World does

  // For all links that have none of their own.
  void SetDefaults(const LinkOptions& options);
  // For one link, from now on.
  void SetLinkOptions(absl::string_view from, absl::string_view to, const LinkOptions& options);

  // Cuts or mends one direction. A cut loses what is under way. A client connection stalls with
  // either of its directions, and breaks on both ends when one was cut for stream_timeout.
  void SetLink(absl::string_view from, absl::string_view to, bool up);
  // Both directions.
  void SetLinks(absl::string_view a, absl::string_view b, bool up);
  // All links that were ever cut or clogged.
  void MendAll();
  // Holds what comes along one direction; released, it arrives at once, in random order.
  void SetClogged(absl::string_view from, absl::string_view to, bool clogged);
  void set_stream_timeout(absl::Duration timeout);

  // Connects a client that lives on `node`. OnConnected follows, or OnClosed. `sink` must stay
  // until the stream is destroyed.
  std::unique_ptr<ClientStream> Connect(VirtualNode& node, absl::string_view address,
                                        ClientStreamSink* sink);

  std::uint64_t messages_sent() const;
  std::uint64_t messages_delivered() const;

 private:
  NetworkImpl& impl_;
};

}  // namespace tenure::testing

#endif  // TENURE_TESTING_NETWORK_H_
