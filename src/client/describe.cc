#include "client/describe.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "tenure/errors.h"

namespace tenure::client {
namespace {

std::string Seconds(std::int64_t ns) {
  return absl::StrFormat("%.1f s", static_cast<double>(ns) / 1e9);
}

std::string Who(const LockHolder& holder) {
  return absl::StrCat(holder.label.empty() ? "somebody" : holder.label, " (session ",
                      holder.session, ", token ", holder.token, ") for ", Seconds(holder.held_ns));
}

std::string Waiting(std::uint64_t waiting, absl::string_view before) {
  if (waiting == 0) return "nobody else is waiting";
  return absl::StrCat(waiting, waiting == 1 ? " is" : " are", " waiting", before);
}

std::string HeldBack(absl::string_view name, std::int64_t held_back_ns) {
  return absl::StrCat(name, " was to be granted to nobody for another ", Seconds(held_back_ns),
                      " (this cluster is new, and lets holders of an earlier one run out, as "
                      "`tenure status` says; or the last holder was lost, and had asked for a "
                      "lock_delay)");
}

}  // namespace

absl::Status RefusalStatus(const Reply& reply) {
  switch (reply.code) {
    case ReplyCode::kOk:
      return absl::InternalError("the cluster's answer has another form than the command asks for");
    case ReplyCode::kSessionEnded:
      return absl::FailedPreconditionError(absl::StrCat(reply.message, "; open a new session"));
    case ReplyCode::kWrongKey:
      return absl::PermissionDeniedError(reply.message);
    case ReplyCode::kInvalid:
      return absl::InvalidArgumentError(reply.message);
    case ReplyCode::kLimit:
      return absl::ResourceExhaustedError(reply.message);
    case ReplyCode::kMismatch:
      return absl::AlreadyExistsError(reply.message);
    case ReplyCode::kConflict:
      return absl::FailedPreconditionError(reply.message);
    case ReplyCode::kDeadlock: {
      const auto* deadlock = std::get_if<Deadlock>(&reply.result);
      return WithDeadlock(absl::AbortedError(reply.message),
                          deadlock == nullptr ? std::vector<WaitingOwner>() : deadlock->cycle);
    }
    case ReplyCode::kNotHeld:
    case ReplyCode::kAbsent:
      return absl::NotFoundError(reply.message);
    case ReplyCode::kForgotten:
      return absl::UnknownError(reply.message);
    case ReplyCode::kVersion:
      return absl::UnimplementedError(reply.message);
  }
  return absl::UnknownError(reply.message);
}

absl::Status HeldStatus(absl::string_view name, bool led, const LockHeld& held) {
  const absl::string_view which = held.name.empty() ? name : absl::string_view(held.name);
  const std::string of = which == name ? "" : absl::StrCat(name, " was not acquired: ");
  if (held.held_back_ns > 0) {
    return absl::AbortedError(absl::StrCat(of, HeldBack(which, held.held_back_ns)));
  }
  if (held.holder.session == 0) {
    return absl::AbortedError(
        absl::StrCat(of, which, " is being handed over; ", Waiting(held.waiting, " before you")));
  }
  return absl::AbortedError(absl::StrCat(of, which, led ? " is led by " : " is held by ",
                                         Who(held.holder), "; ",
                                         Waiting(held.waiting, " before you")));
}

absl::Status WaitOverStatus(absl::string_view name, bool led, absl::Duration wait,
                            const LockQueued& queued) {
  const absl::string_view which = queued.name.empty() ? name : absl::string_view(queued.name);
  std::string then;
  if (queued.held_back_ns > 0) {
    then = HeldBack(which, queued.held_back_ns);
  } else if (queued.holder.session == 0) {
    then = absl::StrCat(which, " was being handed over");
  } else {
    then = absl::StrCat(which, led ? " was led by " : " was held by ", Who(queued.holder));
  }
  return absl::AbortedError(absl::StrCat(
      name, led ? " was not won within " : " was not acquired within ", absl::FormatDuration(wait),
      "; when the wait began, ", then, ", and ", Waiting(queued.ahead, " before you")));
}

absl::Status NoAnswerStatus(absl::string_view name, absl::Duration wait, const absl::Status& last) {
  std::string message = absl::StrCat("nothing came of ", name, ": no cluster answered within ",
                                     absl::FormatDuration(wait));
  if (!last.ok()) absl::StrAppend(&message, " (", last.message(), ")");
  if (last.code() == absl::StatusCode::kResourceExhausted) {
    return WithRetryAfter(absl::ResourceExhaustedError(message), RetryAfter(last));
  }
  return absl::UnavailableError(message);
}

std::string WhoAttempts(const AttemptInProgress& progress) {
  if (progress.held_back_ns > 0) {
    return absl::StrCat(
        "for another ", Seconds(progress.held_back_ns),
        " this new cluster starts no attempt, so that those of an earlier one run out");
  }
  const std::string waiting = Waiting(progress.ahead, "");
  if (progress.holder.session == 0) return absl::StrCat("nobody attempts it now; ", waiting);
  return absl::StrCat("it is attempted by ", Who(progress.holder), "; ", waiting);
}

absl::Status BrokenStatus(absl::string_view what, absl::string_view name, absl::string_view by) {
  by = absl::StripSuffix(by, ": ");  // without a reason
  return absl::AbortedError(
      absl::StrCat(what, name, " was ", by.empty() ? "broken by an administrator" : by));
}

absl::Status ForkedStatus() {
  return absl::FailedPreconditionError(
      "this process was forked from the one that opened the session, which is not its own: open a "
      "new "
      "coordinator here");
}

}  // namespace tenure::client
