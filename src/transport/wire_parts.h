// What the files of wire.h share.
#ifndef TENURE_TRANSPORT_WIRE_PARTS_H_
#define TENURE_TRANSPORT_WIRE_PARTS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "transport/wire.h"
#include "transport/wire_format.h"

namespace tenure::wire {

// Field numbers of the messages that are read and written by hand. tests/transport compares them
// with what the generated code makes of the same bytes.
namespace field {
constexpr std::uint32_t kHello = 1;    // PeerFrame, ClientFrame, ServerFrame
constexpr std::uint32_t kElement = 2;  // their envelopes, requests, replies
constexpr std::uint32_t kEvents = 3;   // ServerFrame
constexpr std::uint32_t kVoteRequest = 16;
constexpr std::uint32_t kVoteResponse = 17;
constexpr std::uint32_t kAppendRequest = 18;
constexpr std::uint32_t kAppendResponse = 19;
constexpr std::uint32_t kTimeoutNow = 20;
constexpr std::uint32_t kSnapshotRequest = 21;
constexpr std::uint32_t kSnapshotResponse = 22;
constexpr std::uint32_t kHandshakeHello = 32;
constexpr std::uint32_t kBootstrapPropose = 33;
constexpr std::uint32_t kBootstrapAccept = 34;
constexpr std::uint32_t kBootstrapStart = 35;
constexpr std::uint32_t kLostQuery = 36;
constexpr std::uint32_t kLost = 37;
constexpr std::uint32_t kNotAMember = 38;
constexpr std::uint32_t kAttestationQuery = 39;
constexpr std::uint32_t kAttestation = 40;
constexpr std::uint32_t kForwardedRequests = 48;
constexpr std::uint32_t kForwardedReplies = 49;
constexpr std::uint32_t kForwardClosed = 50;
}  // namespace field

// One element of the field `in_field`.
void PutRequest(std::uint32_t in_field, const ClientRequest& request, std::string* out);
void PutReply(std::uint32_t in_field, const ClientReply& reply, std::string* out);

// What one frame may still have, however its elements are nested.
class ElementBudget {
 public:
  bool Take() { return left_ > 0 && left_-- > 0; }

 private:
  std::size_t left_ = kMaxElements;
};

// Append what they parse. False: malformed, or too many.
bool ParseRequest(absl::string_view bytes, ElementBudget* budget,
                  std::vector<ClientRequest>* requests);
bool ParseServerFrame(absl::string_view bytes, ElementBudget* budget, ServerFrame* frame);

template <typename Message>
bool ParseMessage(absl::string_view bytes, Message* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace tenure::wire

#endif  // TENURE_TRANSPORT_WIRE_PARTS_H_
