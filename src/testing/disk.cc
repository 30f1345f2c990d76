#include "tenure/testing/disk.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "testing/disk_impl.h"
#include "testing/random.h"

namespace tenure::testing {

// ---- The storage that a process has open
// ----------------------------------------------------------

namespace {

class VirtualStorage final : public Storage {
 public:
  VirtualStorage(std::shared_ptr<DiskImpl> disk, VirtualLoop& loop)
      : disk_(std::move(disk)), loop_(loop), alive_(std::make_shared<bool>(true)) {}
  ~VirtualStorage() override { *alive_ = false; }

  absl::StatusOr<Recovered> Open(const MemberId& self) override {
    if (loop_.dead()) return absl::UnavailableError("the process was killed");
    return disk_->Open(self);
  }
  void Write(raft::WriteBatch batch, absl::AnyInvocable<void(absl::Status) &&> done) override {
    if (!loop_.dead()) disk_->Write(loop_, alive_, std::move(batch), std::move(done));
  }
  absl::StatusOr<std::vector<raft::Entry>> Read(Index first, Index last,
                                                std::size_t max_bytes) override {
    if (loop_.dead()) return absl::UnavailableError("the process was killed");
    return disk_->image().Read(first, last, max_bytes);
  }
  absl::StatusOr<raft::Payload> ReadSnapshot(Index index, std::uint64_t offset) override {
    if (loop_.dead()) return absl::UnavailableError("the process was killed");
    return disk_->ReadSnapshot(index, offset);
  }
  bool durable() const override { return disk_->options.durable; }

 private:
  const std::shared_ptr<DiskImpl> disk_;
  VirtualLoop& loop_;
  const DiskImpl::Alive alive_;
};

}  // namespace

std::unique_ptr<Storage> DiskImpl::NewStorage(VirtualLoop& loop) {
  return std::make_unique<VirtualStorage>(shared_from_this(), loop);
}

// ---- What it is made of
// -------------------------------------------------------------------------------

namespace {

class ImageMedium final : public DiskMedium {
 public:
  absl::StatusOr<LogImage> Open(const MemberId& self) override {
    if (absl::StatusOr<Recovered> held = held_.Open(self); !held.ok()) return held.status();
    return held_;
  }
  absl::Status Commit(absl::Span<const raft::WriteBatch* const> batches) override {
    absl::Status done;
    for (const raft::WriteBatch* batch : batches) done.Update(held_.Apply(*batch));
    return done;
  }
  absl::StatusOr<raft::Payload> ReadPiece(std::uint64_t number, std::uint64_t /*begin*/) override {
    return absl::NotFoundError(absl::StrCat("piece ", number, " is not held"));
  }
  void Crash(const raft::WriteBatch* /*next*/) override {}
  void Wipe() override { held_ = LogImage(); }
  void Copy() override { copy_ = held_; }
  void GoBack() override {
    if (copy_.has_value()) held_ = *copy_;
  }

