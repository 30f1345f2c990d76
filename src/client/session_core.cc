// Opening, closing, and what handles ask.
#include "client/session_core.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/describe.h"
#include "client/session_parts.h"
#include "tenure/errors.h"

namespace tenure::client {
namespace {

std::string DefaultLabel() {
  char host[256] = {};
  if (gethostname(host, sizeof(host) - 1) != 0) host[0] = '\0';
  return absl::StrCat(host[0] == '\0' ? "host" : host, ":", getpid());
}

SessionOptions WithDefaults(SessionOptions options) {
  if (options.label.empty()) options.label = DefaultLabel();
  // Beyond a half the lease would be no lease; that clock cannot be used.
  options.clock_drift_max = std::clamp(options.clock_drift_max, 0.0, 0.5);
  return options;
}

}  // namespace

SessionCore::SessionCore(std::shared_ptr<Backend> backend,
                         std::shared_ptr<const ForkCheck> fork_check, SessionOptions options,
                         InstanceKey key)
    : backend_(std::move(backend)),
      fork_check_(std::move(fork_check)),
      options_(WithDefaults(std::move(options))),
      key_(key),
      watchers_(std::make_shared<Watchers>()),
      lease_(options_.clock_drift_max) {}

SessionCore::~SessionCore() {
  if (fork_check_->InChild()) {
    // The session, the connection and its thread are the parent's. A lock may have been held by a
    // thread that does not exist here: touch nothing.
    // NOLINTBEGIN(bugprone-unhandled-exception-at-new): without memory, the process ends
    new std::shared_ptr<Backend>(backend_);
    new TimerHandle(std::move(timer_));
    new absl::flat_hash_map<Sequence, std::shared_ptr<SequencedCall>>(std::move(calls_));
    new absl::flat_hash_map<Sequence, std::shared_ptr<SequencedCall>>(std::move(left_));
    new std::array<std::deque<std::shared_ptr<SequencedCall>>, 2>(std::move(held_back_));
    new OpenDone(std::move(open_done_));
    // NOLINTEND(bugprone-unhandled-exception-at-new)
    return;
  }
  if (open_done_) std::move(open_done_)(absl::CancelledError("closed while it was being opened"));
  if (id() == 0 || !usable()) return;
  const absl::Status over = absl::FailedPreconditionError("the session was closed");
  SetState(SessionState::kClosed);
  backend_->Unlisten(id());
  // No new calls: nobody has this any more.
  absl::flat_hash_map<Sequence, std::shared_ptr<SequencedCall>> calls = std::move(calls_);
  calls_.clear();
  SendClose(*backend_, id(), key_, absl::Nanoseconds(lease_.ttl_ns()),
            [](absl::StatusOr<Reply>) {});
  const std::vector<std::shared_ptr<SequencedCall>> held_back = TakeHeldBack();
  EndInOrder(calls, [&](SequencedCall& call) { call.OnOver(over); });
  for (const auto& call : held_back) call->OnOver(over);
}

// ---- Opening
// ---------------------------------------------------------------------------------------

void SessionCore::Open(OpenDone done) {
  if (InForkedChild()) return std::move(done)(ForkedStatus());
  if (options_.ttl <= absl::ZeroDuration() || options_.ttl == absl::InfiniteDuration()) {
    return std::move(done)(absl::InvalidArgumentError(absl::StrCat(
        "a session's TTL must be positive and finite, not ", absl::FormatDuration(options_.ttl))));
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_done_ = std::move(done);
    // Whichever attempt it is that succeeds, the lease counts from the first (PITFALLS T3).
    open_sent_ = loop().Now();
    open_deadline_ = open_sent_ + std::max(options_.open_timeout, absl::ZeroDuration());
  }
  SendOpen();
}

void SessionCore::SendOpen() {
  const Instant now = loop().Now();
  const std::int64_t left_ns = std::min(open_deadline_.boottime_ns() - now.boottime_ns(),
                                        open_deadline_.monotonic_raw_ns() - now.monotonic_raw_ns());
  Command command;
  command.key = key_;
  command.operation = OpenSession{absl::ToInt64Nanoseconds(options_.ttl), options_.label};
  const absl::Duration timeout =
      std::clamp(absl::Nanoseconds(left_ns), absl::Milliseconds(1), absl::Seconds(5));
  backend_->Call(std::move(command), {.timeout = timeout, .retry = true},
                 [weak = weak_from_this(), backend = std::weak_ptr<Backend>(backend_),
                  key = key_](absl::StatusOr<Reply> answer) {
                   if (const std::shared_ptr<SessionCore> self = weak.lock()) {
                     return self->OnOpenAnswer(std::move(answer));
                   }
                   // Nobody wants it any more.
                   const SessionOpened* opened =
                       answer.ok() ? std::get_if<SessionOpened>(&answer->result) : nullptr;
                   const std::shared_ptr<Backend> alive =
                       opened != nullptr ? backend.lock() : nullptr;
                   if (alive != nullptr) {
                     SendClose(*alive, opened->session, key, absl::Nanoseconds(opened->ttl_ns),
                               [](absl::StatusOr<Reply>) {});
                   }
                 });
}

void SessionCore::OnOpenAnswer(absl::StatusOr<Reply> answer) {
  if (answer.ok()) {
    const SessionOpened* opened = std::get_if<SessionOpened>(&answer->result);
    if (opened == nullptr) return FinishOpening(RefusalStatus(*answer));
    return OnOpened(*opened);
  }
  const absl::Status& why = answer.status();
  const Instant now = loop().Now();
  if (KindOf(why) == ErrorKind::kRefused) return FinishOpening(why);
  if (now.Reached(open_deadline_)) {
    return FinishOpening(absl::Status(
        why.code() == absl::StatusCode::kResourceExhausted ? why.code()
                                                           : absl::StatusCode::kUnavailable,
        absl::StrCat("no session was opened within ", absl::FormatDuration(options_.open_timeout),
                     " (", why.message(), ")")));
  }
  open_backoff_ns_ = NextBackoffNs(open_backoff_ns_, why);
  const std::lock_guard<std::mutex> lock(mutex_);
  timer_ = loop().At(Instant::Earlier(now.PlusNs(open_backoff_ns_), open_deadline_),
                     [weak = weak_from_this()] {
                       if (const auto self = weak.lock()) self->SendOpen();
                     });
}

void SessionCore::OnOpened(const SessionOpened& opened) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (id() != 0) return;
  lease_.Begin(open_sent_, opened.ttl_ns);
  id_.store(opened.session, std::memory_order_release);
  lock.unlock();
  backend_->Listen(opened.session, 0, std::make_shared<Sink>(weak_from_this()));
  lock.lock();
  const Instant now = loop().Now();
  if (!now.Reached(lease_.next_attempt())) {
    ArmTimer();
    lock.unlock();
    return FinishOpening(absl::OkStatus());
  }
  // It took so long that little or nothing is left of the lease. Nobody has it yet, so nothing is
  // held under it, and a renewal may still give it a new start.
  SendRenewal(std::move(lock));
}

