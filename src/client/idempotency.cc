#include "tenure/idempotency.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/attempt_core.h"
#include "client/describe.h"
#include "client/handle_core.h"
#include "client/operation_wait.h"
#include "client/read.h"
#include "tenure/errors.h"

namespace tenure {

using client::EmptyStatus;

bool IsLastingFailure(const absl::Status& failure) {
  switch (failure.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return true;
    default:
      return false;
  }
}

std::string Fingerprint(absl::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  // Fails only without memory. No digest at all would make all requests one.
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1) {
    std::abort();
  }
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), length));
}

absl::StatusOr<std::string> OutcomeOf(const OperationDescription& description) {
  if (description.state == OperationState::kDone) return description.response;
  if (description.state == OperationState::kFailed) {
    return client::DecodeFailure(description.response);
  }
  return absl::NotFoundError(absl::StrCat("'", description.key, "' has no outcome yet"));
}

// ---- Attempt
// ---------------------------------------------------------------------------------------

Attempt::Attempt() noexcept = default;
Attempt::Attempt(std::shared_ptr<client::AttemptCore> core) : core_(std::move(core)) {}
Attempt::Attempt(Attempt&&) noexcept = default;

Attempt& Attempt::operator=(Attempt&& other) noexcept {
  const Attempt former(std::exchange(core_, std::exchange(other.core_, nullptr)));
  return *this;
}

Attempt::~Attempt() {
  if (core_ == nullptr || core_->grant.core()->InForkedChild()) return;
  if (!core_->progress->attempt.Leave()) return;  // an outcome is under way, or was stored
  client::AttemptFinish::Abandon(core_->grant.core(), scope(), key(), token());
}

const std::string& Attempt::scope() const {
  return core_ == nullptr ? client::NoName() : core_->scope;
}
const std::string& Attempt::key() const {
  return core_ == nullptr ? client::NoName() : core_->grant.name();
}
Revision Attempt::token() const { return core_ == nullptr ? 0 : core_->grant.token(); }
std::uint64_t Attempt::number() const { return core_ == nullptr ? 0 : core_->number; }
const std::string& Attempt::recovery_point() const {
  return core_ == nullptr ? client::NoName() : core_->point;
}
bool Attempt::Valid() const { return core_ != nullptr && core_->grant.Valid(); }
absl::Status Attempt::status() const {
  return core_ == nullptr ? EmptyStatus("Attempt") : core_->grant.status();
}
std::stop_token Attempt::lost() const {
  return core_ == nullptr ? std::stop_token() : core_->grant.lost();
}

namespace {

using Done = absl::AnyInvocable<void(absl::Status) &&>;

std::int64_t DeadlineNs(absl::Duration deadline) {
  return deadline == absl::InfiniteDuration() ? kWaitForever : absl::ToInt64Nanoseconds(deadline);
}

void Step(client::AttemptCore* core, client::AttemptStep::Step step, absl::Duration timeout,
          Done done) {
  if (core == nullptr) return std::move(done)(EmptyStatus("Attempt"));
  if (core->progress->stepping.exchange(true, std::memory_order_acq_rel)) {
    return std::move(done)(absl::UnavailableError(
        absl::StrCat("an earlier Checkpoint or Extend of '", core->grant.name(),
                     "' is still under way; try again")));
  }
  client::Errand::Start(core->grant.core(),
                        std::make_shared<client::AttemptStep>(std::move(step), core->progress,
                                                              timeout, std::move(done)));
}

}  // namespace

absl::Status Attempt::Checkpoint(absl::string_view point, absl::Duration timeout) {
  if (core_ == nullptr) return EmptyStatus("Attempt");
  return client::BlockOn<absl::Status>(
      core_->grant.core(), [&](auto done) { Checkpoint(point, timeout, std::move(done)); });
}

void Attempt::Checkpoint(absl::string_view point, absl::Duration timeout, Done done) {
  Step(core_.get(), tenure::Checkpoint{scope(), key(), token(), std::string(point)}, timeout,
       std::move(done));
}

absl::Status Attempt::Extend(absl::Duration deadline, absl::Duration timeout) {
  if (core_ == nullptr) return EmptyStatus("Attempt");
  return client::BlockOn<absl::Status>(
      core_->grant.core(), [&](auto done) { Extend(deadline, timeout, std::move(done)); });
}

