// The gRPC transport: members that reach each other, and their clients, over TCP.
//
// Part of tenure::grpc. gRPC itself is a process's own affair, so this library changes nothing in
// it. A program may want to: gRPC writes its own warnings to stderr unless gpr_set_log_function()
// says otherwise, and Debian's Abseil checks every mutex for deadlocks, which costs 6 to 12 % of an
// operation's time, unless absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore) was
// called. Both hold for the whole process.
//
// There is no encryption and no authentication: whoever reaches the port may speak. Bind it to a
// network that is trusted.
#ifndef TENURE_GRPC_TRANSPORT_H_
#define TENURE_GRPC_TRANSPORT_H_

#include <cstddef>
#include <memory>

#include "absl/time/time.h"
#include "tenure/transport.h"

namespace tenure::grpc {

// Every limit is a bound on memory or time that a stranger, a slow client or a lost peer can cost.
struct TransportOptions {
  // How long to poll without sleeping after a turn that carried operations, at most. It hides the
  // cost of waking an idle core, for operations that follow each other closely; until a few have
  // done so it is 50 us. Zero turns it off. Never while idle.
  absl::Duration spin = absl::Microseconds(300);

  // The largest frame that is accepted. A frame above it ends its connection.
  std::size_t max_frame_bytes = 4 << 20;

  // Messages waiting for a peer; more is dropped, as a network would. While the peer is away, far
  // less.
  std::size_t peer_queue_bytes = 16 << 20;
  std::size_t peer_queue_messages = 16384;

  // Bytes waiting for a client that does not read; past it the connection is closed.
  std::size_t client_queue_bytes = 16 << 20;
  // Requests of one client that have no answer yet; more are refused with kOverloaded.
  std::size_t client_requests = 65536;

  // TCP connections from outside; more are closed at once.
  std::size_t max_connections = 4096;
  // Streams from peers; more are refused.
  std::size_t max_peer_streams = 256;

  // A connection that has not introduced itself by then is closed,
  absl::Duration hello_timeout = absl::Seconds(5);
  // and one that has sent no whole frame for so long (each side sends an empty one every 3 s).
  absl::Duration silence_timeout = absl::Seconds(15);
  // A stream whose write the network does not take for so long is closed.
  absl::Duration stall_timeout = absl::Seconds(5);

  // Waits between attempts to reach a peer: from the first to the last, doubling, with jitter.
  absl::Duration first_retry = absl::Milliseconds(50);
  absl::Duration last_retry = absl::Seconds(1);
  absl::Duration connect_timeout = absl::Seconds(2);
};

// Makes a transport with a Loop of its own, whose thread runs from now until the transport is
// destroyed: what is posted before Start() runs. From Start() to Stop() a second thread accepts
// connections and watches over them.
std::unique_ptr<Transport> NewTransport(TransportOptions options = {});

}  // namespace tenure::grpc

#endif  // TENURE_GRPC_TRANSPORT_H_
