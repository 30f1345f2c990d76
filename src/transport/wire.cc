#include "transport/wire.h"

#include <utility>

#include "absl/status/status.h"
#include "tenure/v1/client.pb.h"
#include "tenure/v1/peer.pb.h"
#include "transport/wire_format.h"
#include "transport/wire_parts.h"

namespace tenure::wire {
namespace {

template <typename Message>
void PutHello(const Message& hello, std::string* frame) {
  hello.ByteSizeLong();
  PutMessageOfCachedSize(field::kHello, hello, frame);
}

}  // namespace

// ---- Hellos
// ----------------------------------------------------------------------------------------

void AppendHello(const PeerHello& hello, std::string* frame) {
  v1::PeerHello to;
  to.set_protocol(hello.protocol);
  to.set_from_name(hello.from_name);
  to.set_from_incarnation(hello.from_incarnation);
  to.set_to_name(hello.to_name);
  PutHello(to, frame);
}

void AppendHello(const ClientHello& hello, std::string* frame) {
  v1::ClientHello to;
  to.set_protocol(hello.protocol);
  to.set_label(hello.label);
  PutHello(to, frame);
}

void AppendHello(const ServerHello& hello, std::string* frame) {
  v1::ServerHello to;
  to.set_protocol(hello.protocol);
  to.set_member_name(hello.member_name);
  to.set_leader_address(hello.leader_address);
  PutHello(to, frame);
}

// ---- Requests and replies
// --------------------------------------------------------------------------

void PutRequest(std::uint32_t in_field, const ClientRequest& request, std::string* out) {
  const auto kind = static_cast<std::uint64_t>(request.kind);
  PutHead(in_field,
          UintSize(1, request.id) + UintSize(2, kind) + UintSize(3, request.reserved) +
              BytesSize(4, request.command) + UintSize(5, request.session) +
              UintSize(6, request.after),
          out);
  PutUint(1, request.id, out);
  PutUint(2, kind, out);
  PutUint(3, request.reserved, out);
  PutBytes(4, request.command, out);
  PutUint(5, request.session, out);
  PutUint(6, request.after, out);
}

bool ParseRequest(absl::string_view bytes, ElementBudget* budget,
                  std::vector<ClientRequest>* requests) {
  if (!budget->Take()) return false;
  ClientRequest& request = requests->emplace_back();
  Reader reader(bytes);
  while (reader.Next()) {
    if (reader.Is(1, WireType::kVarint)) {
      request.id = reader.number();
    } else if (reader.Is(2, WireType::kVarint)) {
      const std::uint64_t last = static_cast<std::uint64_t>(RequestKind::kUnlisten);
      request.kind =
          reader.number() > last ? kUnknownKind : static_cast<RequestKind>(reader.number());
    } else if (reader.Is(3, WireType::kVarint)) {
      request.reserved = reader.number() != 0;
    } else if (reader.Is(4, WireType::kBytes)) {
      request.command = std::string(reader.bytes());
    } else if (reader.Is(5, WireType::kVarint)) {
      request.session = reader.number();
    } else if (reader.Is(6, WireType::kVarint)) {
      request.after = reader.number();
    }
  }
  return reader.ok();
}

static std::size_t ReplySize(const ClientReply& reply) {
  return UintSize(1, reply.id) + UintSize(2, static_cast<std::uint64_t>(reply.refusal)) +
         BytesSize(3, reply.message) + BytesSize(4, reply.leader_address) +
         BytesSize(5, reply.reply);
}

void PutReply(std::uint32_t in_field, const ClientReply& reply, std::string* out) {
  PutHead(in_field, ReplySize(reply), out);
  PutUint(1, reply.id, out);
  PutUint(2, static_cast<std::uint64_t>(reply.refusal), out);
  PutBytes(3, reply.message, out);
  PutBytes(4, reply.leader_address, out);
  PutBytes(5, reply.reply, out);
}

bool ParseReply(absl::string_view bytes, ElementBudget* budget, std::vector<ClientReply>* replies) {
  if (!budget->Take()) return false;
  ClientReply& reply = replies->emplace_back();
  Reader reader(bytes);
  while (reader.Next()) {
    if (reader.Is(1, WireType::kVarint)) {
      reply.id = reader.number();
    } else if (reader.Is(2, WireType::kVarint)) {
      // A refusal of a later version says least if it is taken for "may or may not have happened".
      const std::uint64_t last = static_cast<std::uint64_t>(Refusal::kVersion);
      reply.refusal =
          reader.number() > last ? Refusal::kUncertain : static_cast<Refusal>(reader.number());
    } else if (reader.Is(3, WireType::kBytes)) {
      reply.message = std::string(reader.bytes());
    } else if (reader.Is(4, WireType::kBytes)) {
      reply.leader_address = std::string(reader.bytes());
    } else if (reader.Is(5, WireType::kBytes)) {
      reply.reply = std::string(reader.bytes());
    }
  }
  return reader.ok();
}

bool ParseServerFrame(absl::string_view bytes, ElementBudget* budget, ServerFrame* frame) {
  Reader reader(bytes);
  while (reader.Next()) {
    if (reader.Is(field::kHello, WireType::kBytes)) {
      v1::ServerHello hello;
      if (!ParseMessage(reader.bytes(), &hello)) return false;
      frame->hello = {hello.protocol(), hello.member_name(), hello.leader_address()};
    } else if (reader.Is(field::kElement, WireType::kBytes)) {
      if (!ParseReply(reader.bytes(), budget, &frame->message.replies)) return false;
    } else if (reader.Is(field::kEvents, WireType::kBytes)) {
      if (!budget->Take()) return false;
      frame->message.events.emplace_back(reader.bytes());
    }
  }
  return reader.ok();
}

// ---- Frames of clients
// -----------------------------------------------------------------------------

void AppendRequest(const ClientRequest& request, std::string* frame) {
  PutRequest(field::kElement, request, frame);
}

void AppendReply(const ClientReply& reply, std::string* frame) {
  PutReply(field::kElement, reply, frame);
}

void AppendEvent(absl::string_view event, std::string* frame) {
  PutHead(field::kEvents, event.size(), frame);
  frame->append(event.data(), event.size());
}

absl::StatusOr<ClientFrame> ParseClientFrame(absl::string_view bytes) {
  ClientFrame frame;
  ElementBudget budget;
  Reader reader(bytes);
  while (reader.Next()) {
    if (reader.Is(field::kHello, WireType::kBytes)) {
      v1::ClientHello hello;
      if (!ParseMessage(reader.bytes(), &hello)) reader.Fail();
      frame.hello = {hello.protocol(), hello.label()};
    } else if (reader.Is(field::kElement, WireType::kBytes)) {
      if (!ParseRequest(reader.bytes(), &budget, &frame.requests)) reader.Fail();
    }
  }
  if (!reader.ok()) return absl::InvalidArgumentError("malformed client frame");
  return frame;
}

absl::StatusOr<ServerFrame> ParseServerFrame(absl::string_view bytes) {
  ServerFrame frame;
  ElementBudget budget;
  if (!ParseServerFrame(bytes, &budget, &frame)) {
    return absl::InvalidArgumentError("malformed server frame");
  }
  return frame;
}

}  // namespace tenure::wire
