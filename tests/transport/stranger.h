// A bare socket that a stranger opened to a member, and as much of HTTP/2 as it takes to be one.
#ifndef TENURE_TESTS_TRANSPORT_STRANGER_H_
#define TENURE_TESTS_TRANSPORT_STRANGER_H_

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/time/time.h"
#include "tenure/loop.h"
#include "transport/wire.h"

namespace tenure::grpc_transport {

inline std::string Http2Frame(int type, int flags, int stream, const std::string& payload) {
  const auto size = static_cast<std::uint32_t>(payload.size());
  std::string frame;
  for (const int shift : {16, 8, 0}) frame.push_back(static_cast<char>(size >> shift));
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  for (const int shift : {24, 16, 8, 0}) frame.push_back(static_cast<char>(stream >> shift));
  return frame + payload;
}

inline std::string Header(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}

// What every connection of HTTP/2 begins with.
inline std::string Http2Preface() {
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Http2Frame(4, 0, 0, "");
}

// As much as it takes to open a stream of `method`.
inline std::string Opening(const std::string& method) {
  return Http2Preface() +
         Http2Frame(1, 4, 1,
                    Header(":method", "POST") + Header(":scheme", "http") +
                        Header(":path", method) + Header(":authority", "x") +
                        Header("content-type", "application/grpc") + Header("te", "trailers"));
}

// gRPC's prefix of a message: not compressed, and its length.
inline std::string Prefix(std::uint32_t length) {
  std::string prefix(1, '\0');
  for (const int shift : {24, 16, 8, 0}) prefix.push_back(static_cast<char>(length >> shift));
  return prefix;
}

inline std::string Data(const std::string& bytes) { return Http2Frame(0, 0, 1, bytes); }

inline std::string ClientHelloMessage() {
  std::string frame;
  wire::AppendHello(wire::ClientHello{}, &frame);
  return Prefix(static_cast<std::uint32_t>(frame.size())) + frame;
}

class Stranger {
 public:
  explicit Stranger(const std::string& address)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(
        static_cast<std::uint16_t>(std::atoi(address.substr(address.rfind(':') + 1).c_str())));
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;
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

}  // namespace tenure::grpc_transport

#endif  // TENURE_TESTS_TRANSPORT_STRANGER_H_
