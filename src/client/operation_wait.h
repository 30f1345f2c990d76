// One call of IdempotencyStore::Begin or Wait, from its command to what is known of the operation.
#ifndef TENURE_CLIENT_OPERATION_WAIT_H_
#define TENURE_CLIENT_OPERATION_WAIT_H_

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <variant>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/wait.h"
#include "tenure/command.h"
#include "tenure/idempotency.h"

namespace tenure::client {

// What may be asked of an operation. Its `wait_ns` is filled in when it is sent.
using Asked = std::variant<tenure::Begin, AwaitOperation>;

class OperationWait final : public Wait {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Begun>) &&>;

  // `spent` of `wait` is over already.
  static void Start(const std::shared_ptr<SessionCore>& core, Asked asked, absl::Duration wait,
                    std::stop_token cancel, Done done, absl::Duration spent = absl::ZeroDuration());

  OperationWait(Asked asked, absl::Duration wait, absl::Duration spent, std::stop_token cancel,
                Done done);

 private:
  Operation MakeOperation() const override;
  bool Queues(const Reply& reply) override;
  void OnReply(const Core& core, Reply reply) override;
  void OnEvent(const Core& core, const SessionEvent& event) override;
  void OnLateEvent(const Core& core, const SessionEvent& event) override;
  void Fail(absl::Status why) override { std::move(done_)(std::move(why)); }
  void EndOfTime() override;
  void GiveBack(const Core& core, const Reply& reply) override;

  void Started(const Core& core, const AttemptStarted& started);
  void Abandon(const Core& core, Revision token) const;

  const Asked asked_of_;
  const std::stop_token cancel_;
  Instant start_;  // when it waits
  // Under the session's lock while the call is open.
  std::optional<AttemptInProgress> progress_;
  Done done_;
};

// A failure as it is stored, and back.
std::string EncodeFailure(const absl::Status& failure);
absl::Status DecodeFailure(absl::string_view stored);
StoredOutcome OutcomeFrom(OperationDone done);

}  // namespace tenure::client

#endif  // TENURE_CLIENT_OPERATION_WAIT_H_
