// Envelopes, read.
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "proto/consensus.h"
#include "tenure/v1/log.pb.h"
#include "tenure/v1/peer.pb.h"
#include "transport/wire.h"
#include "transport/wire_format.h"
#include "transport/wire_parts.h"

namespace tenure::wire {
namespace {

// A configuration names a handful of servers; more bytes than this are no configuration.
constexpr std::size_t kMaxConfigurationBytes = 64 << 10;
// What a snapshot's description has besides.
constexpr std::size_t kMaxSnapshotHeadBytes = 128;

// `known` becomes false if the entry is of a kind that this version does not know.
bool ParseEntry(absl::string_view bytes, raft::Entry* entry, bool* known) {
  Reader reader(bytes);
  while (reader.Next()) {
    if (reader.Is(1, WireType::kVarint)) {
      entry->index = reader.number();
    } else if (reader.Is(2, WireType::kVarint)) {
      entry->term = reader.number();
    } else if (reader.Is(3, WireType::kVarint)) {
      *known &= reader.number() <= static_cast<std::uint64_t>(raft::kLastEntryKind);
      entry->kind = static_cast<raft::EntryKind>(reader.number());
    } else if (reader.Is(4, WireType::kVarint)) {
      entry->stamp_ns = static_cast<std::int64_t>(reader.number());
    } else if (reader.Is(5, WireType::kBytes)) {
      entry->payload = std::make_shared<const std::string>(reader.bytes());
    } else if (reader.Is(6, WireType::kBytes)) {
      v1::Configuration from;
      if (reader.bytes().size() > kMaxConfigurationBytes || !ParseMessage(reader.bytes(), &from)) {
        return false;
      }
      entry->configuration = FromSchema(from);
    }
  }
  // Nothing may be decided by a configuration that is not there.
  if ((entry->kind == raft::EntryKind::kConfiguration) != (entry->configuration != nullptr)) {
    return false;
  }
  return reader.ok();
}

// ---- Bodies
// ----------------------------------------------------------------------------------------

// What became of an envelope's body.
enum class Parsed : std::uint8_t {
  kMalformed,
  kUnknown,  // of a later version: skipped, as if it had been lost
  kKnown,
};

Parsed KnownIf(bool well_formed) { return well_formed ? Parsed::kKnown : Parsed::kMalformed; }

// Parses a message of the schema and lets `make` build the body of it.
template <typename Message, typename Make>
Parsed Convert(absl::string_view bytes, PeerBody* body, Make make) {
  Message message;
  if (!ParseMessage(bytes, &message)) return Parsed::kMalformed;
  *body = make(message);
  return Parsed::kKnown;
}

Parsed ParseAppend(absl::string_view bytes, ElementBudget* budget, PeerBody* body) {
  raft::AppendRequest request;
  bool known = true;
  Reader reader(bytes);
  while (reader.Next()) {
    if (reader.Is(4, WireType::kBytes)) {
      if (!budget->Take()) return Parsed::kMalformed;
      if (!ParseEntry(reader.bytes(), &request.entries.emplace_back(), &known)) reader.Fail();
    } else if (reader.type() == WireType::kVarint) {
      switch (reader.field()) {
        case 1:
          request.term = reader.number();
          break;
        case 2:
          request.prev_index = reader.number();
          break;
        case 3:
          request.prev_term = reader.number();
          break;
        case 5:
          request.commit = reader.number();
          break;
        case 6:
          request.round = reader.number();
          break;
        case 7:
          request.trim_through = reader.number();
          break;
        case 8:
          request.transfer = reader.number();
          break;
        case 9:
          request.durable = reader.number();
          break;
        default:
          break;
      }
    }
  }
  if (!known) return Parsed::kUnknown;
  *body = raft::Message(std::move(request));
  return KnownIf(reader.ok());
}

Parsed ParsePropose(absl::string_view bytes, PeerBody* body) {
  BootstrapPropose propose;
  bool known = true;
  Reader reader(bytes);
  while (reader.Next()) {
    if (reader.Is(1, WireType::kFixed64)) {
      propose.proposal.high = reader.number();
    } else if (reader.Is(2, WireType::kFixed64)) {
      propose.proposal.low = reader.number();
    } else if (reader.Is(3, WireType::kBytes)) {
      propose.first = raft::Entry();
      if (!ParseEntry(reader.bytes(), &propose.first, &known)) reader.Fail();
    } else if (reader.Is(4, WireType::kVarint)) {
      propose.invitation = reader.number() != 0;
    }
  }
  if (!known) return Parsed::kUnknown;
  *body = Handshake(std::move(propose));
  return KnownIf(reader.ok());
}

Parsed ParseForwarded(absl::string_view bytes, ElementBudget* budget, PeerBody* body,
                      bool replies) {
  ForwardedRequests to_leader;
  ServerFrame to_asker;
  std::uint64_t number = 0;
  Reader reader(bytes);
  while (reader.Next()) {
    if (reader.Is(1, WireType::kVarint)) {
      to_leader.origin = reader.number();
    } else if (reader.Is(2, WireType::kBytes)) {
      if (replies ? !ParseServerFrame(reader.bytes(), budget, &to_asker)
                  : !ParseRequest(reader.bytes(), budget, &to_leader.requests)) {
        reader.Fail();
      }
    } else if (reader.Is(3, WireType::kVarint)) {
      number = reader.number();
    }
  }
  if (replies) {
    *body = Forward(ForwardedReplies{to_leader.origin, std::move(to_asker.message), number});
  } else {
    *body = Forward(std::move(to_leader));
  }
  return KnownIf(reader.ok());
}

Parsed ParseHandshake(std::uint32_t kind, absl::string_view bytes, PeerBody* body) {
  switch (kind) {
    case field::kHandshakeHello:
      return Convert<v1::Hello>(bytes, body, [](const v1::Hello& from) {
        return Handshake(Hello{from.in(), from.asserts_new(), from.answer_wanted(),
                               from.accepted_number(), from.config_digest(), from.has_log(),
                               from.machine_version(), from.number(), from.holds_commands()});
      });
    case field::kBootstrapPropose:
      return ParsePropose(bytes, body);
    case field::kBootstrapAccept:
      return Convert<v1::BootstrapAccept>(bytes, body, [](const v1::BootstrapAccept& from) {
        return Handshake(
            BootstrapAccept{{from.proposal_high(), from.proposal_low()}, from.number()});
      });
    case field::kBootstrapStart:
      return Convert<v1::BootstrapStart>(bytes, body, [](const v1::BootstrapStart& from) {
        return Handshake(
            BootstrapStart{{from.proposal_high(), from.proposal_low()}, from.number()});
      });
    case field::kLostQuery:
      return Convert<v1::LostQuery>(bytes, body, [](const v1::LostQuery& from) {
        return Handshake(LostQuery{{from.name(), from.incarnation()}});
      });
    case field::kLost:
      return Convert<v1::Lost>(bytes, body, [](const v1::Lost& from) {
        return Handshake(Lost{{from.name(), from.incarnation()}});
      });
    case field::kNotAMember:
      return Convert<v1::NotAMember>(bytes, body, [](const v1::NotAMember& from) {
        return Handshake(NotAMember{from.reason(), from.removed()});
      });
    case field::kAttestationQuery:
      return Convert<v1::AttestationQuery>(
          bytes, body, [](const v1::AttestationQuery&) { return Handshake(AttestationQuery{}); });
    case field::kAttestation:
      return Convert<v1::Attestation>(bytes, body, [](const v1::Attestation& from) {
        return Handshake(Attestation{FromSchema(from.what())});
      });
    default:
      return Parsed::kUnknown;
  }
}

// The schema's own parser would make what is too long before it could be refused.
bool IsModest(absl::string_view snapshot_request) {
  std::size_t bytes = 0;
  Reader reader(snapshot_request);
  while (reader.Next()) {
    if (reader.Is(2, WireType::kBytes)) bytes += reader.bytes().size();
  }
  return reader.ok() && bytes <= kMaxConfigurationBytes + kMaxSnapshotHeadBytes;
}

Parsed ParseBody(std::uint32_t kind, absl::string_view bytes, ElementBudget* budget,
                 PeerBody* body) {
  switch (kind) {
    case field::kVoteRequest:
      return Convert<v1::VoteRequest>(bytes, body, [](const v1::VoteRequest& from) {
        return raft::Message(raft::VoteRequest{from.term(), from.pre_vote(), from.last_index(),
                                               from.last_term(), from.transfer()});
      });
    case field::kVoteResponse:
      return Convert<v1::VoteResponse>(bytes, body, [](const v1::VoteResponse& from) {
        return raft::Message(
            raft::VoteResponse{from.term(), from.request_term(), from.pre_vote(), from.granted()});
      });
    case field::kAppendRequest:
      return ParseAppend(bytes, budget, body);
    case field::kAppendResponse:
      return Convert<v1::AppendResponse>(bytes, body, [](const v1::AppendResponse& from) {
        return raft::Message(raft::AppendResponse{
            from.term(), from.accepted(), from.match_index(), from.hint_term(),
            from.rejected_prev(), from.applied(), from.round(), from.transfer(), from.priority()});
      });
    case field::kTimeoutNow:
      return Convert<v1::TimeoutNow>(bytes, body, [](const v1::TimeoutNow& from) {
        return raft::Message(raft::TimeoutNow{from.term(), from.transfer()});
      });
    case field::kSnapshotRequest:
      if (!IsModest(bytes)) return Parsed::kMalformed;
      return Convert<v1::SnapshotRequest>(bytes, body, [](const v1::SnapshotRequest& from) {
        raft::SnapshotRequest request;
        request.term = from.term();
        request.snapshot = FromSchema(from.snapshot());
        if (from.snapshot().configuration().ByteSizeLong() > kMaxConfigurationBytes)
          request.snapshot.configuration = nullptr;
        request.offset = from.offset();
        request.round = from.round();
        request.data = std::make_shared<const std::string>(from.data());
        return raft::Message(std::move(request));
      });
    case field::kSnapshotResponse:
      return Convert<v1::SnapshotResponse>(bytes, body, [](const v1::SnapshotResponse& from) {
        return raft::Message(
            raft::SnapshotResponse{from.term(), from.index(), from.offset(), from.round()});
      });
    case field::kForwardedRequests:
      return ParseForwarded(bytes, budget, body, /*replies=*/false);
    case field::kForwardedReplies:
      return ParseForwarded(bytes, budget, body, /*replies=*/true);
    case field::kForwardClosed:
      return Convert<v1::ForwardClosed>(bytes, body, [](const v1::ForwardClosed& from) {
        return Forward(ForwardClosed{from.origin()});
      });
    default:
      return ParseHandshake(kind, bytes, body);
  }
}

Parsed ParseEnvelope(absl::string_view bytes, ElementBudget* budget, Envelope* envelope) {
  std::uint32_t kind = 0;
  absl::string_view body;
  Reader reader(bytes);
  while (reader.Next()) {
    if (reader.type() == WireType::kFixed64) {
      switch (reader.field()) {
        case 1:
          envelope->cluster.high = reader.number();
          break;
        case 2:
          envelope->cluster.low = reader.number();
          break;
        case 3:
          envelope->from.incarnation = reader.number();
          break;
        case 4:
          envelope->to.incarnation = reader.number();
          break;
        default:
          break;
      }
    } else if (reader.type() == WireType::kBytes && reader.field() >= field::kVoteRequest) {
      // One body, like the schema's oneof; two would be a sender that cannot be trusted.
      if (kind != 0) return Parsed::kMalformed;
      kind = reader.field();
      body = reader.bytes();
    }
  }
  if (!reader.ok()) return Parsed::kMalformed;
  return kind == 0 ? Parsed::kUnknown : ParseBody(kind, body, budget, &envelope->body);
}

}  // namespace

absl::StatusOr<PeerFrame> ParsePeerFrame(absl::string_view bytes) {
  PeerFrame frame;
  ElementBudget budget;
  Reader reader(bytes);
  while (reader.Next()) {
    if (reader.Is(field::kHello, WireType::kBytes)) {
      v1::PeerHello hello;
      if (!ParseMessage(reader.bytes(), &hello)) reader.Fail();
      frame.hello = {hello.protocol(), hello.from_name(), hello.from_incarnation(),
                     hello.to_name()};
    } else if (reader.Is(field::kElement, WireType::kBytes)) {
      const Parsed parsed =
          budget.Take() ? ParseEnvelope(reader.bytes(), &budget, &frame.envelopes.emplace_back())
                        : Parsed::kMalformed;
      if (parsed == Parsed::kMalformed) reader.Fail();
      if (parsed == Parsed::kUnknown) frame.envelopes.pop_back();
    }
  }
  if (!reader.ok()) return absl::InvalidArgumentError("malformed peer frame");
  return frame;
}

}  // namespace tenure::wire
