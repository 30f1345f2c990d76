// What strangers may do to the port: X1, X2 and their kin. Each connection here is a bare socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <future>
#include <string>

#include "tests/testing/sanitized.h"
#include "tests/transport/grpc_fixture.h"
#include "tests/transport/stranger.h"
#include "transport/grpc/client_stream.h"
#include "transport/wire.h"

namespace tenure::grpc_transport {
namespace {

// What a member may hold of frames that are not whole; a sanitizer's shadow comes on top.
constexpr std::int64_t kResidentMax = (testing::kSanitized ? 96 : 48) << 20;

const MemberId kN1{"n1", 11};

// Resident memory of this process, in bytes.
std::int64_t Resident() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t total = 0;
  std::int64_t resident = 0;
  statm >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

class GrpcExposure : public ::testing::Test {
 protected:
  // Short, so that the tests are: what counts is that each limit is there.
  GrpcExposure()
      : member_(kN1, {.hello_timeout = absl::Milliseconds(300),
                      .silence_timeout = absl::Milliseconds(1500)}) {
    EXPECT_TRUE(member_.Start().ok());
  }
  // Others are served all the while.
  void ExpectOthersServed() {
    Client client(member_.address());
    client.SendEach(1);
    EXPECT_TRUE(client.log.Await([&] { return client.replies.size() == 1; }));
  }

