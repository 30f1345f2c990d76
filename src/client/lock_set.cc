#include "tenure/lock_set.h"

#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "client/coordinator_core.h"
#include "client/grant.h"
#include "client/handle_core.h"
#include "client/session_core.h"
#include "tenure/coordinator.h"
#include "tenure/session.h"

namespace tenure {
namespace {

using client::EmptyStatus;

// The answers to one Unlock of many.
struct Answers {
  std::mutex mutex;
  std::size_t missing = 0;
  absl::Status first;  // that is not OK
  absl::AnyInvocable<void(absl::Status) &&> done;

  void Take(absl::Status status) {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      if (first.ok()) first = std::move(status);
      if (--missing > 0) return;
    }
    std::move(done)(std::move(first));
  }
};

}  // namespace

struct LockSetGuard::State {
  std::shared_ptr<client::SessionCore> core;
  std::vector<LockGuard> guards;
  std::mutex mutex;  // of the rest, which is made when somebody asks
  std::optional<std::stop_source> lost;
  std::vector<std::unique_ptr<std::stop_callback<client::PassOn>>> passed_on;
};

LockSetGuard::LockSetGuard() noexcept = default;
LockSetGuard::LockSetGuard(LockSetGuard&&) noexcept = default;
LockSetGuard& LockSetGuard::operator=(LockSetGuard&&) noexcept = default;

LockSetGuard::~LockSetGuard() {
  if (state_ == nullptr || state_->core == nullptr || !state_->core->InForkedChild()) return;
  // Touches no lock that a thread of the parent may have held.
  for (auto& callback : state_->passed_on) (void)callback.release();
}

LockSetGuard::LockSetGuard(std::vector<std::unique_ptr<client::Grant>> grants)
    : state_(std::make_unique<State>()) {
  if (!grants.empty()) state_->core = grants.front()->core();
  state_->guards.reserve(grants.size());
  for (std::unique_ptr<client::Grant>& grant : grants) {
    state_->guards.emplace_back(std::move(grant));
  }
}

std::size_t LockSetGuard::size() const { return state_ == nullptr ? 0 : state_->guards.size(); }
LockGuard& LockSetGuard::operator[](std::size_t i) { return state_->guards[i]; }
const LockGuard& LockSetGuard::operator[](std::size_t i) const { return state_->guards[i]; }

Revision LockSetGuard::token() const {
  if (state_ == nullptr) return 0;
  for (const LockGuard& guard : state_->guards) {
    if (guard.token() != 0) return guard.token();
  }
  return 0;
}

bool LockSetGuard::Valid() const {
  if (state_ == nullptr) return false;
  for (const LockGuard& guard : state_->guards) {
    if (!guard.Valid()) return false;
  }
  return true;
}

absl::Status LockSetGuard::status() const {
  if (state_ == nullptr) return EmptyStatus("LockSetGuard");
  for (const LockGuard& guard : state_->guards) {
    if (absl::Status status = guard.status(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

std::stop_token LockSetGuard::lost() const {
  if (state_ == nullptr) return {};
  std::stop_source source{std::nostopstate};
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    if (state_->lost.has_value()) return state_->lost->get_token();
    source = state_->lost.emplace();
    // Nobody listens yet, so what is lost already runs no code of the caller's here.
    for (const LockGuard& guard : state_->guards) {
      state_->passed_on.push_back(std::make_unique<std::stop_callback<client::PassOn>>(
          guard.lost(), client::PassOn{source}));
    }
  }
  return source.get_token();
}

absl::Status LockSetGuard::Unlock(absl::Duration timeout) {
  if (state_ == nullptr) return EmptyStatus("LockSetGuard");
  return client::BlockOn<absl::Status>(state_->core,
                                       [&](auto done) { Unlock(timeout, std::move(done)); });
}

void LockSetGuard::Unlock(absl::Duration timeout, absl::AnyInvocable<void(absl::Status) &&> done) {
  if (state_ == nullptr) return std::move(done)(EmptyStatus("LockSetGuard"));
  const std::unique_ptr<State> state = std::exchange(state_, nullptr);
  state->passed_on.clear();
  std::vector<LockGuard*> held;
  for (LockGuard& guard : state->guards) {
    if (guard.token() != 0) held.push_back(&guard);
  }
  if (held.empty()) return std::move(done)(EmptyStatus("LockSetGuard"));
  const auto answers = std::make_shared<Answers>();
  answers->missing = held.size();
  answers->done = std::move(done);
  for (LockGuard* const guard : held) {
    guard->Unlock(timeout, [answers](absl::Status status) { answers->Take(std::move(status)); });
  }
}

// ---- Asking
// ----------------------------------------------------------------------------------------

namespace {

template <typename Core>  // a SessionCore or a CoordinatorCore
void Ask(std::shared_ptr<Core> core, std::vector<LockInSet> locks, AcquireAllOptions options,
         LockSetCallback done) {
  AcquireAll wanted;
  wanted.locks = std::move(locks);
  wanted.value = std::move(options.value);
  wanted.delay_ns = absl::ToInt64Nanoseconds(options.lock_delay);
  wanted.owner = std::move(options.owner);
  wanted.detect_deadlock = options.detect_deadlock;
  client::HandleCore("", std::move(core))
      .Ask<LockSetGuard>(std::move(wanted), options.wait, std::move(options.cancel),
                         std::move(done));
}

template <typename Core>
absl::StatusOr<LockSetGuard> BlockingAsk(std::shared_ptr<Core> core, std::vector<LockInSet> locks,
                                         AcquireAllOptions options) {
  const client::HandleCore handle("", core);
  return client::BlockOn<absl::StatusOr<LockSetGuard>>(
      handle, [&](auto done) { Ask(core, std::move(locks), std::move(options), std::move(done)); });
}

}  // namespace

absl::StatusOr<LockSetGuard> Coordinator::AcquireAll(std::vector<LockInSet> locks,
                                                     AcquireAllOptions options) {
  if (core_ == nullptr) return EmptyStatus("Coordinator");
  return BlockingAsk(core_, std::move(locks), std::move(options));
}

void Coordinator::AcquireAll(std::vector<LockInSet> locks, AcquireAllOptions options,
                             LockSetCallback done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("Coordinator"));
  Ask(core_, std::move(locks), std::move(options), std::move(done));
}

absl::StatusOr<LockSetGuard> Session::AcquireAll(std::vector<LockInSet> locks,
                                                 AcquireAllOptions options) {
  if (core_ == nullptr) return EmptyStatus("Session");
  return BlockingAsk(core_, std::move(locks), std::move(options));
}

void Session::AcquireAll(std::vector<LockInSet> locks, AcquireAllOptions options,
                         LockSetCallback done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("Session"));
  Ask(core_, std::move(locks), std::move(options), std::move(done));
}

}  // namespace tenure
