#include "storage/log_image.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tenure {

LogImage::LogImage(Recovered held, std::uint64_t first_piece,
                   const std::vector<std::uint64_t>& begins, std::uint64_t next_piece)
    : self_(std::move(held.self)),
      cluster_(held.cluster),
      hard_state_(std::move(held.hard_state)),
      trimmed_through_(held.trimmed_through),
      trimmed_term_(held.trimmed_term),
      trimmed_stamp_ns_(held.trimmed_stamp_ns),
      trimmed_configuration_(std::move(held.trimmed_configuration)),
      snapshot_(std::move(held.snapshot)),
      attested_(std::move(held.attested)),
      next_piece_(next_piece),
      entries_(std::make_move_iterator(held.entries.begin()),
               std::make_move_iterator(held.entries.end())) {
  pieces_.index = snapshot_.index;
  pieces_.bytes = snapshot_.bytes;
  pieces_.first = first_piece;
  for (const std::uint64_t begin : begins) {
    pieces_.pieces.emplace(begin, Piece{first_piece++, begin, nullptr});
  }
}

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
  making_ = {};  // whoever made it is gone
  Recovered recovered = Held();
  recovered.entries.assign(entries_.begin(), entries_.end());
  return recovered;
}

Recovered LogImage::Held() const {
  Recovered held;
  held.cluster = cluster_;
  held.self = self_;
  held.hard_state = hard_state_;
  held.trimmed_through = trimmed_through_;
  held.trimmed_term = trimmed_term_;
  held.trimmed_stamp_ns = trimmed_stamp_ns_;
  held.trimmed_configuration = trimmed_configuration_;
  held.snapshot = snapshot_;
  held.attested = attested_;
  return held;
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

absl::Status LogImage::Apply(const raft::WriteBatch& batch, Effect* effect) {
  if (absl::Status status = Check(batch); !status.ok()) return status;
  Effect ignored;
  if (effect == nullptr) effect = &ignored;
  *effect = {.piece = next_piece_};
  if (batch.forget) {
    *this = LogImage();
    return absl::OkStatus();
  }
  if (batch.entered) cluster_ = *batch.entered;
  if (batch.attested) attested_ = *batch.attested;
  if (batch.hard_state) hard_state_ = *batch.hard_state;
  if (batch.chunk) {
    if (batch.chunk->offset == 0) making_ = {.index = batch.chunk->index, .first = next_piece_};
    if (!batch.chunk->data->empty()) {
      making_.pieces.emplace(making_.bytes, Piece{next_piece_++, making_.bytes, batch.chunk->data});
      making_.bytes += batch.chunk->data->size();
    }
  }
  if (batch.snapshot) {
    snapshot_ = *batch.snapshot;
    pieces_ = std::exchange(making_, {});
    if (TermAt(snapshot_.index) != snapshot_.term) {
      effect->replaced_log = true;
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
  effect->trimmed_through = trimmed_through_;
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

absl::StatusOr<LogImage::Piece> LogImage::FindPiece(Index index, std::uint64_t offset) const {
  if (snapshot_.index != index || index == 0) {
    return absl::NotFoundError(absl::StrCat("snapshot ", index, " is not held"));
  }
  const auto after = pieces_.pieces.upper_bound(offset);
  if (offset >= pieces_.bytes || after == pieces_.pieces.begin()) {
    return absl::OutOfRangeError(
        absl::StrCat("snapshot ", index, " ends at ", pieces_.bytes, ", before ", offset));
  }
  return std::prev(after)->second;
}

absl::StatusOr<raft::Payload> LogImage::ReadSnapshot(Index index, std::uint64_t offset) const {
  absl::StatusOr<Piece> piece = FindPiece(index, offset);
  if (!piece.ok()) return piece.status();
  if (piece->begin == offset) return std::move(piece->data);
  return std::make_shared<const std::string>(piece->data->substr(offset - piece->begin));
}

void LogImage::Release(std::uint64_t number, std::uint64_t begin) {
  for (Pieces* const pieces : {&pieces_, &making_}) {
    const auto piece = pieces->pieces.find(begin);
    if (piece != pieces->pieces.end() && piece->second.number == number) piece->second.data.reset();
  }
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
