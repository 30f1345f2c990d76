#include "transport/inprocess.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/loop/await.h"

namespace tenure {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

void RunOn(Loop& loop, absl::AnyInvocable<void() &&> work) {
  Happening ran;
  loop.Post([&] {
    std::move(work)();
    ran.Set();
  });
  ASSERT_TRUE(ran.Await());
}

// Written and read on the transport's loop.
class Member final : public TransportSink {
 public:
  Member(InProcessNetwork& network, const std::string& name)
      : transport(network.NewTransport()), self{.id = {name, 1}, .address = name + ":1"} {}
  ~Member() override { transport->Stop(); }
  absl::Status Start() { return transport->Start(self, this); }

  void OnPeer(Envelope envelope) override {
    on_loop = on_loop && transport->loop().OnLoop();
    peers.push_back(std::move(envelope));
    if (peers.size() == expected) arrived.Set();
  }
  void OnClientRequests(ConnectionId connection, std::vector<ClientRequest> requests) override {
    last_client = connection;
    ServerMessage message;
    for (const ClientRequest& request : requests) message.replies.push_back({.id = request.id});
    transport->SendToClient(connection, std::move(message));
  }
  void OnClientClosed(ConnectionId) override { client_closed.Set(); }

  void SendTo(const std::string& name, std::uint64_t term) {
    Envelope envelope;
    envelope.from = {"somebody else", 9};
    envelope.to = {name, 1};
    envelope.body = raft::Message(raft::VoteRequest{.term = term});
    transport->Send(std::move(envelope));
  }
  std::vector<std::uint64_t> terms() const {
    std::vector<std::uint64_t> result;
    for (const Envelope& envelope : peers) {
      result.push_back(std::get<raft::VoteRequest>(std::get<raft::Message>(envelope.body)).term);
    }
    return result;
  }

  std::unique_ptr<Transport> transport;
  const Identity self;
  std::vector<Envelope> peers;
  std::size_t expected = 1;
  bool on_loop = true;
  ConnectionId last_client = 0;
  Happening arrived;
  Happening client_closed;
};

class InProcessTest : public ::testing::Test {
 protected:
  InProcessTest() {
    EXPECT_TRUE(a_.Start().ok());
    EXPECT_TRUE(b_.Start().ok());
    OnA([this] { a_.transport->SetPeers({{.name = "b", .address = "b:1"}}); });
  }
  void OnA(absl::AnyInvocable<void() &&> work) { RunOn(a_.transport->loop(), std::move(work)); }
  void OnB(absl::AnyInvocable<void() &&> work) { RunOn(b_.transport->loop(), std::move(work)); }

