#include "tests/storage/virtual_file.h"

#include <algorithm>
#include <utility>

#include "testing/random.h"

namespace tenure::sqlite {
namespace {

// Over what is there, which grows if that does not reach so far.
void PutInto(std::string& bytes, std::uint64_t at, absl::string_view data) {
  if (data.empty()) return;
  bytes.resize(std::max<std::size_t>(bytes.size(), at + data.size()));
  std::copy(data.begin(), data.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
}

// The sector is as it was; what the file had not reached is empty there, and the file ends before
// it if nothing follows.
void PutBack(std::string& bytes, std::uint64_t sector, const std::string& before) {
  const std::size_t begin = sector * kSectorBytes;
  if (begin + kSectorBytes >= bytes.size()) {
    bytes.resize(std::min(bytes.size(), begin));
    PutInto(bytes, begin, before);
    return;
  }
  std::string whole = before;
  whole.resize(kSectorBytes);
  PutInto(bytes, begin, whole);
}

}  // namespace

void VirtualFile::Remember(std::uint64_t sector) {
  const auto [kept, is_new] = unsynced_.try_emplace(sector);
  kept->second.given_up = false;
  const std::size_t begin = sector * kSectorBytes;
  if (is_new && begin < bytes_.size()) kept->second.before = bytes_.substr(begin, kSectorBytes);
}

void VirtualFile::Write(std::uint64_t at, absl::string_view data) {
  unsynced_from_ = unsynced_.empty() ? at : std::min(unsynced_from_, at);
  Remember(at / kSectorBytes);
  PutInto(bytes_, at, data);
}

void VirtualFile::Truncate(std::uint64_t size) {
  if (size >= bytes_.size()) return;
  if (size == 0 && unsynced_.empty()) {
    if (!uncut_.has_value()) uncut_ = std::move(bytes_);
    bytes_.clear();
    return;
  }
  unsynced_from_ = unsynced_.empty() ? size : std::min(unsynced_from_, size);
  for (std::uint64_t sector = (bytes_.size() - 1) / kSectorBytes + 1;
       sector-- > size / kSectorBytes;) {
    Remember(sector);
  }
  bytes_.resize(size);
}

void VirtualFile::Sync() {
  uncut_.reset();
  std::map<std::uint64_t, Sector> synced = std::exchange(unsynced_, {});
  if (std::exchange(gave_up_, false)) {
    for (auto it = synced.begin(); it != synced.end();) {
      const auto sector = it++;
      if (sector->second.given_up) unsynced_.insert(synced.extract(sector));
    }
    gave_up_ = !unsynced_.empty();
  }
  if (synced.empty()) return;
  overwritten_ = std::move(synced);
  synced_from_ = unsynced_from_;
}

void VirtualFile::FailSync(raft::Prng& random) {
  gave_up_ = true;
  for (auto it = unsynced_.begin(); it != unsynced_.end();) {
    it->second.given_up = true;
    it = testing::DrawChance(random, 0.5) ? unsynced_.erase(it) : std::next(it);
  }
}

void VirtualFile::LosePower(raft::Prng& random) {
  std::string found = uncut_.has_value() && testing::DrawChance(random, 0.5) ? *uncut_ : "";
  const bool was_cut = found.empty();
  // Often none or all of it; otherwise each sector by itself.
  const std::uint64_t share = random.Below(4);
  const double lost = share == 0 ? 1 : share == 1 ? 0 : 0.5;
  std::map<std::uint64_t, std::string> kept;
  for (auto it = unsynced_.rbegin(); it != unsynced_.rend(); ++it) {
    const auto& [sector, was] = *it;
    if (was.given_up || testing::DrawChance(random, lost)) {
      PutBack(bytes_, sector, was.before);
    } else if (!was_cut) {
      kept[sector] = bytes_.substr(std::min(bytes_.size(), sector * kSectorBytes), kSectorBytes);
    }
  }
  if (!was_cut) {
    for (const auto& [sector, data] : kept) PutInto(found, sector * kSectorBytes, data);
    bytes_ = std::move(found);
  }
  unsynced_.clear();
  uncut_.reset();
}

std::string VirtualFile::OnDisk() const {
  if (uncut_.has_value()) return *uncut_;
  std::string found = bytes_;
  for (auto it = unsynced_.rbegin(); it != unsynced_.rend(); ++it) {
    PutBack(found, it->first, it->second.before);
  }
  return found;
}

void VirtualFile::Put(std::uint64_t at, absl::string_view data) { PutInto(bytes_, at, data); }

bool VirtualFile::Undo(std::uint64_t block, std::uint64_t block_bytes) {
  bool any = false;
  for (auto it = overwritten_.rbegin(); it != overwritten_.rend(); ++it) {
    if (block_bytes != 0 && it->first * kSectorBytes / block_bytes != block) continue;
    PutBack(bytes_, it->first, it->second.before);
    any = true;
  }
  return any;
}

}  // namespace tenure::sqlite
