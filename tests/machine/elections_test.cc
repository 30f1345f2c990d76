// Elections and watching, as clients see them.
#include <string>
#include <vector>

#include "fixture.h"

namespace tenure::machine {
namespace {

class ElectionsTest : public MachineTest {
 protected:
  Reply Run(Client& client, const std::string& value = "", std::uint32_t priority = 0,
            std::int64_t wait_ns = kWaitForever, const std::string& name = "e") {
    return Do(client.Next(Campaign{name, wait_ns, value, priority}));
  }
  ElectionDescription See(Revision after = 0, const std::string& name = "e") const {
    return std::get<ElectionDescription>(machine.Query(GetElection{name, after}).result);
  }
  Reply Watch(Client& client, Revision after, ObjectKind kind = ObjectKind::kElection,
              const std::string& name = "e") {
    return Do(client.Next(Observe{kind, name, after}));
  }
  // What the last entry told the client.
  std::vector<ChangedEvent> Changes(const Client& client) const {
    return Told<ChangedEvent>(client);
  }
};

TEST_F(ElectionsTest, TheFirstLeadsTheOthersFollowInTheirOrder) {
  Client a = Open(60, "a"), b = Open(60, "b"), c = Open(60, "c");
  const Revision first = Token(Run(a, "10.0.0.1"));
  EXPECT_TRUE(Is<LockQueued>(Run(b, "10.0.0.2")));
  const Reply third = Run(c, "10.0.0.3");
  ASSERT_TRUE(Is<LockQueued>(third));
  EXPECT_EQ(std::get<LockQueued>(third.result).ahead, 1u);
  EXPECT_EQ(std::get<LockQueued>(third.result).holder.value, "10.0.0.1");
  const ElectionDescription seen = See();
  EXPECT_EQ(seen.leader.token, first);
  ASSERT_EQ(seen.candidates.size(), 2u);
  EXPECT_EQ(seen.candidates[0].label, "b");
  EXPECT_EQ(seen.candidates[1].value, "10.0.0.3");
  EXPECT_TRUE(Is<LockReleased>(Do(a.Next(Resign{"e", first}))));
  EXPECT_GT(Granted(b), first);
  EXPECT_EQ(Granted(c), 0u);
}

TEST_F(ElectionsTest, AnElectionAndALockOfOneNameAreTwo) {
  Client a = Open(60), b = Open(60);
  const Revision term = Token(Run(a));
  const Revision token = Token(Acquire(b, "e"));
  EXPECT_NE(term, token);
  EXPECT_EQ(Do(a.Next(ReleaseLock{"e", term})).code, ReplyCode::kNotHeld);
  EXPECT_EQ(Do(b.Next(Resign{"e", token})).code, ReplyCode::kNotHeld);
  EXPECT_EQ(machine.lock_count(), 1u);
  EXPECT_EQ(machine.election_count(), 1u);
  EXPECT_EQ(std::get<LockList>(machine.Query(ListLocks{}).result).locks.size(), 1u);
  EXPECT_EQ(std::get<ElectionList>(machine.Query(ListElections{}).result).elections.size(), 1u);
}

// Neither held nor waited for, though somebody looks.
TEST_F(ElectionsTest, WhatIsOnlyWatchedIsNotListed) {
  Client a = Open(60), b = Open(60);
  Observe watch{ObjectKind::kLock, "e", 0};
  watch.after = machine.revision();
  EXPECT_TRUE(Is<Observing>(Do(a.Next(watch))));
  EXPECT_TRUE(std::get<LockList>(machine.Query(ListLocks{}).result).locks.empty());
  const Revision token = Token(Acquire(b, "e"));
  EXPECT_EQ(std::get<LockList>(machine.Query(ListLocks{}).result).locks.size(), 1u);
  Release(b, "e", token);
  EXPECT_TRUE(std::get<LockList>(machine.Query(ListLocks{}).result).locks.empty());
}

TEST_F(ElectionsTest, PriorityGoesBeforeOrder) {
  Client leader = Open(60), low = Open(60), high = Open(60), high_too = Open(60), mid = Open(60);
  const Revision term = Token(Run(leader));
  Run(low, "", 1);
  Run(high, "", 9);
  const Reply second = Run(high_too, "", 9);
  EXPECT_EQ(std::get<LockQueued>(second.result).ahead, 1u);
  EXPECT_EQ(std::get<LockQueued>(Run(mid, "", 5).result).ahead, 2u);
  std::vector<SessionId> order;
  for (const Candidate& candidate : See().candidates) order.push_back(candidate.session);
  EXPECT_EQ(order,
            (std::vector<SessionId>{high.session, high_too.session, mid.session, low.session}));
  Cancel(high_too, 1);
  Do(leader.Next(Resign{"e", term}));
  const Revision next = Granted(high);
  EXPECT_NE(next, 0u);
  Do(high.Next(Resign{"e", next}));
  EXPECT_NE(Granted(mid), 0u);
  EXPECT_EQ(Run(low, "", kPriorityMax + 1).code, ReplyCode::kInvalid);
}

TEST_F(ElectionsTest, ProclaimNeedsTheTerm) {
  Client a = Open(60), b = Open(60);
  const Revision term = Token(Run(a, "old"));
  EXPECT_TRUE(Is<Proclaimed>(Do(a.Next(Proclaim{"e", term, "new"}))));
  EXPECT_EQ(See().leader.value, "new");
  EXPECT_EQ(Do(a.Next(Proclaim{"e", term - 1, "x"})).code, ReplyCode::kNotHeld);
  EXPECT_EQ(Do(b.Next(Proclaim{"e", term, "x"})).code, ReplyCode::kNotHeld);
  EXPECT_EQ(Do(a.Next(Proclaim{"e", term, std::string(5000, 'x')})).code, ReplyCode::kInvalid);
  EXPECT_EQ(See().leader.value, "new");
}

TEST_F(ElectionsTest, E2_ALateResignLeavesTheSuccessorAlone) {
  Client a = Open(60), b = Open(60);
  const Revision first = Token(Run(a));
  Run(b);
  Do(a.Next(Resign{"e", first}));
  const Revision second = Granted(b);
  EXPECT_EQ(Do(a.Next(Resign{"e", first})).code, ReplyCode::kNotHeld);
  // Nor does one of the same session's earlier term end its later one.
  Run(a);
  Do(b.Next(Resign{"e", second}));
  const Revision third = Granted(a);
  EXPECT_EQ(Do(a.Next(Resign{"e", first})).code, ReplyCode::kNotHeld);
  EXPECT_EQ(See().leader.token, third);
}

TEST_F(ElectionsTest, E4_ACampaignThatIsSentTwiceMakesOneLeader) {
  Client a = Open(60);
  const Command campaign = a.Next(Campaign{"e", kWaitForever, "v", 0});
  const Revision term = Token(Do(campaign));
  EXPECT_EQ(Token(Do(campaign)), term);
  EXPECT_EQ(See().waiting, 0u);
  EXPECT_EQ(See().changes.size(), 1u);
}

// Whoever never led is told of no loss: its wait ends, or nothing comes at all.
TEST_F(ElectionsTest, E5_LossIsToldToNobodyWhoNeverLed) {
  Client leader = Open(60), late = Open(60), cancelled = Open(60), dead = Open(5);
  const Revision term = Token(Run(leader));
  Run(late, "", 0, 3 * kSecond);
  Run(cancelled);
  Run(dead);
  Cancel(cancelled, 1);
  Pass(6);
  Do(leader.Next(Resign{"e", term}));
  for (const Client* client : {&late, &cancelled, &dead}) {
    int ends = 0;
    for (const SessionEvent& event : events) {
      if (event.session != client->session) continue;
      EXPECT_FALSE(std::holds_alternative<LockGrantedEvent>(event.body));
      EXPECT_FALSE(std::holds_alternative<ChangedEvent>(event.body));
      ++ends;
    }
    EXPECT_EQ(ends, client == &cancelled ? 0 : 1);
  }
  for (const Change& change : See().changes) EXPECT_EQ(change.session, leader.session);
}

TEST_F(ElectionsTest, HandOverNamesItsCandidate) {
  Client a = Open(60), b = Open(60), c = Open(60), d = Open(60);
  const Revision term = Token(Run(a));
  Run(b);
  Run(c);
  const Candidate chosen = See().candidates.at(1);
  EXPECT_EQ(Do(a.Next(HandOver{"e", term, d.session, 1})).code, ReplyCode::kAbsent);
  EXPECT_EQ(Do(b.Next(HandOver{"e", term, c.session, 1})).code, ReplyCode::kNotHeld);
  EXPECT_EQ(Do(a.Next(HandOver{"e", term, c.session, 9})).code, ReplyCode::kAbsent);
  EXPECT_EQ(See().leader.token, term) << "a refusal changes nothing";
  EXPECT_TRUE(Is<LockReleased>(Do(a.Next(HandOver{"e", term, chosen.session, chosen.campaign}))));
  EXPECT_NE(Granted(c), 0u);
  EXPECT_EQ(See().leader.session, c.session);
  const std::vector<Change> changes = See(term).changes;
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].kind, ChangeKind::kHandedOver);
  EXPECT_EQ(changes[0].token, term);
  EXPECT_EQ(changes[1].kind, ChangeKind::kGranted);
  EXPECT_EQ(See().candidates.at(0).session, b.session);
}

