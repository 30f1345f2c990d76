#include "tests/storage/virtual_files.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "testing/random.h"
#include "tests/storage/virtual_vfs.h"

namespace tenure::sqlite {
namespace {

constexpr char kDatabaseName[] = "tenure.db";
constexpr char kLogName[] = "tenure.db-wal";
constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kLogHeaderBytes = 32;
constexpr std::uint64_t kFrameBytes = kPageBytes + 24;

}  // namespace

// ---- As the storage sees it
// ---------------------------------------------------------------------------

class VirtualDirectory final : public Directory {
 public:
  explicit VirtualDirectory(VirtualFiles& files) : files_(files) {}

  std::string database() const override { return kDatabaseName; }
  const char* vfs() const override { return files_.vfs_->name.c_str(); }
  absl::StatusOr<std::uint64_t> FileBytes(const std::string& name) const override {
    const VirtualFile* const file = files_.Find(name);
    return file == nullptr ? 0 : file->bytes().size();
  }
  absl::Status Scan(const std::string& name,
                    absl::FunctionRef<void(absl::string_view)> take) const override {
    if (const VirtualFile* const file = files_.Find(name); file != nullptr) take(file->bytes());
    return absl::OkStatus();
  }
  absl::Status Sync() const override {
    if (files_.SyncNames() == SQLITE_OK) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("cannot sync: ", files_.last_fault()));
  }
  absl::StatusOr<Nonce> NewNonce() override {
    Nonce nonce;
    for (char& byte : nonce) byte = static_cast<char>(files_.random_.Below(256));
    return nonce;
  }

 private:
  VirtualFiles& files_;
};

VirtualFiles::VirtualFiles(std::uint64_t seed) : random_(seed), vfs_(std::make_unique<Vfs>(*this)) {
  // SQLite draws what tells one log from the next by a generator of its own, for all of a process.
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, static_cast<int>(1 + random_.Below(1u << 30)),
                       nullptr);
}
VirtualFiles::~VirtualFiles() = default;

std::unique_ptr<Directory> VirtualFiles::Hold() {
  return std::make_unique<VirtualDirectory>(*this);
}

VirtualFile* VirtualFiles::Find(const std::string& name) {
  const auto it = names_.find(name);
  return it == names_.end() ? nullptr : it->second.get();
}

// ---- While a process lives
// ----------------------------------------------------------------------------

bool VirtualFiles::Step() {
  if (!running()) {
    last_fault_ = "stopped";
    return false;
  }
  if (steps_left_ != std::numeric_limits<std::uint64_t>::max()) --steps_left_;
  return true;
}

int VirtualFiles::Fail(int code, const char* what) {
  last_fault_ = what;
  return code;
}

int VirtualFiles::Write(VirtualFile& file, std::uint64_t at, absl::string_view data) {
  const bool fails = std::exchange(fail_write_, false);
  if (fails) data = data.substr(0, random_.Below(data.size()));
  while (!data.empty()) {
    const std::size_t count = std::min<std::size_t>(data.size(), kSectorBytes - at % kSectorBytes);
    if (full_ && at + count > file.bytes().size()) return Fail(SQLITE_FULL, "full");
    if (!Step()) return SQLITE_IOERR_WRITE;
    file.Write(at, data.substr(0, count));
    at += count;
    data.remove_prefix(count);
  }
  return fails ? Fail(SQLITE_IOERR_WRITE, "failed write") : SQLITE_OK;
}

int VirtualFiles::Sync(VirtualFile& file) {
  if (!Step()) return SQLITE_IOERR_FSYNC;
  if (std::exchange(fail_sync_, false)) {
    file.FailSync(random_);
    return Fail(SQLITE_IOERR_FSYNC, "failed sync");
  }
  file.Sync();
  if (&file == Find(kDatabaseName)) ++database_syncs_;
  return SQLITE_OK;
}