void Attempt::Extend(absl::Duration deadline, absl::Duration timeout, Done done) {
  Step(core_.get(), tenure::Extend{scope(), key(), token(), DeadlineNs(deadline)}, timeout,
       std::move(done));
}

absl::Status Attempt::Complete(absl::string_view response, absl::Duration timeout) {
  if (core_ == nullptr) return EmptyStatus("Attempt");
  return client::BlockOn<absl::Status>(
      core_->grant.core(), [&](auto done) { Complete(response, timeout, std::move(done)); });
}

void Attempt::Complete(absl::string_view response, absl::Duration timeout, Done done) {
  Finish(Outcome::kCompleted, std::string(response), timeout, std::move(done));
}

absl::Status Attempt::Fail(const absl::Status& failure, absl::Duration timeout) {
  if (core_ == nullptr) return EmptyStatus("Attempt");
  return client::BlockOn<absl::Status>(core_->grant.core(),
                                       [&](auto done) { Fail(failure, timeout, std::move(done)); });
}

void Attempt::Fail(const absl::Status& failure, absl::Duration timeout, Done done) {
  if (failure.ok()) {
    return std::move(done)(absl::InvalidArgumentError("a failure must not be OK: use Complete"));
  }
  Finish(Outcome::kFailed, client::EncodeFailure(failure), timeout, std::move(done));
}

absl::Status Attempt::Abandon(absl::Duration timeout) {
  if (core_ == nullptr) return EmptyStatus("Attempt");
  return client::BlockOn<absl::Status>(core_->grant.core(),
                                       [&](auto done) { Abandon(timeout, std::move(done)); });
}

void Attempt::Abandon(absl::Duration timeout, Done done) {
  Finish(Outcome::kAbandoned, "", timeout, std::move(done));
}

void Attempt::Finish(Outcome outcome, std::string response, absl::Duration timeout, Done done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("Attempt"));
  if (!core_->progress->attempt.SendAway()) {
    return std::move(done)(absl::FailedPreconditionError(
        absl::StrCat("this attempt at '", key(), "' has been given an outcome already")));
  }
  client::AttemptFinish::Start(core_->grant.core(),
                               {scope(), key(), token(), outcome, std::move(response)},
                               core_->progress, timeout, std::move(done));
}

// ---- IdempotencyStore
// ------------------------------------------------------------------------------

namespace {

using BegunDone = absl::AnyInvocable<void(absl::StatusOr<Begun>) &&>;

void Ask(const client::HandleCore& core, client::Asked asked, absl::Duration wait,
         std::stop_token cancel, BegunDone done) {
  core.WithSession(
      wait, cancel, std::move(done),
      [asked = std::move(asked), wait, cancel](const std::shared_ptr<client::SessionCore>& session,
                                               BegunDone then, absl::Duration spent) mutable {
        client::OperationWait::Start(session, std::move(asked), wait, std::move(cancel),
                                     std::move(then), spent);
      });
}

// One command of the session that is sent until it is answered.
class Forgetting final : public client::Errand {
 public:
  Forgetting(Forget forget, absl::Duration timeout, Done done)
      : Errand(timeout, std::move(done)), forget_(std::move(forget)) {}

 private:
  Operation MakeOperation() const override { return forget_; }
  std::string What() const override { return absl::StrCat("forgetting '", forget_.key, "'"); }
  absl::Status TooLate(const absl::Status& why) const override { return why; }

  const Forget forget_;
};

absl::Status StillAttempted(absl::string_view key, absl::Duration wait,
                            const AttemptInProgress& progress) {
  return absl::AbortedError(absl::StrCat("'", key, "' has no outcome after ",
                                         absl::FormatDuration(wait), "; ",
                                         client::WhoAttempts(progress)));
}

// What a Begin needs, taken out of them.
BeginOptions BeginOptionsOf(ExecuteOptions& options) {
  return {.wait = options.wait,
          .cancel = std::move(options.cancel),
          .deadline = options.deadline,
          .retention = options.retention,
          .lock = std::move(options.lock),
          .value = std::move(options.value)};
}

bool Stores(const ExecuteOptions& options, const absl::Status& failure) {
  return options.stores ? options.stores(failure) : IsLastingFailure(failure);
}

// An operation that is carried out by callbacks. Belongs to who is to finish it, and lives until
// its outcome is stored: a refusal brings the attempt back, which is then abandoned.
class Execution : public std::enable_shared_from_this<Execution> {
 public:
  Execution(Attempt attempt, ExecuteOptions options, IdempotencyStore::ResultCallback done)
      : attempt_(std::move(attempt)), options_(std::move(options)), done_(std::move(done)) {}
  ~Execution() {
    if (!done_) return;
    attempt_ = Attempt();
    std::move(done_)(absl::CancelledError(
        "the operation was dropped without a result: its attempt is abandoned"));
  }

