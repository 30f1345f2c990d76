// Whether something is still its handle's, while a command that may end it is under way.
#ifndef TENURE_CLIENT_POSSESSION_H_
#define TENURE_CLIENT_POSSESSION_H_

#include <atomic>
#include <cstdint>

namespace tenure::client {

// Shared by the handle and its command, as either may end first. Thread-safe.
class Possession {
 public:
  bool here() const { return where_.load(std::memory_order_acquire) == Where::kHere; }
  // A command goes that may end it. False if one has gone before.
  bool SendAway() { return Move(Where::kHere, Where::kAway); }
  // Nothing came of the command. False if the handle is gone: the caller lets go of it.
  bool BringBack() { return Move(Where::kAway, Where::kHere); }
  // It is over, or the handle goes. True if it was here: the caller lets go of it.
  bool Leave() { return where_.exchange(Where::kGone, std::memory_order_acq_rel) == Where::kHere; }

 private:
  enum class Where : std::uint8_t { kHere, kAway, kGone };

  bool Move(Where from, Where to) {
    return where_.compare_exchange_strong(from, to, std::memory_order_acq_rel);
  }

  std::atomic<Where> where_{Where::kHere};
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_POSSESSION_H_
