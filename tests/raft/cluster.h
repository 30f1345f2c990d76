// Several Raft cores, their disks and the network between them, all deterministic: what the
// scenarios and the random runs drive. Nothing happens unless it is asked for.
#ifndef TENURE_TESTS_RAFT_CLUSTER_H_
#define TENURE_TESTS_RAFT_CLUSTER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/core.h"

namespace tenure::raft {

// A log as a disk holds it.
struct DiskLog {
  Index trimmed_through = 0;
  Term trimmed_term = 0;
  std::int64_t trimmed_stamp_ns = 0;
  std::shared_ptr<const Configuration> trimmed_configuration;
  std::deque<Entry> entries;
  SnapshotInfo snapshot;
  std::string snapshot_bytes;
  Index making = 0;
  std::string making_bytes;

  Index last_index() const { return trimmed_through + entries.size(); }
  const Entry* Find(Index index) const;
  // Term at `index`, trimmed_through included; 0 if unknown.
  Term TermAt(Index index) const;
  void Apply(const WriteBatch& batch);
};

class Cluster {
 public:
  struct Node {
    Options options;
    bool spare = false;  // belongs to no configuration at first
    Index applied_at_start = 0;
    HardState hard_state;             // durable
    DiskLog disk;                     // durable
    DiskLog memory;                   // what the core's log must be
    std::deque<WriteBatch> writes;    // under way
    std::deque<GatedOutgoing> gated;  // messages that wait for them
    std::optional<Core> core;         // absent while crashed
    Instant deadline = Instant::InfiniteFuture();
    Index committed = 0;   // last entry of Output::committed
    Index applied = 0;     // last one told to the core
    std::string incoming;  // of a snapshot that is being installed

    const MemberId& id() const { return options.self; }
  };
  struct Flight {
    MemberId from;
    MemberId to;
    Message message;
    std::int64_t due_ns = 0;  // for whoever schedules deliveries
  };

  // Called after each step, with its event and output, before anything is done about the output.
  std::function<void(Node&, const Event&, const Output&)> on_step;
  // Called when a message leaves; false drops it.
  std::function<bool(Node&, Flight&)> on_send;

  Instant now() const { return Instant::FromReadings(now_ns_, now_ns_); }
  std::int64_t now_ns() const { return now_ns_; }
  void set_now_ns(std::int64_t ns) { now_ns_ = ns; }

  Node& Add(Options options);
  Node& node(const std::string& name);
  Node* Find(const MemberId& id);
  std::vector<std::unique_ptr<Node>>& nodes() { return nodes_; }
  std::deque<Flight>& flights() { return flights_; }

  // Starts a core from what its disk holds.
  void Start(Node& node, Instant may_vote_from);
  // Loses the core, its messages and all writes that are not durable.
  void Crash(Node& node);
  Output Step(Node& node, const Event& event);
  // Completes the oldest write under way, if there is one.
  void CompleteWrite(Node& node);
  // Tells the core that everything committed was applied.
  void ApplyAll(Node& node);
  // Takes a snapshot of what is applied, and gives it to the core piece by piece.
  void TakeSnapshot(Node& node);
  // The state machine's state at a place of the committed log: what snapshots must hold.
  const std::string& StateAt(Index index) { return states_[index]; }
  // Takes a message to where it goes, if anybody lives there.
  void Deliver(Flight flight);

 private:
  void Release(Node& node, Outgoing outgoing);

  std::int64_t now_ns_ = 0;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::deque<Flight> flights_;
  std::map<Index, std::string> states_;
};

// A configuration of voters, and the entry 1 that brings it.
std::shared_ptr<const Configuration> Voters(const std::vector<MemberId>& ids);
Entry FirstEntry(std::shared_ptr<const Configuration> configuration);

}  // namespace tenure::raft

#endif  // TENURE_TESTS_RAFT_CLUSTER_H_
