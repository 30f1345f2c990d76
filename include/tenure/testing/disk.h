// What a simulated machine's storage holds, beyond the life of any one process.
#ifndef TENURE_TESTING_DISK_H_
#define TENURE_TESTING_DISK_H_

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tenure/storage.h"

namespace tenure::testing {

class DiskImpl;
class DiskMedium;

struct DiskOptions {
  // What was written survives the process. Otherwise all is gone when the node is killed.
  bool durable = false;
  // From a write to the call of its `done`. Zero calls it before Write returns, as memory does.
  absl::Duration latency_min = absl::ZeroDuration();
  absl::Duration latency_max = absl::ZeroDuration();
};

// One for each node. Writes complete in their order, those that are due at once as one; `done` runs
// on the node's loop, or within Write when there is no latency. A paused node's disk goes on; its
// process hears of it when it resumes.
class VirtualDisk {
 public:
  explicit VirtualDisk(DiskImpl& impl) : impl_(impl) {}  // VirtualNode does

  // For the writes from now on.
  void SetLatency(absl::Duration min, absl::Duration max);

  // Holds all completions back until Resume.
  void Stall();
  void Resume();
  // The next Write fails, and so do all after it until the process is restarted.
  void FailNextWrite(absl::Status why);

  // Writes that are not durable yet.
  std::size_t pending_writes() const;
  // When the node is killed, so many of the pending writes, from the oldest, turn out to have
  // reached the disk. Once; 0 unless set.
  void KeepAtNextCrash(std::size_t writes);
  // Empties the disk, as a replaced machine's is. Not while a storage is open on it.
  void Wipe();
  // Keeps a copy of what is durable now, in place of an earlier one; and puts it back, as an
  // operator may who restores a backup: what became durable since is gone. Not while a storage is
  // open on it; nothing happens without a copy.
  void Copy();
  void GoBack();

 private:
  friend void SetMedium(VirtualDisk& disk, std::unique_ptr<DiskMedium> medium);
  DiskImpl& impl_;
};

}  // namespace tenure::testing

#endif  // TENURE_TESTING_DISK_H_
