// Parts of SessionCore that only its own files see.
#ifndef TENURE_CLIENT_SESSION_PARTS_H_
#define TENURE_CLIENT_SESSION_PARTS_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "client/sequenced_call.h"
#include "client/session_core.h"
#include "tenure/backend.h"
#include "tenure/errors.h"
#include "tenure/session.h"

namespace tenure::client {

// What the backend holds: it does not keep the session alive.
class SessionCore::Sink final : public EventSink {
 public:
  explicit Sink(std::weak_ptr<SessionCore> core) : core_(std::move(core)) {}
  void OnEvent(SessionEvent event) override {
    if (const std::shared_ptr<SessionCore> core = core_.lock()) core->OnEvent(std::move(event));
  }

 private:
  const std::weak_ptr<SessionCore> core_;
};

// Outlives the session in what is posted to the Loop.
struct SessionCore::Watchers {
  using Watcher = absl::AnyInvocable<void(SessionState)>;

  void Notify(SessionState state) {
    std::vector<std::shared_ptr<Watcher>> now;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      now = all;
    }
    for (const std::shared_ptr<Watcher>& watcher : now) (*watcher)(state);
  }

  std::mutex mutex;
  std::vector<std::shared_ptr<Watcher>> all;
};

// Tells all of them that the session is over, in the order in which they were started: a hash
// table's own order differs from run to run, and callers would see it.
inline void EndInOrder(const absl::flat_hash_map<Sequence, std::shared_ptr<SequencedCall>>& calls,
                       absl::FunctionRef<void(SequencedCall&)> end) {
  std::vector<std::pair<Sequence, SequencedCall*>> ordered;
  ordered.reserve(calls.size());
  for (const auto& [sequence, call] : calls) ordered.emplace_back(sequence, call.get());
  std::sort(ordered.begin(), ordered.end());
  for (const auto& [sequence, call] : ordered) end(*call);
}

// How long to wait before the next try, given the wait before: doubled, from 20 ms to 500 ms, and
// not less than the cluster asked for.
inline std::int64_t NextBackoffNs(std::int64_t last_ns, const absl::Status& why) {
  const std::int64_t next = std::clamp<std::int64_t>(2 * last_ns, 20'000'000, 500'000'000);
  return std::max(next,
                  std::min<std::int64_t>(absl::ToInt64Nanoseconds(RetryAfter(why)), 5'000'000'000));
}

}  // namespace tenure::client

#endif  // TENURE_CLIENT_SESSION_PARTS_H_
