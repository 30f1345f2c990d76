// What a storage on disk does beyond what every storage does: it survives, it is one process's, and
// it ends with the first error.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/sqlite_connection.h"
#include "tests/storage/sqlite_fixture.h"

namespace tenure::sqlite {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST_F(SqliteTest, AnotherProcessFindsAllThatWasWritten) {
  {
    const std::unique_ptr<Storage> storage = Opened();
    EXPECT_TRUE(storage->durable());
    ASSERT_TRUE(WriteTo(*storage, Entering(5)).ok());
    ASSERT_TRUE(WriteTo(*storage, LastPiece(3, 1, 0, "state")).ok());
    raft::WriteBatch batch = Append({EntryAt(5, 4), EntryAt(6, 4)});
    batch.truncate_from = 5;
    batch.trim_through = 2;
    batch.hard_state = raft::HardState{.term = 4, .vote = {"n3", 1}};
    // Not awaited: the destructor writes what waits.
    storage->Write(std::move(batch), [](absl::Status status) { EXPECT_TRUE(status.ok()); });
  }
  const std::unique_ptr<Storage> storage = New();
  const absl::StatusOr<Recovered> recovered = storage->Open({"n1", 99});
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(recovered->cluster, (ClusterId{1, 2}));
  EXPECT_EQ(recovered->self, (MemberId{"n1", 7}));
  EXPECT_EQ(recovered->hard_state, (raft::HardState{.term = 4, .vote = {"n3", 1}}));
  EXPECT_EQ(recovered->trimmed_through, 2u);
  EXPECT_THAT(Indexes(recovered->entries), ElementsAre(3, 4, 5, 6));
  EXPECT_EQ(recovered->entries[2].term, 4u);
  EXPECT_EQ(recovered->snapshot.index, 3u);
  EXPECT_EQ(*recovered->snapshot.configuration, *ConfigurationOf("s"));
  EXPECT_EQ(Whole(*storage, 3), "state");
}

// Its disk may be a copy of another's, or be mounted where another's belongs.
TEST_F(SqliteTest, AnotherMembersDirectoryIsRefused) {
  ASSERT_TRUE(WriteTo(*Opened(), Entering(1)).ok());
  const absl::Status status = New()->Open({"n2", 1}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr(directory_));
  EXPECT_THAT(std::string(status.message()), HasSubstr("member n1, not of n2"));
  EXPECT_THAT(Indexes(Reopened()->entries), ElementsAre(1));
}

TEST_F(SqliteTest, WhatNeverEnteredAClusterIsForgotten) {
  {
    const std::unique_ptr<Storage> storage = Opened();
    raft::WriteBatch batch = LastPiece(1, 1, 0, "state");
    batch.hard_state = raft::HardState{.term = 3};
    batch.entries = {EntryAt(2, 1)};
    ASSERT_TRUE(WriteTo(*storage, std::move(batch)).ok());
  }
  const absl::StatusOr<Recovered> recovered = New()->Open({"n2", 8});
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_TRUE(recovered->cluster.empty());
  EXPECT_THAT(recovered->entries, IsEmpty());
  const std::unique_ptr<Storage> storage = Opened();
  ASSERT_TRUE(WriteTo(*storage, Entering(3)).ok());
  EXPECT_TRUE(absl::IsNotFound(storage->ReadSnapshot(1, 0).status()));
}

TEST_F(SqliteTest, ADirectoryIsOneProcesss) {
  const std::unique_ptr<Storage> storage = Opened();
  ASSERT_TRUE(WriteTo(*storage, Entering(1)).ok());
  const absl::Status second = Reopened().status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.message()), HasSubstr("in use by another process"));
  const pid_t child = fork();
  if (child == 0) _exit(absl::IsFailedPrecondition(Reopened().status()) ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ASSERT_TRUE(WriteTo(*storage, Append({EntryAt(2, 1)})).ok());
}

