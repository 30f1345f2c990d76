// What waits to be written to one stream: elements, coalesced into as few frames as their size
// allows.
#ifndef TENURE_TRANSPORT_GRPC_FRAME_QUEUE_H_
#define TENURE_TRANSPORT_GRPC_FRAME_QUEUE_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <deque>
#include <string>
#include <utility>

namespace tenure::grpc_transport {

class FrameQueue {
 public:
  // A frame takes further elements up to this size. One element alone may be larger.
  static constexpr std::size_t kFrameBytes = 256 << 10;
  static constexpr std::size_t kFrameElements = 16384;

  bool empty() const { return frames_.empty(); }
  std::size_t bytes() const { return bytes_; }
  std::size_t elements() const { return elements_; }

  // `encode(std::string* frame)` appends one element. Returns its size.
  template <typename Encode>
  std::size_t Append(Encode&& encode) {
    if (frames_.empty()) frames_.push_back({std::exchange(spare_, {}), 0});
    if (frames_.back().elements == kFrameElements) frames_.emplace_back();
    Frame& last = frames_.back();
    const std::size_t before = last.bytes.size();
    encode(&last.bytes);
    const std::size_t size = last.bytes.size() - before;
    bytes_ += size;
    ++elements_;
    ++last.elements;
    if (before != 0 && last.bytes.size() > kFrameBytes) Split(before);
    return size;
  }

  // An empty frame, which says no more than that the sender is there. Only into an empty queue.
  void AppendKeepAlive() { frames_.emplace_back(); }

  // Takes all that waits in `other`, behind what waits here.
  void Adopt(FrameQueue other);

  // The last element, of that size, is taken back.
  void Undo(std::size_t size);

  ::grpc::ByteBuffer TakeFrame();
  void Clear();

 private:
  struct Frame {
    std::string bytes;
    std::size_t elements = 0;
  };
  // Moves what stands behind `at` in the last frame into a frame of its own.
  void Split(std::size_t at);

  std::deque<Frame> frames_;
  std::size_t bytes_ = 0;
  std::size_t elements_ = 0;
  std::string spare_;  // keeps its memory from frame to frame
};

// The bytes of a message that was received. Valid as long as this lives.
class ReceivedFrame {
 public:
  // Consumes `buffer`.
  explicit ReceivedFrame(::grpc::ByteBuffer* buffer);
  bool ok() const { return ok_; }
  const char* data() const { return reinterpret_cast<const char*>(slice_.begin()); }
  std::size_t size() const { return slice_.size(); }

 private:
  ::grpc::Slice slice_;
  bool ok_ = false;
};

}  // namespace tenure::grpc_transport

#endif  // TENURE_TRANSPORT_GRPC_FRAME_QUEUE_H_
