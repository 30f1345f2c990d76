// Envelopes, written.
#include <memory>
#include <utility>

#include "proto/consensus.h"
#include "tenure/v1/log.pb.h"
#include "tenure/v1/peer.pb.h"
#include "transport/wire.h"
#include "transport/wire_format.h"
#include "transport/wire_parts.h"

namespace tenure::wire {
namespace {

// ---- Entries
// ---------------------------------------------------------------------------------------

// An entry with what is known of its size, so that nested lengths are computed once.
struct SizedEntry {
  explicit SizedEntry(const raft::Entry& from) : entry(&from) {
    size = UintSize(1, from.index) + UintSize(2, from.term) +
           UintSize(3, static_cast<std::uint64_t>(from.kind)) +
           UintSize(4, static_cast<std::uint64_t>(from.stamp_ns)) + BytesSize(5, payload());
    if (from.configuration != nullptr) {
      configuration = std::make_unique<v1::Configuration>();
      ToSchema(*from.configuration, configuration.get());
      size += WithHeadSize(6, configuration->ByteSizeLong());
    }
  }
  absl::string_view payload() const {
    return entry->payload == nullptr ? absl::string_view() : absl::string_view(*entry->payload);
  }
  void Put(std::uint32_t in_field, std::string* out) const {
    PutHead(in_field, size, out);
    PutUint(1, entry->index, out);
    PutUint(2, entry->term, out);
    PutUint(3, static_cast<std::uint64_t>(entry->kind), out);
    PutUint(4, static_cast<std::uint64_t>(entry->stamp_ns), out);
    PutBytes(5, payload(), out);
    if (configuration != nullptr) PutMessageOfCachedSize(6, *configuration, out);
  }

  const raft::Entry* entry;
  std::unique_ptr<v1::Configuration> configuration;
  std::size_t size = 0;
};

// ---- Bodies of envelopes, written
// ------------------------------------------------------------------

// Each body is prepared first, which fixes its size, and put into the frame afterwards.
class PreparedBody {
 public:
  explicit PreparedBody(const PeerBody& body) {
    std::visit(
        [this](const auto& kind) { std::visit([this](const auto& b) { this->Prepare(b); }, kind); },
        body);
  }
  std::size_t size() const { return WithHeadSize(field_, size_); }
  void Put(std::string* out) const {
    if (message_ != nullptr) return PutMessageOfCachedSize(field_, *message_, out);
    PutHead(field_, size_, out);
    if (append_ != nullptr) PutAppend(out);
    if (requests_ != nullptr) PutForwardedRequests(out);
    if (replies_ != nullptr) PutForwardedReplies(out);
  }

 private:
  // A message of the schema, filled by `fill`.
  template <typename Message, typename Fill>
  void Use(std::uint32_t in_field, Fill fill) {
    auto message = std::make_unique<Message>();
    fill(*message);
    field_ = in_field;
    size_ = message->ByteSizeLong();
    message_ = std::move(message);
  }

  void Prepare(const raft::VoteRequest& from) {
    Use<v1::VoteRequest>(field::kVoteRequest, [&](v1::VoteRequest& to) {
      to.set_term(from.term);
      to.set_pre_vote(from.pre_vote);
      to.set_last_index(from.last_index);
      to.set_last_term(from.last_term);
      to.set_transfer(from.transfer);
    });
  }
  void Prepare(const raft::VoteResponse& from) {
    Use<v1::VoteResponse>(field::kVoteResponse, [&](v1::VoteResponse& to) {
      to.set_term(from.term);
      to.set_request_term(from.request_term);
      to.set_pre_vote(from.pre_vote);
      to.set_granted(from.granted);
    });
  }
  void Prepare(const raft::AppendResponse& from) {
    Use<v1::AppendResponse>(field::kAppendResponse, [&](v1::AppendResponse& to) {
      to.set_term(from.term);
      to.set_accepted(from.accepted);
      to.set_match_index(from.match_index);
      to.set_hint_term(from.hint_term);
      to.set_rejected_prev(from.rejected_prev);
      to.set_applied(from.applied);
      to.set_round(from.round);
      to.set_transfer(from.transfer);
      to.set_priority(from.priority);
    });
  }
  void Prepare(const raft::TimeoutNow& from) {
    Use<v1::TimeoutNow>(field::kTimeoutNow, [&](v1::TimeoutNow& to) {
      to.set_term(from.term);
      to.set_transfer(from.transfer);
    });
  }
  void Prepare(const raft::SnapshotRequest& from) {
    Use<v1::SnapshotRequest>(field::kSnapshotRequest, [&](v1::SnapshotRequest& to) {
      to.set_term(from.term);
      ToSchema(from.snapshot, to.mutable_snapshot());
      to.set_offset(from.offset);
      to.set_round(from.round);
      if (from.data != nullptr) to.set_data(*from.data);
    });
  }
  void Prepare(const raft::SnapshotResponse& from) {
    Use<v1::SnapshotResponse>(field::kSnapshotResponse, [&](v1::SnapshotResponse& to) {
      to.set_term(from.term);
      to.set_index(from.index);
      to.set_offset(from.offset);
      to.set_round(from.round);
    });
  }
  void Prepare(const Hello& from) {
    Use<v1::Hello>(field::kHandshakeHello, [&](v1::Hello& to) {
      to.set_in(from.in);
      to.set_asserts_new(from.asserts_new);
      to.set_answer_wanted(from.answer_wanted);
      to.set_accepted_number(from.accepted_number);
      to.set_config_digest(from.config_digest);
      to.set_has_log(from.has_log);
      to.set_machine_version(from.machine_version);
      to.set_number(from.number);
      to.set_holds_commands(from.holds_commands);
    });
  }
  void Prepare(const BootstrapAccept& from) {
    Use<v1::BootstrapAccept>(field::kBootstrapAccept, [&](v1::BootstrapAccept& to) {
      to.set_proposal_high(from.proposal.high);
      to.set_proposal_low(from.proposal.low);
      to.set_number(from.number);
    });
  }
  void Prepare(const BootstrapStart& from) {
    Use<v1::BootstrapStart>(field::kBootstrapStart, [&](v1::BootstrapStart& to) {
      to.set_proposal_high(from.proposal.high);
      to.set_proposal_low(from.proposal.low);
      to.set_number(from.number);
    });
  }
  void Prepare(const BootstrapPropose& from) {
    Use<v1::BootstrapPropose>(field::kBootstrapPropose, [&](v1::BootstrapPropose& to) {
      to.set_proposal_high(from.proposal.high);
      to.set_proposal_low(from.proposal.low);
      std::string entry;
      SizedEntry(from.first).Put(3, &entry);
      to.MergeFromString(entry);
      to.set_invitation(from.invitation);
    });
  }
  void Prepare(const LostQuery& from) {
    Use<v1::LostQuery>(field::kLostQuery, [&](v1::LostQuery& to) {
      to.set_name(from.who.name);
      to.set_incarnation(from.who.incarnation);
    });
  }
  void Prepare(const Lost& from) {
    Use<v1::Lost>(field::kLost, [&](v1::Lost& to) {
      to.set_name(from.who.name);
      to.set_incarnation(from.who.incarnation);
    });
  }
  void Prepare(const NotAMember& from) {
    Use<v1::NotAMember>(field::kNotAMember, [&](v1::NotAMember& to) {
      to.set_reason(from.reason);
      to.set_removed(from.removed);
    });
  }
  void Prepare(const AttestationQuery&) {
    Use<v1::AttestationQuery>(field::kAttestationQuery, [](v1::AttestationQuery&) {});
  }
  void Prepare(const Attestation& from) {
    Use<v1::Attestation>(field::kAttestation,
                         [&](v1::Attestation& to) { ToSchema(from.what, to.mutable_what()); });
  }
  void Prepare(const ForwardClosed& from) {
    Use<v1::ForwardClosed>(field::kForwardClosed,
                           [&](v1::ForwardClosed& to) { to.set_origin(from.origin); });
  }

