#include "tenure/coordinator.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "client/blocking.h"
#include "client/coordinator_core.h"
#include "client/describe.h"
#include "client/errand.h"
#include "client/handle_core.h"
#include "client/read.h"

namespace tenure {
namespace {

absl::Status Empty() { return absl::FailedPreconditionError("this Coordinator is empty"); }

// What the handles share, and callbacks on the Loop do not: it goes with the last handle. A
// callback that has just woken this thread may still hold the core; were it the last to do so,
// sessions would be closed on a thread for which nobody waits.
class Hold {
 public:
  explicit Hold(std::shared_ptr<client::CoordinatorCore> core) : core_(std::move(core)) {}
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  ~Hold() {
    if (!core_->InForkedChild()) core_->backend().Settle();
  }

  client::CoordinatorCore* core() const { return core_.get(); }

 private:
  const std::shared_ptr<client::CoordinatorCore> core_;
};

std::shared_ptr<client::CoordinatorCore> Held(std::shared_ptr<client::CoordinatorCore> core) {
  const auto hold = std::make_shared<Hold>(std::move(core));
  return {hold, hold->core()};
}

template <typename T>
using ReadDone = absl::AnyInvocable<void(absl::StatusOr<T>) &&>;

template <typename T>
void Read(const std::shared_ptr<client::CoordinatorCore>& core, Operation operation,
          absl::Duration timeout, ReadDone<T> done) {
  if (core == nullptr) return std::move(done)(Empty());
  if (core->InForkedChild()) return std::move(done)(client::ForkedStatus());
  client::Read<T>(core->backend(), std::move(operation), timeout, std::move(done));
}

template <typename T>
absl::StatusOr<T> BlockingRead(const std::shared_ptr<client::CoordinatorCore>& core,
                               Operation operation, absl::Duration timeout) {
  if (core == nullptr) return Empty();
  if (core->InForkedChild()) return client::ForkedStatus();
  return client::Block<absl::StatusOr<T>>(core->backend().loop(), [&](auto done) {
    Read<T>(core, std::move(operation), timeout, std::move(done));
  });
}

class Breaking final : public client::Errand {
 public:
  Breaking(BreakLock broken, absl::Duration timeout, Done done)
      : Errand(timeout, std::move(done)), broken_(std::move(broken)) {}

 private:
  Operation MakeOperation() const override { return broken_; }
  std::string What() const override { return absl::StrCat("the break of ", broken_.name); }
  absl::Status TooLate(const absl::Status& why) const override { return why; }

