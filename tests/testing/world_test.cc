#include "tenure/testing/world.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tenure::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Keeps what arrives, and answers if told to.
class Recorder final : public TransportSink {
 public:
  void OnPeer(Envelope envelope) override { peers.push_back(std::move(envelope)); }
  void OnClientRequests(ConnectionId connection, std::vector<ClientRequest> requests) override {
    ++frames;
    for (ClientRequest& request : requests) {
      if (echo_to != nullptr) {
        ServerMessage message;
        message.replies.push_back({.id = request.id});
        echo_to->SendToClient(connection, std::move(message));
      }
      clients.emplace_back(connection, std::move(request));
    }
  }
  void OnClientClosed(ConnectionId connection) override { closed.push_back(connection); }

  std::vector<std::uint64_t> terms() const {
    std::vector<std::uint64_t> result;
    for (const Envelope& envelope : peers) {
      result.push_back(std::get<raft::VoteRequest>(std::get<raft::Message>(envelope.body)).term);
    }
    return result;
  }

  std::vector<Envelope> peers;
  std::vector<std::pair<ConnectionId, ClientRequest>> clients;
  std::vector<ConnectionId> closed;
  int frames = 0;
  Transport* echo_to = nullptr;
};

// A node whose member does nothing but record.
struct Member {
  Member(World& world, const std::string& name) : node(world.AddNode(name)) { Start(); }
  void Start() {
    transport = node.NewTransport();
    const Identity self = {.id = {node.name(), ++incarnation}, .address = node.name() + ":1"};
    EXPECT_TRUE(transport->Start(self, &sink).ok());
  }
  void SendTo(const std::string& name, std::uint64_t term) {
    Envelope envelope;
    envelope.from = {"somebody else", 9};
    envelope.to = {name, 1};
    envelope.body = raft::Message(raft::VoteRequest{.term = term});
    transport->Send(std::move(envelope));
  }

  VirtualNode& node;
  std::uint64_t incarnation = 0;
  Recorder sink;
  std::unique_ptr<Transport> transport;
};

struct Pair {
  explicit Pair(std::uint64_t seed) : world(seed), a(world, "a"), b(world, "b") {
    a.transport->SetPeers({{.name = "b", .address = "b:1"}});
    b.transport->SetPeers({{.name = "a", .address = "a:1"}});
  }
  World world;
  Member a;
  Member b;
};

class Client final : public ClientStreamSink {
 public:
  void OnConnected() override { connected = true; }
  void OnMessage(ServerMessage message) override { messages.push_back(std::move(message)); }
  void OnClosed(absl::Status status) override { why = std::move(status); }

  bool connected = false;
  std::vector<ServerMessage> messages;
  absl::Status why;
};

TEST(WorldTest, TimePassesOnlyWhenRun) {
  World world(1);
  std::vector<int> seen;
  world.After(absl::Seconds(2), [&] { seen.push_back(2); });
  world.After(absl::Seconds(1), [&] { seen.push_back(1); });
  world.After(absl::Seconds(1), [&] { seen.push_back(11); });
  EXPECT_EQ(world.now(), absl::ZeroDuration());
  world.RunFor(absl::Milliseconds(1500));
  EXPECT_THAT(seen, ElementsAre(1, 11));
  EXPECT_EQ(world.now(), absl::Milliseconds(1500));
  EXPECT_TRUE(world.RunUntil([&] { return seen.size() == 3; }, absl::Seconds(1)));
  EXPECT_EQ(world.now(), absl::Seconds(2));
  EXPECT_FALSE(world.RunUntil([] { return false; }, absl::Seconds(1)));
  EXPECT_EQ(world.now(), absl::Seconds(3));
  EXPECT_FALSE(world.Step());
}

TEST(WorldTest, AttributesMessagesToTheSendersIdentity) {
  Pair pair(1);
  pair.a.SendTo("b", 7);
  ASSERT_TRUE(pair.world.RunUntil([&] { return !pair.b.sink.peers.empty(); }, absl::Seconds(1)));
  EXPECT_EQ(pair.b.sink.peers[0].from, (MemberId{"a", 1}));
  EXPECT_THAT(pair.b.sink.terms(), ElementsAre(7));
}

TEST(WorldTest, RefusesWhatIsMeantForAnotherName) {
  Pair pair(1);
  pair.a.transport->SetPeers({{.name = "c", .address = "b:1"}});
  pair.a.SendTo("c", 7);
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(pair.b.sink.peers, IsEmpty());
}

