// What strangers may do to the port: X1, X2 and their kin. Each connection here is a bare socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <future>
#include <string>

#include "tests/transport/grpc_fixture.h"
#include "transport/grpc/client_stream.h"
#include "transport/wire.h"

namespace tenure::grpc_transport {
namespace {

const MemberId kN1{"n1", 11};

// Resident memory of this process, in bytes.
std::int64_t Resident() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t total = 0;
  std::int64_t resident = 0;
  statm >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

std::string Http2Frame(int type, int flags, int stream, const std::string& payload) {
  const auto size = static_cast<std::uint32_t>(payload.size());
  std::string frame;
  for (const int shift : {16, 8, 0}) frame.push_back(static_cast<char>(size >> shift));
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  for (const int shift : {24, 16, 8, 0}) frame.push_back(static_cast<char>(stream >> shift));
  return frame + payload;
}

std::string Header(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}

// As much of HTTP/2 as it takes to open a stream of `method`.
std::string Opening(const std::string& method) {
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Http2Frame(4, 0, 0, "") +
         Http2Frame(1, 4, 1,
                    Header(":method", "POST") + Header(":scheme", "http") +
                        Header(":path", method) + Header(":authority", "x") +
                        Header("content-type", "application/grpc") + Header("te", "trailers"));
}

// gRPC's prefix of a message: not compressed, and its length.
std::string Prefix(std::uint32_t length) {
  std::string prefix(1, '\0');
  for (const int shift : {24, 16, 8, 0}) prefix.push_back(static_cast<char>(length >> shift));
  return prefix;
}

std::string Data(const std::string& bytes) { return Http2Frame(0, 0, 1, bytes); }

std::string ClientHelloMessage() {
  std::string frame;
  wire::AppendHello(wire::ClientHello{}, &frame);
  return Prefix(static_cast<std::uint32_t>(frame.size())) + frame;
}

class Stranger {
 public:
  explicit Stranger(const std::string& address) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(
        static_cast<std::uint16_t>(std::atoi(address.substr(address.rfind(':') + 1).c_str())));
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  }
  ~Stranger() { close(fd_); }

  // False once the other side has closed.
  bool Write(const std::string& bytes) {
    return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) >= 0;
  }
  // Takes what comes, for at most so long. True once the other side has closed.
  bool ClosedWithin(int ms) {
    const Instant until = ReadMonotonicClocks() + absl::Milliseconds(ms);
    char bytes[4096];
    do {
      pollfd polled = {fd_, POLLIN, 0};
      if (poll(&polled, 1, 10) > 0 && recv(fd_, bytes, sizeof(bytes), 0) <= 0) return true;
    } while (!ReadMonotonicClocks().Reached(until));
    return false;
  }
  bool Closed() { return ClosedWithin(30'000); }

 private:
  const int fd_;
};

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
  silent.Write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Http2Frame(4, 0, 0, ""));
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
  const std::string frame(256 << 20, 'x');
  Log log;
  bool closed = false;
  std::int64_t most = 0;
  std::int64_t before = 0;
  loop->RunOnLoop([&] {
    const auto stream = ClientStream::Connect(
        loop.get(), member_.address(), kClientMethod, {},
        {.on_open = [] {},
         .on_frame = [](const ReceivedFrame&) {},
         .on_closed = [&](const absl::Status&) { log.Change([&] { closed = true; }); }});
    stream->outgoing().Append(
        [](std::string* hello) { wire::AppendHello(wire::ClientHello{}, hello); });
    stream->outgoing().Append([&](std::string* element) { element->append(frame); });
    before = Resident();
  });
  // Looked at every few milliseconds until the connection is closed.
  TimerHandle timer;
  std::function<void()> look = [&] {
    log.Change([&] { most = std::max(most, Resident() - before); });
    timer = loop->At(loop->Now() + absl::Milliseconds(3), [&] { look(); });
  };
  loop->RunOnLoop(look);
  EXPECT_TRUE(log.Await([&] { return closed; }));
  loop->RunOnLoop([&] { timer.Cancel(); });
  RecordProperty("resident_kib", static_cast<int>(most >> 10));
  EXPECT_LT(most, 64 << 20);
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
  ASSERT_TRUE(member_.log.Await([&] { return member_.closed.size() >= 1; }));
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
