// The other half of a fencing token: the gate that the guarded resource keeps.
//
// A lock alone cannot stop a holder that was paused past its lease from writing when it wakes
// (Kleppmann, "How to do distributed locking", 2016). A gate can: the resource remembers the
// greatest token that it has seen and refuses lower ones.
//
// In SQL, keep the token beside the row and put the comparison into the same statement:
//
//   UPDATE invoices SET body = :body, fence = :token WHERE id = :id AND fence <= :token;
//
// and take "no row changed" for "refused: a later holder has written".
#ifndef TENURE_FENCING_H_
#define TENURE_FENCING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tenure/types.h"

namespace tenure {

// Admits a token only if none higher was seen. Thread-safe, lock-free, in memory: the resource that
// it guards must live in this process, or be written under the same order.
class FencingGate {
 public:
  FencingGate() = default;
  // Starts from the greatest token that a resource had already seen.
  explicit FencingGate(Revision seen) : seen_(seen) {}
  FencingGate(const FencingGate&) = delete;
  FencingGate& operator=(const FencingGate&) = delete;

  // OK if no higher token was admitted before; kFailedPrecondition otherwise, or for token 0, which
  // no grant has. The same token is admitted as often as its holder asks.
  absl::Status Admit(Revision token) {
    if (token == 0)
      return absl::FailedPreconditionError("token 0 fences nothing: pass a guard's token()");
    Revision seen = seen_.load(std::memory_order_acquire);
    while (token > seen) {
      if (seen_.compare_exchange_weak(seen, token, std::memory_order_acq_rel))
        return absl::OkStatus();
    }
    if (token == seen) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("token ", token, " is stale: token ", seen,
                     " was seen; this holder lost its lock, stop writing"));
  }

  // The greatest token admitted so far; 0: none. Keep it with the resource if that outlives this
  // process.
  Revision seen() const { return seen_.load(std::memory_order_acquire); }

 private:
  std::atomic<Revision> seen_{0};
};

// A gate for each seat of a semaphore: holders that are rightly there together sit apart, and each
// seat refuses who sat there before. A guard has one seat, so that only holders of one permit each
// are kept apart without a gap. Thread-safe.
class SeatGates {
 public:
  // `seats`: the semaphore's total.
  explicit SeatGates(std::uint64_t seats) : gates_(static_cast<std::size_t>(seats)) {}

  // `seat`, `fence`: of the guard. As FencingGate::Admit; kInvalidArgument for a seat that is not
  // below the total.
  absl::Status Admit(std::uint64_t seat, Revision fence) {
    if (seat >= gates_.size()) {
      return absl::InvalidArgumentError(absl::StrCat("seat ", seat, " is none of these ",
                                                     gates_.size(),
                                                     ": make them with the semaphore's total"));
    }
    return gates_[static_cast<std::size_t>(seat)].Admit(fence);
  }

 private:
  std::vector<FencingGate> gates_;
};

}  // namespace tenure

#endif  // TENURE_FENCING_H_
