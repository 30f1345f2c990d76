#include "tests/member/cluster.h"

#include <gtest/gtest.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "machine/codec.h"

namespace tenure::member {
namespace {

class ObservedTransport final : public Transport {
 public:
  ObservedTransport(std::unique_ptr<Transport> below, std::function<void(const Envelope&)> on_send)
      : below_(std::move(below)), on_send_(std::move(on_send)) {}

  Loop& loop() override { return below_->loop(); }
  absl::Status Start(const Identity& self, TransportSink* sink) override {
    return below_->Start(self, sink);
  }
  std::string bound_address() const override { return below_->bound_address(); }
  void SetPeers(absl::Span<const Peer> peers) override { below_->SetPeers(peers); }
  void Send(Envelope envelope) override {
    on_send_(envelope);
    below_->Send(std::move(envelope));
  }
  void SendToClient(ConnectionId connection, ServerMessage message) override {
    below_->SendToClient(connection, std::move(message));
  }
  void CloseClient(ConnectionId connection, absl::Status why) override {
    below_->CloseClient(connection, std::move(why));
  }
  void Stop() override { below_->Stop(); }

 private:
  const std::unique_ptr<Transport> below_;
  const std::function<void(const Envelope&)> on_send_;
};

}  // namespace

Cluster::Cluster(testing::World& world, ClusterOptions options)
    : world_(world),
      options_(std::move(options)),
      members_(static_cast<std::size_t>(options_.size)) {
  for (int i = 0; i < size(); ++i) {
    testing::NodeOptions node;
    node.disk.durable = options_.durable;
    node.disk.latency_max = options_.disk_latency_max;
    members_[i].machine = &world_.AddNode(name(i), node);
  }
}

int Cluster::AddMachine() {
  const int i = size();
  testing::NodeOptions node;
  node.disk.durable = options_.durable;
  node.disk.latency_max = options_.disk_latency_max;
  members_.emplace_back().machine = &world_.AddNode(name(i), node);
  return i;
}

Cluster::~Cluster() {
  for (Process& process : members_) {
    process.node.reset();
    process.transport.reset();
    process.storage.reset();
  }
}

std::string Cluster::name(int i) const { return absl::StrCat("n", i + 1); }
std::string Cluster::address(int i) const { return absl::StrCat(name(i), ":1"); }

std::string Cluster::list() const {
  std::string text;
  for (int i = 0; i < size(); ++i)
    absl::StrAppend(&text, i == 0 ? "" : ",", name(i), "=", address(i));
  return text;
}

void Cluster::Start(int i, bool must_succeed) {
  Process& process = members_[i];
  process.stopped = absl::OkStatus();
  process.machine->Restart();
  process.transport = process.machine->NewTransport();
  if (options_.on_send) {
    process.transport = std::make_unique<ObservedTransport>(
        std::move(process.transport),
        [this, i](const Envelope& envelope) { options_.on_send(i, envelope); });
  }
  process.storage = process.machine->NewStorage();
  MemberOptions options;
  options.id = name(i);
  options.cluster = list();
  options.assert_new = options_.assert_new;
  options.seed = 1 + world_.RandomBelow(1'000'000);
  options.incarnation = 1 + world_.RandomBelow(1'000'000'000);
  options.log = [&process](absl::string_view line) { process.log.emplace_back(line); };
  options.on_stopped = [&process](absl::Status why) { process.stopped = std::move(why); };
  if (options_.change) options_.change(options);
  NodeEnvironment environment;
  environment.wall_clock = [this] { return options_.wall_clock; };
  environment.observer = options_.observer;
  if (const auto it = options_.machine_versions.find(i); it != options_.machine_versions.end())
    environment.machine_version = it->second;
  absl::StatusOr<std::unique_ptr<Node>> node = Node::Start(
      std::move(options), process.transport.get(), process.storage.get(), std::move(environment));
  EXPECT_TRUE(node.ok() || !must_succeed) << node.status();
  if (node.ok()) process.node = *std::move(node);
  ++process.starts;
}

void Cluster::StartAll() {
  for (int i = 0; i < size(); ++i) Start(i);
}

void Cluster::Kill(int i) {
  Process& process = members_[i];
  process.machine->Resume();
  process.machine->Kill();
  process.node.reset();
  process.transport.reset();
  process.storage.reset();
}

void Cluster::Restart(int i) {
  if (running(i)) Kill(i);
  Start(i);
}

bool Cluster::Logged(int i, absl::string_view part) const {
  for (const std::string& line : members_[i].log) {
    if (absl::StrContains(line, part)) return true;
  }
  return false;
}

int Cluster::Leader() const {
  int leader = -1;
  Term term = 0;
  for (int i = 0; i < size(); ++i) {
    if (!running(i) || members_[i].machine->paused()) continue;
    const ClusterStatus status = Status(i);
    if (status.leader.empty() || status.leader != status.answered_by || status.term <= term)
      continue;
    leader = i;
    term = status.term;
  }
  return leader;
}

bool Cluster::AwaitLeader(absl::Duration limit) {
  return world_.RunUntil([this] { return Leader() >= 0 && Status(Leader()).applied > 1; }, limit);
}

bool Cluster::AwaitConverged(absl::Duration limit) {
  return world_.RunUntil(
      [this] {
        const int leader = Leader();
        if (leader < 0) return false;
        const ClusterStatus first = Status(leader);
        if (first.applied != first.commit || first.applied < 2) return false;
        for (int i = 0; i < size(); ++i) {
          if (!running(i) || members_[i].machine->paused()) continue;
          const ClusterStatus status = Status(i);
          if (status.cluster != first.cluster || status.leader != first.leader ||
              status.applied + 2 < first.applied) {
            return false;
          }
        }
        return true;
      },
      limit);
}

void Cluster::Isolate(int i, bool cut) {
  for (int j = 0; j < size(); ++j) {
    if (j != i) world_.network().SetLinks(address(i), address(j), !cut);
  }
}

void Cluster::CheckHashes() {
  for (int i = 0; i < size(); ++i) {
    if (!running(i)) continue;
    const ClusterStatus status = Status(i);
    if (status.applied == 0) continue;
    const auto [it, fresh] = hashes_.try_emplace({status.cluster.ToString(), status.applied},
                                                 Seen{status.state_hash, i});
    ASSERT_EQ(it->second.hash, status.state_hash)
        << name(i) << " and " << name(it->second.by) << " differ at index " << status.applied;
    if (it->second.by != i) ++hashes_compared_;
  }
}

// ---- Caller
// ------------------------------------------------------------------------------------------

std::unique_ptr<Caller> Caller::Port(Cluster& cluster, int i) {
  std::unique_ptr<Caller> caller(new Caller(cluster));
  caller->member_ = i;
  caller->node_ = &cluster.node(i);
  caller->port_ = caller->node_->OpenPort(caller.get());
  caller->connected = true;
  return caller;
}

std::unique_ptr<Caller> Caller::Connect(Cluster& cluster, testing::VirtualNode& from, int i) {
  std::unique_ptr<Caller> caller(new Caller(cluster));
  caller->stream_ = cluster.world().network().Connect(from, cluster.address(i), caller.get());
  return caller;
}

Caller::~Caller() {
  // The member may be gone, or its successor be there.
  if (port_ != 0 && cluster_.running(member_) && &cluster_.node(member_) == node_)
    node_->ClosePort(port_);
}

void Caller::SendMany(std::vector<ClientRequest> requests) {
  if (stream_ != nullptr) return stream_->Send(std::move(requests));
  if (!cluster_.running(member_) || &cluster_.node(member_) != node_) return;
  cluster_.machine(member_).loop().Post(
      [node = node_, port = port_, requests = std::move(requests)]() mutable {
        node->SendOnPort(port, std::move(requests));
      });
}

std::uint64_t Caller::Send(ClientRequest request) {
  request.id = NextId();
  const std::uint64_t id = request.id;
  std::vector<ClientRequest> requests;
  requests.push_back(std::move(request));
  SendMany(std::move(requests));
  return id;
}

std::uint64_t Caller::Write(const Command& command) {
  return Send({.kind = RequestKind::kWrite, .command = machine::EncodeCommand(command)});
}

std::uint64_t Caller::Read(Operation operation) {
  Command command;
  command.operation = std::move(operation);
  return Send({.kind = RequestKind::kRead, .command = machine::EncodeCommand(command)});
}

std::uint64_t Caller::Change(MemberAction action, absl::string_view name,
                             absl::string_view address) {
  return Read(ChangeMembers{action, std::string(name), std::string(address)});
}

std::uint64_t Caller::Listen(SessionId session, Revision after) {
  return Send({.kind = RequestKind::kListen, .session = session, .after = after});
}

void Caller::OnMessage(ServerMessage message) {
  ++messages;
  for (ClientReply& reply : message.replies) {
    if (reply.id == 0) {
      notices.push_back(std::move(reply));
      continue;
    }
    const std::uint64_t id = reply.id;
    EXPECT_TRUE(replies.emplace(id, std::move(reply)).second) << "answered twice";
  }
  for (const std::string& bytes : message.events) {
    absl::StatusOr<SessionEvent> event = machine::DecodeEvent(bytes);
    ASSERT_TRUE(event.ok()) << event.status();
    events.push_back(*std::move(event));
  }
}

ClientReply Caller::Await(std::uint64_t id, absl::Duration limit) {
  if (!cluster_.world().RunUntil([&] { return Has(id); }, limit)) return {};
  return replies.at(id);
}

Reply Caller::AwaitReply(std::uint64_t id, absl::Duration limit) {
  const ClientReply reply = Await(id, limit);
  EXPECT_EQ(reply.id, id) << "not answered";
  EXPECT_EQ(reply.refusal, Refusal::kNone) << reply.message;
  if (reply.id != id || reply.refusal != Refusal::kNone) return {.code = ReplyCode::kInvalid};
  absl::StatusOr<Reply> decoded = machine::DecodeReply(reply.reply);
  EXPECT_TRUE(decoded.ok()) << decoded.status();
  return decoded.ok() ? *decoded : Reply{};
}

// ---- Session
// -----------------------------------------------------------------------------------------

Command Session::Open(absl::Duration ttl) const {
  Command command;
  command.key = key;
  command.operation = OpenSession{absl::ToInt64Nanoseconds(ttl), "test"};
  return command;
}
Command Session::Renew(std::uint64_t attempt) const {
  Command command;
  command.session = id;
  command.key = key;
  command.operation = RenewSession{attempt};
  return command;
}
Command Session::Close() const {
  Command command;
  command.session = id;
  command.key = key;
  command.operation = CloseSession{};
  return command;
}
Command Session::Acquire(absl::string_view name, absl::Duration wait) {
  Command command;
  command.session = id;
  command.key = key;
  command.sequence = ++last;
  command.operation = AcquireLock{
      std::string(name),
      wait == absl::InfiniteDuration() ? kWaitForever : absl::ToInt64Nanoseconds(wait), ""};
  return command;
}
Command Session::Release(absl::string_view name, Revision token) {
  Command command;
  command.session = id;
  command.key = key;
  command.sequence = ++last;
  command.operation = ReleaseLock{std::string(name), token};
  return command;
}
Command Session::Cancel(Sequence acquire) {
  Command command;
  command.session = id;
  command.key = key;
  command.sequence = ++last;
  command.operation = CancelWait{acquire};
  return command;
}

Session OpenSessionOn(Caller& caller, absl::Duration ttl, std::uint64_t key) {
  Session session;
  session.key = {0x7e57, key};
  const Reply reply = caller.AwaitReply(caller.Write(session.Open(ttl)));
  const SessionOpened* opened = std::get_if<SessionOpened>(&reply.result);
  EXPECT_NE(opened, nullptr) << reply.message;
  if (opened != nullptr) session.id = opened->session;
  return session;
}

std::vector<std::string> VotersOf(const Cluster& cluster, int at) {
  std::vector<std::string> names;
  for (const MemberStatus& member : cluster.Status(at).members) {
    if (member.role != "learner") names.push_back(member.id.name);
  }
  return names;
}

}  // namespace tenure::member
