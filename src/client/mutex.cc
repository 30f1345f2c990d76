#include "tenure/mutex.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/grant.h"
#include "client/handle_core.h"
#include "client/observer_core.h"
#include "client/read.h"
#include "client/release.h"
#include "tenure/semaphore.h"

namespace tenure {

using client::EmptyStatus;

namespace {

void Acquire(const client::HandleCore& core, LockMode mode, LockOptions options,
             Mutex::LockCallback done) {
  AcquireLock wanted;
  wanted.name = core.name();
  wanted.value = std::move(options.value);
  wanted.mode = mode;
  wanted.delay_ns = absl::ToInt64Nanoseconds(options.lock_delay);
  wanted.owner = std::move(options.owner);
  wanted.reentrant = options.reentrant;
  wanted.detect_deadlock = options.detect_deadlock;
  core.Ask<LockGuard>(std::move(wanted), options.wait, std::move(options.cancel), std::move(done));
}

void InspectLock(absl::string_view what, const client::HandleCore* core, absl::Duration timeout,
                 absl::AnyInvocable<void(absl::StatusOr<LockDescription>) &&> done) {
  if (core == nullptr) return std::move(done)(EmptyStatus(what));
  if (core->InForkedChild()) return std::move(done)(client::ForkedStatus());
  client::Read<LockDescription>(core->backend(), GetLock{core->name()}, timeout, std::move(done));
}

absl::StatusOr<LockDescription> InspectLock(absl::string_view what, const client::HandleCore* core,
                                            absl::Duration timeout) {
  if (core == nullptr) return EmptyStatus(what);
  return client::BlockOn<absl::StatusOr<LockDescription>>(
      *core, [&](auto done) { InspectLock(what, core, timeout, std::move(done)); });
}

class Downgrading final : public client::Errand {
 public:
  Downgrading(tenure::Downgrade downgrade, absl::Duration timeout, Done done)
      : Errand(timeout, std::move(done)), downgrade_(std::move(downgrade)) {}

 private:
  Operation MakeOperation() const override { return downgrade_; }
  std::string What() const override { return absl::StrCat("the downgrade of ", downgrade_.name); }
  absl::Status TooLate(const absl::Status& why) const override {
    return absl::NotFoundError(
        absl::StrCat(downgrade_.name, " was not held any more: ", why.message()));
  }

  const tenure::Downgrade downgrade_;
};

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
  client::Release::Start(grant_->core(), grant_->kind(), grant_->TakeName(), grant_->token(),
                         absl::ZeroDuration(), nullptr);
}

const std::string& LockGuard::name() const {
  return grant_ == nullptr ? client::NoName() : grant_->name();
}
Revision LockGuard::token() const { return grant_ == nullptr ? 0 : grant_->token(); }
Revision LockGuard::fence() const { return grant_ == nullptr ? 0 : grant_->fence(); }
std::uint64_t LockGuard::seat() const { return grant_ == nullptr ? 0 : grant_->seat(); }
bool LockGuard::Valid() const { return grant_ != nullptr && grant_->Valid(); }
std::stop_token LockGuard::lost() const {
  return grant_ == nullptr ? std::stop_token() : grant_->lost();
}
absl::Status LockGuard::status() const {
  return grant_ == nullptr ? EmptyStatus("LockGuard") : grant_->status();
}

absl::Status LockGuard::Unlock(absl::Duration timeout) {
  if (grant_ == nullptr) return EmptyStatus("LockGuard");
  return client::BlockOn<absl::Status>(grant_->core(),
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
  Acquire(*core_, LockMode::kExclusive, std::move(options), std::move(done));
}

absl::StatusOr<LockGuard> Mutex::TryLock() { return Lock({.wait = absl::ZeroDuration()}); }

void Mutex::TryLock(LockCallback done) { Lock({.wait = absl::ZeroDuration()}, std::move(done)); }

absl::StatusOr<LockDescription> Mutex::Inspect(absl::Duration timeout) {
  return InspectLock("Mutex", core_.get(), timeout);
}

void Mutex::Inspect(absl::Duration timeout,
                    absl::AnyInvocable<void(absl::StatusOr<LockDescription>) &&> done) {
  InspectLock("Mutex", core_.get(), timeout, std::move(done));
}

Observer Mutex::Observe(Revision after) {
  if (core_ == nullptr) return Observer();
  return Observer(std::make_shared<client::ObserverCore>(core_, ObjectKind::kLock, after));
}

// ---- SharedMutex
// -----------------------------------------------------------------------------------

const std::string& SharedMutex::name() const {
  return core_ == nullptr ? client::NoName() : core_->name();
}

absl::StatusOr<LockGuard> SharedMutex::Lock(LockOptions options) {
  if (core_ == nullptr) return EmptyStatus("SharedMutex");
  return client::BlockOn<absl::StatusOr<LockGuard>>(
      *core_, [&](auto done) { Lock(std::move(options), std::move(done)); });
}

void SharedMutex::Lock(LockOptions options, LockCallback done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("SharedMutex"));
  Acquire(*core_, LockMode::kExclusive, std::move(options), std::move(done));
}

absl::StatusOr<LockGuard> SharedMutex::LockShared(LockOptions options) {
  if (core_ == nullptr) return EmptyStatus("SharedMutex");
  return client::BlockOn<absl::StatusOr<LockGuard>>(
      *core_, [&](auto done) { LockShared(std::move(options), std::move(done)); });
}

void SharedMutex::LockShared(LockOptions options, LockCallback done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("SharedMutex"));
  Acquire(*core_, LockMode::kShared, std::move(options), std::move(done));
}

