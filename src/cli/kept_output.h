// What COMMAND writes, kept until it is known whether it counts; and how that is stored with its
// exit status.
#ifndef CLI_KEPT_OUTPUT_H_
#define CLI_KEPT_OUTPUT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/descriptor.h"

namespace tenure::cli {

// How much of COMMAND's output is stored: what a record holds, but for the head of it.
inline constexpr std::size_t kKeptOutputMax = 64 * 1024 - 128;

struct CommandOutcome {
  int exit_status = 0;
  std::uint64_t written = 0;  // bytes
  std::string output;         // the first kKeptOutputMax of them

  friend bool operator==(const CommandOutcome&, const CommandOutcome&) = default;
};

std::string EncodeOutcome(const CommandOutcome& outcome);
// kDataLoss: something else than this program wrote it.
absl::StatusOr<CommandOutcome> DecodeOutcome(absl::string_view stored);

// A file in memory that stands where standard output does, for processes that are forked meanwhile.
class KeptOutput {
 public:
  // From here on, until Restore, standard output is the file.
  static absl::StatusOr<KeptOutput> Redirect();
  absl::Status Restore();
  // Frees the memory of what was written beyond the first part. COMMAND may go on writing.
  void Trim() const;

  // How much was written, and the first part of it.
  absl::StatusOr<CommandOutcome> Read(int exit_status) const;

 private:
  Descriptor file_;
  Descriptor standard_;  // the former standard output
};

}  // namespace tenure::cli

#endif  // CLI_KEPT_OUTPUT_H_
