#include "transport/grpc/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/loop.h"

namespace tenure::grpc_transport {
namespace {

constexpr int kBacklog = 1024;
constexpr unsigned kDeadAfterMs = 10'000;
constexpr std::uint64_t kHurryBytes = 256 << 10;

absl::Status CannotListen(const std::string& address, int error) {
  std::string what = strerror(error);
  if (error == EADDRINUSE) {
    what = "the port is taken by another process; stop it or choose another address";
  } else if (error == EADDRNOTAVAIL) {
    what = "this machine has no such address; bind one that it has, or 0.0.0.0";
  } else if (error == EACCES) {
    what = "not permitted; choose a port from 1024 up";
  }
  return absl::UnavailableError(absl::StrCat("cannot listen on ", address, ": ", what));
}

// "host:port" or "[host]:port"; an empty host is any address.
bool SplitAddress(const std::string& address, std::string* host, std::string* port) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size()) return false;
  *host = address.substr(0, colon);
  *port = address.substr(colon + 1);
  if (host->size() >= 2 && host->front() == '[' && host->back() == ']') {
    *host = host->substr(1, host->size() - 2);
  } else if (host->find(':') != std::string::npos) {
    return false;
  }
  return port->find_first_not_of("0123456789") == std::string::npos && port->size() <= 5;
}

int BindOne(const addrinfo& info) {
  const int fd = socket(info.ai_family, info.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const int on = 1;
  // A restart on the same port need not wait for old connections to be forgotten.
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd, info.ai_addr, info.ai_addrlen) == 0 && listen(fd, kBacklog) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int BoundPort(int fd) {
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                           : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Listen(
    const std::string& address, Limits limits, std::function<void(int fd)> on_accepted) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor(limits, std::move(on_accepted)));
  const absl::Status bound = acceptor->Bind(address);
  if (!bound.ok()) return bound;
  return acceptor;
}

Acceptor::Acceptor(Limits limits, std::function<void(int fd)> on_accepted)
    : limits_(limits), on_accepted_(std::move(on_accepted)) {}

Acceptor::~Acceptor() {
  Stop();
  if (listening_ >= 0) close(listening_);
  if (wake_ >= 0) close(wake_);
}

absl::Status Acceptor::Bind(const std::string& address) {
  std::string host;
  std::string port;
  if (!SplitAddress(address, &host, &port)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", address, "' is no address to listen on; write host:port"));
  }
  addrinfo hints = {};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", address, ": ",
                                               gai_strerror(error),
                                               "; listen on an address of this host (`--listen`)"));
  }
  for (const addrinfo* info = found; info != nullptr && listening_ < 0; info = info->ai_next) {
    listening_ = BindOne(*info);
  }
  const int bind_error = errno;
  freeaddrinfo(found);
  if (listening_ < 0) return CannotListen(address, bind_error);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_ < 0) return CannotListen(address, errno);
  bound_address_ = absl::StrCat(address.substr(0, address.rfind(':')), ":", BoundPort(listening_));
  return absl::OkStatus();
}

void Acceptor::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Acceptor::Stop() {
  if (!thread_.joinable()) return;
  const std::uint64_t one = 1;
  if (write(wake_, &one, sizeof(one)) < 0) return;  // cannot fail: the counter is ours alone
  thread_.join();
  // Nobody connects to a listener that has stopped.
  close(std::exchange(listening_, -1));
}

std::shared_ptr<Connection> Acceptor::Find(int fd) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = connections_.find(fd);
  return found == connections_.end() ? nullptr : found->second;
}

// ---- The acceptor's thread
// -------------------------------------------------------------------------

