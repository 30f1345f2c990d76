// One call of Mutex::Lock, from its command to a guard or an error.
#ifndef TENURE_CLIENT_LOCK_WAIT_H_
#define TENURE_CLIENT_LOCK_WAIT_H_

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/sequenced_call.h"
#include "tenure/command.h"
#include "tenure/mutex.h"

namespace tenure::client {

// The caller is answered at its own deadline, whatever the network does. A wait that it has left is
// cancelled in the background, until that is answered or the session is over; if the grant came
// first, it is given back (PITFALLS L12, L14, T14).
class LockWait final : public SequencedCall {
 public:
  // `spent` of options.wait is over already.
  static void Start(const std::shared_ptr<SessionCore>& core, const std::string& name,
                    LockOptions options, Mutex::LockCallback done,
                    absl::Duration spent = absl::ZeroDuration());

  LockWait(const std::string& name, LockOptions options, Mutex::LockCallback done,
           absl::Duration spent);

 private:
  struct OnStop {
    std::weak_ptr<LockWait> wait;
    void operator()() const;
  };

  Operation MakeOperation() const override;
  absl::Duration Timeout(Loop& loop) const override;
  bool Settles(const Reply& reply) override;
  bool GivesUp(const absl::Status& why) override;
  void OnReply(const Core& core, Reply reply) override;
  void OnFailed(const Core& core, absl::Status why, bool settled) override;
  void OnEvent(const Core& core, const SessionEvent& event) override;
  void OnOver(absl::Status why) override;

  bool is_try() const { return asked_ == absl::ZeroDuration(); }
  void Grant(const Core& core, Revision token);
  // Ends the wait from this side, if it is open.
  void Leave(const absl::Status& why);
  absl::Status WhyNot() const;

  const std::string name_;
  const std::string value_;
  const absl::Duration asked_;  // the wait that the caller asked for
  const absl::Duration wait_;   // what is left of it
  std::weak_ptr<SessionCore> session_;
  Mutex::LockCallback done_;
  // Under the session's lock while the call is open.
  Instant deadline_ = Instant::InfiniteFuture();
  TimerHandle deadline_timer_;
  std::optional<LockQueued> queued_;
  absl::Status last_failure_;
  // Only Start and the destructor touch it.
  std::optional<std::stop_callback<OnStop>> on_stop_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_LOCK_WAIT_H_
