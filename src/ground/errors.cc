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

}  // namespace tenure
