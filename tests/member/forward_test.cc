// What a member passes on for its own process, over links that lose some of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
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

// A follower's own process, whose coordinator asks through that member.
class ForwardTest : public ::testing::Test {
 protected:
  // `lose`: whether to break the link that way when `envelope` has just been put on it; it stays
  // broken until Mend().
  void Start(std::function<bool(const Envelope&)> lose = nullptr) {
    ClusterOptions options;
    options.change = [](MemberOptions& o) { o.commands_pending_max = 1000; };
    options.on_send = [this, lose = std::move(lose)](int from, const Envelope& envelope) {
      if (lost || follower < 0 || lose == nullptr || !lose(envelope)) return;
      lost = true;
      SetLink(from, false);
    };
    cluster.emplace(world, std::move(options));
    cluster->StartAll();
    ASSERT_TRUE(cluster->AwaitConverged());
    leader = cluster->Leader();
    follower = Other(*cluster, leader);
  }
  void OpenCoordinator() {
    Loop& loop = cluster->machine(follower).loop();
    coordinator = Coordinator(backends::NewReplicatedBackend(
        std::shared_ptr<Loop>(std::shared_ptr<void>(), &loop),
        [this, &loop](const std::string&, backends::LinkSink* sink) {
          return std::make_unique<PortLink>(&cluster->node(follower), loop, sink);
        },
        {.endpoints = {"this member"}, .linger = absl::ZeroDuration()}));
    std::optional<absl::StatusOr<tenure::Session>> opened;
    coordinator.OpenSession({.ttl = absl::Seconds(10)},
                            [&](absl::StatusOr<tenure::Session> s) { opened = std::move(s); });
    ASSERT_TRUE(world.RunUntil([&] { return opened.has_value(); }, absl::Seconds(5)));
    ASSERT_TRUE(opened->ok()) << opened->status();
    session = **std::move(opened);
  }
  void TearDown() override {
    guard.reset();
    session = tenure::Session();
    coordinator = Coordinator();
    world.RunFor(absl::Seconds(1));
  }

  // The link between the two, one way.
  void SetLink(int from, bool up) {
    const int to = from == leader ? follower : leader;
    world.network().SetLink(cluster->address(from), cluster->address(to), up);
  }
  void Mend() {
    world.RunFor(absl::Milliseconds(20));
    SetLink(leader, true);
    SetLink(follower, true);
  }
  void Lock(const std::string& name) {
    session.mutex(name).Lock({}, [this](absl::StatusOr<LockGuard> g) { guard = std::move(g); });
  }
  // Somebody else has the lock, until Release().
  void Occupy(const std::string& name) {
    there = Caller::Port(*cluster, leader);
    rival.emplace(OpenSessionOn(*there, absl::Seconds(59), 1));
    const Reply held = there->AwaitReply(there->Write(rival->Acquire(name, absl::ZeroDuration())));
    ASSERT_NE(As<LockGranted>(held), nullptr);
    token = As<LockGranted>(held)->token;
  }
  void Release(const std::string& name) {
    there->AwaitReply(there->Write(rival->Release(name, token)));
  }
  // The lock is the session's, and the session knows.
  void ExpectGranted(const std::string& name) {
    ASSERT_EQ(cluster->Leader(), leader) << "no change of leaders has helped";
    const Reply now = there->AwaitReply(there->Read(GetLock{name}));
    const auto* lock = As<LockDescription>(now);
    ASSERT_NE(lock, nullptr);
    EXPECT_EQ(lock->holder.session, session.id());
    EXPECT_TRUE(guard.has_value()) << "granted seconds ago, and nobody was told";
  }

  World world{4};
  bool lost = false;
  int leader = -1;
  int follower = -1;
  std::optional<Cluster> cluster;
  Coordinator coordinator;
  tenure::Session session;
  std::optional<absl::StatusOr<LockGuard>> guard;
  std::unique_ptr<Caller> there;
  std::optional<Session> rival;
  Revision token = 0;
};

