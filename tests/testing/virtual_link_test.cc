#include "testing/virtual_link.h"

#include <memory>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tenure::testing {
namespace {

// Answers each request, unless it is number 13.
class Echo final : public TransportSink {
 public:
  explicit Echo(VirtualNode& node) : transport_(node.NewTransport()) {
    EXPECT_TRUE(transport_->Start({.id = {"a", 1}, .address = "a:1"}, this).ok());
  }
  void OnPeer(Envelope) override {}
  void OnClientRequests(ConnectionId connection, std::vector<ClientRequest> requests) override {
    ServerMessage message;
    for (const ClientRequest& request : requests) {
      if (request.id == 13) {
        return transport_->CloseClient(connection, absl::InvalidArgumentError("thirteen"));
      }
      message.replies.push_back({.id = request.id});
    }
    transport_->SendToClient(connection, std::move(message));
  }
  void OnClientClosed(ConnectionId) override { ++closed; }

  int closed = 0;

 private:
  std::unique_ptr<Transport> transport_;
};

class Sink final : public backends::LinkSink {
 public:
  void OnConnected(std::string) override { connected = true; }
  void OnMessage(ServerMessage message) override {
    for (const ClientReply& reply : message.replies) replies.push_back(reply.id);
  }
  void OnClosed(absl::Status status) override { why = std::move(status); }

  bool connected = false;
  std::vector<std::uint64_t> replies;
  absl::Status why;
};

TEST(VirtualLinkTest, CarriesRequestsAndRepliesAndTheEnd) {
  World world(1);
  Echo echo(world.AddNode("a"));
  VirtualNode& client = world.AddNode("c");
  Sink sink;
  const backends::LinkFactory links = VirtualLinks(world, client);
  std::unique_ptr<backends::Link> link = links("a:1", &sink);
  EXPECT_FALSE(sink.connected);
  client.loop().Post([&] { link->Send({{.id = 1}, {.id = 2}}); });
  world.RunFor(absl::Seconds(1));
  EXPECT_TRUE(sink.connected);
  EXPECT_THAT(sink.replies, ::testing::ElementsAre(1, 2));

  client.loop().Post([&] { link->Send({{.id = 13}}); });
  world.RunFor(absl::Seconds(1));
  EXPECT_EQ(sink.why, absl::InvalidArgumentError("thirteen"));
  EXPECT_EQ(echo.closed, 1);

  sink = Sink();
  link = links("a:1", &sink);
  world.RunFor(absl::Seconds(1));
  client.loop().Post([&] { link = nullptr; });
  world.RunFor(absl::Seconds(1));
  EXPECT_TRUE(sink.why.ok());
  EXPECT_EQ(echo.closed, 2);
}

}  // namespace
}  // namespace tenure::testing
