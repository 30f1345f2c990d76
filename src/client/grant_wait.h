// One call of Mutex::Lock and its like, from its command to a guard or an error.
#ifndef TENURE_CLIENT_GRANT_WAIT_H_
#define TENURE_CLIENT_GRANT_WAIT_H_

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/grant.h"
#include "client/wait.h"
#include "tenure/command.h"

namespace tenure::client {

// What ends in a LockGranted. Its `wait_ns` is filled in when it is sent.
using Wanted = std::variant<AcquireLock, Campaign, AcquireAll>;

class GrantWait : public Wait {
 public:
  // `spent` of `wait` is over already. `done` runs once, with a Guard made of a Grant or, for an
  // AcquireAll, of one for each name in their order.
  template <typename Guard>
  static void Start(
      const std::shared_ptr<SessionCore>& core, Wanted wanted, absl::Duration wait,
      // NOLINTNEXTLINE(performance-unnecessary-value-param): it is moved, in a template
      std::stop_token cancel, absl::AnyInvocable<void(absl::StatusOr<Guard>) &&> done,
      absl::Duration spent = absl::ZeroDuration()) {
    Launch(core, std::make_shared<For<Guard>>(std::move(wanted), wait, spent, std::move(done)),
           std::move(cancel));
  }

 protected:
  GrantWait(Wanted wanted, absl::Duration wait, absl::Duration spent);

  virtual void Succeed(const Core& core, const LockGranted& granted) = 0;
  std::unique_ptr<Grant> MakeGrant(const Core& core, const LockGranted& granted) const;
  std::vector<std::unique_ptr<Grant>> MakeGrants(const Core& core,
                                                 const LockGranted& granted) const;

 private:
  template <typename Guard>
  class For;

  GrantKind kind() const;
  Operation MakeOperation() const final;
  bool Queues(const Reply& reply) final;
  void OnReply(const Core& core, Reply reply) final;
  void OnEvent(const Core& core, const SessionEvent& event) final;
  void EndOfTime() final;
  void GiveBack(const Core& core, const Reply& reply) final;
  void OnLateEvent(const Core& core, const SessionEvent& event) final;
  void Granted(const Core& core, const LockGranted& granted);
  void Return(const Core& core, Revision token);

  const Wanted wanted_;
  std::optional<LockQueued> queued_;  // under the session's lock while the call is open
};

template <typename Guard>
class GrantWait::For final : public GrantWait {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Guard>) &&>;

  For(Wanted wanted, absl::Duration wait, absl::Duration spent, Done done)
      : GrantWait(std::move(wanted), wait, spent), done_(std::move(done)) {}

 private:
  void Succeed(const Core& core, const LockGranted& granted) override {
    if constexpr (std::is_constructible_v<Guard, std::unique_ptr<Grant>>) {
      std::move(done_)(Guard(MakeGrant(core, granted)));
    } else {
      std::move(done_)(Guard(MakeGrants(core, granted)));
    }
  }
  void Fail(absl::Status why) override { std::move(done_)(std::move(why)); }

  Done done_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_GRANT_WAIT_H_