  Member member_;
};

TEST_F(GrpcExposure, X1_AConnectionThatSaysNothingIsClosed) {
  Stranger stranger(member_.address());
  EXPECT_TRUE(stranger.Closed());
}

TEST_F(GrpcExposure, X1_AConnectionThatOpensNoStreamIsClosed) {
  Stranger silent(member_.address());
  silent.Write(Http2Preface());
  Stranger without_hello(member_.address());
  without_hello.Write(Opening(kClientMethod));
  Stranger elsewhere(member_.address());
  elsewhere.Write(Opening("/some.other/Method"));
  ExpectOthersServed();
  EXPECT_TRUE(silent.Closed());
  EXPECT_TRUE(without_hello.Closed());
  EXPECT_TRUE(elsewhere.Closed());
}

TEST_F(GrpcExposure, GarbageIsClosed) {
  for (const std::string& garbage :
       {std::string(1000, 'x'), std::string("GET / HTTP/1.1\r\n\r\n"), std::string(100, '\xff'),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string(1000, '\xff'),
        Opening(kClientMethod) + Data(Prefix(5) + "\xff\xff\xff\xff\xff"),
        Opening(kPeerMethod) + Data(Prefix(5) + "\xff\xff\xff\xff\xff")}) {
    Stranger stranger(member_.address());
    stranger.Write(garbage);
    EXPECT_TRUE(stranger.Closed()) << garbage.substr(0, 20);
  }
  ExpectOthersServed();
}

// X2: a length field of 1 GiB costs nothing, and the connection is closed.
TEST_F(GrpcExposure, X2_ALengthOf1GiBIsNotAllocated) {
  ExpectOthersServed();
  const std::int64_t before = Resident();
  // In a frame of HTTP/2, in gRPC's prefix before the hello and after it, and on both methods.
  Stranger http2(member_.address());
  http2.Write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string("\xff\xff\xff\x00\x00", 5) +
              std::string(4, '\0'));
  Stranger before_hello(member_.address());
  before_hello.Write(Opening(kClientMethod) + Data(Prefix(1 << 30) + "x"));
  Stranger peer(member_.address());
  peer.Write(Opening(kPeerMethod) + Data(Prefix(1 << 30) + "x"));
  Stranger after_hello(member_.address());
  after_hello.Write(Opening(kClientMethod) + Data(ClientHelloMessage() + Prefix(1 << 30) + "x"));
  EXPECT_TRUE(http2.Closed());
  EXPECT_TRUE(before_hello.Closed());
  EXPECT_TRUE(peer.Closed());
  EXPECT_TRUE(after_hello.Closed());
  EXPECT_LT(Resident() - before, 8 << 20);
  ExpectOthersServed();
}

// The same, and the sender means it: it sends as fast as flow control lets it.
TEST_F(GrpcExposure, X2_AFrameOfManyMegabytesIsNotCollected) {
  ExpectOthersServed();
  const auto loop = NewGrpcClientLoop();
  const std::string huge(128 << 20, 'x');
  Log log;
  bool welcome = false;
  bool closed = false;
  std::shared_ptr<ClientStream> stream;
  loop->RunOnLoop([&] {
    stream = ClientStream::Connect(
        loop.get(), member_.address(), kClientMethod, {},
        {.on_open = [] {},
         .on_frame = [&](const ReceivedFrame&) { log.Change([&] { welcome = true; }); },
         .on_closed = [&](const absl::Status&) { log.Change([&] { closed = true; }); }});
    stream->outgoing().Append(
        [](std::string* hello) { wire::AppendHello(wire::ClientHello{}, hello); });
  });
  ASSERT_TRUE(log.Await([&] { return welcome; }));
  std::int64_t most = 0;
  std::int64_t before = 0;
  loop->RunOnLoop([&] {
    stream->outgoing().Append([&](std::string* element) { element->append(huge); });
    before = Resident();
    stream->FlushSoon();
  });
  // Looked at every few milliseconds until the connection is closed.
  TimerHandle timer;
  std::function<void()> look = [&] {
    log.Change([&] { most = std::max(most, Resident() - before); });
    timer = loop->At(loop->Now() + absl::Milliseconds(3), [&] { look(); });
  };
  loop->RunOnLoop(look);
  EXPECT_TRUE(log.Await([&] { return closed; }));
  loop->RunOnLoop([&] {
    timer.Cancel();
    stream = nullptr;
  });
  RecordProperty("resident_kib", static_cast<int>(most >> 10));
  EXPECT_LT(most, kResidentMax) << "what all connections together may leave unfinished";
  ExpectOthersServed();
}

TEST_F(GrpcExposure, AFrameWithoutEndIsClosed) {
  Stranger stranger(member_.address());
  stranger.Write(Opening(kClientMethod) + Data(ClientHelloMessage() + Prefix(1'000'000)));
  bool closed = false;
  for (int i = 0; i < 2'000 && !closed; ++i) {
    closed = !stranger.Write(Data("x")) || stranger.ClosedWithin(10);
    if (i == 20) ExpectOthersServed();
  }
  EXPECT_TRUE(closed);
  ASSERT_TRUE(member_.log.Await([&] { return !member_.closed.empty(); }));
}

TEST_F(GrpcExposure, AnOversizedFrameIsRefused) {
  Member small(kN1, {.max_frame_bytes = 100'000});
  ASSERT_TRUE(small.Start().ok());
  Client client(small.address());
  client.Send({{.id = 1, .command = std::string(200'000, 'x')}});
  ASSERT_TRUE(client.log.Await([&] { return client.closed.size() == 1; }));
  EXPECT_EQ(client.closed[0].code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(small.Get(&Member::requests).empty());
}

TEST_F(GrpcExposure, ConnectionsAreLimited) {
  Member small(kN1, {.max_connections = 3});
  ASSERT_TRUE(small.Start().ok());
  Client client(small.address());
  ASSERT_TRUE(client.log.Await([&] { return client.connected; }));
  Stranger first(small.address());
  Stranger second(small.address());
  Stranger third(small.address());
  EXPECT_TRUE(third.Closed());
  client.SendEach(1);
  EXPECT_TRUE(client.log.Await([&] { return client.replies.size() == 1; }));
}

// A client that is merely idle stays.
TEST_F(GrpcExposure, AnIdleClientStays) {
  Member member(kN1);
  ASSERT_TRUE(member.Start().ok());
  Client client(member.address());
  ASSERT_TRUE(client.log.Await([&] { return client.connected; }));
  std::promise<void> later;
  const TimerHandle timer =
      client.loop().At(client.loop().Now() + absl::Seconds(7), [&] { later.set_value(); });
  later.get_future().wait();
  client.SendEach(1);
  EXPECT_TRUE(client.log.Await([&] { return client.replies.size() == 1; }));
  EXPECT_TRUE(client.closed.empty());
}

}  // namespace
}  // namespace tenure::grpc_transport
