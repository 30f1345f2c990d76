#include "member/cluster_clock.h"

#include <gtest/gtest.h>

#include "tenure/types.h"

namespace tenure::member {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kLimit = 300 * kMs;

Instant At(std::int64_t ms) { return Instant::FromReadings(ms * kMs + 7, ms * kMs + 1'000'003); }

TEST(ClusterClock, RunsWithTheLeadersClock) {
  ClusterClock clock(kLimit);
  clock.Lead(At(1000), 50 * kMs);
  EXPECT_EQ(clock.Advance(At(1010), 50 * kMs), 60 * kMs);
  EXPECT_EQ(clock.Advance(At(1010), 50 * kMs), 60 * kMs);
  EXPECT_EQ(clock.Advance(At(1050), 60 * kMs), 100 * kMs);
}

TEST(ClusterClock, CountsTheSmallerElapsedOfTheTwoClocks) {
  ClusterClock clock(kLimit);
  clock.Lead(Instant::FromReadings(0, 0), 0);
  EXPECT_EQ(clock.Advance(Instant::FromReadings(20 * kMs, 10 * kMs), 0), 10 * kMs);
  EXPECT_EQ(clock.Advance(Instant::FromReadings(25 * kMs, 40 * kMs), 0), 15 * kMs);
}

TEST(ClusterClock, NeverGoesBack) {
  ClusterClock clock(kLimit);
  clock.Lead(At(1000), 0);
  EXPECT_EQ(clock.Advance(At(1100), 0), 100 * kMs);
  EXPECT_EQ(clock.Advance(At(900), 0), 100 * kMs);
  // Nor is what it counted before the step back counted again.
  EXPECT_EQ(clock.Advance(At(910), 0), 110 * kMs);
}

// PITFALLS L1: a leader that stood still comes back, and its hour arrives at once.
TEST(ClusterClock, L1APauseCountsAsOneElectionTimeoutAtMost) {
  ClusterClock clock(kLimit);
  clock.Lead(At(0), 0);
  EXPECT_EQ(clock.Advance(At(3'600'000), 0), kLimit);
  EXPECT_EQ(clock.Advance(At(3'600'010), kLimit),
            kLimit + 10 * kMs);  // what was not counted is dropped
}

// PITFALLS T1: a reign begins with the stamp of the last entry in the own log.
TEST(ClusterClock, T1ANewReignForgetsWhatAnEarlierOneCounted) {
  ClusterClock clock(kLimit);
  clock.Lead(At(0), 0);
  EXPECT_EQ(clock.Advance(At(200), 0), 200 * kMs);
  clock.Resign();
  clock.Lead(At(3'600'000), 40 * kMs);
  EXPECT_EQ(clock.Advance(At(3'600'005), 40 * kMs), 45 * kMs);
}

// PITFALLS T7: followers' disks stall, nothing commits, and time must not run away.
TEST(ClusterClock, T7TimeStaysWithinOneElectionTimeoutOfTheLastCommittedStamp) {
  ClusterClock clock(kLimit);
  clock.Lead(At(0), 0);
  for (int turn = 1; turn <= 100; ++turn) EXPECT_LE(clock.Advance(At(turn * 100), 0), kLimit);
  EXPECT_EQ(clock.Advance(At(10'050), 0), kLimit);
  EXPECT_EQ(clock.Advance(At(10'060), 200 * kMs), kLimit + 10 * kMs);  // dropped, not made up
}

TEST(ClusterClock, ALogAheadOfTheCommittedStampIsKeptUp) {
  ClusterClock clock(kLimit);
  clock.Lead(At(0), 900 * kMs);  // its last entries are not committed yet
  EXPECT_EQ(clock.Advance(At(100), 100 * kMs), 900 * kMs);
}

}  // namespace
}  // namespace tenure::member
