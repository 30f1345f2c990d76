// One stream of frames, as client or as server: at most one Read and one Write under way, and what
// arrives meanwhile joins the next frame. All calls come from the loop's thread.
#ifndef TENURE_TRANSPORT_GRPC_FRAME_STREAM_H_
#define TENURE_TRANSPORT_GRPC_FRAME_STREAM_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "transport/grpc/frame_queue.h"
#include "transport/grpc/loop.h"

namespace tenure::grpc_transport {

// `Rpc` is one of gRPC's generic asynchronous reader-writers. A stream lives as long as it is
// resident, or somebody holds it.
//
// Write first, then Read: in the other order HTTP/2 sends a window update of its own for every
// message, which doubles the system calls. But a Read must be armed again soon: without one, no
// failure is seen.
template <typename Rpc>
class FrameStream : public Resident, public std::enable_shared_from_this<FrameStream<Rpc>> {
 public:
  explicit FrameStream(GrpcLoop* loop) : loop_(loop) {}
  FrameStream(const FrameStream&) = delete;
  FrameStream& operator=(const FrameStream&) = delete;
  virtual ~FrameStream() = default;

  GrpcLoop* loop() const { return loop_; }
  FrameQueue& outgoing() { return outgoing_; }
  bool writing() const { return writing_; }
  bool open() const { return open_ && !broken_; }
  std::uint64_t frames_written() const { return frames_written_; }

  // Whether the other side owes something, as far as is known. Counts when a frame has been read in
  // a burst: where nothing is owed, reading again can wait for the next write of ours.
  enum class Owed : bool { kNothing, kPerhaps };
  void set_owed(Owed owed) { owed_ = owed; }

  // Writes a frame at the end of this turn, or at once if it has much by now, if none is under way.
  // So what a long turn makes is worked on elsewhere while the turn goes on.
  void FlushSoon() {
    if (outgoing_.elements() >= kManyElements) Flush();
    if (flush_pending_) return;
    flush_pending_ = true;
    loop_->Defer([self = this->shared_from_this()] {
      self->flush_pending_ = false;
      self->Flush();
    });
  }

 protected:
  // The frame is the callee's.
  virtual void OnFrame(::grpc::ByteBuffer* frame) = 0;
  // Once: something failed, and neither Read nor Write is under way any more.
  virtual void OnBroken() = 0;

  // From now on there is something to read and write on.
  void Open(Rpc* rpc) {
    rpc_ = rpc;
    open_ = true;
    Read();
    FlushSoon();
  }
  // Starts nothing any more. What is under way comes back when the call was cancelled.
  void Break() {
    broken_ = true;
    outgoing_.Clear();
  }
  bool idle() const { return !reading_ && !writing_; }

 private:
  static constexpr std::size_t kLongFrameBytes = 2048;
  static constexpr std::size_t kManyElements = 256;

  void Flush() {
    if (!open() || writing_ || outgoing_.empty()) return;
    writing_ = true;
    ++frames_written_;
    rpc_->Write(outgoing_.TakeFrame(), &written_);
    if (read_pending_) Read();
  }

  void Read() {
    read_pending_ = false;
    if (!open() || reading_) return;
    reading_ = true;
    rpc_->Read(&incoming_, &read_);
  }

  void OnRead(bool ok) {
    reading_ = false;
    if (!ok || broken_) return Lost();
    const std::size_t bytes = incoming_.Length();
    read_pending_ = true;  // with a write that the frame leads to at once, if it does
    OnFrame(&incoming_);
    if (read_pending_ && open()) ReadSoon(bytes);
  }

  // Reads again with the next write, or after a while; before the loop sleeps, if something may be
  // on its way. After a long frame, of that many bytes, at the end of this turn: more is likely to
  // come, and worth a window update.
  void ReadSoon(std::size_t bytes) {
    if (bytes >= kLongFrameBytes) {
      loop_->Defer([self = this->shared_from_this()] {
        if (self->read_pending_) self->Read();
      });
    } else if (owed_ == Owed::kNothing && loop_->InBurst()) {
      Arm(&read_lazily_, &GrpcLoop::DeferForLong);
    } else {
      Arm(&read_deferred_, &GrpcLoop::DeferBriefly);
    }
  }

  // Once until it has happened, however often it is asked for.
  void Arm(bool* asked, void (GrpcLoop::*defer)(GrpcLoop::Work)) {
    if (std::exchange(*asked, true)) return;
    (loop_->*defer)([asked, self = this->shared_from_this()] {
      *asked = false;
      if (self->read_pending_) self->Read();
    });
  }

  void OnWritten(bool ok) {
    writing_ = false;
    if (!ok || broken_) return Lost();
    if (!outgoing_.empty()) FlushSoon();
  }

  void Lost() {
    Break();
    if (idle()) OnBroken();
  }

  GrpcLoop* const loop_;
  Rpc* rpc_ = nullptr;
  FrameQueue outgoing_;
  ::grpc::ByteBuffer incoming_;
  bool open_ = false;
  bool broken_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool read_pending_ = false;   // wanted, and not armed yet
  bool read_deferred_ = false;  // the loop will see to it soon
  bool read_lazily_ = false;    // the loop will see to it in time
  Owed owed_ = Owed::kPerhaps;
  bool flush_pending_ = false;
  std::uint64_t frames_written_ = 0;
  Tag read_{[this](bool ok) { OnRead(ok); }};
  Tag written_{[this](bool ok) { OnWritten(ok); }};
};

}  // namespace tenure::grpc_transport

#endif  // TENURE_TRANSPORT_GRPC_FRAME_STREAM_H_
