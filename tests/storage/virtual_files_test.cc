// The storage on a disk that loses power, fails and fills up; and that disk itself.
#include "tests/storage/virtual_files.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/storage/sqlite_fixture.h"

namespace tenure::sqlite {
namespace {

using ::testing::AnyOf;
using ::testing::Eq;
using ::testing::HasSubstr;

// ---- A file

constexpr std::uint64_t kSeeds = 40;

std::string Sectors(char first, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += std::string(kSectorBytes, static_cast<char>(first + i));
  return bytes;
}
void WriteAll(VirtualFile& file, std::uint64_t at, absl::string_view data) {
  for (; !data.empty(); data.remove_prefix(kSectorBytes), at += kSectorBytes) {
    file.Write(at, data.substr(0, kSectorBytes));
  }
}

TEST(VirtualFileTest, EachSectorThatWasNotSyncedIsOldOrNew) {
  bool torn = false;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    raft::Prng random(seed);
    VirtualFile file;
    WriteAll(file, 0, Sectors('a', 4));
    file.Sync();
    WriteAll(file, kSectorBytes, Sectors('x', 5));
    EXPECT_EQ(file.OnDisk(), Sectors('a', 4));
    file.LosePower(random);
    const std::string found = file.bytes();
    ASSERT_GE(found.size(), 4 * kSectorBytes);
    int fresh = 0;
    for (std::size_t i = 0; i * kSectorBytes < found.size(); ++i) {
      const std::string sector = found.substr(i * kSectorBytes, kSectorBytes);
      const std::string written = Sectors(static_cast<char>('x' + i - 1), 1);
      const char before = i < 4 ? static_cast<char>('a' + i) : '\0';
      ASSERT_THAT(sector, AnyOf(Eq(written), Eq(std::string(kSectorBytes, before)))) << i;
      if (i == 0) {
        ASSERT_EQ(sector, Sectors('a', 1));
      }
      fresh += i > 0 && sector == written ? 1 : 0;
    }
    torn = torn || (fresh > 0 && fresh < 5);
    EXPECT_EQ(file.OnDisk(), found);
  }
  EXPECT_TRUE(torn);
}

TEST(VirtualFileTest, WhatASyncFailedToWriteIsReadAndThenLost) {
  raft::Prng random(1);
  VirtualFile file;
  WriteAll(file, 0, Sectors('a', 20));
  file.Sync();
  WriteAll(file, 0, Sectors('A', 20));
  file.FailSync(random);
  file.Sync();  // which has nothing to do
  EXPECT_EQ(file.bytes(), Sectors('A', 20));
  WriteAll(file, 0, Sectors('A', 1));  // written anew
  file.Sync();
  file.LosePower(random);
  EXPECT_NE(file.bytes(), Sectors('A', 20));
  EXPECT_NE(file.bytes(), Sectors('a', 20));
  EXPECT_EQ(file.bytes().substr(0, kSectorBytes), Sectors('A', 1));
}

TEST(VirtualFileTest, WhatWasCutMayComeBackUntilItIsSynced) {
  bool back = false;
  bool gone = false;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    raft::Prng random(seed);
    VirtualFile file;
    WriteAll(file, 0, Sectors('a', 3));
    file.Sync();
    file.Truncate(0);
    EXPECT_EQ(file.bytes(), "");
    EXPECT_EQ(file.OnDisk(), Sectors('a', 3));
    file.LosePower(random);
    back = back || file.bytes() == Sectors('a', 3);
    gone = gone || file.bytes().empty();
  }
  EXPECT_TRUE(back && gone);
}

// ---- The storage on it

class VirtualFilesTest : public ::testing::Test {
 protected:
  // Another disk.
  void New(std::uint64_t seed) {
    database_ = nullptr;
    files_ = std::make_unique<VirtualFiles>(seed);
  }
  // A process's beginning.
  absl::Status Open() {
    absl::StatusOr<std::unique_ptr<Database>> opened = Database::Open(files_->Hold(), &image_);
    if (!opened.ok()) return opened.status();
    database_ = *std::move(opened);
    if (absl::StatusOr<Recovered> held = image_.Open({"n1", 7}); !held.ok()) return held.status();
    return database_->Begin(image_);
  }
  absl::Status Write(raft::WriteBatch batch) {
    Change change{std::move(batch), {}};
    if (absl::Status fits = image_.Apply(change.batch, &change.effect); !fits.ok()) return fits;
    return database_->Commit({&change}, HeadOf(image_));
  }
  // And its end.
  void Kill(bool power_lost) {
    files_->StopAfter(0);
    database_ = nullptr;
    files_->Restart(power_lost);
  }
  void Fill(std::uint64_t seed, Index last) {
    New(seed);
    ASSERT_TRUE(Open().ok());
    ASSERT_TRUE(Write(Entering(2)).ok());
    ASSERT_TRUE(Write(LastPiece(1, 1, 0, std::string(6000, 's'))).ok());
    for (Index i = 3; i <= last; ++i) ASSERT_TRUE(Write(Append({EntryAt(i, 1)})).ok());
  }

  LogImage image_;
  std::unique_ptr<VirtualFiles> files_;
  std::unique_ptr<Database> database_;
};

TEST_F(VirtualFilesTest, APowerLossLosesNothingThatWasSynced) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    ASSERT_NO_FATAL_FAILURE(Fill(seed, 5));
    const std::string held = Text(image_);
    for (const bool power_lost : {true, false, true}) {
      Kill(power_lost);
      ASSERT_TRUE(Open().ok());
      ASSERT_EQ(Text(image_), held);
    }
    EXPECT_EQ(**database_->ReadPiece(0, 0), std::string(6000, 's'));
  }
}

