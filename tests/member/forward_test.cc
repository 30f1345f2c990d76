// What a member passes on for its own process, over links that lose some of it.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "backends/replicated.h"
#include "machine/codec.h"
#include "tenure/coordinator.h"
#include "tenure/mutex.h"
#include "tenure/session.h"
#include "tests/member/cluster.h"
#include "transport/link.h"

namespace tenure::member {
namespace {

using testing::World;

// What is passed on and lost on the way to a leader that goes on leading.
TEST(ForwardTest, LostForwardsDoNotFillAPortForEver) {
  World world(4);
  ClusterOptions options;
  options.change = [](MemberOptions& o) { o.commands_pending_max = 1000; };
  Cluster cluster(world, std::move(options));
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  const int follower = Other(cluster, leader);
  auto near = Caller::Port(cluster, follower);
  Session b = OpenSessionOn(*near, absl::Seconds(50), 2);

  // Ten hiccups of one link, of 50 ms each: no election, no other leader.
  for (int round = 0; round < 10; ++round) {
    world.network().SetLink(cluster.address(follower), cluster.address(leader), false);
    std::vector<ClientRequest> requests;
    for (int i = 0; i < 100; ++i) {
      Command read;
      read.operation = GetLock{"x"};
      requests.push_back({.id = near->NextId(),
                          .kind = RequestKind::kRead,
                          .command = machine::EncodeCommand(read)});
    }
    near->SendMany(std::move(requests));
    world.RunFor(absl::Milliseconds(50));
    world.network().SetLink(cluster.address(follower), cluster.address(leader), true);
    world.RunFor(absl::Milliseconds(500));
  }
  ASSERT_EQ(cluster.Leader(), leader);
  world.RunFor(absl::Seconds(20));
  const ClientReply reply = near->Await(near->Read(GetLock{"x"}), absl::Seconds(30));
  EXPECT_EQ(reply.refusal, Refusal::kNone) << reply.message;
  world.RunFor(absl::Seconds(20));
  const ClientReply again = near->Await(near->Write(b.Renew(1)), absl::Seconds(30));
  EXPECT_EQ(again.refusal, Refusal::kNone) << again.message;
}

// As src/backends/member.cc has it.
class PortLink final : public backends::Link, public PortSink {
 public:
  PortLink(Node* node, Loop& loop, backends::LinkSink* sink)
      : node_(node), sink_(std::make_shared<backends::LinkSink*>(sink)) {
    port_ = node_->OpenPort(this);
    loop.Post([sink = sink_] {
      if (*sink != nullptr) (*sink)->OnConnected("");
    });
  }
  ~PortLink() override {
    *sink_ = nullptr;
    node_->ClosePort(port_);
  }
  void Send(std::vector<ClientRequest> requests) override {
    node_->SendOnPort(port_, std::move(requests));
  }
  void OnMessage(ServerMessage message) override {
    if (*sink_ != nullptr) (*sink_)->OnMessage(std::move(message));
  }

