#include "cli/connection.h"

#include <grpc/support/log.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/synchronization/mutex.h"  // absl-mutex: only to turn its deadlock detection off
#include "cli/exit_status.h"
#include "tenure/tenure.h"

namespace tenure::cli {

void QuietLibraries() {
  gpr_set_log_function([](gpr_log_func_args*) {});
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

absl::StatusOr<Coordinator> ConnectTo(const std::string& endpoints) {
  return Open(absl::StrCat("tenure://", endpoints));
}

int ExitStatusFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
      return kExitUsage;
    case absl::StatusCode::kAlreadyExists:
      return kExitMismatch;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
      return kExitNotAcquired;
    default:
      return kExitUnavailable;
  }
}

void Complain(absl::string_view subcommand, absl::string_view text) {
  const std::string line = absl::StrReplaceAll(text, {{"\n", " "}});
  std::fprintf(stderr, "tenure %s: %s\n", std::string(subcommand).c_str(), line.c_str());
}

}  // namespace tenure::cli
