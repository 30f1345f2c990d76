// Members on real threads: start, serve, stop at any moment. What it guards against shows under the
// thread sanitizer.
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "member/node.h"

namespace tenure::member {
namespace {

class Sink : public PortSink {
 public:
  void OnMessage(ServerMessage message) override {
    for (ClientReply& reply : message.replies) {
      if (reply.refusal == Refusal::kNone && !std::exchange(answered_, true)) answer.set_value();
    }
  }
  std::promise<void> answer;

 private:
  bool answered_ = false;
};

TEST(Threads, MembersStartServeAndStopAtAnyMoment) {
  for (int round = 0; round < 5; ++round) {
    const std::unique_ptr<InProcessNetwork> network = NewInProcessNetwork();
    std::vector<std::unique_ptr<Storage>> storages;
    std::vector<std::unique_ptr<Transport>> transports;
    std::vector<std::unique_ptr<Node>> nodes;
    for (int i = 1; i <= 3; ++i) {
      MemberOptions options;
      options.id = absl::StrCat("n", i);
      options.cluster = "n1=a:1,n2=a:2,n3=a:3";
      options.assert_new = true;
      options.heartbeat_interval = absl::Milliseconds(20);
      options.election_timeout_min = absl::Milliseconds(60);
      options.election_timeout_max = absl::Milliseconds(120);
      storages.push_back(NewMemoryStorage());
      transports.push_back(network->NewTransport());
      absl::StatusOr<std::unique_ptr<Node>> node =
          Node::Start(std::move(options), transports.back().get(), storages.back().get());
      ASSERT_TRUE(node.ok()) << node.status();
      nodes.push_back(*std::move(node));
    }
    Sink sink;
    PortId port = 0;
    Node* const first = nodes[0].get();
    Loop& loop = transports[0]->loop();
    if (round < 4) {
      loop.Post([&] {
        port = first->OpenPort(&sink);
        first->SendOnPort(port, {{.id = 1, .kind = RequestKind::kStatus}});
      });
      sink.answer.get_future().wait();
    }
    if (round == 2) loop.Post([&] { first->ClosePort(port); });
    nodes[static_cast<std::size_t>(round % 3)]->Stop();
    nodes.clear();
  }
}

}  // namespace
}  // namespace tenure::member
