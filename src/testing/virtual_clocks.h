// One machine's two monotonic clocks, as a function of true time.
#ifndef TENURE_TESTING_VIRTUAL_CLOCKS_H_
#define TENURE_TESTING_VIRTUAL_CLOCKS_H_

#include <algorithm>
#include <cstdint>
#include <limits>

#include "tenure/types.h"

namespace tenure::testing {

class VirtualClock {
 public:
  void Start(std::int64_t true_ns, std::int64_t reading_ns) {
    since_ns_ = true_ns;
    reading_ns_ = reading_ns;
  }
  // Faster than true time by so many nanoseconds a second.
  void SetDrift(std::int64_t true_ns, std::int64_t ns_per_second) {
    Start(true_ns, At(true_ns));
    drift_ = std::max(ns_per_second, kStandstill);
  }
  void Jump(std::int64_t true_ns, std::int64_t by_ns) { Start(true_ns, At(true_ns) + by_ns); }
  std::int64_t drift() const { return drift_; }

  std::int64_t At(std::int64_t true_ns) const {
    const std::int64_t elapsed = true_ns - since_ns_;
    return reading_ns_ + Scaled(elapsed, kSecond + drift_, kSecond);
  }
  // The earliest true time from `since` on at which the clock reads at least `reading_ns`; the
  // maximum if it never does.
  std::int64_t WhenAtLeast(std::int64_t reading_ns) const {
    if (reading_ns <= reading_ns_) return since_ns_;
    const std::int64_t rate = kSecond + drift_;
    if (rate == 0) return kNever;
    std::int64_t ahead = 0;
    if (__builtin_sub_overflow(reading_ns, reading_ns_, &ahead)) return kNever;
    if (ahead / rate >= (kNever - since_ns_) / kSecond) return kNever;
    return since_ns_ + Scaled(ahead, kSecond, rate, rate - 1);
  }

  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  static constexpr std::int64_t kStandstill = -1'000'000'000;

 private:
  static constexpr std::int64_t kSecond = 1'000'000'000;

  // value * by / per, rounded down after `round` was added to the product. Where nothing is faster
  // than four times, without a product of 128 bits: that costs more than all else that a loop does
  // between two events, and what is left of whole `per`s, times `by`, fits into 64.
  static std::int64_t Scaled(std::int64_t value, std::int64_t by, std::int64_t per,
                             std::int64_t round = 0) {
    const std::int64_t left = value % per;
    if (by <= 4 * kSecond && per <= 4 * kSecond)
      return value / per * by + (left * by + round) / per;
    return value / per * by +
           static_cast<std::int64_t>((static_cast<__int128>(left) * by + round) / per);
  }

  std::int64_t since_ns_ = 0;
  std::int64_t reading_ns_ = 0;
  std::int64_t drift_ = 0;
};

struct VirtualClocks {
  VirtualClock boottime;
  VirtualClock monotonic_raw;

  Instant At(std::int64_t true_ns) const {
    return Instant::FromReadings(boottime.At(true_ns), monotonic_raw.At(true_ns));
  }
  // When either clock reaches `deadline`, in true time.
  std::int64_t WhenReached(Instant deadline) const {
    if (deadline == Instant::InfiniteFuture()) return VirtualClock::kNever;
    return std::min(boottime.WhenAtLeast(deadline.boottime_ns()),
                    monotonic_raw.WhenAtLeast(deadline.monotonic_raw_ns()));
  }
};

}  // namespace tenure::testing

#endif  // TENURE_TESTING_VIRTUAL_CLOCKS_H_
