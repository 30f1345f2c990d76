#include "tenure/testing/disk.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tenure/testing/world.h"
#include "testing/disk_medium.h"

namespace tenure::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class VirtualDiskTest : public ::testing::Test {
 protected:
  VirtualDiskTest() : world_(1), node_(world_.AddNode("a", {.disk = {.durable = true}})) {
    node_.disk().SetLatency(absl::Milliseconds(1), absl::Milliseconds(2));
  }

  void Open() {
    storage_ = node_.NewStorage();
    const absl::StatusOr<Recovered> recovered = storage_->Open({"a", 1});
    ASSERT_TRUE(recovered.ok());
    recovered_.clear();
    for (const raft::Entry& entry : recovered->entries) recovered_.push_back(entry.index);
  }
  void Write(Index index) {
    raft::WriteBatch batch;
    batch.id = index;
    if (index == 1) batch.entered = ClusterId{1, 2};
    batch.entries.push_back({.index = index, .term = 1});
    storage_->Write(std::move(batch), [this, index](absl::Status status) {
      (status.ok() ? done_ : failed_).push_back(index);
    });
  }
  void KillAndReopen() {
    node_.Kill();
    storage_ = nullptr;
    node_.Restart();
    Open();
  }

  World world_;
  VirtualNode& node_;
  std::unique_ptr<Storage> storage_;
  std::vector<Index> recovered_;
  std::vector<Index> done_;
  std::vector<Index> failed_;
};

TEST_F(VirtualDiskTest, WritesCompleteInOrderAndLater) {
  Open();
  for (Index i = 1; i <= 3; ++i) Write(i);
  EXPECT_THAT(done_, IsEmpty());
  EXPECT_EQ(storage_->Read(1, 3, 100)->size(), 3u);
  world_.RunFor(absl::Milliseconds(2));
  EXPECT_THAT(done_, ElementsAre(1, 2, 3));
}

TEST_F(VirtualDiskTest, ACrashLosesWhatWasNotSynced) {
  Open();
  Write(1);
  world_.RunFor(absl::Milliseconds(2));
  Write(2);
  Write(3);
  node_.disk().KeepAtNextCrash(1);
  KillAndReopen();
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(done_, ElementsAre(1));
  EXPECT_THAT(recovered_, ElementsAre(1, 2));
  Write(3);
  KillAndReopen();
  EXPECT_THAT(recovered_, ElementsAre(1, 2));
}

TEST_F(VirtualDiskTest, AStalledDiskCompletesWhenItResumes) {
  Open();
  node_.disk().Stall();
  Write(1);
  world_.RunFor(absl::Seconds(5));
  EXPECT_THAT(done_, IsEmpty());
  EXPECT_EQ(node_.disk().pending_writes(), 1u);
  node_.disk().Resume();
  world_.RunFor(absl::ZeroDuration());
  EXPECT_THAT(done_, ElementsAre(1));
}

TEST_F(VirtualDiskTest, AFailureIsFinalForTheProcess) {
  Open();
  Write(1);
  node_.disk().FailNextWrite(absl::DataLossError("no sync"));
  Write(2);
  Write(3);
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(done_, ElementsAre(1));
  EXPECT_THAT(failed_, ElementsAre(2, 3));
  KillAndReopen();
  EXPECT_THAT(recovered_, ElementsAre(1));
  Write(2);
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(done_, ElementsAre(1, 2));
}

TEST_F(VirtualDiskTest, ADestroyedStorageHearsNothing) {
  Open();
  Write(1);
  storage_ = nullptr;
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(done_, IsEmpty());
}

// ---- What it is made of

// Fails from one commit on, and notes what it hears.
class BrokenMedium final : public DiskMedium {
 public:
  struct Heard {
    int commits_left = 1;
    std::vector<std::size_t> commits;  // of how many batches each
    std::vector<raft::WriteId> torn;   // 0: nothing was about to be written
  };
  explicit BrokenMedium(Heard& heard) : heard_(heard) {}

  absl::StatusOr<LogImage> Open(const MemberId& /*self*/) override { return LogImage(); }
  absl::Status Commit(absl::Span<const raft::WriteBatch* const> batches) override {
    heard_.commits.push_back(batches.size());
    return heard_.commits_left-- > 0 ? absl::OkStatus() : absl::UnavailableError("no sync");
  }
  absl::StatusOr<raft::Payload> ReadPiece(std::uint64_t /*number*/,
                                          std::uint64_t /*begin*/) override {
    return absl::NotFoundError("none");
  }
  void Crash(const raft::WriteBatch* next) override {
    heard_.torn.push_back(next == nullptr ? 0 : next->id);
  }
  void Wipe() override {}
  void Copy() override {}
  void GoBack() override {}

 private:
  Heard& heard_;
};

TEST_F(VirtualDiskTest, AnErrorOfTheMediumIsFinalForTheProcess) {
  BrokenMedium::Heard heard;
  SetMedium(node_.disk(), std::make_unique<BrokenMedium>(heard));
  Open();
  node_.disk().Stall();
  for (Index i = 1; i <= 2; ++i) Write(i);
  world_.RunFor(absl::Seconds(1));
  node_.disk().Resume();
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(done_, ElementsAre(1, 2));
  Write(3);
  Write(4);
  world_.RunFor(absl::Seconds(1));
  Write(5);
  world_.RunFor(absl::Seconds(1));
  EXPECT_THAT(done_, ElementsAre(1, 2));
  EXPECT_THAT(failed_, ElementsAre(3, 4, 5));
  EXPECT_EQ(heard.commits[0], 2u) << "what is due at once is one";
  KillAndReopen();
  EXPECT_THAT(heard.torn, ElementsAre(0));
}

TEST_F(VirtualDiskTest, TheMediumHearsWhatWasBeingWritten) {
  BrokenMedium::Heard heard{.commits_left = 10};
  SetMedium(node_.disk(), std::make_unique<BrokenMedium>(heard));
  Open();
  for (Index i = 1; i <= 3; ++i) Write(i);
  node_.disk().KeepAtNextCrash(1);
  KillAndReopen();
  EXPECT_THAT(heard.commits, ElementsAre(1));
  EXPECT_THAT(heard.torn, ElementsAre(2));
}

TEST(VirtualMemoryTest, CompletesWithinWriteAndDiesWithTheProcess) {
  World world(1);
  VirtualNode& node = world.AddNode("a");
  std::unique_ptr<Storage> storage = node.NewStorage();
  EXPECT_FALSE(storage->durable());
  ASSERT_TRUE(storage->Open({"a", 1}).ok());
  raft::WriteBatch batch;
  batch.id = 1;
  batch.entered = ClusterId{1, 2};
  batch.entries.push_back({.index = 1, .term = 1});
  bool done = false;
  storage->Write(std::move(batch), [&](absl::Status status) { done = status.ok(); });
  EXPECT_TRUE(done);
  node.Kill();
  storage = nullptr;
  node.Restart();
  storage = node.NewStorage();
  EXPECT_TRUE(storage->Open({"a", 2})->cluster.empty());
}

}  // namespace
}  // namespace tenure::testing
