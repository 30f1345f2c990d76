// What the tests of storages share: entries, snapshots, and a storage that is written to step by
// step.
#ifndef TENURE_TESTS_STORAGE_FIXTURE_H_
#define TENURE_TESTS_STORAGE_FIXTURE_H_

#include <cstdint>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/storage.h"

namespace tenure {

// A directory of a test's own.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tenure-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline raft::Entry EntryAt(Index index, Term term, const std::string& bytes = "xx") {
  raft::Entry entry;
  entry.index = index;
  entry.term = term;
  entry.kind = raft::EntryKind::kCommands;
  entry.stamp_ns = static_cast<std::int64_t>(index * 1000);
  entry.payload = std::make_shared<const std::string>(bytes);
  return entry;
}

inline std::shared_ptr<const raft::Configuration> ConfigurationOf(const std::string& name) {
  raft::Configuration configuration;
  configuration.voters = {{{name, 7}, "a:1"}, {{"z" + name, 8}, "a:2"}};
  configuration.learners = {{{"l", 9}, "a:3"}};
  return std::make_shared<const raft::Configuration>(configuration);
}

inline raft::WriteBatch Append(std::vector<raft::Entry> entries) {
  raft::WriteBatch batch;
  batch.entries = std::move(entries);
  return batch;
}

inline raft::WriteBatch Piece(Index index, std::uint64_t offset, const std::string& bytes) {
  raft::WriteBatch batch;
  batch.chunk = raft::SnapshotChunk{index, offset, std::make_shared<const std::string>(bytes)};
  return batch;
}

inline raft::SnapshotInfo Info(Index index, Term term, std::uint64_t bytes) {
  raft::SnapshotInfo info;
  info.index = index;
  info.term = term;
  info.stamp_ns = static_cast<std::int64_t>(index * 1000);
  info.configuration = ConfigurationOf("s");
  info.bytes = bytes;
  return info;
}

// The last piece, with what makes a snapshot of all of them.
inline raft::WriteBatch LastPiece(Index index, Term term, std::uint64_t offset,
                                  const std::string& bytes) {
  raft::WriteBatch batch = Piece(index, offset, bytes);
  batch.snapshot = Info(index, term, offset + bytes.size());
  return batch;
}

// With what a member enters its cluster.
inline raft::WriteBatch Entering(Index last) {
  raft::WriteBatch batch;
  batch.entered = ClusterId{1, 2};
  batch.hard_state = raft::HardState{.term = 3, .vote = {"n2", 5}};
  for (Index i = 1; i <= last; ++i) batch.entries.push_back(EntryAt(i, 1));
  return batch;
}

// Once it is durable.
inline absl::Status WriteTo(Storage& storage, raft::WriteBatch batch) {
  std::promise<absl::Status> done;
  storage.Write(std::move(batch), [&](absl::Status status) { done.set_value(std::move(status)); });
  return done.get_future().get();
}

inline std::vector<Index> Indexes(const std::vector<raft::Entry>& entries) {
  std::vector<Index> indexes;
  for (const raft::Entry& entry : entries) indexes.push_back(entry.index);
  return indexes;
}

// What a snapshot holds, read piece by piece.
inline std::string Whole(Storage& storage, Index index) {
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

}  // namespace tenure

#endif  // TENURE_TESTS_STORAGE_FIXTURE_H_
