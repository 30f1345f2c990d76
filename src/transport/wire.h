// Between the structs of the Transport seam and the frames of peer.proto and client.proto. Knows no
// socket: every transport that leaves the process speaks these bytes.
//
// A frame is a message whose elements are repeated fields, so frames are made by appending elements
// one after another, as they are sent. Parsing trusts nothing: what it allocates is bounded by a
// small multiple of the bytes that really arrived.
#ifndef TENURE_TRANSPORT_WIRE_H_
#define TENURE_TRANSPORT_WIRE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tenure/transport.h"

namespace tenure::wire {

// Both sides of a stream speak the lower of their two.
inline constexpr std::uint32_t kProtocol = 1;

// More elements than this in one frame (envelopes, requests, replies, events and entries, however
// they are nested) are refused before they are made.
inline constexpr std::size_t kMaxElements = 65536;

// The first frame of each kind of stream.
struct PeerHello {
  std::uint32_t protocol = kProtocol;
  std::string from_name;
  std::uint64_t from_incarnation = 0;
  std::string to_name;

  friend bool operator==(const PeerHello&, const PeerHello&) = default;
};
struct ClientHello {
  std::uint32_t protocol = kProtocol;
  std::string label;

  friend bool operator==(const ClientHello&, const ClientHello&) = default;
};
struct ServerHello {
  std::uint32_t protocol = kProtocol;
  std::string member_name;
  std::string leader_address;

  friend bool operator==(const ServerHello&, const ServerHello&) = default;
};

struct PeerFrame {
  std::optional<PeerHello> hello;
  // Their names are empty: the stream knows them. What this version does not know is left out, as
  // if it had been lost.
  std::vector<Envelope> envelopes;
};
struct ClientFrame {
  std::optional<ClientHello> hello;
  std::vector<ClientRequest> requests;  // `kind` is kUnknownKind if this version does not know it
};
struct ServerFrame {
  std::optional<ServerHello> hello;
  ServerMessage message;
};

inline constexpr auto kUnknownKind = static_cast<RequestKind>(255);

// Append one element to a frame.
void AppendHello(const PeerHello& hello, std::string* frame);
void AppendHello(const ClientHello& hello, std::string* frame);
void AppendHello(const ServerHello& hello, std::string* frame);
void AppendEnvelope(const Envelope& envelope, std::string* frame);
void AppendRequest(const ClientRequest& request, std::string* frame);
void AppendReply(const ClientReply& reply, std::string* frame);
void AppendEvent(absl::string_view event, std::string* frame);

// kInvalidArgument: not such a frame. The sender is broken or hostile: close its connection.
absl::StatusOr<PeerFrame> ParsePeerFrame(absl::string_view bytes);
absl::StatusOr<ClientFrame> ParseClientFrame(absl::string_view bytes);
absl::StatusOr<ServerFrame> ParseServerFrame(absl::string_view bytes);

}  // namespace tenure::wire

#endif  // TENURE_TRANSPORT_WIRE_H_
