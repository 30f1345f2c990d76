// What every subcommand that asks a cluster needs.
#ifndef CLI_CONNECTION_H_
#define CLI_CONNECTION_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tenure/coordinator.h"

namespace tenure::cli {

// gRPC writes to stderr by itself, and Abseil checks mutexes for deadlocks; a program may turn that
// off, a library may not.
void QuietLibraries();

// A client of the members at `endpoints`, "host:port,host:port".
absl::StatusOr<Coordinator> ConnectTo(const std::string& endpoints);

// 64, 69, 73 or 75, by the status's code.
int ExitStatusFor(const absl::Status& status);

// One line on stderr: "tenure SUBCOMMAND: what is wrong".
void Complain(absl::string_view subcommand, absl::string_view text);

}  // namespace tenure::cli

#endif  // CLI_CONNECTION_H_