void Acceptor::Run() {
  bool full = false;
  while (true) {
    const int timeout_ms =
        connections_.empty() ? -1 : static_cast<int>(absl::ToInt64Milliseconds(Interval()));
    pollfd polled[] = {{wake_, POLLIN, 0}, {full ? -1 : listening_, POLLIN, 0}};
    poll(polled, 2, full ? 100 : timeout_ms);
    if (polled[0].revents != 0) break;
    full = false;
    if (polled[1].revents != 0) {
      AcceptAll();
      // Out of descriptors: try again later rather than all the time.
      full = errno != EAGAIN;
    }
    Watch();
  }
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto& [fd, connection] : connections_) {
    shutdown(connection->watched_, SHUT_RDWR);
    close(connection->watched_);
  }
  connections_.clear();
}

void Acceptor::AcceptAll() {
  while (true) {
    const int fd = accept4(listening_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      Accepted(fd);
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

void Acceptor::Accepted(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kDeadAfterMs, sizeof(kDeadAfterMs));
  auto connection = std::make_shared<Connection>();
  connection->watched_ =
      connections_.size() < limits_.connections ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
  if (connection->watched_ < 0) {
    close(fd);
    return;
  }
  connection->useless_since_ = ReadMonotonicClocks();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    std::shared_ptr<Connection>& slot = connections_[fd];
    // gRPC has closed the socket that had this number before.
    if (slot != nullptr) close(slot->watched_);
    slot = connection;
  }
  on_accepted_(fd);
}

// More often while somebody sends much; less often with many connections. Between two looks, memory
// is bounded by what one thread can receive: by so much that strangers are looked at more often
// than peers, and an idle cluster is left in peace.
absl::Duration Acceptor::Interval() const {
  if (hurry_) return absl::Milliseconds(5);
  return std::max(absl::Milliseconds(peers_only_ ? 50 : 20),
                  absl::Microseconds(100) * static_cast<std::int64_t>(connections_.size()));
}

void Acceptor::Watch() {
  const Instant now = ReadMonotonicClocks();
  std::uint64_t unfinished = 0;
  hurry_ = false;
  peers_only_ = true;
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto at = connections_.begin(); at != connections_.end();) {
    Connection& connection = *at->second;
    if (!Inspect(connection, now)) {
      close(connection.watched_);
      at = connections_.erase(at);
      continue;
    }
    unfinished += connection.unfinished_;
    hurry_ |= connection.unfinished_ > kHurryBytes;
    peers_only_ &= connection.peer_.load(std::memory_order_relaxed);
    ++at;
  }
  if (unfinished > limits_.all_unfinished_bytes) EndLargest();
}

// False: the connection is over.
bool Acceptor::Inspect(Connection& connection, Instant now) {
  tcp_info info = {};
  socklen_t size = sizeof(info);
  if (getsockopt(connection.watched_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
  if (info.tcpi_state != 1 /* TCP_ESTABLISHED */) return false;

  const std::uint64_t frames = connection.frames_.load(std::memory_order_relaxed);
  if (frames != connection.frames_seen_) {
    connection.frames_seen_ = frames;
    connection.bytes_seen_ = info.tcpi_bytes_received;
  }
  connection.unfinished_ = info.tcpi_bytes_received - connection.bytes_seen_;
  const bool useful = connection.streams_.load(std::memory_order_relaxed) > 0;
  if (useful || connection.was_useful_) connection.useless_since_ = now;
  connection.was_useful_ = useful;

  const bool too_late = now.LeaderElapsedNs(connection.useless_since_) >
                        absl::ToInt64Nanoseconds(limits_.handshake_timeout);
  if (!too_late && connection.unfinished_ <= limits_.unfinished_bytes) return true;
  // gRPC sees the end of it, and lets go.
  shutdown(connection.watched_, SHUT_RDWR);
  return false;
}

void Acceptor::EndLargest() {
  const auto largest = std::max_element(
      connections_.begin(), connections_.end(),
      [](const auto& a, const auto& b) { return a.second->unfinished_ < b.second->unfinished_; });
  shutdown(largest->second->watched_, SHUT_RDWR);
  close(largest->second->watched_);
  connections_.erase(largest);
}

}  // namespace tenure::grpc_transport
