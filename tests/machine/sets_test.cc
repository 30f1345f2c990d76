// Several locks at once, all or none.
#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "fixture.h"
#include "machine/snapshot.h"

namespace tenure::machine {
namespace {

class SetsTest : public MachineTest {
 protected:
  static LockInSet Shared(std::string name) { return {std::move(name), LockMode::kShared}; }
  Reply All(Client& client, std::vector<LockInSet> locks, std::int64_t wait_ns = kWaitForever,
            const std::string& owner = "") {
    return Do(client.Next(AcquireAll{std::move(locks), wait_ns, "v", owner}));
  }
  Reply Share(Client& client, const std::string& name, std::int64_t wait_ns = kWaitForever) {
    AcquireLock acquire{name, wait_ns, ""};
    acquire.mode = LockMode::kShared;
    return Do(client.Next(acquire));
  }
  static LockGranted Got(const Reply& reply) {
    EXPECT_TRUE(Is<LockGranted>(reply)) << reply.message;
    return Is<LockGranted>(reply) ? std::get<LockGranted>(reply.result) : LockGranted{};
  }
  static LockQueued Queued(const Reply& reply) {
    EXPECT_TRUE(Is<LockQueued>(reply)) << reply.message;
    return Is<LockQueued>(reply) ? std::get<LockQueued>(reply.result) : LockQueued{};
  }
  // Goes on with what a snapshot makes of the machine.
  void Reload() {
    SnapshotWriter writer;
    const std::unique_ptr<SnapshotReader> reader = machine.Freeze();
    std::string chunk;
    while (reader->Next(100, &chunk)) ASSERT_TRUE(writer.Add(chunk).ok());
    absl::StatusOr<Machine> again = writer.Finish();
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->StateHash(), machine.StateHash());
    machine = *std::move(again);
  }
};

TEST_F(SetsTest, OneTokenForAllAndEachIsReleasedByItself) {
  Client a = Open(60), b = Open(60);
  const LockGranted all = Got(All(a, {{"x"}, {"y"}, Shared("z")}));
  EXPECT_EQ(all.fences, (std::vector<Revision>{0, 0, all.token}));
  for (const char* name : {"x", "y", "z"}) {
    EXPECT_EQ(Look(name).holder.token, all.token);
    EXPECT_EQ(Look(name).holder.value, "v");
  }
  EXPECT_TRUE(Is<LockHeld>(Acquire(b, "x")));
  EXPECT_TRUE(Is<LockReleased>(Release(a, "x", all.token)));
  EXPECT_TRUE(Is<LockGranted>(Acquire(b, "x")));
  EXPECT_TRUE(Is<LockHeld>(Acquire(b, "y")));
  EXPECT_TRUE(Is<LockHeld>(Acquire(b, "z")));
  EXPECT_TRUE(Is<LockGranted>(Share(b, "z")));
  EXPECT_EQ(Release(a, "x", all.token).code, ReplyCode::kNotHeld);
  EXPECT_TRUE(Is<LockReleased>(Release(a, "y", all.token)));
  EXPECT_TRUE(Is<LockReleased>(Release(a, "z", all.token)));
}

TEST_F(SetsTest, AllOrNoneAndTheOneThatKeepsItOutIsNamed) {
  Client a = Open(60), b = Open(60);
  const Revision token = Token(Acquire(a, "y"));
  const Reply tried = All(b, {{"x"}, {"y"}}, 0);
  ASSERT_TRUE(Is<LockHeld>(tried));
  EXPECT_EQ(std::get<LockHeld>(tried.result).name, "y");
  EXPECT_EQ(std::get<LockHeld>(tried.result).holder.session, a.session);
  EXPECT_EQ(machine.lock_count(), 1u) << "a try leaves nothing behind";
  EXPECT_EQ(Queued(All(b, {{"x"}, {"y"}})).name, "y");
  EXPECT_EQ(Look("x").holder.session, 0u);
  EXPECT_TRUE(Is<LockHeld>(Acquire(a, "x"))) << "nothing later passes it, not even on a free one";
  Release(a, "y", token);
  const auto told = Told<LockGrantedEvent>(b);
  ASSERT_EQ(told.size(), 1u) << "one grant, one event";
  EXPECT_EQ(told[0].name, "x");
  EXPECT_EQ(told[0].acquire, b.last);
  EXPECT_EQ(told[0].fences, (std::vector<Revision>{0, 0}));
  EXPECT_EQ(Look("x").holder.token, told[0].token);
  EXPECT_EQ(Look("y").holder.token, told[0].token);
}

TEST_F(SetsTest, MalformedOnesAreRefused) {
  Client a = Open(60);
  EXPECT_EQ(All(a, {}).code, ReplyCode::kInvalid);
  EXPECT_EQ(All(a, {{"x"}, {"y"}, {"x"}}).code, ReplyCode::kInvalid);
  EXPECT_EQ(All(a, {{"x"}, {""}}).code, ReplyCode::kInvalid);
  EXPECT_EQ(All(a, {{"x", LockMode::kPermits}}).code, ReplyCode::kInvalid);
  EXPECT_EQ(All(a, {{"x"}}, -1).code, ReplyCode::kInvalid);
  std::vector<LockInSet> many;
  for (std::uint64_t i = 0; i < machine.limits().locks_at_once_max; ++i) {
    many.push_back({std::to_string(i)});
  }
  EXPECT_TRUE(Is<LockGranted>(All(a, many, 0)));
  many.push_back({"one more"});
  EXPECT_EQ(All(a, many, 0).code, ReplyCode::kInvalid);
  AcquireLock permits{"s", 0, ""};
  permits.mode = LockMode::kPermits;
  permits.permits = permits.total = 1;
  Do(a.Next(permits));
  EXPECT_EQ(All(a, {{"free"}, {"s"}}).code, ReplyCode::kConflict);
  EXPECT_EQ(Look("free").waiting, 0u);
}

TEST_F(SetsTest, L19_SharingOneOfThemAlreadyIsRefusedNotHung) {
  Client a = Open(60);
  Share(a, "y");
  EXPECT_EQ(All(a, {{"x"}, {"y"}}).code, ReplyCode::kConflict);
  EXPECT_TRUE(Is<LockQueued>(All(a, {{"x"}, {"y"}}, kWaitForever, "other")));
}

TEST_F(SetsTest, OppositeOrdersNeverWaitForEachOther) {
  Client a = Open(60), b = Open(60), c = Open(60);
  const Revision x = Token(Acquire(c, "x")), y = Token(Acquire(c, "y"));
  All(a, {{"x"}, {"y"}});
  All(b, {{"y"}, {"x"}});
  Release(c, "y", y);
  EXPECT_TRUE(last_events.empty());
  Release(c, "x", x);
  const Revision first = Granted(a);
  ASSERT_NE(first, 0u);
  EXPECT_EQ(Granted(b), 0u);
  Release(a, "x", first);
  EXPECT_EQ(Granted(b), 0u);
  Release(a, "y", first);
  EXPECT_NE(Granted(b), 0u);
}

TEST_F(SetsTest, AGrantLetsInThoseWhoShareOnItsOtherLocks) {
  Client a = Open(60), b = Open(60), r = Open(60);
  const Revision token = Token(Acquire(a, "y"));
  All(b, {Shared("x"), {"y"}});
  Share(r, "x");
  EXPECT_EQ(Granted(r), 0u) << "it came later";
  Release(a, "y", token);
  EXPECT_NE(Granted(b), 0u);
  EXPECT_NE(Granted(r), 0u);
  EXPECT_EQ(Look("x").shares, 2u);
}

TEST_F(SetsTest, L14_AWaitThatEndsLeavesAllQueuesAtOnce) {
  Client a = Open(60), b = Open(60), c = Open(60), d = Open(60);
  const Revision token = Token(Acquire(a, "y"));
  All(b, {{"x"}, {"y"}}, 2 * kSecond);
  All(c, {{"x"}, {"z"}});
  Pass(2);
  EXPECT_EQ(Told<WaitEndedEvent>(b).size(), 1u);
  EXPECT_NE(Granted(c), 0u) << "nobody is before it on x any more";
  All(b, {{"y"}, {"w"}});
  Acquire(d, "w", kWaitForever);
  EXPECT_EQ(Granted(d), 0u);
  EXPECT_TRUE(Is<WaitCancelled>(Cancel(b, b.last)));
  EXPECT_NE(Granted(d), 0u);
  Release(a, "y", token);
  EXPECT_EQ(Look("y").holder.session, 0u) << "a ghost";
}

TEST_F(SetsTest, T14_ACancelMeetsTheGrantOrTheAcquire) {
  Client a = Open(60), b = Open(60);
  const Revision token = Token(Acquire(a, "y"));
  All(b, {Shared("x"), {"y"}});
  const Sequence wait = b.last;
  Release(a, "y", token);
  const LockGranted met = Got(Cancel(b, wait));
  EXPECT_EQ(met.token, Look("y").holder.token);
  EXPECT_EQ(met.fences, (std::vector<Revision>{met.token, 0}));
  EXPECT_TRUE(Is<WaitCancelled>(Cancel(a, a.last + 2)));
  EXPECT_TRUE(Is<WaitCancelled>(All(a, {{"p"}, {"q"}})));
  EXPECT_EQ(Look("p").holder.session, 0u);
}

TEST_F(SetsTest, L11_ADeadWaiterIsGrantedNothingAndKeepsNobodyOut) {
  Client a = Open(60), dead = Open(5), c = Open(60);
  const Revision token = Token(Acquire(a, "y"));
  All(dead, {{"x"}, {"y"}});
  Acquire(c, "x", kWaitForever);
  Pass(5);
  EXPECT_NE(Granted(c), 0u);
  Release(a, "y", token);
  EXPECT_EQ(Look("y").holder.session, 0u);
  EXPECT_TRUE(Told<LockGrantedEvent>(dead).empty());
}

TEST_F(SetsTest, TheSessionsEndAndABreakFreeWhatWasTakenTogether) {
  Client a = Open(5), b = Open(60), c = Open(60), admin = Open(60);
  const Revision token = Got(All(a, {{"x"}, {"y"}, Shared("z")})).token;
  Acquire(b, "x", kWaitForever);
  EXPECT_TRUE(Is<LockBroken>(Do(admin.Next(BreakLock{ObjectKind::kLock, "", "x", token, "why"}))));
  EXPECT_EQ(Told<LockLostEvent>(a).at(0).name, "x");
  EXPECT_NE(Granted(b), 0u);
  All(c, {{"z"}, {"y"}});
  EXPECT_EQ(Look("y").holder.token, token) << "the others are kept";
  Pass(5);
  EXPECT_NE(Granted(c), 0u);
}

TEST_F(SetsTest, WhoBrokeALockIsToldAfterASnapshotToo) {
  Client a = Open(60), admin = Open(60);
  const Revision token = Got(All(a, {{"x"}, {"y"}})).token;
  Do(admin.Next(BreakLock{ObjectKind::kLock, "", "x", token, "why"}));
  Reload();
  const std::vector<SessionEvent> again = machine.EventsAfter(a.session, 0);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(std::get<LockLostEvent>(again[0].body).by, Look("x").broken.by);
  EXPECT_NE(Look("x").broken.by, "");
}

// ---- Delays

TEST_F(SetsTest, EachThatIsHeldAloneAndLostHasTheDelay) {
  Client a = Open(5), c = Open(60);
  AcquireAll all{{{"x"}, {"y"}, Shared("z")}, kWaitForever, "v"};
  all.delay_ns = 10 * kSecond;
  Got(Do(a.Next(all)));
  Pass(5);
  EXPECT_EQ(Queued(Acquire(c, "x", kWaitForever)).held_back_ns, 10 * kSecond);
  EXPECT_EQ(Queued(Acquire(c, "y", kWaitForever)).held_back_ns, 10 * kSecond);
  EXPECT_TRUE(Is<LockGranted>(Acquire(c, "z")));
  Pass(9.9);
  EXPECT_TRUE(Told<LockGrantedEvent>(c).empty());
  Pass(0.1);
  EXPECT_EQ(Told<LockGrantedEvent>(c).size(), 2u);
}

TEST_F(SetsTest, ADelayIsCarriedByAWaitAndASnapshot) {
  Client a = Open(60), b = Open(60), c = Open(60), admin = Open(60);
  const Revision token = Token(Acquire(a, "y"));
  AcquireAll all{{{"x"}, {"y"}}, kWaitForever, "v"};
  all.delay_ns = 10 * kSecond;
  Queued(Do(b.Next(all)));
  Reload();
  Release(a, "y", token);
  const Revision granted = Granted(b);
  ASSERT_NE(granted, 0u);
  Reload();
  Do(admin.Next(BreakLock{ObjectKind::kLock, "", "x", granted, "why"}));
  Release(b, "y", granted);
  EXPECT_TRUE(Is<LockGranted>(Acquire(c, "y"))) << "it was given back";
  EXPECT_EQ(Queued(All(c, {{"z"}, {"x"}})).held_back_ns, 10 * kSecond);
  Pass(10);
  EXPECT_NE(Granted(c), 0u);
}

// One lock is held, another is delayed: what is said of a name is true of it.
TEST_F(SetsTest, WhatIsSaidOfADelayIsSaidOfTheLockThatHasIt) {
  Client a = Open(60), b = Open(60), admin = Open(60);
  const Revision token = Token(Acquire(a, "x"));
  AcquireAll all{{{"y"}}, 0, "v"};
  all.delay_ns = 10 * kSecond;
  const Reply granted = Do(b.Next(all));
  ASSERT_TRUE(Is<LockGranted>(granted));
  const Revision lost = std::get<LockGranted>(granted.result).token;
  Do(admin.Next(BreakLock{ObjectKind::kLock, "", "y", lost, "why"}));
  const Reply tried = All(b, {{"x"}, {"y"}}, 0);
  ASSERT_TRUE(Is<LockHeld>(tried));
  EXPECT_EQ(std::get<LockHeld>(tried.result).name, "x");
  EXPECT_EQ(std::get<LockHeld>(tried.result).held_back_ns, 0);
  Release(a, "x", token);
  const Reply delayed = All(b, {{"x"}, {"y"}}, 0);
  ASSERT_TRUE(Is<LockHeld>(delayed));
  EXPECT_EQ(std::get<LockHeld>(delayed.result).name, "y");
  EXPECT_EQ(std::get<LockHeld>(delayed.result).held_back_ns, 10 * kSecond);
}

TEST_F(SetsTest, ADelayIsOfLocksThatAreHeldAlone) {
  Client a = Open(60);
  AcquireAll all{{Shared("x"), Shared("y")}, 0, "v"};
  all.delay_ns = 1;
  EXPECT_EQ(Do(a.Next(all)).code, ReplyCode::kInvalid);
  all.locks.push_back({"z"});
  EXPECT_TRUE(Is<LockGranted>(Do(a.Next(all))));
  for (const std::int64_t delay_ns : {std::int64_t{-1}, 3600 * kSecond + 1}) {
    AcquireAll bad{{{"b"}}, 0, "v"};
    bad.delay_ns = delay_ns;
    EXPECT_EQ(Do(a.Next(bad)).code, ReplyCode::kInvalid) << delay_ns;
  }
}

TEST_F(SetsTest, T15_OnATightBudgetTheDeadAreClearedAwayInTurn) {
  Genesis genesis;
  genesis.limits.cleanup_per_entry = 1;
  Start(genesis);
  Client a = Open(60), dead = Open(5), c = Open(60);
  const Revision token = Token(Acquire(a, "l9"));
  std::vector<LockInSet> many;
  for (int i = 0; i < 10; ++i) many.push_back({"l" + std::to_string(i)});
  All(dead, many);
  std::reverse(many.begin(), many.end());
  All(c, many);
  Pass(5);
  EXPECT_TRUE(machine.HasBacklog());
  Reload();
  Release(a, "l9", token);
  for (int i = 0; i < 100 && machine.HasBacklog(); ++i) Pass(0);
  EXPECT_FALSE(machine.HasBacklog());
  for (const LockInSet& lock : many) EXPECT_EQ(Look(lock.name).holder.session, c.session);
}

TEST_F(SetsTest, L10_ARetryTakesNothingTwice) {
  Client a = Open(60);
  const AcquireAll all{{{"x"}, {"y"}}, 0, "", ""};
  const LockGranted once = Got(Do(a.Next(all)));
  const LockGranted again = Got(Do(a.Make(all, a.last)));
  EXPECT_EQ(again.token, once.token);
  EXPECT_EQ(again.fences, once.fences);
}

TEST_F(SetsTest, ANewClusterHoldsThemBack) {
  Genesis genesis;
  genesis.grants_from_ns = 5 * kSecond;
  Start(genesis);
  Client a = Open(60), b = Open(60);
  EXPECT_EQ(Queued(All(a, {{"x"}, {"y"}})).held_back_ns, 5 * kSecond);
  All(b, {{"y"}, {"x"}});
  Reload();
  Pass(5);
  const Revision token = Granted(a);
  ASSERT_NE(token, 0u);
  Reload();
  Release(a, "x", token);
  Release(a, "y", token);
  EXPECT_NE(Granted(b), 0u);
}

// Whatever is asked for, and however it ends: nothing is held by two, each wait is granted once at
// most and all of it at once, in no other order than that of the requests that have a lock in
// common; and a machine that was put together from a snapshot goes on alike.
TEST_F(SetsTest, ALongRandomWorkloadKeepsOrderAndAtomicity) {
  std::mt19937 random(7);
  const auto below = [&random](std::uint64_t n) { return random() % n; };
  struct Asked {
    std::size_t client;
    Sequence sequence;
    std::vector<LockInSet> locks;
    Revision token = 0;
    bool over = false;
  };
  std::vector<Client> clients;
  clients.reserve(6);
  for (int i = 0; i < 6; ++i) clients.push_back(Open(1e6));
  std::vector<Asked> asked;
  const auto in_the_way = [](const Asked& a, const Asked& b) {
    return std::any_of(a.locks.begin(), a.locks.end(), [&b](const LockInSet& one) {
      return std::any_of(b.locks.begin(), b.locks.end(), [&one](const LockInSet& other) {
        return one.name == other.name && (one.mode != LockMode::kShared || other.mode != one.mode);
      });
    });
  };
  const auto meet = [](const Asked& a, const Asked& b) {
    return std::any_of(a.locks.begin(), a.locks.end(), [&b](const LockInSet& one) {
      return std::any_of(b.locks.begin(), b.locks.end(),
                         [&one](const LockInSet& other) { return one.name == other.name; });
    });
  };
  std::uint64_t grants = 0, events_seen = 0;
  const auto granted = [&](std::size_t client, Sequence sequence, Revision token) {
    const auto it = std::find_if(asked.begin(), asked.end(), [&](const Asked& one) {
      return one.client == client && one.sequence == sequence;
    });
    ASSERT_NE(it, asked.end());
    ASSERT_EQ(it->token, 0u) << "granted twice";
    ASSERT_FALSE(it->over) << "a ghost";
    for (auto before = asked.begin(); before != it; ++before) {
      if (before->over) continue;
      ASSERT_FALSE(before->token != 0 && in_the_way(*before, *it)) << "held by two";
      ASSERT_FALSE(before->token == 0 && meet(*before, *it)) << "it was passed";
    }
    for (auto after = it + 1; after != asked.end(); ++after) {
      ASSERT_FALSE(after->token != 0 && in_the_way(*after, *it)) << "held by two";
    }
    it->token = token;
    ++grants;
  };
  for (int step = 0; step < 5000; ++step) {
    const std::size_t who = below(clients.size());
    Client& client = clients[who];
    client.acknowledged_through = client.last;
    client.events_seen_through = machine.revision();
    const std::uint64_t what = below(10);
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < asked.size(); ++i) {
      if (!asked[i].over) open.push_back(i);
    }
    if (what < 4 && open.size() < 12) {
      std::vector<LockInSet> locks;
      for (std::uint64_t i = 0; i < 5; ++i) {
        if (below(2) == 0)
          locks.push_back({"l" + std::to_string(i), static_cast<LockMode>(below(2))});
      }
      if (locks.empty()) continue;
      std::shuffle(locks.begin(), locks.end(), random);
      const std::string owner = std::to_string(step);
      asked.push_back({who, client.last + 1, locks});
      const Reply reply = All(client, locks, kWaitForever, owner);
      if (Is<LockGranted>(reply)) granted(who, client.last, Got(reply).token);
    } else if (!open.empty()) {
      Asked& one = asked[open[below(open.size())]];
      Client& owner = clients[one.client];
      one.over = true;
      if (one.token == 0) {
        ASSERT_TRUE(Is<WaitCancelled>(Cancel(owner, one.sequence)));
      } else {
        std::vector<Command> releases;
        for (const LockInSet& lock : one.locks) {
          releases.push_back(owner.Next(ReleaseLock{lock.name, one.token}));
        }
        for (const Reply& reply : Apply(releases)) ASSERT_TRUE(Is<LockReleased>(reply));
      }
    }
    for (const SessionEvent& event : last_events) {
      const auto* grant = std::get_if<LockGrantedEvent>(&event.body);
      if (grant == nullptr) continue;
      ++events_seen;
      const auto at = std::find_if(clients.begin(), clients.end(), [&event](const Client& one) {
        return one.session == event.session;
      });
      granted(static_cast<std::size_t>(at - clients.begin()), grant->acquire, grant->token);
    }
    if (HasFatalFailure()) FAIL() << "step " << step;
    last_events.clear();
    std::erase_if(asked, [](const Asked& one) { return one.over; });
    if (below(20) == 0) Reload();
    for (std::size_t i = 0; i < asked.size(); ++i) {
      const bool kept_out = std::any_of(asked.begin(), asked.end(), [&](const Asked& one) {
        if (&one == &asked[i]) return false;
        if (one.token != 0) return in_the_way(one, asked[i]);
        return &one < &asked[i] && meet(one, asked[i]);
      });
      ASSERT_TRUE(kept_out || asked[i].token != 0) << "it waits for nobody; step " << step;
    }
  }
  EXPECT_GT(grants, 500u);
  EXPECT_GT(events_seen, 200u);
}

}  // namespace
}  // namespace tenure::machine
