// Locks: queues, tries, deadlines, cancels, releases, a new cluster's patience.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "fixture.h"

namespace tenure::machine {
namespace {

class LocksTest : public MachineTest {};

TEST_F(LocksTest, GrantsReleasesAndGrantsAgain) {
  Client client = Open();
  const Revision first = Token(Acquire(client, "a", 0, "me"));
  EXPECT_EQ(Look("a").holder.session, client.session);
  EXPECT_EQ(Look("a").holder.value, "me");
  EXPECT_EQ(Look("a").holder.label, "host:1");
  EXPECT_TRUE(Is<LockReleased>(Release(client, "a", first)));
  EXPECT_EQ(machine.lock_count(), 0u);
  EXPECT_EQ(Look("a").holder, LockHolder{});
  EXPECT_GT(Token(Acquire(client, "a")), first);
  EXPECT_EQ(Look("a").holder.value, "");
}

TEST_F(LocksTest, TriesAreAnsweredWithTheHolder) {
  Client holder = Open(), other = Open();
  const Revision token = Token(Acquire(holder, "a", 0, "busy"));
  Acquire(other, "a", kWaitForever);
  now += 3 * kSecond;
  const Reply reply = Acquire(other, "a");
  ASSERT_TRUE(Is<LockHeld>(reply));
  const LockHeld& held = std::get<LockHeld>(reply.result);
  EXPECT_EQ(held.holder, (LockHolder{holder.session, token, "host:1", "busy", 3 * kSecond}));
  EXPECT_EQ(held.waiting, 1u);
  EXPECT_EQ(held.held_back_ns, 0);
}

TEST_F(LocksTest, WaitersGetItInTheirOrder) {
  Client holder = Open();
  Revision token = Token(Acquire(holder, "a"));
  std::vector<Client> waiters;
  for (int i = 0; i < 5; ++i) {
    Client& waiter = waiters.emplace_back(Open());
    const Reply reply = Acquire(waiter, "a", kWaitForever, "v" + std::to_string(i));
    ASSERT_TRUE(Is<LockQueued>(reply));
    EXPECT_EQ(std::get<LockQueued>(reply.result).ahead, static_cast<std::uint64_t>(i));
  }
  Release(holder, "a", token);
  for (int i = 0; i < 5; ++i) {
    const Revision next = Granted(waiters[i]);
    EXPECT_GT(next, token);
    EXPECT_EQ(Look("a").holder.value, "v" + std::to_string(i));
    token = next;
    EXPECT_TRUE(Is<LockReleased>(Release(waiters[i], "a", token)));
  }
  EXPECT_EQ(machine.lock_count(), 0u);
}

TEST_F(LocksTest, ATryDoesNotPassTheQueue) {
  Client holder = Open(), waiter = Open(), other = Open();
  const Revision token = Token(Acquire(holder, "a"));
  Acquire(waiter, "a", kWaitForever);
  const std::vector<Reply> replies =
      Apply({holder.Next(ReleaseLock{"a", token}), other.Next(AcquireLock{"a", 0, ""})});
  EXPECT_TRUE(Is<LockReleased>(replies[0]));
  EXPECT_TRUE(Is<LockHeld>(replies[1]));
  EXPECT_NE(Granted(waiter), 0u);
}

TEST_F(LocksTest, TheSameSessionQueuesBehindItself) {
  Client client = Open();
  const Revision token = Token(Acquire(client, "a"));
  EXPECT_TRUE(Is<LockHeld>(Acquire(client, "a")));
  EXPECT_TRUE(Is<LockQueued>(Acquire(client, "a", kWaitForever)));
  Release(client, "a", token);
  EXPECT_GT(Granted(client), token);
}

TEST_F(LocksTest, L10_ARepeatedReleaseFreesNoLaterGrant) {
  Client a = Open(), b = Open();
  const Revision first = Token(Acquire(a, "x"));
  Release(a, "x", first);
  EXPECT_EQ(Release(a, "x", first).code, ReplyCode::kNotHeld);
  const Revision second = Token(Acquire(a, "x"));
  EXPECT_EQ(Release(a, "x", first).code, ReplyCode::kNotHeld);
  EXPECT_EQ(Release(b, "x", second).code, ReplyCode::kNotHeld);
  EXPECT_EQ(Release(a, "x", 0).code, ReplyCode::kNotHeld);
  EXPECT_EQ(Look("x").holder.token, second);
}

TEST_F(LocksTest, L11_AWaiterWhoseSessionDiedIsNeverGranted) {
  Client holder = Open(60), doomed = Open(10), next = Open(60);
  const Revision token = Token(Acquire(holder, "a"));
  Acquire(doomed, "a", kWaitForever);
  Acquire(next, "a", kWaitForever);
  now += 10 * kSecond;
  // Its death and the release are in one entry.
  Release(holder, "a", token);
  EXPECT_EQ(Granted(doomed), 0u);
  EXPECT_NE(Granted(next), 0u);
  EXPECT_EQ(machine.EventsAfter(doomed.session, 0).size(), 1u);
}

TEST_F(LocksTest, L13_AnOldSessionsEntryIsNotTakenForItsSuccessors) {
  // The same process, reconnected: a new session, the same label. The old one still holds.
  Client old = Open(10);
  const Revision token = Token(Acquire(old, "a"));
  Client renewed = Open(60);
  EXPECT_TRUE(Is<LockQueued>(Acquire(renewed, "a", kWaitForever)));
  EXPECT_EQ(Release(renewed, "a", token).code, ReplyCode::kNotHeld);
  Pass(10);
  EXPECT_GT(Granted(renewed), token);
  EXPECT_EQ(Look("a").holder.session, renewed.session);
}

TEST_F(LocksTest, L14_AWaitThatEndedIsNeverGranted) {
  Client holder = Open(60), waiter = Open(60);
  const Revision token = Token(Acquire(holder, "a"));
  Acquire(waiter, "a", 5 * kSecond);
  Pass(4.9);
  EXPECT_TRUE(Told<WaitEndedEvent>(waiter).empty());
  now += kSecond / 10;
  // Deadline and release in one entry: the deadline came first.
  Release(holder, "a", token);
  ASSERT_EQ(Told<WaitEndedEvent>(waiter).size(), 1u);
  EXPECT_EQ(Told<WaitEndedEvent>(waiter)[0].acquire, 1u);
  EXPECT_EQ(Told<WaitEndedEvent>(waiter)[0].name, "a");
  EXPECT_EQ(Granted(waiter), 0u);
  EXPECT_EQ(machine.lock_count(), 0u);
}

TEST_F(LocksTest, DeadlinesEndByDeadlineThenOrder) {
  Client holder = Open(60), waiter = Open(60);
  Acquire(holder, "a");
  Acquire(waiter, "a", 5 * kSecond);
  Acquire(waiter, "a", 3 * kSecond);
  Acquire(waiter, "a", 5 * kSecond);
  Acquire(waiter, "a", kWaitForever);
  Pass(30);
  std::vector<Sequence> ended;
  for (const WaitEndedEvent& event : Told<WaitEndedEvent>(waiter)) ended.push_back(event.acquire);
  EXPECT_EQ(ended, (std::vector<Sequence>{2, 1, 3}));
  EXPECT_EQ(Look("a").waiting, 1u);
}

TEST_F(LocksTest, CancelEndsAWait) {
  Client holder = Open(), a = Open(), b = Open();
  const Revision token = Token(Acquire(holder, "x"));
  const Command wait = a.Next(AcquireLock{"x", 5 * kSecond, ""});
  EXPECT_TRUE(Is<LockQueued>(Do(wait)));
  Acquire(b, "x", kWaitForever);
  EXPECT_TRUE(Is<WaitCancelled>(Cancel(a, 1)));
  EXPECT_TRUE(Is<WaitCancelled>(Cancel(a, 1)));
  EXPECT_TRUE(Is<WaitCancelled>(Do(wait))) << "a late retry must not be told that it is queued";
  Release(holder, "x", token);
  EXPECT_EQ(Granted(a), 0u);
  EXPECT_NE(Granted(b), 0u);
  Pass(6);
  EXPECT_TRUE(Told<WaitEndedEvent>(a).empty());
}

TEST_F(LocksTest, CancelRacingAGrantEndsInExactlyOneOfTheTwo) {
  Client holder = Open(), waiter = Open();
  const Revision token = Token(Acquire(holder, "x"));
  Acquire(waiter, "x", kWaitForever);
  const std::vector<Reply> replies =
      Apply({holder.Next(ReleaseLock{"x", token}), waiter.Next(CancelWait{1})});
  EXPECT_EQ(Token(replies[1]), Granted(waiter));
  EXPECT_EQ(Look("x").holder.session, waiter.session);
  // The same when reply and event were acknowledged before the cancel came.
  waiter.acknowledged_through = 1;
  waiter.events_seen_through = machine.revision();
  EXPECT_EQ(Token(Cancel(waiter, 1)), Look("x").holder.token);
  // And of a grant that came at once.
  Client direct = Open();
  const Revision granted = Token(Acquire(direct, "y"));
  EXPECT_EQ(Token(Cancel(direct, 1)), granted);
  EXPECT_EQ(Look("y").holder.token, granted);
}

TEST_F(LocksTest, T14_ACancelThatOvertakesItsAcquireLeavesNoGhost) {
  Client client = Open(), other = Open();
  EXPECT_TRUE(Is<WaitCancelled>(Do(client.Make(CancelWait{1}, 2))));
  EXPECT_TRUE(Is<WaitCancelled>(Do(client.Make(AcquireLock{"a", kWaitForever, ""}, 1))));
  EXPECT_EQ(machine.lock_count(), 0u);
  EXPECT_TRUE(Is<LockGranted>(Acquire(other, "a")));
  // Also when the client has forgotten both before the acquire comes.
  EXPECT_TRUE(Is<WaitCancelled>(Do(client.Make(CancelWait{3}, 4))));
  client.acknowledged_through = 4;
  EXPECT_EQ(Do(client.Make(AcquireLock{"b", kWaitForever, ""}, 3)).code, ReplyCode::kForgotten);
  EXPECT_EQ(machine.lock_count(), 1u);
}

TEST_F(LocksTest, CancelRefusesNonsense) {
  Client client = Open();
  EXPECT_EQ(Do(client.Make(CancelWait{0}, 1)).code, ReplyCode::kInvalid);
  EXPECT_EQ(Do(client.Make(CancelWait{2}, 2)).code, ReplyCode::kInvalid);
  EXPECT_EQ(Do(client.Make(CancelWait{1'000'000}, 3)).code, ReplyCode::kLimit);
  // What was no wait has nothing to end; its own reply stays what it was.
  const Command attempt = client.Make(AcquireLock{"a", -1, ""}, 4);
  EXPECT_EQ(Do(attempt).code, ReplyCode::kInvalid);
  EXPECT_TRUE(Is<WaitCancelled>(Do(client.Make(CancelWait{4}, 5))));
  EXPECT_EQ(Do(attempt).code, ReplyCode::kInvalid);
}

TEST_F(LocksTest, L20_AReleaseWakesExactlyOneWaiter) {
  Client holder = Open();
  const Revision token = Token(Acquire(holder, "a"));
  std::vector<Client> waiters(100);
  for (Client& waiter : waiters) {
    waiter = Open();
    Acquire(waiter, "a", kWaitForever);
  }
  Release(holder, "a", token);
  ASSERT_EQ(last_events.size(), 1u);
  EXPECT_EQ(last_events[0].session, waiters[0].session);
}

TEST_F(LocksTest, L21_TokensRiseOverAllLocksAndAcrossDeletion) {
  Client client = Open();
  std::set<Revision> tokens;
  Revision last = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string name = "lock" + std::to_string(i % 7);
    const Revision token = Token(Acquire(client, name));
    EXPECT_GT(token, last);
    EXPECT_TRUE(tokens.insert(token).second);
    last = token;
    EXPECT_TRUE(Is<LockReleased>(Release(client, name, token)));
  }
  EXPECT_EQ(machine.lock_count(), 0u);
}

TEST_F(LocksTest, T10_ANewClusterHoldsGrantsBack) {
  Genesis genesis;
  genesis.grants_from_ns = 30 * kSecond;
  Start(genesis);
  EXPECT_TRUE(machine.HasDeadline());
  Client a = Open(60), b = Open(60), c = Open(60);
  now = 10 * kSecond;
  const Reply held = Acquire(a, "x");
  ASSERT_TRUE(Is<LockHeld>(held));
  EXPECT_EQ(std::get<LockHeld>(held.result).held_back_ns, 20 * kSecond);
  EXPECT_EQ(machine.lock_count(), 0u);
  const Reply queued = Acquire(b, "x", kWaitForever);
  ASSERT_TRUE(Is<LockQueued>(queued));
  EXPECT_EQ(std::get<LockQueued>(queued.result).held_back_ns, 20 * kSecond);
  EXPECT_EQ(std::get<LockQueued>(queued.result).holder, LockHolder{});
  Acquire(c, "y", kWaitForever);
  Acquire(a, "x", kWaitForever);
  Acquire(c, "z", 5 * kSecond);
  Acquire(a, "w", kWaitForever);
  Cancel(a, a.last);
  Pass(19.9);
  EXPECT_TRUE(Told<LockGrantedEvent>(a).empty() && Told<LockGrantedEvent>(b).empty());
  EXPECT_FALSE(machine.HasBacklog());
  // Nobody waits for z and w any more.
  EXPECT_EQ(std::get<LockList>(machine.Query(ListLocks{}).result).locks.size(), 2u);
  Pass(0.1);
  ASSERT_EQ(last_events.size(), 2u);
  EXPECT_EQ(last_events[0].session, b.session);
  EXPECT_EQ(last_events[1].session, c.session);
  EXPECT_EQ(machine.lock_count(), 2u);
  EXPECT_TRUE(Is<LockGranted>(Acquire(a, "free")));
}

TEST_F(LocksTest, T10_HandOversAfterTheWaitAreBoundedAndTouchedLocksAreSettledAtOnce) {
  Genesis genesis;
  genesis.grants_from_ns = 30 * kSecond;
  genesis.limits.cleanup_per_entry = 2;
  Start(genesis);
  Client waiter = Open(60), other = Open(60);
  for (int i = 0; i < 7; ++i) Acquire(waiter, "l" + std::to_string(i), kWaitForever);
  Pass(30);
  EXPECT_EQ(Told<LockGrantedEvent>(waiter).size(), 2u);
  EXPECT_TRUE(machine.HasBacklog());
  const Reply reply = Acquire(other, "l6");  // also hands over l2 and l3, as every entry does
  ASSERT_TRUE(Is<LockHeld>(reply));
  EXPECT_EQ(std::get<LockHeld>(reply.result).holder.session, waiter.session);
  EXPECT_EQ(Told<LockGrantedEvent>(waiter).size(), 3u);
  EXPECT_EQ(Told<LockGrantedEvent>(waiter)[2].name, "l6");
  while (machine.HasBacklog()) Apply({});
  EXPECT_EQ(machine.EventsAfter(waiter.session, 0).size(), 7u);
}

TEST_F(LocksTest, NamesWaitsAndValuesAreChecked) {
  Client client = Open();
  EXPECT_EQ(Acquire(client, "").code, ReplyCode::kInvalid);
  EXPECT_EQ(Acquire(client, std::string(513, 'n')).code, ReplyCode::kInvalid);
  EXPECT_EQ(Acquire(client, "a", -1).code, ReplyCode::kInvalid);
  EXPECT_EQ(Acquire(client, "a", 0, std::string(4097, 'v')).code, ReplyCode::kInvalid);
  EXPECT_EQ(machine.lock_count(), 0u);
  EXPECT_TRUE(Is<LockGranted>(Acquire(client, std::string(512, 'n'))));
  EXPECT_TRUE(
      Is<LockGranted>(Acquire(client, std::string("\0\xff", 2), 0, std::string(4096, 'v'))));
}

TEST_F(LocksTest, X4_EveryTableHasALimitAndAMessage) {
  Genesis genesis;
  genesis.limits.locks_max = 4;
  genesis.limits.locks_per_session_max = 3;
  genesis.limits.waiters_per_lock_max = 2;
  genesis.limits.waits_per_session_max = 2;
  Start(genesis);
  const auto full = [](const Reply& reply) {
    return reply.code == ReplyCode::kLimit && !reply.message.empty();
  };
  Client a = Open(), b = Open(), c = Open();
  for (const char* name : {"1", "2", "3"}) EXPECT_TRUE(Is<LockGranted>(Acquire(a, name)));
  EXPECT_TRUE(full(Acquire(a, "4")));  // locks per session
  EXPECT_TRUE(Is<LockGranted>(Acquire(b, "4")));
  EXPECT_TRUE(full(Acquire(b, "5")));  // locks
  EXPECT_TRUE(Is<LockQueued>(Acquire(b, "1", kWaitForever)));
  EXPECT_TRUE(Is<LockQueued>(Acquire(c, "1", kSecond)));
  EXPECT_TRUE(full(Acquire(c, "1", kWaitForever)));  // waiters per lock
  EXPECT_TRUE(Is<LockQueued>(Acquire(c, "2", kSecond)));
  EXPECT_TRUE(full(Acquire(c, "3", kWaitForever)));  // waits per session
  // Events that nobody acknowledges count as well: waits that end again and again fill nothing.
  Pass(1);
  EXPECT_TRUE(full(Acquire(c, "3", kWaitForever)));
  c.events_seen_through = machine.revision();
  EXPECT_TRUE(Is<LockQueued>(Acquire(c, "3", kWaitForever)));
  EXPECT_EQ(machine.lock_count(), 4u);
}

TEST_F(LocksTest, ListsByNameInPages) {
  Client client = Open();
  for (const char* name : {"b", "aa", "c", "a", "\xff"}) {
    Acquire(client, name);
  }
  Acquire(client, "aa", kWaitForever);
  const auto page = [&](const std::string& after, std::uint32_t limit) {
    return std::get<LockList>(machine.Query(ListLocks{after, limit}).result);
  };
  const auto names = [](const LockList& list) {
    std::vector<std::string> result;
    for (const LockDescription& lock : list.locks) result.push_back(lock.name);
    return result;
  };
  EXPECT_EQ(names(page("", 1000)), (std::vector<std::string>{"a", "aa", "b", "c", "\xff"}));
  EXPECT_EQ(names(page("a", 2)), (std::vector<std::string>{"aa", "b"}));
  EXPECT_TRUE(page("a", 2).more);
  EXPECT_EQ(page("a", 2).locks[0].waiting, 1u);
  EXPECT_TRUE(page("a", 2).locks[0].waiters.empty());
  EXPECT_FALSE(page("b", 2).more);
  EXPECT_EQ(page("", 0).locks.size(), 1u);
}

TEST_F(LocksTest, GetRefusesNamesThatNoLockHas) {
  EXPECT_EQ(machine.Query(GetLock{""}).code, ReplyCode::kInvalid);
  EXPECT_EQ(machine.Query(GetLock{std::string(513, 'n')}).code, ReplyCode::kInvalid);
  EXPECT_EQ(machine.Query(GetLock{std::string(512, 'n')}).code, ReplyCode::kOk);
}

TEST_F(LocksTest, GetShowsTheFirstHundredWaiters) {
  Client holder = Open();
  Acquire(holder, "a");
  std::vector<Client> waiters;
  for (int i = 0; i < 120; ++i) Acquire(waiters.emplace_back(Open()), "a", kWaitForever);
  now += kSecond;
  Apply({});
  const LockDescription lock = Look("a");
  EXPECT_EQ(lock.waiting, 120u);
  ASSERT_EQ(lock.waiters.size(), 100u);
  EXPECT_EQ(lock.waiters[99], (LockWaiter{waiters[99].session, "host:1", kSecond}));
}

}  // namespace
}  // namespace tenure::machine
