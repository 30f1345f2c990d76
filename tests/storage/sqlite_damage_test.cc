// Files that have rotted: what was acknowledged is there, or its loss is reported.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/sqlite_connection.h"
#include "tests/storage/sqlite_fixture.h"

namespace tenure::sqlite {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::size_t kPage = 4096;
constexpr std::size_t kFrame = kPage + 24;

class SqliteDamageTest : public SqliteTest {
 protected:
  // A log with all kinds of entries, a snapshot of several pieces, and what is left of others.
  void Fill() const {
    const std::unique_ptr<Storage> storage = Opened();
    raft::WriteBatch batch = Entering(20);
    batch.entries[0].kind = raft::EntryKind::kConfiguration;
    batch.entries[0].configuration = ConfigurationOf("n1");
    batch.entries[9].payload = std::make_shared<const std::string>(9000, 'p');
    ASSERT_TRUE(WriteTo(*storage, std::move(batch)).ok());
    ASSERT_TRUE(WriteTo(*storage, LastPiece(3, 1, 0, std::string(5000, 'a'))).ok());
    ASSERT_TRUE(WriteTo(*storage, Piece(5, 0, std::string(5000, 'b'))).ok());
    batch = LastPiece(5, 1, 5000, "end");
    batch.trim_through = 4;
    ASSERT_TRUE(WriteTo(*storage, std::move(batch)).ok());
    ASSERT_TRUE(WriteTo(*storage, Piece(7, 0, std::string(2000, 'c'))).ok());
  }
  // Moves all of it into the database proper.
  void Settle() const { ASSERT_TRUE(Reopened().ok()); }

  // Changes the rows behind the storage's back, as no digest allows.
  void Change(const std::string& sql) const {
    absl::StatusOr<Connection> other = Connection::Open(directory_ + kDatabase, false);
    ASSERT_TRUE(other.ok());
    const absl::Status changed = other->Run(sql.c_str());
    ASSERT_TRUE(changed.ok()) << changed;
    ASSERT_EQ(*other->Ask("PRAGMA wal_checkpoint(TRUNCATE)"), "0");
  }
  void ExpectLoss(const std::string& why) const {
    const absl::Status status = Reopened().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(directory_), HasSubstr(why), HasSubstr("Move its directory away")));
  }
};

// C23: an entry that was acknowledged and has rotted is not taken for one that was never there.
TEST_F(SqliteDamageTest, C23_ACorruptCommittedEntryIsReportedNotCut) {
  {
    const std::unique_ptr<Storage> storage = Opened();
    ASSERT_TRUE(WriteTo(*storage, Entering(0)).ok());
    for (Index index = 1; index <= 5; ++index) {
      raft::WriteBatch batch = Append({EntryAt(index, 1, absl::StrCat("payload ", index))});
      ASSERT_TRUE(WriteTo(*storage, std::move(batch)).ok());
    }
  }
  Settle();
  const std::string intact = BytesOf(directory_ + kDatabase);
  for (const Index index : {1, 3, 5}) {
    std::string bytes = intact;
    const std::size_t at = bytes.find(absl::StrCat("payload ", index));
    ASSERT_NE(at, bytes.npos);
    bytes[at] ^= 0x10;
    PutBytes(directory_ + kDatabase, bytes);
    for (int again = 0; again < 2; ++again)
      ExpectLoss(absl::StrCat("entry ", index, " of its log"));
    EXPECT_EQ(BytesOf(directory_ + kDatabase), bytes) << "it was changed";
  }
  PutBytes(directory_ + kDatabase, intact);
  EXPECT_THAT(Indexes(Reopened()->entries), ElementsAre(1, 2, 3, 4, 5));
}