 private:
  Node* const node_;
  const std::shared_ptr<backends::LinkSink*> sink_;
  PortId port_ = 0;
};

// The same through a member's own coordinator, which is in use meanwhile.
TEST(ForwardTest, AMembersCoordinatorOutlivesHiccupsOfOneLink) {
  World world(4);
  ClusterOptions options;
  options.change = [](MemberOptions& o) { o.commands_pending_max = 1000; };
  Cluster cluster(world, std::move(options));
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  const int follower = Other(cluster, leader);
  Loop& loop = cluster.machine(follower).loop();
  auto backend = backends::NewReplicatedBackend(
      std::shared_ptr<Loop>(std::shared_ptr<void>(), &loop),
      [&](const std::string&, backends::LinkSink* sink) {
        return std::make_unique<PortLink>(&cluster.node(follower), loop, sink);
      },
      {.endpoints = {"this member"}, .linger = absl::ZeroDuration()});
  Coordinator coordinator(backend);
  std::optional<absl::StatusOr<tenure::Session>> session;
  coordinator.OpenSession({.ttl = absl::Seconds(10)},
                          [&](absl::StatusOr<tenure::Session> s) { session = std::move(s); });
  ASSERT_TRUE(world.RunUntil([&] { return session.has_value(); }, absl::Seconds(5)));
  ASSERT_TRUE(session->ok()) << session->status();
  std::optional<absl::StatusOr<LockGuard>> guard;
  (*session)->mutex("mine").Lock({}, [&](absl::StatusOr<LockGuard> g) { guard = std::move(g); });
  ASSERT_TRUE(world.RunUntil([&] { return guard.has_value(); }, absl::Seconds(5)));
  ASSERT_TRUE(guard->ok());

  const auto inspect = [&](auto done) {
    coordinator.mutex("x").Inspect(absl::Seconds(2), std::move(done));
  };
  int answered = 0;
  const auto count = [&](const absl::StatusOr<LockDescription>& d) { answered += d.ok() ? 1 : 0; };
  for (int round = 0; round < 11; ++round) {
    world.network().SetLink(cluster.address(follower), cluster.address(leader), false);
    for (int i = 0; i < 100; ++i) inspect(count);
    world.RunFor(absl::Milliseconds(50));
    world.network().SetLink(cluster.address(follower), cluster.address(leader), true);
    for (int i = 0; i < 30; ++i) {  // the ordinary traffic goes on
      inspect(count);
      world.RunFor(absl::Milliseconds(100));
    }
  }
  EXPECT_GT(answered, 0);
  ASSERT_EQ(cluster.Leader(), leader);
  world.RunFor(absl::Seconds(60));  // nobody calls any more
  EXPECT_TRUE((*guard)->Valid()) << "its lease could not be renewed";
  std::optional<absl::StatusOr<LockDescription>> last;
  inspect([&](absl::StatusOr<LockDescription> d) { last = std::move(d); });
  ASSERT_TRUE(world.RunUntil([&] { return last.has_value(); }, absl::Seconds(5)));
  EXPECT_TRUE(last->ok()) << last->status();
  guard.reset();
  session.reset();
  world.RunFor(absl::Seconds(1));
}

// One message from a member to its leader is lost: the one in which a session asks for its events.
TEST(ForwardTest, AGrantArrivesAlthoughOneListenWasLost) {
  World world(4);
  ClusterOptions options;
  int leader = -1;
  int follower = -1;
  int lost = 0;
  Cluster* c = nullptr;
  options.on_send = [&](int i, const Envelope& envelope) {
    if (i != follower || lost > 0) return;
    const auto* forward = std::get_if<Forward>(&envelope.body);
    const auto* requests = forward == nullptr ? nullptr : std::get_if<ForwardedRequests>(forward);
    if (requests == nullptr) return;
    for (const ClientRequest& request : requests->requests) {
      if (request.kind != RequestKind::kListen) continue;
      ++lost;
      world.network().SetLink(c->address(follower), c->address(leader), false);
      return;
    }
  };
  Cluster cluster(world, std::move(options));
  c = &cluster;
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  leader = cluster.Leader();
  // Somebody else has the lock.
  auto there = Caller::Port(cluster, leader);
  Session rival = OpenSessionOn(*there, absl::Seconds(59), 1);
  const Reply held = there->AwaitReply(there->Write(rival.Acquire("x", absl::ZeroDuration())));
  ASSERT_NE(As<LockGranted>(held), nullptr);

  follower = Other(cluster, leader);
  Loop& loop = cluster.machine(follower).loop();
  auto backend = backends::NewReplicatedBackend(
      std::shared_ptr<Loop>(std::shared_ptr<void>(), &loop),
      [&](const std::string&, backends::LinkSink* sink) {
        return std::make_unique<PortLink>(&cluster.node(follower), loop, sink);
      },
      {.endpoints = {"this member"}, .linger = absl::ZeroDuration()});
  Coordinator coordinator(backend);
  std::optional<absl::StatusOr<tenure::Session>> session;
  coordinator.OpenSession({.ttl = absl::Seconds(10)},
                          [&](absl::StatusOr<tenure::Session> s) { session = std::move(s); });
  ASSERT_TRUE(world.RunUntil([&] { return session.has_value(); }, absl::Seconds(5)));
  ASSERT_TRUE(session->ok()) << session->status();
  ASSERT_TRUE(world.RunUntil([&] { return lost > 0; }, absl::Seconds(5)));
  world.RunFor(absl::Milliseconds(20));
  world.network().SetLink(cluster.address(follower), cluster.address(leader), true);

  int answered = 0;
  const auto traffic = [&](absl::Duration time) {  // other callers of this coordinator
    for (absl::Duration t; t < time; t += absl::Milliseconds(200)) {
      coordinator.mutex("other").Inspect(absl::Seconds(2), [&](absl::StatusOr<LockDescription> d) {
        if (d.ok()) ++answered;
      });
      world.RunFor(absl::Milliseconds(200));
    }
  };
  traffic(absl::Seconds(1));
  std::optional<absl::StatusOr<LockGuard>> guard;
  (*session)->mutex("x").Lock({}, [&](absl::StatusOr<LockGuard> g) { guard = std::move(g); });
  traffic(absl::Seconds(1));
  there->AwaitReply(there->Write(rival.Release("x", As<LockGranted>(held)->token)));
  traffic(absl::Seconds(40));
  const Reply now = there->AwaitReply(there->Read(GetLock{"x"}));
  const auto* lock = As<LockDescription>(now);
  ASSERT_NE(lock, nullptr);
  EXPECT_EQ(lock->holder.session, (*session)->id());
  EXPECT_TRUE(guard.has_value()) << "granted 40 s ago, and nobody was told";
  ASSERT_EQ(cluster.Leader(), leader);
  guard.reset();
  session.reset();
  world.RunFor(absl::Seconds(1));
}

// One message from the leader to another member is lost: the one with the grant. No other faults,
// no election, no other traffic.
TEST(ForwardTest, AGrantArrivesAlthoughOneEventWasLost) {
  World world(4);
  ClusterOptions options;
  int leader = -1;
  int follower = -1;
  int lost = 0;
  Cluster* c = nullptr;
  options.on_send = [&](int i, const Envelope& envelope) {
    if (i != leader || lost > 0 || follower < 0) return;
    const auto* forward = std::get_if<Forward>(&envelope.body);
    const auto* replies = forward == nullptr ? nullptr : std::get_if<ForwardedReplies>(forward);
    if (replies == nullptr || replies->message.events.empty()) return;
    ++lost;
    world.network().SetLink(c->address(leader), c->address(follower), false);
  };
  Cluster cluster(world, std::move(options));
  c = &cluster;
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  leader = cluster.Leader();
  auto there = Caller::Port(cluster, leader);
  Session rival = OpenSessionOn(*there, absl::Seconds(59), 1);
  const Reply held = there->AwaitReply(there->Write(rival.Acquire("x", absl::ZeroDuration())));
  ASSERT_NE(As<LockGranted>(held), nullptr);

  follower = Other(cluster, leader);
  Loop& loop = cluster.machine(follower).loop();
  auto backend = backends::NewReplicatedBackend(
      std::shared_ptr<Loop>(std::shared_ptr<void>(), &loop),
      [&](const std::string&, backends::LinkSink* sink) {
        return std::make_unique<PortLink>(&cluster.node(follower), loop, sink);
      },
      {.endpoints = {"this member"}, .linger = absl::ZeroDuration()});
  Coordinator coordinator(backend);
  std::optional<absl::StatusOr<tenure::Session>> session;
  coordinator.OpenSession({.ttl = absl::Seconds(10)},
                          [&](absl::StatusOr<tenure::Session> s) { session = std::move(s); });
  ASSERT_TRUE(world.RunUntil([&] { return session.has_value(); }, absl::Seconds(5)));
  ASSERT_TRUE(session->ok()) << session->status();
  world.RunFor(absl::Seconds(1));
  std::optional<absl::StatusOr<LockGuard>> guard;
  (*session)->mutex("x").Lock({}, [&](absl::StatusOr<LockGuard> g) { guard = std::move(g); });
  world.RunFor(absl::Seconds(1));
  there->AwaitReply(there->Write(rival.Release("x", As<LockGranted>(held)->token)));
  ASSERT_TRUE(world.RunUntil([&] { return lost > 0; }, absl::Seconds(5)));
  world.RunFor(absl::Milliseconds(20));
  world.network().SetLink(cluster.address(leader), cluster.address(follower), true);

  world.RunFor(absl::Seconds(5));  // in which the session is renewed
  ASSERT_EQ(cluster.Leader(), leader);
  const Reply now = there->AwaitReply(there->Read(GetLock{"x"}));
  const auto* lock = As<LockDescription>(now);
  ASSERT_NE(lock, nullptr);
  EXPECT_EQ(lock->holder.session, (*session)->id());
  EXPECT_TRUE(guard.has_value()) << "granted seconds ago, and nobody was told";
  guard.reset();
  session.reset();
  world.RunFor(absl::Seconds(1));
}

}  // namespace
}  // namespace tenure::member
