// Shared locks, semaphores, delays after a loss, and what administrators may do.
#include <set>
#include <string>
#include <vector>

#include "fixture.h"
#include "gmock/gmock.h"

namespace tenure::machine {
namespace {

class SharesTest : public MachineTest {
 protected:
  static AcquireLock Make(LockMode mode, std::int64_t wait_ns, std::uint64_t permits = 0,
                          std::uint64_t total = 0) {
    AcquireLock acquire{"x", wait_ns, ""};
    acquire.mode = mode;
    acquire.permits = permits;
    acquire.total = total;
    return acquire;
  }
  Reply Share(Client& client, std::int64_t wait_ns = kWaitForever, const std::string& owner = "") {
    AcquireLock acquire = Make(LockMode::kShared, wait_ns);
    acquire.owner = owner;
    return Do(client.Next(acquire));
  }
  Reply Lock(Client& client, std::int64_t wait_ns = kWaitForever, const std::string& owner = "") {
    AcquireLock acquire = Make(LockMode::kExclusive, wait_ns);
    acquire.owner = owner;
    return Do(client.Next(acquire));
  }
  Reply Take(Client& client, std::uint64_t permits, std::uint64_t total,
             std::int64_t wait_ns = kWaitForever) {
    return Do(client.Next(Make(LockMode::kPermits, wait_ns, permits, total)));
  }
  Reply Delayed(Client& client, std::int64_t delay_ns, std::int64_t wait_ns = kWaitForever) {
    AcquireLock acquire = Make(LockMode::kExclusive, wait_ns);
    acquire.delay_ns = delay_ns;
    return Do(client.Next(acquire));
  }
  Reply Break(Client& client, Revision token, ObjectKind kind = ObjectKind::kLock) {
    return Do(client.Next(BreakLock{kind, "", "x", token, "stuck"}));
  }
  static LockGranted Got(const Reply& reply) {
    EXPECT_TRUE(Is<LockGranted>(reply)) << reply.message;
    return Is<LockGranted>(reply) ? std::get<LockGranted>(reply.result) : LockGranted{};
  }
};

// ---- What is shown

TEST_F(SharesTest, TheQueueShowsWhatEachWaiterWants) {
  Client holder = Open(60), writer = Open(60), reader = Open(60);
  Lock(holder, kWaitForever, "me");
  Lock(writer, kWaitForever, "you");
  Share(reader);
  const LockDescription lock = Look("x");
  EXPECT_EQ(lock.holder.owner, "me");
  ASSERT_EQ(lock.waiters.size(), 2u);
  EXPECT_EQ(lock.waiters[0].mode, LockMode::kExclusive);
  EXPECT_EQ(lock.waiters[0].owner, "you");
  EXPECT_EQ(lock.waiters[1].mode, LockMode::kShared);
  EXPECT_EQ(lock.broken, BreakRecord{});
}

TEST_F(SharesTest, PermitsAreShownOfHoldersAndWaiters) {
  Client a = Open(60), b = Open(60);
  Take(a, 2, 3);
  Take(b, 2, 3);
  const LockDescription lock = Look("x");
  ASSERT_EQ(lock.sharers.size(), 1u);
  EXPECT_EQ(lock.sharers[0].permits, 2u);
  ASSERT_EQ(lock.waiters.size(), 1u);
  EXPECT_EQ(lock.waiters[0].mode, LockMode::kPermits);
  EXPECT_EQ(lock.waiters[0].permits, 2u);
}

TEST_F(SharesTest, WhoBrokeItWhenAndWhyIsShown) {
  Client holder = Open(60), admin = Open(60);
  const Revision token = Token(Lock(holder));
  Break(admin, token);
  Pass(2);
  const BreakRecord broken = Look("x").broken;
  EXPECT_GT(broken.revision, token);
  EXPECT_EQ(broken.token, token);
  EXPECT_EQ(broken.session, holder.session);
  EXPECT_EQ(broken.ago_ns, 2 * kSecond);
  EXPECT_THAT(broken.by, ::testing::HasSubstr("stuck"));
  EXPECT_THAT(broken.by, ::testing::HasSubstr(std::to_string(admin.session)));
  // The last one, of several.
  const Revision again = Token(Lock(holder));
  EXPECT_EQ(Look("x").broken, broken) << "on record, whoever has it";
  Break(admin, again);
  EXPECT_EQ(Look("x").broken.token, again);
  EXPECT_EQ(Look("y").broken, BreakRecord{});
}

// ---- Shared

TEST_F(SharesTest, ManyShareNobodyElseHas) {
  Client a = Open(60), b = Open(60), writer = Open(60);
  const LockGranted first = Got(Share(a)), second = Got(Share(b));
  EXPECT_LT(first.token, second.token) << "each grant has its own token";
  EXPECT_EQ(first.fence, first.token);
  EXPECT_EQ(second.fence, first.token) << "a gate must admit both";
  EXPECT_TRUE(Is<LockHeld>(Lock(writer, 0)));
  EXPECT_TRUE(Is<LockQueued>(Lock(writer)));
  EXPECT_EQ(Look("x").shares, 2u);
  EXPECT_EQ(Look("x").sharers.size(), 2u);
  Release(a, "x", first.token);
  EXPECT_EQ(Granted(writer), 0u);
  Release(b, "x", second.token);
  EXPECT_GT(Granted(writer), second.token);
  EXPECT_EQ(Look("x").shares, 0u);
}

TEST_F(SharesTest, AStreamOfReadersStarvesNoWriter) {
  Client reader = Open(60), writer = Open(60), late = Open(60);
  const Revision token = Got(Share(reader)).token;
  EXPECT_TRUE(Is<LockQueued>(Lock(writer)));
  EXPECT_TRUE(Is<LockQueued>(Share(late))) << "it came after the writer";
  EXPECT_TRUE(Is<LockHeld>(Share(late, 0)));
  Release(reader, "x", token);
  const Revision written = Granted(writer);
  ASSERT_NE(written, 0u);
  Release(writer, "x", written);
  const auto told = Told<LockGrantedEvent>(late);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].fence, told[0].token) << "the first of a new epoch";
}

