#include "tenure/errors.h"

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tenure {
namespace {

// The payload's type, as absl::Status wants them named: nanoseconds in decimal.
constexpr absl::string_view kRetryAfterUrl = "tenure/retry-after-ns";
// For each owner three numbers in decimal, each with a blank behind it: the session, and how long
// the owner and the lock are; then these two.
constexpr absl::string_view kDeadlockUrl = "tenure/deadlock";

// Takes a number and its blank off the front. False if there is none.
bool TakeNumber(absl::string_view& from, std::uint64_t* number) {
  const std::size_t blank = from.find(' ');
  if (blank == absl::string_view::npos || !absl::SimpleAtoi(from.substr(0, blank), number)) {
    return false;
  }
  from.remove_prefix(blank + 1);
  return true;
}

}  // namespace

ErrorKind KindOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ErrorKind::kNone;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
      return ErrorKind::kRetrySafe;
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kInternal:
      return ErrorKind::kUncertain;
    default:
      return ErrorKind::kRefused;
  }
}

absl::Duration RetryAfter(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryAfterUrl);
  std::int64_t ns = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &ns) || ns < 0) {
    return absl::ZeroDuration();
  }
  return absl::Nanoseconds(ns);
}

absl::Status WithRetryAfter(absl::Status status, absl::Duration after) {
  status.SetPayload(kRetryAfterUrl, absl::Cord(absl::StrCat(absl::ToInt64Nanoseconds(after))));
  return status;
}

std::vector<WaitingOwner> DeadlockOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kDeadlockUrl);
  if (!payload.has_value()) return {};
  const std::string bytes(*payload);
  absl::string_view rest = bytes;
  std::vector<WaitingOwner> cycle;
  while (!rest.empty()) {
    WaitingOwner& waiting = cycle.emplace_back();
    std::uint64_t owner = 0, lock = 0;
    if (!TakeNumber(rest, &waiting.session) || !TakeNumber(rest, &owner) ||
        !TakeNumber(rest, &lock) || owner > rest.size() || lock > rest.size() - owner) {
      return {};
    }
    waiting.owner = std::string(rest.substr(0, owner));
    waiting.lock = std::string(rest.substr(owner, lock));
    rest.remove_prefix(owner + lock);
  }
  return cycle;
}

absl::Status WithDeadlock(absl::Status status, const std::vector<WaitingOwner>& cycle) {
  std::string bytes;
  for (const WaitingOwner& waiting : cycle) {
    absl::StrAppend(&bytes, waiting.session, " ", waiting.owner.size(), " ", waiting.lock.size(),
                    " ", waiting.owner, waiting.lock);
  }
  status.SetPayload(kDeadlockUrl, absl::Cord(bytes));
  return status;
}

}  // namespace tenure
