// What the whole program allocates, counted: link allocations.cc with a test to count in it.
#ifndef TENURE_TESTS_MACHINE_ALLOCATIONS_H_
#define TENURE_TESTS_MACHINE_ALLOCATIONS_H_

#include <cstdint>

namespace tenure::machine {

std::uint64_t Allocations();
std::uint64_t AllocatedBytes();

}  // namespace tenure::machine

#endif  // TENURE_TESTS_MACHINE_ALLOCATIONS_H_