TEST(WorldTest, AnAddressIsTakenOnce) {
  Pair pair(1);
  VirtualNode& c = pair.world.AddNode("c");
  Recorder sink;
  const std::unique_ptr<Transport> transport = c.NewTransport();
  const absl::Status status = transport->Start({.id = {"c", 1}, .address = "a:1"}, &sink);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("a:1"));
}

TEST(WorldTest, ReorderingIsSeldomUnlessAsked) {
  Pair pair(3);
  std::vector<std::uint64_t> sent;
  for (std::uint64_t i = 0; i < 100; ++i) {
    sent.push_back(i);
    pair.a.SendTo("b", i);
  }
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_EQ(pair.b.sink.terms(), sent);

  pair.world.network().SetDefaults({.reordering = 0.5});
  pair.b.sink.peers.clear();
  for (const std::uint64_t i : sent) pair.a.SendTo("b", i);
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_NE(pair.b.sink.terms(), sent);
  EXPECT_THAT(pair.b.sink.terms(), ::testing::UnorderedElementsAreArray(sent));
}

TEST(WorldTest, LosesAndDuplicates) {
  Pair pair(3);
  pair.world.network().SetLinkOptions("a:1", "b:1", {.loss = 1});
  pair.a.SendTo("b", 1);
  pair.b.SendTo("a", 1);
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(pair.b.sink.peers, IsEmpty());
  EXPECT_THAT(pair.a.sink.peers, SizeIs(1));
  pair.world.network().SetLinkOptions("a:1", "b:1", {.duplication = 1});
  pair.a.SendTo("b", 2);
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(pair.b.sink.terms(), ElementsAre(2, 2));
}

TEST(WorldTest, CutsAreOneWayAndLoseWhatIsUnderWay) {
  Pair pair(3);
  pair.a.SendTo("b", 1);
  pair.world.network().SetLink("a:1", "b:1", false);
  pair.a.SendTo("b", 2);
  pair.b.SendTo("a", 3);
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(pair.b.sink.peers, IsEmpty());
  EXPECT_THAT(pair.a.sink.terms(), ElementsAre(3));
  pair.world.network().MendAll();
  pair.a.SendTo("b", 4);
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(pair.b.sink.terms(), ElementsAre(4));
}

TEST(WorldTest, ACloggedLinkDeliversLater) {
  Pair pair(3);
  pair.world.network().SetClogged("a:1", "b:1", true);
  for (std::uint64_t i = 0; i < 20; ++i) pair.a.SendTo("b", i);
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(pair.b.sink.peers, IsEmpty());
  pair.world.network().SetClogged("a:1", "b:1", false);
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(pair.b.sink.peers, SizeIs(20));
  EXPECT_FALSE(std::is_sorted(pair.b.sink.terms().begin(), pair.b.sink.terms().end()));
}

TEST(WorldTest, ALinkIsBounded) {
  Pair pair(3);
  pair.world.network().SetDefaults({.capacity = 10});
  pair.b.node.Pause();
  for (std::uint64_t i = 0; i < 20; ++i) pair.a.SendTo("b", i);
  pair.world.RunFor(absl::Seconds(1));
  for (std::uint64_t i = 0; i < 20; ++i) pair.a.SendTo("b", i);
  pair.b.node.Resume();
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(pair.b.sink.peers, SizeIs(10));
  pair.a.SendTo("b", 30);
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(pair.b.sink.peers, SizeIs(11));
}

TEST(WorldTest, APausedNodeCatchesUp) {
  Pair pair(3);
  bool fired = false;
  const TimerHandle timer =
      pair.b.node.loop().At(pair.b.node.loop().Now() + absl::Seconds(1), [&] { fired = true; });
  pair.b.node.Pause();
  pair.a.SendTo("b", 1);
  pair.world.RunFor(absl::Seconds(5));
  EXPECT_FALSE(fired);
  EXPECT_THAT(pair.b.sink.peers, IsEmpty());
  pair.b.node.Resume();
  pair.world.RunFor(absl::ZeroDuration());
  EXPECT_TRUE(fired);
  EXPECT_THAT(pair.b.sink.peers, SizeIs(1));
}