TEST_F(SharesTest, L20_AReleaseWakesOnlyWhoMayHaveIt) {
  Client holder = Open(60), w1 = Open(60), r1 = Open(60), r2 = Open(60), w2 = Open(60),
         r3 = Open(60);
  const Revision token = Token(Lock(holder));
  Lock(w1);
  Share(r1);
  Share(r2);
  Lock(w2);
  Share(r3);
  Release(holder, "x", token);
  EXPECT_EQ(last_events.size(), 1u);
  const Revision first = Granted(w1);
  Release(w1, "x", first);
  EXPECT_EQ(last_events.size(), 2u) << "the readers at the head, and no other";
  const Revision one = Granted(r1), two = Granted(r2);
  EXPECT_NE(one * two, 0u);
  Release(r1, "x", one);
  EXPECT_TRUE(last_events.empty());
  Release(r2, "x", two);
  EXPECT_EQ(last_events.size(), 1u);
  EXPECT_NE(Granted(w2), 0u);
}

TEST_F(SharesTest, L19_AnUpgradeIsRefusedNotHung) {
  Client a = Open(60);
  const Revision token = Got(Share(a)).token;
  const Reply refused = Lock(a);
  EXPECT_EQ(refused.code, ReplyCode::kConflict);
  EXPECT_EQ(Look("x").waiting, 0u);
  EXPECT_EQ(Lock(a, 0).code, ReplyCode::kConflict);
  // Another owner in the same session waits for somebody else.
  EXPECT_TRUE(Is<LockQueued>(Lock(a, kWaitForever, "thread 2")));
  Release(a, "x", token);
  EXPECT_NE(Granted(a), 0u);
}

