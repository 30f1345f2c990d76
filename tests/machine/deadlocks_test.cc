// Cycles of owners that wait for each other: which waits are refused, and that no others are.
#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fixture.h"
#include "machine/snapshot.h"
#include "tests/testing/sanitized.h"

namespace tenure::machine {
namespace {

class DeadlocksTest : public MachineTest {
 protected:
  static AcquireLock Wanted(const std::string& name, const std::string& owner,
                            LockMode mode = LockMode::kExclusive) {
    AcquireLock acquire{name, kWaitForever, ""};
    acquire.mode = mode;
    acquire.owner = owner;
    acquire.detect_deadlock = !owner.empty();
    return acquire;
  }
  Reply Lock(Client& client, const std::string& owner, const std::string& name,
             LockMode mode = LockMode::kExclusive) {
    return Do(client.Next(Wanted(name, owner, mode)));
  }
  Reply Take(Client& client, const std::string& owner, std::uint64_t permits, std::uint64_t total) {
    AcquireLock acquire = Wanted("s", owner, LockMode::kPermits);
    acquire.permits = permits;
    acquire.total = total;
    return Do(client.Next(acquire));
  }
  Reply All(Client& client, const std::string& owner, std::vector<LockInSet> locks) {
    return Do(client.Next(AcquireAll{std::move(locks), kWaitForever, "", owner, !owner.empty()}));
  }
  static std::vector<WaitingOwner> Cycle(const Reply& reply) {
    EXPECT_EQ(reply.code, ReplyCode::kDeadlock) << reply.result.index();
    const auto* deadlock = std::get_if<Deadlock>(&reply.result);
    return deadlock == nullptr ? std::vector<WaitingOwner>() : deadlock->cycle;
  }
  static std::string Shown(const Reply& reply) {
    std::string shown;
    for (const WaitingOwner& waiting : Cycle(reply)) {
      absl::StrAppend(&shown, waiting.owner, ":", waiting.lock, " ");
    }
    return shown;
  }
};

TEST_F(DeadlocksTest, TwoThatTakeTheSameLocksInAnotherOrder) {
  Client a = Open(60), b = Open(60);
  Token(Lock(a, "a", "x"));
  Token(Lock(b, "b", "y"));
  EXPECT_TRUE(Is<LockQueued>(Lock(a, "a", "y")));
  const Reply refused = Lock(b, "b", "x");
  EXPECT_EQ(Cycle(refused),
            (std::vector<WaitingOwner>{{b.session, "b", "x"}, {a.session, "a", "y"}}));
  EXPECT_NE(refused.message.find("'b' of session"), std::string::npos) << refused.message;
  EXPECT_EQ(Look("x").waiting, 0u) << "it left nothing behind";
  EXPECT_EQ(Cycle(Do(b.Make(Wanted("x", "b"), b.last))), Cycle(refused)) << "a retry";
  // Giving way is the way out.
  Release(b, "y", Look("y").holder.token);
  EXPECT_NE(Granted(a), 0u);
}

TEST_F(DeadlocksTest, OneThatWaitsForItself) {
  Client a = Open(60);
  Token(Lock(a, "a", "x"));
  EXPECT_EQ(Shown(Lock(a, "a", "x")), "a:x ");
  EXPECT_TRUE(Is<LockQueued>(Lock(a, "another", "x")));
  AcquireLock again = Wanted("x", "a");
  again.reentrant = true;
  EXPECT_TRUE(Is<LockGranted>(Do(a.Next(again))));
}

TEST_F(DeadlocksTest, OnlyWhoAsksIsRefusedAndOnlyWhoIsInTheCycle) {
  Client a = Open(60), b = Open(60), c = Open(60), d = Open(60);
  Token(Lock(a, "a", "x"));
  Token(Lock(b, "b", "y"));
  Token(Lock(c, "c", "z"));
  EXPECT_TRUE(Is<LockQueued>(Lock(a, "a", "y")));
  AcquireLock blind = Wanted("x", "b");
  blind.detect_deadlock = false;
  EXPECT_TRUE(Is<LockQueued>(Do(b.Next(blind))));
  EXPECT_TRUE(Is<LockQueued>(Lock(c, "c", "x"))) << "it waits for a cycle, and is none of it";
  EXPECT_TRUE(Is<LockQueued>(Lock(d, "d", "z")));
  EXPECT_EQ(Lock(a, "", "y").code, ReplyCode::kOk) << "without a name there are no cycles";
  AcquireLock nameless = Wanted("y", "");
  nameless.detect_deadlock = true;
  EXPECT_EQ(Do(a.Next(nameless)).code, ReplyCode::kInvalid);
  EXPECT_EQ(Do(a.Next(AcquireAll{{{"y"}}, kWaitForever, "", "", true})).code, ReplyCode::kInvalid);
  AcquireLock tried = Wanted("x", "b");
  tried.wait_ns = 0;
  EXPECT_TRUE(Is<LockHeld>(Do(b.Next(tried)))) << "a try does not wait";
}

TEST_F(DeadlocksTest, SameNamesInOtherSessionsAreOthers) {
  Client a = Open(60), b = Open(60);
  Token(Lock(a, "me", "x"));
  Token(Lock(b, "me", "y"));
  EXPECT_TRUE(Is<LockQueued>(Lock(a, "me", "y")));
  EXPECT_EQ(Cycle(Lock(b, "me", "x")).size(), 2u);
  EXPECT_TRUE(Is<LockQueued>(Lock(b, "other", "x")));
}

TEST_F(DeadlocksTest, WhoStandsBeforeIsInTheWay) {
  Client a = Open(60), b = Open(60), c = Open(60), nobody = Open(60);
  Token(Lock(c, "c", "x"));
  Token(Lock(b, "b", "y"));
  EXPECT_TRUE(Is<LockQueued>(Lock(a, "a", "x")));
  EXPECT_TRUE(Is<LockQueued>(Lock(b, "b", "x")));
  // b gets x only after a, who would not give it back before b gives y back.
  EXPECT_EQ(Shown(Lock(a, "a", "y")), "a:y b:x ");
  // Also through somebody without a name: who shares, behind who does not.
  Start();
  a = Open(60), b = Open(60), nobody = Open(60);
  Token(Lock(a, "a", "x", LockMode::kShared));
  Token(Lock(b, "b", "y"));
  EXPECT_TRUE(Is<LockQueued>(Lock(nobody, "", "x")));
  EXPECT_TRUE(Is<LockQueued>(Lock(b, "b", "x", LockMode::kShared)));
  EXPECT_EQ(Shown(Lock(a, "a", "y")), "a:y b:x ");
}

TEST_F(DeadlocksTest, WhoSharesIsInNobodysWayWhoSharesToo) {
  Client a = Open(60), b = Open(60), c = Open(60);
  Token(Lock(a, "a", "x", LockMode::kShared));
  Token(Lock(b, "b", "y"));
  EXPECT_TRUE(Is<LockGranted>(Lock(b, "b", "x", LockMode::kShared)));
  EXPECT_TRUE(Is<LockQueued>(Lock(a, "a", "y")));
  EXPECT_TRUE(Is<LockQueued>(Lock(b, "another", "x"))) << "who holds nothing closes no cycle";
  EXPECT_EQ(Lock(b, "b", "x").code, ReplyCode::kConflict) << "an upgrade, refused as ever";
  // Two who share z behind one that has it: neither is in the other's way.
  Token(Lock(c, "c", "z"));
  EXPECT_TRUE(Is<LockQueued>(Lock(a, "a2", "z", LockMode::kShared)));
  Token(Lock(b, "b2", "w"));
  EXPECT_TRUE(Is<LockQueued>(Lock(b, "b2", "z", LockMode::kShared)));
  EXPECT_TRUE(Is<LockQueued>(Lock(a, "a2", "w")));
}

TEST_F(DeadlocksTest, SharedHoldersAreInAWritersWay) {
  Client a = Open(60), b = Open(60), c = Open(60);
  Token(Lock(a, "a", "x", LockMode::kShared));
  Token(Lock(c, "", "x", LockMode::kShared));
  Token(Lock(b, "b", "y"));
  EXPECT_TRUE(Is<LockQueued>(Lock(a, "a", "y")));
  EXPECT_EQ(Shown(Lock(b, "b", "x")), "b:x a:y ");
}

TEST_F(DeadlocksTest, ASemaphoreClosesACycleOnlyIfTheRestDoesNotDo) {
  for (const bool enough : {true, false}) {
    Start();
    Client a = Open(60), b = Open(60), outside = Open(60);
    Token(Take(a, "a", 1, 3));
    Token(Take(outside, enough ? "" : "a2", 1, 3));
    Token(Lock(b, "b", "y"));
    EXPECT_TRUE(Is<LockQueued>(Lock(a, "a", "y")));
    if (!enough) {
      // a2 holds one, and waits for b as well.
      EXPECT_TRUE(Is<LockQueued>(Lock(outside, "a2", "y")));
    }
    EXPECT_EQ(Cycle(Take(b, "b", 3, 3)).size(), 2u) << "it needs what a has";
    const Reply two = Take(b, "b", 2, 3);
    if (enough) {
      EXPECT_TRUE(Is<LockQueued>(two)) << "who has no name may give its own back";
    } else {
      EXPECT_EQ(Shown(two).substr(0, 4), "b:s ");
    }
  }
}

TEST_F(DeadlocksTest, SeveralAtOnceStandInAllQueues) {
  Client a = Open(60), b = Open(60), c = Open(60);
  Token(Lock(a, "a", "x"));
  EXPECT_TRUE(Is<LockQueued>(All(b, "b", {{"x"}, {"y"}})));
  // y is free, but nobody passes b on it.
  EXPECT_EQ(Shown(Lock(a, "a", "y")), "a:y b:x ");
  EXPECT_EQ(Shown(All(a, "a", {{"z"}, {"y"}})), "a:y b:x ");
  EXPECT_TRUE(Is<LockGranted>(Lock(a, "a", "z")));
  // Nor does one that shares pass it where it wants to share.
  EXPECT_TRUE(Is<LockQueued>(All(c, "c", {{"z"}, {"w", LockMode::kShared}})));
  EXPECT_EQ(Shown(Lock(a, "a", "w", LockMode::kShared)), "a:w c:z ");
}

TEST_F(DeadlocksTest, TheDeadAreInNobodysWay) {
  Client a = Open(60), b = Open(5), c = Open(60);
  Token(Lock(a, "a", "x"));
  Token(Lock(b, "b", "y"));
  Token(Lock(c, "c", "z"));
  EXPECT_TRUE(Is<LockQueued>(Lock(b, "b", "x")));
  Close(b);
  EXPECT_TRUE(Is<LockGranted>(Lock(a, "a", "y")));
  // The end of a wait takes it out of cycles.
  EXPECT_TRUE(Is<LockQueued>(Lock(c, "c", "x")));
  Cancel(c, c.last);
  EXPECT_TRUE(Is<LockQueued>(Lock(a, "a", "z")));
}

TEST_F(DeadlocksTest, LongCyclesAreFoundUpToABound) {
  for (const std::size_t owners : {kCycleMax, kCycleMax + 1}) {
    Start();
    std::vector<Client> clients;
    for (std::size_t i = 0; i < owners; ++i) {
      clients.push_back(Open(60));
      Token(Lock(clients[i], absl::StrCat("o", i), absl::StrCat("l", i)));
    }
    for (std::size_t i = 0; i + 1 < owners; ++i) {
      EXPECT_TRUE(Is<LockQueued>(Lock(clients[i], absl::StrCat("o", i), absl::StrCat("l", i + 1))));
    }
    const Reply last = Lock(clients[owners - 1], absl::StrCat("o", owners - 1), "l0");
    if (owners == kCycleMax) {
      EXPECT_EQ(Cycle(last).size(), kCycleMax);
    } else {
      EXPECT_TRUE(Is<LockQueued>(last)) << "too long to look for";
    }
  }
}

// Ten thousand wait for x, each with a lock of its own: who comes last looks at as many as it may.
TEST_F(DeadlocksTest, TheSearchIsBounded) {
  Client holder = Open(60);
  Token(Lock(holder, "h", "x"));
  std::vector<Client> crowd;
  for (int i = 0; i < 100; ++i) crowd.push_back(Open(60));
  AcquireLock shared = Wanted("x", "", LockMode::kShared);
  for (int i = 0; i < 10'000; ++i) {
    shared.owner = absl::StrCat("o", i);
    EXPECT_TRUE(Is<LockQueued>(Do(crowd[i % 100].Next(shared))));
  }
  Client last = Open(60);
  EXPECT_TRUE(Is<LockQueued>(Lock(last, "l", "x")));
  Token(Lock(last, "l", "y"));
  EXPECT_EQ(Shown(Lock(holder, "h", "y")), "h:y l:x ") << "the holder is looked at first";
}

TEST_F(DeadlocksTest, ASnapshotHasAllThatIsLookedAt) {
  Client a = Open(60), b = Open(60);
  Token(Lock(a, "a", "x"));
  EXPECT_TRUE(Is<LockQueued>(All(b, "b", {{"x"}, {"y"}})));
  std::string bytes, chunk;
  {
    const std::unique_ptr<SnapshotReader> reader = machine.Freeze();
    while (reader->Next(1'000, &chunk)) bytes += chunk;
  }
  SnapshotWriter writer;
  ASSERT_TRUE(writer.Add(bytes).ok());
  absl::StatusOr<Machine> restored = writer.Finish();
  ASSERT_TRUE(restored.ok()) << restored.status();
  machine = *std::move(restored);
  EXPECT_EQ(Shown(Lock(a, "a", "y")), "a:y b:x ");
}

// ---- Against the plain truth: what never ends when everybody gives back what they can.

// Random owners do random things, and each wait is judged twice: by the machine when it begins, and
// by playing on, in a copy, until nobody can go on. A wait is in a cycle if it is left over then,
// since nobody else's was before it began.
class Game {
 public:
  struct Step {
    std::size_t client;
    Operation operation;
  };

  explicit Game(std::size_t clients) {
    EXPECT_TRUE(machine_.Start(Genesis{}, 0).ok());
    for (std::size_t i = 0; i < clients; ++i) {
      Client client;
      client.key = {7, i + 1};
      const Reply opened = Do(client.Plain(OpenSession{3'600 * kSecond, ""}));
      client.session = std::get<SessionOpened>(opened.result).session;
      clients_.push_back(client);
    }
  }

  // Who holds what under its own name, and waits for what.
  struct Owner {
    std::set<std::pair<std::string, Revision>> holds;
    std::set<Sequence> waits;
  };
  using OwnerKey = std::pair<std::size_t, std::string>;

  Reply Ask(std::size_t client, const Operation& operation) {
    Reply reply = Do(clients_[client].Next(operation));
    if (std::holds_alternative<LockQueued>(reply.result)) {
      const Sequence sequence = clients_[client].last;
      asked_[{client, sequence}] = operation;
      owners_[{client, OwnerOf(operation)}].waits.insert(sequence);
    }
    if (const auto* granted = std::get_if<LockGranted>(&reply.result)) {
      Hold(client, operation, granted->token);
    }
    return reply;
  }
  void Release(std::size_t client, const std::string& owner, const std::string& name,
               Revision token) {
    owners_[{client, owner}].holds.erase({name, token});
    EXPECT_EQ(Do(clients_[client].Next(ReleaseLock{name, token})).code, ReplyCode::kOk);
  }
  // True if all waits end when those who do not wait, or have no name, give back what they have.
  bool EndsWell() {
    for (bool more = true; more;) {
      more = false;
      for (const auto& [key, owner] : std::map<OwnerKey, Owner>(owners_)) {
        if (!key.second.empty() && !owners_[key].waits.empty()) continue;
        for (const auto& [name, token] : std::set(owners_[key].holds)) {
          Release(key.first, key.second, name, token);
          more = true;
        }
      }
    }
    return std::all_of(owners_.begin(), owners_.end(),
                       [](const auto& owner) { return owner.second.waits.empty(); });
  }
  const std::map<OwnerKey, Owner>& owners() const { return owners_; }

 private:
  static std::string OwnerOf(const Operation& operation) {
    if (const auto* all = std::get_if<AcquireAll>(&operation)) return all->owner;
    return std::get<AcquireLock>(operation).owner;
  }
  void Hold(std::size_t client, const Operation& operation, Revision token) {
    auto& holds = owners_[{client, OwnerOf(operation)}].holds;
    if (const auto* all = std::get_if<AcquireAll>(&operation)) {
      for (const LockInSet& lock : all->locks) holds.insert({lock.name, token});
    } else {
      holds.insert({std::get<AcquireLock>(operation).name, token});
    }
  }
  Reply Do(const Command& command) {
    const Applied applied = machine_.Apply(0, {command});
    for (const SessionEvent& event : applied.events) {
      const auto* granted = std::get_if<LockGrantedEvent>(&event.body);
      if (granted == nullptr) continue;
      for (std::size_t i = 0; i < clients_.size(); ++i) {
        if (clients_[i].session != event.session) continue;
        const auto asked = asked_.find({i, granted->acquire});
        owners_[{i, OwnerOf(asked->second)}].waits.erase(granted->acquire);
        Hold(i, asked->second, granted->token);
      }
    }
    return applied.replies[0];
  }

  Machine machine_;
  std::vector<Client> clients_;
  std::map<OwnerKey, Owner> owners_;
  std::map<std::pair<std::size_t, Sequence>, Operation> asked_;
};

void SetDetection(Operation& operation, bool on) {
  if (auto* all = std::get_if<AcquireAll>(&operation)) {
    all->detect_deadlock = on && !all->owner.empty();
  } else {
    auto& acquire = std::get<AcquireLock>(operation);
    acquire.detect_deadlock = on && !acquire.owner.empty();
  }
}

TEST(DeadlockGame, WhatIsRefusedWouldNeverEndAndWhatIsNotDoes) {
  constexpr std::size_t kClients = 4;
  std::uint64_t refused = 0, queued = 0, by_permits = 0, by_sets = 0;
  constexpr std::uint32_t kGames = testing::kSanitized ? 40 : 400;
  for (std::uint32_t seed = 1; seed <= kGames; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](std::uint32_t n) { return random() % n; };
    Game game(kClients);
    // What was asked for and stood, without detection: how a copy gets where the game is.
    std::vector<std::tuple<std::size_t, Operation>> steps;
    using Given = std::tuple<std::size_t, std::string, std::string, Revision>;
    std::vector<std::pair<std::size_t, Given>> given;  // before which step
    const auto replay = [&](Game& copy) {
      std::size_t next = 0;
      for (std::size_t i = 0; i <= steps.size(); ++i) {
        for (; next < given.size() && given[next].first == i; ++next) {
          const auto& [client, owner, name, token] = given[next].second;
          copy.Release(client, owner, name, token);
        }
        if (i == steps.size()) return;
        Operation operation = std::get<1>(steps[i]);
        copy.Ask(std::get<0>(steps[i]), operation);
      }
    };
    for (int turn = 0; turn < 30; ++turn) {
      const std::size_t client = below(kClients);
      const std::string owner = below(8) == 0 ? "" : absl::StrCat("o", below(2));
      const auto known = game.owners().find({client, owner});
      const bool waits = known != game.owners().end() && !known->second.waits.empty();
      // Without a name nobody waits while it holds: the game has no other way out for it.
      const bool holds = known != game.owners().end() && !known->second.holds.empty();
      if (holds && (owner.empty() || (!waits && below(4) == 0))) {
        const auto [name, token] = *known->second.holds.begin();
        game.Release(client, owner, name, token);
        given.push_back({steps.size(), {client, owner, name, token}});
        continue;
      }
      Operation operation;
      const std::uint32_t what = below(8);
      if (what == 0) {
        AcquireAll all{{}, kWaitForever, "", owner};
        for (int i = 0; i < 4; ++i) {
          if (below(2) == 0) continue;
          all.locks.push_back(
              {absl::StrCat("l", i), below(2) == 0 ? LockMode::kShared : LockMode::kExclusive});
        }
        if (all.locks.empty()) continue;
        operation = all;
      } else {
        AcquireLock acquire{what == 1 ? "s" : absl::StrCat("l", below(4)), kWaitForever, ""};
        acquire.owner = owner;
        if (what == 1) {
          acquire.mode = LockMode::kPermits;
          acquire.total = 3;
          acquire.permits = 1 + below(3);
        } else if (what == 2 || what == 3) {
          acquire.mode = LockMode::kShared;
        }
        operation = acquire;
      }
      SetDetection(operation, true);
      const Reply reply = game.Ask(client, operation);
      SetDetection(operation, false);
      if (reply.code == ReplyCode::kDeadlock) {
        ++refused;
        by_permits += what == 1;
        by_sets += what == 0;
        Game copy(kClients);
        replay(copy);
        copy.Ask(client, operation);
        ASSERT_FALSE(copy.EndsWell()) << "seed " << seed << ": " << reply.message;
        // The copy numbers revisions otherwise from here on; a refusal raises none.
        const auto& cycle = std::get<Deadlock>(reply.result).cycle;
        ASSERT_FALSE(cycle.empty());
        ASSERT_EQ(cycle[0].owner, owner);
      } else if (reply.code == ReplyCode::kOk) {
        steps.emplace_back(client, operation);
        if (owner.empty() || !std::holds_alternative<LockQueued>(reply.result)) continue;
        ++queued;
        Game copy(kClients);
        replay(copy);
        ASSERT_TRUE(copy.EndsWell()) << "seed " << seed << ", turn " << turn;
      } else {
        ASSERT_EQ(reply.code, ReplyCode::kConflict) << reply.message;
      }
    }
  }
  // It was really about something.
  EXPECT_GT(refused, kGames);
  EXPECT_GT(queued, kGames);
  EXPECT_GT(by_permits, kGames / 20);
  EXPECT_GT(by_sets, kGames / 20);
}

}  // namespace
}  // namespace tenure::machine