TEST_F(SqliteTest, TheDirectoryIsMadeForItsOwnerAlone) {
  Opened();
  struct stat made;
  ASSERT_EQ(stat(directory_.c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 0777, 0700u);
  ASSERT_EQ(stat((directory_ + kDatabase).c_str(), &made), 0);
  EXPECT_EQ(made.st_mode & 0077 & ~0044, 0u);
}

TEST_F(SqliteTest, ADirectoryThatCannotBeMadeIsSaid) {
  for (const std::string& wrong : {scratch_ / "nowhere/data", std::string("/dev/null")}) {
    const absl::Status status = Reopened(wrong).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(wrong));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Reopened("").status()));
}

TEST_F(SqliteTest, ANewerFormatIsRefused) {
  ASSERT_TRUE(WriteTo(*Opened(), Entering(1)).ok());
  {
    absl::StatusOr<Connection> other = Connection::Open(directory_ + kDatabase, false);
    ASSERT_TRUE(other->Run("PRAGMA user_version=2").ok());
  }
  const absl::Status status = Reopened().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("start the member with that version"));
}

TEST_F(SqliteTest, AnotherProgramsDatabaseIsLeftAlone) {
  ASSERT_EQ(mkdir(directory_.c_str(), 0700), 0);
  {
    absl::StatusOr<Connection> other = Connection::Open(directory_ + kDatabase, true);
    ASSERT_TRUE(other->Run("CREATE TABLE theirs(x)").ok());
  }
  const std::string bytes = BytesOf(directory_ + kDatabase);
  EXPECT_TRUE(absl::IsDataLoss(Reopened().status()));
  EXPECT_EQ(BytesOf(directory_ + kDatabase), bytes);
}

// ---- Errors

// Lets files grow up to there, in this process, while it lives.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) {
    former_handler_ = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &former_);
    const rlimit limit = {bytes, former_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;
  ~FileLimit() {
    setrlimit(RLIMIT_FSIZE, &former_);
    signal(SIGXFSZ, former_handler_);
  }

 private:
  rlimit former_;
  sighandler_t former_handler_;
};

// C22: no other write follows, whether it would succeed or not.
TEST_F(SqliteTest, C22_AFailedWriteIsFinal) {
  {
    const std::unique_ptr<Storage> storage = Opened();
    ASSERT_TRUE(WriteTo(*storage, Entering(1)).ok());
    absl::Status failed;
    {
      const FileLimit limit(64 << 10);
      failed = WriteTo(*storage, Append({EntryAt(2, 1, std::string(256 << 10, 'x'))}));
    }
    ASSERT_TRUE(absl::IsUnavailable(failed)) << failed;
    EXPECT_THAT(std::string(failed.message()), HasSubstr(directory_ + kDatabase));
    // The disk has room again, and nothing of it is used.
    EXPECT_EQ(WriteTo(*storage, {}), failed);
    EXPECT_EQ(WriteTo(*storage, Append({EntryAt(3, 1)})), failed);
  }
  const std::unique_ptr<Storage> storage = New();
  EXPECT_THAT(Indexes(storage->Open({"n1", 7})->entries), ElementsAre(1));
  EXPECT_TRUE(WriteTo(*storage, Append({EntryAt(2, 1)})).ok());
}

TEST_F(SqliteTest, AFullDiskIsNoticedBeforeAMemberServes) {
  ASSERT_TRUE(WriteTo(*Opened(), Entering(1)).ok());
  {
    const FileLimit limit(1);
    EXPECT_TRUE(absl::IsUnavailable(Reopened().status()));
  }
  EXPECT_THAT(Indexes(Reopened()->entries), ElementsAre(1));
}

TEST_F(SqliteTest, MoreThanMayWaitIsAnErrorAndLosesNothingOfWhatWaits) {
  const std::unique_ptr<Storage> storage =
      NewStorage({.directory = directory_, .queue_bytes_max = 100000});
  ASSERT_TRUE(storage->Open({"n1", 7}).ok());
  ASSERT_TRUE(WriteTo(*storage, Entering(0)).ok());
  std::vector<absl::Status> done;
  const auto write = [&](raft::WriteBatch batch) {
    storage->Write(std::move(batch), [&](absl::Status status) { done.push_back(status); });
  };
  write(Append({EntryAt(1, 1)}));
  write(Append({EntryAt(2, 1, std::string(100000, 'x'))}));
  write(Append({EntryAt(2, 1)}));
  const absl::Status last = WriteTo(*storage, {});
  EXPECT_TRUE(absl::IsUnavailable(last));
  EXPECT_THAT(std::string(last.message()), HasSubstr("wait for the disk"));
  EXPECT_THAT(done, ElementsAre(absl::OkStatus(), last, last));
}

