#include "conformance/unreliable.h"

#include <algorithm>
#include <atomic>

#include "absl/status/status.h"
#include "conformance/conformance.h"

namespace tenure::conformance {

class Unreliable::Way final : public Backend, public std::enable_shared_from_this<Way> {
 public:
  explicit Way(std::shared_ptr<Backend> below) : below_(std::move(below)) {}

  void Call(Command command, CallOptions options, Done done) override {
    Fate fate = Fate::kPass;
    std::size_t renewal = kNone;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (judge_) fate = judge_(command);
      if (Is<RenewSession>(command)) {
        renewal = renewals_.size();
        renewals_.push_back({.session = command.session, .sent = below_->loop().Now()});
      }
    }
    switch (fate) {
      case Fate::kPass:
        return below_->Call(std::move(command), options, Noting(renewal, std::move(done)));
      case Fate::kLoseRequest:
        return below_->loop().Post([done = std::move(done)]() mutable {
          std::move(done)(absl::UnavailableError("the request was lost"));
        });
      case Fate::kLoseReply:
        return below_->Call(std::move(command), options,
                            [done = std::move(done)](const absl::StatusOr<Reply>&) mutable {
                              std::move(done)(absl::UnknownError("the answer was lost"));
                            });
      case Fate::kHoldReply:
        return below_->Call(std::move(command), options,
                            [self = shared_from_this(), renewal,
                             done = std::move(done)](absl::StatusOr<Reply> reply) mutable {
                              self->Hold(self->Noting(renewal, std::move(done)), std::move(reply));
                            });
    }
  }
  void Listen(SessionId session, Revision after, std::shared_ptr<EventSink> sink) override {
    below_->Listen(session, after, std::make_shared<Sink>(shared_from_this(), std::move(sink)));
  }
  void Unlisten(SessionId session) override { below_->Unlisten(session); }
  Loop& loop() override { return below_->loop(); }
  void Settle() override { below_->Settle(); }
  void Shutdown() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      held_.clear();
    }
    below_->Shutdown();
  }

  // What Unreliable reads and writes; `changed` is told of each change.
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Judge judge_;
  std::vector<Renewal> renewals_;
  struct Held {
    Done done;
    absl::StatusOr<Reply> reply;
  };
  std::vector<Held> held_;
  std::atomic<bool> loses_events_ = false;

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};

  class Sink final : public EventSink {
   public:
    Sink(std::shared_ptr<Way> way, std::shared_ptr<EventSink> sink)
        : way_(std::move(way)), sink_(std::move(sink)) {}
    void OnEvent(SessionEvent event) override {
      if (!way_->loses_events_) sink_->OnEvent(std::move(event));
    }

   private:
    const std::shared_ptr<Way> way_;
    const std::shared_ptr<EventSink> sink_;
  };

  // Passes the answer on, and then notes that a renewal has one.
  Done Noting(std::size_t renewal, Done done) {
    if (renewal == kNone) return done;
    return [self = shared_from_this(), renewal,
            done = std::move(done)](absl::StatusOr<Reply> reply) mutable {
      const bool answered = reply.ok();
      std::move(done)(std::move(reply));
      const std::lock_guard<std::mutex> lock(self->mutex_);
      self->renewals_[renewal].answered = answered;
      self->changed_.notify_all();
    };
  }
  void Hold(Done done, absl::StatusOr<Reply> reply) {
    const std::lock_guard<std::mutex> lock(mutex_);
    held_.push_back({std::move(done), std::move(reply)});
    changed_.notify_all();
  }

  const std::shared_ptr<Backend> below_;
};

Unreliable::Unreliable(const Coordinator& coordinator)
    : way_(std::make_shared<Way>(coordinator.backend())) {}

Coordinator Unreliable::Connect(CoordinatorOptions options) {
  return Coordinator(way_, std::move(options));
}

void Unreliable::SetJudge(Judge judge) {
  const std::lock_guard<std::mutex> lock(way_->mutex_);
  way_->judge_ = std::move(judge);
}

void Unreliable::LoseEvents() { way_->loses_events_ = true; }

std::vector<Unreliable::Renewal> Unreliable::renewals() const {
  const std::lock_guard<std::mutex> lock(way_->mutex_);
  return way_->renewals_;
}

void Unreliable::AwaitRenewals(SessionId session, int count) const {
  std::unique_lock<std::mutex> lock(way_->mutex_);
  const auto answered = [&] {
    return std::count_if(
        way_->renewals_.begin(), way_->renewals_.end(),
        [&](const Renewal& renewal) { return renewal.session == session && renewal.answered; });
  };
  const auto enough = answered() + count;
  if (!way_->changed_.wait_for(lock, std::chrono::seconds(30),
                               [&] { return answered() >= enough; })) {
    ADD_FAILURE() << "no renewal was answered for 30 s";
  }
}

void Unreliable::AwaitHeld() const {
  std::unique_lock<std::mutex> lock(way_->mutex_);
  if (!way_->changed_.wait_for(lock, std::chrono::seconds(30),
                               [&] { return !way_->held_.empty(); })) {
    ADD_FAILURE() << "no answer came for 30 s that could be held";
  }
}

Instant Unreliable::AwaitHeldRenewal() const {
  AwaitHeld();
  const std::lock_guard<std::mutex> lock(way_->mutex_);
  return way_->renewals_.empty() ? Instant() : way_->renewals_.front().sent;
}

void Unreliable::Release() {
  std::vector<Way::Held> held;
  {
    const std::lock_guard<std::mutex> lock(way_->mutex_);
    held = std::exchange(way_->held_, {});
  }
  Awaited<int> done;
  way_->loop().Post([&held, tell = done.Callback()] {
    for (Way::Held& one : held) std::move(one.done)(std::move(one.reply));
    tell(1);
  });
  done.Get();
}

}  // namespace tenure::conformance
