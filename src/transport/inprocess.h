// The in-process transport's other end: a client's connection to a member, without sockets.
#ifndef TENURE_TRANSPORT_INPROCESS_H_
#define TENURE_TRANSPORT_INPROCESS_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "tenure/loop.h"
#include "tenure/transport.h"

namespace tenure {

// What an InProcessClient calls, on its Loop only; never from inside ConnectInProcess or Send.
class InProcessClientSink {
 public:
  virtual ~InProcessClientSink() = default;
  virtual void OnConnected() = 0;
  virtual void OnMessage(ServerMessage message) = 0;
  // The last call. What was sent and not answered may or may not have arrived.
  virtual void OnClosed(absl::Status why) = 0;
};

// Made, used and destroyed on its Loop; destroying it closes the connection, and the sink is not
// called any more. The network outlives it.
class InProcessClient {
 public:
  virtual ~InProcessClient() = default;
  // May be called before OnConnected.
  virtual void Send(std::vector<ClientRequest> requests) = 0;
};

// Connects to whoever has the address `to`: OnConnected follows, or OnClosed. A cut (SetLink)
// between `from` and `to` breaks the connection at the next frame.
std::unique_ptr<InProcessClient> ConnectInProcess(InProcessNetwork& network, Loop& loop,
                                                  absl::string_view from, absl::string_view to,
                                                  InProcessClientSink* sink);

}  // namespace tenure

#endif  // TENURE_TRANSPORT_INPROCESS_H_
