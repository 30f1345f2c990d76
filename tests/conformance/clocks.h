// The clocks of this process, which a test may set: members and clients read the same.
#ifndef TENURE_TESTS_CONFORMANCE_CLOCKS_H_
#define TENURE_TESTS_CONFORMANCE_CLOCKS_H_

#include "absl/time/time.h"

namespace tenure::conformance {

// Sets the wall clock for as long as this lives. Any thread.
class WallClock {
 public:
  WallClock() = default;
  WallClock(const WallClock&) = delete;
  WallClock& operator=(const WallClock&) = delete;
  ~WallClock() { Set(absl::ZeroDuration()); }

  // That far from what it would show by itself.
  void Set(absl::Duration off);
};

// The computer was suspended for so long: CLOCK_BOOTTIME went on, CLOCK_MONOTONIC stood still.
void HasSlept(absl::Duration duration);

}  // namespace tenure::conformance

#endif  // TENURE_TESTS_CONFORMANCE_CLOCKS_H_
