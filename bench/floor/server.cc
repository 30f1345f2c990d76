#include "bench/floor/server.h"

#include <grpc/support/time.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

namespace tenure::bench::floor {

Server::Server(int port, std::chrono::microseconds spin, std::string method, Handlers handlers)
    : method_(std::move(method)), handlers_(std::move(handlers)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                           &port_);
  // Otherwise a second server on the same port starts without a word.
  builder.AddChannelArgument("grpc.so_reuseport", 0);
  builder.AddChannelArgument("grpc.http2.bdp_probe", 0);
  builder.AddChannelArgument("grpc.http2.lookahead_bytes", 4 << 20);
  builder.AddChannelArgument("grpc.minimal_stack", 1);
  builder.RegisterAsyncGenericService(&service_);
  queue_ = builder.AddCompletionQueue();
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) port_ = 0;
  loop_.emplace(queue_.get(), spin);
}

Server::~Server() {
  // Calls first: Shutdown waits for them, past this deadline cancels them. The queue last, for
  // their tags still come out of it, and only then may the streams go that the tags are part of.
  if (server_ != nullptr) server_->Shutdown(gpr_inf_past(GPR_CLOCK_MONOTONIC));
  loop_->Drain();
}

int Server::Run() {
  std::printf("listening 127.0.0.1:%d\n", port_);
  std::fflush(stdout);
  std::thread signals([this] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    int signal = 0;
    sigwait(&set, &signal);
    // An alarm is how another thread gets an event into the queue.
    stop_alarm_.Set(queue_.get(), gpr_inf_past(GPR_CLOCK_MONOTONIC), &stop_);
  });
  Accept();
  while (!stopping_ && loop_->Turn()) {
    if (!stopping_) handlers_.on_turn_end();
  }
  signals.join();
  return status_;
}

void Server::Stop(int status) {
  status_ = status;
  kill(getpid(), SIGTERM);  // takes the same way out, so the thread that waits for it ends too
}

void Server::Accept() {
  auto owned = std::make_unique<ServerStream>();
  ServerStream* stream = owned.get();
  streams_.emplace(stream, std::move(owned));
  stream->accepted_.emplace([this, stream](bool ok) { OnAccepted(stream, ok); });
  service_.RequestCall(&stream->context_, &stream->rpc_, queue_.get(), queue_.get(),
                       &*stream->accepted_);
}

void Server::OnAccepted(ServerStream* stream, bool ok) {
  if (!ok) {
    streams_.erase(stream);
    return;
  }
  Accept();
  stream->finished_.emplace([this, stream](bool) { streams_.erase(stream); });
  if (stream->context_.method() != method_) {
    stream->rpc_.Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, ""), &*stream->finished_);
    return;
  }
  stream->duplex_.emplace(&stream->rpc_, Duplex<ServerStream::Rpc>::Handlers{
                                             .on_frame =
                                                 [this, stream](grpc::ByteBuffer* frame) {
                                                   handlers_.on_frame(stream, frame);
                                                 },
                                             .on_failed = [this, stream] { OnFailed(stream); }});
  handlers_.on_open(stream);
}

void Server::OnFailed(ServerStream* stream) {
  handlers_.on_closed(stream);
  stream->rpc_.Finish(grpc::Status::OK, &*stream->finished_);
}

}  // namespace tenure::bench::floor
