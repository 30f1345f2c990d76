// The file that a storage on disk keeps: what it holds is checked when it is opened, and changed
// one transaction at a time.
#ifndef TENURE_STORAGE_SQLITE_DATABASE_H_
#define TENURE_STORAGE_SQLITE_DATABASE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "storage/log_image.h"
#include "storage/sqlite_connection.h"
#include "storage/sqlite_directory.h"
#include "storage/sqlite_format.h"
#include "tenure/raft_types.h"

namespace tenure::sqlite {

// A batch, and what the image made of it.
struct Change {
  raft::WriteBatch batch;
  LogImage::Effect effect;
};

// What the image says of the head's fields; the rest is the database's.
Head HeadOf(const LogImage& image);

class Database {
 public:
  // Opens the database there or makes an empty one, and checks it from end to end. Nothing that it
  // held is changed. `image` is what it holds.
  static absl::StatusOr<std::unique_ptr<Database>> Open(std::unique_ptr<Directory> directory,
                                                        LogImage* image);

  // Once the image was opened for a member: drops what that did not take over.
  absl::Status Begin(const LogImage& image);

  // All of it or nothing, in one synced transaction. `after` is the image's, with all of it. The
  // database is of no use after an error.
  absl::Status Commit(absl::Span<const Change* const> changes, Head after);

  // A piece that was committed. On another thread than Commit, if one likes.
  absl::StatusOr<raft::Payload> ReadPiece(std::uint64_t number, std::uint64_t begin);

 private:
  struct Statements {
    Statement begin, commit, put_head, put_entry, put_piece, drop_entries, drop_pieces;
  };

  explicit Database(std::unique_ptr<Directory> directory) : directory_(std::move(directory)) {}

  absl::Status Load(LogImage* image);
  absl::StatusOr<bool> IsNew(std::uint64_t bytes);
  absl::Status Create();
  absl::Status CheckWhole();
  absl::StatusOr<Head> LoadHead();
  absl::Status LoadLog(const Head& head, std::vector<raft::Entry>* entries);
  absl::Status LoadPieces(const Head& head, std::vector<std::uint64_t>* begins);
  absl::Status PrepareHead();
  absl::Status Prepare();

  absl::Status Apply(const Change& change);
  absl::Status Append(const raft::Entry& entry);
  absl::Status PutPiece(const raft::SnapshotChunk& chunk, std::uint64_t number);
  absl::Status DropEntries(Index first, Index last);                   // both included
  absl::Status DropPieces(std::uint64_t first, std::uint64_t beyond);  // without `beyond`
  absl::Status DropSome();
  absl::Status DropAll();
  absl::Status PutHead(Head* head);
  absl::Status Damage(absl::string_view why) const { return Damaged(directory_->database(), why); }
  Index last_index() const { return trimmed_through_ + digests_.size(); }

  const std::unique_ptr<Directory> directory_;
  Connection writer_;
  Statements statements_;  // the writer's
  Connection reader_;      // of pieces; it waits for no transaction
  Statement read_piece_;

  Nonce nonce_ = {};
  std::uint64_t transaction_ = 0;  // the last
  // The log's ends, and the digests between them: the first is of trimmed_through_ + 1.
  Index trimmed_through_ = 0;
  Digest trimmed_digest_ = {};
  std::deque<Digest> digests_;
  // Rows from these numbers on may be left of what was trimmed or replaced.
  Index stale_entry_ = 0;
  std::uint64_t stale_piece_ = 0;
  // Of the snapshot that is held, and of the one in the making.
  std::uint64_t first_piece_ = 0;
  std::uint64_t making_piece_ = 0;
};

}  // namespace tenure::sqlite

#endif  // TENURE_STORAGE_SQLITE_DATABASE_H_
