#include "transport/grpc/peer_link.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "transport/wire.h"

namespace tenure::grpc_transport {

PeerLink::PeerLink(GrpcLoop* loop, MemberId self, Peer peer, const Options& options,
                   OnEnvelopes on_envelopes)
    : loop_(loop),
      self_(std::move(self)),
      peer_(std::move(peer)),
      options_(options),
      on_envelopes_(std::move(on_envelopes)),
      // Members that lost the same peer do not all come back at once.
      jitter_(static_cast<std::uint32_t>(self_.incarnation ^ (self_.incarnation >> 32))) {
  Connect();
}

PeerLink::~PeerLink() {
  if (stream_ != nullptr) stream_->Close();
}

void PeerLink::Connect() {
  retry_.Cancel();
  connected_ = false;
  speaker_ = {};
  asked_index_ = 0;
  asked_round_ = 0;
  forwards_ = false;
  stream_ =
      ClientStream::Connect(loop_, peer_.address, kPeerMethod, options_.stream,
                            {.on_open =
                                 [this] {
                                   connected_ = true;
                                   stream_->FlushSoon();
                                 },
                             .on_frame = [this](const ReceivedFrame& bytes) { OnFrame(bytes); },
                             .on_closed = [this](const absl::Status&) { OnClosed(); }});
  stream_->outgoing().Append([this](std::string* frame) {
    wire::AppendHello(
        wire::PeerHello{
            .from_name = self_.name, .from_incarnation = self_.incarnation, .to_name = peer_.name},
        frame);
  });
  if (!away_.empty()) stream_->outgoing().Adopt(std::move(away_));
  away_.Clear();
}

void PeerLink::OnFrame(const ReceivedFrame& bytes) {
  if (absl::Status status = TakeFrame(bytes); !status.ok()) stream_->Fail(std::move(status));
}

absl::Status PeerLink::TakeFrame(const ReceivedFrame& bytes) {
  if (bytes.size() > options_.max_frame_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("a frame of ", bytes.size(), " bytes"));
  }
  absl::StatusOr<wire::PeerFrame> frame = wire::ParsePeerFrame({bytes.data(), bytes.size()});
  if (!frame.ok()) return frame.status();
  if (frame->hello.has_value()) {
    if (!speaker_.empty()) return absl::InvalidArgumentError("a second hello");
    if (frame->hello->from_name != peer_.name || frame->hello->from_incarnation == 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("at ", peer_.address, " is not ", peer_.name));
    }
    speaker_ = {frame->hello->from_name, frame->hello->from_incarnation};
  }
  if (frame->envelopes.empty()) return absl::OkStatus();
  for (const Envelope& envelope : frame->envelopes) {
    // A stream speaks for one incarnation: nothing of another's may be counted as its.
    if (speaker_.empty() || envelope.from.incarnation != speaker_.incarnation) {
      return absl::InvalidArgumentError("a message of another incarnation than the stream's");
    }
    NoteAnswer(envelope);
  }
  on_envelopes_(speaker_, std::move(frame->envelopes));
  return absl::OkStatus();
}

void PeerLink::OnClosed() {
  // What was connected for a while starts over with short waits.
  failures_ = stream_->frames_written() > 1 ? 0 : failures_ + 1;
  connected_ = false;
  stream_ = nullptr;
  absl::Duration wait = options_.first_retry * (1 << std::min(failures_, 8));
  wait = std::min(wait, options_.last_retry);
  wait *= std::uniform_real_distribution<double>(0.5, 1.0)(jitter_);
  retry_ = loop_->At(loop_->Now() + wait, [this] { Connect(); });
}

void PeerLink::TryNow() {
  if (stream_ == nullptr) Connect();
}

void PeerLink::NoteAsked(const Envelope& envelope) {
  const auto* message = std::get_if<raft::Message>(&envelope.body);
  const auto* append = message == nullptr ? nullptr : std::get_if<raft::AppendRequest>(message);
  if (append == nullptr) {
    forwards_ = forwards_ || std::holds_alternative<Forward>(envelope.body);
    if (stream_ != nullptr) stream_->set_owed(ClientStream::Owed::kPerhaps);
    return;
  }
  asked_index_ = append->prev_index + append->entries.size();
  asked_round_ = append->round;
}

void PeerLink::NoteAnswer(const Envelope& envelope) {
  const auto* message = std::get_if<raft::Message>(&envelope.body);
  const auto* answer = message == nullptr ? nullptr : std::get_if<raft::AppendResponse>(message);
  if (answer == nullptr) return;
  const bool even = answer->accepted && answer->match_index >= asked_index_ &&
                    answer->round >= asked_round_ && !forwards_;
  stream_->set_owed(even ? ClientStream::Owed::kNothing : ClientStream::Owed::kPerhaps);
}

bool PeerLink::MakeRoom() {
  FrameQueue& queue = stream_ == nullptr ? away_ : stream_->outgoing();
  if (connected_) {
    return queue.elements() < options_.queue_messages && queue.bytes() < options_.queue_bytes;
  }
  // The hello at the head of a stream that is being opened must stay: then drop this one instead.
  const bool full = queue.elements() >= kKeptWhileAway || queue.bytes() >= kKeptBytesWhileAway;
  if (full && stream_ == nullptr) {
    dropped_ += queue.elements();
    queue.Clear();
    return true;
  }
  return !full;
}

void PeerLink::Send(const Envelope& envelope) {
  if (!MakeRoom()) {
    ++dropped_;
    return;
  }
  FrameQueue& queue = stream_ == nullptr ? away_ : stream_->outgoing();
  const std::size_t size =
      queue.Append([&](std::string* frame) { wire::AppendEnvelope(envelope, frame); });
  if (size > options_.max_message_bytes) {  // the peer would take offence
    queue.Undo(size);
    ++dropped_;
    return;
  }
  NoteAsked(envelope);
  if (connected_) stream_->FlushSoon();
}

}  // namespace tenure::grpc_transport
