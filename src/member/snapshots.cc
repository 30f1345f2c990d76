// Snapshots of the machine: taken chunk by chunk between other work, stored and sent as the core
// says, and installed.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "member/actor.h"

namespace tenure::member {
namespace {

// Small enough for a turn, and for a frame among others.
constexpr std::size_t kChunkBytes = 256 << 10;

}  // namespace

// ---- Taking

bool Actor::WantsSnapshot() const {
  if (!core_.has_value() || !failed_.ok() || applied_ <= core_->snapshot().index) return false;
  if (core_->snapshot_wanted()) return true;
  const std::size_t bytes = core_->log_bytes_after_snapshot();
  // A follower that is being sent the last one would have to begin anew; but the log has an end.
  if (core_->sending_snapshot()) return bytes >= options_.log_bytes_max / 2;
  return bytes >= std::min(options_.snapshot_log_bytes, options_.log_bytes_max / 2);
}

void Actor::GoOnWithSnapshot() {
  if (closed_ || !core_.has_value() || !failed_.ok()) return;
  if (reader_ == nullptr) {
    if (!WantsSnapshot()) return;
    reader_ = machine_.Freeze();
    reading_ = applied_;
    read_bytes_ = 0;
    piece_write_ = 0;
    if (reader_ == nullptr || !reader_->Next(kChunkBytes, &read_ahead_)) return reader_.reset();
  }
  if (!SnapshotWaits()) return;  // the storage has the last chunk still before it
  raft::SnapshotPiece piece;
  piece.through = reading_;
  piece.offset = read_bytes_;
  piece.data = std::make_shared<const std::string>(std::move(read_ahead_));
  read_bytes_ += piece.data->size();
  read_ahead_.clear();
  piece.last = !reader_->Next(kChunkBytes, &read_ahead_);
  if (piece.last && !reader_->status().ok()) return reader_.reset();
  const bool last = piece.last;
  Step(std::move(piece));
  piece_write_ = last_write_;
  // A leader's snapshot has come meanwhile, for instance.
  if (last || core_->making_snapshot() != reading_) reader_.reset();
  Settle();
}

// ---- Sending

bool Actor::FillChunk(raft::SnapshotRequest& request) {
  absl::StatusOr<raft::Payload> data =
      storage_->ReadSnapshot(request.snapshot.index, request.offset);
  if (!data.ok()) {  // another has taken its place; the next heartbeat sends of that
    if (!absl::IsNotFound(data.status())) {
      Log(absl::StrCat("cannot read its snapshot: ", data.status().message()));
    }
    return false;
  }
  request.data = *std::move(data);
  return true;
}

// ---- Installing

absl::Status Actor::Restore(const raft::SnapshotInfo& snapshot) {
  machine::SnapshotWriter writer(newest_version_);
  for (std::uint64_t at = 0; at < snapshot.bytes;) {
    absl::StatusOr<raft::Payload> chunk = storage_->ReadSnapshot(snapshot.index, at);
    if (!chunk.ok()) return chunk.status();
    if (absl::Status status = writer.Add(**chunk); !status.ok()) return status;
    at += (*chunk)->size();
  }
  absl::StatusOr<machine::Machine> machine = writer.Finish();
  if (!machine.ok()) return machine.status();
  BecomeMachine(*std::move(machine), snapshot.index);
  return absl::OkStatus();
}

void Actor::Install(const raft::InstallPiece& piece) {
  if (!failed_.ok()) return;
  if (piece.offset == 0) writer_.emplace(newest_version_);
  absl::Status status = writer_->Add(*piece.data);
  if (status.ok() && !piece.last) return;
  if (status.ok()) {
    absl::StatusOr<machine::Machine> machine = writer_->Finish();
    status = machine.status();
    if (status.ok()) BecomeMachine(*std::move(machine), piece.snapshot.index);
  }
  writer_.reset();
  if (!status.ok()) {
    return FailForGood(
        absl::Status(status.code(), absl::StrCat("the leader's snapshot ", piece.snapshot.index,
                                                 " cannot be installed: ", status.message())));
  }
  OnConfiguration(piece.snapshot.configuration);
  Log(absl::StrCat("installed the leader's snapshot of ", piece.snapshot.bytes, " bytes, through ",
                   piece.snapshot.index));
}

void Actor::BecomeMachine(machine::Machine machine, Index applied) {
  reader_.reset();  // it reads the machine that was
  machine_ = std::move(machine);
  OnMachineVersion();
  applied_ = applied_told_ = applied;
  held_commands_ = true;  // as far as can be told
}

}  // namespace tenure::member
