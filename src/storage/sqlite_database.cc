// Changing a database, and reading pieces of its snapshot.
#include "storage/sqlite_database.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tenure::sqlite {
namespace {

// What was trimmed or replaced is dropped bit by bit, a transaction at a time: all of it at once
// would keep the next write waiting.
constexpr Index kDropEntries = 4096;
constexpr std::uint64_t kDropPieces = 64;
// The log beside the database is copied into it once it has so many pages: 16 MiB.
constexpr int kLogPages = 4096;

}  // namespace

absl::Status Database::Commit(absl::Span<const Change* const> changes, Head after) {
  if (absl::Status begun = writer_.Finish(statements_.begin); !begun.ok()) return begun;
  for (const Change* const change : changes) {
    if (absl::Status applied = Apply(*change); !applied.ok()) return applied;
  }
  if (absl::Status dropped = DropSome(); !dropped.ok()) return dropped;
  if (absl::Status put = PutHead(&after); !put.ok()) return put;
  if (absl::Status done = writer_.Finish(statements_.commit); !done.ok()) return done;
  if (writer_.log_pages() < kLogPages) return absl::OkStatus();
  return writer_.Ask("PRAGMA wal_checkpoint(PASSIVE)").status();
}

// In the order of LogImage::Apply.
absl::Status Database::Apply(const Change& change) {
  const raft::WriteBatch& batch = change.batch;
  if (batch.forget) return DropAll();
  absl::Status done;
  if (batch.chunk) done = PutPiece(*batch.chunk, change.effect.piece);
  if (batch.snapshot) {
    // What was made is held now, and all before it stale.
    first_piece_ = making_piece_;
    making_piece_ = change.effect.piece + (batch.chunk && !batch.chunk->data->empty() ? 1 : 0);
  }
  if (change.effect.replaced_log) {
    if (done.ok()) done = DropEntries(batch.snapshot->index + 1, last_index());
    trimmed_through_ = batch.snapshot->index;
    trimmed_digest_ = {};
    digests_.clear();
  }
  if (batch.truncate_from != 0 && batch.truncate_from <= last_index()) {
    if (done.ok()) done = DropEntries(batch.truncate_from, last_index());
    digests_.resize(batch.truncate_from - 1 - trimmed_through_);
  }
  for (const raft::Entry& entry : batch.entries) {
    if (done.ok()) done = Append(entry);
  }
  for (; trimmed_through_ < change.effect.trimmed_through; ++trimmed_through_) {
    trimmed_digest_ = digests_.front();
    digests_.pop_front();
  }
  return done;
}

absl::Status Database::Append(const raft::Entry& entry) {
  const std::string content = EncodeEntry(entry);
  const Digest digest =
      EntryDigest(digests_.empty() ? trimmed_digest_ : digests_.back(), entry.index, content);
  digests_.push_back(digest);
  statements_.put_entry.Bind(1, entry.index).Bind(2, View(digest)).Bind(3, content);
  return writer_.Finish(statements_.put_entry);
}

absl::Status Database::PutPiece(const raft::SnapshotChunk& chunk, std::uint64_t number) {
  if (chunk.offset == 0) {
    // Nobody goes on with what was in the making before.
    if (absl::Status dropped = DropPieces(making_piece_, number); !dropped.ok()) return dropped;
    making_piece_ = number;
  }
  if (chunk.data->empty()) return absl::OkStatus();
  const Digest digest = PieceDigest(number, chunk.offset, *chunk.data);
  statements_.put_piece.Bind(1, number).Bind(2, View(digest)).Bind(3, *chunk.data);
  return writer_.Finish(statements_.put_piece);
}

absl::Status Database::DropEntries(Index first, Index last) {
  if (first > last) return absl::OkStatus();
  statements_.drop_entries.Bind(1, first).Bind(2, last);
  return writer_.Finish(statements_.drop_entries);
}

absl::Status Database::DropPieces(std::uint64_t first, std::uint64_t beyond) {
  if (first >= beyond) return absl::OkStatus();
  statements_.drop_pieces.Bind(1, first).Bind(2, beyond);
  return writer_.Finish(statements_.drop_pieces);
}

absl::Status Database::DropSome() {
  const Index entries = std::min(trimmed_through_, stale_entry_ + kDropEntries - 1);
  if (absl::Status done = DropEntries(stale_entry_, entries); !done.ok()) return done;
  stale_entry_ = std::max(stale_entry_, entries + 1);
  const std::uint64_t pieces = std::min(first_piece_, stale_piece_ + kDropPieces);
  if (absl::Status done = DropPieces(stale_piece_, pieces); !done.ok()) return done;
  stale_piece_ = std::max(stale_piece_, pieces);
  return absl::OkStatus();
}

absl::Status Database::DropAll() {
  trimmed_through_ = 0;
  trimmed_digest_ = {};
  digests_.clear();
  stale_entry_ = 1;
  stale_piece_ = first_piece_ = making_piece_ = 0;
  return writer_.Run("DELETE FROM log;DELETE FROM pieces");
}

absl::Status Database::PutHead(Head* head) {
  head->nonce = nonce_;
  head->transaction = ++transaction_;
  head->trimmed_digest = trimmed_digest_;
  head->last_digest = digests_.empty() ? trimmed_digest_ : digests_.back();
  const std::string record = EncodeHead(*head);
  statements_.put_head.Bind(1, record);
  if (absl::Status done = writer_.Finish(statements_.put_head); !done.ok()) return done;
  return writer_.changes() == 1 ? absl::OkStatus() : Damage("its head is missing");
}

absl::StatusOr<raft::Payload> Database::ReadPiece(std::uint64_t number, std::uint64_t begin) {
  const int code = read_piece_.Bind(1, number).Step();
  absl::StatusOr<raft::Payload> piece = nullptr;
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    piece = reader_.Error(code);
  } else if (code == SQLITE_DONE ||
             View(PieceDigest(number, begin, read_piece_.Bytes(1))) != read_piece_.Bytes(0)) {
    piece = Damage(absl::StrCat("its snapshot does not match its digest at byte ", begin));
  } else {
    piece = std::make_shared<const std::string>(read_piece_.Bytes(1));
  }
  read_piece_.Reset();
  return piece;
}

}  // namespace tenure::sqlite
