#include "transport/grpc/frame_queue.h"

#include <grpcpp/support/slice.h>

#include <atomic>
#include <string>
#include <utility>

namespace tenure::grpc_transport {
namespace {

// Below this, copying into a slice is cheaper than giving up the string's memory.
constexpr std::size_t kCopyBelow = 16 << 10;

// Bytes that gRPC reads and lets go of, on whichever of its threads is the last. Its counting
// orders that; `lent` says so to the thread sanitizer, which cannot see into gRPC.
struct LentBytes {
  std::string bytes;
  std::atomic<bool> lent = false;

  static void Delete(void* self) {
    auto* const lent_bytes = static_cast<LentBytes*>(self);
    (void)lent_bytes->lent.load(std::memory_order_acquire);
    delete lent_bytes;
  }
};

}  // namespace

void FrameQueue::Split(std::size_t at) {
  Frame& last = frames_.back();
  Frame next{last.bytes.substr(at), 1};
  last.bytes = last.bytes.substr(0, at);  // gives the memory back as well
  --last.elements;
  frames_.push_back(std::move(next));
}

void FrameQueue::Undo(std::size_t size) {
  Frame& last = frames_.back();
  last.bytes.resize(last.bytes.size() - size);
  bytes_ -= size;
  --elements_;
  if (--last.elements == 0) frames_.pop_back();
}

void FrameQueue::Adopt(FrameQueue other) {
  for (Frame& frame : other.frames_) frames_.push_back(std::move(frame));
  bytes_ += other.bytes_;
  elements_ += other.elements_;
}

::grpc::ByteBuffer FrameQueue::TakeFrame() {
  Frame frame = std::move(frames_.front());
  frames_.pop_front();
  bytes_ -= frame.bytes.size();
  elements_ -= frame.elements;
  if (frame.bytes.size() < kCopyBelow) {
    const ::grpc::Slice slice(frame.bytes.data(), frame.bytes.size());
    frame.bytes.clear();
    if (frame.bytes.capacity() <= kCopyBelow) spare_ = std::move(frame.bytes);
    return ::grpc::ByteBuffer(&slice, 1);
  }
  auto* const owned = new LentBytes{std::move(frame.bytes)};
  const ::grpc::Slice slice(owned->bytes.data(), owned->bytes.size(), &LentBytes::Delete, owned);
  owned->lent.store(true, std::memory_order_release);
  return ::grpc::ByteBuffer(&slice, 1);
}

void FrameQueue::Clear() {
  frames_.clear();
  bytes_ = 0;
  elements_ = 0;
}

ReceivedFrame::ReceivedFrame(::grpc::ByteBuffer* buffer) {
  ok_ = buffer->TrySingleSlice(&slice_).ok() || buffer->DumpToSingleSlice(&slice_).ok();
  buffer->Clear();
}

}  // namespace tenure::grpc_transport
