#include "tenure/session.h"

#include <memory>
#include <string>
#include <utility>

#include "client/blocking.h"
#include "client/describe.h"
#include "client/handle_core.h"
#include "client/session_core.h"
#include "tenure/election.h"
#include "tenure/idempotency.h"
#include "tenure/mutex.h"
#include "tenure/semaphore.h"

namespace tenure {
namespace {

absl::Status Empty() { return absl::FailedPreconditionError("this Session is empty"); }

}  // namespace

SessionId Session::id() const { return core_ == nullptr ? 0 : core_->id(); }
SessionState Session::state() const {
  return core_ == nullptr ? SessionState::kClosed : core_->state();
}
bool Session::Valid() const { return core_ != nullptr && core_->Valid(); }
absl::Status Session::status() const { return core_ == nullptr ? Empty() : core_->status(); }
absl::Duration Session::remaining() const {
  return core_ == nullptr ? absl::ZeroDuration() : core_->remaining();
}
absl::Duration Session::ttl() const {
  return core_ == nullptr ? absl::ZeroDuration() : core_->ttl();
}
std::stop_token Session::lost() const {
  return core_ == nullptr ? std::stop_token() : core_->lost();
}
void Session::Watch(absl::AnyInvocable<void(SessionState)> watcher) {
  if (core_ != nullptr) core_->Watch(std::move(watcher));
}

Mutex Session::mutex(absl::string_view name) const {
  if (core_ == nullptr) return Mutex();
  return Mutex(std::make_shared<client::HandleCore>(std::string(name), core_));
}

SharedMutex Session::shared_mutex(absl::string_view name) const {
  if (core_ == nullptr) return SharedMutex();
  return SharedMutex(std::make_shared<client::HandleCore>(std::string(name), core_));
}

Semaphore Session::semaphore(absl::string_view name, std::uint64_t total) const {
  if (core_ == nullptr) return Semaphore();
  return Semaphore(std::make_shared<client::HandleCore>(std::string(name), core_), total);
}

Election Session::election(absl::string_view name) const {
  if (core_ == nullptr) return Election();
  return Election(std::make_shared<client::HandleCore>(std::string(name), core_));
}

IdempotencyStore Session::idempotency(absl::string_view scope) const {
  if (core_ == nullptr) return IdempotencyStore();
  return IdempotencyStore(std::make_shared<client::HandleCore>(std::string(scope), core_));
}

absl::Status Session::Close(absl::Duration timeout) {
  if (core_ == nullptr) return Empty();
  if (core_->InForkedChild()) return client::ForkedStatus();
  return client::Block<absl::Status>(core_->loop(),
                                     [&](auto done) { core_->Close(timeout, std::move(done)); });
}

void Session::Close(absl::Duration timeout, absl::AnyInvocable<void(absl::Status) &&> done) {
  if (core_ == nullptr) return std::move(done)(Empty());
  core_->Close(timeout, std::move(done));
}

}  // namespace tenure
