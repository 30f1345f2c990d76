// What leader and follower share: a server whose queue one thread polls, until a signal ends it.
#ifndef TENURE_BENCH_FLOOR_SERVER_H_
#define TENURE_BENCH_FLOOR_SERVER_H_

#include <grpcpp/alarm.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "bench/floor/duplex.h"
#include "bench/floor/loop.h"

namespace tenure::bench::floor {

// A stream that a peer has opened to us.
class ServerStream {
 public:
  using Rpc = grpc::GenericServerAsyncReaderWriter;

  Duplex<Rpc>& duplex() { return *duplex_; }

 private:
  friend class Server;

  grpc::GenericServerContext context_;
  Rpc rpc_{&context_};
  std::optional<Duplex<Rpc>> duplex_;
  std::optional<Tag> accepted_;
  std::optional<Tag> finished_;
};

class Server {
 public:
  struct Handlers {
    std::function<void(ServerStream*)> on_open;  // typically arms the first Read
    std::function<void(ServerStream*, grpc::ByteBuffer*)> on_frame;
    std::function<void(ServerStream*)> on_closed;  // the stream is gone afterwards
    std::function<void()> on_turn_end;             // the moment to write
  };

  // Serves streams of one method on a loopback port (0: any). Check `port()`.
  Server(int port, std::chrono::microseconds spin, std::string method, Handlers handlers);
  ~Server();

  // 0 if the port could not be had.
  int port() const { return port_; }
  // Serves outgoing calls as well, so that one thread does everything.
  grpc::CompletionQueue* queue() { return queue_.get(); }

  // Runs until SIGTERM, SIGINT or Stop, then ends all calls. Returns the exit status.
  int Run();
  // Ends Run with this status; safe on the loop's thread.
  void Stop(int status);

 private:
  void Accept();
  void OnAccepted(ServerStream* stream, bool ok);
  void OnFailed(ServerStream* stream);

  const std::string method_;
  const Handlers handlers_;
  int port_ = 0;
  int status_ = 0;
  bool stopping_ = false;
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::optional<Loop> loop_;
  std::map<ServerStream*, std::unique_ptr<ServerStream>> streams_;
  grpc::Alarm stop_alarm_;
  Tag stop_{[this](bool) { stopping_ = true; }};
};

}  // namespace tenure::bench::floor

#endif  // TENURE_BENCH_FLOOR_SERVER_H_
