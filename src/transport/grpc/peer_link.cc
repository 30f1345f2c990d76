#include "transport/grpc/peer_link.h"

#include <algorithm>
#include <utility>

#include "transport/wire.h"

namespace tenure::grpc_transport {

PeerLink::PeerLink(GrpcLoop* loop, MemberId self, Peer peer, const Options& options)
    : loop_(loop),
      self_(std::move(self)),
      peer_(std::move(peer)),
      options_(options),
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
  stream_ = ClientStream::Connect(
      loop_, peer_.address, kPeerMethod, options_.stream,
      {.on_open =
           [this] {
             connected_ = true;
             stream_->FlushSoon();
           },
       .on_frame = [](const ReceivedFrame&) {},  // a later version may answer; this one does not
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
  if (connected_) stream_->FlushSoon();
}

}  // namespace tenure::grpc_transport