// What is passed on and lost on the way to a leader that goes on leading.
TEST_F(ForwardTest, LostForwardsDoNotFillAPortForEver) {
  Start();
  auto near = Caller::Port(*cluster, follower);
  Session b = OpenSessionOn(*near, absl::Seconds(50), 2);

  // Ten hiccups of one link, of 50 ms each: no election, no other leader.
  for (int round = 0; round < 10; ++round) {
    SetLink(follower, false);
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
    SetLink(follower, true);
    world.RunFor(absl::Milliseconds(500));
  }
  ASSERT_EQ(cluster->Leader(), leader);
  world.RunFor(absl::Seconds(20));
  const ClientReply reply = near->Await(near->Read(GetLock{"x"}), absl::Seconds(30));
  EXPECT_EQ(reply.refusal, Refusal::kNone) << reply.message;
  world.RunFor(absl::Seconds(20));
  const ClientReply again = near->Await(near->Write(b.Renew(1)), absl::Seconds(30));
  EXPECT_EQ(again.refusal, Refusal::kNone) << again.message;
}

// The same through a member's own coordinator, which is in use meanwhile.
TEST_F(ForwardTest, AMembersCoordinatorOutlivesHiccupsOfOneLink) {
  Start();
  OpenCoordinator();
  Lock("mine");
  ASSERT_TRUE(world.RunUntil([&] { return guard.has_value(); }, absl::Seconds(5)));
  ASSERT_TRUE(guard->ok());

  const auto inspect = [&](auto done) {
    coordinator.mutex("x").Inspect(absl::Seconds(2), std::move(done));
  };
  int answered = 0;
  const auto count = [&](const absl::StatusOr<LockDescription>& d) { answered += d.ok() ? 1 : 0; };
  for (int round = 0; round < 11; ++round) {
    SetLink(follower, false);
    for (int i = 0; i < 100; ++i) inspect(count);
    world.RunFor(absl::Milliseconds(50));
    SetLink(follower, true);
    for (int i = 0; i < 30; ++i) {  // the ordinary traffic goes on
      inspect(count);
      world.RunFor(absl::Milliseconds(100));
    }
  }
  EXPECT_GT(answered, 0);
  ASSERT_EQ(cluster->Leader(), leader);
  world.RunFor(absl::Seconds(60));  // nobody calls any more
  EXPECT_TRUE((*guard)->Valid()) << "its lease could not be renewed";
  std::optional<absl::StatusOr<LockDescription>> last;
  inspect([&](absl::StatusOr<LockDescription> d) { last = std::move(d); });
  ASSERT_TRUE(world.RunUntil([&] { return last.has_value(); }, absl::Seconds(5)));
  EXPECT_TRUE(last->ok()) << last->status();
}

// One message from a member to its leader is lost: the one in which a session asks for its events.
TEST_F(ForwardTest, AGrantArrivesAlthoughOneListenWasLost) {
  Start([](const Envelope& envelope) {
    const auto* forward = std::get_if<Forward>(&envelope.body);
    const auto* requests = forward == nullptr ? nullptr : std::get_if<ForwardedRequests>(forward);
    return requests != nullptr &&
           std::any_of(requests->requests.begin(), requests->requests.end(),
                       [](const ClientRequest& r) { return r.kind == RequestKind::kListen; });
  });
  Occupy("x");
  OpenCoordinator();
  ASSERT_TRUE(world.RunUntil([&] { return lost; }, absl::Seconds(5)));
  Mend();
  int answered = 0;
  const auto traffic = [&](absl::Duration time) {  // other callers: the link is never silent
    for (absl::Duration t; t < time; t += absl::Milliseconds(200)) {
      coordinator.mutex("other").Inspect(
          absl::Seconds(2),
          [&](const absl::StatusOr<LockDescription>& d) { answered += d.ok() ? 1 : 0; });
      world.RunFor(absl::Milliseconds(200));
    }
  };
  traffic(absl::Seconds(1));
  Lock("x");
  traffic(absl::Seconds(1));
  Release("x");
  traffic(absl::Seconds(5));
  EXPECT_EQ(answered, 35);
  ExpectGranted("x");
}

// One message from the leader to another member is lost: the one with the grant. No other faults,
// no election, no other traffic than the session's renewals.
TEST_F(ForwardTest, AGrantArrivesAlthoughOneEventWasLost) {
  Start([](const Envelope& envelope) {
    const auto* forward = std::get_if<Forward>(&envelope.body);
    const auto* replies = forward == nullptr ? nullptr : std::get_if<ForwardedReplies>(forward);
    return replies != nullptr && !replies->message.events.empty();
  });
  Occupy("x");
  OpenCoordinator();
  world.RunFor(absl::Seconds(1));
  Lock("x");
  world.RunFor(absl::Seconds(1));
  Release("x");
  ASSERT_TRUE(world.RunUntil([&] { return lost; }, absl::Seconds(5)));
  Mend();
  world.RunFor(absl::Seconds(5));
  ExpectGranted("x");
}

