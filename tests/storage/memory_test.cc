#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tenure/storage.h"

namespace tenure {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

raft::Entry EntryAt(Index index, Term term, const std::string& bytes = "xx") {
  raft::Entry entry;
  entry.index = index;
  entry.term = term;
  entry.kind = raft::EntryKind::kCommands;
  entry.stamp_ns = static_cast<std::int64_t>(index * 1000);
  entry.payload = std::make_shared<const std::string>(bytes);
  return entry;
}

class MemoryStorageTest : public ::testing::Test {
 protected:
  MemoryStorageTest() { EXPECT_TRUE(storage_->Open({"n1", 7}).ok()); }

  absl::Status Write(raft::WriteBatch batch) {
    batch.id = ++last_id_;
    absl::Status result = absl::UnknownError("not done");
    storage_->Write(std::move(batch), [&](absl::Status status) { result = std::move(status); });
    return result;
  }
  void Enter(Index last) {
    raft::WriteBatch batch;
    batch.entered = ClusterId{1, 2};
    batch.hard_state = raft::HardState{.term = 3, .vote = {"n2", 5}};
    for (Index i = 1; i <= last; ++i) batch.entries.push_back(EntryAt(i, 1));
    ASSERT_TRUE(Write(std::move(batch)).ok());
  }
  static std::vector<Index> Indexes(const std::vector<raft::Entry>& entries) {
    std::vector<Index> indexes;
    for (const raft::Entry& entry : entries) indexes.push_back(entry.index);
    return indexes;
  }

