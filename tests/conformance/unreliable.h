// A way to a backend on which single requests and answers are lost or late, as a test decides.
#ifndef TENURE_TESTS_CONFORMANCE_UNRELIABLE_H_
#define TENURE_TESTS_CONFORMANCE_UNRELIABLE_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

#include "tenure/backend.h"
#include "tenure/coordinator.h"

namespace tenure::conformance {

template <typename T>
bool Is(const Command& command) {
  return std::holds_alternative<T>(command.operation);
}

// Any thread.
class Unreliable {
 public:
  enum class Fate {
    kPass,
    kLoseRequest,  // not applied, and the client knows: kUnavailable
    kLoseReply,    // applied, and the client cannot know: kUnknown
    kHoldReply,    // applied; the answer waits for Release()
  };
  // What becomes of a command; called under a lock, in the order of the calls.
  using Judge = std::function<Fate(const Command&)>;

  explicit Unreliable(const Coordinator& coordinator);

  // A client on this way.
  Coordinator Connect(CoordinatorOptions options = {});

  void SetJudge(Judge judge);
  // Answers and requests of that kind are all lost, until another judge is set.
  template <typename T>
  void Lose(Fate fate) {
    SetJudge([fate](const Command& command) { return Is<T>(command) ? fate : Fate::kPass; });
  }
  // The first so many of that kind.
  template <typename T>
  void LoseFirst(int count, Fate fate) {
    SetJudge([fate, count](const Command& command) mutable {
      return Is<T>(command) && count-- > 0 ? fate : Fate::kPass;
    });
  }
  // No event reaches a client from now on.
  void LoseEvents();

  struct Renewal {
    SessionId session = 0;
    Instant sent;
    bool answered = false;  // by a Reply, which the client has
  };
  std::vector<Renewal> renewals() const;
  // Returns once as many renewals of the session were answered from now on.
  void AwaitRenewals(SessionId session, int count) const;
  // Returns once an answer is held.
  void AwaitHeld() const;
  // Likewise; the renewal's departure.
  Instant AwaitHeldRenewal() const;
  // Lets the answers go on that are held, and returns when the client has them.
  void Release();

 private:
  class Way;
  const std::shared_ptr<Way> way_;
};

}  // namespace tenure::conformance

#endif  // TENURE_TESTS_CONFORMANCE_UNRELIABLE_H_