  void Prepare(const raft::AppendRequest& from) {
    append_ = &from;
    field_ = field::kAppendRequest;
    entries_.reserve(from.entries.size());
    for (const raft::Entry& entry : from.entries) {
      size_ += WithHeadSize(4, entries_.emplace_back(entry).size);
    }
    size_ += UintSize(1, from.term) + UintSize(2, from.prev_index) + UintSize(3, from.prev_term) +
             UintSize(5, from.commit) + UintSize(6, from.round) + UintSize(7, from.trim_through) +
             UintSize(8, from.transfer) + UintSize(9, from.durable);
  }
  void PutAppend(std::string* out) const {
    PutUint(1, append_->term, out);
    PutUint(2, append_->prev_index, out);
    PutUint(3, append_->prev_term, out);
    for (const SizedEntry& entry : entries_) entry.Put(4, out);
    PutUint(5, append_->commit, out);
    PutUint(6, append_->round, out);
    PutUint(7, append_->trim_through, out);
    PutUint(8, append_->transfer, out);
    PutUint(9, append_->durable, out);
  }

  // Forwarded elements are the client's own, in the same fields: appended to a string of their own,
  // as their sizes are not worth computing twice.
  void Prepare(const ForwardedRequests& from) {
    requests_ = &from;
    field_ = field::kForwardedRequests;
    for (const ClientRequest& request : from.requests) PutRequest(2, request, &elements_);
    size_ = UintSize(1, from.origin) + elements_.size();
  }
  void PutForwardedRequests(std::string* out) const {
    PutUint(1, requests_->origin, out);
    out->append(elements_);
  }
  void Prepare(const ForwardedReplies& from) {
    replies_ = &from;
    field_ = field::kForwardedReplies;
    for (const ClientReply& reply : from.message.replies) PutReply(2, reply, &elements_);
    for (const std::string& event : from.message.events) AppendEvent(event, &elements_);
    size_ = UintSize(1, from.origin) + WithHeadSize(2, elements_.size()) + UintSize(3, from.number);
  }
  void PutForwardedReplies(std::string* out) const {
    PutUint(1, replies_->origin, out);
    PutHead(2, elements_.size(), out);
    out->append(elements_);
    PutUint(3, replies_->number, out);
  }

  std::uint32_t field_ = 0;
  std::size_t size_ = 0;
  std::unique_ptr<google::protobuf::MessageLite> message_;
  const raft::AppendRequest* append_ = nullptr;
  std::vector<SizedEntry> entries_;
  const ForwardedRequests* requests_ = nullptr;
  const ForwardedReplies* replies_ = nullptr;
  std::string elements_;
};

}  // namespace

void AppendEnvelope(const Envelope& envelope, std::string* frame) {
  const PreparedBody body(envelope.body);
  PutHead(field::kElement,
          Fixed64Size(1, envelope.cluster.high) + Fixed64Size(2, envelope.cluster.low) +
              Fixed64Size(3, envelope.from.incarnation) + Fixed64Size(4, envelope.to.incarnation) +
              body.size(),
          frame);
  PutFixed64(1, envelope.cluster.high, frame);
  PutFixed64(2, envelope.cluster.low, frame);
  PutFixed64(3, envelope.from.incarnation, frame);
  PutFixed64(4, envelope.to.incarnation, frame);
  body.Put(frame);
}

}  // namespace tenure::wire
