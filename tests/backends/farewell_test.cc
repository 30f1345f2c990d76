// How a coordinator takes its leave, on a Loop with a thread of its own.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
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
#include "tenure/loop.h"
#include "tenure/session.h"
#include "tests/loop/await.h"
#include "transport/link.h"

namespace tenure::backends {
namespace {

// A member that opens and closes sessions, and counts the latter.
class ObligingLink final : public Link {
 public:
  ObligingLink(Loop* loop, LinkSink* sink, std::atomic<int>* closes)
      : loop_(loop), sink_(sink), closes_(closes) {
    Later([](LinkSink* to) { to->OnConnected(""); });
  }
  ~ObligingLink() override { *alive_ = false; }

  void Send(std::vector<ClientRequest> requests) override {
    for (const ClientRequest& request : requests) {
      Reply reply;
      const absl::StatusOr<Command> command = machine::DecodeCommand(request.command);
      if (command.ok() && std::holds_alternative<OpenSession>(command->operation)) {
        reply.result = SessionOpened{.session = 7, .ttl_ns = 10'000'000'000};
      } else if (command.ok() && std::holds_alternative<CloseSession>(command->operation)) {
        reply.result = SessionClosed{};
        ++*closes_;
      }
      Later([id = request.id, bytes = machine::EncodeReply(reply)](LinkSink* to) {
        ServerMessage message;
        message.replies.push_back({.id = id, .reply = bytes});
        to->OnMessage(std::move(message));
      });
    }
  }

 private:
  template <typename Work>
  void Later(Work work) {
    loop_->Post([work = std::move(work), sink = sink_, alive = alive_] {
      if (*alive) work(sink);
    });
  }

  Loop* const loop_;
  LinkSink* const sink_;
  std::atomic<int>* const closes_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// A callback has woken the thread that drops the last handles, and is not over yet itself: it still
// holds the session. The session is closed all the same before the handles are gone, since the
// process may end right then.
TEST(Farewell, IsTakenBeforeTheLastHandleIsGone) {
  std::atomic<int> closes{0};
  const std::shared_ptr<Loop> loop = NewThreadLoop();
  Coordinator coordinator(
      NewReplicatedBackend(loop,
                           [&](const std::string&, LinkSink* sink) {
                             return std::make_unique<ObligingLink>(loop.get(), sink, &closes);
                           },
                           {.endpoints = {"a:1"}, .linger = absl::Seconds(20)}));
  Happening opened;
  Happening gone;
  std::optional<Session> session;
  coordinator.OpenSession({}, [&](absl::StatusOr<Session> answer) {
    ASSERT_TRUE(answer.ok()) << answer.status();
    session = *std::move(answer);
    opened.Set();
    EXPECT_FALSE(gone.Await(std::chrono::milliseconds(100)));
  });
  ASSERT_TRUE(opened.Await());
  session.reset();
  coordinator = Coordinator();
  EXPECT_EQ(closes, 1);
  gone.Set();
}

}  // namespace
}  // namespace tenure::backends