TEST_F(SharesTest, ADowngradeKeepsItsTokenAndLetsReadersIn) {
  Client a = Open(60), r1 = Open(60), w = Open(60), r2 = Open(60);
  const Revision token = Token(Lock(a));
  Share(r1);
  Lock(w);
  Share(r2);
  EXPECT_EQ(Do(a.Next(Downgrade{"x", token + 1})).code, ReplyCode::kNotHeld);
  const LockGranted kept = Got(Do(a.Next(Downgrade{"x", token})));
  EXPECT_EQ(kept.token, token);
  EXPECT_EQ(kept.fence, token);
  ASSERT_EQ(Told<LockGrantedEvent>(r1).size(), 1u);
  EXPECT_EQ(Told<LockGrantedEvent>(r1)[0].fence, token);
  EXPECT_EQ(Granted(w), 0u);
  EXPECT_EQ(Granted(r2), 0u);
  EXPECT_EQ(Do(a.Next(Downgrade{"x", token})).code, ReplyCode::kNotHeld) << "it is one already";
  EXPECT_TRUE(Is<LockReleased>(Release(a, "x", token)));
  EXPECT_EQ(Look("x").shares, 1u);
}

TEST_F(SharesTest, L10_ARepeatedReleaseFreesNobodyElsesShare) {
  Client a = Open(60), b = Open(60);
  const Revision token = Got(Share(a)).token;
  Got(Share(b));
  EXPECT_TRUE(Is<LockReleased>(Release(a, "x", token)));
  EXPECT_EQ(Release(a, "x", token).code, ReplyCode::kNotHeld);
  EXPECT_EQ(Release(b, "x", token).code, ReplyCode::kNotHeld);
  EXPECT_EQ(Look("x").shares, 1u);
}

TEST_F(SharesTest, SharesEndWithTheirSession) {
  Client a = Open(5), b = Open(60), w = Open(60);
  Got(Share(a));
  const Revision token = Got(Share(b)).token;
  Lock(w);
  Pass(5);
  EXPECT_EQ(Granted(w), 0u);
  EXPECT_EQ(Look("x").shares, 1u);
  Release(b, "x", token);
  EXPECT_NE(Granted(w), 0u);
}

TEST_F(SharesTest, T15_TheDeadShareNothingAlsoBeforeTheyAreClearedAway) {
  Genesis genesis;
  genesis.limits.cleanup_per_entry = 1;
  Start(genesis);
  Client dead = Open(5), next = Open(60);
  for (int i = 0; i < 20; ++i) Acquire(dead, "l" + std::to_string(i));
  Got(Share(dead));
  Pass(5);
  EXPECT_TRUE(machine.HasBacklog());
  EXPECT_TRUE(Is<LockGranted>(Lock(next, 0)));
}

TEST_F(SharesTest, WhoLeavesTheHeadOfTheQueueLetsInThoseBehind) {
  Client a = Open(60), writer = Open(60), hasty = Open(60), dying = Open(5), reader = Open(60);
  Got(Share(a));
  Lock(writer);
  const Sequence wait = writer.last;
  Share(reader);
  EXPECT_EQ(Granted(reader), 0u);
  Cancel(writer, wait);
  const Revision again = Granted(reader);
  EXPECT_NE(again, 0u) << "nobody waits before it any more";
  Release(reader, "x", again);
  Lock(hasty, 2 * kSecond);
  Share(reader);
  Pass(2);
  const Revision third = Granted(reader);
  EXPECT_NE(third, 0u);
  Release(reader, "x", third);
  Lock(dying);
  Share(reader);
  Pass(5);
  EXPECT_NE(Granted(reader), 0u);
}

// ---- Re-entrancy

class ReentrancyTest : public SharesTest {
 protected:
  Reply Enter(Client& client, const std::string& owner = "o", std::int64_t wait_ns = 0,
              LockMode mode = LockMode::kExclusive) {
    AcquireLock acquire = Make(mode, wait_ns);
    acquire.owner = owner;
    acquire.reentrant = true;
    return Do(client.Next(acquire));
  }
};

