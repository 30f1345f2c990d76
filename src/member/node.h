// One member as one actor on its transport's Loop: inbox in, Output out. It drives the Raft core
// and the state machine over Transport and Storage, finds its cluster by bootstrap, and serves
// clients.
#ifndef TENURE_MEMBER_NODE_H_
#define TENURE_MEMBER_NODE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tenure/command.h"
#include "tenure/member_options.h"
#include "tenure/storage.h"
#include "tenure/transport.h"

namespace tenure::raft {
class Core;
struct Output;
}  // namespace tenure::raft
namespace tenure::machine {
class Machine;
struct Applied;
}  // namespace tenure::machine

namespace tenure::member {

class LeadBoard;  // member/lead_board.h

// What a port into this member, from its own process, hears. On the Loop only.
class PortSink {
 public:
  virtual ~PortSink() = default;
  virtual void OnMessage(ServerMessage message) = 0;
};
using PortId = std::uint64_t;

// Sees what a member does, from within, as it does it: for simulators, which check it. It must
// change nothing. On the Loop only.
class NodeObserver {
 public:
  virtual ~NodeObserver() = default;
  // The core took a step; nothing of what it says was done yet.
  virtual void OnStep(const ClusterId& cluster, const raft::Core& core,
                      const raft::Output& output) = 0;
  // The machine applied an entry; nobody was answered yet. Entry 1 has no commands and yields
  // nothing.
  virtual void OnApplied(const ClusterId& cluster, const raft::Entry& entry,
                         absl::Span<const Command> commands, const machine::Applied& applied,
                         const machine::Machine& machine) = 0;
};

// What a member asks of its machine besides its seams.
struct NodeEnvironment {
  // Read when this member proposes a new cluster, for its first revision and for nothing else; the
  // wall clock unless set. A simulator sets it, so that a seed replays a run.
  absl::AnyInvocable<absl::Time()> wall_clock;
  // The newest version of the machine's rules that this program has. A test may play another one.
  std::uint32_t machine_version = kMachineVersion;
  NodeObserver* observer = nullptr;  // outlives the Node; null: nobody looks
};

class Node {
 public:
  // Opens the storage, starts the transport, posts the actor's first turn. Both outlive the Node.
  static absl::StatusOr<std::unique_ptr<Node>> Start(MemberOptions options, Transport* transport,
                                                     Storage* storage,
                                                     NodeEnvironment environment = {});
  // Stops first. Not on the Loop.
  virtual ~Node() = default;

  // A port: what a client stream is to a remote client, for this process's own handles. Requests
  // are answered in messages, one a turn. If another member leads, they are passed on to it, and
  // the answers back; if nobody is known to lead, they are refused with kNotLeader. On the Loop
  // only.
  virtual PortId OpenPort(PortSink* sink) = 0;
  virtual void SendOnPort(PortId port, std::vector<ClientRequest> requests) = 0;
  // The sink is not called any more.
  virtual void ClosePort(PortId port) = 0;

  // On the Loop only.
  virtual ClusterStatus Status() const = 0;

  // Hands leadership over. `done` runs, on the Loop, once this member does not lead, or will go on
  // leading, because nobody could take it. On the Loop only.
  virtual void HandOver(absl::AnyInvocable<void(absl::Status) &&> done) = 0;

  virtual MemberId id() const = 0;

  // Whether this member leads; outlives the node, and then says no. From any thread.
  virtual const std::shared_ptr<LeadBoard>& lead() const = 0;
  // Begins to keep that up to date, as somebody asks. On the Loop only.
  virtual void WatchLead() = 0;

  // Stops taking part; the transport is stopped with it. Idempotent. Not on the Loop, except on a
  // virtual one.
  virtual void Stop() = 0;
};

}  // namespace tenure::member

#endif  // TENURE_MEMBER_NODE_H_
