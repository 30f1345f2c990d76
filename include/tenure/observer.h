// What happens to a lock or an election, change by change.
#ifndef TENURE_OBSERVER_H_
#define TENURE_OBSERVER_H_

#include <memory>
#include <stop_token>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/command.h"
#include "tenure/types.h"

namespace tenure {

namespace client {
class ObserverCore;  // src/client/observer_core.h
}

struct News {
  // True of the first: it tells how things stand, and nothing has changed. `change` has only its
  // revision then.
  bool initial = false;
  // There were changes before this one that are no longer kept: the cluster keeps the last 32.
  bool gap = false;
  Change change;
  // Who holds it, or leads, after this; session 0: nobody. `held_ns` only if it is initial. Of
  // several who share it, the first that this observer has heard of.
  LockHolder holder;
};

// Tells each change in its order, none twice, and none left out without a word, over fail-overs and
// sessions that are lost. Cheap to make, and nothing is kept for it in the cluster but while a Next
// is under way: one that is asked seldom may find a gap. Move-only. Destroying it ends a Next that
// is under way with kCancelled.
class Observer {
 public:
  Observer() noexcept;  // of nothing: Next answers kFailedPrecondition
  explicit Observer(std::shared_ptr<client::ObserverCore> core);
  Observer(Observer&&) noexcept;
  Observer& operator=(Observer&&) noexcept;
  ~Observer();

  // The next news, as soon as there is any: one round trip and one round of replication, then a
  // push. The first comes at once. One call at a time: others are refused.
  //   kAborted             nothing happened within `wait`
  //   kCancelled           `cancel` was stopped, and the next call goes on where this one was; or
  //                        the Observer was destroyed, or the backend shut down
  //   kFailedPrecondition  its session is over (never with the implicit one, which is opened anew);
  //                        or another Next is under way
  //   kInvalidArgument     an empty or overlong name, a negative wait
  //   kUnavailable         no cluster answered within `wait` (retry-safe)
  absl::StatusOr<News> Next(absl::Duration wait = absl::InfiniteDuration(),
                            const std::stop_token& cancel = {});
  void Next(absl::Duration wait, absl::AnyInvocable<void(absl::StatusOr<News>) &&> done);
  void Next(absl::Duration wait, const std::stop_token& cancel,
            absl::AnyInvocable<void(absl::StatusOr<News>) &&> done);

  // The revision of what was told last: an observer that begins after it goes on there.
  Revision revision() const;

 private:
  std::shared_ptr<client::ObserverCore> core_;
};

}  // namespace tenure

#endif  // TENURE_OBSERVER_H_
