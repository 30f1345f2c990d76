#include "storage/sqlite_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace tenure::sqlite {
namespace {

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

}  // namespace

Descriptor::~Descriptor() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::StatusOr<Directory> Directory::Hold(const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError("a storage on disk needs a directory");
  Directory directory;
  directory.path_ = path;
  if (mkdir(path.c_str(), 0700) == 0) {
    if (absl::Status synced = SyncDirectory(ParentOf(path)); !synced.ok()) return synced;
  } else if (errno != EEXIST) {
    return Errno("make the directory", path);
  }
  const std::string lock = path + "/lock";
  directory.lock_ = Descriptor(open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!directory.lock_.open()) return Errno("open", lock);
  if (flock(directory.lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Errno("lock", lock);
    return absl::FailedPreconditionError(
        absl::StrCat(path,
                     " is in use by another process: stop that one, or give this member a "
                     "directory of its own"));
  }
  return directory;
}

absl::Status Directory::Sync() const { return SyncDirectory(path_); }

absl::StatusOr<std::uint64_t> FileBytes(const std::string& file) {
  struct stat found;
  if (stat(file.c_str(), &found) == 0) return static_cast<std::uint64_t>(found.st_size);
  if (errno == ENOENT) return 0;
  return Errno("look at", file);
}

absl::StatusOr<std::uint64_t> LastSealed(const std::string& file, const Nonce& nonce) {
  const Descriptor opened(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!opened.open()) {
    if (errno == ENOENT) return 0;
    return Errno("open", file);
  }
  constexpr std::size_t kReadBytes = std::size_t{1} << 20;
  const absl::string_view mark(nonce.data(), nonce.size());
  std::uint64_t greatest = 0;
  std::string bytes;
  while (true) {
    const std::size_t kept = bytes.size();
    bytes.resize(kept + kReadBytes);
    const ssize_t got = read(opened.get(), bytes.data() + kept, kReadBytes);
    if (got < 0) {
      bytes.resize(kept);
      if (errno == EINTR) continue;
      return Errno("read", file);
    }
    bytes.resize(kept + static_cast<std::size_t>(got));
    const absl::string_view all = bytes;
    for (std::size_t at = all.find(mark); at != all.npos; at = all.find(mark, at + 1)) {
      greatest = std::max(greatest, ReadSeal(nonce, all.substr(at)));
    }
    if (got == 0) return greatest;
    // One that is cut here is found whole the next time.
    bytes.erase(0, bytes.size() - std::min(bytes.size(), kSealBytes - 1));
  }
}

}  // namespace tenure::sqlite
