// The simulator itself: it is deterministic, its seeds differ, and a few of them are clean.
#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/sim/byte_disk.h"
#include "tests/sim/run.h"
#include "tests/testing/sanitized.h"

namespace tenure::sim {
namespace {

TEST(SimTest, ASeedReplaysARun) {
  if (testing::kSanitized) GTEST_SKIP() << "takes minutes under a sanitizer";
  for (const std::uint64_t seed : {1, 2, 3, 4, 5}) {
    const Outcome first = RunSeed(seed);
    const Outcome second = RunSeed(seed);
    EXPECT_EQ(first.trace_hash, second.trace_hash) << "seed " << seed;
    EXPECT_EQ(first.events, second.events) << "seed " << seed;
    EXPECT_EQ(first.violations, second.violations) << "seed " << seed;
  }
}

// SQLite takes part in it.
TEST(SimTest, ASeedWithDisksThatAreBytesReplaysARun) {
  if (testing::kSanitized) GTEST_SKIP() << "takes minutes under a sanitizer";
  if (!HaveByteDisks()) GTEST_SKIP() << "this build has no SQLite";
  int runs = 0;
  for (std::uint64_t seed = 1; runs < 3; ++seed) {
    const Plan plan = DrawPlan(seed);
    if (plan.byte_disks == 0 || !plan.On(Fault::kDiskRot)) continue;
    ++runs;
    const Outcome first = RunSeed(seed);
    const Outcome second = RunSeed(seed);
    EXPECT_EQ(first.trace_hash, second.trace_hash) << "seed " << seed;
    EXPECT_EQ(first.events, second.events) << "seed " << seed;
    EXPECT_EQ(first.violations, second.violations) << "seed " << seed;
    EXPECT_EQ(first.marks.visits(), second.marks.visits()) << "seed " << seed;
  }
}

TEST(SimTest, SeedsDiffer) {
  if (testing::kSanitized) GTEST_SKIP() << "takes minutes under a sanitizer";
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) hashes.insert(RunSeed(seed).trace_hash);
  EXPECT_EQ(hashes.size(), 5u);
}

class SeedTest : public ::testing::TestWithParam<std::uint64_t> {};

// What they do besides is printed by tenure_sim; here it counts that something was done at all.
TEST_P(SeedTest, IsClean) {
  const Outcome outcome = RunSeed(GetParam());
  EXPECT_TRUE(outcome.violations.empty()) << absl::StrJoin(outcome.violations, "\n")
                                          << "\nbuild/release/bin/tenure_sim --seed=" << GetParam();
  EXPECT_GT(outcome.counts.grants, 10u);
  EXPECT_GT(outcome.counts.reads, 0u);
  EXPECT_GT(outcome.checked_calls, outcome.counts.grants);
}

INSTANTIATE_TEST_SUITE_P(Sim, SeedTest,
                         // The shortest alone under a sanitizer: the others take a minute there.
                         ::testing::Range(std::uint64_t{testing::kSanitized ? 106 : 100},
                                          std::uint64_t{testing::kSanitized ? 107 : 112}),
                         [](const auto& param) { return absl::StrCat("Seed", param.param); });

}  // namespace
}  // namespace tenure::sim
