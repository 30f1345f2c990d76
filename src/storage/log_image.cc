#include "storage/log_image.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tenure {

absl::StatusOr<Recovered> LogImage::Open(const MemberId& self) {
  if (cluster_.empty()) {
    *this = LogImage();
    self_ = self;
    return Recovered();
  }
  if (self.name != self_.name) {
    return absl::FailedPreconditionError(
        absl::StrCat("the storage holds the data of member ", self_.name, ", not of ", self.name));
  }
  Recovered recovered;
  recovered.cluster = cluster_;
  recovered.self = self_;
  recovered.hard_state = hard_state_;
  recovered.trimmed_through = trimmed_through_;
  recovered.trimmed_term = trimmed_term_;
  recovered.trimmed_stamp_ns = trimmed_stamp_ns_;
  recovered.trimmed_configuration = trimmed_configuration_;
  recovered.entries.assign(entries_.begin(), entries_.end());
  recovered.snapshot = snapshot_;
  recovered.attested = attested_;
  making_ = {};  // whoever made it is gone
  return recovered;
}

absl::Status LogImage::Check(const raft::WriteBatch& batch) const {
  if (batch.entered && !cluster_.empty() && *batch.entered != cluster_) {
    return absl::InternalError("a batch enters another cluster than the storage's");
  }
  std::uint64_t made = making_.bytes;
  if (batch.chunk) {
    const raft::SnapshotChunk& chunk = *batch.chunk;
    if (chunk.offset == 0) made = 0;
    if (chunk.data == nullptr || chunk.offset != made ||
        (chunk.offset != 0 && chunk.index != making_.index)) {
      return absl::InternalError(absl::StrCat("a batch adds to snapshot ", chunk.index, " at ",
                                              chunk.offset, " where ", making_.index, " has ",
                                              made));
    }
    made += chunk.data->size();
  }
  Index last = last_index();
  Index trimmed = trimmed_through_;
  if (batch.snapshot) {
    const Index index = batch.chunk ? batch.chunk->index : making_.index;
    if (batch.snapshot->index != index || batch.snapshot->bytes != made) {
      return absl::InternalError(absl::StrCat("a batch completes snapshot ", batch.snapshot->index,
                                              " of ", batch.snapshot->bytes, " bytes where ", index,
                                              " has ", made));
    }
    if (TermAt(index) != batch.snapshot->term) last = trimmed = index;
  }
  if (batch.truncate_from != 0) {
    if (batch.truncate_from <= trimmed) {
      return absl::InternalError(absl::StrCat("a batch truncates from ", batch.truncate_from,
                                              ", trimmed through ", trimmed));
    }
    last = std::min(last, batch.truncate_from - 1);
  }
  for (const raft::Entry& entry : batch.entries) {
    if (entry.index != ++last) {
      return absl::InternalError(
          absl::StrCat("a batch appends entry ", entry.index, " where ", last, " belongs"));
    }
  }
  return absl::OkStatus();
}

absl::Status LogImage::Apply(const raft::WriteBatch& batch) {
  if (absl::Status status = Check(batch); !status.ok()) return status;
  if (batch.forget) {
    *this = LogImage();
    return absl::OkStatus();
  }
  if (batch.entered) cluster_ = *batch.entered;
  if (batch.attested) attested_ = *batch.attested;
  if (batch.hard_state) hard_state_ = *batch.hard_state;
  if (batch.chunk) {
    if (batch.chunk->offset == 0) making_ = Pieces{batch.chunk->index, 0, {}};
    making_.pieces.emplace(making_.bytes, batch.chunk->data);
    making_.bytes += batch.chunk->data->size();
  }
  if (batch.snapshot) {
    snapshot_ = *batch.snapshot;
    pieces_ = std::exchange(making_, {});
    if (TermAt(snapshot_.index) != snapshot_.term) {
      entries_.clear();
      trimmed_through_ = snapshot_.index;
      trimmed_term_ = snapshot_.term;
      trimmed_stamp_ns_ = snapshot_.stamp_ns;
      trimmed_configuration_ = snapshot_.configuration;
    }
  }
  if (batch.truncate_from != 0 && batch.truncate_from <= last_index()) {
    entries_.resize(batch.truncate_from - 1 - trimmed_through_);
  }
  entries_.insert(entries_.end(), batch.entries.begin(), batch.entries.end());
  Trim(batch.trim_through);
  return absl::OkStatus();
}

void LogImage::Trim(Index through) {
  while (trimmed_through_ < through && !entries_.empty()) {
    const raft::Entry& entry = entries_.front();
    trimmed_through_ = entry.index;
    trimmed_term_ = entry.term;
    trimmed_stamp_ns_ = entry.stamp_ns;
    if (entry.configuration != nullptr) trimmed_configuration_ = entry.configuration;
    entries_.pop_front();
  }
}

Term LogImage::TermAt(Index index) const {
  if (index == trimmed_through_) return trimmed_term_;
  if (index < trimmed_through_ || index > last_index()) return 0;
  return entries_[index - trimmed_through_ - 1].term;
}

absl::StatusOr<raft::Payload> LogImage::ReadSnapshot(Index index, std::uint64_t offset) const {
  if (snapshot_.index != index || index == 0) {
    return absl::NotFoundError(absl::StrCat("snapshot ", index, " is not held"));
  }
  const auto piece = pieces_.pieces.find(offset);
  if (piece != pieces_.pieces.end()) return piece->second;
  const auto after = pieces_.pieces.upper_bound(offset);
  if (offset >= pieces_.bytes || after == pieces_.pieces.begin()) {
    return absl::OutOfRangeError(
        absl::StrCat("snapshot ", index, " ends at ", pieces_.bytes, ", before ", offset));
  }
  const auto& [begin, bytes] = *std::prev(after);
  return std::make_shared<const std::string>(bytes->substr(offset - begin));
}

absl::StatusOr<std::vector<raft::Entry>> LogImage::Read(Index first, Index last,
                                                        std::size_t max_bytes) const {
  if (first <= trimmed_through_ || last > last_index() || first > last) {
    return absl::OutOfRangeError(absl::StrCat("entries ", first, " to ", last,
                                              " are not all in the log, which has ",
                                              trimmed_through_ + 1, " to ", last_index()));
  }
  std::vector<raft::Entry> entries;
  std::size_t bytes = 0;
  for (Index index = first; index <= last; ++index) {
    const raft::Entry& entry = entries_[index - trimmed_through_ - 1];
    bytes += entry.payload_bytes();
    if (bytes > max_bytes && !entries.empty()) break;
    entries.push_back(entry);
  }
  return entries;
}

}  // namespace tenure
