// Sessions: opening, renewing, ending, exactly-once replies, events.
#include <string>
#include <vector>

#include "fixture.h"

namespace tenure::machine {
namespace {

class SessionsTest : public MachineTest {};

TEST_F(SessionsTest, OpenGrantsATtlWithinTheLimits) {
  Client client;
  client.key = {1, 1};
  const auto granted = [&](std::int64_t ttl_ns) {
    client.key.low++;
    return std::get<SessionOpened>(Do(client.Plain(OpenSession{ttl_ns, ""})).result).ttl_ns;
  };
  EXPECT_EQ(granted(10 * kSecond), 10 * kSecond);
  EXPECT_EQ(granted(1), machine.limits().ttl_min_ns);
  EXPECT_EQ(granted(kWaitForever), machine.limits().ttl_max_ns);
}

TEST_F(SessionsTest, OpenRefusesNonsense) {
  Client client;
  client.key = {1, 1};
  EXPECT_EQ(Do(client.Plain(OpenSession{0, ""})).code, ReplyCode::kInvalid);
  EXPECT_EQ(Do(client.Plain(OpenSession{-1, ""})).code, ReplyCode::kInvalid);
  EXPECT_EQ(Do(client.Plain(OpenSession{kSecond, std::string(257, 'x')})).code,
            ReplyCode::kInvalid);
  EXPECT_EQ(Do(client.Next(OpenSession{kSecond, ""})).code, ReplyCode::kInvalid);
  EXPECT_EQ(Do(Client().Plain(OpenSession{kSecond, ""})).code, ReplyCode::kInvalid);
  EXPECT_EQ(machine.session_count(), 0u);
}

TEST_F(SessionsTest, OpenIsIdempotentByKeyAndARetryExtendsNothing) {
  const Client client = Open(10);
  now += 6 * kSecond;
  EXPECT_EQ(Session(Do(Client{0, client.key}.Plain(OpenSession{20 * kSecond, ""}))),
            client.session);
  EXPECT_EQ(machine.session_count(), 1u);
  Pass(4);
  EXPECT_EQ(machine.session_count(), 0u);
  EXPECT_NE(Session(Do(Client{0, client.key}.Plain(OpenSession{kSecond, ""}))), client.session);
}

TEST_F(SessionsTest, AnotherInstanceIsRefused) {
  Client client = Open();
  client.key.low ^= 1;
  EXPECT_EQ(Renew(client).code, ReplyCode::kWrongKey);
  EXPECT_EQ(Close(client).code, ReplyCode::kWrongKey);
  EXPECT_EQ(Acquire(client, "a").code, ReplyCode::kWrongKey);
  EXPECT_EQ(machine.session_count(), 1u);
  EXPECT_EQ(machine.lock_count(), 0u);
}

TEST_F(SessionsTest, T3_RenewalEchoesTheAttemptAndIsNeverDeduplicated) {
  const Client client = Open(10);
  for (int i = 0; i < 5; ++i) {
    now += 9 * kSecond;
    const Reply reply = Renew(client, 40);
    ASSERT_TRUE(Is<SessionRenewed>(reply));
    EXPECT_EQ(std::get<SessionRenewed>(reply.result).attempt, 40u);
    EXPECT_EQ(std::get<SessionRenewed>(reply.result).ttl_ns, 10 * kSecond);
  }
  EXPECT_EQ(machine.session_count(), 1u);
}

TEST_F(SessionsTest, T4_ARenewalThatIsAppliedTooLateIsRefusedByApply) {
  const Client client = Open(10);
  now += 10 * kSecond;
  EXPECT_EQ(Renew(client).code, ReplyCode::kSessionEnded);
  ASSERT_EQ(Told<SessionEndedEvent>(client).size(), 1u);
  EXPECT_EQ(Told<SessionEndedEvent>(client)[0].reason, SessionEnd::kExpired);
}

TEST_F(SessionsTest, L1_OnlyStampsOfTheLogExpireAndTheyAreNeverTakenBack) {
  const Client client = Open(10);
  now += 9 * kSecond;
  Renew(client);
  // A stamp from an old leader's clock, far behind: nothing moves.
  machine.Apply(kSecond, {});
  EXPECT_EQ(machine.now_ns(), 9 * kSecond);
  EXPECT_EQ(machine.session_count(), 1u);
  Pass(9.999);
  EXPECT_EQ(machine.session_count(), 1u);
  Pass(0.001);
  EXPECT_EQ(machine.session_count(), 0u);
}

TEST_F(SessionsTest, L2_NothingButARenewalRefillsALease) {
  // Leader changes reach the machine as no-ops. However many there are, the dead holder is found.
  Client holder = Open(10);
  Client next = Open(60);
  Token(Acquire(holder, "a"));
  ASSERT_TRUE(Is<LockQueued>(Acquire(next, "a", kWaitForever)));
  for (int i = 0; i < 99; ++i) {
    Pass(0.1);
    ASSERT_EQ(Granted(next), 0u);
    // Nor do the holder's other commands, say retries that are still under way.
    if (i == 50) {
      Acquire(holder, "b");
    }
  }
  Pass(0.1);
  EXPECT_NE(Granted(next), 0u);
}

TEST_F(SessionsTest, L3_NoOpsDropNothingThatIsStillHeld) {
  Client holder = Open(10);
  const Revision token = Token(Acquire(holder, "a", 0, "v"));
  for (int i = 0; i < 100; ++i) {
    Pass(5);
    ASSERT_TRUE(Is<SessionRenewed>(Renew(holder)));
  }
  EXPECT_EQ(Look("a").holder.token, token);
}

TEST_F(SessionsTest, SessionsThatAreDueEndByDueThenId) {
  const Client a = Open(12), b = Open(10), c = Open(10), d = Open(11);
  now += 2 * kSecond;
  Renew(b);  // b is now due at 12, as a is
  Pass(30);
  std::vector<SessionId> ended;
  for (const SessionEvent& event : last_events) ended.push_back(event.session);
  EXPECT_EQ(ended, (std::vector<SessionId>{c.session, d.session, a.session, b.session}));
  for (std::size_t i = 1; i < last_events.size(); ++i) {
    EXPECT_GT(last_events[i].revision, last_events[i - 1].revision);
  }
}

TEST_F(SessionsTest, CloseEndsAtOnceAndItsRetryIsAnsweredTheSame) {
  Client client = Open();
  EXPECT_TRUE(Is<SessionClosed>(Close(client)));
  ASSERT_EQ(Told<SessionEndedEvent>(client).size(), 1u);
  EXPECT_EQ(Told<SessionEndedEvent>(client)[0].reason, SessionEnd::kClosed);
  EXPECT_TRUE(Is<SessionClosed>(Close(client)));
  EXPECT_TRUE(last_events.empty());
  EXPECT_EQ(Renew(client).code, ReplyCode::kSessionEnded);
  EXPECT_EQ(Acquire(client, "a").code, ReplyCode::kSessionEnded);
  Pass(100);  // its timer must be gone
  EXPECT_TRUE(last_events.empty());
}

TEST_F(SessionsTest, L8_ARenewalAfterALostReplyFindsTheLeaseAlive) {
  const Client client = Open(10);
  now += 5 * kSecond;
  Renew(client, 1);  // applied; suppose that the reply is lost
  now += 8 * kSecond;
  EXPECT_TRUE(Is<SessionRenewed>(Renew(client, 2)));
}

TEST_F(SessionsTest, L12_ARetryIsAnsweredByTheKeptReplyAndChangesNothing) {
  Client client = Open();
  const Command acquire = client.Next(AcquireLock{"a", kWaitForever, ""});
  const Revision token = Token(Do(acquire));
  const Revision revision = machine.revision();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Token(Do(acquire)), token);
  EXPECT_EQ(machine.revision(), revision);
  EXPECT_EQ(Look("a").waiting, 0u);

