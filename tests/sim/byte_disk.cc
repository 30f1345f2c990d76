#include "tests/sim/byte_disk.h"

#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "raft/prng.h"
#include "storage/sqlite_database.h"
#include "testing/random.h"
#include "tests/storage/virtual_files.h"

namespace tenure::sim {
namespace {

using sqlite::Change;
using sqlite::Database;
using sqlite::HeadOf;

// A transaction is some thirty sectors and a sync, a start up to a few hundred.
constexpr std::uint64_t kSectorsOfAWrite = 40;
constexpr std::uint64_t kSectorsOfAStart = 150;

bool Same(const raft::Entry& a, const raft::Entry& b) {
  const auto alike = [](const auto& one, const auto& other) {
    return one == other || (one != nullptr && other != nullptr && *one == *other);
  };
  return a.index == b.index && a.term == b.term && a.kind == b.kind && a.stamp_ns == b.stamp_ns &&
         a.payload_bytes() == b.payload_bytes() &&
         (a.payload_bytes() == 0 || *a.payload == *b.payload) &&
         alike(a.configuration, b.configuration);
}

// Whether both hold the same for whoever opens them.
bool Same(const LogImage& a, const LogImage& b) {
  const Recovered held = a.Held();
  if (held.cluster.empty() && b.Held().cluster.empty()) return true;  // nobody's
  if (a.last_index() != b.last_index()) return false;
  if (sqlite::EncodeHead(HeadOf(a)) != sqlite::EncodeHead(HeadOf(b))) return false;
  if (a.last_index() == held.trimmed_through) return true;
  constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();
  const auto of_a = a.Read(held.trimmed_through + 1, a.last_index(), kAll);
  const auto of_b = b.Read(held.trimmed_through + 1, b.last_index(), kAll);
  for (std::size_t i = 0; i < of_a->size(); ++i) {
    if (!Same((*of_a)[i], (*of_b)[i])) return false;
  }
  return true;
}

class SqliteDisk final : public ByteDisk {
 public:
  SqliteDisk(std::uint64_t seed, Marks& marks) : random_(seed), marks_(marks), files_(seed) {}

  // ---- DiskMedium
  absl::StatusOr<LogImage> Open(const MemberId& self) override;
  absl::Status Commit(absl::Span<const raft::WriteBatch* const> batches) override;
  absl::StatusOr<raft::Payload> ReadPiece(std::uint64_t number, std::uint64_t begin) override {
    if (database_ == nullptr) return absl::UnavailableError("nobody has it open");
    return database_->ReadPiece(number, begin);
  }
  void Crash(const raft::WriteBatch* next) override;
  void Wipe() override { PutBack({}, LogImage()); }
  void Copy() override { copied_.emplace(files_.Copy(), held_); }
  void GoBack() override {
    if (copied_.has_value()) PutBack(copied_->first, copied_->second);
  }

  // ---- ByteDisk
  void FailNextWrite() override { files_.FailNextWrite(); }
  void FailNextSync() override { files_.FailNextSync(); }
  void FailNothing() override { files_.FailNothing(); }
  void set_full(bool full) override { files_.set_full(full); }
  void CutNextOpen() override { files_.StopAfter(random_.Below(kSectorsOfAStart)); }
  std::string Damage() override;
  std::string fault() const override { return files_.last_fault(); }
  bool reported_damage() const override { return reported_; }
  bool lost_last() const override { return lost_last_; }

 private:
  absl::Status Load(LogImage* found);
  absl::Status Judge(const LogImage& found);
  void PutBack(const sqlite::VirtualFiles::Copied& files, LogImage held);

