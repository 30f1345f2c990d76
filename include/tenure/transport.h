// The Transport seam: carries messages between members, and between clients and a member.
//
// A transport may lose, duplicate, delay and reorder; it never blocks its caller, never corrupts
// and never attributes a message to the wrong sender. Implementations: in-process (below), gRPC
// (tenure/grpc/transport.h), the simulator's.
#ifndef TENURE_TRANSPORT_H_
#define TENURE_TRANSPORT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tenure/loop.h"
#include "tenure/raft_types.h"
#include "tenure/types.h"

namespace tenure {

// ---- What members say to each other besides Raft: first start (BOOTSTRAP rules 1 to 8)
// ------------

struct Hello {
  bool in = false;           // in a cluster (the envelope says which), or free
  bool asserts_new = false;  // started with --new: no holder of an earlier cluster lives
  bool answer_wanted = false;
  // Newest proposal accepted by a free member, for people and tests.
  std::uint64_t accepted_number = 0;
  std::uint64_t config_digest = 0;  // of the static cluster list: members must agree on it
  bool has_log = false;             // in, and its log has named members already
  // The newest rules of the machine that the sender's program has; 0: it does not say.
  std::uint32_t machine_version = 0;
  // A question's number; in its answer, which question that is. 0: none.
  std::uint64_t number = 0;
  bool holds_commands = false;  // in its log or its snapshot there is what a client asked for
};
// "This would be your cluster": entry 1 names every voter's incarnation. The cluster's id is
// `proposal`. An invitation as a learner has no entry: the leader will send all there is.
struct BootstrapPropose {
  ClusterId proposal;
  raft::Entry first;
  bool invitation = false;  // the sender is in this cluster already (rule 7)
};
struct BootstrapAccept {
  ClusterId proposal;
  std::uint64_t number = 0;
};
struct BootstrapStart {
  ClusterId proposal;
  std::uint64_t number = 0;
};
// Asks a younger incarnation of `who.name` whether that incarnation is lost; and the attestation.
struct LostQuery {
  MemberId who;
};
struct Lost {
  MemberId who;
};
// A member that found its data where it left them asks another one what it attested before, and
// that one's answer; docs/storage.md, A storage that goes back.
struct AttestationQuery {};
struct Attestation {
  raft::Attested what;  // `who` is whoever asked
};
// Tells a sender that the cluster does not know its incarnation, and why.
struct NotAMember {
  std::string reason;
  bool removed = false;  // for good: this incarnation was removed or is counted as lost; it stops
};
using Handshake = std::variant<Hello, BootstrapPropose, BootstrapAccept, BootstrapStart, LostQuery,
                               Lost, NotAMember, AttestationQuery, Attestation>;

// ---- What clients say to a member
// -----------------------------------------------------------------

enum class RequestKind : std::uint8_t {
  kWrite = 0,     // `command` goes into the log
  kRead = 1,      // `command` is a read: answered after ReadIndex
  kStatus = 2,    // answered by whichever member gets it, also without a leader
  kListen = 3,    // events of `session` later than `after`, from now on, on this connection
  kUnlisten = 4,  // no answer
};

struct ClientRequest {
  std::uint64_t id = 0;  // chosen by the client, unique on its connection
  RequestKind kind = RequestKind::kWrite;
  bool reserved = false;  // keeps or frees something: may use the reserved share of a queue
  std::string command;    // an encoded tenure.v1.Command, for kWrite and kRead
  SessionId session = 0;  // for kListen and kUnlisten
  Revision after = 0;     // for kListen
};

// Why a request was not answered by the machine. The first two mean that nothing happened.
enum class Refusal : std::uint8_t {
  kNone = 0,
  kNotLeader = 1,   // retry elsewhere: `leader_address`, if known
  kOverloaded = 2,  // retry later
  kInvalid = 3,     // the request is malformed; do not retry
  // It may or may not have happened: leadership was lost with the command in the log, or the answer
  // has no place in what waits to be sent. Sent again, it is answered from what the machine keeps.
  kUncertain = 4,
  kVersion = 5,  // needs a newer machine
};

// Replies from this length on may be put off (Refusal::kUncertain) where too much waits to be sent.
inline constexpr std::size_t kLongReplyBytes = 4 << 10;

struct ClientReply {
  std::uint64_t id = 0;
  Refusal refusal = Refusal::kNone;
  std::string message;         // for refusals
  std::string leader_address;  // for kNotLeader; empty: unknown
  std::string reply;           // an encoded tenure.v1.Reply when not refused; empty for kListen
};

// What a member sends to a client: one of these a turn, as one frame.
struct ServerMessage {
  std::vector<ClientReply> replies;
  std::vector<std::string> events;  // encoded tenure.v1.SessionEvent, for listened-to sessions
  bool empty() const { return replies.empty() && events.empty(); }
};

// A member's own process may ask a member that does not lead: it passes requests on to the leader,
// and answers back. `origin` names the asker's port and is opaque to the leader.
struct ForwardedRequests {
  std::uint64_t origin = 0;
  std::vector<ClientRequest> requests;
};
struct ForwardedReplies {
  std::uint64_t origin = 0;
  ServerMessage message;
  // Counts, from 1, what this leader sends to that port: a gap tells it that something was lost. 0:
  // not counted.
  std::uint64_t number = 0;
};
struct ForwardClosed {  // the asker is gone: forget its listeners
  std::uint64_t origin = 0;
};
using Forward = std::variant<ForwardedRequests, ForwardedReplies, ForwardClosed>;

// ---- The seam
// --------------------------------------------------------------------------------------

using PeerBody = std::variant<raft::Message, Handshake, Forward>;

// One message between members. Receivers compare cluster and both incarnations on every message,
// not only when a connection is made.
struct Envelope {
  ClusterId cluster;  // the sender's; empty while it is free
  MemberId from;
  MemberId to;  // incarnation 0: whichever incarnation has that name (handshakes only)
  PeerBody body;
};

// Who a member is to others. `address` is what the cluster's list says; `listen` is what is bound,
// and is `address` unless set.
struct Identity {
  MemberId id;
  std::string address;
  std::string listen;
};

struct Peer {
  std::string name;
  std::string address;

