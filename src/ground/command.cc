// What is compiled once of the large variants; see Operation.
#include "tenure/command.h"

namespace tenure {

Operation::Operation() = default;
Operation::Operation(const Operation&) = default;
Operation::Operation(Operation&&) noexcept = default;
Operation& Operation::operator=(const Operation&) = default;
Operation& Operation::operator=(Operation&&) noexcept = default;
Operation::~Operation() = default;

ReplyResult::ReplyResult() = default;
ReplyResult::ReplyResult(const ReplyResult&) = default;
ReplyResult::ReplyResult(ReplyResult&&) noexcept = default;
ReplyResult& ReplyResult::operator=(const ReplyResult&) = default;
ReplyResult& ReplyResult::operator=(ReplyResult&&) noexcept = default;
ReplyResult::~ReplyResult() = default;

EventBody::EventBody() = default;
EventBody::EventBody(const EventBody&) = default;
EventBody::EventBody(EventBody&&) noexcept = default;
EventBody& EventBody::operator=(const EventBody&) = default;
EventBody& EventBody::operator=(EventBody&&) noexcept = default;
EventBody::~EventBody() = default;

}  // namespace tenure