  raft::Prng random_;
  Marks& marks_;
  sqlite::VirtualFiles files_;
  std::unique_ptr<Database> database_;
  LogImage held_;                 // all that is durable
  std::optional<LogImage> torn_;  // with what was being written when the process ended
  bool damaged_ = false;
  std::optional<LogImage> before_last_;  // when it was damaged: without the last transaction
  std::optional<std::pair<sqlite::VirtualFiles::Copied, LogImage>> copied_;
  bool reported_ = false;
  bool lost_last_ = false;
};

absl::Status SqliteDisk::Load(LogImage* found) {
  absl::StatusOr<std::unique_ptr<Database>> database = Database::Open(files_.Hold(), found);
  if (!database.ok()) return database.status();
  database_ = *std::move(database);
  return Judge(*found);
}

absl::StatusOr<LogImage> SqliteDisk::Open(const MemberId& self) {
  reported_ = lost_last_ = false;
  LogImage found;
  absl::Status done = Load(&found);
  if (done.ok()) done = found.Open(self).status();
  if (done.ok()) done = database_->Begin(found);
  if (!done.ok()) {
    if (!files_.last_fault().empty()) {
      marks_.Visit(absl::StrCat("no start: ", files_.last_fault()));
      return done;
    }
    // A flipped bit may be of the number of the format.
    reported_ = damaged_ && (absl::IsDataLoss(done) || absl::StrContains(done.message(), "newer"));
    if (reported_) return done;
    return absl::InternalError(absl::StrCat("without cause: ", done.message()));
  }
  files_.DoNotStop();
  torn_.reset();
  before_last_.reset();
  damaged_ = false;
  held_ = found;
  return found;
}

absl::Status SqliteDisk::Judge(const LogImage& found) {
  const bool all = Same(found, held_);
  if (all || (torn_.has_value() && Same(found, *torn_))) {
    if (torn_.has_value()) marks_.Visit(all ? "torn write dropped" : "torn write found whole");
    if (damaged_) marks_.Visit("damage harmless");
    return absl::OkStatus();
  }
  if (before_last_.has_value() && Same(found, *before_last_)) {
    marks_.Visit("last transaction lost");
    lost_last_ = true;
    return absl::OkStatus();
  }
  return absl::InternalError(
      absl::StrCat(damaged_ ? "damage went unnoticed" : "after a crash it holds something else",
                   ": entries up to ", found.last_index(), " in term ",
                   found.Held().hard_state.term, ", and up to ", held_.last_index(), " in term ",
                   held_.Held().hard_state.term, " were durable"));
}

absl::Status SqliteDisk::Commit(absl::Span<const raft::WriteBatch* const> batches) {
  if (database_ == nullptr) return absl::UnavailableError("nobody has it open");
  std::optional<LogImage> before;
  if (files_.armed()) before = held_;
  std::vector<Change> changes;
  for (const raft::WriteBatch* const batch : batches) {
    Change& change = changes.emplace_back(Change{*batch, {}});
    if (absl::Status fits = held_.Apply(*batch, &change.effect); !fits.ok()) return fits;
  }
  std::vector<const Change*> all;
  for (const Change& change : changes) all.push_back(&change);
  const std::uint64_t syncs = files_.database_syncs();
  absl::Status done = database_->Commit(all, HeadOf(held_));
  if (files_.database_syncs() != syncs) marks_.Visit("log copied into the database by a write");
  if (!done.ok() && before.has_value()) {
    // It may be there all the same.
    torn_ = std::exchange(held_, *std::move(before));
    marks_.Visit(absl::StrCat("disk: ", files_.last_fault()));
  }
  return done;
}

void SqliteDisk::Crash(const raft::WriteBatch* next) {
  if (database_ != nullptr && next != nullptr) {
    marks_.Visit("killed in the midst of a write");
    files_.StopAfter(random_.Below(kSectorsOfAWrite));
    Commit({&next, 1}).IgnoreError();
  }
  files_.StopAfter(0);
  database_ = nullptr;
  const bool power_lost = testing::DrawChance(random_, 0.7);
  marks_.Visit(power_lost ? "power lost" : "power kept");
  files_.Restart(power_lost);
}

void SqliteDisk::PutBack(const sqlite::VirtualFiles::Copied& files, LogImage held) {
  files_.PutBack(files);
  held_ = std::move(held);
  torn_.reset();
  before_last_.reset();
  damaged_ = false;
}

std::string SqliteDisk::Damage() {
  // What cannot be told from a write that was cut short, whatever it was.
  sqlite::VirtualFiles cut(random_.Next());
  cut.PutBack(files_.CopyWithoutLast());
  LogImage before;
  if (Database::Open(cut.Hold(), &before).ok()) before_last_ = std::move(before);
  std::string what;
  while (what.empty()) what = files_.Damage();
  damaged_ = true;
  return what;
}

}  // namespace

bool HaveByteDisks() { return true; }
std::unique_ptr<ByteDisk> NewByteDisk(std::uint64_t seed, Marks& marks) {
  return std::make_unique<SqliteDisk>(seed, marks);
}

}  // namespace tenure::sim
