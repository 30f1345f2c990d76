// What things cost: counted where that can be counted, measured with wide margins elsewhere.
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "fixture.h"
#include "tests/testing/sanitized.h"

namespace tenure::machine {
namespace {

class CostTest : public MachineTest {
 protected:
  void SetUp() override {
    if (testing::kSanitized) GTEST_SKIP() << "costs are judged without sanitizers";
    MachineTest::SetUp();
  }
  template <typename Work>
  static double Nanoseconds(Work work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    return took.count();
  }
  template <typename Work>
  static double BestOf(int times, Work work) {
    double best = Nanoseconds(work);
    for (int i = 1; i < times; ++i) best = std::min(best, Nanoseconds(work));
    return best;
  }
};

TEST_F(CostTest, AHeldLockTakesAtMost300Bytes) {
  constexpr int kSessions = 100;
  constexpr int kLocks = 1'000'000;
  std::vector<Client> clients;
  for (int i = 0; i < kSessions; ++i) clients.push_back(Open(60));
  const std::size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  for (int i = 0; i < kLocks; ++i) {
    Client& client = clients[static_cast<std::size_t>(i % kSessions)];
    client.acknowledged_through = client.last;
    // Names of 24 bytes, not in their order.
    char name[32];
    std::snprintf(name, sizeof(name), "tenants/%016x", static_cast<unsigned>(i) * 2654435761u);
    machine.Apply(now, {client.Next(AcquireLock{name, 0, ""})});
  }
  ASSERT_EQ(machine.lock_count(), static_cast<std::uint64_t>(kLocks));
  const std::size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
  const double each = static_cast<double>(after - before) / kLocks;
  std::printf("bytes per held lock: %.0f\n", each);
  RecordProperty("bytes_per_lock", static_cast<int>(each));
  EXPECT_LE(each, 300);
  // A page of a list costs the page.
  const double page = BestOf(5, [&] { machine.Query(ListLocks{"tenants/000000008", 1000}); });
  std::printf("a page of 1000 of a million locks: %.3f ms\n", page / 1e6);
  EXPECT_LT(page, 20e6);
  // The death of their holders stalls nobody.
  now += 60 * kSecond;
  double worst = 0;
  int entries = 0;
  do {
    worst = std::max(worst, Nanoseconds([&] { machine.Apply(now, {}); }));
  } while (++entries < 50);
  std::printf("the longest of %d entries that clear up: %.3f ms\n", entries, worst / 1e6);
  EXPECT_LT(worst, 100e6);
}

TEST_F(CostTest, AcquireAndReleaseAreNearAMutexGuardedMap) {
  constexpr int kPairs = 100'000;
  Client client = Open(60);
  std::vector<std::string> names;
  for (int i = 0; i < 1000; ++i) names.push_back("tenants/7/invoices/" + std::to_string(i));
  for (const std::string& name : names) Acquire(client, name);
  client.acknowledged_through = client.last;
  std::vector<Command> commands(1);
  Command& command = commands[0];
  command = client.Plain(RenewSession{1});
  Command acquire = client.Plain(AcquireLock{"tenants/7/invoices/new", 0, ""});
  Command release = client.Plain(ReleaseLock{"tenants/7/invoices/new", 0});
  const double ours = BestOf(5, [&] {
    for (int i = 0; i < kPairs; ++i) {
      acquire.acknowledged_through = client.last;
      acquire.sequence = ++client.last;
      const Applied granted = machine.Apply(now, absl::MakeConstSpan(&acquire, 1));
      std::get<ReleaseLock>(release.operation).token =
          std::get<LockGranted>(granted.replies[0].result).token;
      release.acknowledged_through = client.last;
      release.sequence = ++client.last;
      machine.Apply(now, absl::MakeConstSpan(&release, 1));
    }
  });
  std::mutex mutex;
  std::unordered_map<std::string, std::uint64_t> map;
  for (const std::string& name : names) map[name] = 1;
  const std::string name = "tenants/7/invoices/new";
  const double theirs = BestOf(5, [&] {
    for (int i = 0; i < kPairs; ++i) {
      {
        std::lock_guard<std::mutex> guard(mutex);
        map.emplace(name, static_cast<std::uint64_t>(i));
      }
      std::lock_guard<std::mutex> guard(mutex);
      map.erase(name);
    }
  });
  std::printf("acquire and release: %.0f ns; a mutex-guarded map: %.0f ns\n", ours / kPairs,
              theirs / kPairs);
  // Asked for is a factor of 5 in a release build on a quiet machine; a test must also pass on
  // others.
  EXPECT_LT(ours, theirs * 40);
}

TEST_F(CostTest, AHandOverCostsTheSameWhateverTheQueue) {
  // Half of the waiters are cancelled; the holder dies; the rest get it in their order.
  const auto measure = [this](int waiters) {
    Start();
    Client holder = Open(10), client = Open(60);
    const Revision token = Token(Acquire(holder, "x"));
    EXPECT_NE(token, 0u);
    for (int i = 0; i < waiters; ++i) {
      client.acknowledged_through = client.last;
      EXPECT_TRUE(Is<LockQueued>(Acquire(client, "x", kWaitForever)));
    }
    const Sequence queued = client.last;
    const double cancels = Nanoseconds([&] {
      for (Sequence s = 2; s <= queued; s += 2) {
        client.acknowledged_through = client.last;
        EXPECT_TRUE(Is<WaitCancelled>(Cancel(client, s)));
      }
    });
    Pass(10);
    Revision held = Granted(client);
    Sequence expected = 1;
    const double hand_overs = Nanoseconds([&] {
      for (int i = 0; i < waiters / 2 - 1; ++i) {
        client.acknowledged_through = client.last;
        client.events_seen_through = machine.revision();
        Release(client, "x", held);
        const auto told = Told<LockGrantedEvent>(client);
        ASSERT_EQ(told.size(), 1u);
        EXPECT_EQ(told[0].acquire, expected += 2);
        held = told[0].token;
      }
    });
    EXPECT_EQ(Look("x").waiting, 0u);
    const double each = hand_overs / (waiters / 2.0 - 1);
    std::printf("%6d waiters: %.0f ns a cancel, %.0f ns a hand-over\n", waiters,
                cancels / (waiters / 2.0), each);
    return each + cancels / (waiters / 2.0);
  };
  measure(100);
  const double small = std::min(measure(200), measure(200));
  const double large = std::min(measure(10'000), measure(10'000));
  EXPECT_LT(large, small * 10);
}

TEST_F(CostTest, AHandOverOfSeveralLocksCostsTheSameWhateverTheQueue) {
  const auto measure = [this](int waiters) {
    Start();
    Client client = Open(60);
    const AcquireAll all{{{"x"}, {"y"}, {"z"}}, kWaitForever, "", ""};
    const Reply first = Do(client.Next(all));
    Revision held = Token(first);
    for (int i = 0; i < waiters; ++i) {
      client.acknowledged_through = client.last;
      EXPECT_TRUE(Is<LockQueued>(Do(client.Next(all))));
    }
    Sequence expected = 1;
    const double hand_overs = Nanoseconds([&] {
      for (int i = 0; i < waiters; ++i) {
        client.acknowledged_through = client.last;
        client.events_seen_through = machine.revision();
        Apply({client.Next(ReleaseLock{"y", held}), client.Next(ReleaseLock{"x", held}),
               client.Next(ReleaseLock{"z", held})});
        const auto told = Told<LockGrantedEvent>(client);
        ASSERT_EQ(told.size(), 1u);
        EXPECT_EQ(told[0].acquire, ++expected);
        held = told[0].token;
      }
    });
    EXPECT_EQ(Look("y").waiting, 0u);
    std::printf("%6d waiters: %.0f ns a hand-over of three locks\n", waiters, hand_overs / waiters);
    return hand_overs / waiters;
  };
  measure(100);
  const double small = std::min(measure(200), measure(200));
  const double large = std::min(measure(10'000), measure(10'000));
  EXPECT_LT(large, small * 10);
}

TEST_F(CostTest, ARenewalCostsTheSameWhateverTheNumberOfSessions) {
  const auto measure = [this](int sessions) {
    Start();
    std::vector<Command> commands;
    for (int i = 0; i < sessions; ++i) commands.push_back(Open(60).Plain(RenewSession{1}));
    return BestOf(5, [&] { machine.Apply(++now, commands); }) / sessions;
  };
  const double few = measure(1000), many = measure(50'000);
  std::printf("a renewal: %.0f ns of 1000 sessions, %.0f ns of 50000\n", few, many);
  EXPECT_LT(many, few * 20 + 1000);
}

}  // namespace
}  // namespace tenure::machine
