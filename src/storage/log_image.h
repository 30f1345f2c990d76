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
  // Storage::Open. What a member wrote that never entered a cluster is forgotten here.
  absl::StatusOr<Recovered> Open(const MemberId& self);

  // All of the batch, or, if it does not fit what is held, none of it.
  absl::Status Apply(const raft::WriteBatch& batch);

  // Storage::Read.
  absl::StatusOr<std::vector<raft::Entry>> Read(Index first, Index last,
                                                std::size_t max_bytes) const;

  // Storage::ReadSnapshot.
  absl::StatusOr<raft::Payload> ReadSnapshot(Index index, std::uint64_t offset) const;

  Index last_index() const { return trimmed_through_ + entries_.size(); }

 private:
  // Pieces of one snapshot, by offset.
  struct Pieces {
    Index index = 0;
    std::uint64_t bytes = 0;
    std::map<std::uint64_t, raft::Payload> pieces;
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
  std::deque<raft::Entry> entries_;  // the first has index trimmed_through_ + 1
};

}  // namespace tenure

#endif  // TENURE_STORAGE_LOG_IMAGE_H_