  const BreakLock broken_;
};

void Break(const std::shared_ptr<client::CoordinatorCore>& core, BreakLock broken,
           absl::Duration timeout, client::Errand::Done done) {
  if (core == nullptr) return std::move(done)(Empty());
  using Done = client::Errand::Done;
  client::HandleCore("", core).WithSession(
      std::max(timeout, absl::ZeroDuration()), {}, std::move(done),
      [broken = std::move(broken), timeout](const std::shared_ptr<client::SessionCore>& session,
                                            Done then, absl::Duration /*spent*/) mutable {
        client::Errand::Start(
            session, std::make_shared<Breaking>(std::move(broken), timeout, std::move(then)));
      });
}

absl::Status Break(const std::shared_ptr<client::CoordinatorCore>& core, BreakLock broken,
                   absl::Duration timeout) {
  if (core == nullptr) return Empty();
  return client::BlockOn<absl::Status>(client::HandleCore(broken.name, core), [&](auto done) {
    Break(core, std::move(broken), timeout, std::move(done));
  });
}

}  // namespace

Coordinator::Coordinator(std::shared_ptr<Backend> backend, CoordinatorOptions options)
    : core_(backend == nullptr ? nullptr
                               : Held(std::make_shared<client::CoordinatorCore>(
                                     std::move(backend), std::move(options)))) {}

Mutex Coordinator::mutex(absl::string_view name) const {
  if (core_ == nullptr) return Mutex();
  return Mutex(std::make_shared<client::HandleCore>(std::string(name), core_));
}

SharedMutex Coordinator::shared_mutex(absl::string_view name) const {
  if (core_ == nullptr) return SharedMutex();
  return SharedMutex(std::make_shared<client::HandleCore>(std::string(name), core_));
}

Semaphore Coordinator::semaphore(absl::string_view name, std::uint64_t total) const {
  if (core_ == nullptr) return Semaphore();
  return Semaphore(std::make_shared<client::HandleCore>(std::string(name), core_), total);
}

Election Coordinator::election(absl::string_view name) const {
  if (core_ == nullptr) return Election();
  return Election(std::make_shared<client::HandleCore>(std::string(name), core_));
}

IdempotencyStore Coordinator::idempotency(absl::string_view scope) const {
  if (core_ == nullptr) return IdempotencyStore();
  return IdempotencyStore(std::make_shared<client::HandleCore>(std::string(scope), core_));
}

absl::StatusOr<Session> Coordinator::OpenSession(SessionOptions options) {
  if (core_ == nullptr) return Empty();
  if (core_->InForkedChild()) return client::ForkedStatus();
  return client::Block<absl::StatusOr<Session>>(core_->backend().loop(), [&](auto done) {
    OpenSession(std::move(options), std::move(done));
  });
}

void Coordinator::OpenSession(SessionOptions options,
                              absl::AnyInvocable<void(absl::StatusOr<Session>) &&> done) {
  if (core_ == nullptr) return std::move(done)(Empty());
  core_->OpenSession(std::move(options),
                     [done = std::move(done)](
                         absl::StatusOr<std::shared_ptr<client::SessionCore>> session) mutable {
                       if (!session.ok()) return std::move(done)(session.status());
                       std::move(done)(Session(*std::move(session)));
                     });
}

absl::StatusOr<ClusterStatus> Coordinator::Status(absl::Duration timeout) {
  return BlockingRead<ClusterStatus>(core_, GetStatus{}, timeout);
}

void Coordinator::Status(absl::Duration timeout, StatusCallback done) {
  Read<ClusterStatus>(core_, GetStatus{}, timeout, std::move(done));
}

absl::StatusOr<ClusterStatus> Coordinator::AddMember(absl::string_view name,
                                                     absl::string_view address,
                                                     absl::Duration timeout) {
  return BlockingRead<ClusterStatus>(
      core_, ChangeMembers{MemberAction::kAdd, std::string(name), std::string(address)}, timeout);
}

void Coordinator::AddMember(absl::string_view name, absl::string_view address,
                            absl::Duration timeout, StatusCallback done) {
  Read<ClusterStatus>(core_,
                      ChangeMembers{MemberAction::kAdd, std::string(name), std::string(address)},
                      timeout, std::move(done));
}

absl::StatusOr<ClusterStatus> Coordinator::RemoveMember(absl::string_view name,
                                                        absl::Duration timeout) {
  return BlockingRead<ClusterStatus>(
      core_, ChangeMembers{MemberAction::kRemove, std::string(name), ""}, timeout);
}

void Coordinator::RemoveMember(absl::string_view name, absl::Duration timeout,
                               StatusCallback done) {
  Read<ClusterStatus>(core_, ChangeMembers{MemberAction::kRemove, std::string(name), ""}, timeout,
                      std::move(done));
}

absl::StatusOr<ClusterStatus> Coordinator::PromoteMember(absl::string_view name,
                                                         absl::Duration timeout) {
  return BlockingRead<ClusterStatus>(
      core_, ChangeMembers{MemberAction::kPromote, std::string(name), ""}, timeout);
}

void Coordinator::PromoteMember(absl::string_view name, absl::Duration timeout,
                                StatusCallback done) {
  Read<ClusterStatus>(core_, ChangeMembers{MemberAction::kPromote, std::string(name), ""}, timeout,
                      std::move(done));
}

absl::StatusOr<ClusterStatus> Coordinator::TransferLeadership(absl::string_view name,
                                                              absl::Duration timeout) {
  return BlockingRead<ClusterStatus>(
      core_, ChangeMembers{MemberAction::kTransfer, std::string(name), ""}, timeout);
}

void Coordinator::TransferLeadership(absl::string_view name, absl::Duration timeout,
                                     StatusCallback done) {
  Read<ClusterStatus>(core_, ChangeMembers{MemberAction::kTransfer, std::string(name), ""}, timeout,
                      std::move(done));
}

absl::Status Coordinator::BreakLock(absl::string_view name, Revision token,
                                    absl::string_view reason, absl::Duration timeout) {
  return Break(core_, {ObjectKind::kLock, "", std::string(name), token, std::string(reason)},
               timeout);
}

void Coordinator::BreakLock(absl::string_view name, Revision token, absl::string_view reason,
                            absl::Duration timeout,
                            absl::AnyInvocable<void(absl::Status) &&> done) {
  Break(core_, {ObjectKind::kLock, "", std::string(name), token, std::string(reason)}, timeout,
        std::move(done));
}

absl::Status Coordinator::BreakLeadership(absl::string_view name, Revision term,
                                          absl::string_view reason, absl::Duration timeout) {
  return Break(core_, {ObjectKind::kElection, "", std::string(name), term, std::string(reason)},
               timeout);
}

void Coordinator::BreakLeadership(absl::string_view name, Revision term, absl::string_view reason,
                                  absl::Duration timeout,
                                  absl::AnyInvocable<void(absl::Status) &&> done) {
  Break(core_, {ObjectKind::kElection, "", std::string(name), term, std::string(reason)}, timeout,
        std::move(done));
}

absl::Status Coordinator::BreakAttempt(absl::string_view scope, absl::string_view key,
                                       Revision token, absl::string_view reason,
                                       absl::Duration timeout) {
  return Break(
      core_,
      {ObjectKind::kOperation, std::string(scope), std::string(key), token, std::string(reason)},
      timeout);
}

void Coordinator::BreakAttempt(absl::string_view scope, absl::string_view key, Revision token,
                               absl::string_view reason, absl::Duration timeout,
                               absl::AnyInvocable<void(absl::Status) &&> done) {
  Break(core_,
        {ObjectKind::kOperation, std::string(scope), std::string(key), token, std::string(reason)},
        timeout, std::move(done));
}

absl::StatusOr<LockList> Coordinator::ListLocks(absl::string_view after, std::uint32_t limit,
                                                absl::Duration timeout) {
  return BlockingRead<LockList>(core_, tenure::ListLocks{std::string(after), limit}, timeout);
}

void Coordinator::ListLocks(absl::string_view after, std::uint32_t limit, absl::Duration timeout,
                            ReadDone<LockList> done) {
  Read<LockList>(core_, tenure::ListLocks{std::string(after), limit}, timeout, std::move(done));
}

absl::StatusOr<ElectionList> Coordinator::ListElections(absl::string_view after,
                                                        std::uint32_t limit,
                                                        absl::Duration timeout) {
  return BlockingRead<ElectionList>(core_, tenure::ListElections{std::string(after), limit},
                                    timeout);
}

void Coordinator::ListElections(absl::string_view after, std::uint32_t limit,
                                absl::Duration timeout, ReadDone<ElectionList> done) {
  Read<ElectionList>(core_, tenure::ListElections{std::string(after), limit}, timeout,
                     std::move(done));
}

absl::StatusOr<SessionList> Coordinator::ListSessions(SessionId after, std::uint32_t limit,
                                                      absl::Duration timeout) {
  return BlockingRead<SessionList>(core_, tenure::ListSessions{after, limit}, timeout);
}

void Coordinator::ListSessions(SessionId after, std::uint32_t limit, absl::Duration timeout,
                               ReadDone<SessionList> done) {
  Read<SessionList>(core_, tenure::ListSessions{after, limit}, timeout, std::move(done));
}

std::shared_ptr<Backend> Coordinator::backend() const {
  return core_ == nullptr ? nullptr : core_->shared_backend();
}

}  // namespace tenure
