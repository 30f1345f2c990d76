// A command that takes effect once, however often it has to be sent.
#ifndef TENURE_CLIENT_SEQUENCED_CALL_H_
#define TENURE_CLIENT_SEQUENCED_CALL_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tenure/command.h"
#include "tenure/loop.h"
#include "tenure/types.h"

namespace tenure::client {

class SessionCore;

// What SessionCore::Start sends until the machine has answered or the session is over. A call is
// *open* while the session has it; whoever takes it out of there (a reply, an event, a
// deadline, a cancel, the session's end) ends it, so it ends once.
//
// Hooks marked [locked] run under the session's lock and call nothing; the others run outside of
// it.
class SequencedCall : public std::enable_shared_from_this<SequencedCall> {
 public:
  virtual ~SequencedCall() = default;

  // 0 until it is sent for the first time.
  Sequence sequence() const { return sequence_; }

 protected:
  friend class SessionCore;
  using Core = std::shared_ptr<SessionCore>;

  // [locked] The operation to send, the same each time.
  virtual Operation MakeOperation() const = 0;
  // [locked] How long the next sending may take; it is sent again after.
  virtual absl::Duration Timeout(Loop& /*loop*/) const { return absl::Seconds(5); }
  // [locked] The machine's answer. False leaves the call open, to be ended by something else.
  virtual bool Settles(const Reply& /*reply*/) { return true; }
  // [locked] Whether to end rather than to send again after a retry-safe or uncertain failure.
  virtual bool GivesUp(const absl::Status& /*why*/) { return false; }

  // [locked] Whether to send again when the machine says that a table is full. Such calls free
  // something, and have a share of the session's window of their own.
  virtual bool OutlastsLimit() const { return false; }

  // [locked] Whether a cancel follows when it ends without an answer, and acknowledges it.
  virtual bool EndsByCancel() const { return false; }

  // Sending failed with `why`, and is tried again.
  virtual void OnRetry(const Core& /*core*/, const absl::Status& /*why*/) {}
  // One of these, or a Take, ends the call.
  virtual void OnReply(const Core& core, Reply reply) = 0;
  // Refused by the backend, or given up. `settled`: it certainly did not take effect, and never
  // will.
  virtual void OnFailed(const Core& core, absl::Status why, bool settled) = 0;
  // An event of the session that names this call's sequence.
  virtual void OnEvent(const Core& /*core*/, const SessionEvent& /*event*/) {}
  // The same, of a call that was ended from this side before.
  virtual void OnLateEvent(const Core& /*core*/, const SessionEvent& /*event*/) {}
  // The session is over; `why` is for the caller.
  virtual void OnOver(absl::Status why) = 0;

  // True once some sending ended without telling whether it took effect.
  bool uncertain() const { return uncertain_; }
  // [locked] Whether it waits for a place in the session's window, and no sending is timed.
  bool held_back() const { return held_back_; }

 private:
  std::weak_ptr<SessionCore> core_;
  Sequence sequence_ = 0;
  bool held_back_ = false;  // it is open, and waits for a place in the session's window
  bool uncertain_ = false;
  std::int64_t backoff_ns_ = 0;
  TimerHandle retry_timer_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_SEQUENCED_CALL_H_
