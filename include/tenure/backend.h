// The Backend seam: where commands run. Handles (Session, Mutex, ...) know nothing else.
#ifndef TENURE_BACKEND_H_
#define TENURE_BACKEND_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/command.h"
#include "tenure/loop.h"
#include "tenure/types.h"

namespace tenure {

struct CallOptions {
  // From the call, on the backend's Loop. When it passes, the call ends with kUnavailable if
  // nothing was sent (retry-safe), or with kDeadlineExceeded (uncertain). InfiniteDuration() waits
  // for ever.
  absl::Duration timeout = absl::Seconds(5);
  // Whether the backend may send the command again, after a lost connection or to another leader.
  // Safe for whatever takes effect once: sequenced commands, OpenSession, reads. Never for
  // RenewSession, whose answer must be that of one attempt.
  bool retry = true;
};

// Where a session's events arrive: on the backend's Loop, one at a time, revisions rising. A local
// backend may deliver on the thread whose command caused the event, also before that Call returns.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void OnEvent(SessionEvent event) = 0;
};

// Thread-safe. `done` runs exactly once, on the Loop's thread or, for a backend whose machine is in
// this process, inside Call. No method blocks.
class Backend {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Reply>) &&>;

  virtual ~Backend() = default;

  // A Status means that the machine did not answer: kUnavailable and kResourceExhausted are
  // retry-safe, kInvalidArgument and kUnimplemented refused, kDeadlineExceeded and kUnknown
  // uncertain. The machine's own verdicts, also refusals, are Replies.
  virtual void Call(Command command, CallOptions options, Done done) = 0;

  // The same without a callback, for a backend whose machine is in this process: true if `reply`
  // has the machine's answer. Events that the command causes may be delivered inside. False, with
  // nothing done, where only Call can answer.
  virtual bool CallInPlace(const Command& /*command*/, Reply* /*reply*/) { return false; }

  // Delivers the events of `session` later than `after`, now and from now on, over fail-overs,
  // until Unlisten; one sink a session, a second call replaces the first. An event may be delivered
  // again: the sink drops revisions that it has seen. After Unlisten returns on the Loop's thread,
  // or eventually from another, the sink is not called any more.
  virtual void Listen(SessionId session, Revision after, std::shared_ptr<EventSink> sink) = 0;
  virtual void Unlisten(SessionId session) = 0;

  // Time and timers for the handles: virtual in a simulation.
  virtual Loop& loop() = 0;

  // Returns once the Loop's thread has come back from the callbacks that it is in at this moment,
  // and let go of what they held; at once on the Loop, or where it is nobody's thread. Whoever
  // drops his last handle after a callback is then the one who ends the backend, and not a thread
  // that the end of the process may cut off. Prompt: gives up on a callback that does not return.
  virtual void Settle() {}

  // Ends what is under way with kCancelled, or with kUnknown if it may have happened, and refuses
  // new calls with kCancelled. Prompt whatever the network does.
  virtual void Shutdown() = 0;
};

}  // namespace tenure

#endif  // TENURE_BACKEND_H_
