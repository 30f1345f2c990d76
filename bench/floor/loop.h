// One completion queue, polled by one thread, that spins for a moment before it blocks.
#ifndef TENURE_BENCH_FLOOR_LOOP_H_
#define TENURE_BENCH_FLOOR_LOOP_H_

#include <grpcpp/completion_queue.h>

#include <chrono>
#include <functional>
#include <utility>

namespace tenure::bench::floor {

// What a gRPC operation's tag points to. It must stay where it is until its event has arrived.
class Tag {
 public:
  explicit Tag(std::function<void(bool ok)> on_event) : on_event_(std::move(on_event)) {}
  Tag(const Tag&) = delete;
  Tag& operator=(const Tag&) = delete;

  void Fire(bool ok) { on_event_(ok); }

 private:
  std::function<void(bool ok)> on_event_;
};

class Loop {
 public:
  // Well above a round trip. With little more than one, a slow moment makes everybody block, and
  // the time to wake up again makes the next round trip too long as well: it never recovers.
  static constexpr std::chrono::microseconds kDefaultSpin{200};

  Loop(grpc::CompletionQueue* queue, std::chrono::microseconds spin) : queue_(queue), spin_(spin) {}

  // Waits for an event and fires it. False once the queue is shut down and empty.
  //
  // One event a turn: draining the queue first would cost an empty poll in each process of a round
  // trip, and what arrives during a Write joins the next frame in any case.
  bool Turn();

  // Shuts the queue down and swallows what is left. Whoever waits for a tag will not hear of it.
  void Drain();

 private:
  bool Wait(void** tag, bool* ok);

  grpc::CompletionQueue* const queue_;
  const std::chrono::microseconds spin_;
};

}  // namespace tenure::bench::floor

#endif  // TENURE_BENCH_FLOOR_LOOP_H_
