#include "client/lease.h"

#include <algorithm>

namespace tenure::client {
namespace {

constexpr std::int64_t kFirstRenewalDivisor = 3;
constexpr std::int64_t kNextRenewalDivisor = 8;

}  // namespace

void Lease::Begin(Instant sent, std::int64_t ttl_ns) {
  basis_ = sent;
  ttl_ns_ = ttl_ns;
  length_ns_ = static_cast<std::int64_t>(static_cast<double>(ttl_ns) * factor_);
  next_attempt_ = sent.PlusNs(ttl_ns / kFirstRenewalDivisor);
}

std::uint64_t Lease::NewAttempt(Instant now) {
  if (!unanswered_.empty()) in_jeopardy_ = true;
  unanswered_.push_back({++last_attempt_, now});
  next_attempt_ = now.PlusNs(ttl_ns_ / kNextRenewalDivisor);
  return last_attempt_;
}

void Lease::Renewed(std::uint64_t attempt, std::int64_t ttl_ns, Instant now) {
  const auto it = std::find_if(unanswered_.begin(), unanswered_.end(),
                               [attempt](const Attempt& a) { return a.number == attempt; });
  if (it == unanswered_.end()) return;  // a later one was answered before
  basis_ = it->sent;
  ttl_ns_ = ttl_ns;
  length_ns_ = static_cast<std::int64_t>(static_cast<double>(ttl_ns) * factor_);
  unanswered_.erase(unanswered_.begin(), it + 1);
  in_jeopardy_ = false;
  next_attempt_ = basis_.PlusNs(ttl_ns_ / kFirstRenewalDivisor);
  // Slow answers must not make a stream of attempts out of it.
  if (now.Reached(next_attempt_)) next_attempt_ = now.PlusNs(ttl_ns_ / kNextRenewalDivisor);
}

void Lease::Failed(std::uint64_t attempt, Instant now) {
  const auto it = std::find_if(unanswered_.begin(), unanswered_.end(),
                               [attempt](const Attempt& a) { return a.number == attempt; });
  if (it == unanswered_.end()) return;
  unanswered_.erase(it);
  in_jeopardy_ = true;
  next_attempt_ = Instant::Earlier(next_attempt_, now.PlusNs(ttl_ns_ / kNextRenewalDivisor));
}

std::int64_t Lease::RemainingNs(Instant now) const {
  return std::max<std::int64_t>(0, length_ns_ - now.HolderElapsedNs(basis_));
}

}  // namespace tenure::client