TEST(WorldTest, AKilledProcessIsGoneAndItsSuccessorIsAnother) {
  Pair pair(3);
  auto token = std::make_shared<int>(0);
  Loop& loop = pair.b.node.loop();
  const TimerHandle timer = loop.At(loop.Now() + absl::Seconds(1), [token] { ++*token; });
  loop.Post([token] { ++*token; });
  pair.a.SendTo("b", 1);
  pair.b.node.Kill();
  EXPECT_EQ(token.use_count(), 1);
  loop.Post([token] { ++*token; });
  pair.world.RunFor(absl::Seconds(2));
  EXPECT_EQ(*token, 0);
  EXPECT_THAT(pair.b.sink.peers, IsEmpty());

  pair.b.transport = nullptr;
  pair.b.node.Restart();
  pair.b.Start();
  EXPECT_NE(&pair.b.node.loop(), &loop);
  pair.a.SendTo("b", 2);
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(pair.b.sink.terms(), ElementsAre(2));
}

TEST(WorldTest, StopRunsWhatWasPostedAndThenNothing) {
  Pair pair(3);
  bool ran = false;
  pair.b.node.loop().Post([&] { ran = true; });
  pair.a.SendTo("b", 1);
  pair.b.transport->Stop();
  EXPECT_TRUE(ran);
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(pair.b.sink.peers, IsEmpty());
  pair.b.transport->Stop();
}

// ---- Clocks
// ---------------------------------------------------------------------------------------