TEST_F(ReentrancyTest, L10_OnlyTheLastReleaseFreesAndARetryTakesNoSecondHold) {
  Client a = Open(60), b = Open(60);
  const LockGranted first = Got(Enter(a));
  EXPECT_EQ(first.holds, 1u);
  const LockGranted second = Got(Enter(a));
  EXPECT_EQ(second.token, first.token);
  EXPECT_EQ(second.holds, 2u);
  AcquireLock same = Make(LockMode::kExclusive, 0);
  same.owner = "o";
  same.reentrant = true;
  EXPECT_EQ(Got(Do(a.Make(same, a.last))).holds, 2u) << "a retry, not a third hold";
  EXPECT_EQ(Look("x").holds, 2u);
  Lock(b);
  const Reply once = Release(a, "x", first.token);
  ASSERT_TRUE(Is<LockReleased>(once));
  EXPECT_EQ(std::get<LockReleased>(once.result).holds, 1u);
  const Reply retried = Do(a.Make(ReleaseLock{"x", first.token}, a.last));
  EXPECT_EQ(std::get<LockReleased>(retried.result).holds, 1u);
  EXPECT_EQ(Granted(b), 0u);
  const Reply last = Release(a, "x", first.token);
  EXPECT_EQ(std::get<LockReleased>(last.result).holds, 0u);
  EXPECT_NE(Granted(b), 0u);
  EXPECT_EQ(Release(a, "x", first.token).code, ReplyCode::kNotHeld);
}

TEST_F(ReentrancyTest, OnlyTheSameOwnerOfTheSameSessionThatAsksForIt) {
  Client a = Open(60), b = Open(60);
  const Revision token = Got(Enter(a)).token;
  EXPECT_TRUE(Is<LockHeld>(Enter(a, "p")));
  EXPECT_TRUE(Is<LockHeld>(Enter(b)));
  EXPECT_TRUE(Is<LockHeld>(Lock(a, 0, "o"))) << "without opting in nothing changes";
  EXPECT_EQ(Enter(a, "").code, ReplyCode::kInvalid);
  EXPECT_TRUE(Is<LockReleased>(Release(a, "x", token)));
  // By an event, too, and although others wait.
  const Revision held = Token(Lock(b));
  Enter(a, "o", kWaitForever);
  Lock(b, kWaitForever);
  Release(b, "x", held);
  const Revision granted = Granted(a);
  ASSERT_NE(granted, 0u);
  EXPECT_EQ(Got(Enter(a)).token, granted);
}

TEST_F(ReentrancyTest, L19_MixingWithSharesIsRefusedNotHung) {
  Client a = Open(60), b = Open(60);
  const Revision token = Got(Enter(a)).token;
  EXPECT_EQ(Enter(a, "o", kWaitForever, LockMode::kShared).code, ReplyCode::kConflict);
  Enter(a);
  EXPECT_EQ(Do(a.Next(Downgrade{"x", token})).code, ReplyCode::kConflict);
  Release(a, "x", token);
  EXPECT_EQ(Got(Do(a.Next(Downgrade{"x", token}))).token, token);
  EXPECT_EQ(Enter(a, "o", kWaitForever).code, ReplyCode::kConflict);
  EXPECT_TRUE(Is<LockGranted>(Enter(a, "o", 0, LockMode::kShared)));
  Lock(b);
  EXPECT_EQ(Enter(a, "o", kWaitForever, LockMode::kShared).code, ReplyCode::kConflict);
  AcquireLock permits = Make(LockMode::kPermits, 0, 1, 1);
  permits.name = "y";
  permits.owner = "o";
  permits.reentrant = true;
  EXPECT_EQ(Do(a.Next(permits)).code, ReplyCode::kInvalid);
}

TEST_F(ReentrancyTest, ABreakOrTheSessionsEndFreesAllHolds) {
  Client a = Open(5), b = Open(60), admin = Open(60);
  const Revision token = Got(Enter(a)).token;
  Enter(a);
  Enter(a);
  EXPECT_TRUE(Is<LockBroken>(Break(admin, token)));
  EXPECT_EQ(Told<LockLostEvent>(a).size(), 1u);
  EXPECT_EQ(Release(a, "x", token).code, ReplyCode::kNotHeld);
  EXPECT_EQ(Got(Enter(a)).holds, 1u) << "it counts anew";
  Enter(a);
  Lock(b);
  Pass(5);
  EXPECT_NE(Granted(b), 0u);
}

