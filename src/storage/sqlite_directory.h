// The directory that a storage on disk lives in: made, locked, and looked at without SQLite.
#ifndef TENURE_STORAGE_SQLITE_DIRECTORY_H_
#define TENURE_STORAGE_SQLITE_DIRECTORY_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/sqlite_format.h"

namespace tenure::sqlite {

// A file descriptor, closed with it.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Descriptor();

  int get() const { return descriptor_; }
  bool open() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

// Held by this process alone for as long as it lives.
class Directory {
 public:
  // Makes it if it is missing, and lets it survive a power loss.
  static absl::StatusOr<Directory> Hold(const std::string& path);

  std::string database() const { return path_ + "/tenure.db"; }
  // SQLite's write-ahead log: what has not been copied into the database yet.
  std::string log() const { return path_ + "/tenure.db-wal"; }
  // So that files that were made in it survive a power loss.
  absl::Status Sync() const;

 private:
  std::string path_;
  Descriptor lock_;
};

// 0 if there is no such file.
absl::StatusOr<std::uint64_t> FileBytes(const std::string& file);

// The greatest transaction whose seal stands anywhere in the file; 0: none, or there is no file.
absl::StatusOr<std::uint64_t> LastSealed(const std::string& file, const Nonce& nonce);

}  // namespace tenure::sqlite

#endif  // TENURE_STORAGE_SQLITE_DIRECTORY_H_
