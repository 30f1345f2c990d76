// Campaigning again after each term, without a thread.
#ifndef TENURE_CLIENT_CAMPAIGNING_H_
#define TENURE_CLIENT_CAMPAIGNING_H_

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/handle_core.h"
#include "tenure/election.h"
#include "tenure/loop.h"

namespace tenure::client {

// When to campaign again. Not thread-safe.
class Recampaign {
 public:
  explicit Recampaign(const HandleCore& core) : core_(core) {}

  void Elected() { pause_ = absl::ZeroDuration(); }
  // After a campaign that ended with `why`; nothing if no other will go better.
  std::optional<absl::Duration> After(const absl::Status& why);

 private:
  const HandleCore& core_;
  absl::Duration pause_;
};

// Lives as long as its campaign is under way, its term lasts or it pauses. Thread-safe.
class Campaigning : public std::enable_shared_from_this<Campaigning> {
 public:
  using Lead = absl::AnyInvocable<void(Leadership, Election::Again)>;
  using Done = absl::AnyInvocable<void(absl::Status) &&>;

  static void Start(Election election, std::shared_ptr<HandleCore> core, CampaignOptions options,
                    Lead lead, Done done);

 private:
  class TermsEnd;

  Campaigning(Election election, std::shared_ptr<HandleCore> core, CampaignOptions options,
              Lead lead, Done done);

  // On the Loop, so that a term that ends at once does not grow the stack.
  void GoOn();
  void Campaign();
  void OnAnswer(absl::StatusOr<Leadership> answer);
  void PauseFor(absl::Duration pause);
  void EndPause();

  const Election election_;
  const std::shared_ptr<HandleCore> core_;
  const CampaignOptions options_;
  Recampaign next_;
  Lead lead_;
  Done done_;
  std::mutex mutex_;
  bool pauses_ = false;
  TimerHandle pause_;  // holds this
  std::optional<std::stop_callback<std::function<void()>>> on_cancel_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_CAMPAIGNING_H_