// Wherever the power goes in the midst of a transaction, all of it is there or nothing.
TEST_F(VirtualFilesTest, ATornTransactionIsThereOrNot) {
  int before = 0;
  int after = 0;
  for (std::uint64_t steps = 0; steps < 60; ++steps) {
    ASSERT_NO_FATAL_FAILURE(Fill(steps, 5));
    const std::string held = Text(image_);
    files_->StopAfter(steps);
    const bool acknowledged = Write(Append({EntryAt(6, 2, std::string(5000, 'x'))})).ok();
    const std::string next = Text(image_);
    Kill(true);
    const absl::Status opened = Open();
    ASSERT_TRUE(opened.ok()) << steps << ": " << opened;
    const std::string found = Text(image_);
    ASSERT_TRUE(found == next || (found == held && !acknowledged)) << steps;
    before += found == held ? 1 : 0;
    after += found == next ? 1 : 0;
  }
  EXPECT_GT(before, 5);
  EXPECT_GT(after, 5);
}

// Also the first start of all, and one that moves a log into the database.
TEST_F(VirtualFilesTest, AStartMayBeCutShortAnywhere) {
  for (const bool used : {false, true}) {
    bool whole = false;
    for (std::uint64_t steps = 0; !whole; ++steps) {
      ASSERT_LT(steps, 500u);
      New(steps);
      std::string held;
      if (used) {
        ASSERT_NO_FATAL_FAILURE(Fill(steps, 5));
        held = Text(image_);
        Kill(true);
      }
      files_->StopAfter(steps);
      whole = Open().ok();
      Kill(true);
      const absl::Status opened = Open();
      ASSERT_TRUE(opened.ok()) << steps << ": " << opened;
      if (used) {
        ASSERT_EQ(Text(image_), held) << steps;
      }
    }
  }
}

TEST_F(VirtualFilesTest, RotIsFoundOrHarmlessOrTheLastTransactions) {
  int reported = 0;
  int harmless = 0;
  int last_lost = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    ASSERT_NO_FATAL_FAILURE(Fill(seed, 4));
    Kill(true);
    ASSERT_TRUE(Open().ok());
    ASSERT_TRUE(Write(Append({EntryAt(5, 2)})).ok());
    const std::string before = Text(image_);
    ASSERT_TRUE(Write(Append({EntryAt(6, 2)})).ok());
    const std::string held = Text(image_);
    Kill(true);
    const std::string damage = files_->Damage();
    const absl::Status opened = Open();
    if (!opened.ok()) {
      ASSERT_TRUE(absl::IsDataLoss(opened)) << damage << ": " << opened;
      ++reported;
    } else if (Text(image_) == held) {
      ++harmless;
    } else {
      ASSERT_EQ(Text(image_), before) << damage;
      ++last_lost;
    }
  }
  EXPECT_GT(reported, 50);
  EXPECT_GT(harmless, 20);
  EXPECT_GT(last_lost, 5);
}

TEST_F(VirtualFilesTest, AFullDiskIsAnErrorUntilThereIsRoom) {
  ASSERT_NO_FATAL_FAILURE(Fill(1, 5));
  const std::string held = Text(image_);
  files_->set_full(true);
  const absl::Status full = Write(Append({EntryAt(6, 1, std::string(50000, 'x'))}));
  EXPECT_TRUE(absl::IsUnavailable(full)) << full;
  EXPECT_THAT(std::string(full.message()), HasSubstr("make room"));
  for (const bool power_lost : {false, true}) {
    Kill(power_lost);
    const absl::Status opened = Open();
    EXPECT_TRUE(absl::IsUnavailable(opened)) << opened;
  }
  Kill(true);
  files_->set_full(false);
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Text(image_), held);
  EXPECT_TRUE(Write(Append({EntryAt(6, 1)})).ok());
}

// C22: what a failed sync left in memory alone looks well to the next process, whose power fails.
TEST_F(VirtualFilesTest, C22_NothingRestsOnWhatASyncFailedToWrite) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    ASSERT_NO_FATAL_FAILURE(Fill(seed, 5));
    const std::string held = Text(image_);
    files_->FailNextSync();
    ASSERT_TRUE(absl::IsUnavailable(Write(Append({EntryAt(6, 2)}))));
    EXPECT_EQ(files_->last_fault(), "failed sync");
    Kill(false);
    ASSERT_TRUE(Open().ok());
    const std::string found = Text(image_);
    ASSERT_EQ(Indexes(*image_.Read(6, 6, 100)).size(), 1u) << "it is all in memory";
    ASSERT_TRUE(Write(Append({EntryAt(7, 2)})).ok());
    const std::string next = Text(image_);
    Kill(true);
    ASSERT_TRUE(Open().ok());
    EXPECT_EQ(Text(image_), next);
  }
}

TEST_F(VirtualFilesTest, AnOlderCopyIsPutBack) {
  ASSERT_NO_FATAL_FAILURE(Fill(1, 5));
  const std::string held = Text(image_);
  const VirtualFiles::Copied copied = files_->Copy();
  ASSERT_TRUE(Write(Append({EntryAt(6, 1)})).ok());
  Kill(true);
  files_->PutBack(copied);
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Text(image_), held);
  Kill(true);
  files_->PutBack({});
  ASSERT_TRUE(Open().ok());
  EXPECT_TRUE(image_.Held().cluster.empty());
}

}  // namespace
}  // namespace tenure::sqlite
