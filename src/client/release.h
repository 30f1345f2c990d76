// Gives a grant back: once, and for as long as it takes.
#ifndef TENURE_CLIENT_RELEASE_H_
#define TENURE_CLIENT_RELEASE_H_

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/grant.h"
#include "client/sequenced_call.h"
#include "tenure/command.h"

namespace tenure::client {

// Sent under one sequence and naming the grant's token, so that neither a retry nor a late
// duplicate frees a later grant (PITFALLS L10), until it is answered or the session is over (L15).
// Whoever asked is told after `timeout` at the latest.
class Release final : public SequencedCall {
 public:
  using Done = absl::AnyInvocable<void(absl::Status) &&>;

  // `done` may be null.
  static void Start(const std::shared_ptr<SessionCore>& core, GrantKind kind, std::string name,
                    Revision token, absl::Duration timeout, Done done);

  Release(GrantKind kind, std::string name, Revision token, absl::Duration timeout, Done done)
      : kind_(kind),
        name_(std::move(name)),
        token_(token),
        timeout_(timeout),
        done_(std::move(done)) {}

 private:
  Operation MakeOperation() const override;
  absl::Duration Timeout(Loop& loop) const override;
  bool OutlastsLimit() const override { return true; }
  void OnRetry(const Core& core, const absl::Status& why) override;
  void OnReply(const Core& core, Reply reply) override;
  void OnFailed(const Core& core, absl::Status why, bool settled) override;
  void OnOver(absl::Status why) override;

  void Tell(absl::Status status);

  const GrantKind kind_;
  const std::string name_;
  const Revision token_;
  const absl::Duration timeout_;
  Instant deadline_ = Instant::InfiniteFuture();  // for `done_`; under the session's lock
  bool timed_ = false;                            // whether deadline_ is set; likewise
  std::atomic<bool> told_{false};
  Core keep_;  // until `done_` is told: the guard may have been the session's last handle
  Done done_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_RELEASE_H_
