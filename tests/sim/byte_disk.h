// A member's disk that is bytes: the storage's own code writes them, and finds them again.
#ifndef TENURE_TESTS_SIM_BYTE_DISK_H_
#define TENURE_TESTS_SIM_BYTE_DISK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "testing/disk_medium.h"
#include "tests/sim/marks.h"

namespace tenure::sim {

// Judges by itself what is found when it is opened: after a mere crash all that was durable, and at
// most what was being written besides; after damage the same, or, once, all but the last
// transaction. Anything else is kInternal, and nobody may fail so.
class ByteDisk : public testing::DiskMedium {
 public:
  virtual void FailNextWrite() = 0;
  virtual void FailNextSync() = 0;
  virtual void FailNothing() = 0;
  virtual void set_full(bool full) = 0;
  // The power goes in the midst of the next Open, or not at all.
  virtual void CutNextOpen() = 0;
  // While no process has it open: some of it rots, or is not where it belongs. Says what.
  virtual std::string Damage() = 0;

  // Of the last Open: why it failed, of what it was told to do (empty: of none of that); whether it
  // reported damage; whether it could not find the last transaction.
  virtual std::string fault() const = 0;
  virtual bool reported_damage() const = 0;
  virtual bool lost_last() const = 0;
};

// Without SQLite there is none.
bool HaveByteDisks();
std::unique_ptr<ByteDisk> NewByteDisk(std::uint64_t seed, Marks& marks);

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_BYTE_DISK_H_
