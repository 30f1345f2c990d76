// What the copies of one Coordinator share: the backend, and the implicit session.
#ifndef TENURE_CLIENT_COORDINATOR_CORE_H_
#define TENURE_CLIENT_COORDINATOR_CORE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>

#include "absl/container/btree_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/fork_check.h"
#include "client/session_core.h"
#include "tenure/backend.h"
#include "tenure/coordinator.h"

namespace tenure::client {

// Thread-safe; callbacks run outside of its lock.
class CoordinatorCore : public std::enable_shared_from_this<CoordinatorCore> {
 public:
  using SessionDone = absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<SessionCore>>) &&>;

  CoordinatorCore(std::shared_ptr<Backend> backend, CoordinatorOptions options);
  // Ends openings that are under way with kCancelled.
  ~CoordinatorCore();

  Backend& backend() const { return *backend_; }
  const std::shared_ptr<Backend>& shared_backend() const { return backend_; }
  bool InForkedChild() const { return fork_check_->InChild(); }

  // The implicit session if there is one that can be used; null otherwise.
  std::shared_ptr<SessionCore> UsableSession() const;
  // The implicit session, opened if need be: all who ask meanwhile share one opening, which goes on
  // for as long as somebody waits for it. Each is answered by its own `limit` with kUnavailable, or
  // with kCancelled when its `cancel` is stopped.
  void WithSession(absl::Duration limit, std::stop_token cancel, SessionDone done);
  // A session of its own; kCancelled when the options' `cancel` is stopped first.
  void OpenSession(SessionOptions options, SessionDone done);

 private:
  struct Waiter {
    SessionDone done;
    TimerHandle timer;
    // Only WithSession and the destructor touch it.
    std::optional<std::stop_callback<absl::AnyInvocable<void()>>> on_stop;
  };
  using WaiterId = std::uint64_t;
  struct Opening {
    std::shared_ptr<SessionCore> session;
    // Only OpenSession and the destructor touch it.
    std::optional<std::stop_callback<absl::AnyInvocable<void()>>> on_stop;
  };

  InstanceKey NewKey();
  std::shared_ptr<SessionCore> NewSession(SessionOptions options);
  void OnOpened(const SessionCore* opening, absl::StatusOr<std::shared_ptr<SessionCore>> session);
  void Leave(WaiterId id, absl::Status why);
  // Of one that is still being opened, which is not any more; null of any other.
  std::shared_ptr<Opening> TakeOther(const SessionCore* session);

  const std::shared_ptr<Backend> backend_;
  const std::shared_ptr<const ForkCheck> fork_check_;
  const CoordinatorOptions options_;

  mutable std::mutex mutex_;
  std::mt19937_64 random_;
  std::shared_ptr<SessionCore> implicit_;
  std::shared_ptr<SessionCore> opening_;  // the next implicit one
  WaiterId last_waiter_ = 0;
  absl::btree_map<WaiterId, std::shared_ptr<Waiter>> waiters_;  // for opening_, in their order
  absl::btree_map<const SessionCore*, std::shared_ptr<Opening>> others_;  // being opened
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_COORDINATOR_CORE_H_
