// The lowest floor: the small types that every seam speaks of.
//
// Nothing here allocates threads, reads a clock or touches a socket. All types are plain values;
// they are as thread-safe as an int.
#ifndef TENURE_TYPES_H_
#define TENURE_TYPES_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace tenure {

// Position of an entry in the replicated log. The first entry has index 1; 0 means "before the
// log".
using Index = std::uint64_t;

// A Raft term (Ongaro's dissertation, section 3.3). 0 means "no term yet".
using Term = std::uint64_t;

// Counts the changes of the state machine; a grant's revision is its fencing token. Strictly
// increasing over all locks of a cluster, and below 2^53, so that JSON carries it without loss.
using Revision = std::uint64_t;

// Identifies a session within a cluster: the revision that opened it. 0 means "none".
using SessionId = std::uint64_t;

// One of those who wait for each other in a cycle: what this owner of that session waits for.
struct WaitingOwner {
  SessionId session = 0;
  std::string owner;
  std::string lock;

  friend bool operator==(const WaitingOwner&, const WaitingOwner&) = default;
};

// Numbers the commands of one session, from 1, chosen by the client. A retry reuses its number.
using Sequence = std::uint64_t;

// A cluster's identity: random, made anew at each attempt to bootstrap (BOOTSTRAP rule 3).
struct ClusterId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  bool empty() const { return high == 0 && low == 0; }
  // 32 hexadecimal digits.
  std::string ToString() const { return absl::StrFormat("%016x%016x", high, low); }

  friend auto operator<=>(const ClusterId&, const ClusterId&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const ClusterId& id) {
    return H::combine(std::move(h), id.high, id.low);
  }
};

// A member is a name *and* an incarnation: a random id, new each time that the member starts
// without its memory. Two incarnations of one name are two members: an acknowledgement by the
// earlier counts for nothing when it is asked of the later. Incarnation 0 means "not known yet" and
// never votes.
struct MemberId {
  std::string name;
  std::uint64_t incarnation = 0;

  bool empty() const { return name.empty(); }
  // "n1/00c0ffee00c0ffee".
  std::string ToString() const { return absl::StrFormat("%s/%016x", name, incarnation); }

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 misreads the comparison that is generated
  friend auto operator<=>(const MemberId&, const MemberId&) = default;
  friend bool operator==(const MemberId&, const MemberId&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const MemberId& id) {
    return H::combine(std::move(h), id.name, id.incarnation);
  }
};

// A random number that one opener of sessions chose for itself. Its knowledge is what entitles a
// caller to command the session; a forked child must choose another.
struct InstanceKey {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  friend auto operator<=>(const InstanceKey&, const InstanceKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const InstanceKey& key) {
    return H::combine(std::move(h), key.high, key.low);
  }
};

// A moment on this machine's monotonic time line, as two clocks told it: CLOCK_BOOTTIME, which runs
// through suspend but is slewed by time daemons, and CLOCK_MONOTONIC_RAW, which is never slewed but
// stands still in suspend. It is a type of its own so that it cannot be mixed up with wall-clock
// time.
//
// Which of the two to believe depends on who asks (docs/architecture.md, Time): whoever
// *holds* a lease must think that more time passed, whoever *ends* one must think that less did.
class Instant {
 public:
  constexpr Instant() = default;
  static constexpr Instant FromReadings(std::int64_t boottime_ns, std::int64_t monotonic_raw_ns) {
    return Instant(boottime_ns, monotonic_raw_ns);
  }
  // A moment that never comes: the deadline of what has none.
  static constexpr Instant InfiniteFuture() {
    return Instant(std::numeric_limits<std::int64_t>::max(),
                   std::numeric_limits<std::int64_t>::max());
  }

  constexpr std::int64_t boottime_ns() const { return boottime_ns_; }
  constexpr std::int64_t monotonic_raw_ns() const { return monotonic_raw_ns_; }

  // Elapsed nanoseconds from `since` to this, the larger of the two clocks' answers: for holders.
  constexpr std::int64_t HolderElapsedNs(Instant since) const {
    return std::max(boottime_ns_ - since.boottime_ns_, monotonic_raw_ns_ - since.monotonic_raw_ns_);
  }
  // Elapsed nanoseconds from `since` to this, the smaller of the two: for leaders and for whoever
  // promised somebody to keep still.
  constexpr std::int64_t LeaderElapsedNs(Instant since) const {
    return std::min(boottime_ns_ - since.boottime_ns_, monotonic_raw_ns_ - since.monotonic_raw_ns_);
  }

  // True once either clock has reached `deadline`: timers fire by this, early rather than late.
  constexpr bool Reached(Instant deadline) const {
    return boottime_ns_ >= deadline.boottime_ns_ || monotonic_raw_ns_ >= deadline.monotonic_raw_ns_;
  }

  // The moment `ns` nanoseconds later, saturating at InfiniteFuture(). `ns` must not be negative.
  constexpr Instant PlusNs(std::int64_t ns) const {
    return Instant(SaturatingAdd(boottime_ns_, ns), SaturatingAdd(monotonic_raw_ns_, ns));
  }
  Instant operator+(absl::Duration d) const { return PlusNs(absl::ToInt64Nanoseconds(d)); }

  // The one that comes first, clock by clock.
  static constexpr Instant Earlier(Instant a, Instant b) {
    return Instant(std::min(a.boottime_ns_, b.boottime_ns_),
                   std::min(a.monotonic_raw_ns_, b.monotonic_raw_ns_));
  }

  friend constexpr bool operator==(const Instant&, const Instant&) = default;

 private:
  constexpr Instant(std::int64_t boottime_ns, std::int64_t monotonic_raw_ns)
      : boottime_ns_(boottime_ns), monotonic_raw_ns_(monotonic_raw_ns) {}
  static constexpr std::int64_t SaturatingAdd(std::int64_t a, std::int64_t b) {
    const std::int64_t max = std::numeric_limits<std::int64_t>::max();
    return a > max - b ? max : a + b;
  }

  std::int64_t boottime_ns_ = 0;
  std::int64_t monotonic_raw_ns_ = 0;
};

}  // namespace tenure

#endif  // TENURE_TYPES_H_
