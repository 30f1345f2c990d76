// Snapshots of the state machine: taken without stopping it, cut into chunks of any size, put
// together again into a machine that behaves like the original, byte for byte (equal StateHash
// after any further log).
#ifndef TENURE_MACHINE_SNAPSHOT_H_
#define TENURE_MACHINE_SNAPSHOT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "machine/machine.h"

namespace tenure::machine {

// Reads a machine as it was when Machine::Freeze() was called, while the machine goes on applying.
// Whoever uses the machine uses the reader, on the same thread. It may be dropped at any time, and
// may outlive its machine, but is then broken.
//
// What it costs: the machine's first change of a thing that the reader has not read yet costs a
// copy of that thing, and memory for it until it is read. A session counts as one thing with its
// window, whose copy shares the kept replies.
class SnapshotReader {
 public:
  explicit SnapshotReader(Machine::Impl* machine);  // see Machine::Freeze()
  ~SnapshotReader();
  SnapshotReader(const SnapshotReader&) = delete;
  SnapshotReader& operator=(const SnapshotReader&) = delete;

  // Puts the next 1 to `bytes_max` bytes, which must be above zero, into `chunk`; all but the last
  // chunk are full. False, with `chunk` empty, after the last one, or if it is broken. Takes time
  // for what it yields, not for what the machine has.
  bool Next(std::size_t bytes_max, std::string* chunk);

  // Not OK (kAborted) once the machine has gone before all was read: what was read is of no use.
  absl::Status status() const;

 private:
  friend class Machine::Impl;
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Makes a machine of a snapshot's chunks, in order; they may be cut otherwise than they were read.
// Allocates in proportion to what it was given, whatever lengths stand in it. Errors are final:
// kDataLoss for what is damaged or cut short, kUnimplemented for what a newer version wrote.
class SnapshotWriter {
 public:
  // `newest`: see DecodeCommand.
  explicit SnapshotWriter(std::uint32_t newest = kMachineVersion);
  ~SnapshotWriter();
  SnapshotWriter(SnapshotWriter&&) noexcept;
  SnapshotWriter& operator=(SnapshotWriter&&) noexcept;

  absl::Status Add(absl::string_view chunk);
  // After the last chunk, once. Takes time for all that the machine has.
  absl::StatusOr<Machine> Finish();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_SNAPSHOT_H_
