// A simulated world for deterministic tests: machines with clocks, loops, disks and a network, all
// on virtual time and one thread. The very member and client code runs in it that runs in
// production.
//
//   World world(seed);
//   VirtualNode& n1 = world.AddNode("n1");
//   auto actor = std::make_unique<Actor>(n1.NewTransport(), n1.NewStorage());
//   ...
//   ASSERT_TRUE(world.RunUntil([&] { return actor->elected(); }, absl::Seconds(5)));
//   world.network().SetLink("n1:1", "n2:1", false);
//   n1.Kill();
//   actor = nullptr;  // what is left of the process's memory
//   n1.Restart();
//
// Nothing happens but within Step, RunFor and RunUntil, and events happen in one order that the
// seed decides: a seed replays a run, and trace_hash() shows that it did. That holds as long as the
// code in the world takes its time from its Loop and its randomness from its seed.
//
// To the loops the test is a foreign thread: OnLoop() is false, Post and At work. It must not wait
// for what a loop has to do, since nothing runs meanwhile: use the callback forms.
//
// Whatever lives in a world (members, handles, timers) is destroyed before it.
#ifndef TENURE_TESTING_WORLD_H_
#define TENURE_TESTING_WORLD_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tenure/loop.h"
#include "tenure/storage.h"
#include "tenure/testing/disk.h"
#include "tenure/testing/network.h"
#include "tenure/transport.h"
#include "tenure/types.h"

namespace tenure::testing {

class NodeImpl;
class WorldImpl;

// The two clocks of an Instant.
enum class Clock : std::uint8_t { kBoottime, kMonotonicRaw };

struct NodeOptions {
  // What the clocks read when the node is added; drawn from the seed if not set. No two machines'
  // clocks have anything to do with each other.
  std::optional<Instant> clocks;
  // How long each turn of the loop keeps it busy. What arrives meanwhile is the next turn's.
  absl::Duration turn_cost = absl::ZeroDuration();
  DiskOptions disk;
};

// One machine, with at most one process on it.
class VirtualNode {
 public:
  ~VirtualNode();

  const std::string& name() const;

  // ---- The process. All of it is anew after Restart ----
  // Stays valid, as a loop that does nothing, after the process was killed.
  Loop& loop();
  // On this loop. One at a time. Its Stop first runs what was posted to the loop before, so that a
  // member can post its last work and then stop.
  std::unique_ptr<Transport> NewTransport();
  // On this node's disk. One at a time.
  std::unique_ptr<Storage> NewStorage();

  // Nothing runs between Pause and Resume; time passes, and timers and messages wait.
  void Pause();
  void Resume();
  // Pauses the machine: until Resume its CLOCK_MONOTONIC_RAW stands still, too.
  void Suspend();
  bool paused() const;

  // Ends the process without a word: what was posted is destroyed, its connections break, its
  // unsynced writes are lost. Destroy the objects that lived in it next; they can do no harm
  // meanwhile.
  void Kill();
  // A new process after Kill.
  void Restart();
  bool alive() const;

  // ---- The machine ----
  VirtualDisk& disk();
  // How much faster than true time a clock runs: 0.01 is 1 % fast, -1 stands still.
  void SetClockDrift(Clock clock, double drift);
  // Puts a clock forward, or back, which neither should ever do.
  void JumpClock(Clock clock, absl::Duration by);
  void SetTurnCost(absl::Duration cost);

 private:
  friend class World;
  friend class VirtualNetwork;
  explicit VirtualNode(std::unique_ptr<NodeImpl> impl);
  NodeImpl& impl();
  std::unique_ptr<NodeImpl> impl_;
};

class World {
 public:
  explicit World(std::uint64_t seed);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Names are addresses of clients, and show in nothing else. The node lives as long as the world.
  VirtualNode& AddNode(absl::string_view name, const NodeOptions& options = {});
  VirtualNetwork& network();

  // True time since the world began.
  absl::Duration now() const;
  // Runs `event` that much later, on no loop: for scripted faults.
  void After(absl::Duration delay, absl::AnyInvocable<void()> event);

  // Runs the next event: a turn of a loop, an arrival, a disk's completion. False if there is none.
  bool Step();
  // Runs all events of that time. Time has passed even if nothing happens.
  void RunFor(absl::Duration duration);
  // Runs until `done`, which is asked before the first event and after each; false if `limit` of
  // time passed without it.
  bool RunUntil(absl::FunctionRef<bool()> done, absl::Duration limit);

  // The test's own randomness, from the seed, apart from the world's.
  std::uint64_t RandomBelow(std::uint64_t bound);
  bool Chance(double probability);
  absl::Duration RandomDuration(absl::Duration min, absl::Duration max);

  // A hash over all that happened. Equal for equal seeds and code.
  std::uint64_t trace_hash() const;
  // Adds something of the test's own to it.
  void MixIntoTrace(std::uint64_t value);
  std::uint64_t events() const;

 private:
  std::unique_ptr<WorldImpl> impl_;
};

}  // namespace tenure::testing

#endif  // TENURE_TESTING_WORLD_H_
