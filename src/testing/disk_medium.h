// What a simulated disk is made of.
#ifndef TENURE_TESTING_DISK_MEDIUM_H_
#define TENURE_TESTING_DISK_MEDIUM_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "storage/log_image.h"
#include "tenure/storage.h"
#include "tenure/testing/disk.h"
#include "tenure/types.h"

namespace tenure::testing {

// What is durable, of a disk that keeps it. A seam: it is an image in memory, unless a test has
// something that can break in more ways. When a write becomes durable, and who hears of it, is the
// disk's.
class DiskMedium {
 public:
  virtual ~DiskMedium() = default;

  // For a process that starts as that member. Errors as Storage::Open.
  virtual absl::StatusOr<LogImage> Open(const MemberId& self) = 0;
  // Makes these durable, as one; they are in order, and fit what was opened. An error is final: the
  // process writes nothing more.
  virtual absl::Status Commit(absl::Span<const raft::WriteBatch* const> batches) = 0;
  // Of a piece that the image which was opened does not hold itself.
  virtual absl::StatusOr<raft::Payload> ReadPiece(std::uint64_t number, std::uint64_t begin) = 0;
  // The process ends, with `next` about to be written; null: nothing.
  virtual void Crash(const raft::WriteBatch* next) = 0;

  // As VirtualDisk's.
  virtual void Wipe() = 0;
  virtual void Copy() = 0;
  virtual void GoBack() = 0;
};

// In place of the image. Before anything is written; the disk is durable.
void SetMedium(VirtualDisk& disk, std::unique_ptr<DiskMedium> medium);

}  // namespace tenure::testing

#endif  // TENURE_TESTING_DISK_MEDIUM_H_