TEST_F(ElectionsTest, ADeadCandidateCannotBeChosen) {
  Client a = Open(60), b = Open(60);
  const Revision term = Token(Run(a));
  Run(b);
  Close(b);
  EXPECT_EQ(Do(a.Next(HandOver{"e", term, b.session, 1})).code, ReplyCode::kAbsent);
}

TEST_F(ElectionsTest, AnObserverFollowsEveryChange) {
  Client leader = Open(60, "leader"), next = Open(5, "next"), observer = Open(60);
  const Reply first = Watch(observer, 0);
  ASSERT_TRUE(Is<Observed>(first));
  EXPECT_TRUE(std::get<Observed>(first.result).changes.empty());
  Revision after = first.revision;
  std::vector<Change> heard;
  const auto listen = [&] {
    for (;;) {
      const Reply reply = Watch(observer, after);
      if (Is<Observing>(reply)) return;
      ASSERT_TRUE(Is<Observed>(reply));
      EXPECT_FALSE(std::get<Observed>(reply.result).gap);
      for (const Change& change : std::get<Observed>(reply.result).changes) {
        heard.push_back(change);
        after = change.revision;
      }
    }
  };
  const auto hear = [&] {
    if (Changes(observer).empty()) return;  // it listens still
    for (const ChangedEvent& event : Changes(observer)) {
      EXPECT_FALSE(event.gap);
      heard.push_back(event.change);
      after = event.change.revision;
    }
    listen();
  };
  listen();
  const Revision term = Token(Run(leader, "one"));
  hear();
  Do(leader.Next(Proclaim{"e", term, "two"}));
  hear();
  Run(next);
  hear();
  Do(leader.Next(Resign{"e", term}));
  hear();
  Pass(5);
  hear();
  std::vector<ChangeKind> kinds;
  for (const Change& change : heard) kinds.push_back(change.kind);
  EXPECT_EQ(kinds, (std::vector<ChangeKind>{ChangeKind::kGranted, ChangeKind::kValue,
                                            ChangeKind::kReleased, ChangeKind::kGranted,
                                            ChangeKind::kLost}));
  EXPECT_EQ(heard, See().changes);
  EXPECT_EQ(heard[1].value, "two");
  EXPECT_EQ(heard[4].label, "next");
}

