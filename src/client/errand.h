// A command of a guard: sent for as long as it takes.
#ifndef TENURE_CLIENT_ERRAND_H_
#define TENURE_CLIENT_ERRAND_H_

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/sequenced_call.h"
#include "tenure/command.h"
#include "tenure/loop.h"

namespace tenure::client {

// Sent under one sequence, and naming the grant's token, so that neither a retry nor a late
// duplicate meets a later grant (PITFALLS L10), until it is answered or the session is over (L15).
// Whoever asked is told after `timeout` at the latest; it then goes on in the background.
class Errand : public SequencedCall {
 public:
  using Done = absl::AnyInvocable<void(absl::Status) &&>;

  // Keeps the session until `done`, which may be null, was told: the guard may have been its last
  // handle.
  static void Start(const std::shared_ptr<SessionCore>& core,
                    const std::shared_ptr<Errand>& errand);

 protected:
  Errand(absl::Duration timeout, Done done) : timeout_(timeout), done_(std::move(done)) {}

  // For messages: "the release of invoices/42".
  virtual std::string What() const = 0;
  // The machine's answer, as the caller's status; not of a session that has ended.
  virtual absl::Status Verdict(const Reply& reply);
  // The session was over before the first sending: nothing was done.
  virtual absl::Status TooLate(const absl::Status& why) const = 0;
  // Runs once, when the errand is settled or never will be (`core` is null then), before that is
  // told.
  virtual void OnSettled(const Core& /*core*/) {}
  // In OnSettled: the backend refused it, so that it never reached the machine.
  bool undone() const { return undone_; }

 private:
  absl::Duration Timeout(Loop& loop) const final;
  bool OutlastsLimit() const final { return true; }
  void OnRetry(const Core& core, const absl::Status& why) final;
  void OnReply(const Core& core, Reply reply) final;
  void OnFailed(const Core& core, absl::Status why, bool settled) final;
  void OnOver(absl::Status why) final;

  void Tell(absl::Status status);
  void TellLate(absl::string_view why);

  const absl::Duration timeout_;
  Instant deadline_ = Instant::InfiniteFuture();  // for `done_`; under the session's lock
  bool timed_ = false;                            // whether deadline_ is set; likewise
  TimerHandle held_back_until_;                   // tells, if it is not even sent by then
  bool undone_ = false;
  std::atomic<bool> told_{false};
  Core keep_;
  Done done_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_ERRAND_H_
