// The way to one peer: a stream that is opened again whenever it is lost, and what waits for it.
#ifndef TENURE_TRANSPORT_GRPC_PEER_LINK_H_
#define TENURE_TRANSPORT_GRPC_PEER_LINK_H_

#include <cstdint>
#include <memory>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tenure/transport.h"
#include "transport/grpc/client_stream.h"

namespace tenure::grpc_transport {

// On its loop only.
class PeerLink {
 public:
  struct Options {
    ClientStream::Options stream;
    absl::Duration first_retry = absl::Milliseconds(50);
    absl::Duration last_retry = absl::Seconds(1);
    // What waits for a connected peer, at most; more is dropped.
    std::size_t queue_bytes = 16 << 20;
    std::size_t queue_messages = 16384;
    std::size_t max_message_bytes = 4 << 20;
    std::size_t max_frame_bytes = 4 << 20;
  };
  // While the peer is away only so much is kept, and the newest: older messages have had their
  // time.
  static constexpr std::size_t kKeptWhileAway = 64;
  static constexpr std::size_t kKeptBytesWhileAway = 1 << 20;

  // What the peer says on the stream that was opened to it: its answers, mostly. Never called from
  // inside a method of this class.
  using OnEnvelopes = std::function<void(const MemberId& from, std::vector<Envelope>)>;

  PeerLink(GrpcLoop* loop, MemberId self, Peer peer, const Options& options,
           OnEnvelopes on_envelopes);
  ~PeerLink();

  const Peer& peer() const { return peer_; }
  void Send(const Envelope& envelope);
  // The peer has just been heard of: if we wait before trying again, wait no longer.
  void TryNow();

  bool connected() const { return connected_; }
  std::uint64_t dropped() const { return dropped_; }
  std::size_t queued_bytes() { return stream_ == nullptr ? 0 : stream_->outgoing().bytes(); }

 private:
  void Connect();
  void OnFrame(const ReceivedFrame& bytes);
  absl::Status TakeFrame(const ReceivedFrame& bytes);
  void OnClosed();
  bool MakeRoom();
  // Whether the peer still owes an answer on this stream decides how soon it is read again.
  void NoteAsked(const Envelope& envelope);
  void NoteAnswer(const Envelope& envelope);

  GrpcLoop* const loop_;
  const MemberId self_;
  const Peer peer_;
  const Options options_;
  const OnEnvelopes on_envelopes_;
  MemberId speaker_;  // who answered on the present stream; empty before its hello
  std::shared_ptr<ClientStream> stream_;  // null while waiting to try again
  FrameQueue away_;                       // what was sent meanwhile
  bool connected_ = false;
  std::uint64_t asked_index_ = 0;  // by the last append request of this stream
  std::uint64_t asked_round_ = 0;
  bool forwards_ = false;  // to it: replies and events come when they come
  int failures_ = 0;
  std::uint64_t dropped_ = 0;
  TimerHandle retry_;
  std::minstd_rand jitter_;
};

}  // namespace tenure::grpc_transport

#endif  // TENURE_TRANSPORT_GRPC_PEER_LINK_H_
