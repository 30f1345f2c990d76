// What an Attempt owns, and the commands that it sends.
#ifndef TENURE_CLIENT_ATTEMPT_CORE_H_
#define TENURE_CLIENT_ATTEMPT_CORE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/errand.h"
#include "client/grant.h"
#include "client/possession.h"
#include "tenure/command.h"

namespace tenure::client {

// Outlives the attempt in what is under way.
struct AttemptProgress {
  // Away once an outcome was given that was not refused.
  Possession attempt;
  // A Checkpoint or Extend is under way: a late one must not undo the next.
  std::atomic<bool> stepping{false};
};

class AttemptCore {
 public:
  AttemptCore(std::shared_ptr<SessionCore> core, std::string of_scope, const std::string& key,
              const AttemptStarted& started)
      : grant(std::move(core), GrantKind::kOperation, key, {started.token, 0, 0}),
        scope(std::move(of_scope)),
        number(started.attempts),
        point(started.point) {}

  Grant grant;
  const std::string scope;
  const std::uint64_t number;
  const std::string point;
  const std::shared_ptr<AttemptProgress> progress = std::make_shared<AttemptProgress>();
};

// Ends an attempt.
class AttemptFinish final : public Errand {
 public:
  // Brings progress->attempt back if the outcome is refused in a way that leaves the attempt as it
  // is; or abandons that, if its handle was destroyed meanwhile.
  static void Start(const std::shared_ptr<SessionCore>& core, FinishAttempt finish,
                    std::shared_ptr<AttemptProgress> progress, absl::Duration timeout, Done done) {
    Errand::Start(core, std::make_shared<AttemptFinish>(std::move(finish), std::move(progress),
                                                        timeout, std::move(done)));
  }
  // Of one that has no handle, or none any more.
  static void Abandon(const std::shared_ptr<SessionCore>& core, std::string scope, std::string key,
                      Revision token) {
    Start(core, {std::move(scope), std::move(key), token, Outcome::kAbandoned, ""}, nullptr,
          absl::ZeroDuration(), nullptr);
  }
  AttemptFinish(FinishAttempt finish, std::shared_ptr<AttemptProgress> progress,
                absl::Duration timeout, Done done)
      : Errand(timeout, std::move(done)),
        finish_(std::move(finish)),
        progress_(std::move(progress)) {}

 private:
  Operation MakeOperation() const override { return finish_; }
  std::string What() const override;
  absl::Status Verdict(const Reply& reply) override;
  absl::Status TooLate(const absl::Status& why) const override;
  void OnSettled(const Core& core) override;

  const FinishAttempt finish_;
  const std::shared_ptr<AttemptProgress> progress_;  // null: nobody's
  bool refused_ = false;
};

// Keeps an attempt going.
class AttemptStep final : public Errand {
 public:
  using Step = std::variant<Checkpoint, Extend>;

  // Clears progress->stepping when it is settled.
  AttemptStep(Step step, std::shared_ptr<AttemptProgress> progress, absl::Duration timeout,
              Done done)
      : Errand(timeout, std::move(done)), step_(std::move(step)), progress_(std::move(progress)) {}

 private:
  Operation MakeOperation() const override {
    return std::visit([](const auto& step) -> Operation { return step; }, step_);
  }
  std::string What() const override;
  absl::Status Verdict(const Reply& reply) override;
  absl::Status TooLate(const absl::Status& why) const override;
  void OnSettled(const Core& /*core*/) override {
    progress_->stepping.store(false, std::memory_order_release);
  }

  const Step step_;
  const std::shared_ptr<AttemptProgress> progress_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_ATTEMPT_CORE_H_
