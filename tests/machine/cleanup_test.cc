// The end of sessions with much hanging on them: dead at once, cleared away step by step.
#include <string>
#include <vector>

#include "fixture.h"

namespace tenure::machine {
namespace {

class CleanupTest : public MachineTest {
 protected:
  void SetUp() override {
    Genesis genesis;
    genesis.limits.cleanup_per_entry = 10;
    Start(genesis);
  }
  // Grants or queues `count` locks, many commands an entry.
  void AcquireMany(Client& client, int count, std::int64_t wait_ns) {
    std::vector<Command> commands;
    for (int i = 0; i < count; ++i) {
      client.acknowledged_through = client.last;
      commands.push_back(client.Next(AcquireLock{"lock" + std::to_string(i), wait_ns, ""}));
    }
    Apply(commands);
  }
};

TEST_F(CleanupTest, T15_EndingASessionWithManyLocksIsBoundedPerEntry) {
  Client doomed = Open(10), waiter = Open(60);
  AcquireMany(doomed, 105, 0);
  AcquireMany(waiter, 105, kWaitForever);
  now += 10 * kSecond;
  std::size_t granted = 0;
  int entries = 0;
  do {
    Apply({});
    const std::vector<LockGrantedEvent> told = Told<LockGrantedEvent>(waiter);
    EXPECT_LE(told.size(), 10u);
    for (const LockGrantedEvent& event : told) {
      EXPECT_EQ(event.name, "lock" + std::to_string(granted++)) << "out of order";
    }
    EXPECT_TRUE(machine.HasDeadline());
    ++entries;
  } while (machine.HasBacklog());
  EXPECT_EQ(granted, 105u);
  EXPECT_GE(entries, 11);
  EXPECT_EQ(machine.session_count(), 1u);
}

TEST_F(CleanupTest, T15_DeathIsLogicalAtOnce) {
  Client doomed = Open(10), other = Open(60);
  AcquireMany(doomed, 1000, 0);
  Pass(10);
  EXPECT_EQ(machine.session_count(), 1u);
  EXPECT_TRUE(machine.HasBacklog());
  // A try gets the very last lock although clean-up is far from it; nobody seems to hold it.
  EXPECT_EQ(Look("lock999").holder, LockHolder{});
  EXPECT_TRUE(Is<LockGranted>(Acquire(other, "lock999")));
  EXPECT_EQ(Renew(doomed).code, ReplyCode::kSessionEnded);
  EXPECT_EQ(Release(doomed, "lock998", 999).code, ReplyCode::kSessionEnded);
  while (machine.HasBacklog()) Apply({});
  EXPECT_EQ(machine.lock_count(), 1u);
  EXPECT_EQ(Look("lock999").holder.session, other.session);
}

TEST_F(CleanupTest, T15_CloseIsBoundedToo) {
  Client doomed = Open(10), waiter = Open(60);
  AcquireMany(doomed, 100, 0);
  AcquireMany(waiter, 1, kWaitForever);
  EXPECT_TRUE(Is<SessionClosed>(Close(doomed)));
  EXPECT_NE(Granted(waiter), 0u) << "the first hand-over need not wait for another entry";
  EXPECT_GE(machine.lock_count(), 90u);
  while (machine.HasBacklog()) Apply({});
  EXPECT_EQ(machine.lock_count(), 1u);
}

TEST_F(CleanupTest, T15_AQueueOfDeadWaitersIsPassedStepByStep) {
  Client holder = Open(60), doomed = Open(10), next = Open(60);
  const Revision token = Token(Acquire(holder, "x"));
  std::vector<Command> commands;
  for (int i = 0; i < 1000; ++i) {
    commands.push_back(doomed.Next(AcquireLock{"x", kWaitForever, ""}));
  }
  Apply(commands);
  EXPECT_TRUE(Is<LockQueued>(Acquire(next, "x", kWaitForever)));
  now += 10 * kSecond;
  EXPECT_TRUE(Is<LockReleased>(Release(holder, "x", token)));
  EXPECT_EQ(Granted(next), 0u) << "one command passed a thousand";
  int entries = 0;
  while (machine.HasBacklog()) {
    Apply({});
    ++entries;
  }
  EXPECT_EQ(Look("x").holder.session, next.session);
  EXPECT_EQ(Look("x").waiting, 0u);
  EXPECT_GE(entries, 90);
}

TEST_F(CleanupTest, L11_NoEventGoesToADeadSessionWhateverIsLeftOver) {
  Client a = Open(10), b = Open(10), c = Open(60);
  AcquireMany(a, 50, 0);
  AcquireMany(b, 50, kWaitForever);
  AcquireMany(c, 50, 12 * kSecond);
  now += 10 * kSecond;
  Apply({});
  do {
    for (const Client* dead : {&a, &b}) {
      EXPECT_TRUE(Told<LockGrantedEvent>(*dead).empty());
      EXPECT_TRUE(Told<WaitEndedEvent>(*dead).empty());
    }
    Apply({});
  } while (machine.HasBacklog());
  EXPECT_EQ(machine.EventsAfter(c.session, 0).size(), 50u);
  EXPECT_EQ(machine.lock_count(), 50u);
}

TEST_F(CleanupTest, ADeadSessionsWaitsThatComeDueInSilenceLeaveNothingBehind) {
  Client holder = Open(60), doomed = Open(10);
  AcquireMany(holder, 100, 0);
  AcquireMany(doomed, 100, 10 * kSecond);
  Pass(10);
  EXPECT_TRUE(Told<WaitEndedEvent>(doomed).empty());
  EXPECT_EQ(Look("lock99").waiting, 0u);
  while (machine.HasBacklog()) Apply({});
  Pass(60);
  while (machine.HasBacklog()) Apply({});
  EXPECT_EQ(machine.lock_count(), 0u);
  EXPECT_FALSE(machine.HasDeadline());
}

TEST_F(CleanupTest, EventsOfTheDeadAreClearedWithinTheBudget) {
  Client holder = Open(60), doomed = Open(10);
  AcquireMany(holder, 1, 0);
  std::vector<Command> commands;
  for (int i = 0; i < 100; ++i) {
    commands.push_back(doomed.Next(AcquireLock{"lock0", kSecond, ""}));
  }
  Apply(commands);
  Pass(1);
  EXPECT_EQ(Told<WaitEndedEvent>(doomed).size(), 100u);
  Pass(9);
  EXPECT_TRUE(machine.HasBacklog());
  int entries = 1;
  while (machine.HasBacklog()) Apply({}), ++entries;
  EXPECT_GE(entries, 10);
}

TEST_F(CleanupTest, ThousandsOfSessionsDueAtOnceEndInOneEntry) {
  for (int i = 0; i < 3000; ++i) {
    Client client = Open(10);
    Acquire(client, "lock" + std::to_string(i));
  }
  Client other = Open(60);
  Pass(10);
  EXPECT_EQ(machine.session_count(), 1u);
  EXPECT_EQ(last_events.size(), 3000u);
  EXPECT_TRUE(Is<LockGranted>(Acquire(other, "lock2999")));
  while (machine.HasBacklog()) Apply({});
  EXPECT_EQ(machine.lock_count(), 1u);
}

}  // namespace
}  // namespace tenure::machine
