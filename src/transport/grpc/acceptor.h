// The listening socket, and a guard over what comes in through it.
//
// gRPC checks a message's size only once it holds the whole message, and never gives up on a
// connection that says nothing or sends a frame without an end. So connections are accepted here
// and handed to gRPC, and a duplicate of each socket is kept: by it the kernel tells how much
// arrived, and by it a connection can be ended whatever gRPC makes of it.
#ifndef TENURE_TRANSPORT_GRPC_ACCEPTOR_H_
#define TENURE_TRANSPORT_GRPC_ACCEPTOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/types.h"

namespace tenure::grpc_transport {

// One accepted connection. The streams on it report here, from the loop's thread.
class Connection {
 public:
  // A whole frame has arrived.
  void NoteFrame() { frames_.fetch_add(1, std::memory_order_relaxed); }
  // A stream has introduced itself, or has ended.
  void AddStream(int change) { streams_.fetch_add(change, std::memory_order_relaxed); }
  // It is a peer's that has introduced itself.
  void NotePeer() { peer_.store(true, std::memory_order_relaxed); }

 private:
  friend class Acceptor;

  std::atomic<std::uint64_t> frames_{0};
  std::atomic<int> streams_{0};
  std::atomic<bool> peer_{false};

  // The acceptor's thread only.
  int watched_ = -1;       // the duplicate
  Instant useless_since_;  // without a stream
  bool was_useful_ = false;
  std::uint64_t frames_seen_ = 0;
  std::uint64_t bytes_seen_ = 0;  // received when frames_seen_ changed last
  std::uint64_t unfinished_ = 0;  // received since
};

class Acceptor {
 public:
  struct Limits {
    std::size_t connections = 4096;
    // A connection without a stream that has introduced itself is closed after so long.
    absl::Duration handshake_timeout = absl::Seconds(5);
    // Bytes received and not yet part of a whole frame: on one connection, and on all together.
    std::uint64_t unfinished_bytes = 10 << 20;
    std::uint64_t all_unfinished_bytes = 64 << 20;
  };

  // Binds. `on_accepted` gets each new socket, which it owns, on the acceptor's own thread.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Listen(const std::string& address, Limits limits,
                                                          std::function<void(int fd)> on_accepted);
  ~Acceptor();

  // With the port that the system chose.
  const std::string& bound_address() const { return bound_address_; }

  // The connection of the socket that `on_accepted` got. Null if it is gone.
  std::shared_ptr<Connection> Find(int fd);

  // Begins to accept. The thread ends with Stop, which may be called twice.
  void Start();
  // No connection is accepted any more, and all that are left are ended.
  void Stop();

 private:
  Acceptor(Limits limits, std::function<void(int fd)> on_accepted);
  absl::Status Bind(const std::string& address);
  void Run();
  void AcceptAll();
  void Accepted(int fd);
  void Watch();
  bool Inspect(Connection& connection, Instant now);
  void EndLargest();
  absl::Duration Interval() const;

  const Limits limits_;
  const std::function<void(int fd)> on_accepted_;
  std::string bound_address_;
  int listening_ = -1;
  int wake_ = -1;  // an eventfd that Stop writes to

  std::mutex mutex_;
  std::unordered_map<int, std::shared_ptr<Connection>> connections_;  // by gRPC's socket
  bool hurry_ = false;       // some connection has much unfinished
  bool peers_only_ = false;  // all connections are peers'
  std::thread thread_;
};

}  // namespace tenure::grpc_transport

#endif  // TENURE_TRANSPORT_GRPC_ACCEPTOR_H_
