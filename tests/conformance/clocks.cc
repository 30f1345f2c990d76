// In the C library's place, for all that this process runs: the clock, and what waits by it.
#include "conformance/clocks.h"

#include <dlfcn.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include <atomic>
#include <cstdarg>
#include <cstdint>

namespace tenure::conformance {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

std::atomic<std::int64_t> wall_off_ns{0};
std::atomic<std::int64_t> slept_ns{0};

// What the C library has by that name.
template <typename Function>
Function* Original(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

std::int64_t OffNs(clockid_t clock) {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
      return wall_off_ns;
    case CLOCK_BOOTTIME:
      return slept_ns;
    default:
      return 0;
  }
}

timespec Shifted(const timespec& time, std::int64_t by_ns) {
  timespec out = {time.tv_sec + by_ns / kSecondNs, time.tv_nsec + by_ns % kSecondNs};
  if (out.tv_nsec >= kSecondNs) {
    ++out.tv_sec;
    out.tv_nsec -= kSecondNs;
  } else if (out.tv_nsec < 0) {
    --out.tv_sec;
    out.tv_nsec += kSecondNs;
  }
  return out;
}

}  // namespace

void WallClock::Set(absl::Duration off) { wall_off_ns = absl::ToInt64Nanoseconds(off); }

void HasSlept(absl::Duration duration) { slept_ns += absl::ToInt64Nanoseconds(duration); }

}  // namespace tenure::conformance

extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  static auto* const original = tenure::conformance::Original<int(clockid_t, timespec*)>(__func__);
  const int answer = original(clock, now);
  const std::int64_t off_ns = tenure::conformance::OffNs(clock);
  if (answer == 0 && off_ns != 0) *now = tenure::conformance::Shifted(*now, off_ns);
  return answer;
}

// gRPC's threads wait until a moment of the wall clock; the kernel knows that of the true one.
extern "C" long syscall(long number, ...) noexcept {
  static auto* const original = tenure::conformance::Original<long(long, ...)>(__func__);
  std::va_list list;
  va_start(list, number);
  long args[6];
  for (long& arg : args) arg = va_arg(list, long);
  va_end(list);
  timespec until;
  if (number == SYS_futex && (args[1] & FUTEX_CLOCK_REALTIME) != 0 && args[3] != 0) {
    until = tenure::conformance::Shifted(*reinterpret_cast<const timespec*>(args[3]),
                                         -tenure::conformance::OffNs(CLOCK_REALTIME));
    // Moments before the epoch are refused, and past all the same.
    if (until.tv_sec < 0) until = {};
    args[3] = reinterpret_cast<long>(&until);
  }
  return original(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}