// ---- Semaphores

// What is left of a broken one, its record, does not make a semaphore of the lock that comes after.
TEST_F(SharesTest, TheNextUserSaysWhetherItIsALockOrASemaphore) {
  Client a = Open(60), b = Open(60), c = Open(60);
  const LockGranted permit = Got(Take(a, 1, 3));
  EXPECT_TRUE(Is<LockBroken>(Break(b, permit.token)));
  const Revision token = Token(Lock(b, 0));
  EXPECT_TRUE(Is<LockQueued>(Lock(c)));
  EXPECT_EQ(Take(a, 1, 3, 0).code, ReplyCode::kConflict);
  EXPECT_EQ(Look("x").total, 0u);
  Release(b, "x", token);
  Release(c, "x", Granted(c));
  EXPECT_EQ(Got(Take(a, 2, 2, 0)).seat, 0u);
  EXPECT_EQ(Look("x").total, 2u);
}

TEST_F(SharesTest, PermitsAreNeverOverdrawnAndServedInOrder) {
  Client a = Open(60), b = Open(60), c = Open(60), d = Open(60);
  const LockGranted two = Got(Take(a, 2, 3));
  EXPECT_TRUE(Is<LockQueued>(Take(b, 2, 3)));
  EXPECT_TRUE(Is<LockQueued>(Take(c, 1, 3))) << "it would pass one who waits";
  EXPECT_EQ(Look("x").permits, 2u);
  EXPECT_EQ(Look("x").total, 3u);
  Release(a, "x", two.token);
  EXPECT_NE(Granted(b), 0u);
  EXPECT_NE(Granted(c), 0u);
  EXPECT_TRUE(Is<LockHeld>(Take(d, 1, 3, 0)));
  EXPECT_EQ(Look("x").permits, 3u);
}

TEST_F(SharesTest, EachHolderHasASeatOfItsOwn) {
  Client a = Open(60), b = Open(60), c = Open(60);
  const LockGranted one = Got(Take(a, 1, 3)), two = Got(Take(b, 1, 3)), three = Got(Take(c, 1, 3));
  EXPECT_EQ((std::set<std::uint64_t>{one.seat, two.seat, three.seat}),
            (std::set<std::uint64_t>{0, 1, 2}));
  Release(b, "x", two.token);
  const LockGranted next = Got(Take(a, 1, 3));
  EXPECT_EQ(next.seat, two.seat);
  EXPECT_GT(next.token, two.token) << "a gate at this seat refuses the one before";
}

TEST_F(SharesTest, AnotherTotalIsRefused) {
  Client a = Open(60), b = Open(60);
  const Revision token = Got(Take(a, 1, 3)).token;
  EXPECT_EQ(Take(b, 1, 4).code, ReplyCode::kConflict);
  EXPECT_EQ(Share(b).code, ReplyCode::kConflict);
  EXPECT_EQ(Lock(b).code, ReplyCode::kConflict);
  Release(a, "x", token);
  EXPECT_TRUE(Is<LockGranted>(Take(b, 4, 4))) << "nobody uses it: a new one is created";
  Client c = Open(60);
  const Revision lock = Token(Acquire(c, "y"));
  AcquireLock permits = Make(LockMode::kPermits, 0, 1, 2);
  permits.name = "y";
  EXPECT_EQ(Do(b.Next(permits)).code, ReplyCode::kConflict);
  EXPECT_NE(lock, 0u);
  EXPECT_EQ(Take(b, 0, 4).code, ReplyCode::kInvalid);
  EXPECT_EQ(Take(b, 5, 4).code, ReplyCode::kInvalid);
  EXPECT_EQ(Take(b, 1, machine.limits().permits_max + 1).code, ReplyCode::kInvalid);
}

// ---- Delays