  Client other = Open();
  const Command wait = other.Next(AcquireLock{"a", kWaitForever, ""});
  EXPECT_EQ(std::get<LockQueued>(Do(wait).result).ahead, 0u);
  EXPECT_EQ(std::get<LockQueued>(Do(wait).result).ahead, 0u);
  EXPECT_EQ(Look("a").waiting, 1u);
}

TEST_F(SessionsTest, L15_AReleaseWhoseReplyWasLostCanBeRetried) {
  Client client = Open();
  const Revision token = Token(Acquire(client, "a"));
  const Command release = client.Next(ReleaseLock{"a", token});
  EXPECT_TRUE(Is<LockReleased>(Do(release)));
  EXPECT_TRUE(Is<LockReleased>(Do(release)));
  EXPECT_NE(Token(Acquire(client, "a")), token);
}

TEST_F(SessionsTest, RefusalsAreKeptToo) {
  Client holder = Open(), client = Open();
  const Revision token = Token(Acquire(holder, "a"));
  const Command attempt = client.Next(AcquireLock{"a", 0, ""});
  EXPECT_TRUE(Is<LockHeld>(Do(attempt)));
  Release(holder, "a", token);
  EXPECT_TRUE(Is<LockHeld>(Do(attempt))) << "executed twice";
}

TEST_F(SessionsTest, WhatWasAcknowledgedIsNeverExecutedAgain) {
  Client client = Open();
  const Command first = client.Next(AcquireLock{"a", 0, ""});
  const Revision token = Token(Do(first));
  client.acknowledged_through = 1;
  Release(client, "a", token);
  EXPECT_EQ(Do(first).code, ReplyCode::kForgotten);
  EXPECT_EQ(machine.lock_count(), 0u);

  // Single ones above the floor, in any order; the floor follows when the gap closes.
  Command renew = client.Plain(RenewSession{1});
  renew.acknowledged = {5, 4};
  Do(renew);
  EXPECT_EQ(Do(client.Make(AcquireLock{"b", 0, ""}, 5)).code, ReplyCode::kForgotten);
  EXPECT_EQ(Do(client.Make(AcquireLock{"b", 0, ""}, 4)).code, ReplyCode::kForgotten);
  EXPECT_TRUE(Is<LockGranted>(Do(client.Make(AcquireLock{"b", 0, ""}, 3))));
  renew.acknowledged = {2, 3};
  Do(renew);
  for (Sequence s = 1; s <= 5; ++s) {
    EXPECT_EQ(Do(client.Make(AcquireLock{"c", 0, ""}, s)).code, ReplyCode::kForgotten);
  }
  EXPECT_TRUE(Is<LockGranted>(Do(client.Make(AcquireLock{"c", 0, ""}, 6))));
}

TEST_F(SessionsTest, X4_TheWindowIsBounded) {
  Genesis genesis;
  genesis.limits.window = 4;
  Start(genesis);
  Client client = Open();
  const auto attempt = [&](Sequence sequence) {
    return Do(client.Make(AcquireLock{"a" + std::to_string(sequence), 0, ""}, sequence));
  };
  EXPECT_TRUE(Is<LockGranted>(attempt(4)));
  EXPECT_EQ(attempt(5).code, ReplyCode::kLimit);
  EXPECT_NE(attempt(5).message, "");
  EXPECT_EQ(attempt(~Sequence{0}).code, ReplyCode::kLimit);
  client.acknowledged_through = 1;
  EXPECT_TRUE(Is<LockGranted>(attempt(5)));
  EXPECT_EQ(attempt(6).code, ReplyCode::kLimit);
  client.acknowledged_through = ~Sequence{0};
  EXPECT_EQ(attempt(6).code, ReplyCode::kForgotten);
}

TEST_F(SessionsTest, X4_TheTableOfSessionsIsBounded) {
  Genesis genesis;
  genesis.limits.sessions_max = 2;
  Start(genesis);
  const Client a = Open();
  Open();
  const Reply refused = Do(Client{0, {9, 9}}.Plain(OpenSession{kSecond, ""}));
  EXPECT_EQ(refused.code, ReplyCode::kLimit);
  EXPECT_NE(refused.message, "");
  Close(a);
  EXPECT_TRUE(Is<SessionOpened>(Do(Client{0, {9, 9}}.Plain(OpenSession{kSecond, ""}))));
}

TEST_F(SessionsTest, ARetryForAnEndedSessionIsAnsweredByItsKeptReply) {
  Client client = Open(10);
  const Command acquire = client.Next(AcquireLock{"a", 0, ""});
  const Revision token = Token(Do(acquire));
  Pass(10);
  EXPECT_EQ(machine.lock_count(), 0u);
  EXPECT_EQ(Token(Do(acquire)), token);
  EXPECT_EQ(machine.lock_count(), 0u) << "executed again";
  EXPECT_EQ(Acquire(client, "a").code, ReplyCode::kSessionEnded);
  // Only so many are kept.
  for (int i = 0; i < 2000; ++i) Close(Open());
  EXPECT_EQ(Do(acquire).code, ReplyCode::kSessionEnded);
}

TEST_F(SessionsTest, CommandsThatMakeNoSenseAreInvalid) {
  Client client = Open();
  EXPECT_EQ(Do(client.Plain(AcquireLock{"a", 0, ""})).code, ReplyCode::kInvalid);
  EXPECT_EQ(Do(client.Plain(ReleaseLock{"a", 1})).code, ReplyCode::kInvalid);
  EXPECT_EQ(Do(client.Plain(CancelWait{1})).code, ReplyCode::kInvalid);
  EXPECT_EQ(Do(client.Next(RenewSession{1})).code, ReplyCode::kInvalid);
  EXPECT_EQ(Do(client.Next(CloseSession{})).code, ReplyCode::kInvalid);
  EXPECT_EQ(Do(client.Plain(GetLock{"a"})).code, ReplyCode::kInvalid);
  Command command = client.Next(AcquireLock{"a", 0, ""});
  command.machine_version = kMachineVersion + 1;
  EXPECT_EQ(Do(command).code, ReplyCode::kVersion);
  command.machine_version = 0;
  EXPECT_EQ(Do(command).code, ReplyCode::kInvalid);
  EXPECT_EQ(machine.Query(GetStatus{}).code, ReplyCode::kInvalid);
  EXPECT_EQ(machine.Query(CloseSession{}).code, ReplyCode::kInvalid);
}

TEST_F(SessionsTest, EventsAreKeptUntilTheyAreAcknowledged) {
  Client holder = Open(), waiter = Open();
  std::vector<Revision> tokens;
  for (const char* name : {"a", "b", "c"}) {
    const Revision token = Token(Acquire(holder, name));
    Acquire(waiter, name, kWaitForever);
    Release(holder, name, token);
    tokens.push_back(Granted(waiter));
  }
  std::vector<SessionEvent> all = machine.EventsAfter(waiter.session, 0);
  ASSERT_EQ(all.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(all[i].revision, tokens[i]);
    EXPECT_EQ(std::get<LockGrantedEvent>(all[i].body).acquire, i + 1);
  }
  EXPECT_EQ(machine.EventsAfter(waiter.session, tokens[1]).size(), 1u);
  waiter.events_seen_through = tokens[0];
  Renew(waiter);
  EXPECT_EQ(machine.EventsAfter(waiter.session, 0).size(), 2u);
  Close(waiter);
  all = machine.EventsAfter(waiter.session, 5);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].revision, machine.revision());
  EXPECT_EQ(std::get<SessionEndedEvent>(all[0].body).reason, SessionEnd::kClosed);
  all = machine.EventsAfter(12345678, 99999999);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].revision, 100000000u);
  EXPECT_EQ(std::get<SessionEndedEvent>(all[0].body).reason, SessionEnd::kUnknown);
}

