#include "client/operation_wait.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/attempt_core.h"
#include "client/describe.h"
#include "client/session_core.h"

namespace tenure::client {
namespace {

const std::string& KeyOf(const Asked& asked) {
  return std::visit([](const auto& operation) -> const std::string& { return operation.key; },
                    asked);
}
const std::string& ScopeOf(const Asked& asked) {
  return std::visit([](const auto& operation) -> const std::string& { return operation.scope; },
                    asked);
}

}  // namespace

OperationWait::OperationWait(Asked asked, absl::Duration wait, absl::Duration spent,
                             std::stop_token cancel, Done done)
    : Wait(KeyOf(asked), wait, spent),
      asked_of_(std::move(asked)),
      cancel_(std::move(cancel)),
      done_(std::move(done)) {}

void OperationWait::Start(const std::shared_ptr<SessionCore>& core, Asked asked,
                          absl::Duration wait, std::stop_token cancel, Done done,
                          absl::Duration spent) {
  const auto call =
      std::make_shared<OperationWait>(std::move(asked), wait, spent, cancel, std::move(done));
  if (!call->is_try()) {
    // A wait that has to ask again must not begin anew.
    const Instant now = core->loop().Now();
    const std::int64_t ns = absl::ToInt64Nanoseconds(spent);
    call->start_ = Instant::FromReadings(now.boottime_ns() - ns, now.monotonic_raw_ns() - ns);
  }
  Launch(core, call, std::move(cancel));
}

Operation OperationWait::MakeOperation() const {
  return std::visit(
      [this](auto operation) -> Operation {
        operation.wait_ns = wait_ns();
        return operation;
      },
      asked_of_);
}

bool OperationWait::Queues(const Reply& reply) {
  const auto* progress = std::get_if<AttemptInProgress>(&reply.result);
  if (progress == nullptr || is_try()) return false;
  progress_ = *progress;
  return true;
}

void OperationWait::OnReply(const Core& core, Reply reply) {
  if (const auto* started = std::get_if<AttemptStarted>(&reply.result)) {
    return Started(core, *started);
  }
  Begun begun;
  if (auto* done = std::get_if<OperationDone>(&reply.result)) {
    begun.state = Begun::State::kDone;
    begun.outcome = OutcomeFrom(std::move(*done));
  } else if (auto* progress = std::get_if<AttemptInProgress>(&reply.result)) {
    begun.progress = std::move(*progress);
  } else {
    return Fail(RefusalStatus(reply));
  }
  std::move(done_)(std::move(begun));
}

void OperationWait::OnEvent(const Core& core, const SessionEvent& event) {
  StopTimer();
  if (const auto* started = std::get_if<AttemptStartedEvent>(&event.body)) {
    return Started(core, {started->token, started->point, started->attempts});
  }
  if (!std::holds_alternative<OperationEndedEvent>(event.body)) return EndOfTime();
  // There is an outcome. Whoever began it asks for it by the same command, which answers with it,
  // or begins anew if it was forgotten meanwhile.
  const absl::Duration spent =
      std::max(absl::Nanoseconds(core->loop().Now().HolderElapsedNs(start_)), absl::Nanoseconds(1));
  Start(core, asked_of_, asked(), cancel_, std::move(done_), spent);
}

void OperationWait::OnLateEvent(const Core& core, const SessionEvent& event) {
  if (const auto* started = std::get_if<AttemptStartedEvent>(&event.body)) {
    Abandon(core, started->token);
  }
}

void OperationWait::GiveBack(const Core& core, const Reply& reply) {
  if (const auto* started = std::get_if<AttemptStarted>(&reply.result)) {
    Abandon(core, started->token);
  }
}

void OperationWait::Abandon(const Core& core, Revision token) const {
  AttemptFinish::Abandon(core, ScopeOf(asked_of_), KeyOf(asked_of_), token);
}

void OperationWait::EndOfTime() {
  if (!progress_.has_value()) return Fail(NoAnswer(asked()));
  if (silent()) return Fail(NoAnswerAnyMore());
  Begun begun;
  begun.progress = *std::move(progress_);
  std::move(done_)(std::move(begun));
}

void OperationWait::Started(const Core& core, const AttemptStarted& started) {
  StopTimer();
  Begun begun;
  begun.state = Begun::State::kStarted;
  begun.attempt =
      Attempt(std::make_shared<AttemptCore>(core, ScopeOf(asked_of_), KeyOf(asked_of_), started));
  std::move(done_)(std::move(begun));
}

// ---- Failures
// -------------------------------------------------------------------------------------

// "<code> <message>", the code as absl::StatusCode numbers it, which are gRPC's too.
std::string EncodeFailure(const absl::Status& failure) {
  return absl::StrCat(static_cast<int>(failure.code()), " ", failure.message());
}

absl::Status DecodeFailure(absl::string_view stored) {
  const std::size_t space = stored.find(' ');
  int code = 0;
  if (space == absl::string_view::npos || !absl::SimpleAtoi(stored.substr(0, space), &code) ||
      code <= 0 || code > static_cast<int>(absl::StatusCode::kUnauthenticated)) {
    return absl::UnknownError(stored);  // written by something else
  }
  return absl::Status(static_cast<absl::StatusCode>(code), stored.substr(space + 1));
}

StoredOutcome OutcomeFrom(OperationDone done) {
  StoredOutcome outcome;
  outcome.expires_in = absl::Nanoseconds(done.expires_in_ns);
  if (done.failed) {
    outcome.result = DecodeFailure(done.response);
  } else {
    outcome.result = std::move(done.response);
  }
  return outcome;
}

}  // namespace tenure::client
