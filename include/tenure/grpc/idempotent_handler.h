// Makes a gRPC unary handler idempotent by the `idempotency-key` metadata of its calls. Header
// only; include it where gRPC's and Protobuf's headers may be.
//
//   grpc::Status Transfer(grpc::ServerContext* context, const TransferRequest* request,
//                         TransferReply* reply) override {
//     return tenure::grpc::RunIdempotent(
//         context, store_, *request, reply, [&](tenure::Attempt& attempt) {
//           return DoTransfer(*request, attempt.token(), reply);
//         });
//   }
//
// A client that got no answer sends the call again, to whichever replica, under the same key, and
// gets the reply of the first one.
#ifndef TENURE_GRPC_IDEMPOTENT_HANDLER_H_
#define TENURE_GRPC_IDEMPOTENT_HANDLER_H_

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message_lite.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tenure/errors.h"
#include "tenure/idempotency.h"

namespace tenure::grpc {

inline constexpr char kIdempotencyKey[] = "idempotency-key";  // of the call
// Trailing metadata of an answer that was stored: "true".
inline constexpr char kIdempotencyReplayed[] = "idempotency-replayed";
// Trailing metadata of a call that is to be made again, in milliseconds: gRPC's own, which its
// clients heed when they retry by themselves.
inline constexpr char kRetryPushback[] = "grpc-retry-pushback-ms";

struct IdempotentOptions {
  // Without a key the handler runs once for each call, as it would without this; with `required`
  // such a call is refused with INVALID_ARGUMENT.
  bool required = false;
  // How long a call waits while another of its key is under way. Zero answers ABORTED at once: the
  // thread that a waiting call holds is the server's.
  absl::Duration wait = absl::ZeroDuration();
  // What the client of an ABORTED call is told to wait.
  absl::Duration retry_after = absl::Milliseconds(200);
  // As in BeginOptions.
  absl::Duration deadline = absl::InfiniteDuration();
  absl::Duration retention = absl::Hours(24);
  // Which failures of the handler are stored; IsLastingFailure if empty.
  std::function<bool(const absl::Status&)> stores;
};

namespace internal {

inline ::grpc::Status ToGrpc(const absl::Status& status) {
  // The codes are the same, by number.
  return ::grpc::Status(static_cast<::grpc::StatusCode>(status.code()),
                        std::string(status.message()));
}
inline absl::Status ToAbsl(const ::grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

// Of a Begin that got no answer, or whose session is over. A caller must not take that for an
// uncertain or a lasting failure of the handler, which did not run.
inline ::grpc::Status NotBegun(const absl::Status& why) {
  if (KindOf(why) == ErrorKind::kUncertain || why.code() == absl::StatusCode::kFailedPrecondition) {
    return ::grpc::Status(::grpc::StatusCode::UNAVAILABLE,
                          absl::StrCat("nothing was done: ", why.message()));
  }
  return ToGrpc(why);
}

// The same bytes for the same message, maps and all, in one build of the service. Between builds
// that differ in the message's fields they may differ: then a repeat is refused as a mismatch.
inline std::string DeterministicBytes(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

}  // namespace internal

// Runs `handler(attempt)`, which fills in `response` and returns a grpc::Status, or answers with
// what is stored for the call's key. Blocks the calling thread. Keys are those of `store`'s scope:
// give each method one, and each tenant, if tenants choose their keys.
//
//   ABORTED              another call of this key is under way, and kRetryPushback says when to
//                        ask again; or this attempt was taken over meanwhile
//   INVALID_ARGUMENT     the key was used for another request; or there is none, and it is required
//   UNAVAILABLE          the cluster did not let it begin: `handler` did not run
//   RESOURCE_EXHAUSTED   likewise, because the cluster is full or overloaded
//   DEADLINE_EXCEEDED,
//   UNKNOWN              it was done, and whether that was stored is not known: ask again
//   what `handler` said  stored if it is OK or a lasting failure; of a failure, code and message
//
// The reply must have at most 64 KiB; of more, INTERNAL is answered, and nothing is stored.
template <typename Request, typename Response, typename Handler>
::grpc::Status RunIdempotent(::grpc::ServerContext* context, IdempotencyStore store,
                             const Request& request, Response* response, Handler&& handler,
                             const IdempotentOptions& options = {}) {
  const auto found = context->client_metadata().find(kIdempotencyKey);
  if (found == context->client_metadata().end() || found->second.empty()) {
    if (options.required) {
      return ::grpc::Status(::grpc::StatusCode::INVALID_ARGUMENT,
                            absl::StrCat("this call needs the metadata ", kIdempotencyKey,
                                         ": a value that is its own, and the same when it is "
                                         "repeated"));
    }
    Attempt none;
    return std::forward<Handler>(handler)(none);
  }
  const std::string key(found->second.data(), found->second.size());
  const auto retry_later = [&](const std::string& message) {
    context->AddTrailingMetadata(kRetryPushback,
                                 absl::StrCat(absl::ToInt64Milliseconds(options.retry_after)));
    return ::grpc::Status(::grpc::StatusCode::ABORTED, message);
  };
  absl::StatusOr<Begun> begun = store.Begin(
      key, Fingerprint(internal::DeterministicBytes(request)),
      {.wait = options.wait, .deadline = options.deadline, .retention = options.retention});
  if (!begun.ok()) {
    if (begun.status().code() == absl::StatusCode::kAlreadyExists) {
      return ::grpc::Status(::grpc::StatusCode::INVALID_ARGUMENT,
                            absl::StrCat("the ", kIdempotencyKey, " was used for another request: ",
                                         begun.status().message()));
    }
    return internal::NotBegun(begun.status());
  }
  if (begun->state == Begun::State::kInProgress) {
    return retry_later(absl::StrCat("another call with this ", kIdempotencyKey,
                                    " is under way; ask again for its answer"));
  }
  if (begun->state == Begun::State::kDone) {
    context->AddTrailingMetadata(kIdempotencyReplayed, "true");
    if (!begun->outcome.result.ok()) return internal::ToGrpc(begun->outcome.result.status());
    if (response->ParseFromString(*begun->outcome.result)) return ::grpc::Status::OK;
    return ::grpc::Status(
        ::grpc::StatusCode::INTERNAL,
        absl::StrCat("what is stored for this ", kIdempotencyKey, " is no answer of this method"));
  }
  Attempt& attempt = begun->attempt;
  ::grpc::Status status = std::forward<Handler>(handler)(attempt);
  absl::Status stored;
  if (status.ok()) {
    stored = attempt.Complete(response->SerializeAsString());
  } else {
    const absl::Status failure = internal::ToAbsl(status);
    if (options.stores ? options.stores(failure) : IsLastingFailure(failure)) {
      stored = attempt.Fail(failure);
    } else {
      attempt.Abandon(absl::ZeroDuration(), [](const absl::Status&) {});
    }
  }
  if (stored.ok()) return status;
  if (stored.code() == absl::StatusCode::kAborted)
    return retry_later(std::string(stored.message()));
  if (stored.code() == absl::StatusCode::kInvalidArgument) {
    return ::grpc::Status(::grpc::StatusCode::INTERNAL, std::string(stored.message()));
  }
  return internal::ToGrpc(stored);
}

}  // namespace tenure::grpc

#endif  // TENURE_GRPC_IDEMPOTENT_HANDLER_H_