TEST_F(ElectionsTest, BeyondTheHistoryThereIsAGapThatIsTold) {
  Genesis genesis;
  genesis.limits.changes_kept = 4;
  Start(genesis);
  Client leader = Open(60), observer = Open(60);
  const Revision term = Token(Run(leader, "0"));
  for (int i = 1; i <= 10; ++i) Do(leader.Next(Proclaim{"e", term, std::to_string(i)}));
  Reply reply = Watch(observer, term);
  ASSERT_TRUE(Is<Observed>(reply));
  EXPECT_TRUE(std::get<Observed>(reply.result).gap);
  EXPECT_EQ(std::get<Observed>(reply.result).changes.size(), 4u);
  EXPECT_EQ(std::get<Observed>(reply.result).holder.value, "10");
  const Revision third_last = See().changes[1].revision;
  EXPECT_FALSE(See(third_last).gap);
  EXPECT_EQ(See(third_last).changes.size(), 2u);
  EXPECT_TRUE(See(1).gap);
}

TEST_F(ElectionsTest, WhatWasForgottenWithAnIdleElectionIsAGapToo) {
  Client leader = Open(60), observer = Open(60);
  const Revision term = Token(Run(leader));
  Do(leader.Next(Resign{"e", term}));
  EXPECT_EQ(machine.election_count(), 0u);
  // It stays for a while, for those who come back to it,
  EXPECT_EQ(See(term).changes.size(), 1u);
  EXPECT_FALSE(See(term).gap);
  for (int i = 0; i < 1024; ++i) {
    const std::string name = "other" + std::to_string(i);
    leader.acknowledged_through = leader.last;
    const Revision other = Token(Run(leader, "", 0, 0, name));
    Do(leader.Next(Resign{name, other}));
  }
  // and then not.
  EXPECT_TRUE(See(term).gap);
  const Reply reply = Watch(observer, term);
  ASSERT_TRUE(Is<Observed>(reply));
  EXPECT_TRUE(std::get<Observed>(reply.result).gap);
  EXPECT_TRUE(Is<Observing>(Watch(observer, reply.revision)));
}

