// One stream of frames, as client or as server: at most one Read and one Write under way, and what
// arrives meanwhile joins the next frame. All calls come from the loop's thread.
#ifndef TENURE_TRANSPORT_GRPC_FRAME_STREAM_H_
#define TENURE_TRANSPORT_GRPC_FRAME_STREAM_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>

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
  // The frame is the callee's. Further frames come once ReadSoon was called.
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

  // Reads again with the next write, or before the loop sleeps, or after a while. After a long
  // frame, of that many bytes, at the end of this turn: more is likely on its way, and worth a
  // window update.
  void ReadSoon(std::size_t bytes) {
    read_pending_ = true;
    if (bytes >= kLongFrameBytes) {
      loop_->Defer([self = this->shared_from_this()] {
        if (self->read_pending_) self->Read();
      });
      return;
    }
    if (read_deferred_) return;
    read_deferred_ = true;
    loop_->DeferForLong([self = this->shared_from_this()] {
      self->read_deferred_ = false;
      if (self->read_pending_) self->Read();
    });
  }

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
    if (ok && !broken_) {
      OnFrame(&incoming_);
      return;
    }
    Lost();
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
  bool read_deferred_ = false;  // the loop will see to it in time
  bool flush_pending_ = false;
  std::uint64_t frames_written_ = 0;
  Tag read_{[this](bool ok) { OnRead(ok); }};
  Tag written_{[this](bool ok) { OnWritten(ok); }};
};

}  // namespace tenure::grpc_transport

#endif  // TENURE_TRANSPORT_GRPC_FRAME_STREAM_H_
