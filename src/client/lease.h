// The arithmetic of one lease, on the holder's side. Reads no clock; not thread-safe.
#ifndef TENURE_CLIENT_LEASE_H_
#define TENURE_CLIENT_LEASE_H_

#include <cstdint>
#include <deque>

#include "tenure/types.h"

namespace tenure::client {

// Counts from the moment at which the acknowledged attempt was *sent* (PITFALLS L6), and lasts
// TTL*(1-r)/(1+r) (T5), on whichever of this machine's clocks says that more time passed (L5).
//
// The first renewal of a granted TTL leaves after a third of it, further ones every eighth while
// none is answered: five tries in one TTL. Each is a new attempt, and an answer counts for its own
// attempt alone.
class Lease {
 public:
  explicit Lease(double drift_max) : factor_((1 - drift_max) / (1 + drift_max)) {}

  // The session was opened; `sent` is when the first attempt to open it left (T3).
  void Begin(Instant sent, std::int64_t ttl_ns);

  // Numbers an attempt that is about to be sent; `now` was read before.
  std::uint64_t NewAttempt(Instant now);
  // The machine renewed for that attempt. Not to be called once Over(now).
  void Renewed(std::uint64_t attempt, std::int64_t ttl_ns, Instant now);
  // That attempt will not be answered. Without effect if a later one was already.
  void Failed(std::uint64_t attempt, Instant now);

  bool Over(Instant now) const { return now.HolderElapsedNs(basis_) >= length_ns_; }
  std::int64_t RemainingNs(Instant now) const;
  // When either clock reaches it, the lease is over.
  Instant deadline() const { return basis_.PlusNs(length_ns_); }
  // When the next attempt is due.
  Instant next_attempt() const { return next_attempt_; }
  // True from the first renewal that failed, or was not answered when the next was due, until one
  // is.
  bool in_jeopardy() const { return in_jeopardy_; }
  std::int64_t ttl_ns() const { return ttl_ns_; }

 private:
  struct Attempt {
    std::uint64_t number = 0;
    Instant sent;
  };

  const double factor_;
  Instant basis_;
  std::int64_t ttl_ns_ = 0;
  std::int64_t length_ns_ = 0;  // 0: not begun, which is over
  std::uint64_t last_attempt_ = 0;
  std::deque<Attempt> unanswered_;  // in their order
  Instant next_attempt_;
  bool in_jeopardy_ = false;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_LEASE_H_
