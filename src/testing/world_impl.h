#ifndef TENURE_TESTING_WORLD_IMPL_H_
#define TENURE_TESTING_WORLD_IMPL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "raft/prng.h"
#include "tenure/testing/world.h"
#include "testing/disk_impl.h"
#include "testing/event_queue.h"
#include "testing/network_impl.h"
#include "testing/trace.h"
#include "testing/virtual_clocks.h"
#include "testing/virtual_loop.h"
#include "testing/virtual_transport.h"

namespace tenure::testing {

class WorldImpl {
 public:
  explicit WorldImpl(std::uint64_t seed)
      : random(seed), test_random(random.Next()), network(events, trace, random.Next()) {}

  EventQueue events;
  Trace trace;
  raft::Prng random;  // seeds the others, and what belongs to nobody
  raft::Prng test_random;
  NetworkImpl network;
  VirtualNetwork network_handle{network};
  std::vector<std::unique_ptr<VirtualNode>> nodes;
};

class NodeImpl {
 public:
  NodeImpl(WorldImpl& owner, absl::string_view node_name, std::uint64_t number);

  WorldImpl& world;
  const std::string name;
  const std::uint64_t index;
  const Address address;  // of clients that live here
  VirtualClocks clocks;
  std::shared_ptr<DiskImpl> disk;
  VirtualDisk disk_handle{*disk};
  // The last is the process that runs; the others are killed ones, which may still be asked the
  // time.
  std::vector<std::unique_ptr<VirtualLoop>> loops;
  std::shared_ptr<Endpoint> endpoint;  // of the transport that this process made last
  std::int64_t turn_cost_ns = 0;
  bool suspended = false;
  std::int64_t drift_before_suspend = 0;

  VirtualLoop& loop() { return *loops.back(); }
  void NewLoop();
  VirtualClock& clock(Clock which) {
    return which == Clock::kBoottime ? clocks.boottime : clocks.monotonic_raw;
  }
};

}  // namespace tenure::testing

#endif  // TENURE_TESTING_WORLD_IMPL_H_
