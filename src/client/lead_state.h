// What a Leadership and the commands that it has under way share.
#ifndef TENURE_CLIENT_LEAD_STATE_H_
#define TENURE_CLIENT_LEAD_STATE_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

namespace tenure::client {

// Thread-safe.
//
// A lead that is being handed over is nobody's to act on: the successor may have it before this
// process hears so. Whether it comes back is the machine's to say; if the Leadership is gone by
// then, whoever brings it back resigns.
class LeadState {
 public:
  bool here() const { return where_.load(std::memory_order_acquire) == Where::kHere; }
  // False if it is away already.
  bool SendAway() { return Move(Where::kHere, Where::kAway); }
  // Nothing came of it. False if the Leadership is gone: the caller resigns.
  bool BringBack() { return Move(Where::kAway, Where::kHere); }
  // It is over, or the Leadership goes. True if it was here.
  bool Leave() { return where_.exchange(Where::kGone, std::memory_order_acq_rel) == Where::kHere; }

  std::string value() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return value_;
  }
  void set_value(std::string value) {
    const std::lock_guard<std::mutex> lock(mutex_);
    value_ = std::move(value);
  }

 private:
  enum class Where : std::uint8_t { kHere, kAway, kGone };

  bool Move(Where from, Where to) {
    return where_.compare_exchange_strong(from, to, std::memory_order_acq_rel);
  }

  std::atomic<Where> where_{Where::kHere};
  mutable std::mutex mutex_;
  std::string value_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_LEAD_STATE_H_
