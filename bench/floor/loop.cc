#include "bench/floor/loop.h"

#include <grpc/support/time.h>
#include <sched.h>

namespace tenure::bench::floor {
namespace {

using Clock = std::chrono::steady_clock;
using Next = grpc::CompletionQueue::NextStatus;

constexpr int kLongestSleepMs = 10;

// A deadline in the past makes AsyncNext poll the sockets once and return without blocking.
Next Poll(grpc::CompletionQueue* queue, void** tag, bool* ok) {
  return queue->AsyncNext(tag, ok, gpr_inf_past(GPR_CLOCK_MONOTONIC));
}

// Not for ever at a time: once in some ten runs of the whole benchmark a process never came back
// from here, for a reason that was not found. False: shut down.
bool Sleep(grpc::CompletionQueue* queue, void** tag, bool* ok) {
  Next status = Next::TIMEOUT;
  while (status == Next::TIMEOUT) {
    status = queue->AsyncNext(tag, ok, gpr_time_from_millis(kLongestSleepMs, GPR_TIMESPAN));
  }
  return status == Next::GOT_EVENT;
}

}  // namespace

bool Loop::Wait(void** tag, bool* ok) {
  // An event is what brings us here, so something was in flight a moment ago: an idle process
  // never spins.
  const auto deadline = Clock::now() + spin_;
  do {
    const Next status = Poll(queue_, tag, ok);
    if (status != Next::TIMEOUT) return status == Next::GOT_EVENT;
    // The peer may be waiting for this very core; without the yield, spinning gains nothing.
    sched_yield();
  } while (Clock::now() < deadline);
  return Sleep(queue_, tag, ok);
}

bool Loop::Turn() {
  void* tag = nullptr;
  bool ok = false;
  if (!Wait(&tag, &ok)) return false;
  static_cast<Tag*>(tag)->Fire(ok);
  return true;
}

void Loop::Drain() {
  queue_->Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (Sleep(queue_, &tag, &ok)) {
  }
}

}  // namespace tenure::bench::floor