absl::StatusOr<LockGuard> SharedMutex::TryLock() { return Lock({.wait = absl::ZeroDuration()}); }

void SharedMutex::TryLock(LockCallback done) {
  Lock({.wait = absl::ZeroDuration()}, std::move(done));
}

absl::StatusOr<LockGuard> SharedMutex::TryLockShared() {
  return LockShared({.wait = absl::ZeroDuration()});
}

void SharedMutex::TryLockShared(LockCallback done) {
  LockShared({.wait = absl::ZeroDuration()}, std::move(done));
}

absl::Status SharedMutex::Downgrade(LockGuard& guard, absl::Duration timeout) {
  if (core_ == nullptr) return EmptyStatus("SharedMutex");
  return client::BlockOn<absl::Status>(
      *core_, [&](auto done) { Downgrade(guard, timeout, std::move(done)); });
}

void SharedMutex::Downgrade(LockGuard& guard, absl::Duration timeout,
                            absl::AnyInvocable<void(absl::Status) &&> done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("SharedMutex"));
  if (guard.grant_ == nullptr) return std::move(done)(EmptyStatus("LockGuard"));
  if (guard.name() != name()) {
    return std::move(done)(absl::InvalidArgumentError(
        absl::StrCat("that guard holds ", guard.name(), ", not ", name())));
  }
  client::Errand::Start(guard.grant_->core(),
                        std::make_shared<Downgrading>(tenure::Downgrade{name(), guard.token()},
                                                      timeout, std::move(done)));
}

absl::StatusOr<LockDescription> SharedMutex::Inspect(absl::Duration timeout) {
  return InspectLock("SharedMutex", core_.get(), timeout);
}

void SharedMutex::Inspect(absl::Duration timeout,
                          absl::AnyInvocable<void(absl::StatusOr<LockDescription>) &&> done) {
  InspectLock("SharedMutex", core_.get(), timeout, std::move(done));
}

Observer SharedMutex::Observe(Revision after) { return Mutex(core_).Observe(after); }

// ---- Semaphore
// -------------------------------------------------------------------------------------

const std::string& Semaphore::name() const {
  return core_ == nullptr ? client::NoName() : core_->name();
}

absl::StatusOr<LockGuard> Semaphore::Acquire(AcquireOptions options) {
  if (core_ == nullptr) return EmptyStatus("Semaphore");
  return client::BlockOn<absl::StatusOr<LockGuard>>(
      *core_, [&](auto done) { Acquire(std::move(options), std::move(done)); });
}

void Semaphore::Acquire(AcquireOptions options, Mutex::LockCallback done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("Semaphore"));
  AcquireLock wanted;
  wanted.name = core_->name();
  wanted.value = std::move(options.value);
  wanted.mode = LockMode::kPermits;
  wanted.permits = options.permits;
  wanted.total = total_;
  wanted.owner = std::move(options.owner);
  wanted.detect_deadlock = options.detect_deadlock;
  core_->Ask<LockGuard>(std::move(wanted), options.wait, std::move(options.cancel),
                        std::move(done));
}

absl::StatusOr<LockGuard> Semaphore::TryAcquire(std::uint64_t permits) {
  return Acquire({.permits = permits, .wait = absl::ZeroDuration()});
}

void Semaphore::TryAcquire(std::uint64_t permits, Mutex::LockCallback done) {
  Acquire({.permits = permits, .wait = absl::ZeroDuration()}, std::move(done));
}

absl::StatusOr<LockDescription> Semaphore::Inspect(absl::Duration timeout) {
  return InspectLock("Semaphore", core_.get(), timeout);
}

void Semaphore::Inspect(absl::Duration timeout,
                        absl::AnyInvocable<void(absl::StatusOr<LockDescription>) &&> done) {
  InspectLock("Semaphore", core_.get(), timeout, std::move(done));
}

Observer Semaphore::Observe(Revision after) { return Mutex(core_).Observe(after); }

}  // namespace tenure
