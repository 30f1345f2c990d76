// A command that may have to wait for its answer: until a deadline, or until its caller gives up.
#ifndef TENURE_CLIENT_WAIT_H_
#define TENURE_CLIENT_WAIT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/sequenced_call.h"
#include "tenure/command.h"

namespace tenure::client {

// The caller is answered at its own deadline, whatever the network does. A wait that it has left is
// cancelled in the background, until that is answered or the session is over; what was granted
// first is given back (PITFALLS L12, L14, T14).
//
// What is waited for, and how it is told, are the derived class's: GrantWait (locks, elections) and
// others.
class Wait : public SequencedCall {
 public:
  const std::string& name() const { return name_; }

 protected:
  // `name`: for messages. `spent` of the `asked` wait is over already. A wait of zero is a try.
  Wait(std::string name, absl::Duration asked, absl::Duration spent);

  // Sends it. `cancel` ends it with kCancelled.
  static void Launch(const std::shared_ptr<SessionCore>& core, const std::shared_ptr<Wait>& wait,
                     std::stop_token cancel);

  // Tells the caller that nothing came of it. Once, and instead of a result.
  virtual void Fail(absl::Status why) = 0;
  // Tells the caller that the wait's time is over: likewise.
  virtual void EndOfTime() = 0;
  // Whether `reply` says that the command waits; [locked].
  virtual bool Queues(const Reply& reply) = 0;
  // The answer to the cancel of a wait that was left, and an event of it: what was granted, nobody
  // wants, and it is given back at once. May see both.
  virtual void GiveBack(const Core& core, const Reply& reply) = 0;
  void OnLateEvent(const Core& core, const SessionEvent& event) override = 0;

  bool is_try() const { return asked_ == absl::ZeroDuration(); }
  absl::Duration asked() const { return asked_; }
  // For the command.
  std::int64_t wait_ns() const;
  // The status of a wait that nothing has ever answered.
  absl::Status NoAnswer(absl::Duration within) const;
  // The status of one that is silent().
  absl::Status NoAnswerAnyMore() const;
  // Sends a cancel for what was answered, and goes on all the same.
  void CancelInBackground(const Core& core);
  // When its time was over, nobody had answered the session's renewals for a while: whether the
  // cluster still knows of the wait is open.
  bool silent() const { return silent_; }
  // Of a result that ends the wait: no deadline any more.
  void StopTimer() { deadline_timer_.Cancel(); }

 private:
  class Cancel;
  struct OnStop {
    std::weak_ptr<Wait> wait;
    void operator()() const;
  };

  absl::Duration Timeout(Loop& loop) const final;
  bool Settles(const Reply& reply) final { return !Queues(reply); }
  bool GivesUp(const absl::Status& why) final;
  bool EndsByCancel() const final { return true; }
  void OnFailed(const Core& core, absl::Status why, bool settled) final;
  void OnOver(absl::Status why) final { Fail(std::move(why)); }

  std::shared_ptr<Wait> Self();
  // Ends the wait from this side, if it is open.
  void Leave(const absl::Status& why);

  const std::string name_;
  const absl::Duration asked_;  // the wait that the caller asked for
  const absl::Duration wait_;   // what is left of it
  std::weak_ptr<SessionCore> session_;
  // Under the session's lock while the call is open.
  Instant deadline_ = Instant::InfiniteFuture();
  TimerHandle deadline_timer_;
  absl::Status last_failure_;
  bool silent_ = false;
  // Only Launch and the destructor touch it.
  std::optional<std::stop_callback<OnStop>> on_stop_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_WAIT_H_