TEST(WorldClockTest, ClocksDriftJumpAndStandStillByThemselves) {
  World world(1);
  VirtualNode& node = world.AddNode("a", {.clocks = Instant::FromReadings(1000, 500)});
  EXPECT_EQ(node.loop().Now(), Instant::FromReadings(1000, 500));
  node.SetClockDrift(Clock::kBoottime, 0.01);
  world.RunFor(absl::Seconds(100));
  EXPECT_EQ(node.loop().Now(),
            Instant::FromReadings(101'000'000'000 + 1000, 100'000'000'000 + 500));
  node.SetClockDrift(Clock::kBoottime, 0);
  node.JumpClock(Clock::kBoottime, absl::Seconds(-1));
  EXPECT_EQ(node.loop().Now().boottime_ns(), 100'000'000'000 + 1000);
  node.Suspend();
  world.RunFor(absl::Seconds(1));
  EXPECT_EQ(node.loop().Now(),
            Instant::FromReadings(101'000'000'000 + 1000, 100'000'000'000 + 500));
  node.Resume();
  world.RunFor(absl::Seconds(1));
  EXPECT_EQ(node.loop().Now(),
            Instant::FromReadings(102'000'000'000 + 1000, 101'000'000'000 + 500));
}

TEST(WorldClockTest, TimersFireByWhicheverClockIsFirst) {
  World world(1);
  VirtualNode& node = world.AddNode("a");
  absl::Duration fired = absl::InfiniteDuration();
  const auto start = [&] {
    fired = absl::InfiniteDuration();
    return node.loop().At(node.loop().Now() + absl::Seconds(11), [&] { fired = world.now(); });
  };
  node.SetClockDrift(Clock::kMonotonicRaw, 0.1);
  TimerHandle timer = start();
  world.RunFor(absl::Seconds(20));
  EXPECT_EQ(fired, absl::Seconds(10));
  node.SetClockDrift(Clock::kMonotonicRaw, -1);
  timer = start();
  world.RunFor(absl::Seconds(20));
  EXPECT_EQ(fired, absl::Seconds(31));
  timer = start();
  node.JumpClock(Clock::kBoottime, absl::Seconds(10));
  world.RunFor(absl::Seconds(20));
  EXPECT_EQ(fired, absl::Seconds(41));
}

TEST(WorldClockTest, ATurnKeepsTheLoopBusy) {
  World world(1);
  VirtualNode& node = world.AddNode("a", {.turn_cost = absl::Milliseconds(10)});
  std::vector<absl::Duration> turns;
  node.loop().Post([&] { turns.push_back(world.now()); });
  world.After(absl::Milliseconds(1),
              [&] { node.loop().Post([&] { turns.push_back(world.now()); }); });
  world.RunFor(absl::Seconds(1));
  EXPECT_THAT(turns, ElementsAre(absl::ZeroDuration(), absl::Milliseconds(10)));
}

// ---- Clients
// --------------------------------------------------------------------------------------

TEST(WorldClientTest, AsksAndIsAnswered) {
  Pair pair(3);
  VirtualNode& node = pair.world.AddNode("c");
  pair.a.sink.echo_to = pair.a.transport.get();
  Client client;
  std::unique_ptr<ClientStream> stream = pair.world.network().Connect(node, "a:1", &client);
  node.loop().Post([&] {
    stream->Send({{.id = 1}});
    stream->Send({{.id = 2}});
  });
  ASSERT_TRUE(pair.world.RunUntil([&] { return client.messages.size() == 2; }, absl::Seconds(1)));
  EXPECT_TRUE(client.connected);
  EXPECT_EQ(pair.a.sink.frames, 1);
  EXPECT_EQ(client.messages[1].replies[0].id, 2u);

  const ConnectionId id = pair.a.sink.clients[0].first;
  stream = nullptr;
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(pair.a.sink.closed, ElementsAre(id));
  EXPECT_TRUE(client.why.ok());
}

TEST(WorldClientTest, IsToldWhenNobodyAnswersOrTheMemberDies) {
  Pair pair(3);
  VirtualNode& node = pair.world.AddNode("c");
  Client refused;
  Client killed;
  const auto no = pair.world.network().Connect(node, "nobody:1", &refused);
  const auto yes = pair.world.network().Connect(node, "a:1", &killed);
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_EQ(refused.why.code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(refused.connected);
  EXPECT_TRUE(killed.connected);
  pair.a.node.Kill();
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_EQ(killed.why.code(), absl::StatusCode::kUnavailable);
}

TEST(WorldClientTest, StallsWithACutAndBreaksWhenItLasts) {
  Pair pair(3);
  VirtualNode& node = pair.world.AddNode("c");
  pair.a.sink.echo_to = pair.a.transport.get();
  Client client;
  const auto stream = pair.world.network().Connect(node, "a:1", &client);
  pair.world.RunFor(absl::Seconds(1));
  pair.world.network().SetLink("a:1", "c", false);
  stream->Send({{.id = 1}});
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(client.messages, IsEmpty());
  pair.world.network().SetLink("a:1", "c", true);
  EXPECT_TRUE(pair.world.RunUntil([&] { return client.messages.size() == 1; }, absl::Seconds(1)));

  pair.world.network().SetLink("a:1", "c", false);
  pair.world.RunFor(absl::Seconds(3));
  EXPECT_EQ(client.why.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(pair.a.sink.closed, SizeIs(1));
}

TEST(WorldClientTest, TheMemberCloses) {
  Pair pair(3);
  VirtualNode& node = pair.world.AddNode("c");
  Client client;
  const auto stream = pair.world.network().Connect(node, "a:1", &client);
  stream->Send({{.id = 1}});
  pair.world.RunFor(absl::Seconds(1));
  ASSERT_THAT(pair.a.sink.clients, SizeIs(1));
  const ConnectionId id = pair.a.sink.clients[0].first;
  pair.a.transport->CloseClient(id, absl::InvalidArgumentError("nonsense"));
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_EQ(client.why, absl::InvalidArgumentError("nonsense"));
  EXPECT_THAT(pair.a.sink.closed, ElementsAre(id));
}

TEST(WorldClientTest, WhoDoesNotReadIsClosed) {
  Pair pair(3);
  VirtualNode& node = pair.world.AddNode("c");
  Client client;
  const auto stream = pair.world.network().Connect(node, "a:1", &client);
  stream->Send({{.id = 1}});
  pair.world.RunFor(absl::Seconds(1));
  node.Pause();
  const ConnectionId id = pair.a.sink.clients[0].first;
  for (int i = 0; i < 100'000; ++i) pair.a.transport->SendToClient(id, {});
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_THAT(pair.a.sink.closed, ElementsAre(id));
  node.Resume();
  pair.world.RunFor(absl::Seconds(1));
  EXPECT_EQ(client.why.code(), absl::StatusCode::kResourceExhausted);
}

// ---- Determinism
// ----------------------------------------------------------------------------------

// Two members that throw messages back and forth through every kind of trouble.
std::uint64_t Play(std::uint64_t seed) {
  Pair pair(seed);
  pair.world.network().SetDefaults({.loss = 0.1, .duplication = 0.1, .reordering = 0.3});
  for (std::uint64_t i = 0; i < 1000; ++i) {
    pair.world.After(pair.world.RandomDuration(absl::ZeroDuration(), absl::Seconds(1)), [&pair, i] {
      (i % 2 == 0 ? pair.a : pair.b).SendTo(i % 2 == 0 ? "b" : "a", i);
    });
  }
  pair.world.After(absl::Milliseconds(300), [&] { pair.b.node.Pause(); });
  pair.world.After(absl::Milliseconds(400), [&] { pair.b.node.Resume(); });
  pair.world.RunFor(absl::Seconds(3));
  return pair.world.trace_hash();
}

TEST(WorldTraceTest, ASeedReplaysARun) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    EXPECT_EQ(Play(seed), Play(seed));
    EXPECT_NE(Play(seed), Play(seed + 1));
  }
}

}  // namespace
}  // namespace tenure::testing