int VirtualFiles::SyncNames() {
  if (!Step()) return SQLITE_IOERR_DIR_FSYNC;
  if (std::exchange(fail_sync_, false)) return Fail(SQLITE_IOERR_DIR_FSYNC, "failed sync");
  synced_names_ = names_;
  return SQLITE_OK;
}

// ---- Between two processes
// ----------------------------------------------------------------------------

void VirtualFiles::Restart(bool power_lost) {
  if (power_lost) {
    Names found;
    for (const Names* names : {&names_, &synced_names_}) {
      for (const auto& [name, file] : *names) {
        const bool sure = names_.contains(name) && synced_names_.contains(name);
        if (sure || testing::DrawChance(random_, 0.5)) found.emplace(name, file);
      }
    }
    names_ = synced_names_ = std::move(found);
    for (const auto& [name, file] : names_) file->LosePower(random_);
  }
  DoNotStop();
  FailNothing();
  last_fault_.clear();
}

// ---- While nobody has it open
// -------------------------------------------------------------------------

std::string VirtualFiles::Damage() {
  const std::string name = testing::DrawChance(random_, 0.5) ? kDatabaseName : kLogName;
  VirtualFile* const file = Find(name);
  if (file == nullptr || file->bytes().empty()) return "";
  const bool log = name == kLogName;
  const std::uint64_t size = file->bytes().size();
  const std::uint64_t block = log ? kFrameBytes : kPageBytes;
  const std::uint64_t head = log ? kLogHeaderBytes : 0;
  const auto any = [&](std::uint64_t bytes) { return random_.Below(size / bytes) * bytes; };
  switch (random_.Below(4)) {
    case 0: {
      const std::uint64_t at = random_.Below(size);
      const char flipped = static_cast<char>(file->bytes()[at] ^ (1 << random_.Below(8)));
      file->Put(at, absl::string_view(&flipped, 1));
      return absl::StrCat("a bit of ", name, " flips at ", at);
    }
    case 1: {
      const std::uint64_t unit = testing::DrawChance(random_, 0.5) ? block : kSectorBytes;
      if (size < head + 2 * unit) return "";
      const std::uint64_t from = head + random_.Below((size - head) / unit) * unit;
      const std::uint64_t to = head + random_.Below((size - head) / unit) * unit;
      if (from == to) return "";
      file->Put(to, file->bytes().substr(from, unit));
      return absl::StrCat(unit, " bytes of ", name, " at ", from, " stand at ", to);
    }
    case 2: {
      if (size < kSectorBytes) return "";
      const std::uint64_t at = any(kSectorBytes);
      file->Put(at, std::string(kSectorBytes, '\0'));
      return absl::StrCat("a sector of ", name, " is zero at ", at);
    }
    default: {
      if (file->overwritten().empty()) return "";
      // One page of it, or all.
      const bool one = testing::DrawChance(random_, 0.5);
      auto sector = file->overwritten().begin();
      std::advance(sector, static_cast<std::ptrdiff_t>(random_.Below(file->overwritten().size())));
      const std::uint64_t at = sector->first * kSectorBytes / kPageBytes;
      if (!file->Undo(at, one ? kPageBytes : 0)) return "";
      return absl::StrCat("what was last written to ", name, one ? " in one page" : "",
                          " never came to the disk");
    }
  }
}

VirtualFiles::Copied VirtualFiles::Copy() const {
  Copied copied;
  for (const auto& [name, file] : synced_names_) copied[name] = file->OnDisk();
  return copied;
}

VirtualFiles::Copied VirtualFiles::CopyWithoutLast() const {
  Copied copied;
  for (const auto& [name, file] : names_) {
    copied[name] = file->bytes().substr(
        0, name == kLogName ? std::min<std::uint64_t>(file->synced_from(), file->bytes().size())
                            : std::string::npos);
  }
  return copied;
}

void VirtualFiles::PutBack(const Copied& copied) {
  names_.clear();
  for (const auto& [name, bytes] : copied) {
    names_[name] = std::make_shared<VirtualFile>();
    names_[name]->Put(0, bytes);
  }
  synced_names_ = names_;
}

}  // namespace tenure::sqlite