TEST_F(SessionsTest, ListsByIdInPages) {
  std::vector<Client> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(Open(10 + i, "host:" + std::to_string(i)));
  Acquire(clients[1], "a");
  Acquire(clients[1], "a", kWaitForever);
  Close(clients[2]);
  now += 3 * kSecond;
  Apply({});
  const auto page = [&](SessionId after, std::uint32_t limit) {
    return std::get<SessionList>(machine.Query(ListSessions{after, limit}).result);
  };
  const SessionList first = page(0, 2);
  ASSERT_EQ(first.sessions.size(), 2u);
  EXPECT_TRUE(first.more);
  EXPECT_EQ(first.sessions[0].session, clients[0].session);
  EXPECT_EQ(first.sessions[1].locks, 1u);
  EXPECT_EQ(first.sessions[1].waits, 1u);
  EXPECT_EQ(first.sessions[1].label, "host:1");
  EXPECT_EQ(first.sessions[1].expires_in_ns, 8 * kSecond);
  const SessionList second = page(first.sessions[1].session, 2);
  ASSERT_EQ(second.sessions.size(), 2u);
  EXPECT_FALSE(second.more);
  EXPECT_EQ(second.sessions[0].session, clients[3].session);
}

TEST_F(SessionsTest, L22_RevisionsBeginAboveTheFirst) {
  Genesis genesis;
  genesis.first_revision = Revision{200'000'000} << 22;
  Start(genesis);
  Client client = Open();
  EXPECT_GT(client.session, genesis.first_revision);
  EXPECT_GT(Token(Acquire(client, "a")), client.session);
}

TEST_F(SessionsTest, StartRefusesWhatItCannotBe) {
  const auto status = [](auto change) {
    Genesis genesis;
    change(genesis);
    return Machine().Start(genesis, 0).code();
  };
  EXPECT_EQ(status([](Genesis&) {}), absl::StatusCode::kOk);
  EXPECT_EQ(status([](Genesis& g) { g.machine_version = 0; }), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status([](Genesis& g) { g.first_revision = Revision{1} << 53; }),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status([](Genesis& g) { g.limits.ttl_min_ns = 0; }),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status([](Genesis& g) { g.limits.cleanup_per_entry = 0; }),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(machine.Start({}, 0).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(SessionsTest, HasDeadlineWhileASessionLives) {
  EXPECT_FALSE(machine.HasDeadline());
  const Client client = Open();
  EXPECT_TRUE(machine.HasDeadline());
  Close(client);
  EXPECT_FALSE(machine.HasDeadline());
}

}  // namespace
}  // namespace tenure::machine
