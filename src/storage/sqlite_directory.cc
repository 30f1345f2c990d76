#include "storage/sqlite_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tenure::sqlite {
namespace {

// A file descriptor, closed with it.
class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (descriptor_ >= 0) close(descriptor_);
  }

  int get() const { return descriptor_; }
  bool open() const { return descriptor_ >= 0; }

 private:
  int descriptor_;
};

absl::Status Errno(absl::string_view what, const std::string& path) {
  const int error = errno;
  const std::string said = absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(error));
  // A disk that fails, against what its owner can put right.
  if (error == EIO || error == ENOSPC || error == EDQUOT) return absl::UnavailableError(said);
  return absl::FailedPreconditionError(said);
}

absl::Status SyncDirectory(const std::string& path) {
  const Descriptor directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.open()) return Errno("open", path);
  if (fsync(directory.get()) != 0) return Errno("sync", path);
  return absl::OkStatus();
}

std::string ParentOf(const std::string& path) {
  const std::size_t last = path.find_last_not_of('/');
  const std::size_t slash = last == std::string::npos ? last : path.rfind('/', last);
  if (slash == std::string::npos) return path.empty() || path[0] != '/' ? "." : "/";
  return slash == 0 ? "/" : path.substr(0, slash);
}

class SystemDirectory final : public Directory {
 public:
  SystemDirectory(std::string path, Descriptor lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string database() const override { return path_ + "/tenure.db"; }
  absl::StatusOr<std::uint64_t> FileBytes(const std::string& file) const override;
  absl::Status Scan(const std::string& file,
                    absl::FunctionRef<void(absl::string_view)> take) const override;
  absl::Status Sync() const override { return SyncDirectory(path_); }
  absl::StatusOr<Nonce> NewNonce() override { return DrawNonce(); }

 private:
  const std::string path_;
  const Descriptor lock_;
};

absl::StatusOr<std::uint64_t> SystemDirectory::FileBytes(const std::string& file) const {
  struct stat found;
  if (stat(file.c_str(), &found) == 0) return static_cast<std::uint64_t>(found.st_size);
  if (errno == ENOENT) return 0;
  return Errno("look at", file);
}

absl::Status SystemDirectory::Scan(const std::string& file,
                                   absl::FunctionRef<void(absl::string_view)> take) const {
  const Descriptor opened(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!opened.open()) return errno == ENOENT ? absl::OkStatus() : Errno("open", file);
  std::string bytes(std::size_t{1} << 20, '\0');
  while (true) {
    const ssize_t got = read(opened.get(), bytes.data(), bytes.size());
    if (got == 0) return absl::OkStatus();
    if (got > 0) {
      take(absl::string_view(bytes).substr(0, static_cast<std::size_t>(got)));
    } else if (errno != EINTR) {
      return Errno("read", file);
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Directory>> HoldDirectory(const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError("a storage on disk needs a directory");
  if (mkdir(path.c_str(), 0700) == 0) {
    if (absl::Status synced = SyncDirectory(ParentOf(path)); !synced.ok()) return synced;
  } else if (errno != EEXIST) {
    return Errno("make the directory", path);
  }
  const std::string name = path + "/lock";
  Descriptor lock(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.open()) return Errno("open", name);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Errno("lock", name);
    return absl::FailedPreconditionError(
        absl::StrCat(path,
                     " is in use by another process: stop that one, or give this member a "
                     "directory of its own"));
  }
  return std::make_unique<SystemDirectory>(path, std::move(lock));
}

absl::StatusOr<std::uint64_t> LastSealed(const Directory& directory, const Nonce& nonce) {
  const absl::string_view mark(nonce.data(), nonce.size());
  std::uint64_t greatest = 0;
  std::string bytes;
  const absl::Status scanned = directory.Scan(directory.log(), [&](absl::string_view piece) {
    bytes.append(piece.data(), piece.size());
    const absl::string_view all = bytes;
    for (std::size_t at = all.find(mark); at != all.npos; at = all.find(mark, at + 1)) {
      greatest = std::max(greatest, ReadSeal(nonce, all.substr(at)));
    }
    // One that is cut here is found whole the next time.
    bytes.erase(0, bytes.size() - std::min(bytes.size(), kSealBytes - 1));
  });
  if (!scanned.ok()) return scanned;
  return greatest;
}

}  // namespace tenure::sqlite
