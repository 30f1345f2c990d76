// The snippets that users will copy, compiled and run.
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
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

TEST(ErrorsTest, ACycleTravelsWithTheStatus) {
  const absl::Status plain = absl::AbortedError("held");
  EXPECT_TRUE(DeadlockOf(plain).empty());
  const std::vector<WaitingOwner> cycle = {
      {7, "a 1", "x"}, {std::numeric_limits<std::uint64_t>::max(), std::string(1, '\0'), ""}};
  EXPECT_EQ(DeadlockOf(WithDeadlock(plain, cycle)), cycle);
  // What another version made of it is not read halfway.
  const std::string url = "tenure/deadlock";
  absl::Status status = WithDeadlock(plain, cycle);
  const std::string whole(*status.GetPayload(url));
  for (std::size_t cut = 1; cut < whole.size(); ++cut) {
    status.SetPayload(url, absl::Cord(whole.substr(0, cut)));
    EXPECT_LT(DeadlockOf(status).size(), cycle.size());
  }
  status.SetPayload(url, absl::Cord("1 18446744073709551615 2 ab"));
  EXPECT_TRUE(DeadlockOf(status).empty());
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

TEST(FencingTest, EachSeatHasAGateOfItsOwn) {
  SeatGates gates(2);
  EXPECT_TRUE(gates.Admit(0, 20).ok());
  EXPECT_TRUE(gates.Admit(1, 10).ok()) << "it is rightly there beside the other";
  EXPECT_TRUE(gates.Admit(1, 21).ok());
  EXPECT_EQ(gates.Admit(1, 10).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(gates.Admit(0, 20).ok());
  EXPECT_EQ(gates.Admit(2, 30).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tenure
