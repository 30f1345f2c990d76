// What every storage promises, whatever it is made of.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tenure/storage.h"
#include "tests/storage/fixture.h"
#ifdef TENURE_WITH_SQLITE
#include "tenure/sqlite/storage.h"
#endif

namespace tenure {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Kind {
  std::string name;
  bool durable = false;
  std::function<std::unique_ptr<Storage>(const std::string& directory)> make;
};

class StorageTest : public ::testing::TestWithParam<Kind> {
 protected:
  StorageTest() { EXPECT_TRUE(storage_->Open({"n1", 7}).ok()); }

  absl::Status Write(raft::WriteBatch batch) {
    batch.id = ++last_id_;
    return WriteTo(*storage_, std::move(batch));
  }
  void Enter(Index last) { ASSERT_TRUE(Write(Entering(last)).ok()); }

  const ScratchDirectory scratch_;
  const std::unique_ptr<Storage> storage_ = GetParam().make(scratch_ / "data");
  raft::WriteId last_id_ = 0;
};

std::vector<Kind> Kinds() {
  std::vector<Kind> kinds = {
      {"Memory", false, [](const std::string&) { return NewMemoryStorage(); }}};
#ifdef TENURE_WITH_SQLITE
  kinds.push_back({"Sqlite", true, [](const std::string& directory) {
                     return sqlite::NewStorage({.directory = directory});
                   }});
#endif
  return kinds;
}

INSTANTIATE_TEST_SUITE_P(All, StorageTest, ::testing::ValuesIn(Kinds()),
                         [](const ::testing::TestParamInfo<Kind>& kind) {
                           return kind.param.name;
                         });

TEST_P(StorageTest, FindsWhatTheFirstMemberLeft) {
  Enter(3);
  EXPECT_EQ(storage_->durable(), GetParam().durable);
  const absl::StatusOr<Recovered> recovered = storage_->Open({"n1", 8});
  ASSERT_TRUE(recovered.ok());
  EXPECT_EQ(recovered->cluster, (ClusterId{1, 2}));
  EXPECT_EQ(recovered->self, (MemberId{"n1", 7}));
  EXPECT_EQ(recovered->hard_state, (raft::HardState{.term = 3, .vote = {"n2", 5}}));
  EXPECT_THAT(Indexes(recovered->entries), ElementsAre(1, 2, 3));
  EXPECT_EQ(recovered->trimmed_through, 0u);
}

TEST_P(StorageTest, RefusesAnotherMember) {
  Enter(1);
  const absl::Status status = storage_->Open({"n2", 1}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("n1"));
}

TEST_P(StorageTest, ForgetsAMemberThatNeverEntered) {
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

TEST_P(StorageTest, KeepsWhatOthersAttestedAsItWasLastWritten) {
  Enter(1);
  const raft::Attested first{.who = {"n2", 5}, .term = 3, .vote = {"n1", 7}};
  const raft::Attested second{
      .who = {"n3", 6}, .term = 4, .match_index = 9, .match_term = 2, .applied = 8};
  for (const std::vector<raft::Attested>& table : {std::vector{first, second}, {second}}) {
    raft::WriteBatch batch;
    batch.attested = table;
    ASSERT_TRUE(Write(std::move(batch)).ok());
    ASSERT_TRUE(Write(Append({})).ok());  // which says nothing of it
    const absl::StatusOr<Recovered> recovered = storage_->Open({"n1", 7});
    ASSERT_TRUE(recovered.ok()) << recovered.status();
    EXPECT_EQ(recovered->attested, table);
  }
}

TEST_P(StorageTest, ForgetsAllWhenItIsTold) {
  Enter(5);
  ASSERT_TRUE(Write(LastPiece(4, 1, 0, "abcd")).ok());
  raft::WriteBatch batch;
  batch.attested = {{.who = {"n2", 5}, .term = 3}};
  ASSERT_TRUE(Write(std::move(batch)).ok());
  raft::WriteBatch forget;
  forget.forget = true;
  ASSERT_TRUE(Write(std::move(forget)).ok());
  const absl::StatusOr<Recovered> recovered = storage_->Open({"n1", 8});
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_TRUE(recovered->cluster.empty());
  EXPECT_TRUE(recovered->self.empty());
  EXPECT_THAT(recovered->entries, IsEmpty());
  EXPECT_THAT(recovered->attested, IsEmpty());
  EXPECT_FALSE(storage_->ReadSnapshot(4, 0).ok());
  // As new: another life begins on it.
  Enter(2);
  ASSERT_TRUE(Write(LastPiece(2, 1, 0, "xy")).ok());
  const absl::StatusOr<Recovered> next = storage_->Open({"n1", 9});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->self, (MemberId{"n1", 8}));
  EXPECT_THAT(Indexes(next->entries), ElementsAre(1, 2));
  EXPECT_EQ(Whole(*storage_, 2), "xy");
}

TEST_P(StorageTest, TruncatesBeforeItAppends) {
  Enter(5);
  raft::WriteBatch batch;
  batch.truncate_from = 3;
  batch.entries.push_back(EntryAt(3, 2));
  ASSERT_TRUE(Write(std::move(batch)).ok());
  const absl::StatusOr<Recovered> recovered = storage_->Open({"n1", 7});
  EXPECT_THAT(Indexes(recovered->entries), ElementsAre(1, 2, 3));
  EXPECT_EQ(recovered->entries[2].term, 2u);
}

TEST_P(StorageTest, RemembersWhatATrimmedLogBeganWith) {
  Enter(2);
  const auto configuration = ConfigurationOf("n1");
  raft::WriteBatch batch;
  batch.entries = {EntryAt(3, 2), EntryAt(4, 2), EntryAt(5, 2)};
  batch.entries[0].configuration = configuration;
  batch.trim_through = 4;
  ASSERT_TRUE(Write(std::move(batch)).ok());
  const absl::StatusOr<Recovered> recovered = storage_->Open({"n1", 7});
  EXPECT_EQ(recovered->trimmed_through, 4u);
  EXPECT_EQ(recovered->trimmed_term, 2u);
  EXPECT_EQ(recovered->trimmed_stamp_ns, 4000);
  ASSERT_NE(recovered->trimmed_configuration, nullptr);
  EXPECT_EQ(*recovered->trimmed_configuration, *configuration);
  EXPECT_THAT(Indexes(recovered->entries), ElementsAre(5));
  EXPECT_EQ(storage_->Read(4, 5, 100).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(Indexes(*storage_->Read(5, 5, 100)), ElementsAre(5));
}

TEST_P(StorageTest, ReadsWithinALimitButAtLeastOne) {
  Enter(4);
  EXPECT_THAT(Indexes(*storage_->Read(1, 4, 1000)), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(Indexes(*storage_->Read(2, 4, 5)), ElementsAre(2, 3));
  EXPECT_THAT(Indexes(*storage_->Read(2, 4, 0)), ElementsAre(2));
  EXPECT_EQ(storage_->Read(2, 5, 1000).status().code(), absl::StatusCode::kOutOfRange);
}

TEST_P(StorageTest, SharesThePayloads) {
  raft::WriteBatch batch;
  batch.entries.push_back(EntryAt(1, 1));
  const raft::Payload payload = batch.entries[0].payload;
  ASSERT_TRUE(Write(std::move(batch)).ok());
  EXPECT_EQ((*storage_->Read(1, 1, 100))[0].payload, payload);
}

TEST_P(StorageTest, AnErrorIsFinalAndLeavesNothingOfItsBatch) {
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

TEST_P(StorageTest, RefusesToCutWhatWasTrimmed) {
  Enter(4);
  raft::WriteBatch trim;
  trim.trim_through = 3;
  ASSERT_TRUE(Write(std::move(trim)).ok());
  raft::WriteBatch cut;
  cut.truncate_from = 3;
  EXPECT_FALSE(Write(std::move(cut)).ok());
}

// ---- Snapshots

TEST_P(StorageTest, ASnapshotCountsOnceItIsComplete) {
  Enter(5);
  ASSERT_TRUE(Write(Piece(3, 0, "abc")).ok());
  EXPECT_TRUE(absl::IsNotFound(storage_->ReadSnapshot(3, 0).status()));
  raft::WriteBatch last = LastPiece(3, 1, 3, "de");
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

TEST_P(StorageTest, AnEarlierSnapshotHoldsUntilTheNextIsComplete) {
  Enter(5);
  ASSERT_TRUE(Write(LastPiece(2, 1, 0, "two")).ok());
  ASSERT_TRUE(Write(Piece(4, 0, "fo")).ok());
  EXPECT_EQ(Whole(*storage_, 2), "two");
  ASSERT_TRUE(storage_->Open({"n1", 7}).ok());  // whoever made the other is gone, and it with him
  EXPECT_EQ(Whole(*storage_, 2), "two");
  EXPECT_FALSE(Write(Piece(4, 2, "ur")).ok());
}

TEST_P(StorageTest, AForeignSnapshotReplacesTheLogInOneStep) {
  Enter(5);
  raft::WriteBatch batch = LastPiece(9, 2, 0, "nine");
  batch.entries = {EntryAt(10, 2)};
  ASSERT_TRUE(Write(std::move(batch)).ok());
  const absl::StatusOr<Recovered> recovered = storage_->Open({"n1", 7});
  ASSERT_TRUE(recovered.ok());
  EXPECT_EQ(recovered->trimmed_through, 9u);
  EXPECT_EQ(recovered->trimmed_term, 2u);
  EXPECT_EQ(recovered->trimmed_stamp_ns, 9000);
  ASSERT_NE(recovered->trimmed_configuration, nullptr);
  EXPECT_EQ(*recovered->trimmed_configuration, *ConfigurationOf("s"));
  EXPECT_THAT(Indexes(recovered->entries), ElementsAre(10));
}

TEST_P(StorageTest, RefusesSnapshotsWithGaps) {
  Enter(5);
  ASSERT_TRUE(Write(Piece(3, 0, "abc")).ok());
  raft::WriteBatch gap = Piece(3, 4, "e");
  gap.snapshot = Info(3, 1, 5);
  EXPECT_FALSE(Write(std::move(gap)).ok());
  EXPECT_TRUE(absl::IsNotFound(storage_->ReadSnapshot(3, 0).status()));
}

// All that makes up an entry and a hard state comes back as it was.
TEST_P(StorageTest, KeepsEveryFieldOfAnEntry) {
  raft::WriteBatch batch = Entering(0);
  raft::Entry first;
  first.index = 1;
  first.term = 1;
  first.kind = raft::EntryKind::kConfiguration;
  first.stamp_ns = -5;
  first.payload = std::make_shared<const std::string>(std::string("\0\xff", 2));
  first.configuration = ConfigurationOf("n1");
  raft::Entry second;
  second.index = 2;
  second.term = Term{1} << 40;
  second.stamp_ns = std::int64_t{1} << 60;
  batch.entries = {first, second};
  ASSERT_TRUE(Write(std::move(batch)).ok());
  const absl::StatusOr<Recovered> recovered = storage_->Open({"n1", 9});
  ASSERT_TRUE(recovered.ok());
  ASSERT_THAT(Indexes(recovered->entries), ElementsAre(1, 2));
  const raft::Entry& one = recovered->entries[0];
  EXPECT_EQ(one.term, 1u);
  EXPECT_EQ(one.kind, raft::EntryKind::kConfiguration);
  EXPECT_EQ(one.stamp_ns, -5);
  EXPECT_EQ(*one.payload, std::string("\0\xff", 2));
  EXPECT_EQ(*one.configuration, *first.configuration);
  const raft::Entry& two = recovered->entries[1];
  EXPECT_EQ(two.term, Term{1} << 40);
  EXPECT_EQ(two.kind, raft::EntryKind::kNoOp);
  EXPECT_EQ(two.stamp_ns, std::int64_t{1} << 60);
  EXPECT_EQ(two.payload_bytes(), 0u);
  EXPECT_EQ(two.configuration, nullptr);
}

TEST_P(StorageTest, CallsDoneInTheOrderOfTheWrites) {
  Enter(0);
  std::vector<Index> done;
  for (Index index = 1; index <= 300; ++index) {
    storage_->Write(Append({EntryAt(index, 1)}), [&done, index](absl::Status status) {
      EXPECT_TRUE(status.ok()) << status;
      done.push_back(index);
    });
    // What was written can be read, whether it is durable yet or not.
    ASSERT_THAT(Indexes(*storage_->Read(index, index, 100)), ElementsAre(index));
  }
  ASSERT_TRUE(Write({}).ok());
  ASSERT_EQ(done.size(), 300u);
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
}

TEST_P(StorageTest, ASnapshotCanBeReadAsSoonAsItIsWritten) {
  Enter(5);
  std::vector<std::future<absl::Status>> done;
  const auto write = [&](raft::WriteBatch batch) {
    auto promise = std::make_shared<std::promise<absl::Status>>();
    done.push_back(promise->get_future());
    storage_->Write(std::move(batch), [promise](absl::Status s) { promise->set_value(s); });
  };
  for (int round = 0; round < 20; ++round) {
    write(Piece(4, 0, "ab"));
    write(Piece(4, 2, ""));
    write(Piece(4, 2, "cd"));
    write(LastPiece(4, 1, 4, absl::StrCat(round)));
    EXPECT_EQ(Whole(*storage_, 4), absl::StrCat("abcd", round));
    write(Piece(5, 0, "in the making, and dropped"));
  }
  for (auto& each : done) EXPECT_TRUE(each.get().ok());
  EXPECT_EQ(Whole(*storage_, 4), "abcd19");
  ASSERT_TRUE(storage_->Open({"n1", 7}).ok());
  EXPECT_EQ(Whole(*storage_, 4), "abcd19");
}

}  // namespace
}  // namespace tenure