TEST_F(SharesTest, AfterAnUncleanLossNobodyGetsItForAWhile) {
  Client a = Open(5), b = Open(60), c = Open(60);
  Token(Delayed(a, 10 * kSecond));
  Lock(b);
  Pass(5);
  EXPECT_EQ(Granted(b), 0u);
  const Reply tried = Lock(c, 0);
  ASSERT_TRUE(Is<LockHeld>(tried));
  EXPECT_EQ(std::get<LockHeld>(tried.result).held_back_ns, 10 * kSecond);
  Pass(9.9);
  EXPECT_EQ(Granted(b), 0u);
  Pass(0.1);
  EXPECT_NE(Granted(b), 0u);
}

TEST_F(SharesTest, ACleanEndHasNoDelay) {
  Client a = Open(5), b = Open(60), c = Open(60);
  const Revision token = Token(Delayed(a, 10 * kSecond));
  Delayed(b, 10 * kSecond);
  Release(a, "x", token);
  EXPECT_NE(Granted(b), 0u);
  Lock(c);
  Close(b);
  EXPECT_NE(Granted(c), 0u);
}

TEST_F(SharesTest, ADelayIsCarriedByAWaitAndEndsWithNobodyThere) {
  Client a = Open(60), b = Open(5), c = Open(60);
  const Revision token = Token(Lock(a));
  Delayed(b, 10 * kSecond);
  Release(a, "x", token);
  EXPECT_NE(Granted(b), 0u);
  Pass(5);
  EXPECT_TRUE(Is<LockHeld>(Lock(c, 0)));
  EXPECT_EQ(machine.lock_count(), 1u);
  Pass(10);
  EXPECT_EQ(machine.lock_count(), 0u);
  EXPECT_TRUE(Is<LockGranted>(Lock(c, 0)));
  EXPECT_EQ(Do(c.Next(Make(LockMode::kShared, -1))).code, ReplyCode::kInvalid);
  AcquireLock bad = Make(LockMode::kShared, 0);
  bad.delay_ns = 1;
  EXPECT_EQ(Do(c.Next(bad)).code, ReplyCode::kInvalid);
  bad = Make(LockMode::kExclusive, 0);
  bad.delay_ns = 3600 * kSecond + 1;
  EXPECT_EQ(Do(c.Next(bad)).code, ReplyCode::kInvalid) << "a mistake would last";
}

TEST_F(SharesTest, AnAdministratorEndsADelayAndItIsOnRecord) {
  Client a = Open(5, "a"), b = Open(60), admin = Open(60, "root@ops");
  EXPECT_EQ(Break(admin, 0).code, ReplyCode::kAbsent);
  const Revision token = Token(Delayed(a, 100 * kSecond));
  EXPECT_EQ(Look("x").delay, 0u);
  Lock(b);
  Pass(5);
  Pass(10);
  const Revision delay = Look("x").delay;
  EXPECT_GT(delay, token);
  EXPECT_EQ(Look("x").delay_left_ns, 90 * kSecond);
  EXPECT_EQ(Break(admin, token).code, ReplyCode::kAbsent);
  EXPECT_EQ(Break(admin, 0).code, ReplyCode::kAbsent);
  EXPECT_TRUE(Is<LockBroken>(Break(admin, delay)));
  EXPECT_GT(Granted(b), delay);
  EXPECT_EQ(Look("x").delay, 0u);
  EXPECT_EQ(Look("x").delay_left_ns, 0);
  const BreakRecord record = Look("x").broken;
  EXPECT_EQ(record.token, delay);
  EXPECT_EQ(record.session, 0u);
  EXPECT_NE(record.by.find("ended by root@ops (session "), std::string::npos) << record.by;
  EXPECT_NE(record.by.find("stuck"), std::string::npos) << record.by;
  EXPECT_EQ(Break(admin, delay).code, ReplyCode::kAbsent) << "once";
  EXPECT_EQ(Look("x").holder.session, b.session);
  Pass(100);
}

