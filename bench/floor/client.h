// The floor's clients: the fastest ways we know to ask over one stream.
//
// Both end the process with a line on stderr when the stream breaks: a benchmark has no use for
// half a run.
#ifndef TENURE_BENCH_FLOOR_CLIENT_H_
#define TENURE_BENCH_FLOOR_CLIENT_H_

#include <grpcpp/alarm.h>
#include <grpcpp/generic/generic_stub.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/floor/duplex.h"
#include "bench/floor/floor.pb.h"
#include "bench/floor/loop.h"

namespace tenure::bench::floor {

// A stream to the leader, and the queue it needs.
class Connection {
 public:
  using Rpc = grpc::GenericClientAsyncReaderWriter;

  // Returns when the stream is up.
  Connection(const std::string& address, std::chrono::microseconds spin,
             std::function<void(grpc::ByteBuffer*)> on_frame);
  ~Connection();

  Loop& loop() { return loop_; }
  grpc::CompletionQueue* queue() { return &queue_; }
  Duplex<Rpc>& duplex() { return *duplex_; }

 private:
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  Loop loop_;
  std::unique_ptr<Rpc> rpc_;
  std::optional<Duplex<Rpc>> duplex_;
};

// One operation at a time: the blocked caller polls the queue itself, no other thread takes part.
class DirectClient {
 public:
  DirectClient(const std::string& address, std::chrono::microseconds spin);

  void Call(std::string_view payload);

 private:
  void OnFrame(grpc::ByteBuffer* buffer);

  Frame frame_;
  ReplyFrame replies_;
  bool answered_ = false;
  Connection connection_;  // last, so that it is gone before what its events touch
};

// Many operations at a time: one thread does all input and output. One frame is in flight;
// operations that arrive meanwhile join the next.
class SharedClient {
 public:
  class Callback {
   public:
    virtual ~Callback() = default;
    // On the client's thread; may Submit again. All replies of a frame arrived at the same time.
    virtual void OnReply(const std::string& payload,
                         std::chrono::steady_clock::time_point arrived) = 0;
  };

  SharedClient(const std::string& address, std::chrono::microseconds spin);
  ~SharedClient();

  // Blocks until the reply is there; any number of threads.
  void Call(std::string_view payload);

  void Submit(std::string_view payload, Callback* callback);

 private:
  // The operations of one frame. `done` is the futex on which all its blocking callers wait: one
  // wake serves them all. `readers` says who still needs the replies.
  struct Batch {
    uint64_t first_id = 0;
    Frame frame;
    std::vector<Callback*> callbacks;  // of each operation; null: a blocking caller
    ReplyFrame replies;
    std::atomic<uint32_t> readers{0};
    std::atomic<uint32_t> done{0};
  };

  void Run();
  void OnFrame(grpc::ByteBuffer* buffer);
  void WriteNext();
  // Adds to the next batch. True if the thread needs a Wake.
  bool AddLocked(std::string_view payload, Callback* callback);
  void Wake();
  Batch* FreeBatch();

  std::mutex mutex_;
  Batch* next_ = nullptr;       // guarded by mutex_
  bool asleep_ = false;         // guarded by mutex_: nothing in flight, nothing to write
  bool alarm_pending_ = false;  // guarded by mutex_
  bool stopping_ = false;       // guarded by mutex_
  uint64_t next_id_ = 1;        // guarded by mutex_
  Batch* in_flight_ = nullptr;
  std::deque<std::unique_ptr<Batch>> batches_;
  grpc::Alarm alarm_;
  Tag woken_;
  Connection connection_;
  std::thread thread_;
};

}  // namespace tenure::bench::floor

#endif  // TENURE_BENCH_FLOOR_CLIENT_H_
