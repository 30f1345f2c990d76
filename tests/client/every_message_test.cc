// Each message of a client, in turn, meets each fate that a network has for it. Whatever becomes of
// the call, it is told the truth, and in the end nothing is left behind.
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/fixture.h"
#include "gmock/gmock.h"
#include "tenure/election.h"
#include "tenure/idempotency.h"
#include "tenure/lock_set.h"
#include "tenure/mutex.h"

namespace tenure::client {
namespace {

constexpr Fate kFates[] = {Fate::kLoseRequest, Fate::kLoseReply, Fate::kTimeOut, Fate::kHold,
                           Fate::kHoldReply};
// More than any scenario sends.
constexpr std::size_t kMessages = 12;

class EveryMessageTest : public ClientTest {
 protected:
  using Set = absl::StatusOr<LockSetGuard>;

  // Runs `scenario` on a session of its own for each message and fate; its number sets its names
  // apart. What was held back arrives when it is settled otherwise, or a second later.
  void ForEach(const std::function<void(Session&, const std::string& run)>& scenario) {
    int met = 0;
    for (std::size_t message = 0; message < kMessages; ++message) {
      for (const Fate fate : kFates) {
        const std::string run = absl::StrCat(message, ".", static_cast<int>(fate), "/");
        SCOPED_TRACE(run);
        Session session = Open({.ttl = absl::Seconds(20)});
        std::size_t count = 0;
        net_->fate = [&, message, fate](const Command& command) {
          if (Is<RenewSession>(command) || count++ != message) return Fate::kPass;
          ++met;
          late_ = node_.loop().At(node_.loop().Now() + absl::Seconds(1), [this] { Deliver(); });
          return fate;
        };
        scenario(session, run);
        Heal();
        world_.RunFor(absl::Seconds(2));
        ASSERT_EQ(net_->held(), 0u);
        // Nobody holds and nobody waits, long before the session's own end would see to it.
        const auto sessions = rival_.ListSessions();
        ASSERT_TRUE(sessions.ok()) << sessions.status();
        for (const SessionDescription& seen : sessions->sessions) {
          EXPECT_EQ(seen.waits, 0u) << seen.session;
          EXPECT_EQ(seen.locks, 0u) << seen.session;
        }
        if (HasFailure()) return;
      }
    }
    EXPECT_GT(met, 10) << "the messages were not there";
  }
  void Deliver() {
    while (net_->held() > 0) net_->Release();
  }
  template <typename T>
  void Await(Caught<T>& caught) {
    ASSERT_TRUE(world_.RunUntil([&] { return caught.here(); }, absl::Seconds(30)));
  }
  SessionId HolderOf(const std::string& name) {
    const auto seen = rival_.mutex(name).Inspect();
    EXPECT_TRUE(seen.ok()) << seen.status();
    return seen.ok() ? seen->holder.session : 0;
  }

