// What the tests of the gRPC transport share. Loopback only, ports chosen by the system; everything
// is awaited, nothing is slept for.
#ifndef TENURE_TESTS_TRANSPORT_GRPC_FIXTURE_H_
#define TENURE_TESTS_TRANSPORT_GRPC_FIXTURE_H_

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tenure/grpc/transport.h"
#include "transport/grpc/client_link.h"
#include "transport/grpc/transport.h"

namespace tenure::grpc_transport {

// Values that the loop's thread writes and the test awaits.
class Log {
 public:
  void Change(const std::function<void()>& change) {
    std::lock_guard<std::mutex> lock(mutex_);
    change();
    changed_.notify_all();
  }
  // False after a limit that no healthy run comes near.
  [[nodiscard]] bool Await(const std::function<bool()>& condition) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), condition);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

// A transport that records what it hears. Requests are answered with their own command, unless told
// otherwise.
class Member : public TransportSink {
 public:
  explicit Member(MemberId id, grpc::TransportOptions options = {})
      : id_(std::move(id)), transport_(std::make_unique<GrpcTransport>(options)) {}
  // The loop's thread uses transport_ until it is stopped.
  ~Member() override { transport_->Stop(); }

  absl::Status Start(const std::string& listen = "127.0.0.1:0") {
    return transport_->Start({.id = id_, .address = listen}, this);
  }
  std::string address() const { return transport_->bound_address(); }
  GrpcTransport& transport() { return *transport_; }
  void Stop() { transport_->Stop(); }

  void OnLoop(const std::function<void()>& work) {
    ASSERT_TRUE(transport_->grpc_loop().RunOnLoop(work));
  }
  void SetPeers(std::vector<Peer> peers) {
    OnLoop([&] { transport_->SetPeers(peers); });
  }
  void Send(const MemberId& to, PeerBody body) {
    OnLoop([&] { transport_->Send({.from = id_, .to = to, .body = std::move(body)}); });
  }
  void SendNumber(const MemberId& to, std::uint64_t number) {
    Send(to, Forward(ForwardClosed{number}));
  }

  // What was recorded so far, of any kind.
  template <typename Value>
  Value Get(Value Member::*recorded) {
    Value value;
    log.Change([&] { value = this->*recorded; });
    return value;
  }

  // Numbers that were heard from exactly that incarnation.
  std::vector<std::uint64_t> NumbersFrom(const MemberId& from) const {
    std::vector<std::uint64_t> numbers;
    for (const Envelope& envelope : heard) {
      if (envelope.from != from) continue;
      numbers.push_back(std::get<ForwardClosed>(std::get<Forward>(envelope.body)).origin);
    }
    return numbers;
  }

  Log log;
  std::vector<Envelope> heard;
  std::vector<ClientRequest> requests;
  std::vector<ConnectionId> closed;
  std::size_t request_batches = 0;
  std::function<void(ConnectionId, const std::vector<ClientRequest>&)> answer =
      [this](ConnectionId connection, const std::vector<ClientRequest>& asked) {
        ServerMessage message;
        for (const ClientRequest& request : asked) {
          message.replies.push_back({.id = request.id, .reply = request.command});
        }
        transport_->SendToClient(connection, std::move(message));
      };

 private:
  void OnPeer(Envelope envelope) override {
    log.Change([&] { heard.push_back(std::move(envelope)); });
  }
  void OnClientRequests(ConnectionId connection, std::vector<ClientRequest> asked) override {
    log.Change([&] {
      ++request_batches;
      requests.insert(requests.end(), asked.begin(), asked.end());
    });
    if (answer) answer(connection, asked);
  }
  void OnClientClosed(ConnectionId connection) override {
    log.Change([&] { closed.push_back(connection); });
  }

  const MemberId id_;
  std::unique_ptr<GrpcTransport> transport_;
};

// Keeps a loop from doing anything, until Release.
class HeldLoop {
 public:
  explicit HeldLoop(Loop& loop) {
    const auto held = std::make_shared<std::promise<void>>();
    loop.Post([held, released = release_.get_future()] {
      held->set_value();
      released.wait();
    });
    held->get_future().wait();
  }
  void Release() { release_.set_value(); }

 private:
  std::promise<void> release_;  // dropped without Release, it lets go, too
};

// A client that records what it hears.
class Client : public backends::LinkSink {
 public:
  explicit Client(const std::string& address) {
    EXPECT_TRUE(
        loop_->RunOnLoop([&] { link_ = ConnectClientLink(loop_.get(), address, this, {}); }));
  }
  ~Client() override { Close(); }

  GrpcLoop& loop() { return *loop_; }
  void Close() {
    loop_->RunOnLoop([&] { link_.reset(); });
  }
  void Send(std::vector<ClientRequest> asked) {
    ASSERT_TRUE(loop_->RunOnLoop([&] { link_->Send(std::move(asked)); }));
  }
  // One request a call, all in one turn.
  void SendEach(std::uint64_t count) {
    ASSERT_TRUE(loop_->RunOnLoop([&] {
      for (std::uint64_t id = 1; id <= count; ++id) link_->Send({{.id = id, .command = "c"}});
    }));
  }

  Log log;
  bool connected = false;
  std::vector<ClientReply> replies;
  std::vector<std::string> events;
  std::size_t messages = 0;
  std::vector<absl::Status> closed;

 private:
  void OnConnected(std::string) override {
    log.Change([&] { connected = true; });
  }
  void OnMessage(ServerMessage message) override {
    log.Change([&] {
      ++messages;
      for (ClientReply& reply : message.replies) replies.push_back(std::move(reply));
      for (std::string& event : message.events) events.push_back(std::move(event));
    });
  }
  void OnClosed(absl::Status why) override {
    log.Change([&] { closed.push_back(std::move(why)); });
  }

  std::unique_ptr<GrpcLoop> loop_ = NewGrpcClientLoop();
  std::unique_ptr<backends::Link> link_;
};

}  // namespace tenure::grpc_transport

#endif  // TENURE_TESTS_TRANSPORT_GRPC_FIXTURE_H_