// Its timer is gone with it: it ends no later one.
TEST_F(SharesTest, ADelayAfterOneThatWasEndedLastsItsTime) {
  Client a = Open(60), b = Open(60), admin = Open(60);
  EXPECT_TRUE(Is<LockBroken>(Break(admin, Token(Delayed(a, 10 * kSecond)))));
  EXPECT_TRUE(Is<LockBroken>(Break(admin, Look("x").delay)));
  EXPECT_EQ(machine.lock_count(), 0u) << "nobody waits";
  EXPECT_EQ(Look("x").broken.session, 0u) << "and it is on record still";
  EXPECT_NE(Look("x").broken.revision, 0u);
  Pass(5);
  EXPECT_TRUE(Is<LockBroken>(Break(admin, Token(Delayed(b, 10 * kSecond)))));
  Lock(a);
  Pass(9.9);
  EXPECT_EQ(Granted(a), 0u);
  Pass(0.1);
  EXPECT_NE(Granted(a), 0u);
}

// ---- Breaks

TEST_F(SharesTest, ABreakIsToldToTheLoserAndRecorded) {
  Client a = Open(60, "a"), b = Open(60), admin = Open(60, "root@ops");
  const Revision token = Token(Lock(a));
  Lock(b);
  EXPECT_EQ(Break(admin, token + 1).code, ReplyCode::kAbsent);
  Pass(3);
  EXPECT_TRUE(Is<LockBroken>(Break(admin, token)));
  ASSERT_EQ(Told<LockLostEvent>(a).size(), 1u);
  EXPECT_EQ(Told<LockLostEvent>(a)[0].token, token);
  EXPECT_EQ(Told<LockLostEvent>(a)[0].by, Look("x").broken.by);
  EXPECT_NE(Granted(b), 0u);
  EXPECT_EQ(Release(a, "x", token).code, ReplyCode::kNotHeld);
  EXPECT_EQ(Break(admin, token).code, ReplyCode::kAbsent) << "once";
  const Reply journal = Do(admin.Next(Observe{ObjectKind::kLock, "x", 0}));
  ASSERT_TRUE(Is<Observed>(journal));
  const Change& change = std::get<Observed>(journal.result).changes.at(0);
  EXPECT_EQ(change.kind, ChangeKind::kBroken);
  EXPECT_EQ(change.token, token);
  EXPECT_EQ(change.label, "a");
  EXPECT_EQ(change.at_ns, 3 * kSecond);
  EXPECT_NE(change.value.find("root@ops"), std::string::npos) << change.value;
  EXPECT_NE(change.value.find("stuck"), std::string::npos) << change.value;
}

TEST_F(SharesTest, OneShareIsBrokenNotTheOthers) {
  Client a = Open(60), b = Open(60), admin = Open(60);
  const Revision one = Got(Share(a)).token;
  Got(Share(b));
  EXPECT_TRUE(Is<LockBroken>(Break(admin, one)));
  EXPECT_EQ(Told<LockLostEvent>(a).size(), 1u);
  EXPECT_TRUE(Told<LockLostEvent>(b).empty());
  EXPECT_EQ(Look("x").shares, 1u);
}

TEST_F(SharesTest, TermsAndAttemptsCanBeBrokenToo) {
  Client a = Open(60), b = Open(60), admin = Open(60);
  const Revision term = Token(Do(a.Next(Campaign{"x", kWaitForever, "", 0})));
  Do(b.Next(Campaign{"x", kWaitForever, "", 0}));
  EXPECT_TRUE(Is<LockBroken>(Break(admin, term, ObjectKind::kElection)));
  EXPECT_EQ(Told<LockLostEvent>(a).size(), 1u);
  EXPECT_TRUE(Told<LockLostEvent>(b).empty()) << "E5: it had not led";
  EXPECT_NE(Granted(b), 0u);
  Begin begin;
  begin.key = "x";
  const Reply started = Do(a.Next(begin));
  const Revision token = std::get<AttemptStarted>(started.result).token;
  EXPECT_TRUE(Is<LockBroken>(Break(admin, token, ObjectKind::kOperation)));
  EXPECT_EQ(Told<LockLostEvent>(a).at(0).name, "x");
  EXPECT_TRUE(Is<AttemptStarted>(Do(b.Next(begin))));
}

}  // namespace
}  // namespace tenure::machine
