// Reads: they need no session.
#ifndef TENURE_CLIENT_READ_H_
#define TENURE_CLIENT_READ_H_

#include <utility>
#include <variant>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/describe.h"
#include "tenure/backend.h"
#include "tenure/command.h"

namespace tenure::client {

// T: the kind of result that `operation` is answered with.
template <typename T>
void Read(Backend& backend, Operation operation, absl::Duration timeout,
          absl::AnyInvocable<void(absl::StatusOr<T>) &&> done) {
  Command command;
  command.operation = std::move(operation);
  backend.Call(std::move(command), {.timeout = timeout, .retry = true},
               [done = std::move(done)](absl::StatusOr<Reply> answer) mutable {
                 if (!answer.ok()) return std::move(done)(answer.status());
                 T* result = std::get_if<T>(&answer->result);
                 if (result == nullptr) return std::move(done)(RefusalStatus(*answer));
                 std::move(done)(std::move(*result));
               });
}

}  // namespace tenure::client

#endif  // TENURE_CLIENT_READ_H_
