// One file in memory, as its process sees it and as the disk would give it back after a power loss.
#ifndef TENURE_TESTS_STORAGE_VIRTUAL_FILE_H_
#define TENURE_TESTS_STORAGE_VIRTUAL_FILE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "raft/prng.h"

namespace tenure::sqlite {

inline constexpr std::size_t kSectorBytes = 512;

// Until it is synced, each sector is on the disk as it was last written, or as it was before that.
class VirtualFile {
 public:
  struct Sector {
    std::string before;
    bool given_up = false;  // by a sync that failed
  };

  // What reads see.
  const std::string& bytes() const { return bytes_; }

  // At most up to the end of a sector: that is what a disk writes as one.
  void Write(std::uint64_t at, absl::string_view data);
  void Truncate(std::uint64_t size);
  void Sync();
  // Some of what was not synced is on the disk. The rest is read as it was written and never will
  // be there: no later sync tries again, unless it is written anew.
  void FailSync(raft::Prng& random);
  void LosePower(raft::Prng& random);

  // What a power loss leaves that loses all it can.
  std::string OnDisk() const;
  // What rots, whether it was synced or not.
  void Put(std::uint64_t at, absl::string_view data);
  // The sectors that were synced last, in this block of so many bytes or in all of them, are as
  // they were before. False if there were none.
  bool Undo(std::uint64_t block, std::uint64_t block_bytes);
  // The last sync wrote nothing before that.
  std::uint64_t synced_from() const { return synced_from_; }
  // Where sectors begin that the last sync wrote.
  const std::map<std::uint64_t, Sector>& overwritten() const { return overwritten_; }

 private:
  void Remember(std::uint64_t sector);

  std::string bytes_;
  std::map<std::uint64_t, Sector> unsynced_;  // by number
  std::map<std::uint64_t, Sector> overwritten_;
  bool gave_up_ = false;  // any of them
  std::uint64_t unsynced_from_ = 0;
  std::uint64_t synced_from_ = 0;
  // All of it as it was before it was cut to nothing, which the disk may not have done.
  std::optional<std::string> uncut_;
};

}  // namespace tenure::sqlite

#endif  // TENURE_TESTS_STORAGE_VIRTUAL_FILE_H_
