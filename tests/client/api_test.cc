// The snippets that users will copy, compiled and run.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tenure/errors.h"
#include "tenure/fencing.h"
#include "tenure/local.h"
#include "tenure/mutex.h"
#include "tenure/session.h"

#define ASSIGN_OR_RETURN(declaration, expression) \
  auto status_or = (expression);                  \
  if (!status_or.ok()) return status_or.status(); \
  declaration = *std::move(status_or)  // NOLINT(bugprone-macro-parentheses): it declares

namespace tenure {
namespace {

absl::Status WriteInvoice(FencingGate& database, Revision token) { return database.Admit(token); }

absl::Status Bill(Coordinator& coordinator, FencingGate& database) {
  ASSIGN_OR_RETURN(tenure::LockGuard guard,
                   coordinator.mutex("invoices/42").Lock({.wait = absl::Seconds(5)}));
  return WriteInvoice(database, guard.token());
}

TEST(ApiTest, ALockFencesAWrite) {
  Coordinator coordinator = *OpenLocal();
  FencingGate database;
  EXPECT_TRUE(Bill(coordinator, database).ok());
  EXPECT_TRUE(Bill(coordinator, database).ok());
}

TEST(ApiTest, CallbackForm) {
  Coordinator coordinator = *OpenLocal();
  Mutex mutex = coordinator.mutex("a");
  bool granted = false;
  mutex.Lock({.wait = absl::Seconds(5)},
             [&](absl::StatusOr<tenure::LockGuard> guard) { granted = guard.ok(); });
  EXPECT_TRUE(granted) << "a free lock of a local backend is granted inside the call";
}

TEST(ErrorsTest, KindsFollowCodes) {
  EXPECT_EQ(KindOf(absl::OkStatus()), ErrorKind::kNone);
  EXPECT_EQ(KindOf(absl::AbortedError("")), ErrorKind::kRefused);
  EXPECT_EQ(KindOf(absl::UnavailableError("")), ErrorKind::kRetrySafe);
  EXPECT_EQ(KindOf(absl::DeadlineExceededError("")), ErrorKind::kUncertain);
}

TEST(ErrorsTest, RetryAfterTravelsWithTheStatus) {
  const absl::Status plain = absl::ResourceExhaustedError("full");
  EXPECT_EQ(RetryAfter(plain), absl::ZeroDuration());
  EXPECT_EQ(RetryAfter(WithRetryAfter(plain, absl::Milliseconds(250))), absl::Milliseconds(250));
}

TEST(FencingTest, RefusesLowerTokensAndZero) {
  FencingGate gate(10);
  EXPECT_FALSE(gate.Admit(9).ok());
  EXPECT_TRUE(gate.Admit(10).ok());
  EXPECT_TRUE(gate.Admit(11).ok());
  EXPECT_FALSE(gate.Admit(10).ok());
  EXPECT_FALSE(gate.Admit(0).ok());
  EXPECT_EQ(gate.seen(), 11u);
}

}  // namespace
}  // namespace tenure
