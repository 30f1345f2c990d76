// The only place in the library that reads a clock.
#include <time.h>

#include <cstdint>

#include "tenure/loop.h"

namespace tenure {
namespace {

std::int64_t Read(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Instant ReadMonotonicClocks() {
  return Instant::FromReadings(Read(CLOCK_BOOTTIME), Read(CLOCK_MONOTONIC_RAW));
}

}  // namespace tenure