// The leader serves so many ports of other members, and does not hear that these were closed.
TEST_F(ForwardTest, PortsWhoseEndWasLostMakeRoomForOthers) {
  Start();
  const auto read_on = [&](Caller& port) {
    return port.Await(port.Read(GetLock{"x"}), absl::Seconds(5)).refusal;
  };
  auto listener = Caller::Port(*cluster, follower);
  const Session kept = OpenSessionOn(*listener, absl::Seconds(59), 2);
  listener->Await(listener->Listen(kept.id));
  std::vector<std::unique_ptr<Caller>> ports;
  while (ports.size() < 16'383) {
    ports.push_back(Caller::Port(*cluster, follower));
    if (ports.size() % 500 == 0 || ports.size() == 16'383) {
      ASSERT_EQ(read_on(*ports.back()), Refusal::kNone);
    } else {
      ports.back()->Read(GetLock{"x"});
    }
  }
  SetLink(follower, false);
  ports.clear();
  world.RunFor(absl::Milliseconds(20));
  SetLink(follower, true);
  auto late = Caller::Port(*cluster, follower);
  EXPECT_EQ(read_on(*late), Refusal::kOverloaded) << "there is a bound";
  EXPECT_EQ(read_on(*listener), Refusal::kNone) << "who is served already, is served on";
  for (int i = 1; i <= 2; ++i) {  // its session lives on, and it asks nothing but that
    world.RunFor(absl::Seconds(35));
    listener->AwaitReply(listener->Write(kept.Renew(i)));
  }
  EXPECT_EQ(read_on(*late), Refusal::kNone);
  EXPECT_TRUE(listener->notices.empty()) << "one that is in use was forgotten";
  ASSERT_EQ(cluster->Leader(), leader);
}

// A port that is closed after it was answered is forgotten by the leader at once.
TEST_F(ForwardTest, PortsThatWereClosedLeaveNothingBehind) {
  Start();
  for (int i = 0; i < 40; ++i) {
    std::vector<std::unique_ptr<Caller>> ports(500);
    for (auto& port : ports) {
      port = Caller::Port(*cluster, follower);
      port->Read(GetLock{"x"});
    }
    for (auto& port : ports) ASSERT_EQ(port->Await(1).refusal, Refusal::kNone) << i;
  }
}

// The leader is elected again so fast that a member sees no other between, and does not hear that
// it was forgotten.
TEST_F(ForwardTest, AGrantArrivesAlthoughTheSameLeaderWasElectedAgain) {
  Start();
  Occupy("x");
  auto near = Caller::Port(*cluster, follower);
  Session waiter = OpenSessionOn(*near, absl::Seconds(59), 2);
  near->Await(near->Listen(waiter.id));
  near->AwaitReply(near->Write(waiter.Acquire("x", absl::Seconds(50))));
  const Term before = cluster->Status(leader).term;
  const int third = 3 - leader - follower;
  const auto cut = [&](bool up) {
    for (const int other : {leader, third}) {
      world.network().SetLink(cluster->address(other), cluster->address(follower), up);
      world.network().SetLink(cluster->address(follower), cluster->address(other), up);
    }
  };
  cut(false);
  there->Change(MemberAction::kTransfer, cluster->name(third));
  ASSERT_TRUE(world.RunUntil([&] { return cluster->Leader() == third; }, absl::Seconds(1)));
  auto back = Caller::Port(*cluster, third);
  back->Change(MemberAction::kTransfer, cluster->name(leader));
  ASSERT_TRUE(world.RunUntil([&] { return cluster->Leader() == leader; }, absl::Seconds(1)));
  const std::size_t told = near->notices.size();
  cut(true);
  ASSERT_TRUE(
      world.RunUntil([&] { return cluster->Status(follower).term > before; }, absl::Seconds(5)));
  ASSERT_TRUE(world.RunUntil([&] { return near->notices.size() > told; }, absl::Seconds(1)))
      << "whoever listened is not told to listen anew";
}

}  // namespace
}  // namespace tenure::member