TEST_F(ElectionsTest, ALockCanBeWatchedFromWhenSomebodyFirstDid) {
  Client holder = Open(60), waiter = Open(60), observer = Open(60);
  Reply reply = Watch(observer, 0, ObjectKind::kLock, "x");
  ASSERT_TRUE(Is<Observed>(reply));
  EXPECT_EQ(machine.lock_count(), 0u) << "to look is not to use";
  ASSERT_TRUE(Is<Observing>(Watch(observer, reply.revision, ObjectKind::kLock, "x")));
  const Revision token = Token(Acquire(holder, "x", 0, "v"));
  ASSERT_EQ(Changes(observer).size(), 1u);
  EXPECT_EQ(Changes(observer)[0].change.token, token);
  EXPECT_EQ(Changes(observer)[0].change.value, "v");
  Acquire(waiter, "x", kWaitForever);
  Release(holder, "x", token);
  EXPECT_TRUE(Changes(observer).empty()) << "one answer to one question";
  reply = Watch(observer, token, ObjectKind::kLock, "x");
  ASSERT_TRUE(Is<Observed>(reply));
  ASSERT_EQ(std::get<Observed>(reply.result).changes.size(), 2u);
  EXPECT_EQ(std::get<Observed>(reply.result).changes[0].kind, ChangeKind::kReleased);
  EXPECT_EQ(std::get<Observed>(reply.result).holder.session, waiter.session);
}

TEST_F(ElectionsTest, AnObserverThatLeavesIsToldNothing) {
  Client leader = Open(60), gone = Open(60), dead = Open(60);
  const Reply first = Watch(gone, 0);
  Watch(gone, first.revision);
  EXPECT_TRUE(Is<WaitCancelled>(Cancel(gone, gone.last)));
  Watch(dead, first.revision);
  Close(dead);
  Run(leader);
  EXPECT_TRUE(Changes(gone).empty());
  EXPECT_TRUE(Changes(dead).empty());
  EXPECT_FALSE(machine.HasBacklog());
}

TEST_F(ElectionsTest, T15_ManyObserversAreToldStepByStep) {
  Genesis genesis;
  genesis.limits.cleanup_per_entry = 10;
  Start(genesis);
  Client leader = Open(60), observer = Open(60);
  const Revision start = Watch(observer, 0).revision;
  constexpr int kObservers = 200;
  for (int i = 0; i < kObservers; ++i) ASSERT_TRUE(Is<Observing>(Watch(observer, start)));
  Run(leader);
  std::vector<ChangedEvent> told = Changes(observer);
  EXPECT_GE(told.size(), 1u);
  EXPECT_LE(told.size(), 32u);
  while (machine.HasBacklog()) {
    Pass(0);
    const std::vector<ChangedEvent> more = Changes(observer);
    EXPECT_LE(more.size(), 10u);
    EXPECT_FALSE(more.empty());
    told.insert(told.end(), more.begin(), more.end());
  }
  ASSERT_EQ(told.size(), static_cast<std::size_t>(kObservers));
  for (std::size_t i = 1; i < told.size(); ++i) EXPECT_LT(told[i - 1].observe, told[i].observe);
}

TEST_F(ElectionsTest, TablesAreBounded) {
  Genesis genesis;
  genesis.limits.elections_max = 2;
  genesis.limits.observers_per_name_max = 1;
  genesis.limits.waiters_per_lock_max = 1;
  Start(genesis);
  Client a = Open(60), b = Open(60);
  const Revision term = Token(Run(a, "", 0, 0, "e1"));
  Token(Run(a, "", 0, 0, "e2"));
  const Reply third = Run(a, "", 0, 0, "e3");
  EXPECT_EQ(third.code, ReplyCode::kLimit);
  EXPECT_NE(third.message.find("2 elections"), std::string::npos) << third.message;
  EXPECT_TRUE(Is<LockQueued>(Run(b, "", 0, kWaitForever, "e1")));
  EXPECT_EQ(Run(b, "", 0, kWaitForever, "e1").code, ReplyCode::kLimit);
  EXPECT_TRUE(Is<Observing>(Watch(b, machine.revision(), ObjectKind::kElection, "e2")));
  EXPECT_EQ(Watch(b, machine.revision(), ObjectKind::kElection, "e2").code, ReplyCode::kLimit);
  Do(a.Next(Resign{"e1", term}));
  EXPECT_EQ(Run(a, "", 0, 0, "e3").code, ReplyCode::kLimit) << "e1 has another leader";
}

}  // namespace
}  // namespace tenure::machine