  TimerHandle late_;
};

TEST_F(EveryMessageTest, OfASetThatIsFree) {
  ForEach([this](Session& session, const std::string& run) {
    const std::vector<LockInSet> wanted = {
        {run + "a"}, {run + "b", LockMode::kShared}, {run + "c"}};
    Caught<Set> got;
    session.AcquireAll(wanted, {.wait = absl::Seconds(10)}, got.Callback());
    Await(got);
    ASSERT_TRUE(got->ok()) << got->status();
    EXPECT_EQ((*got)->size(), 3u);
    EXPECT_TRUE((*got)->Valid());
    for (const LockInSet& lock : wanted) EXPECT_EQ(HolderOf(lock.name), session.id());
    Caught<absl::Status> unlocked;
    (*got)->Unlock(absl::Seconds(10), unlocked.Callback());
    Await(unlocked);
    EXPECT_TRUE(unlocked->ok()) << *unlocked;
    for (const LockInSet& lock : wanted) EXPECT_EQ(HolderOf(lock.name), 0u);
  });
}

TEST_F(EveryMessageTest, OfASetThatWaits) {
  ForEach([this](Session& session, const std::string& run) {
    Guard first = Lock(rival_, run + "b");
    ASSERT_TRUE(first.ok());
    Caught<Set> got;
    session.AcquireAll({{run + "a"}, {run + "b"}}, {.wait = absl::Seconds(20)}, got.Callback());
    world_.RunFor(absl::Seconds(3));
    EXPECT_FALSE(got.here());
    first = LockGuard();
    Await(got);
    ASSERT_TRUE(got->ok()) << got->status();
    EXPECT_EQ(HolderOf(run + "a"), session.id());
    EXPECT_EQ(HolderOf(run + "b"), session.id());
    *got = LockSetGuard();  // given back in the background
    world_.RunFor(absl::Seconds(8));
  });
}

// Both at once: it is cancelled while the lock that it waits for becomes free.
TEST_F(EveryMessageTest, OfASetThatIsLeft) {
  int won = 0;
  ForEach([&](Session& session, const std::string& run) {
    Guard first = Lock(rival_, run + "b");
    ASSERT_TRUE(first.ok());
    std::stop_source stop;
    Caught<Set> got;
    session.AcquireAll({{run + "a"}, {run + "b"}},
                       {.wait = absl::Seconds(20), .cancel = stop.get_token()}, got.Callback());
    world_.RunFor(absl::Milliseconds(900));  // what is late is late also for this
    first = LockGuard();
    stop.request_stop();
    Await(got);
    if (got->ok()) {
      ++won;
      EXPECT_TRUE((*got)->Valid());
      EXPECT_EQ(HolderOf(run + "a"), session.id());
      *got = LockSetGuard();
    } else {
      EXPECT_EQ(got->status().code(), absl::StatusCode::kCancelled) << got->status();
    }
    world_.RunFor(absl::Seconds(8));
  });
  EXPECT_GT(won, 0);
}

TEST_F(EveryMessageTest, OfALockThatIsTakenAgain) {
  ForEach([this](Session& session, const std::string& run) {
    const std::string name = run + "a";
    const LockOptions again = {.wait = absl::Seconds(10), .owner = "o", .reentrant = true};
    Guard outer = Lock(session, name, again);
    ASSERT_TRUE(outer.ok()) << outer.status();
    Guard inner = Lock(session, name, again);
    ASSERT_TRUE(inner.ok()) << inner.status();
    EXPECT_EQ(outer->token(), inner->token());
    Caught<absl::Status> once;
    inner->Unlock(absl::Seconds(10), once.Callback());
    Await(once);
    EXPECT_TRUE(once->ok()) << *once;
    EXPECT_TRUE(outer->Valid());
    EXPECT_EQ(HolderOf(name), session.id()) << "the outer one holds it still";
    Caught<absl::Status> twice;
    outer->Unlock(absl::Seconds(10), twice.Callback());
    Await(twice);
    EXPECT_TRUE(twice->ok()) << *twice;
    EXPECT_EQ(HolderOf(name), 0u);
  });
}

TEST_F(EveryMessageTest, OfASharedLockThatWasExclusive) {
  ForEach([this](Session& session, const std::string& run) {
    SharedMutex mutex = session.shared_mutex(run + "a");
    Caught<Guard> locked;
    mutex.Lock({.wait = absl::Seconds(10)}, locked.Callback());
    Await(locked);
    ASSERT_TRUE(locked->ok()) << locked->status();
    Caught<absl::Status> downgraded;
    mutex.Downgrade(**locked, absl::Seconds(10), downgraded.Callback());
    Await(downgraded);
    EXPECT_TRUE(downgraded->ok()) << *downgraded;
    const Guard beside = rival_.shared_mutex(run + "a").LockShared({.wait = absl::ZeroDuration()});
    EXPECT_TRUE(beside.ok()) << beside.status();
    Caught<absl::Status> unlocked;
    (*locked)->Unlock(absl::Seconds(10), unlocked.Callback());
    Await(unlocked);
    EXPECT_TRUE(unlocked->ok()) << *unlocked;
  });
}

TEST_F(EveryMessageTest, OfALeadThatIsHandedOver) {
  ForEach([this](Session& session, const std::string& run) {
    Election election = session.election(run + "e");
    Caught<absl::StatusOr<Leadership>> won;
    election.Campaign({.value = "one", .wait = absl::Seconds(10)}, won.Callback());
    Await(won);
    ASSERT_TRUE(won->ok()) << won->status();
    Caught<absl::Status> proclaimed;
    (*won)->Proclaim("two", absl::Seconds(10), proclaimed.Callback());
    Await(proclaimed);
    EXPECT_TRUE(proclaimed->ok()) << *proclaimed;
    Caught<absl::StatusOr<Leadership>> next;
    rival_.election(run + "e").Campaign({.value = "next"}, next.Callback());
    const auto seen = rival_.election(run + "e").Describe();
    ASSERT_TRUE(seen.ok()) << seen.status();
    EXPECT_EQ(seen->leader.value, "two");
    ASSERT_EQ(seen->candidates.size(), 1u);
    EXPECT_FALSE(next.here());
    Caught<absl::Status> handed;
    (*won)->HandOver(seen->candidates[0], absl::Seconds(10), handed.Callback());
    Await(handed);
    EXPECT_TRUE(handed->ok()) << *handed;
    EXPECT_FALSE((*won)->Valid());
    ASSERT_TRUE(next.here());
    ASSERT_TRUE(next->ok()) << next->status();
    EXPECT_GT((*next)->term(), (*won)->term());
    *next = Leadership();
  });
}

TEST_F(EveryMessageTest, OfAnOperationThatIsCarriedOut) {
  ForEach([this](Session& session, const std::string& run) {
    IdempotencyStore store = session.idempotency("s");
    Caught<absl::StatusOr<Begun>> begun;
    store.Begin(run, "f", {.wait = absl::Seconds(10)}, begun.Callback());
    Await(begun);
    ASSERT_TRUE(begun->ok()) << begun->status();
    ASSERT_EQ((*begun)->state, Begun::State::kStarted);
    Attempt& attempt = (*begun)->attempt;
    EXPECT_EQ(attempt.number(), 1u);
    Caught<absl::Status> checked;
    attempt.Checkpoint("half", absl::Seconds(10), checked.Callback());
    Await(checked);
    EXPECT_TRUE(checked->ok()) << *checked;
    Caught<absl::Status> done;
    attempt.Complete("whole", absl::Seconds(10), done.Callback());
    Await(done);
    EXPECT_TRUE(done->ok()) << *done;
    const auto stored = rival_.idempotency("s").Get(run);
    ASSERT_TRUE(stored.ok()) << stored.status();
    EXPECT_EQ(stored->state, OperationState::kDone);
    EXPECT_EQ(stored->response, "whole");
    EXPECT_EQ(stored->attempts, 1u);
  });
}

}  // namespace
}  // namespace tenure::client
