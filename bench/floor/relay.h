// The floor's servers: a leader that forwards and a follower that acknowledges.
//
// Both run on one thread with one completion queue. No consensus, no state, no disk.
#ifndef TENURE_BENCH_FLOOR_RELAY_H_
#define TENURE_BENCH_FLOOR_RELAY_H_

#include <chrono>
#include <string>
#include <vector>

namespace tenure::bench::floor {

struct RelayOptions {
  int port = 0;  // 0: any free one
  std::chrono::microseconds spin{0};
};

// Both print `listening 127.0.0.1:PORT`, serve until SIGTERM or SIGINT (which the caller has
// blocked in all threads), and return the process's exit status.
int RunFollower(const RelayOptions& options);
int RunLeader(const RelayOptions& options, const std::vector<std::string>& followers);

}  // namespace tenure::bench::floor

#endif  // TENURE_BENCH_FLOOR_RELAY_H_
