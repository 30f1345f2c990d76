// The directory that a storage on disk lives in, and what it looks at there without SQLite.
#ifndef TENURE_STORAGE_SQLITE_DIRECTORY_H_
#define TENURE_STORAGE_SQLITE_DIRECTORY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/sqlite_format.h"

namespace tenure::sqlite {

// Held by its owner alone for as long as it lives. A seam: tests have directories that lose power.
class Directory {
 public:
  virtual ~Directory() = default;

  // The database's name, as SQLite is to open it in the VFS of that name; null: the system's.
  virtual std::string database() const = 0;
  virtual const char* vfs() const { return nullptr; }
  // SQLite's write-ahead log: what has not been copied into the database yet.
  std::string log() const { return database() + "-wal"; }

  // Of one of its files; 0 if there is no such file.
  virtual absl::StatusOr<std::uint64_t> FileBytes(const std::string& file) const = 0;
  // The same file from its beginning to its end, piece by piece.
  virtual absl::Status Scan(const std::string& file,
                            absl::FunctionRef<void(absl::string_view)> take) const = 0;
  // So that files that were made in it survive a power loss.
  virtual absl::Status Sync() const = 0;
  // For a database that is made in it.
  virtual absl::StatusOr<Nonce> NewNonce() = 0;
};

// The file system's. Makes it if it is missing, lets it survive a power loss, and locks it against
// other processes.
absl::StatusOr<std::unique_ptr<Directory>> HoldDirectory(const std::string& path);

// The greatest transaction whose seal stands anywhere in the log; 0: none, or there is no log.
absl::StatusOr<std::uint64_t> LastSealed(const Directory& directory, const Nonce& nonce);

}  // namespace tenure::sqlite

#endif  // TENURE_STORAGE_SQLITE_DIRECTORY_H_
