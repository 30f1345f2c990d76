// Whether a member leads its group, for its own process: written by the actor, read by anybody.
#ifndef TENURE_MEMBER_LEAD_BOARD_H_
#define TENURE_MEMBER_LEAD_BOARD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <utility>

#include "tenure/loop.h"
#include "tenure/types.h"

namespace tenure::member {

// Thread-safe. Readers ask the clock, so that an actor that stands still leads no longer than its
// lease (PITFALLS E1, E3).
class LeadBoard {
 public:
  // Reads the time from `loop`, whatever its thread does.
  explicit LeadBoard(Loop* loop) : loop_(loop) {}

  // ---- the actor's side, on the Loop

  // Nobody asks: nothing need be written.
  bool watched() const { return watched_.load(std::memory_order_relaxed); }
  // It leads in `term`, for `lease_ns` since `since`.
  void Publish(Term term, Instant since, std::int64_t lease_ns) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (term_ != term) lost_ = std::stop_source();
    term_ = term;
    since_ = since;
    lease_ns_ = lease_ns;
  }
  // It leads no more, or hands over. Whoever waits for that is told inside.
  void Withdraw() {
    std::stop_source lost{std::nostopstate};
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (term_ == 0) return;
      term_ = 0;
      std::swap(lost, lost_);
    }
    lost.request_stop();
  }

  // ---- everybody's

  void Watch() { watched_.store(true, std::memory_order_relaxed); }
  // The term that it leads in at this moment; 0: none.
  Term Leads() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    // The clock is read under the lock: an answer is never older than what is published.
    if (term_ == 0 || loop_->Now().HolderElapsedNs(since_) >= lease_ns_) return 0;
    return term_;
  }
  // Fires when what `Leads` said last is over for good. Fired already if it leads not.
  std::stop_token lost() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (term_ != 0) return lost_.get_token();
    std::stop_source over;
    over.request_stop();
    return over.get_token();
  }

 private:
  Loop* const loop_;
  std::atomic<bool> watched_{false};
  mutable std::mutex mutex_;
  Term term_ = 0;
  Instant since_;
  std::int64_t lease_ns_ = 0;
  std::stop_source lost_{std::nostopstate};
};

}  // namespace tenure::member

#endif  // TENURE_MEMBER_LEAD_BOARD_H_
