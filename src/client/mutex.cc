#include "tenure/mutex.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/blocking.h"
#include "client/describe.h"
#include "client/grant.h"
#include "client/lock_wait.h"
#include "client/mutex_core.h"
#include "client/read.h"
#include "client/release.h"

namespace tenure {
namespace {

absl::Status Empty(absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat("this ", what, " is empty"));
}

const std::string& NoName() {
  static const std::string* const name = new std::string();
  return *name;
}

}  // namespace

// ---- LockGuard
// -------------------------------------------------------------------------------------

LockGuard::LockGuard() noexcept = default;
LockGuard::LockGuard(std::unique_ptr<client::Grant> grant) : grant_(std::move(grant)) {}
LockGuard::LockGuard(LockGuard&&) noexcept = default;

LockGuard& LockGuard::operator=(LockGuard&& other) noexcept {
  // What this one holds goes back only when the other is safely in its place.
  const LockGuard former(std::exchange(grant_, std::exchange(other.grant_, nullptr)));
  return *this;
}

LockGuard::~LockGuard() {
  if (grant_ == nullptr || grant_->core()->InForkedChild()) return;
  client::Release::Start(grant_->core(), grant_->TakeName(), grant_->token(), absl::ZeroDuration(),
                         nullptr);
}

const std::string& LockGuard::name() const { return grant_ == nullptr ? NoName() : grant_->name(); }
Revision LockGuard::token() const { return grant_ == nullptr ? 0 : grant_->token(); }
bool LockGuard::Valid() const { return grant_ != nullptr && grant_->core()->Valid(); }
std::stop_token LockGuard::lost() const {
  return grant_ == nullptr ? std::stop_token() : grant_->core()->lost();
}

absl::Status LockGuard::Unlock(absl::Duration timeout) {
  if (grant_ == nullptr) return Empty("LockGuard");
  if (grant_->core()->InForkedChild()) return client::ForkedStatus();
  // The session must outlast the call that the answer comes to.
  const std::shared_ptr<client::SessionCore> core = grant_->core();
  return client::Block<absl::Status>(core->loop(),
                                     [&](auto done) { Unlock(timeout, std::move(done)); });
}

void LockGuard::Unlock(absl::Duration timeout, absl::AnyInvocable<void(absl::Status) &&> done) {
  if (grant_ == nullptr) return std::move(done)(Empty("LockGuard"));
  const std::unique_ptr<client::Grant> grant = std::exchange(grant_, nullptr);
  client::Release::Start(grant->core(), grant->TakeName(), grant->token(), timeout,
                         std::move(done));
}

// ---- Mutex
// -----------------------------------------------------------------------------------------

const std::string& Mutex::name() const { return core_ == nullptr ? NoName() : core_->name(); }

absl::StatusOr<LockGuard> Mutex::Lock(LockOptions options) {
  if (core_ == nullptr) return Empty("Mutex");
  if (core_->InForkedChild()) return client::ForkedStatus();
  return client::Block<absl::StatusOr<LockGuard>>(core_->backend().loop(), [&](auto done) {
    core_->Lock(std::move(options), std::move(done));
  });
}

void Mutex::Lock(LockOptions options, LockCallback done) {
  if (core_ == nullptr) return std::move(done)(Empty("Mutex"));
  core_->Lock(std::move(options), std::move(done));
}

absl::StatusOr<LockGuard> Mutex::TryLock() { return Lock({.wait = absl::ZeroDuration()}); }

void Mutex::TryLock(LockCallback done) { Lock({.wait = absl::ZeroDuration()}, std::move(done)); }

absl::StatusOr<LockDescription> Mutex::Inspect(absl::Duration timeout) {
  if (core_ == nullptr) return Empty("Mutex");
  if (core_->InForkedChild()) return client::ForkedStatus();
  return client::Block<absl::StatusOr<LockDescription>>(
      core_->backend().loop(), [&](auto done) { Inspect(timeout, std::move(done)); });
}

void Mutex::Inspect(absl::Duration timeout,
                    absl::AnyInvocable<void(absl::StatusOr<LockDescription>) &&> done) {
  if (core_ == nullptr) return std::move(done)(Empty("Mutex"));
  if (core_->InForkedChild()) return std::move(done)(client::ForkedStatus());
  client::Read<LockDescription>(core_->backend(), GetLock{core_->name()}, timeout, std::move(done));
}

// ---- MutexCore
// -------------------------------------------------------------------------------------

namespace client {

void MutexCore::Lock(LockOptions options, Mutex::LockCallback done) const {
  if (options.wait < absl::ZeroDuration()) {
    return std::move(done)(absl::InvalidArgumentError(
        absl::StrCat("a wait must not be negative: ", absl::FormatDuration(options.wait))));
  }
  if (session_ != nullptr)
    return LockWait::Start(session_, name_, std::move(options), std::move(done));
  if (const std::shared_ptr<SessionCore> session = coordinator_->UsableSession()) {
    return LockWait::Start(session, name_, std::move(options), std::move(done));
  }
  // The time that opening takes counts as waiting. A try waits for its answer, wherever it comes
  // from.
  Loop& loop = backend().loop();
  const Instant start = loop.Now();
  const absl::Duration limit =
      options.wait == absl::ZeroDuration() ? absl::Seconds(5) : options.wait;
  std::stop_token cancel = options.cancel;
  coordinator_->WithSession(
      limit, std::move(cancel),
      [name = name_, &loop, start, options = std::move(options),
       done = std::move(done)](absl::StatusOr<std::shared_ptr<SessionCore>> session) mutable {
        if (!session.ok()) return std::move(done)(session.status());
        const absl::Duration spent = absl::Nanoseconds(loop.Now().HolderElapsedNs(start));
        LockWait::Start(*session, name, std::move(options), std::move(done), spent);
      });
}

}  // namespace client
}  // namespace tenure