  std::unique_ptr<Storage> storage_ = NewMemoryStorage();
  raft::WriteId last_id_ = 0;
};

TEST_F(MemoryStorageTest, FindsWhatTheFirstMemberLeft) {
  Enter(3);
  EXPECT_FALSE(storage_->durable());
  const absl::StatusOr<Recovered> recovered = storage_->Open({"n1", 8});
  ASSERT_TRUE(recovered.ok());
  EXPECT_EQ(recovered->cluster, (ClusterId{1, 2}));
  EXPECT_EQ(recovered->self, (MemberId{"n1", 7}));
  EXPECT_EQ(recovered->hard_state, (raft::HardState{.term = 3, .vote = {"n2", 5}}));
  EXPECT_THAT(Indexes(recovered->entries), ElementsAre(1, 2, 3));
  EXPECT_EQ(recovered->trimmed_through, 0u);
}

TEST_F(MemoryStorageTest, RefusesAnotherMember) {
  Enter(1);
  const absl::Status status = storage_->Open({"n2", 1}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("n1"));
}

TEST_F(MemoryStorageTest, ForgetsAMemberThatNeverEntered) {
  raft::WriteBatch batch;
  batch.hard_state = raft::HardState{.term = 3};
  batch.entries.push_back(EntryAt(1, 1));
  ASSERT_TRUE(Write(std::move(batch)).ok());
  const absl::StatusOr<Recovered> recovered = storage_->Open({"n2", 8});
  ASSERT_TRUE(recovered.ok());
  EXPECT_TRUE(recovered->cluster.empty());
  EXPECT_TRUE(recovered->self.empty());
  EXPECT_EQ(recovered->hard_state, raft::HardState());
  EXPECT_THAT(recovered->entries, IsEmpty());
}

TEST_F(MemoryStorageTest, TruncatesBeforeItAppends) {
  Enter(5);
  raft::WriteBatch batch;
  batch.truncate_from = 3;
  batch.entries.push_back(EntryAt(3, 2));
  ASSERT_TRUE(Write(std::move(batch)).ok());
  const absl::StatusOr<Recovered> recovered = storage_->Open({"n1", 7});
  EXPECT_THAT(Indexes(recovered->entries), ElementsAre(1, 2, 3));
  EXPECT_EQ(recovered->entries[2].term, 2u);
}

TEST_F(MemoryStorageTest, RemembersWhatATrimmedLogBeganWith) {
  Enter(2);
  auto configuration = std::make_shared<const raft::Configuration>();
  raft::WriteBatch batch;
  batch.entries = {EntryAt(3, 2), EntryAt(4, 2), EntryAt(5, 2)};
  batch.entries[0].configuration = configuration;
  batch.trim_through = 4;
  ASSERT_TRUE(Write(std::move(batch)).ok());
  const absl::StatusOr<Recovered> recovered = storage_->Open({"n1", 7});
  EXPECT_EQ(recovered->trimmed_through, 4u);
  EXPECT_EQ(recovered->trimmed_term, 2u);
  EXPECT_EQ(recovered->trimmed_stamp_ns, 4000);
  EXPECT_EQ(recovered->trimmed_configuration, configuration);
  EXPECT_THAT(Indexes(recovered->entries), ElementsAre(5));
  EXPECT_EQ(storage_->Read(4, 5, 100).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(Indexes(*storage_->Read(5, 5, 100)), ElementsAre(5));
}

TEST_F(MemoryStorageTest, ReadsWithinALimitButAtLeastOne) {
  Enter(4);
  EXPECT_THAT(Indexes(*storage_->Read(1, 4, 1000)), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(Indexes(*storage_->Read(2, 4, 5)), ElementsAre(2, 3));
  EXPECT_THAT(Indexes(*storage_->Read(2, 4, 0)), ElementsAre(2));
  EXPECT_EQ(storage_->Read(2, 5, 1000).status().code(), absl::StatusCode::kOutOfRange);
}

TEST_F(MemoryStorageTest, SharesThePayloads) {
  raft::WriteBatch batch;
  batch.entries.push_back(EntryAt(1, 1));
  const raft::Payload payload = batch.entries[0].payload;
  ASSERT_TRUE(Write(std::move(batch)).ok());
  EXPECT_EQ((*storage_->Read(1, 1, 100))[0].payload, payload);
}

TEST_F(MemoryStorageTest, AnErrorIsFinalAndLeavesNothingOfItsBatch) {
  Enter(2);
  raft::WriteBatch gap;
  gap.hard_state = raft::HardState{.term = 9};
  gap.entries.push_back(EntryAt(4, 1));
  EXPECT_EQ(Write(std::move(gap)).code(), absl::StatusCode::kInternal);
  raft::WriteBatch fine;
  fine.entries.push_back(EntryAt(3, 1));
  EXPECT_FALSE(Write(std::move(fine)).ok());
  const absl::StatusOr<Recovered> recovered = storage_->Open({"n1", 7});
  EXPECT_EQ(recovered->hard_state.term, 3u);
  EXPECT_THAT(Indexes(recovered->entries), ElementsAre(1, 2));
}

TEST_F(MemoryStorageTest, RefusesToCutWhatWasTrimmed) {
  Enter(4);
  raft::WriteBatch trim;
  trim.trim_through = 3;
  ASSERT_TRUE(Write(std::move(trim)).ok());
  raft::WriteBatch cut;
  cut.truncate_from = 3;
  EXPECT_FALSE(Write(std::move(cut)).ok());
}

// ---- Snapshots

raft::WriteBatch Piece(Index index, std::uint64_t offset, const std::string& bytes) {
  raft::WriteBatch batch;
  batch.chunk = raft::SnapshotChunk{index, offset, std::make_shared<const std::string>(bytes)};
  return batch;
}

raft::SnapshotInfo Info(Index index, Term term, std::uint64_t bytes) {
  raft::SnapshotInfo info;
  info.index = index;
  info.term = term;
  info.stamp_ns = static_cast<std::int64_t>(index * 1000);
  info.configuration = std::make_shared<const raft::Configuration>();
  info.bytes = bytes;
  return info;
}

// What a snapshot holds, read piece by piece.
std::string Whole(Storage& storage, Index index) {
  std::string whole;
  for (;;) {
    const absl::StatusOr<raft::Payload> piece = storage.ReadSnapshot(index, whole.size());
    if (!piece.ok()) {
      EXPECT_TRUE(absl::IsOutOfRange(piece.status())) << piece.status();
      return whole;
    }
    EXPECT_FALSE((*piece)->empty());
    whole += **piece;
  }
}

TEST_F(MemoryStorageTest, ASnapshotCountsOnceItIsComplete) {
  Enter(5);
  ASSERT_TRUE(Write(Piece(3, 0, "abc")).ok());
  EXPECT_TRUE(absl::IsNotFound(storage_->ReadSnapshot(3, 0).status()));
  raft::WriteBatch last = Piece(3, 3, "de");
  last.snapshot = Info(3, 1, 5);
  last.trim_through = 3;
  ASSERT_TRUE(Write(std::move(last)).ok());
  EXPECT_EQ(Whole(*storage_, 3), "abcde");
  EXPECT_EQ(**storage_->ReadSnapshot(3, 4), "e");
  const absl::StatusOr<Recovered> recovered = storage_->Open({"n1", 7});
  ASSERT_TRUE(recovered.ok());
  EXPECT_EQ(recovered->snapshot.index, 3u);
  EXPECT_EQ(recovered->snapshot.bytes, 5u);
  EXPECT_THAT(Indexes(recovered->entries), ElementsAre(4, 5));
}

TEST_F(MemoryStorageTest, AnEarlierSnapshotHoldsUntilTheNextIsComplete) {
  Enter(5);
  raft::WriteBatch first = Piece(2, 0, "two");
  first.snapshot = Info(2, 1, 3);
  ASSERT_TRUE(Write(std::move(first)).ok());
  ASSERT_TRUE(Write(Piece(4, 0, "fo")).ok());
  EXPECT_EQ(Whole(*storage_, 2), "two");
  ASSERT_TRUE(storage_->Open({"n1", 7}).ok());  // whoever made the other is gone, and it with him
  EXPECT_EQ(Whole(*storage_, 2), "two");
  EXPECT_FALSE(Write(Piece(4, 2, "ur")).ok());
}

TEST_F(MemoryStorageTest, AForeignSnapshotReplacesTheLogInOneStep) {
  Enter(5);
  raft::WriteBatch batch = Piece(9, 0, "nine");
  batch.snapshot = Info(9, 2, 4);
  batch.entries = {EntryAt(10, 2)};
  ASSERT_TRUE(Write(std::move(batch)).ok());
  const absl::StatusOr<Recovered> recovered = storage_->Open({"n1", 7});
  ASSERT_TRUE(recovered.ok());
  EXPECT_EQ(recovered->trimmed_through, 9u);
  EXPECT_EQ(recovered->trimmed_term, 2u);
  EXPECT_EQ(recovered->trimmed_stamp_ns, 9000);
  EXPECT_NE(recovered->trimmed_configuration, nullptr);
  EXPECT_THAT(Indexes(recovered->entries), ElementsAre(10));
}

TEST_F(MemoryStorageTest, RefusesSnapshotsWithGaps) {
  Enter(5);
  ASSERT_TRUE(Write(Piece(3, 0, "abc")).ok());
  raft::WriteBatch gap = Piece(3, 4, "e");
  gap.snapshot = Info(3, 1, 5);
  EXPECT_FALSE(Write(std::move(gap)).ok());
  EXPECT_TRUE(absl::IsNotFound(storage_->ReadSnapshot(3, 0).status()));
}

}  // namespace
}  // namespace tenure