  std::unique_ptr<InProcessNetwork> network_ = NewInProcessNetwork();
  Member a_{*network_, "a"};
  Member b_{*network_, "b"};
};

TEST_F(InProcessTest, DeliversInOrderUnderTheSendersName) {
  b_.expected = 3;
  OnA([&] {
    for (std::uint64_t term = 1; term <= 3; ++term) a_.SendTo("b", term);
  });
  ASSERT_TRUE(b_.arrived.Await());
  OnB([&] {
    EXPECT_THAT(b_.terms(), ElementsAre(1, 2, 3));
    EXPECT_EQ(b_.peers[0].from, (MemberId{"a", 1}));
    EXPECT_TRUE(b_.on_loop);
  });
}

TEST_F(InProcessTest, RefusesWhatIsMeantForAnotherName) {
  OnA([&] {
    a_.transport->SetPeers({{.name = "c", .address = "b:1"}});
    a_.SendTo("c", 1);
  });
  OnB([&] { EXPECT_THAT(b_.peers, IsEmpty()); });
}

TEST_F(InProcessTest, CutsAreOneWayAndMend) {
  network_->SetLink("a:1", "b:1", false);
  OnA([&] { a_.SendTo("b", 1); });
  network_->SetLink("b:1", "a:1", false);
  network_->SetLink("a:1", "b:1", true);
  OnA([&] { a_.SendTo("b", 2); });
  ASSERT_TRUE(b_.arrived.Await());
  OnB([&] { EXPECT_THAT(b_.terms(), ElementsAre(2)); });
}

TEST_F(InProcessTest, AQueueIsBounded) {
  Happening release;
  Happening held;
  b_.transport->loop().Post([&] {
    held.Set();
    EXPECT_TRUE(release.Await());
  });
  ASSERT_TRUE(held.Await());
  OnA([&] {
    for (std::uint64_t i = 0; i < 100'000; ++i) a_.SendTo("b", i);
  });
  release.Set();
  OnB([&] {
    EXPECT_GT(b_.peers.size(), 100u);
    EXPECT_LT(b_.peers.size(), 10'000u);
    b_.peers.clear();
    b_.expected = 1;
  });
  OnA([&] { a_.SendTo("b", 7); });
  OnB([&] { EXPECT_THAT(b_.terms(), ElementsAre(7)); });
}

TEST_F(InProcessTest, AnAddressIsTakenOnceAndFreeAfterStop) {
  Member other(*network_, "b");
  const absl::Status taken = other.Start();
  EXPECT_EQ(taken.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(taken.message()), ::testing::HasSubstr("b:1"));
  b_.transport->Stop();
  b_.transport->Stop();
  EXPECT_TRUE(other.Start().ok());
  OnA([&] { a_.SendTo("b", 1); });
  EXPECT_TRUE(other.arrived.Await());
  OnB([&] { EXPECT_THAT(b_.peers, IsEmpty()); });
}

TEST_F(InProcessTest, StopRunsWhatWasPostedBefore) {
  bool ran = false;
  b_.transport->loop().Post([&] { ran = true; });
  b_.transport->Stop();
  EXPECT_TRUE(ran);
}

// ---- Clients
// --------------------------------------------------------------------------------------

class ClientEnd final : public InProcessClientSink {
 public:
  void OnConnected() override { connected = true; }
  void OnMessage(ServerMessage message) override {
    EXPECT_TRUE(connected);
    for (const ClientReply& reply : message.replies) replies.push_back(reply.id);
    answered.Set();
  }
  void OnClosed(absl::Status status) override {
    why = std::move(status);
    closed.Set();
  }

  bool connected = false;
  std::vector<std::uint64_t> replies;
  absl::Status why;
  Happening answered;
  Happening closed;
};

class InProcessClientTest : public InProcessTest {
 protected:
  ~InProcessClientTest() override {
    RunOn(*loop_, [this] { client_ = nullptr; });
  }
  void Connect(const std::string& to) {
    RunOn(*loop_, [&] { client_ = ConnectInProcess(*network_, *loop_, "c", to, &end_); });
  }
  void Ask() {
    RunOn(*loop_, [&] { client_->Send({{.id = 1}, {.id = 2}}); });
  }

  std::unique_ptr<Loop> loop_ = NewThreadLoop();
  ClientEnd end_;
  std::unique_ptr<InProcessClient> client_;
};

TEST_F(InProcessClientTest, AsksAndIsAnsweredAndCloses) {
  Connect("a:1");
  Ask();
  ASSERT_TRUE(end_.answered.Await());
  RunOn(*loop_, [&] { EXPECT_THAT(end_.replies, ElementsAre(1, 2)); });
  RunOn(*loop_, [&] { client_ = nullptr; });
  EXPECT_TRUE(a_.client_closed.Await());
  EXPECT_FALSE(end_.closed.IsSet());
}

TEST_F(InProcessClientTest, IsToldThatNobodyAnswers) {
  Connect("nobody:1");
  ASSERT_TRUE(end_.closed.Await());
  EXPECT_EQ(end_.why.code(), absl::StatusCode::kUnavailable);
}

TEST_F(InProcessClientTest, IsToldThatTheMemberStopped) {
  Connect("a:1");
  Ask();
  ASSERT_TRUE(end_.answered.Await());
  a_.transport->Stop();
  ASSERT_TRUE(end_.closed.Await());
  EXPECT_EQ(end_.why.code(), absl::StatusCode::kUnavailable);
}

TEST_F(InProcessClientTest, IsClosedByTheMember) {
  Connect("a:1");
  Ask();
  ASSERT_TRUE(end_.answered.Await());
  OnA([&] { a_.transport->CloseClient(a_.last_client, absl::InvalidArgumentError("nonsense")); });
  ASSERT_TRUE(end_.closed.Await());
  EXPECT_EQ(end_.why, absl::InvalidArgumentError("nonsense"));
  EXPECT_TRUE(a_.client_closed.Await());
}

TEST_F(InProcessClientTest, BreaksWithACut) {
  Connect("a:1");
  Ask();
  ASSERT_TRUE(end_.answered.Await());
  network_->SetLink("a:1", "c", false);
  Ask();
  ASSERT_TRUE(end_.closed.Await());
  EXPECT_TRUE(a_.client_closed.Await());
}

}  // namespace
}  // namespace tenure
