// What the copies of one handle share: a name, and where its session comes from.
#ifndef TENURE_CLIENT_HANDLE_CORE_H_
#define TENURE_CLIENT_HANDLE_CORE_H_

#include <algorithm>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/blocking.h"
#include "client/coordinator_core.h"
#include "client/describe.h"
#include "client/grant_wait.h"
#include "client/session_core.h"
#include "tenure/backend.h"

namespace tenure::client {

// The session is one of the handle's own, or its coordinator's implicit one.
class HandleCore {
 public:
  HandleCore(std::string name, std::shared_ptr<SessionCore> session)
      : name_(std::move(name)), session_(std::move(session)) {}
  HandleCore(std::string name, std::shared_ptr<CoordinatorCore> coordinator)
      : name_(std::move(name)), coordinator_(std::move(coordinator)) {}

  const std::string& name() const { return name_; }
  Backend& backend() const {
    return session_ != nullptr ? session_->backend() : coordinator_->backend();
  }
  // False: the coordinator's implicit one, which is opened anew when it was lost.
  bool HasOwnSession() const { return session_ != nullptr; }
  bool InForkedChild() const {
    return session_ != nullptr ? session_->InForkedChild() : coordinator_->InForkedChild();
  }

  // Runs `go(session, done, spent)`, where opening the session took `spent` of the wait, or answers
  // `done` with a Status: kInvalidArgument for a negative wait, or why there is no session.
  template <typename Done, typename Go>
  void WithSession(absl::Duration wait, const std::stop_token& cancel, Done done, Go go) const {
    if (wait < absl::ZeroDuration()) {
      return std::move(done)(absl::InvalidArgumentError(
          absl::StrCat("a wait must not be negative: ", absl::FormatDuration(wait))));
    }
    if (session_ != nullptr) return go(session_, std::move(done), absl::ZeroDuration());
    if (const std::shared_ptr<SessionCore> session = coordinator_->UsableSession()) {
      return go(session, std::move(done), absl::ZeroDuration());
    }
    // The time that opening takes counts as waiting. A try waits for its answer, wherever it comes
    // from.
    Loop& loop = backend().loop();
    const Instant start = loop.Now();
    const absl::Duration limit = wait == absl::ZeroDuration() ? absl::Seconds(5) : wait;
    coordinator_->WithSession(
        limit, cancel,
        [&loop, start, done = std::move(done),
         go = std::move(go)](absl::StatusOr<std::shared_ptr<SessionCore>> session) mutable {
          if (!session.ok()) return std::move(done)(session.status());
          go(*session, std::move(done), absl::Nanoseconds(loop.Now().HolderElapsedNs(start)));
        });
  }

  // Asks for a grant, and answers `done` with a Guard made of it.
  template <typename Guard>
  void Ask(Wanted wanted, absl::Duration wait, std::stop_token cancel,
           absl::AnyInvocable<void(absl::StatusOr<Guard>) &&> done) const {
    WithSession(
        wait, cancel, std::move(done),
        [wanted = std::move(wanted), wait, cancel](
            const std::shared_ptr<SessionCore>& session,
            absl::AnyInvocable<void(absl::StatusOr<Guard>) &&> then, absl::Duration spent) mutable {
          GrantWait::Start<Guard>(session, std::move(wanted), wait, std::move(cancel),
                                  std::move(then), spent);
        });
  }

 private:
  const std::string name_;
  const std::shared_ptr<SessionCore> session_;
  const std::shared_ptr<CoordinatorCore> coordinator_;
};

// The blocking form of `start(done)` on a handle: refused where it cannot be.
template <typename T, typename Start>
T BlockOn(const HandleCore& core, Start&& start) {
  if (core.InForkedChild()) return T(ForkedStatus());
  return Block<T>(core.backend().loop(), std::forward<Start>(start));
}

// The same on what a session has: it must outlast the call that the answer comes to, so this one
// keeps it.
template <typename T, typename Start>
T BlockOn(std::shared_ptr<SessionCore> session, Start&& start) {  // NOLINT: it is kept
  if (session->InForkedChild()) return T(ForkedStatus());
  return Block<T>(session->loop(), std::forward<Start>(start));
}

inline absl::Status EmptyStatus(absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat("this ", what, " is empty"));
}

// For handles that have none.
inline const std::string& NoName() {
  static const std::string* const name = new std::string();
  return *name;
}

}  // namespace tenure::client

#endif  // TENURE_CLIENT_HANDLE_CORE_H_
