#include "cli/break.h"

#include <cstdio>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/connection.h"
#include "cli/exit_status.h"
#include "tenure/coordinator.h"
#include "tenure/mutex.h"

namespace tenure::cli {
namespace {

int Fail(const absl::Status& status) {
  Complain("break", status.message());
  // That nobody holds it is what the caller wanted to know.
  return status.code() == absl::StatusCode::kNotFound ? kExitNotAcquired : ExitStatusFor(status);
}

}  // namespace

int RunBreak(const BreakFlags& flags) {
  absl::StatusOr<Coordinator> coordinator = ConnectTo(flags.endpoints);
  if (!coordinator.ok()) return Fail(coordinator.status());
  const absl::StatusOr<LockDescription> lock =
      coordinator->mutex(flags.name).Inspect(flags.timeout);
  if (!lock.ok()) return Fail(lock.status());
  Revision token = flags.token;
  if (token == 0) {
    if (lock->holder.session == 0) {
      return Fail(absl::NotFoundError(absl::StrCat("nobody holds ", flags.name)));
    }
    if (lock->shares > 1) {
      std::string tokens;
      for (const LockHolder& holder : lock->sharers) {
        absl::StrAppend(&tokens, tokens.empty() ? "" : ", ", holder.token);
      }
      return Fail(absl::InvalidArgumentError(absl::StrCat(lock->shares, " share ", flags.name,
                                                          ": say which, with --token; ", tokens)));
    }
    token = lock->holder.token;
  }
  const absl::Status broken =
      coordinator->BreakLock(flags.name, token, flags.reason, flags.timeout);
  if (!broken.ok()) return Fail(broken);
  std::string who = "its holder";
  if (lock->holder.token == token) who = lock->holder.label;
  for (const LockHolder& holder : lock->sharers) {
    if (holder.token == token) who = holder.label;
  }
  std::printf("%s was taken from %s, token %llu\n", flags.name.c_str(), who.c_str(),
              static_cast<unsigned long long>(token));
  return kExitOk;
}

}  // namespace tenure::cli
