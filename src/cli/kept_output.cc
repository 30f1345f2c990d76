#include "cli/kept_output.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace tenure::cli {
namespace {

constexpr absl::string_view kHead = "tenure once 1 ";

absl::Status Errno(absl::string_view what) {
  return absl::InternalError(absl::StrCat("cannot ", what, ": ", std::strerror(errno)));
}

}  // namespace

// One line, for whoever inspects the key, and then the output as it is.
std::string EncodeOutcome(const CommandOutcome& outcome) {
  return absl::StrCat(kHead, "status=", outcome.exit_status, " bytes=", outcome.written, "\n",
                      outcome.output);
}

absl::StatusOr<CommandOutcome> DecodeOutcome(absl::string_view stored) {
  const absl::Status strange =
      absl::DataLossError("what is stored for this key was not written by `tenure once`");
  const std::size_t end = stored.find('\n');
  absl::string_view head = stored.substr(0, end);
  if (end == absl::string_view::npos || !absl::ConsumePrefix(&head, kHead)) return strange;
  const std::vector<absl::string_view> fields = absl::StrSplit(head, ' ');
  CommandOutcome outcome;
  if (fields.size() != 2) return strange;
  absl::string_view status = fields[0], bytes = fields[1];
  if (!absl::ConsumePrefix(&status, "status=") || !absl::ConsumePrefix(&bytes, "bytes=") ||
      !absl::SimpleAtoi(status, &outcome.exit_status) ||
      !absl::SimpleAtoi(bytes, &outcome.written) || outcome.exit_status < 0 ||
      outcome.exit_status > 255) {
    return strange;
  }
  outcome.output = std::string(stored.substr(end + 1));
  if (outcome.output.size() != std::min<std::uint64_t>(outcome.written, kKeptOutputMax)) {
    return strange;
  }
  return outcome;
}

absl::StatusOr<KeptOutput> KeptOutput::Redirect() {
  KeptOutput kept;
  kept.file_ = Descriptor(memfd_create("tenure-once", MFD_CLOEXEC));
  if (!kept.file_.open()) return Errno("make a file in memory");
  kept.standard_ = Descriptor(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  // All who write share one end of the file, whatever they do.
  fcntl(kept.file_.get(), F_SETFL, O_APPEND);
  if (dup2(kept.file_.get(), STDOUT_FILENO) < 0) return Errno("redirect standard output");
  return kept;
}

absl::Status KeptOutput::Restore() {
  if (!standard_.open()) {  // it was closed
    close(STDOUT_FILENO);
    return absl::OkStatus();
  }
  if (dup2(standard_.get(), STDOUT_FILENO) < 0) return Errno("restore standard output");
  standard_.Close();
  return absl::OkStatus();
}

void KeptOutput::Trim() const {
  constexpr off_t kFrom = 64 * 1024;  // whole pages
  static_assert(kFrom >= off_t{kKeptOutputMax});
  struct stat about = {};
  if (fstat(file_.get(), &about) != 0 || about.st_size <= kFrom) return;
  // The size stays, so that what was written is still counted.
  fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kFrom, about.st_size - kFrom);
}

absl::StatusOr<CommandOutcome> KeptOutput::Read(int exit_status) const {
  struct stat about = {};
  if (fstat(file_.get(), &about) != 0) return Errno("read what COMMAND wrote");
  CommandOutcome outcome;
  outcome.exit_status = exit_status;
  outcome.written = static_cast<std::uint64_t>(about.st_size);
  outcome.output.resize(std::min<std::uint64_t>(outcome.written, kKeptOutputMax));
  for (std::size_t at = 0; at < outcome.output.size();) {
    const ssize_t size =
        pread(file_.get(), &outcome.output[at], outcome.output.size() - at, static_cast<off_t>(at));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return Errno("read what COMMAND wrote");
    at += static_cast<std::size_t>(size);
  }
  return outcome;
}

}  // namespace tenure::cli
