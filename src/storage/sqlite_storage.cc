// The storage on disk: an image of what was written, for reads, and a thread that makes it durable.
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/log_image.h"
#include "storage/sqlite_database.h"
#include "tenure/sqlite/storage.h"

namespace tenure::sqlite {
namespace {

// What a batch holds in memory until it is durable.
std::size_t BytesOf(const raft::WriteBatch& batch) {
  std::size_t bytes = sizeof(raft::WriteBatch);
  for (const raft::Entry& entry : batch.entries) bytes += sizeof(entry) + entry.payload_bytes();
  if (batch.chunk && batch.chunk->data != nullptr) bytes += batch.chunk->data->size();
  return bytes;
}

class SqliteStorage final : public Storage {
 public:
  explicit SqliteStorage(StorageOptions options) : options_(std::move(options)) {}
  ~SqliteStorage() override { StopWriting(); }

  absl::StatusOr<Recovered> Open(const MemberId& self) override;
  void Write(raft::WriteBatch batch, absl::AnyInvocable<void(absl::Status) &&> done) override;
  absl::StatusOr<std::vector<raft::Entry>> Read(Index first, Index last,
                                                std::size_t max_bytes) override {
    const std::lock_guard lock(mutex_);
    return image_.Read(first, last, max_bytes);
  }
  absl::StatusOr<raft::Payload> ReadSnapshot(Index index, std::uint64_t offset) override;
  bool durable() const override { return true; }

 private:
  struct Waiting {
    Change change;
    absl::AnyInvocable<void(absl::Status) &&> done;
    absl::Status status;
    std::size_t bytes = 0;
  };

  absl::Status Take(Waiting& waiting);  // with the mutex held
  void StartWriting();
  void StopWriting();
  void WriteAll();
  absl::Status Commit(const std::vector<Waiting>& group, Head after);
  void Settle(const std::vector<Waiting>& group, const absl::Status& committed);

  const StorageOptions options_;
  std::unique_ptr<Database> database_;  // open
  std::thread writer_;

  std::mutex mutex_;
  std::condition_variable wake_;
  LogImage image_;       // with all that was passed to Write
  absl::Status failed_;  // final
  std::vector<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;  // with those that are being written
  bool stopping_ = false;
};

// ---- Opening

absl::StatusOr<Recovered> SqliteStorage::Open(const MemberId& self) {
  StopWriting();
  database_.reset();
  absl::StatusOr<std::unique_ptr<Directory>> directory = HoldDirectory(options_.directory);
  if (!directory.ok()) return directory.status();
  LogImage image;
  absl::StatusOr<std::unique_ptr<Database>> database =
      Database::Open(*std::move(directory), &image);
  if (!database.ok()) return database.status();
  absl::StatusOr<Recovered> recovered = image.Open(self);
  if (!recovered.ok()) {
    return absl::Status(recovered.status().code(),
                        absl::StrCat(options_.directory, ": ", recovered.status().message(),
                                     "; give each member the directory that is its own"));
  }
  if (absl::Status begun = (*database)->Begin(image); !begun.ok()) return begun;
  image_ = std::move(image);
  database_ = *std::move(database);
  StartWriting();
  return recovered;
}

// ---- Writing

void SqliteStorage::Write(raft::WriteBatch batch, absl::AnyInvocable<void(absl::Status) &&> done) {
  Waiting waiting;
  waiting.bytes = BytesOf(batch);
  waiting.change.batch = std::move(batch);
  waiting.done = std::move(done);
  {
    const std::lock_guard lock(mutex_);
    // After an error nothing more is taken: what follows would stand on what was refused.
    if (failed_.ok()) failed_ = Take(waiting);
    waiting.status = failed_;
    if (writer_.joinable()) {
      waiting_bytes_ += waiting.bytes;
      waiting_.push_back(std::move(waiting));
      wake_.notify_one();
      return;
    }
  }
  std::move(waiting.done)(waiting.status);
}

absl::Status SqliteStorage::Take(Waiting& waiting) {
  if (database_ == nullptr) return absl::FailedPreconditionError("the storage is not open");
  if (waiting_bytes_ + waiting.bytes > options_.queue_bytes_max) {
    return absl::UnavailableError(absl::StrCat(
        options_.directory, ": ", waiting_bytes_ + waiting.bytes,
        " bytes wait for the disk, more "
        "than ",
        options_.queue_bytes_max, ": it stands still, or is too slow for this member"));
  }
  return image_.Apply(waiting.change.batch, &waiting.change.effect);
}

void SqliteStorage::StartWriting() {
  stopping_ = false;
  writer_ = std::thread([this] { WriteAll(); });
}

void SqliteStorage::StopWriting() {
  if (!writer_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  writer_.join();
}

// On the writer's thread.
void SqliteStorage::WriteAll() {
  absl::Status committed;
  while (true) {
    std::vector<Waiting> group;
    Head after;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      group.swap(waiting_);
      // The image has all of the group and nothing that comes later.
      after = HeadOf(image_);
    }
    if (committed.ok()) committed = Commit(group, std::move(after));
    Settle(group, committed);
    for (Waiting& waiting : group) {
      std::move(waiting.done)(committed.ok() ? std::move(waiting.status) : committed);
    }
  }
}

absl::Status SqliteStorage::Commit(const std::vector<Waiting>& group, Head after) {
  std::vector<const Change*> changes;
  for (const Waiting& waiting : group) {
    if (waiting.status.ok()) changes.push_back(&waiting.change);
  }
  // Once a write was refused none is taken: all of the group, or none.
  if (changes.empty()) return absl::OkStatus();
  return database_->Commit(changes, std::move(after));
}

void SqliteStorage::Settle(const std::vector<Waiting>& group, const absl::Status& committed) {
  const std::lock_guard lock(mutex_);
  failed_.Update(committed);
  for (const Waiting& waiting : group) {
    waiting_bytes_ -= waiting.bytes;
    const auto& chunk = waiting.change.batch.chunk;
    if (chunk && committed.ok() && waiting.status.ok()) {
      image_.Release(waiting.change.effect.piece, chunk->offset);
    }
  }
}

// ---- Reading

absl::StatusOr<raft::Payload> SqliteStorage::ReadSnapshot(Index index, std::uint64_t offset) {
  absl::StatusOr<LogImage::Piece> piece;
  {
    const std::lock_guard lock(mutex_);
    piece = image_.FindPiece(index, offset);
  }
  if (!piece.ok()) return piece.status();
  absl::StatusOr<raft::Payload> data = std::move(piece->data);
  // Released once it was committed.
  if (*data == nullptr) data = database_->ReadPiece(piece->number, piece->begin);
  if (!data.ok() || piece->begin == offset) return data;
  return std::make_shared<const std::string>((*data)->substr(offset - piece->begin));
}

}  // namespace

std::unique_ptr<Storage> NewStorage(StorageOptions options) {
  return std::make_unique<SqliteStorage>(std::move(options));
}

}  // namespace tenure::sqlite
