#include "raft/log.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace tenure::raft {
namespace {

Entry Make(Index index, Term term, std::size_t bytes = 0) {
  Entry entry;
  entry.index = index;
  entry.term = term;
  entry.kind = EntryKind::kCommands;
  entry.stamp_ns = static_cast<std::int64_t>(index) * 10;
  entry.payload = std::make_shared<const std::string>(bytes, 'x');
  return entry;
}

std::shared_ptr<const Configuration> Named(const std::string& name) {
  auto configuration = std::make_shared<Configuration>();
  configuration->voters.push_back({{name, 1}, ""});
  return configuration;
}

Log Filled(const std::vector<Term>& terms) {
  Log log({}, {});
  for (Term term : terms) log.Append(Make(log.last_index() + 1, term));
  return log;
}

TEST(LogTest, AnEmptyLogEndsAtItsBase) {
  Log log({7, 3, 70, nullptr}, {});
  EXPECT_EQ(log.last_index(), 7u);
  EXPECT_EQ(log.last_term(), 3u);
  EXPECT_EQ(log.last_stamp_ns(), 70);
  EXPECT_EQ(log.TermAt(7), 3u);
  EXPECT_EQ(log.TermAt(6), std::nullopt);
  EXPECT_EQ(log.TermAt(8), std::nullopt);
  EXPECT_NE(log.configuration(), nullptr);
}

TEST(LogTest, TrimsFromBelowAndRemembersTheLastTrimmed) {
  Log log = Filled({1, 1, 2, 3});
  const std::size_t all = log.bytes();
  EXPECT_EQ(log.BytesThrough(2), 2 * Log::kEntryCharge);
  log.TrimThrough(3);
  EXPECT_EQ(log.trimmed_through(), 3u);
  EXPECT_EQ(log.TermAt(3), 2u);
  EXPECT_EQ(log.StampAt(3), 30);
  EXPECT_FALSE(log.Holds(3));
  EXPECT_EQ(log.At(4).term, 3u);
  EXPECT_EQ(log.bytes(), all - 3 * Log::kEntryCharge);
  log.TrimThrough(4);
  EXPECT_EQ(log.last_index(), 4u);
  EXPECT_EQ(log.bytes(), 0u);
  log.Append(Make(5, 4, 10));
  EXPECT_EQ(log.bytes(), Log::kEntryCharge + 10);
  EXPECT_EQ(log.BytesThrough(5), Log::kEntryCharge + 10);
}

TEST(LogTest, TruncatesFromAbove) {
  Log log = Filled({1, 1, 2, 3});
  log.TruncateFrom(3);
  EXPECT_EQ(log.last_index(), 2u);
  EXPECT_EQ(log.bytes(), 2 * Log::kEntryCharge);
  log.Append(Make(3, 5));
  EXPECT_EQ(log.TermAt(3), 5u);
}

TEST(LogTest, FindsTheLastEntryOfATermNotAbove) {
  Log log = Filled({1, 1, 2, 2, 4, 4});
  EXPECT_EQ(log.LastNotAfter(6, 9), 6u);
  EXPECT_EQ(log.LastNotAfter(6, 3), 4u);
  EXPECT_EQ(log.LastNotAfter(3, 3), 3u);
  EXPECT_EQ(log.LastNotAfter(99, 1), 2u);
  EXPECT_EQ(log.LastNotAfter(6, 0), 0u);
  log.TrimThrough(3);
  EXPECT_EQ(log.LastNotAfter(6, 1), 3u);
  EXPECT_EQ(log.LastNotAfter(1, 9), 3u);
}

TEST(LogTest, SlicesWithinLimitsButNeverEmpty) {
  Log log({}, {});
  for (Index i = 1; i <= 4; ++i) log.Append(Make(i, 1, 100));
  EXPECT_EQ(log.Slice(2, 2, 1 << 20).size(), 2u);
  EXPECT_EQ(log.Slice(1, 9, 2 * (100 + Log::kEntryCharge)).size(), 2u);
  EXPECT_EQ(log.Slice(4, 9, 1).size(), 1u);
  EXPECT_EQ(log.Slice(3, 0, 1).size(), 1u);
  EXPECT_TRUE(log.Slice(5, 9, 1 << 20).empty());
  EXPECT_EQ(log.Slice(2, 2, 1 << 20)[1].index, 3u);
}

TEST(PitfallC9, ConfigurationsComeAndGoWithTheirEntries) {
  Log log({0, 0, 0, Named("base")}, {});
  log.Append(Make(1, 1));
  Entry change = Make(2, 1);
  change.configuration = Named("second");
  log.Append(change);
  log.Append(Make(3, 1));
  change.index = 4;
  change.configuration = Named("fourth");
  log.Append(change);
  EXPECT_EQ(log.configuration()->voters[0].id.name, "fourth");
  log.TruncateFrom(4);
  EXPECT_EQ(log.configuration()->voters[0].id.name, "second");
  log.TrimThrough(3);
  EXPECT_EQ(log.configuration()->voters[0].id.name, "second");
  log.Append(change);
  log.TruncateFrom(4);
  EXPECT_EQ(log.configuration()->voters[0].id.name, "second");
}

TEST(PitfallC9, ATruncatedConfigurationGivesWayToTheBase) {
  Log log({5, 1, 0, Named("base")}, {});
  Entry change = Make(6, 2);
  change.configuration = Named("sixth");
  log.Append(change);
  log.TruncateFrom(6);
  EXPECT_EQ(log.configuration()->voters[0].id.name, "base");
}

}  // namespace
}  // namespace tenure::raft
