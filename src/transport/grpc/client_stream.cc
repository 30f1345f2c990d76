#include "transport/grpc/client_stream.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tenure::grpc_transport {
namespace {

::grpc::ChannelArguments Arguments(const ClientStream::Options& options) {
  const int dead_ms = static_cast<int>(absl::ToInt64Milliseconds(options.dead_after));
  const int connect_ms = static_cast<int>(absl::ToInt64Milliseconds(options.connect_timeout));
  ::grpc::ChannelArguments arguments;
  // No bandwidth probes (they are pings), and windows that do not need updates all the time.
  arguments.SetInt("grpc.http2.bdp_probe", 0);
  arguments.SetInt("grpc.http2.lookahead_bytes", 4 << 20);
  // No filters for deadlines, compression, message sizes or retries: frames are checked here.
  arguments.SetInt("grpc.minimal_stack", 1);
  arguments.SetInt("grpc.enable_retries", 0);
  arguments.SetInt("grpc.enable_http_proxy", 0);
  arguments.SetInt("grpc.use_local_subchannel_pool", 1);
  arguments.SetInt("grpc.min_reconnect_backoff_ms", connect_ms);  // the limit for one attempt
  arguments.SetInt("grpc.initial_reconnect_backoff_ms", connect_ms);
  arguments.SetInt("grpc.max_reconnect_backoff_ms", connect_ms);
  // A host that vanished without a word. (These also set TCP_USER_TIMEOUT.)
  arguments.SetInt("grpc.keepalive_time_ms", dead_ms / 2);
  arguments.SetInt("grpc.keepalive_timeout_ms", dead_ms / 2);
  arguments.SetInt("grpc.http2.max_pings_without_data", 0);
  return arguments;
}

// gRPC wraps what went wrong in how it went about it; who asks wants the former.
std::string WhatWentWrong(const std::string& message) {
  const char* const what =
      absl::StartsWith(message, "failed to connect to all addresses") ? "cannot connect: "
      : absl::StartsWith(message, "DNS resolution failed") ? "no address is known for this host: "
                                                           : nullptr;
  const std::size_t cause = message.rfind(": ");
  if (what == nullptr || cause == std::string::npos) return message;
  return absl::StrCat(what, message.substr(cause + 2));
}

absl::Status FromGrpc(const std::string& address, const ::grpc::Status& status) {
  const std::string message = absl::StrCat(address, ": ", WhatWentWrong(status.error_message()));
  if (status.ok()) return absl::UnavailableError(absl::StrCat(address, ": closed the connection"));
  if (status.error_code() == ::grpc::StatusCode::CANCELLED) return absl::UnavailableError(message);
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), message);
}

}  // namespace

std::shared_ptr<ClientStream> ClientStream::Connect(GrpcLoop* loop, const std::string& address,
                                                    const char* method, Options options,
                                                    Handlers handlers) {
  auto stream = std::make_shared<ClientStream>(loop, options, std::move(handlers));
  stream->Start(address, method);
  return stream;
}

ClientStream::ClientStream(GrpcLoop* loop, Options options, Handlers handlers)
    : FrameStream(loop), options_(options), handlers_(std::move(handlers)) {}

void ClientStream::Start(const std::string& address, const char* method) {
  self_ = std::static_pointer_cast<ClientStream>(shared_from_this());
  loop()->Add(this);
  address_ = address;
  stub_ = std::make_unique<::grpc::GenericStub>(::grpc::CreateCustomChannel(
      address, ::grpc::InsecureChannelCredentials(), Arguments(options_)));
  rpc_ = stub_->PrepareCall(&context_, method, loop()->queue());
  rpc_->StartCall(&started_);
  watch_ = loop()->At(loop()->Now() + options_.connect_timeout, [this] {
    if (starting_) Fail(absl::UnavailableError(absl::StrCat(address_, ": no answer")));
  });
}

void ClientStream::OnStarted(bool ok) {
  starting_ = false;
  if (!ok || closing_) return OnBroken();
  Open(rpc_.get());
  Watch();
  handlers_.on_open();
}

// Looks after the stream now and then, for as long as it is open.
void ClientStream::Watch() {
  const Instant now = loop()->Now();
  const absl::Duration interval = std::min(options_.keep_alive, options_.dead_after) / 4;
  watch_ = loop()->At(now + interval, [this] { Watch(); });
  if (writing()) {
    stalled_for_ += interval;
    if (write_seen_ != frames_written()) stalled_for_ = absl::ZeroDuration();
    if (stalled_for_ > options_.dead_after) {
      Fail(absl::UnavailableError(absl::StrCat(address_, ": does not take what is sent")));
    }
  } else {
    quiet_for_ += interval;
    if (write_seen_ != frames_written()) quiet_for_ = absl::ZeroDuration();
    if (quiet_for_ >= options_.keep_alive && outgoing().empty()) {
      outgoing().AppendKeepAlive();
      FlushSoon();
    }
  }
  write_seen_ = frames_written();
}

void ClientStream::OnFrame(::grpc::ByteBuffer* frame) {
  const ReceivedFrame received(frame);
  if (!received.ok())
    return Fail(absl::InternalError(absl::StrCat(address_, ": unreadable frame")));
  if (!muted_) handlers_.on_frame(received);
}

void ClientStream::Close() {
  muted_ = true;
  Fail(absl::CancelledError("closed"));
}

void ClientStream::Fail(absl::Status why) {
  if (closing_ || self_ == nullptr) return;
  closing_ = true;
  why_ = std::move(why);
  watch_.Cancel();
  Break();
  context_.TryCancel();
  if (!starting_ && idle()) {
    loop()->Post([self = self_] { self->OnBroken(); });
  }
}

void ClientStream::OnBroken() {
  if (finishing_) return;
  finishing_ = true;
  watch_.Cancel();
  rpc_->Finish(&status_, &finished_);
}

void ClientStream::OnFinished() {
  const auto self = std::move(self_);
  loop()->Remove(this);
  if (!muted_) handlers_.on_closed(why_.ok() ? FromGrpc(address_, status_) : why_);
}

}  // namespace tenure::grpc_transport
