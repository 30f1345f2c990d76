#include "transport/grpc/server_stream.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace tenure::grpc_transport {

void ServerStream::Accept(GrpcLoop* loop, ::grpc::AsyncGenericService* service,
                          const Handlers* handlers) {
  auto stream = std::make_shared<ServerStream>(loop, handlers);
  stream->self_ = stream;
  loop->Add(stream.get());
  auto* queue = static_cast<::grpc::ServerCompletionQueue*>(loop->queue());
  service->RequestCall(&stream->context_, &stream->rpc_, queue, queue, &stream->accepted_);
}

ServerStream::ServerStream(GrpcLoop* loop, const Handlers* handlers)
    : FrameStream(loop), handlers_(handlers) {}

int ServerStream::socket() const {
  const std::string peer = context_.peer();
  int fd = -1;
  absl::string_view number = peer;
  return absl::ConsumePrefix(&number, "fd:") && absl::SimpleAtoi(number, &fd) ? fd : -1;
}

void ServerStream::OnAccepted(bool ok) {
  if (!ok) {  // the server has been shut down
    loop()->Remove(this);
    const auto self = std::move(self_);
    return;
  }
  accepted_ok_ = true;
  last_frame_ = loop()->Now();
  handlers_->on_accepted(self_);
}

void ServerStream::Begin(std::shared_ptr<Connection> connection) {
  connection_ = std::move(connection);
  Open(&rpc_);
}

void ServerStream::Introduced(bool as_peer) {
  if (introduced_) return;
  if (as_peer) connection_->NotePeer();
  introduced_ = true;
  connection_->AddStream(1);
}

void ServerStream::OnFrame(::grpc::ByteBuffer* frame) {
  last_frame_ = loop()->Now();
  connection_->NoteFrame();
  const ReceivedFrame received(frame);
  if (!received.ok()) return Close(absl::InvalidArgumentError("unreadable frame"));
  handlers_->on_frame(this, received);
}

void ServerStream::Close(const absl::Status& why) {
  if (closing_ || !accepted_ok_) return;
  closing_ = true;
  why_ = why;
  Break();
  // A frame that the client does not take would hold the farewell back for ever.
  if (writing()) {
    context_.TryCancel();
  } else {
    Finish();
  }
  loop()->Post([self = self_] { self->TellClosed(); });
}

void ServerStream::Abandon() {
  if (!accepted_ok_) return;  // comes back when the server shuts down
  if (!closing_) Close(absl::CancelledError("stopping"));
  context_.TryCancel();
}

void ServerStream::OnBroken() {
  if (!closing_) {
    closing_ = true;
    why_ = absl::UnavailableError("the other side closed the connection");
    TellClosed();
  }
  Finish();
}

void ServerStream::Finish() {
  if (!finishing_) {
    finishing_ = true;
    rpc_.Finish(
        ::grpc::Status(static_cast<::grpc::StatusCode>(why_.code()), std::string(why_.message())),
        &finished_);
  } else if (finished_done_) {
    OnFinished();
  }
}

// After this and the last Read or Write, nothing is under way.
void ServerStream::OnFinished() {
  finished_done_ = true;
  if (!idle()) {
    context_.TryCancel();
    return;
  }
  loop()->Remove(this);
  const auto self = std::move(self_);
  TellClosed();
}

void ServerStream::TellClosed() {
  if (std::exchange(closed_told_, true)) return;
  if (introduced_) connection_->AddStream(-1);
  handlers_->on_closed(this);
}

}  // namespace tenure::grpc_transport