  friend bool operator==(const Peer&, const Peer&) = default;
};

// A client's connection to this member, from accept to close. Never reused.
using ConnectionId = std::uint64_t;

// What a Transport calls, on its Loop only.
class TransportSink {
 public:
  virtual ~TransportSink() = default;
  // `envelope.from` is who really sent it, as far as the connection's handshake tells.
  virtual void OnPeer(Envelope envelope) = 0;
  virtual void OnClientRequests(ConnectionId connection, std::vector<ClientRequest> requests) = 0;
  virtual void OnClientClosed(ConnectionId connection) = 0;
};

// All methods are called on loop(), but Start, Stop and the destructor, which are not. `Stop`
// returns once no further call to the sink can happen; it takes no longer than a moment whatever
// the network does, and may be called twice.
class Transport {
 public:
  virtual ~Transport() = default;

  // The Loop that sockets and actor share.
  virtual Loop& loop() = 0;

  // Binds and begins to serve. kUnavailable with a message that names the address if it cannot be
  // bound.
  virtual absl::Status Start(const Identity& self, TransportSink* sink) = 0;
  // The address that was bound, with the port that the system chose if port 0 was asked for.
  virtual std::string bound_address() const = 0;

  // The members to talk to, by name. Replaces the earlier set; connections to those that stay live
  // on.
  virtual void SetPeers(absl::Span<const Peer> peers) = 0;

  // Queues for `envelope.to.name`; a bounded queue for each peer, which drops when it is full.
  virtual void Send(Envelope envelope) = 0;

  // Queues for a client. Past the connection's limit the connection is closed.
  virtual void SendToClient(ConnectionId connection, ServerMessage message) = 0;
  // Closes it, after a breach of protocol.
  virtual void CloseClient(ConnectionId connection, absl::Status why) = 0;

  virtual void Stop() = 0;
};

// A network inside this process: transports made from one network reach each other by address, with
// no sockets. It must outlive its transports. Thread-safe.
class InProcessNetwork {
 public:
  virtual ~InProcessNetwork() = default;
  // Each transport gets a Loop of its own thread, which it owns.
  virtual std::unique_ptr<Transport> NewTransport() = 0;
  // Cuts or mends the way from one address to another, for tests. One-way.
  virtual void SetLink(absl::string_view from_address, absl::string_view to_address, bool up) = 0;
};
std::unique_ptr<InProcessNetwork> NewInProcessNetwork();

}  // namespace tenure

#endif  // TENURE_TRANSPORT_H_
