// The Storage seam: what one member must never forget.
#ifndef TENURE_STORAGE_H_
#define TENURE_STORAGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/raft_types.h"
#include "tenure/types.h"

namespace tenure {

// What a storage held when it was opened. `cluster` is empty if it holds no cluster's data: then
// nothing else is set, and the member starts free, as a new incarnation.
struct Recovered {
  ClusterId cluster;
  MemberId self;
  raft::HardState hard_state;
  // The log begins after `trimmed_through`, whose entry had this term and stamp, and this
  // configuration in force.
  Index trimmed_through = 0;
  Term trimmed_term = 0;
  std::int64_t trimmed_stamp_ns = 0;
  std::shared_ptr<const raft::Configuration> trimmed_configuration;
  std::vector<raft::Entry> entries;
  // The snapshot, whole, if there is one. What a machine is made of: it, then the log after it.
  raft::SnapshotInfo snapshot;
  // As last written.
  std::vector<raft::Attested> attested;
};

// Writes are ordered; `done` runs once the batch, and so all before it, is durable. An error is
// final: the member stops rather than guess what reached the disk. One caller at a time; `done` may
// run on any thread, also before Write returns. The destructor returns once no further `done` can
// run.
class Storage {
 public:
  virtual ~Storage() = default;

  // Opens for the member of this name. kFailedPrecondition: it holds another member's data;
  // kDataLoss: it is corrupt, the message says where.
  virtual absl::StatusOr<Recovered> Open(const MemberId& self) = 0;

  virtual void Write(raft::WriteBatch batch, absl::AnyInvocable<void(absl::Status) &&> done) = 0;

  // Entries [first, last], as many from the front as fit into max_bytes, at least one.
  virtual absl::StatusOr<std::vector<raft::Entry>> Read(Index first, Index last,
                                                        std::size_t max_bytes) = 0;

  // A piece of the snapshot of that index from `offset` on: one byte at least, as it was written,
  // so not necessarily more. kNotFound if another one is held by now, kOutOfRange at its end.
  virtual absl::StatusOr<raft::Payload> ReadSnapshot(Index index, std::uint64_t offset) = 0;

  // True if what was written survives the process. A member on a storage that is not durable is a
  // new incarnation at each start.
  virtual bool durable() const = 0;
};

// Keeps everything in this object's memory: what it holds lives as long as it does. A second member
// started on the same object finds what the first left, which only tests want.
std::unique_ptr<Storage> NewMemoryStorage();

}  // namespace tenure

#endif  // TENURE_STORAGE_H_