TEST_F(SqliteTest, NothingIsWrittenBeforeItIsOpen) {
  const std::unique_ptr<Storage> storage = New();
  EXPECT_TRUE(absl::IsFailedPrecondition(WriteTo(*storage, Entering(1))));
}

// ---- Crashes

// Killed in the midst of its writes, a process leaves all that it said was durable.
TEST_F(SqliteTest, SigkillLosesNothingThatWasAcknowledged) {
  Index before = 0;
  for (const Index awaited : {1u, 10u, 100u, 400u}) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      const std::unique_ptr<Storage> storage = New();
      Index last = storage->Open({"n1", 7})->entries.size();
      if (last == 0 && !WriteTo(*storage, Entering(0)).ok()) _exit(1);
      std::atomic<int> waiting = 0;
      while (true) {
        while (waiting > 20) {
        }
        ++waiting;
        const Index index = ++last;
        storage->Write(Append({EntryAt(index, 1, std::string(index % 5000, 'x'))}),
                       [&, index](absl::Status status) {
                         --waiting;
                         if (!status.ok()) _exit(1);
                         if (write(ends[1], &index, sizeof index) < 0) _exit(1);
                       });
      }
    }
    close(ends[1]);
    Index acknowledged = 0;
    while (acknowledged < before + awaited &&
           read(ends[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
    }
    kill(child, SIGKILL);
    while (read(ends[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
    }
    close(ends[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    const absl::StatusOr<Recovered> recovered = Reopened();
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    ASSERT_GE(recovered->entries.size(), acknowledged);
    for (Index i = 1; i <= recovered->entries.size(); ++i) {
      ASSERT_EQ(recovered->entries[i - 1].payload_bytes(), i % 5000);
    }
    before = recovered->entries.size();
  }
}

// The files as they stand between two transactions, while more of them wait.
TEST_F(SqliteTest, ACopyTakenInTheMidstOfWritesHasAllThatWasAcknowledged) {
  constexpr Index kEntries = 40;
  {
    const std::unique_ptr<Storage> storage = Opened();
    ASSERT_TRUE(WriteTo(*storage, Entering(0)).ok());
    for (Index index = 1; index <= kEntries; ++index) {
      storage->Write(Append({EntryAt(index, 1)}), [this, index](absl::Status status) {
        ASSERT_TRUE(status.ok());
        CopyDirectory(directory_, scratch_ / absl::StrCat("copy", index));
      });
    }
  }
  for (Index index = 1; index <= kEntries; ++index) {
    const absl::StatusOr<Recovered> recovered = Reopened(scratch_ / absl::StrCat("copy", index));
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    EXPECT_GE(recovered->entries.size(), index);
  }
}

// Wherever the last transaction's bytes end, it is cut, and what came before is there.
TEST_F(SqliteTest, ATornTailIsCut) {
  std::vector<std::size_t> ends;
  std::vector<std::string> held;
  const std::unique_ptr<Storage> storage = Opened();
  ASSERT_TRUE(WriteTo(*storage, Entering(0)).ok());
  for (Index index = 1; index <= 4; ++index) {
    raft::WriteBatch batch = Append({EntryAt(index, 1, std::string(index * 3000, 'x'))});
    ASSERT_TRUE(WriteTo(*storage, std::move(batch)).ok());
    ends.push_back(BytesOf(directory_ + kLog).size());
    CopyDirectory(directory_, scratch_ / "copy");
    held.push_back(*Look(scratch_ / "copy"));
  }
  const std::string log = BytesOf(directory_ + kLog);
  for (std::size_t i = 0; i + 1 < ends.size(); ++i) {
    for (std::size_t end = ends[i]; end < ends[i + 1]; end += 397) {
      PutBytes(scratch_ / "copy" + kLog, log.substr(0, end));
      ASSERT_EQ(*Look(scratch_ / "copy"), held[i]) << end;
      // Sectors that were never written, before others that were.
      std::string hole = log.substr(0, ends[i + 1]);
      for (std::size_t at = end; at < std::min(end + 512, hole.size()); ++at) hole[at] = 0;
      PutBytes(scratch_ / "copy" + kLog, hole);
      const absl::StatusOr<std::string> found = Look(scratch_ / "copy");
      ASSERT_TRUE(found.ok()) << found.status();
      ASSERT_TRUE(*found == held[i] || *found == held[i + 1]) << end;
    }
  }
  // And it goes on from there.
  PutBytes(scratch_ / "copy" + kLog, log.substr(0, ends[2] + 5000));
  {
    const std::unique_ptr<Storage> cut = Opened(scratch_ / "copy");
    ASSERT_TRUE(WriteTo(*cut, Append({EntryAt(4, 2)})).ok());
  }
  EXPECT_EQ(Reopened(scratch_ / "copy")->entries.back().term, 2u);
}

// ---- Upkeep

std::string Count(const std::string& directory, const std::string& what) {
  absl::StatusOr<Connection> other = Connection::Open(directory + kDatabase, false);
  return *other->Ask(absl::StrCat("SELECT count(*) FROM ", what).c_str());
}

TEST_F(SqliteTest, WhatWasTrimmedOrReplacedGoes) {
  const std::unique_ptr<Storage> storage = Opened();
  ASSERT_TRUE(WriteTo(*storage, Entering(10000)).ok());
  ASSERT_TRUE(WriteTo(*storage, LastPiece(2, 1, 0, "two")).ok());
  ASSERT_TRUE(WriteTo(*storage, Piece(9000, 0, "in the making, given up")).ok());
  ASSERT_TRUE(WriteTo(*storage, Piece(9500, 0, "ninety")).ok());
  raft::WriteBatch batch = LastPiece(9500, 1, 6, "-five");
  batch.trim_through = 9500;
  ASSERT_TRUE(WriteTo(*storage, std::move(batch)).ok());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(WriteTo(*storage, {}).ok());
  EXPECT_EQ(Count(directory_, "log"), "500");
  EXPECT_EQ(Count(directory_, "pieces"), "2");
  EXPECT_EQ(Whole(*storage, 9500), "ninety-five");
  // Another's, with another log: what is left of this one's is of no use.
  batch = LastPiece(9700, 8, 0, "foreign");
  batch.entries = {EntryAt(9701, 8)};
  ASSERT_TRUE(WriteTo(*storage, std::move(batch)).ok());
  EXPECT_EQ(Count(directory_, "log"), "1");
  EXPECT_EQ(Count(directory_, "pieces"), "1");
  const absl::StatusOr<Recovered> recovered = storage->Open({"n1", 7});
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_EQ(recovered->trimmed_through, 9700u);
  EXPECT_THAT(Indexes(recovered->entries), ElementsAre(9701));
  EXPECT_EQ(Whole(*storage, 9700), "foreign");
}

TEST_F(SqliteTest, TheFilesDoNotGrowForEver) {
  const std::unique_ptr<Storage> storage = Opened();
  ASSERT_TRUE(WriteTo(*storage, Entering(0)).ok());
  for (Index index = 1; index <= 100; ++index) {
    raft::WriteBatch batch = Append({EntryAt(index, 1, std::string(1 << 20, 'x'))});
    batch.trim_through = index < 2 ? 0 : index - 2;
    ASSERT_TRUE(WriteTo(*storage, std::move(batch)).ok());
  }
  EXPECT_LT(BytesOf(directory_ + kLog).size(), 20u << 20);
  EXPECT_LT(BytesOf(directory_ + kDatabase).size(), 10u << 20);
  EXPECT_THAT(Indexes(storage->Open({"n1", 7})->entries), ElementsAre(99, 100));
}

}  // namespace
}  // namespace tenure::sqlite
