// A cluster of real members in the virtual world, and callers that speak to them.
#ifndef TENURE_TESTS_MEMBER_CLUSTER_H_
#define TENURE_TESTS_MEMBER_CLUSTER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "member/node.h"
#include "tenure/command.h"
#include "tenure/testing/world.h"

namespace tenure::member {

struct ClusterOptions {
  int size = 3;
  bool durable = false;
  bool assert_new = true;
  absl::Duration disk_latency_max = absl::ZeroDuration();
  std::function<void(MemberOptions&)> change;  // of every member
  // Sees what member `i` sends to another, in the turn that sends it.
  std::function<void(int i, const Envelope&)> on_send;
  absl::Time wall_clock = absl::FromUnixSeconds(1'790'000'000);
  NodeObserver* observer = nullptr;  // of every member
  // The machine version that the program of member `i` has, from its next start on.
  std::map<int, std::uint32_t> machine_versions;
};

class Cluster {
 public:
  Cluster(testing::World& world, ClusterOptions options = {});
  ~Cluster();

  // Members are numbered from 0; number 0 is "n1", at "n1:1".
  void Start(int i, bool must_succeed = true);
  void StartAll();
  void Kill(int i);     // a process that runs is ended without a word
  void Restart(int i);  // killed, if it runs, and started again
  bool running(int i) const { return members_[i].node != nullptr; }

  Node& node(int i) { return *members_[i].node; }
  testing::VirtualNode& machine(int i) { return *members_[i].machine; }
  testing::World& world() { return world_; }
  // One more machine, whose member is started with a list that has it. The others keep theirs.
  int AddMachine();
  int size() const { return static_cast<int>(members_.size()); }
  std::string name(int i) const;
  std::string address(int i) const;
  std::string list() const;
  const std::vector<std::string>& log(int i) const { return members_[i].log; }
  bool Logged(int i, absl::string_view part) const;
  const absl::Status& stopped(int i) const { return members_[i].stopped; }
  ClusterOptions& options() { return options_; }
  ClusterStatus Status(int i) const { return members_[i].node->Status(); }

  // The member that leads in the greatest term, as itself believes; -1: none.
  int Leader() const;
  // Runs until one leads and all running members of its cluster agree and have applied all that is
  // committed; false after `limit`.
  bool AwaitLeader(absl::Duration limit = absl::Seconds(10));
  bool AwaitConverged(absl::Duration limit = absl::Seconds(20));
  void Isolate(int i, bool cut);
  // Fails the test if two members with the same applied index differ in their state's hash (T9).
  void CheckHashes();
  // How often a member was compared with another.
  int hashes_compared() const { return hashes_compared_; }

 private:
  struct Process {
    testing::VirtualNode* machine = nullptr;
    std::unique_ptr<Transport> transport;
    std::unique_ptr<Storage> storage;
    std::unique_ptr<Node> node;
    std::vector<std::string> log;
    absl::Status stopped;
    std::uint64_t starts = 0;
  };
  testing::World& world_;
  ClusterOptions options_;
  std::deque<Process> members_;  // their logs are referred to
  struct Seen {
    std::uint64_t hash;
    int by;
  };
  std::map<std::pair<std::string, Index>, Seen> hashes_;
  int hashes_compared_ = 0;
};

// Speaks to one member, over a port from its own process or over a client's connection. Sends raw
// requests and keeps what came back.
class Caller : public PortSink, public testing::ClientStreamSink {
 public:
  // A port into member `i`.
  static std::unique_ptr<Caller> Port(Cluster& cluster, int i);
  // A connection to it, from a machine of its own.
  static std::unique_ptr<Caller> Connect(Cluster& cluster, testing::VirtualNode& from, int i);
  ~Caller() override;

  std::uint64_t Send(ClientRequest request);
  std::uint64_t Write(const Command& command);
  std::uint64_t Read(Operation operation);
  std::uint64_t Listen(SessionId session, Revision after = 0);
  void SendMany(std::vector<ClientRequest> requests);
  std::uint64_t Change(MemberAction action, absl::string_view name, absl::string_view address = "");
  std::uint64_t NextId() { return ++last_id_; }

  // Runs the world until it is answered. A ClientReply with id 0 if it was not within `limit`.
  ClientReply Await(std::uint64_t id, absl::Duration limit = absl::Seconds(5));
  // The machine's reply; fails the test if the request was refused.
  Reply AwaitReply(std::uint64_t id, absl::Duration limit = absl::Seconds(5));
  bool Has(std::uint64_t id) const { return replies.contains(id); }

  std::map<std::uint64_t, ClientReply> replies;
  std::vector<ClientReply> notices;  // of id 0
  std::vector<SessionEvent> events;
  bool connected = false;
  bool closed = false;
  std::size_t messages = 0;

  void OnMessage(ServerMessage message) override;
  void OnConnected() override { connected = true; }
  void OnClosed(absl::Status) override { closed = true; }

 private:
  explicit Caller(Cluster& cluster) : cluster_(cluster) {}

  Cluster& cluster_;
  int member_ = -1;
  Node* node_ = nullptr;
  PortId port_ = 0;
  std::unique_ptr<testing::ClientStream> stream_;
  std::uint64_t last_id_ = 0;
};

// Commands of one session.
struct Session {
  SessionId id = 0;
  InstanceKey key;
  Sequence last = 0;

  Command Open(absl::Duration ttl) const;
  Command Renew(std::uint64_t attempt) const;
  Command Close() const;
  Command Acquire(absl::string_view name, absl::Duration wait);
  Command Release(absl::string_view name, Revision token);
  Command Cancel(Sequence acquire);
};

// Opens a session over `caller`.
Session OpenSessionOn(Caller& caller, absl::Duration ttl, std::uint64_t key);

// The reply's result, if it is of this kind.
template <typename T>
const T* As(const Reply& reply) {
  return std::get_if<T>(&reply.result);
}

// Names, by what member `at` knows.
std::vector<std::string> VotersOf(const Cluster& cluster, int at);
inline int Other(const Cluster& cluster, int not_this) { return (not_this + 1) % cluster.size(); }

}  // namespace tenure::member

#endif  // TENURE_TESTS_MEMBER_CLUSTER_H_