  Attempt& attempt() { return attempt_; }

  void Finish(absl::StatusOr<std::string> result) {
    if (!done_) return;  // finished before
    if (!result.ok() && !Stores(options_, result.status())) {
      attempt_ = Attempt();  // abandons it
      return std::exchange(done_, nullptr)(std::move(result));
    }
    const absl::StatusOr<std::string> stored = result;
    auto then = [self = shared_from_this(), result = std::move(result),
                 done = std::exchange(done_, nullptr)](const absl::Status& status) mutable {
      if (!status.ok()) return std::move(done)(status);
      std::move(done)(std::move(result));
    };
    if (stored.ok()) {
      attempt_.Complete(*stored, kStoring, std::move(then));
    } else {
      attempt_.Fail(stored.status(), kStoring, std::move(then));
    }
  }

 private:
  static constexpr absl::Duration kStoring = absl::Seconds(5);

  Attempt attempt_;
  const ExecuteOptions options_;
  IdempotencyStore::ResultCallback done_;
};

}  // namespace

const std::string& IdempotencyStore::scope() const {
  return core_ == nullptr ? client::NoName() : core_->name();
}

absl::StatusOr<Begun> IdempotencyStore::Begin(absl::string_view key, absl::string_view fingerprint,
                                              BeginOptions options) {
  if (core_ == nullptr) return EmptyStatus("IdempotencyStore");
  return client::BlockOn<absl::StatusOr<Begun>>(
      *core_, [&](auto done) { Begin(key, fingerprint, std::move(options), std::move(done)); });
}

void IdempotencyStore::Begin(absl::string_view key, absl::string_view fingerprint,
                             BeginOptions options, BegunDone done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("IdempotencyStore"));
  tenure::Begin begin;
  begin.scope = core_->name();
  begin.key = std::string(key);
  begin.fingerprint = std::string(fingerprint);
  begin.deadline_ns = DeadlineNs(options.deadline);
  begin.retention_ns = DeadlineNs(options.retention);
  begin.lock = std::move(options.lock);
  begin.value = std::move(options.value);
  Ask(*core_, std::move(begin), options.wait, std::move(options.cancel), std::move(done));
}

absl::StatusOr<std::string> IdempotencyStore::Execute(
    absl::string_view key, absl::string_view fingerprint,
    absl::FunctionRef<absl::StatusOr<std::string>(Attempt&)> fn, ExecuteOptions options) {
  absl::StatusOr<Begun> begun = Begin(key, fingerprint, BeginOptionsOf(options));
  if (!begun.ok()) return begun.status();
  if (begun->state == Begun::State::kDone) return std::move(begun->outcome.result);
  if (begun->state == Begun::State::kInProgress) {
    return StillAttempted(key, options.wait, begun->progress);
  }
  absl::StatusOr<std::string> result = fn(begun->attempt);
  if (result.ok()) {
    if (absl::Status stored = begun->attempt.Complete(*result); !stored.ok()) return stored;
    return result;
  }
  if (!Stores(options, result.status())) {
    // Whether that is answered does not matter: the failure is the caller's in any case.
    begun->attempt.Abandon(absl::ZeroDuration(), [](const absl::Status&) {});
    return result;
  }
  if (absl::Status stored = begun->attempt.Fail(result.status()); !stored.ok()) return stored;
  return result;
}

