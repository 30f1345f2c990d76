// Storages on disk, their files, and what they hold, for tests.
#ifndef TENURE_TESTS_STORAGE_SQLITE_FIXTURE_H_
#define TENURE_TESTS_STORAGE_SQLITE_FIXTURE_H_

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/sqlite_database.h"
#include "tenure/sqlite/storage.h"
#include "tests/storage/fixture.h"

namespace tenure::sqlite {

inline constexpr char kDatabase[] = "/tenure.db";
inline constexpr char kLog[] = "/tenure.db-wal";

inline std::string BytesOf(const std::string& file) {
  std::ostringstream bytes;
  bytes << std::ifstream(file, std::ios::binary).rdbuf();
  return bytes.str();
}

inline void PutBytes(const std::string& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

inline void CopyDirectory(const std::string& from, const std::string& to) {
  std::filesystem::remove_all(to);
  std::filesystem::copy(from, to);
}

// All that an image holds, but for its pieces' bytes, in a form that can be compared.
inline std::string Text(LogImage image) {
  Head head = HeadOf(image);
  head.transaction = 1;
  std::string text = EncodeHead(head);
  const absl::StatusOr<Recovered> recovered = image.Open(image.Held().self);
  EXPECT_TRUE(recovered.ok());
  for (const raft::Entry& entry : recovered->entries) absl::StrAppend(&text, EncodeEntry(entry));
  return text;
}

// What a directory holds, or why it cannot be read. Changes nothing in it.
inline absl::StatusOr<std::string> Look(const std::string& directory) {
  absl::StatusOr<std::unique_ptr<Directory>> held = HoldDirectory(directory);
  if (!held.ok()) return held.status();
  LogImage image;
  const absl::StatusOr<std::unique_ptr<Database>> database =
      Database::Open(*std::move(held), &image);
  if (!database.ok()) return database.status();
  return Text(std::move(image));
}

class SqliteTest : public ::testing::Test {
 protected:
  const ScratchDirectory scratch_;
  const std::string directory_ = scratch_ / "data";

  std::unique_ptr<Storage> New() const { return NewStorage({.directory = directory_}); }
  std::unique_ptr<Storage> Opened(const std::string& directory) const {
    std::unique_ptr<Storage> storage = NewStorage({.directory = directory});
    const absl::StatusOr<Recovered> recovered = storage->Open({"n1", 7});
    EXPECT_TRUE(recovered.ok()) << recovered.status();
    return storage;
  }
  std::unique_ptr<Storage> Opened() const { return Opened(directory_); }
  absl::StatusOr<Recovered> Reopened(const std::string& directory) const {
    return NewStorage({.directory = directory})->Open({"n1", 7});
  }
  absl::StatusOr<Recovered> Reopened() const { return Reopened(directory_); }
};

}  // namespace tenure::sqlite

#endif  // TENURE_TESTS_STORAGE_SQLITE_FIXTURE_H_