 private:
  LogImage held_;
  std::optional<LogImage> copy_;
};

}  // namespace

// ---- The disk
// -------------------------------------------------------------------------------------

DiskImpl::DiskImpl(EventQueue& events, Trace& trace, std::uint64_t seed, std::uint64_t node)
    : events_(events),
      trace_(trace),
      random_(seed),
      node_(node),
      medium_(std::make_unique<ImageMedium>()) {}

absl::StatusOr<Recovered> DiskImpl::Open(const MemberId& self) {
  if (options.durable) {
    absl::StatusOr<LogImage> held = medium_->Open(self);
    if (!held.ok()) return held.status();
    current_ = *std::move(held);
  }
  return current_.Open(self);
}

absl::StatusOr<raft::Payload> DiskImpl::ReadSnapshot(Index index, std::uint64_t offset) {
  absl::StatusOr<LogImage::Piece> piece = current_.FindPiece(index, offset);
  if (!piece.ok()) return piece.status();
  absl::StatusOr<raft::Payload> data = std::move(piece->data);
  if (*data == nullptr) data = medium_->ReadPiece(piece->number, piece->begin);
  if (!data.ok() || piece->begin == offset) return data;
  return std::make_shared<const std::string>((*data)->substr(offset - piece->begin));
}

void DiskImpl::Write(VirtualLoop& loop, const Alive& alive, raft::WriteBatch batch, Done done) {
  if (failed_.ok()) failed_ = std::exchange(fail_next, absl::OkStatus());
  if (failed_.ok()) failed_ = current_.Apply(batch);
  trace_.Mix(events_.now_ns(), node_, batch.id, batch.entries.size(), failed_.ok());
  if (options.latency_max <= absl::ZeroDuration() && !stalled && pending_.empty()) {
    if (failed_.ok()) failed_ = Commit({&batch});
    std::move(done)(failed_);
    return;
  }
  const std::int64_t latency = DrawNs(random_, options.latency_min, options.latency_max);
  last_due_ns_ = std::max(last_due_ns_, events_.now_ns() + latency);
  pending_.push_back({std::move(batch), std::move(done), alive, &loop, failed_, last_due_ns_});
  events_.Add(last_due_ns_, [self = shared_from_this(), life = life_] {
    if (life == self->life_) self->Flush();
  });
}

absl::Status DiskImpl::Commit(absl::Span<const raft::WriteBatch* const> batches) {
  return options.durable && !batches.empty() ? medium_->Commit(batches) : absl::OkStatus();
}

// All that is due, as one.
void DiskImpl::Flush() {
  std::vector<Pending> due;
  while (!stalled && !pending_.empty() && pending_.front().due_ns <= events_.now_ns()) {
    due.push_back(std::move(pending_.front()));
    pending_.pop_front();
  }
  std::vector<const raft::WriteBatch*> batches;
  for (const Pending& write : due) {
    if (write.status.ok() && committed_.ok()) batches.push_back(&write.batch);
  }
  committed_.Update(Commit(batches));
  failed_.Update(committed_);
  for (Pending& write : due) {
    if (write.status.ok()) write.status = committed_;
    trace_.Mix(events_.now_ns(), node_, write.batch.id, write.status.ok());
    write.loop->Post([done = std::move(write.done), alive = std::move(write.alive),
                      status = std::move(write.status)]() mutable {
      if (*alive) std::move(done)(std::move(status));
    });
  }
}

void DiskImpl::Crash() {
  ++life_;
  const std::deque<Pending> lost = std::exchange(pending_, {});
  const std::size_t kept = std::min(std::exchange(keep_at_crash, 0), lost.size());
  for (std::size_t i = 0; i < kept && lost[i].status.ok(); ++i) {
    committed_.Update(committed_.ok() ? Commit({&lost[i].batch}) : absl::OkStatus());
  }
  const bool torn = kept < lost.size() && lost[kept].status.ok() && committed_.ok();
  medium_->Crash(torn ? &lost[kept].batch : nullptr);
  current_ = LogImage();
  committed_ = failed_ = absl::OkStatus();
  last_due_ns_ = 0;
}

void DiskImpl::Wipe() {
  current_ = LogImage();
  medium_->Wipe();
}

void DiskImpl::GoBack() {
  current_ = LogImage();
  medium_->GoBack();
}

void SetMedium(VirtualDisk& disk, std::unique_ptr<DiskMedium> medium) {
  disk.impl_.set_medium(std::move(medium));
}

// ---- The handle
// -----------------------------------------------------------------------------------

void VirtualDisk::SetLatency(absl::Duration min, absl::Duration max) {
  impl_.options.latency_min = min;
  impl_.options.latency_max = max;
}
void VirtualDisk::Stall() { impl_.stalled = true; }
void VirtualDisk::Resume() {
  impl_.stalled = false;
  impl_.Flush();
}
void VirtualDisk::FailNextWrite(absl::Status why) { impl_.fail_next = std::move(why); }
std::size_t VirtualDisk::pending_writes() const { return impl_.pending(); }
void VirtualDisk::KeepAtNextCrash(std::size_t writes) { impl_.keep_at_crash = writes; }
void VirtualDisk::Wipe() { impl_.Wipe(); }
void VirtualDisk::Copy() { impl_.Copy(); }
void VirtualDisk::GoBack() { impl_.GoBack(); }

}  // namespace tenure::testing
