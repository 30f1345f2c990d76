#include "tests/sim/byte_disk.h"

namespace tenure::sim {

bool HaveByteDisks() { return false; }
std::unique_ptr<ByteDisk> NewByteDisk(std::uint64_t /*seed*/, Marks& /*marks*/) { return nullptr; }

}  // namespace tenure::sim
