#include "client/observer_core.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/describe.h"
#include "tenure/errors.h"

namespace tenure::client {
namespace {

LockHolder GrantedBy(const Change& change) {
  LockHolder holder;
  holder.session = change.session;
  holder.token = change.token;
  holder.label = change.label;
  holder.value = change.value;
  return holder;
}

}  // namespace

// ---- ObserverCore
// ----------------------------------------------------------------------------------

Revision ObserverCore::revision() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return told_;
}

void ObserverCore::Next(absl::Duration wait, const std::stop_token& cancel, Done done) {
  std::optional<News> news;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (busy_) {
      return std::move(done)(absl::FailedPreconditionError(
          absl::StrCat("another Next for ", handle_->name(), " is under way")));
    }
    news = Pop();
    busy_ = !news.has_value();
  }
  if (news.has_value()) return std::move(done)(*std::move(news));
  const bool timed = wait > absl::ZeroDuration() && wait != absl::InfiniteDuration();
  const Instant deadline =
      timed ? handle_->backend().loop().Now() + wait : Instant::InfiniteFuture();
  Ask(wait, {std::make_shared<Ends>(stop_.get_token(), cancel), deadline, std::move(done)});
}

void ObserverCore::Ask(absl::Duration wait, Question question) {
  Observe observe;
  observe.kind = kind_;
  observe.name = handle_->name();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    observe.after = fresh_ ? 0 : after_;
  }
  const std::stop_token stop = question.ends->token();
  ObserveWait::Done then = [self = shared_from_this(),
                            question = std::move(question)](absl::StatusOr<Batch> batch) mutable {
    self->OnBatch(std::move(batch), std::move(question));
  };
  handle_->WithSession(
      wait, stop, std::move(then),
      [observe = std::move(observe), wait, stop](const std::shared_ptr<SessionCore>& session,
                                                 ObserveWait::Done answer,
                                                 absl::Duration spent) mutable {
        ObserveWait::Start(session, std::move(observe), wait, stop, std::move(answer), spent);
      });
}

void ObserverCore::OnBatch(absl::StatusOr<Batch> batch, Question question) {
  absl::StatusOr<News> answer = absl::UnknownError("none yet");
  if (batch.ok()) {
    std::unique_lock<std::mutex> lock(mutex_);
    Take(*std::move(batch));
    std::optional<News> news = Pop();
    if (news.has_value()) {
      busy_ = false;
      lock.unlock();
      return std::move(question.done)(*std::move(news));
    }
    answer = absl::AbortedError(absl::StrCat("nothing happened to ", handle_->name()));
  } else {
    answer = batch.status();
    // The implicit session is opened anew, and it goes on where it was.
    const bool over = answer.status().code() == absl::StatusCode::kFailedPrecondition ||
                      answer.status().code() == absl::StatusCode::kUnknown;
    if (over && !handle_->HasOwnSession() && !handle_->InForkedChild() &&
        !question.ends->token().stop_requested()) {
      absl::Duration left = absl::InfiniteDuration();
      if (question.deadline != Instant::InfiniteFuture()) {
        const Instant now = handle_->backend().loop().Now();
        left = absl::Nanoseconds(
            std::max<std::int64_t>(now.HolderElapsedNs(question.deadline) * -1, 0));
      }
      if (left > absl::ZeroDuration()) return Ask(left, std::move(question));
    }
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    busy_ = false;
  }
  std::move(question.done)(std::move(answer));
}

std::optional<News> ObserverCore::Pop() {
  if (read_.empty()) return std::nullopt;
  News news = std::move(read_.front());
  read_.pop_front();
  told_ = news.change.revision;
  return news;
}

void ObserverCore::Apply(const Change& change) {
  const auto it = std::find_if(holders_.begin(), holders_.end(), [&](const LockHolder& holder) {
    return holder.token == change.token;
  });
  switch (change.kind) {
    case ChangeKind::kGranted:
    case ChangeKind::kValue:
      if (it == holders_.end()) {
        holders_.push_back(GrantedBy(change));
      } else {
        *it = GrantedBy(change);
      }
      return;
    case ChangeKind::kReleased:
    case ChangeKind::kHandedOver:
    case ChangeKind::kLost:
    case ChangeKind::kBroken:
      if (it != holders_.end()) holders_.erase(it);
      return;
  }
}

LockHolder ObserverCore::Holder() const {
  return holders_.empty() ? LockHolder() : holders_.front();
}

void ObserverCore::SetHolder(LockHolder holder) {
  holders_.clear();
  if (holder.session != 0) holders_.push_back(std::move(holder));
}

void ObserverCore::Take(Batch batch) {
  if (fresh_) {
    fresh_ = false;
    News first;
    first.initial = true;
    first.change.revision = batch.revision;
    SetHolder(batch.holder.value_or(LockHolder()));
    first.holder = Holder();
    read_.push_back(std::move(first));
    after_ = batch.revision;
    return;
  }
  for (Change& change : batch.changes) {
    News news;
    news.gap = std::exchange(batch.gap, false);
    Apply(change);
    news.holder = Holder();
    after_ = change.revision;
    news.change = std::move(change);
    read_.push_back(std::move(news));
  }
  if (batch.gap) {  // and nothing is known but how things stand
    News news;
    news.gap = true;
    news.change.revision = batch.revision;
    SetHolder(batch.holder.value_or(LockHolder()));
    news.holder = Holder();
    read_.push_back(std::move(news));
  }
  if (batch.holder.has_value()) {
    // All of it was told as of this revision; of others who share it what was seen of them stands.
    if (holders_.empty() || holders_.front().token != batch.holder->token)
      SetHolder(*std::move(batch.holder));
    if (!read_.empty()) read_.back().holder = Holder();
    after_ = std::max(after_, batch.revision);
  }
}

// ---- ObserveWait
// -----------------------------------------------------------------------------------

bool ObserveWait::Queues(const Reply& reply) {
  if (!std::holds_alternative<Observing>(reply.result)) return false;
  answered_ = true;
  return !is_try();
}

void ObserveWait::OnReply(const Core& core, Reply reply) {
  if (auto* observed = std::get_if<Observed>(&reply.result)) {
    return std::move(done_)(ObserverCore::Batch{reply.revision, std::move(observed->holder),
                                                std::move(observed->changes), observed->gap});
  }
  if (std::holds_alternative<Observing>(reply.result)) {  // of a try
    CancelInBackground(core);
    return EndOfTime();
  }
  Fail(RefusalStatus(reply));
}

void ObserveWait::OnEvent(const Core& /*core*/, const SessionEvent& event) {
  StopTimer();
  const auto* changed = std::get_if<ChangedEvent>(&event.body);
  if (changed == nullptr) return EndOfTime();
  ObserverCore::Batch batch;
  batch.revision = changed->change.revision;
  batch.changes.push_back(changed->change);
  batch.gap = changed->gap;
  std::move(done_)(std::move(batch));
}

void ObserveWait::EndOfTime() {
  if (!answered_) return Fail(NoAnswer(asked()));
  Fail(absl::AbortedError(
      absl::StrCat("nothing happened to ", name(), " within ", absl::FormatDuration(asked()))));
}

}  // namespace tenure::client