void SessionCore::CancelOpening() {
  FinishOpening(absl::CancelledError("the opening of the session was cancelled"));
}

void SessionCore::FinishOpening(absl::Status status) {
  OpenDone done;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    done = std::exchange(open_done_, nullptr);
  }
  if (!done) return;
  if (status.ok()) return std::move(done)(shared_from_this());
  std::move(done)(std::move(status));
}

// ---- Closing
// ---------------------------------------------------------------------------------------

void SessionCore::SendClose(Backend& backend, SessionId id, InstanceKey key, absl::Duration timeout,
                            Backend::Done done) {
  Command command;
  command.session = id;
  command.key = key;
  command.operation = CloseSession{};
  backend.Call(std::move(command), {.timeout = timeout, .retry = true}, std::move(done));
}

void SessionCore::Close(absl::Duration timeout, absl::AnyInvocable<void(absl::Status) &&> done) {
  if (InForkedChild()) return std::move(done)(ForkedStatus());
  if (!End(SessionState::kClosed, absl::FailedPreconditionError("the session was closed"),
           /*told=*/false)) {
    if (state_.load() == SessionState::kClosed) return std::move(done)(absl::OkStatus());
    return std::move(done)(absl::NotFoundError("the session was lost before it was closed"));
  }
  SendClose(
      *backend_, id(), key_, timeout,
      [done = std::move(done), weak = weak_from_this()](absl::StatusOr<Reply> answer) mutable {
        if (answer.ok()) {
          if (std::holds_alternative<SessionClosed>(answer->result)) {
            return std::move(done)(absl::OkStatus());
          }
          return std::move(done)(absl::NotFoundError(
              absl::StrCat("the session had ended before it was closed: ", answer->message)));
        }
        // Once more, in the background; then the cluster finds out by itself.
        const std::shared_ptr<SessionCore> self = weak.lock();
        if (self != nullptr && KindOf(answer.status()) != ErrorKind::kRefused) {
          SendClose(*self->backend_, self->id(), self->key_,
                    absl::Nanoseconds(self->lease_.ttl_ns()), [](absl::StatusOr<Reply>) {});
        }
        std::move(done)(answer.status());
      });
}

// ---- What handles ask
// ------------------------------------------------------------------------------

SessionState SessionCore::state() const {
  const SessionState state = state_.load(std::memory_order_acquire);
  if (state > SessionState::kJeopardy || Valid()) return state;
  return SessionState::kExpired;
}

// The clocks are read under the lock, here and where a renewal's answer is taken: whoever saw the
// lease over was therefore before that answer, which then finds it over, too. So it is final.
bool SessionCore::Valid() const {
  if (!usable() || InForkedChild()) return false;
  const std::lock_guard<std::mutex> lock(mutex_);
  return !lease_.Over(loop().Now());
}

absl::Status SessionCore::status() const {
  if (InForkedChild()) return ForkedStatus();
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!usable()) return over_;
  return lease_.Over(loop().Now()) ? LeaseOver() : absl::OkStatus();
}

absl::Duration SessionCore::remaining() const {
  if (!usable() || InForkedChild()) return absl::ZeroDuration();
  const std::lock_guard<std::mutex> lock(mutex_);
  return absl::Nanoseconds(lease_.RemainingNs(loop().Now()));
}

absl::Duration SessionCore::ttl() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return absl::Nanoseconds(lease_.ttl_ns());
}

void SessionCore::Watch(absl::AnyInvocable<void(SessionState)> watcher) {
  const std::lock_guard<std::mutex> lock(watchers_->mutex);
  watchers_->all.push_back(
      std::make_shared<absl::AnyInvocable<void(SessionState)>>(std::move(watcher)));
}

}  // namespace tenure::client
