// A storage on disk, on SQLite. Target tenure::sqlite. What it promises, what it costs and what to
// do with a damaged one: docs/storage.md.
#ifndef TENURE_SQLITE_STORAGE_H_
#define TENURE_SQLITE_STORAGE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "tenure/storage.h"

namespace tenure::sqlite {

struct StorageOptions {
  // Where the files are: one directory for each member, on a local disk. It is made, with access
  // for its owner alone, if it is missing; what it lies in must be there.
  std::string directory;
  // Bytes that may wait for the disk. One more is an error, and so the end: Write never waits, as
  // the Loop that calls it may not, and loses nothing, so only stopping is left. Beyond what a log
  // may hold (MemberOptions::log_bytes_max), so that a disk which only stalls never comes to it.
  std::size_t queue_bytes_max = std::size_t{1} << 30;
};

// A durable storage (Storage::durable). Touches nothing before Open.
//
// Open makes or reads the files and checks all that they hold. Beyond the errors that Storage
// names: kFailedPrecondition if another process uses the directory, if it cannot be written, or if
// a newer version of Tenure wrote it; kUnavailable if the disk fails or is full; kDataLoss says
// which file is damaged, where, and what to do, and leaves everything as it was.
//
// Write hands the batch to a thread of this storage's own, which makes all that wait one
// transaction with one sync, and then calls each `done`, in order, on that thread. After an error,
// whose message each later `done` gets, nothing more is written.
//
// Read is answered from memory, where the log is held whole; its payloads are shared with whoever
// wrote them. ReadSnapshot reads the disk, without waiting for what is being written; a piece that
// is not intact is kDataLoss.
//
// One caller at a time, on any thread. The destructor first writes what still waits.
std::unique_ptr<Storage> NewStorage(StorageOptions options);

}  // namespace tenure::sqlite

#endif  // TENURE_SQLITE_STORAGE_H_
