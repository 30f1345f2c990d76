// What an Observer owns: how far it has read.
#ifndef TENURE_CLIENT_OBSERVER_CORE_H_
#define TENURE_CLIENT_OBSERVER_CORE_H_

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/handle_core.h"
#include "client/wait.h"
#include "tenure/command.h"
#include "tenure/observer.h"

namespace tenure::client {

// Thread-safe; callbacks run outside of its lock.
class ObserverCore : public std::enable_shared_from_this<ObserverCore> {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<News>) &&>;

  ObserverCore(std::shared_ptr<HandleCore> handle, ObjectKind kind, Revision after)
      : handle_(std::move(handle)), kind_(kind), fresh_(after == 0), after_(after) {}

  const HandleCore& handle() const { return *handle_; }
  Revision revision() const;
  // `cancel` ends this one.
  void Next(absl::Duration wait, const std::stop_token& cancel, Done done);
  // Ends a Next that is under way.
  void Stop() { stop_.request_stop(); }

 private:
  friend class ObserveWait;

  // What one question to the machine was answered with.
  struct Batch {
    Revision revision = 0;
    std::optional<LockHolder> holder;  // how things stand
    std::vector<Change> changes;
    bool gap = false;
  };

  // What ends one Next: its caller's token, or this one's end.
  class Ends {
   public:
    Ends(const std::stop_token& one, const std::stop_token& other)
        : on_one_(one, Stop{either_}), on_other_(other, Stop{either_}) {}
    std::stop_token token() const { return either_.get_token(); }

   private:
    struct Stop {
      std::stop_source either;
      // What it ends may destroy this.
      void operator()() { std::stop_source(either).request_stop(); }
    };
    std::stop_source either_;
    std::stop_callback<Stop> on_one_;
    std::stop_callback<Stop> on_other_;
  };
  struct Question {
    std::shared_ptr<Ends> ends;
    Instant deadline;
    Done done;
  };
  void Ask(absl::Duration wait, Question question);
  void OnBatch(absl::StatusOr<Batch> batch, Question question);
  // The next of what was read already; under mutex_.
  std::optional<News> Pop();
  void Take(Batch batch);  // likewise, and the rest
  void Apply(const Change& change);
  LockHolder Holder() const;
  void SetHolder(LockHolder holder);

  const std::shared_ptr<HandleCore> handle_;
  const ObjectKind kind_;
  std::stop_source stop_;

  mutable std::mutex mutex_;
  bool busy_ = false;
  bool fresh_;      // nothing was told yet, and how things stand comes first
  Revision after_;  // of what was read
  Revision told_ = 0;
  std::vector<LockHolder> holders_;  // that it knows of, from the first on
  std::deque<News> read_;
};

// One Observe, until something happened.
class ObserveWait final : public Wait {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<ObserverCore::Batch>) &&>;

  static void Start(const std::shared_ptr<SessionCore>& core, Observe observe, absl::Duration wait,
                    std::stop_token cancel, Done done, absl::Duration spent) {
    Launch(core, std::make_shared<ObserveWait>(std::move(observe), wait, spent, std::move(done)),
           std::move(cancel));
  }
  ObserveWait(Observe observe, absl::Duration wait, absl::Duration spent, Done done)
      : Wait(observe.name, wait, spent), observe_(std::move(observe)), done_(std::move(done)) {}

 private:
  Operation MakeOperation() const override { return observe_; }
  bool Queues(const Reply& reply) override;
  void OnReply(const Core& core, Reply reply) override;
  void OnEvent(const Core& core, const SessionEvent& event) override;
  void OnLateEvent(const Core& /*core*/, const SessionEvent& /*event*/) override {}
  void Fail(absl::Status why) override { std::move(done_)(std::move(why)); }
  void EndOfTime() override;
  void GiveBack(const Core& /*core*/, const Reply& /*reply*/) override {}

  const Observe observe_;
  bool answered_ = false;  // under the session's lock while the call is open
  Done done_;
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_OBSERVER_CORE_H_
