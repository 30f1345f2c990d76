// A disk in memory with the files of one storage on it, for SQLite: it loses power, fails, fills up
// and rots as it is told.
#ifndef TENURE_TESTS_STORAGE_VIRTUAL_FILES_H_
#define TENURE_TESTS_STORAGE_VIRTUAL_FILES_H_

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>

#include "raft/prng.h"
#include "storage/sqlite_directory.h"
#include "tests/storage/virtual_file.h"

namespace tenure::sqlite {

struct Vfs;  // as SQLite calls it

// Deterministic, whatever else is done with SQLite. One thread.
class VirtualFiles {
 public:
  explicit VirtualFiles(std::uint64_t seed);
  ~VirtualFiles();  // no database is open any more
  VirtualFiles(const VirtualFiles&) = delete;
  VirtualFiles& operator=(const VirtualFiles&) = delete;

  // For Database::Open. Not beyond this object.
  std::unique_ptr<Directory> Hold();

  // ---- While a process lives
  void FailNextWrite() { fail_write_ = true; }
  void FailNextSync() { fail_sync_ = true; }
  void FailNothing() { fail_write_ = fail_sync_ = false; }
  // No file grows until there is room again.
  void set_full(bool full) { full_ = full; }
  bool full() const { return full_; }
  // After so many sectors were written or files synced, all that is asked of it fails.
  void StopAfter(std::uint64_t steps) { steps_left_ = steps; }
  void DoNotStop() { steps_left_ = std::numeric_limits<std::uint64_t>::max(); }
  // Whether it was told to fail.
  bool armed() const {
    return full_ || fail_write_ || fail_sync_ ||
           steps_left_ != std::numeric_limits<std::uint64_t>::max();
  }
  // How often the database itself was synced, which its log is copied into at times.
  std::uint64_t database_syncs() const { return database_syncs_; }
  // What it was that failed last; empty: nothing did since Restart.
  const std::string& last_fault() const { return last_fault_; }

  // Between two processes: all works again, but for a full disk. If power was lost, so is some of
  // what was not synced; otherwise all is as it was written.
  void Restart(bool power_lost);

  // ---- While nobody has it open
  // One of: a bit flips, a page or a sector stands in another's place, a sector is zero, what was
  // synced last never came to the disk. Says which; nothing if there is nothing to damage.
  std::string Damage();
  using Copied = std::map<std::string, std::string>;
  Copied Copy() const;  // as a power loss would leave it that loses all it can
  // As a process sees it, but for what the last sync wrote to the log, and all after that.
  Copied CopyWithoutLast() const;
  void PutBack(const Copied& copied);

 private:
  friend struct Vfs;
  friend class VirtualDirectory;
  using Names = std::map<std::string, std::shared_ptr<VirtualFile>>;

  bool running() const { return steps_left_ > 0; }
  bool Step();  // false: it stopped before
  int Fail(int code, const char* what);
  int Write(VirtualFile& file, std::uint64_t at, absl::string_view data);
  int Sync(VirtualFile& file);
  int SyncNames();
  VirtualFile* Find(const std::string& name);

  raft::Prng random_;
  Names names_;
  Names synced_names_;  // what a power loss leaves for certain
  std::uint64_t steps_left_ = std::numeric_limits<std::uint64_t>::max();
  bool full_ = false;
  bool fail_write_ = false;
  bool fail_sync_ = false;
  std::string last_fault_;
  std::uint64_t database_syncs_ = 0;
  const std::unique_ptr<Vfs> vfs_;
};

}  // namespace tenure::sqlite

#endif  // TENURE_TESTS_STORAGE_VIRTUAL_FILES_H_
