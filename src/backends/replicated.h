// The Backend of a replicated cluster: finds the leader over Links, follows it, sends again what is
// safe to send again, and carries all sessions of a process over one connection. Remote clients use
// it over gRPC streams, a member's own process over a port into its member, tests over virtual
// connections.
#ifndef TENURE_BACKENDS_REPLICATED_H_
#define TENURE_BACKENDS_REPLICATED_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tenure/backend.h"
#include "tenure/loop.h"
#include "transport/link.h"

namespace tenure::backends {

struct ReplicatedOptions {
  // Where to look for the leader: tried in turn, after whoever was named as leader.
  std::vector<std::string> endpoints;
  // A connection that owes answers and has been silent for so long is given up for another: it
  // covers a paused leader. More than the longest election timeout, so that it does not fire at
  // each fail-over.
  absl::Duration silence_max = absl::Seconds(1);
  // Between two attempts to find a leader: doubled from the first to the second, with jitter.
  absl::Duration backoff_min = absl::Milliseconds(20);
  absl::Duration backoff_max = absl::Milliseconds(200);
  // Calls under way; past it they are refused with kResourceExhausted.
  std::size_t calls_max = 65536;
  // How long destruction waits for answers to closes and unlocks that were sent already, if a
  // member is connected. Zero on virtual time.
  absl::Duration linger = absl::Milliseconds(300);
  std::uint64_t seed = 1;  // of the jitter
};

// `loop` is where the engine lives; it is destroyed with the last reference to the backend, never
// on its own thread. What `factory` refers to must live as long as `loop`.
std::shared_ptr<Backend> NewReplicatedBackend(std::shared_ptr<Loop> loop, LinkFactory factory,
                                              const ReplicatedOptions& options);

}  // namespace tenure::backends

#endif  // TENURE_BACKENDS_REPLICATED_H_
