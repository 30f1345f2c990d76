// One end of a bidirectional stream of byte buffers, as client or as server.
#ifndef TENURE_BENCH_FLOOR_DUPLEX_H_
#define TENURE_BENCH_FLOOR_DUPLEX_H_

#include <grpcpp/support/byte_buffer.h>

#include <functional>
#include <utility>

#include "bench/floor/loop.h"

namespace tenure::bench::floor {

// `Rpc` is one of gRPC's generic asynchronous reader-writers, already started. At most one Read
// and one Write are under way. All calls come from the loop's thread.
//
// Write first, then Read: in the other order HTTP/2 sends a window update of its own for every
// message, which doubles the system calls.
template <typename Rpc>
class Duplex {
 public:
  struct Handlers {
    std::function<void(grpc::ByteBuffer*)> on_frame;
    std::function<void()> on_failed;  // once, when nothing is under way any more
  };

  Duplex(Rpc* rpc, Handlers handlers) : rpc_(rpc), handlers_(std::move(handlers)) {}

  bool reading() const { return reading_; }
  bool writing() const { return writing_; }

  void Read() {
    if (failed_) return;
    reading_ = true;
    rpc_->Read(&incoming_, &read_);
  }

  void Write(const grpc::ByteBuffer& frame) {
    if (failed_) return;
    writing_ = true;
    rpc_->Write(frame, &written_);
  }

 private:
  void OnRead(bool ok) {
    reading_ = false;
    if (!ok) return Fail();
    handlers_.on_frame(&incoming_);
  }

  void OnWritten(bool ok) {
    writing_ = false;
    // A failed stream waits for both: their tags must not outlive it.
    if (!ok || failed_) Fail();
  }

  void Fail() {
    failed_ = true;
    if (!reading_ && !writing_) handlers_.on_failed();
  }

  Rpc* const rpc_;
  const Handlers handlers_;
  grpc::ByteBuffer incoming_;
  bool reading_ = false;
  bool writing_ = false;
  bool failed_ = false;
  Tag read_{[this](bool ok) { OnRead(ok); }};
  Tag written_{[this](bool ok) { OnWritten(ok); }};
};

}  // namespace tenure::bench::floor

#endif  // TENURE_BENCH_FLOOR_DUPLEX_H_
