// A cluster that comes again without its memory: another cluster at the same place. Names are lines
// of docs/pitfalls.md.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "conformance/conformance.h"
#include "tenure/election.h"
#include "tenure/fencing.h"
#include "tenure/idempotency.h"
#include "tenure/lock_set.h"
#include "tenure/mutex.h"
#include "tenure/semaphore.h"
#include "tenure/session.h"

namespace tenure::conformance {
namespace {

using Guard = absl::StatusOr<LockGuard>;

constexpr absl::Duration kLong = absl::Seconds(20);

// What whoever is granted something gives along with its writes: of each kind of grant, in turn.
// All is given back.
std::vector<Revision> TakeOneOfEach(Coordinator& client) {
  std::vector<Revision> tokens;
  const auto take = [&tokens](const Guard& guard) {
    ASSERT_TRUE(guard.ok()) << guard.status();
    tokens.push_back(guard->token());
    EXPECT_GE(guard->fence(), tokens.front());
  };
  take(client.mutex("a").Lock({.wait = kLong}));
  take(client.shared_mutex("shared").LockShared({.wait = kLong}));
  take(client.semaphore("permits", 2).Acquire({.wait = kLong}));
  const auto set = client.AcquireAll({{"a"}, {"b"}}, {.wait = kLong});
  EXPECT_TRUE(set.ok()) << set.status();
  if (set.ok()) tokens.push_back(set->token());
  const auto lead = client.election("e").Campaign({.wait = kLong});
  EXPECT_TRUE(lead.ok()) << lead.status();
  if (lead.ok()) tokens.push_back(lead->term());
  const auto begun = client.idempotency("s").Begin("key", "f", {.wait = kLong});
  EXPECT_TRUE(begun.ok()) << begun.status();
  if (begun.ok()) tokens.push_back(begun->attempt.token());
  EXPECT_TRUE(std::is_sorted(tokens.begin(), tokens.end()));
  return tokens;
}

// A resource that outlives the cluster refuses who was granted something before.
TEST_P(Conformance, L22TokensGoOnRisingAfterAFullRestart) {
  NEEDS(Capability::kRestart);
  std::vector<Revision> last = TakeOneOfEach(one());
  for (int restarts = 0; restarts < 2; ++restarts) {
    fixture().Restart();
    Coordinator client = fixture().Connect();
    const std::vector<Revision> next = TakeOneOfEach(client);
    ASSERT_FALSE(last.empty() || next.empty());
    EXPECT_GT(next.front(), last.back());
    FencingGate gate(last.back());
    EXPECT_TRUE(gate.Admit(next.front()).ok());
    EXPECT_FALSE(gate.Admit(last.back()).ok());
    last = next;
  }
}

// Who held something is told that it is lost, and told of no lock that another has now.
TEST_P(Conformance, HoldersOfAClusterThatIsGoneLearnOfIt) {
  NEEDS(Capability::kRestart);
  Coordinator old = fixture().Connect();
  absl::StatusOr<Session> session = old.OpenSession({.ttl = absl::Seconds(2)});
  ASSERT_TRUE(session.ok()) << session.status();
  Guard held = session->mutex("a").Lock({.wait = kLong});
  Guard implicit = old.mutex("b").Lock({.wait = kLong});
  ASSERT_TRUE(held.ok() && implicit.ok());
  const Revision last = implicit->token();
  Awaited<int> lost;
  const std::stop_callback on_lost(held->lost(), [tell = lost.Callback()] { tell(1); });

  const bool found = fixture().Restart();

  Coordinator client = fixture().Connect();
  const Guard taken = client.mutex("a").Lock({.wait = kLong});
  ASSERT_TRUE(taken.ok()) << taken.status();
  lost.Get();
  EXPECT_FALSE(held->Valid());
  EXPECT_EQ(session->state(), SessionState::kExpired);
  EXPECT_EQ(held->Unlock(kLong).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(session->mutex("c").Lock({.wait = kLong}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(taken->Valid());

  // The implicit session is opened anew, once it is known to be over.
  Guard again = old.mutex("c").Lock({.wait = kLong});
  if (found) {
    if (absl::IsFailedPrecondition(again.status())) again = old.mutex("c").Lock({.wait = kLong});
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_GT(again->token(), last);
    EXPECT_FALSE(implicit->Valid());
  } else {
    EXPECT_EQ(again.status().code(), absl::StatusCode::kCancelled) << again.status();
  }
}

}  // namespace
}  // namespace tenure::conformance
