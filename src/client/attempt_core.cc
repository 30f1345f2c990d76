#include "client/attempt_core.h"

#include "absl/strings/str_cat.h"
#include "client/describe.h"

namespace tenure::client {
namespace {

absl::Status NotCurrent(absl::string_view key, Revision token, absl::string_view why) {
  return absl::AbortedError(absl::StrCat("attempt ", token, " at '", key,
                                         "' is not the current one: it was taken over, broken or "
                                         "finished; nothing of this was stored (",
                                         why, ")"));
}

absl::Status VerdictOn(absl::string_view key, Revision token, const Reply& reply) {
  if (reply.code == ReplyCode::kOk) return absl::OkStatus();
  if (reply.code == ReplyCode::kNotHeld || reply.code == ReplyCode::kAbsent) {
    return NotCurrent(key, token, reply.message);
  }
  return RefusalStatus(reply);
}

}  // namespace

std::string AttemptFinish::What() const {
  return absl::StrCat("the outcome of '", finish_.key, "'");
}
absl::Status AttemptFinish::Verdict(const Reply& reply) {
  refused_ = reply.code == ReplyCode::kInvalid;
  return VerdictOn(finish_.key, finish_.token, reply);
}
void AttemptFinish::OnSettled(const Core& core) {
  // By the machine, or by a backend that sends nothing which no member would take.
  if ((!refused_ && !undone()) || progress_ == nullptr) return;
  if (progress_->attempt.BringBack() || core == nullptr) return;
  Abandon(core, finish_.scope, finish_.key, finish_.token);
}
absl::Status AttemptFinish::TooLate(const absl::Status& why) const {
  return NotCurrent(finish_.key, finish_.token, why.message());
}

std::string AttemptStep::What() const {
  return std::visit([](const auto& step) { return absl::StrCat("a step of '", step.key, "'"); },
                    step_);
}
absl::Status AttemptStep::Verdict(const Reply& reply) {
  return std::visit([&reply](const auto& step) { return VerdictOn(step.key, step.token, reply); },
                    step_);
}
absl::Status AttemptStep::TooLate(const absl::Status& why) const {
  return std::visit(
      [&why](const auto& step) { return NotCurrent(step.key, step.token, why.message()); }, step_);
}

}  // namespace tenure::client
