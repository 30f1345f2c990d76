#include "client/coordinator_core.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/describe.h"

namespace tenure::client {
namespace {

std::uint64_t Seed(std::uint64_t wanted) {
  if (wanted != 0) return wanted;
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) ^ device();
}

}  // namespace

CoordinatorCore::CoordinatorCore(std::shared_ptr<Backend> backend, CoordinatorOptions options)
    : backend_(std::move(backend)),
      fork_check_(std::make_shared<ForkCheck>()),
      options_(std::move(options)),
      random_(Seed(options_.seed)) {}

CoordinatorCore::~CoordinatorCore() {
  if (fork_check_->InChild()) {
    // NOLINTBEGIN(bugprone-unhandled-exception-at-new): without memory, the process ends
    new std::shared_ptr<Backend>(backend_);  // its threads are the parent's: see SessionCore
    new absl::btree_map<WaiterId, std::shared_ptr<Waiter>>(std::move(waiters_));
    new absl::btree_map<const SessionCore*, std::shared_ptr<Opening>>(std::move(others_));
    // NOLINTEND(bugprone-unhandled-exception-at-new)
    return;
  }
  // Sessions that are being opened end with their owner, here.
  opening_ = nullptr;
  const absl::btree_map<WaiterId, std::shared_ptr<Waiter>> waiters = std::move(waiters_);
  for (const auto& [id, waiter] : waiters) {
    std::move(waiter->done)(absl::CancelledError("the coordinator is gone"));
  }
  others_.clear();
}

InstanceKey CoordinatorCore::NewKey() {
  // A key must not be guessed twice, so without a seed all of it is drawn from the system.
  if (options_.seed != 0) return {random_(), random_()};
  return {Seed(0), Seed(0)};
}

std::shared_ptr<SessionCore> CoordinatorCore::NewSession(SessionOptions options) {
  return std::make_shared<SessionCore>(backend_, fork_check_, std::move(options), NewKey());
}

std::shared_ptr<SessionCore> CoordinatorCore::UsableSession() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return implicit_ != nullptr && implicit_->usable() ? implicit_ : nullptr;
}

void CoordinatorCore::WithSession(absl::Duration limit, std::stop_token cancel, SessionDone done) {
  if (InForkedChild()) return std::move(done)(ForkedStatus());
  // An answer within the call may drop the last handle of this.
  const std::shared_ptr<CoordinatorCore> alive = shared_from_this();
  std::shared_ptr<SessionCore> session;
  std::shared_ptr<SessionCore> lost;  // dropped outside of the lock
  std::shared_ptr<SessionCore> to_open;
  std::shared_ptr<Waiter> waiter;
  WaiterId id = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (implicit_ != nullptr && implicit_->usable()) {
      session = implicit_;
    } else {
      lost = std::exchange(implicit_, nullptr);
      waiter = std::make_shared<Waiter>();
      waiter->done = std::move(done);
      id = ++last_waiter_;
      waiters_.emplace(id, waiter);
      if (limit != absl::InfiniteDuration()) {
        waiter->timer = backend_->loop().At(
            backend_->loop().Now() + limit, [weak = weak_from_this(), id, limit] {
              const auto self = weak.lock();
              if (self == nullptr) return;
              self->Leave(id, absl::UnavailableError(absl::StrCat(
                                  "no cluster answered within ", absl::FormatDuration(limit),
                                  ": the session could not be opened")));
            });
      }
      if (opening_ == nullptr) {
        SessionOptions options = options_.session;
        options.open_timeout = absl::InfiniteDuration();  // as long as anybody waits
        opening_ = to_open = NewSession(std::move(options));
      }
    }
  }
  // Where there is a session, `done` was not given away above.
  // NOLINTNEXTLINE(bugprone-use-after-move)
  if (session != nullptr) return std::move(done)(std::move(session));
  if (to_open != nullptr) {
    to_open->Open([weak = weak_from_this(),
                   opening = to_open.get()](absl::StatusOr<std::shared_ptr<SessionCore>> opened) {
      if (const auto self = weak.lock()) self->OnOpened(opening, std::move(opened));
    });
  }
  if (cancel.stop_possible()) {
    waiter->on_stop.emplace(std::move(cancel), [weak = weak_from_this(), id] {
      const auto self = weak.lock();
      if (self == nullptr || self->InForkedChild()) return;
      self->Leave(id, absl::CancelledError("the wait was cancelled"));
    });
  }
}

void CoordinatorCore::OnOpened(const SessionCore* opening,
                               absl::StatusOr<std::shared_ptr<SessionCore>> session) {
  absl::btree_map<WaiterId, std::shared_ptr<Waiter>> waiters;
  std::shared_ptr<SessionCore> opened;  // dropped outside of the lock
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (opening_.get() != opening) return;  // given up
    opened = std::exchange(opening_, nullptr);
    waiters.swap(waiters_);
    if (session.ok()) implicit_ = *session;
  }
  for (const auto& [id, waiter] : waiters) {
    waiter->timer.Cancel();
    std::move(waiter->done)(session);
  }
}

void CoordinatorCore::Leave(WaiterId id, absl::Status why) {
  std::shared_ptr<Waiter> waiter;
  std::shared_ptr<SessionCore> given_up;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto it = waiters_.find(id);
    if (it == waiters_.end()) return;
    waiter = std::move(it->second);
    waiters_.erase(it);
    if (waiters_.empty()) given_up = std::exchange(opening_, nullptr);
  }
  std::move(waiter->done)(std::move(why));
}

std::shared_ptr<CoordinatorCore::Opening> CoordinatorCore::TakeOther(const SessionCore* session) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = others_.find(session);
  if (it == others_.end()) return nullptr;
  std::shared_ptr<Opening> taken = std::move(it->second);
  others_.erase(it);
  return taken;
}

void CoordinatorCore::OpenSession(SessionOptions options, SessionDone done) {
  if (InForkedChild()) return std::move(done)(ForkedStatus());
  std::stop_token cancel = std::exchange(options.cancel, {});  // the session would keep it for good
  if (cancel.stop_requested()) {
    return std::move(done)(absl::CancelledError("cancelled before a session was asked for"));
  }
  // An answer within the call may drop the last handle of this.
  const std::shared_ptr<CoordinatorCore> alive = shared_from_this();
  const auto opening = std::make_shared<Opening>();
  SessionCore* key = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    opening->session = NewSession(std::move(options));
    key = opening->session.get();
    others_.emplace(key, opening);  // it ends with this, until somebody has it
  }
  const std::shared_ptr<SessionCore> session = opening->session;
  session->Open([weak = weak_from_this(), key, done = std::move(done)](
                    absl::StatusOr<std::shared_ptr<SessionCore>> opened) mutable {
    // Dropped last, and outside of the lock.
    const auto self = weak.lock();
    const std::shared_ptr<Opening> ended = self == nullptr ? nullptr : self->TakeOther(key);
    std::move(done)(std::move(opened));
  });
  if (!cancel.stop_possible()) return;
  opening->on_stop.emplace(std::move(cancel), [weak = weak_from_this(), key] {
    const auto self = weak.lock();
    if (self == nullptr || self->InForkedChild()) return;
    const std::shared_ptr<Opening> left = self->TakeOther(key);
    if (left != nullptr) left->session->CancelOpening();
  });
}

}  // namespace tenure::client
