// What a storage holds, as plain memory: the log, the hard state, and whose they are.
#ifndef TENURE_STORAGE_LOG_IMAGE_H_
#define TENURE_STORAGE_LOG_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/raft_types.h"
#include "tenure/storage.h"
#include "tenure/types.h"

namespace tenure {

// A value: copies share the entries' payloads.
class LogImage {
 public:
  // A piece of a snapshot. They are numbered in the order in which they are written, from 0, over
  // all snapshots: so those of one snapshot follow each other.
  struct Piece {
    std::uint64_t number = 0;
    std::uint64_t begin = 0;  // its offset in the snapshot
    raft::Payload data;       // null once it was released
  };
  // What a batch came to, beyond what it says itself.
  struct Effect {
    bool replaced_log = false;  // by a snapshot whose entry the log did not hold
    Index trimmed_through = 0;
    std::uint64_t piece = 0;  // the number of its chunk
  };

  LogImage() = default;
  // What a storage found. Its snapshot has the pieces of these offsets, numbered from `first_piece`
  // and kept elsewhere; the next one written will be `next_piece`.
  LogImage(Recovered held, std::uint64_t first_piece, const std::vector<std::uint64_t>& begins,
           std::uint64_t next_piece);

  // Storage::Open. What a member wrote that never entered a cluster is forgotten here.
  absl::StatusOr<Recovered> Open(const MemberId& self);

  // All of the batch, or, if it does not fit what is held, none of it.
  absl::Status Apply(const raft::WriteBatch& batch, Effect* effect = nullptr);

  // Storage::Read.
  absl::StatusOr<std::vector<raft::Entry>> Read(Index first, Index last,
                                                std::size_t max_bytes) const;

  // Storage::ReadSnapshot.
  absl::StatusOr<raft::Payload> ReadSnapshot(Index index, std::uint64_t offset) const;

  // The piece that has that byte. Errors as Storage::ReadSnapshot.
  absl::StatusOr<Piece> FindPiece(Index index, std::uint64_t offset) const;
  // Whoever keeps the pieces elsewhere: the bytes of this one need not be held here any longer.
  void Release(std::uint64_t number, std::uint64_t begin);

  Index last_index() const { return trimmed_through_ + entries_.size(); }
  // All that Open returns, but for the entries.
  Recovered Held() const;
  std::uint64_t first_piece() const { return pieces_.first; }  // of the snapshot
  std::uint64_t piece_count() const { return pieces_.pieces.size(); }
  std::uint64_t next_piece() const { return next_piece_; }

 private:
  // Pieces of one snapshot, by offset.
  struct Pieces {
    Index index = 0;
    std::uint64_t bytes = 0;
    std::uint64_t first = 0;
    std::map<std::uint64_t, Piece> pieces;
  };
  // The term of an entry that is held, or of the last that was trimmed; 0: neither.
  Term TermAt(Index index) const;
  absl::Status Check(const raft::WriteBatch& batch) const;
  void Trim(Index through);

  MemberId self_;
  ClusterId cluster_;
  raft::HardState hard_state_;
  Index trimmed_through_ = 0;
  Term trimmed_term_ = 0;
  std::int64_t trimmed_stamp_ns_ = 0;
  std::shared_ptr<const raft::Configuration> trimmed_configuration_;
  raft::SnapshotInfo snapshot_;
  std::vector<raft::Attested> attested_;
  Pieces pieces_;  // of it
  Pieces making_;
  std::uint64_t next_piece_ = 0;
  std::deque<raft::Entry> entries_;  // the first has index trimmed_through_ + 1
};

}  // namespace tenure

#endif  // TENURE_STORAGE_LOG_IMAGE_H_