// C23: SQLite takes all that follows a bad frame of its log for the tail of a torn write.
TEST_F(SqliteDamageTest, C23_ARottenWriteAheadLogIsNotATornTail) {
  std::vector<std::size_t> ends;
  {
    const std::unique_ptr<Storage> storage = Opened();
    ASSERT_TRUE(WriteTo(*storage, Entering(0)).ok());
    for (Index index = 1; index <= 6; ++index) {
      ends.push_back(BytesOf(directory_ + kLog).size());
      ASSERT_TRUE(WriteTo(*storage, Append({EntryAt(index, 1)})).ok());
    }
  }
  const std::string intact = BytesOf(directory_ + kLog);
  for (std::size_t i = 0; i < 5; ++i) {
    // In the head of a frame, in its page, in the last frame of a transaction; and much of it.
    for (const auto& [at, count] :
         std::vector<std::pair<std::size_t, std::size_t>>{{ends[i], 1},
                                                          {ends[i] + 9, 1},
                                                          {ends[i] + 2000, 1},
                                                          {ends[i + 1] - kFrame + 7, 1},
                                                          {ends[i + 1] - 1, 1},
                                                          {ends[i], ends[i + 1] - ends[i]}}) {
      std::string bytes = intact;
      for (std::size_t j = at; j < at + count; ++j) bytes[j] ^= 0x55;
      PutBytes(directory_ + kLog, bytes);
      ExpectLoss("some of which were acknowledged");
      ASSERT_EQ(BytesOf(directory_ + kLog), bytes) << "it was changed";
    }
  }
  // Its head: SQLite would begin anew.
  std::string bytes = intact;
  bytes[3] ^= 1;
  PutBytes(directory_ + kLog, bytes);
  ExpectLoss("some of which were acknowledged");
  PutBytes(directory_ + kLog, intact);
  EXPECT_EQ(Reopened()->entries.size(), 6u);
}

TEST_F(SqliteDamageTest, ADatabaseThatIsGoneIsNotAnEmptyOne) {
  Fill();
  const std::string log = BytesOf(directory_ + kLog);
  ASSERT_GT(log.size(), kPage);
  for (const bool empty : {true, false}) {
    if (empty) PutBytes(directory_ + kDatabase, "");
    if (!empty) std::filesystem::remove(directory_ + kDatabase);
    ExpectLoss("left its log behind");
    EXPECT_EQ(BytesOf(directory_ + kLog), log);
  }
}

TEST_F(SqliteDamageTest, RowsThatAreMissingOrElsewhereAreNoticed) {
  Fill();
  Settle();
  CopyDirectory(directory_, scratch_ / "intact");
  const std::string kHead = "its head";
  for (const auto& [sql, why] : std::vector<std::pair<std::string, std::string>>{
           {"DELETE FROM log WHERE number=20", "ends with entry 19, and should with 20"},
           {"DELETE FROM log WHERE number=5", "entry 5 of its log is missing"},
           {"DELETE FROM log WHERE number=12", "entry 12 of its log is missing"},
           {"DELETE FROM log", "ends with entry 4, and should with 20"},
           {"UPDATE log SET number=21 WHERE number=20", "entry 20 of its log is missing"},
           {"UPDATE log SET content=(SELECT content FROM log WHERE number=7),"
            "digest=(SELECT digest FROM log WHERE number=7) WHERE number=8",
            "entry 8 of its log does not match"},
           {"INSERT INTO log SELECT 21,digest,content FROM log WHERE number=20", "entry 21"},
           {"DELETE FROM pieces WHERE number=1", "snapshot 5 has"},
           {"DELETE FROM pieces WHERE number=2", "snapshot 5 has"},
           {"UPDATE pieces SET content=x'00' WHERE number=2", "snapshot 5 does not match"},
           {"DELETE FROM head", kHead},
           {"UPDATE head SET record=x''", kHead},
           {"DROP TABLE pieces", "its tables"},
           {"CREATE TABLE more(x)", ""}}) {
    CopyDirectory(scratch_ / "intact", directory_);
    Change(sql);
    ExpectLoss(why);
  }
}

// As the head's page would be, had the disk lost its last write.
TEST_F(SqliteDamageTest, AnOlderHeadIsNoticed) {
  Fill();
  Settle();
  std::string record;
  {
    absl::StatusOr<Connection> other = Connection::Open(directory_ + kDatabase, false);
    record = *other->Ask("SELECT hex(record) FROM head");
  }
  ASSERT_TRUE(WriteTo(*Opened(), Append({EntryAt(21, 2)})).ok());
  Change(absl::StrCat("UPDATE head SET record=x'", record, "'"));
  ExpectLoss("ends with entry 21, and should with 20");
}

