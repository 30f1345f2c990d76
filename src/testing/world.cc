#include "tenure/testing/world.h"

#include <utility>

#include "testing/random.h"
#include "testing/world_impl.h"

namespace tenure::testing {

// ---- Node
// -----------------------------------------------------------------------------------------

NodeImpl::NodeImpl(WorldImpl& owner, absl::string_view node_name, std::uint64_t number)
    : world(owner),
      name(node_name),
      index(number),
      address(owner.network.Intern(node_name)),
      disk(std::make_shared<DiskImpl>(owner.events, owner.trace, owner.random.Next(), number)) {
  NewLoop();
}

void NodeImpl::NewLoop() {
  loops.push_back(std::make_unique<VirtualLoop>(world.events, world.trace, clocks, index));
  loop().set_turn_cost_ns(turn_cost_ns);
}

VirtualNode::VirtualNode(std::unique_ptr<NodeImpl> impl) : impl_(std::move(impl)) {}
VirtualNode::~VirtualNode() = default;

const std::string& VirtualNode::name() const { return impl_->name; }
Loop& VirtualNode::loop() { return impl_->loop(); }

std::unique_ptr<Transport> VirtualNode::NewTransport() {
  impl_->endpoint = std::make_shared<Endpoint>();
  impl_->endpoint->loop = &impl_->loop();
  return std::make_unique<VirtualTransport>(impl_->world.network, impl_->endpoint);
}

std::unique_ptr<Storage> VirtualNode::NewStorage() {
  return impl_->disk->NewStorage(impl_->loop());
}

void VirtualNode::Pause() { impl_->loop().Pause(); }

void VirtualNode::Suspend() {
  if (impl_->suspended) return;
  impl_->suspended = true;
  VirtualClock& clock = impl_->clocks.monotonic_raw;
  impl_->drift_before_suspend = clock.drift();
  clock.SetDrift(impl_->world.events.now_ns(), VirtualClock::kStandstill);
  Pause();
}

void VirtualNode::Resume() {
  if (std::exchange(impl_->suspended, false)) {
    impl_->clocks.monotonic_raw.SetDrift(impl_->world.events.now_ns(), impl_->drift_before_suspend);
  }
  impl_->loop().Resume();
}

bool VirtualNode::paused() const { return impl_->loop().paused(); }

void VirtualNode::Kill() {
  if (!alive()) return;
  impl_->world.trace.Mix(impl_->world.events.now_ns(), impl_->index);
  impl_->loop().Kill();
  if (impl_->endpoint != nullptr) impl_->world.network.Unlisten(*impl_->endpoint);
  impl_->endpoint = nullptr;
  impl_->world.network.CloseClientsOf(impl_->loop());
  impl_->disk->Crash();
}

void VirtualNode::Restart() {
  if (!alive()) impl_->NewLoop();
}

bool VirtualNode::alive() const { return !impl_->loop().dead(); }
NodeImpl& VirtualNode::impl() { return *impl_; }
VirtualDisk& VirtualNode::disk() { return impl_->disk_handle; }

void VirtualNode::SetClockDrift(Clock clock, double drift) {
  impl_->clock(clock).SetDrift(impl_->world.events.now_ns(),
                               static_cast<std::int64_t>(drift * 1e9));
  impl_->loop().ClocksChanged();
}

void VirtualNode::JumpClock(Clock clock, absl::Duration by) {
  impl_->clock(clock).Jump(impl_->world.events.now_ns(), absl::ToInt64Nanoseconds(by));
  impl_->loop().ClocksChanged();
}

void VirtualNode::SetTurnCost(absl::Duration cost) {
  impl_->turn_cost_ns = absl::ToInt64Nanoseconds(cost);
  impl_->loop().set_turn_cost_ns(impl_->turn_cost_ns);
}

// ---- World
// ----------------------------------------------------------------------------------------

World::World(std::uint64_t seed) : impl_(std::make_unique<WorldImpl>(seed)) {}

World::~World() {
  // First whatever may refer to the network and to other loops.
  for (const auto& node : impl_->nodes) node->impl().loop().Kill();
  impl_->events.Clear();
}

VirtualNode& World::AddNode(absl::string_view name, const NodeOptions& options) {
  auto impl = std::make_unique<NodeImpl>(*impl_, name, impl_->nodes.size());
  impl->disk->options = options.disk;
  // A machine has been up for up to a month, and asleep for some of that.
  const std::int64_t up = DrawNs(impl_->random, absl::Seconds(1), absl::Hours(24 * 30));
  const std::int64_t awake = DrawNs(impl_->random, absl::Seconds(1), absl::Nanoseconds(up));
  const Instant start = options.clocks.value_or(Instant::FromReadings(up, awake));
  impl->clocks.boottime.Start(impl_->events.now_ns(), start.boottime_ns());
  impl->clocks.monotonic_raw.Start(impl_->events.now_ns(), start.monotonic_raw_ns());
  impl_->nodes.push_back(std::unique_ptr<VirtualNode>(new VirtualNode(std::move(impl))));
  VirtualNode& node = *impl_->nodes.back();
  node.SetTurnCost(options.turn_cost);
  return node;
}

VirtualNetwork& World::network() { return impl_->network_handle; }

absl::Duration World::now() const { return absl::Nanoseconds(impl_->events.now_ns()); }

void World::After(absl::Duration delay, absl::AnyInvocable<void()> event) {
  impl_->events.Add(impl_->events.now_ns() + absl::ToInt64Nanoseconds(delay), std::move(event));
}

bool World::Step() { return impl_->events.RunNext(VirtualClock::kNever); }

void World::RunFor(absl::Duration duration) {
  const std::int64_t until = impl_->events.now_ns() + absl::ToInt64Nanoseconds(duration);
  while (impl_->events.RunNext(until)) {
  }
  impl_->events.AdvanceTo(until);
}

bool World::RunUntil(absl::FunctionRef<bool()> done, absl::Duration limit) {
  const std::int64_t until = impl_->events.now_ns() + absl::ToInt64Nanoseconds(limit);
  while (!done()) {
    if (impl_->events.RunNext(until)) continue;
    impl_->events.AdvanceTo(until);
    return false;
  }
  return true;
}

std::uint64_t World::RandomBelow(std::uint64_t bound) { return impl_->test_random.Below(bound); }
bool World::Chance(double probability) { return DrawChance(impl_->test_random, probability); }
absl::Duration World::RandomDuration(absl::Duration min, absl::Duration max) {
  return absl::Nanoseconds(DrawNs(impl_->test_random, min, max));
}

std::uint64_t World::trace_hash() const { return impl_->trace.hash(); }
void World::MixIntoTrace(std::uint64_t value) { impl_->trace.Mix(value); }
std::uint64_t World::events() const { return impl_->events.events(); }

// ---- Client streams
// -------------------------------------------------------------------------------

namespace {

class VirtualClientStream final : public ClientStream {
 public:
  VirtualClientStream(NetworkImpl& network, VirtualLoop& loop, std::shared_ptr<Stream> stream)
      : state_(std::make_shared<State>(State{network, loop, std::move(stream), {}})) {}
  ~VirtualClientStream() override {
    Flush(*state_);
    state_->network.CloseAtClient(state_->stream);
  }

  void Send(std::vector<ClientRequest> requests) override {
    const bool first = state_->pending.empty();
    for (ClientRequest& request : requests) state_->pending.push_back(std::move(request));
    if (!state_->loop.OnLoop()) {
      Flush(*state_);
    } else if (first) {
      state_->loop.Defer([state = state_] { Flush(*state); });
    }
  }

 private:
  // Shared with the flush that a turn's end may still owe.
  struct State {
    NetworkImpl& network;
    VirtualLoop& loop;
    const std::shared_ptr<Stream> stream;
    std::vector<ClientRequest> pending;
  };
  static void Flush(State& state) {
    state.network.SendUp(state.stream, std::exchange(state.pending, {}));
  }

  const std::shared_ptr<State> state_;
};

}  // namespace

std::unique_ptr<ClientStream> VirtualNetwork::Connect(VirtualNode& node, absl::string_view address,
                                                      ClientStreamSink* sink) {
  VirtualLoop& loop = node.impl().loop();
  return std::make_unique<VirtualClientStream>(
      impl_, loop, impl_.Open(loop, node.impl().address, impl_.Intern(address), sink));
}

}  // namespace tenure::testing
