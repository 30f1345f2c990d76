#include "tenure/mutex.h"

#include <memory>
#include <string>
#include <utility>

#include "client/grant.h"
#include "client/handle_core.h"
#include "client/read.h"
#include "client/release.h"

namespace tenure {

using client::EmptyStatus;

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
  client::Release::Start(grant_->core(), grant_->kind(), grant_->TakeName(), grant_->token(),
                         absl::ZeroDuration(), nullptr);
}

const std::string& LockGuard::name() const {
  return grant_ == nullptr ? client::NoName() : grant_->name();
}
Revision LockGuard::token() const { return grant_ == nullptr ? 0 : grant_->token(); }
bool LockGuard::Valid() const { return grant_ != nullptr && grant_->Valid(); }
std::stop_token LockGuard::lost() const {
  return grant_ == nullptr ? std::stop_token() : grant_->lost();
}

absl::Status LockGuard::Unlock(absl::Duration timeout) {
  if (grant_ == nullptr) return EmptyStatus("LockGuard");
  if (grant_->core()->InForkedChild()) return client::ForkedStatus();
  // The session must outlast the call that the answer comes to.
  const std::shared_ptr<client::SessionCore> core = grant_->core();
  return client::Block<absl::Status>(core->loop(),
                                     [&](auto done) { Unlock(timeout, std::move(done)); });
}

void LockGuard::Unlock(absl::Duration timeout, absl::AnyInvocable<void(absl::Status) &&> done) {
  if (grant_ == nullptr) return std::move(done)(EmptyStatus("LockGuard"));
  const std::unique_ptr<client::Grant> grant = std::exchange(grant_, nullptr);
  client::Release::Start(grant->core(), grant->kind(), grant->TakeName(), grant->token(), timeout,
                         std::move(done));
}

// ---- Mutex
// -----------------------------------------------------------------------------------------

const std::string& Mutex::name() const {
  return core_ == nullptr ? client::NoName() : core_->name();
}

absl::StatusOr<LockGuard> Mutex::Lock(LockOptions options) {
  if (core_ == nullptr) return EmptyStatus("Mutex");
  return client::BlockOn<absl::StatusOr<LockGuard>>(
      *core_, [&](auto done) { Lock(std::move(options), std::move(done)); });
}

void Mutex::Lock(LockOptions options, LockCallback done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("Mutex"));
  AcquireLock wanted;
  wanted.name = core_->name();
  wanted.value = std::move(options.value);
  core_->Ask<LockGuard>(std::move(wanted), options.wait, std::move(options.cancel),
                        std::move(done));
}

absl::StatusOr<LockGuard> Mutex::TryLock() { return Lock({.wait = absl::ZeroDuration()}); }

void Mutex::TryLock(LockCallback done) { Lock({.wait = absl::ZeroDuration()}, std::move(done)); }

absl::StatusOr<LockDescription> Mutex::Inspect(absl::Duration timeout) {
  if (core_ == nullptr) return EmptyStatus("Mutex");
  return client::BlockOn<absl::StatusOr<LockDescription>>(
      *core_, [&](auto done) { Inspect(timeout, std::move(done)); });
}

void Mutex::Inspect(absl::Duration timeout,
                    absl::AnyInvocable<void(absl::StatusOr<LockDescription>) &&> done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("Mutex"));
  if (core_->InForkedChild()) return std::move(done)(client::ForkedStatus());
  client::Read<LockDescription>(core_->backend(), GetLock{core_->name()}, timeout, std::move(done));
}

}  // namespace tenure
