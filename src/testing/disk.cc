#include "tenure/testing/disk.h"

#include <algorithm>
#include <utility>

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
    return disk_->image().ReadSnapshot(index, offset);
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

// ---- The disk
// -------------------------------------------------------------------------------------

absl::StatusOr<Recovered> DiskImpl::Open(const MemberId& self) {
  if (absl::StatusOr<Recovered> synced = synced_.Open(self); !synced.ok()) return synced;
  return current_.Open(self);
}

void DiskImpl::Write(VirtualLoop& loop, const Alive& alive, raft::WriteBatch batch, Done done) {
  if (failed_.ok()) failed_ = std::exchange(fail_next, absl::OkStatus());
  if (failed_.ok()) failed_ = current_.Apply(batch);
  trace_.Mix(events_.now_ns(), node_, batch.id, batch.entries.size(), failed_.ok());
  if (options.latency_max <= absl::ZeroDuration() && !stalled && pending_.empty()) {
    if (failed_.ok() && options.durable) (void)synced_.Apply(batch);
    std::move(done)(failed_);
    return;
  }
  const std::int64_t latency = DrawNs(random_, options.latency_min, options.latency_max);
  last_due_ns_ = std::max(last_due_ns_, events_.now_ns() + latency);
  const std::uint64_t number = first_pending_ + pending_.size();
  pending_.push_back({std::move(batch), std::move(done), alive, &loop, failed_, false});
  events_.Add(last_due_ns_,
              [self = shared_from_this(), life = life_, number] { self->OnDue(life, number); });
}

void DiskImpl::OnDue(std::uint64_t life, std::uint64_t number) {
  if (life != life_) return;
  pending_[number - first_pending_].due = true;
  Flush();
}

void DiskImpl::Flush() {
  while (!stalled && !pending_.empty() && pending_.front().due) {
    Pending write = std::move(pending_.front());
    pending_.pop_front();
    ++first_pending_;
    if (write.status.ok() && options.durable) (void)synced_.Apply(write.batch);
    trace_.Mix(events_.now_ns(), node_, write.batch.id);
    write.loop->Post([done = std::move(write.done), alive = std::move(write.alive),
                      status = std::move(write.status)]() mutable {
      if (*alive) std::move(done)(std::move(status));
    });
  }
}

void DiskImpl::Crash() {
  ++life_;
  std::deque<Pending> lost = std::exchange(pending_, {});
  const std::size_t kept = std::min(std::exchange(keep_at_crash, 0), lost.size());
  for (std::size_t i = 0; i < kept && lost[i].status.ok(); ++i) (void)synced_.Apply(lost[i].batch);
  if (!options.durable) synced_ = LogImage();
  current_ = synced_;
  failed_ = absl::OkStatus();
  last_due_ns_ = 0;
}

void DiskImpl::Wipe() {
  current_ = LogImage();
  synced_ = LogImage();
}

void DiskImpl::GoBack() {
  if (!copy_.has_value()) return;
  current_ = *copy_;
  synced_ = *copy_;
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