void IdempotencyStore::Execute(absl::string_view key, absl::string_view fingerprint,
                               absl::AnyInvocable<void(Attempt&, ResultCallback finish) &&> fn,
                               ExecuteOptions options, ResultCallback done) {
  BeginOptions begin = BeginOptionsOf(options);
  Begin(key, fingerprint, std::move(begin),
        [key = std::string(key), fn = std::move(fn), options = std::move(options),
         done = std::move(done)](absl::StatusOr<Begun> begun) mutable {
          if (!begun.ok()) return std::move(done)(begun.status());
          if (begun->state == Begun::State::kDone) {
            return std::move(done)(std::move(begun->outcome.result));
          }
          if (begun->state == Begun::State::kInProgress) {
            return std::move(done)(StillAttempted(key, options.wait, begun->progress));
          }
          auto execution = std::make_shared<Execution>(std::move(begun->attempt),
                                                       std::move(options), std::move(done));
          Attempt& attempt = execution->attempt();
          std::move(fn)(attempt,
                        [execution = std::move(execution)](absl::StatusOr<std::string> result) {
                          execution->Finish(std::move(result));
                        });
        });
}

absl::StatusOr<StoredOutcome> IdempotencyStore::Wait(absl::string_view key, WaitOptions options) {
  if (core_ == nullptr) return EmptyStatus("IdempotencyStore");
  return client::BlockOn<absl::StatusOr<StoredOutcome>>(
      *core_, [&](auto done) { Wait(key, std::move(options), std::move(done)); });
}

void IdempotencyStore::Wait(absl::string_view key, WaitOptions options,
                            absl::AnyInvocable<void(absl::StatusOr<StoredOutcome>) &&> done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("IdempotencyStore"));
  AwaitOperation await;
  await.scope = core_->name();
  await.key = std::string(key);
  const absl::Duration wait = options.wait;
  Ask(*core_, std::move(await), wait, std::move(options.cancel),
      [key = std::string(key), wait, done = std::move(done)](absl::StatusOr<Begun> begun) mutable {
        if (!begun.ok()) return std::move(done)(begun.status());
        if (begun->state == Begun::State::kDone) {
          return std::move(done)(std::move(begun->outcome));
        }
        std::move(done)(StillAttempted(key, wait, begun->progress));
      });
}

absl::StatusOr<OperationDescription> IdempotencyStore::Get(absl::string_view key,
                                                           absl::Duration timeout) {
  if (core_ == nullptr) return EmptyStatus("IdempotencyStore");
  return client::BlockOn<absl::StatusOr<OperationDescription>>(
      *core_, [&](auto done) { Get(key, timeout, std::move(done)); });
}

void IdempotencyStore::Get(absl::string_view key, absl::Duration timeout,
                           absl::AnyInvocable<void(absl::StatusOr<OperationDescription>) &&> done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("IdempotencyStore"));
  if (core_->InForkedChild()) return std::move(done)(client::ForkedStatus());
  client::Read<OperationDescription>(
      core_->backend(), GetOperation{core_->name(), std::string(key)}, timeout, std::move(done));
}

absl::Status IdempotencyStore::Forget(absl::string_view key, absl::Duration timeout) {
  if (core_ == nullptr) return EmptyStatus("IdempotencyStore");
  return client::BlockOn<absl::Status>(*core_,
                                       [&](auto done) { Forget(key, timeout, std::move(done)); });
}

void IdempotencyStore::Forget(absl::string_view key, absl::Duration timeout, Done done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("IdempotencyStore"));
  core_->WithSession(
      std::max(timeout, absl::ZeroDuration()), {}, std::move(done),
      [forget = tenure::Forget{core_->name(), std::string(key)}, timeout](
          const std::shared_ptr<client::SessionCore>& session, Done then,
          absl::Duration /*spent*/) mutable {
        client::Errand::Start(
            session, std::make_shared<Forgetting>(std::move(forget), timeout, std::move(then)));
      });
}

absl::StatusOr<OperationList> IdempotencyStore::List(absl::string_view after, std::uint32_t limit,
                                                     absl::Duration timeout) {
  if (core_ == nullptr) return EmptyStatus("IdempotencyStore");
  return client::BlockOn<absl::StatusOr<OperationList>>(
      *core_, [&](auto done) { List(after, limit, timeout, std::move(done)); });
}

void IdempotencyStore::List(absl::string_view after, std::uint32_t limit, absl::Duration timeout,
                            absl::AnyInvocable<void(absl::StatusOr<OperationList>) &&> done) {
  if (core_ == nullptr) return std::move(done)(EmptyStatus("IdempotencyStore"));
  if (core_->InForkedChild()) return std::move(done)(client::ForkedStatus());
  client::Read<OperationList>(core_->backend(),
                              ListOperations{core_->name(), std::string(after), limit}, timeout,
                              std::move(done));
}

}  // namespace tenure
