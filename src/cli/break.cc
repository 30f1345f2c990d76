#include "cli/break.h"

#include <cstdio>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/connection.h"
#include "cli/exit_status.h"
#include "tenure/coordinator.h"
#include "tenure/election.h"
#include "tenure/idempotency.h"
#include "tenure/mutex.h"

namespace tenure::cli {
namespace {

int Fail(const absl::Status& status) {
  Complain("break", status.message());
  // That nobody has it is what the caller wanted to know.
  return status.code() == absl::StatusCode::kNotFound ? kExitNotAcquired : ExitStatusFor(status);
}

class Breaker {
 public:
  Breaker(Coordinator coordinator, const BreakFlags& flags)
      : coordinator_(std::move(coordinator)), flags_(flags) {}

  // What is to be said of it.
  absl::StatusOr<std::string> Run() {
    if (flags_.delay) return EndDelay();
    const absl::StatusOr<LockHolder> holder = Find();
    if (!holder.ok()) return holder.status();
    if (absl::Status broken = Break(holder->token); !broken.ok()) return broken;
    std::string said =
        absl::StrCat(flags_.name, " was taken from ", holder->label, ", token ", holder->token);
    if (flags_.what != BreakFlags::What::kLock) return said;
    const auto lock = Inspect();
    if (lock.ok() && lock->delay != 0) absl::StrAppend(&said, "; it is ", HeldBack(*lock));
    return said;
  }

 private:
  absl::StatusOr<LockDescription> Inspect() {
    return coordinator_.mutex(flags_.name).Inspect(flags_.timeout);
  }
  static std::string HeldBack(const LockDescription& lock) {
    return absl::StrCat(
        "held back for another ",
        absl::FormatDuration(absl::Ceil(absl::Nanoseconds(lock.delay_left_ns), absl::Seconds(1))),
        " (lock_delay)");
  }

  absl::StatusOr<std::string> EndDelay() {
    const auto lock = Inspect();
    if (!lock.ok()) return lock.status();
    if (lock->delay == 0)
      return absl::NotFoundError(absl::StrCat("nothing holds ", flags_.name, " back"));
    if (absl::Status ended = Break(lock->delay); !ended.ok()) return ended;
    return absl::StrCat(flags_.name, " is held back no longer");
  }

  // Who has it: whoever the flags say, or the only one.
  absl::StatusOr<LockHolder> Find() {
    switch (flags_.what) {
      case BreakFlags::What::kLock: {
        const auto lock = Inspect();
        return lock.ok() ? FindAmong(*lock) : lock.status();
      }
      case BreakFlags::What::kElection: {
        const auto election = coordinator_.election(flags_.name).Describe(flags_.timeout);
        return election.ok() ? Check(election->leader, "leads") : election.status();
      }
      case BreakFlags::What::kKey: {
        const auto key = coordinator_.idempotency(flags_.scope).Get(flags_.name, flags_.timeout);
        return key.ok() ? Check(key->holder, "attempts") : key.status();
      }
    }
    return absl::InternalError("no such thing to break");
  }

  absl::Status Break(Revision token) {
    switch (flags_.what) {
      case BreakFlags::What::kLock:
        return coordinator_.BreakLock(flags_.name, token, flags_.reason, flags_.timeout);
      case BreakFlags::What::kElection:
        return coordinator_.BreakLeadership(flags_.name, token, flags_.reason, flags_.timeout);
      case BreakFlags::What::kKey:
        return coordinator_.BreakAttempt(flags_.scope, flags_.name, token, flags_.reason,
                                         flags_.timeout);
    }
    return absl::InternalError("no such thing to break");
  }

  absl::StatusOr<LockHolder> Check(LockHolder holder, absl::string_view does) const {
    if (flags_.token != 0 && holder.token != flags_.token) {
      // The cluster has the last word; it may be another's by now.
      holder = LockHolder();
      holder.label = "its holder";
      holder.token = flags_.token;
    } else if (holder.session == 0) {
      return absl::NotFoundError(absl::StrCat("nobody ", does, " ", flags_.name));
    }
    return holder;
  }

  absl::StatusOr<LockHolder> FindAmong(const LockDescription& lock) const {
    if (flags_.token == 0 && lock.shares > 1) {
      std::string tokens;
      for (const LockHolder& holder : lock.sharers) {
        absl::StrAppend(&tokens, tokens.empty() ? "" : ", ", holder.token);
      }
      return absl::InvalidArgumentError(
          absl::StrCat(lock.shares, " share ", flags_.name, ": say which, with --token; ", tokens));
    }
    for (const LockHolder& holder : lock.sharers) {
      if (holder.token == flags_.token) return holder;
    }
    if (flags_.token == 0 && lock.holder.session == 0 && lock.delay != 0) {
      return absl::NotFoundError(
          absl::StrCat("nobody holds ", flags_.name, "; it is ", HeldBack(lock), ", see --delay"));
    }
    return Check(lock.holder, "holds");
  }

  Coordinator coordinator_;
  const BreakFlags& flags_;
};

}  // namespace

int RunBreak(const BreakFlags& flags) {
  absl::StatusOr<Coordinator> coordinator = ConnectTo(flags.endpoints);
  if (!coordinator.ok()) return Fail(coordinator.status());
  const absl::StatusOr<std::string> said = Breaker(*std::move(coordinator), flags).Run();
  if (!said.ok()) return Fail(said.status());
  std::puts(said->c_str());
  return kExitOk;
}

}  // namespace tenure::cli
