#ifndef TENURE_TESTING_DISK_IMPL_H_
#define TENURE_TESTING_DISK_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "raft/prng.h"
#include "storage/log_image.h"
#include "tenure/testing/disk.h"
#include "testing/disk_medium.h"
#include "testing/event_queue.h"
#include "testing/trace.h"
#include "testing/virtual_loop.h"

namespace tenure::testing {

// The disk proper. Storages and completions share it, so it outlives them.
class DiskImpl : public std::enable_shared_from_this<DiskImpl> {
 public:
  using Done = absl::AnyInvocable<void(absl::Status) &&>;
  // Set false when the storage that wrote is destroyed: its `done`s may not run any more.
  using Alive = std::shared_ptr<bool>;

  DiskImpl(EventQueue& events, Trace& trace, std::uint64_t seed, std::uint64_t node);

  std::unique_ptr<Storage> NewStorage(VirtualLoop& loop);
  // The process is gone.
  void Crash();

  void Write(VirtualLoop& loop, const Alive& alive, raft::WriteBatch batch, Done done);
  absl::StatusOr<Recovered> Open(const MemberId& self);
  absl::StatusOr<raft::Payload> ReadSnapshot(Index index, std::uint64_t offset);
  const LogImage& image() const { return current_; }

  DiskOptions options;
  bool stalled = false;
  absl::Status fail_next;
  std::size_t keep_at_crash = 0;

  void Flush();
  std::size_t pending() const { return pending_.size(); }
  void Wipe();
  void Copy() { medium_->Copy(); }
  void GoBack();
  void set_medium(std::unique_ptr<DiskMedium> medium) { medium_ = std::move(medium); }

 private:
  struct Pending {
    raft::WriteBatch batch;
    Done done;
    Alive alive;
    VirtualLoop* loop = nullptr;
    absl::Status status;
    std::int64_t due_ns = 0;
  };
  absl::Status Commit(absl::Span<const raft::WriteBatch* const> batches);

  EventQueue& events_;
  Trace& trace_;
  raft::Prng random_;
  const std::uint64_t node_;

  LogImage current_;                    // with what was written
  std::unique_ptr<DiskMedium> medium_;  // what a crash leaves; of use for durable disks alone
  std::deque<Pending> pending_;
  std::uint64_t life_ = 0;  // one for each process
  std::int64_t last_due_ns_ = 0;
  // Both final, for this process: what Write met, and what became of what it took.
  absl::Status failed_;
  absl::Status committed_;
};

}  // namespace tenure::testing

#endif  // TENURE_TESTING_DISK_IMPL_H_