TEST_F(SqliteDamageTest, ARottenPieceIsNotServed) {
  Fill();
  Settle();
  const std::unique_ptr<Storage> storage = Opened();
  EXPECT_EQ(Whole(*storage, 5), std::string(5000, 'b') + "end");
  std::string bytes = BytesOf(directory_ + kDatabase);
  const std::size_t at = bytes.find(std::string(1000, 'b'));
  ASSERT_NE(at, bytes.npos);
  storage->Open({"n1", 7}).IgnoreError();  // so that SQLite remembers no page
  std::fstream(directory_ + kDatabase, std::ios::in | std::ios::out | std::ios::binary)
          .seekp(static_cast<std::streamoff>(at + 100))
      << '!';
  const absl::Status status = storage->ReadSnapshot(5, 100).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_EQ(**storage->ReadSnapshot(5, 5001), "nd");
}

// ---- Every byte

struct Outcome {
  std::size_t harmless = 0;
  std::size_t last_lost = 0;
  std::size_t reported = 0;
};

// Flips bytes of `file` in turn. What is found must be `held`, or, within [last_begin, ...), which
// the last transaction takes, `before`; or a loss is reported.
Outcome FlipBytes(const std::string& directory, const std::string& file, std::size_t stride,
                  const std::string& held, const std::string& before, std::size_t last_begin) {
  Outcome outcome;
  const std::string intact = BytesOf(file);
  std::string bytes = intact;
  // The head of the file byte by byte, those of pages and of frames nearly so.
  const auto step = [&](std::size_t at) { return at < 128 ? 1 : at % kPage < 128 ? 5 : stride; };
  for (std::size_t at = 0; at < bytes.size(); at += step(at)) {
    for (const char flip : {'\x01', '\x80'}) {
      bytes[at] = static_cast<char>(intact[at] ^ flip);
      PutBytes(file, bytes);
      const absl::StatusOr<std::string> found = Look(directory);
      if (!found.ok()) {
        const bool newer = absl::IsFailedPrecondition(found.status()) &&
                           absl::StrContains(found.status().message(), "newer version");
        EXPECT_TRUE(absl::IsDataLoss(found.status()) || newer) << at << ": " << found.status();
        ++outcome.reported;
      } else if (*found == held) {
        ++outcome.harmless;
      } else {
        EXPECT_EQ(*found, before) << "less than that at " << at;
        EXPECT_GE(at, last_begin) << "more than the last transaction is lost";
        ++outcome.last_lost;
      }
    }
    bytes[at] = intact[at];
  }
  PutBytes(file, intact);
  return outcome;
}

TEST_F(SqliteDamageTest, AnyByteOfTheDatabaseThatRotsIsHarmlessOrReported) {
  Fill();
  Settle();
  const std::string held = *Look(directory_);
  const Outcome outcome = FlipBytes(directory_, directory_ + kDatabase, 61, held, held, 0);
  EXPECT_GT(outcome.harmless, 0u);
  EXPECT_GT(outcome.reported, 0u);
  EXPECT_EQ(*Look(directory_), held);
}

TEST_F(SqliteDamageTest, AnyByteOfTheLogThatRotsIsReportedUnlessItIsTheLastTransactions) {
  Fill();
  Settle();
  const std::unique_ptr<Storage> storage = Opened();
  ASSERT_TRUE(WriteTo(*storage, Append({EntryAt(21, 2), EntryAt(22, 2)})).ok());
  ASSERT_TRUE(WriteTo(*storage, Append({EntryAt(23, 2)})).ok());
  CopyDirectory(directory_, scratch_ / "copy");
  const std::string before = *Look(scratch_ / "copy");
  const std::size_t last_begin = BytesOf(directory_ + kLog).size();
  ASSERT_TRUE(WriteTo(*storage, Append({EntryAt(24, 2)})).ok());
  CopyDirectory(directory_, scratch_ / "copy");
  const std::string held = *Look(scratch_ / "copy");
  const Outcome outcome =
      FlipBytes(scratch_ / "copy", scratch_ / "copy" + kLog, 61, held, before, last_begin);
  EXPECT_GT(outcome.last_lost, 0u);
  EXPECT_GT(outcome.reported, 0u);
}

}  // namespace
}  // namespace tenure::sqlite
