// The backend whose state machine is in this process, for this process alone.
#ifndef TENURE_BACKENDS_LOCAL_H_
#define TENURE_BACKENDS_LOCAL_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "machine/machine.h"
#include "tenure/backend.h"
#include "tenure/command.h"
#include "tenure/loop.h"
#include "tenure/types.h"

namespace tenure::backends {

// Each command is an entry of its own, applied on its caller's thread under one mutex.
//
// Time (docs/architecture.md, with a single writer that commits at once): an entry's stamp is
// the last one plus what this machine's clocks say has passed, the smaller of the two, but never
// more than kTurnMax; the rest is dropped. While any deadline is pending an empty entry follows
// every kTick, so in a process that runs nothing is ever dropped, and one that was stopped, or a
// machine that was suspended, for an hour finds its leases as old as before: nobody expires at
// once, renewals come first.
class LocalBackend final : public Backend, public std::enable_shared_from_this<LocalBackend> {
 public:
  static constexpr std::int64_t kTickNs = 100'000'000;
  static constexpr std::int64_t kTurnMaxNs = 300'000'000;

  // On a thread of its own, for timers.
  static std::shared_ptr<LocalBackend> New();
  // On a loop that outlives it.
  static std::shared_ptr<LocalBackend> New(Loop* loop);

  LocalBackend(std::unique_ptr<Loop> owned, Loop* loop);

  void Call(Command command, CallOptions options, Done done) override;
  void Listen(SessionId session, Revision after, std::shared_ptr<EventSink> sink) override;
  void Unlisten(SessionId session) override;
  Loop& loop() override { return guarded_loop_; }
  void Shutdown() override;

 private:
  // The loop, which also counts a thread that is delivering events as its own: a callback that
  // waits there for another event would wait for itself.
  class GuardedLoop final : public Loop {
   public:
    explicit GuardedLoop(LocalBackend* backend) : backend_(backend) {}
    Instant Now() override { return backend_->loop_->Now(); }
    [[nodiscard]] TimerHandle At(Instant when, absl::AnyInvocable<void() &&> wake) override {
      return backend_->loop_->At(when, std::move(wake));
    }
    void Post(absl::AnyInvocable<void() &&> work) override {
      backend_->loop_->Post(std::move(work));
    }
    void Defer(absl::AnyInvocable<void() &&> work) override {
      backend_->loop_->Defer(std::move(work));
    }
    bool OnLoop() const override {
      return backend_->delivering_.load(std::memory_order_relaxed) == std::this_thread::get_id() ||
             backend_->loop_->OnLoop();
    }

   private:
    LocalBackend* const backend_;
  };

  // All under mutex_.
  machine::Applied Apply(absl::Span<const Command> commands);
  void QueueEvents(std::vector<SessionEvent>& events);
  void ArmTick();
  ClusterStatus Status() const;

  void OnTick();
  // Hands queued events to their sinks, in order, one thread at a time. Not under mutex_.
  void Deliver();

  const std::unique_ptr<Loop> owned_;
  Loop* const loop_;
  GuardedLoop guarded_loop_{this};

  std::mutex mutex_;
  machine::Machine machine_;
  Instant last_;  // when the last stamp was read
  std::uint64_t entries_ = 0;
  bool shut_down_ = false;
  bool tick_armed_ = false;
  TimerHandle tick_;
  absl::flat_hash_map<SessionId, std::shared_ptr<EventSink>> sinks_;
  std::deque<std::pair<std::shared_ptr<EventSink>, SessionEvent>> events_;
  std::atomic<std::thread::id> delivering_{};  // the thread in Deliver; written under mutex_
};

}  // namespace tenure::backends

#endif  // TENURE_BACKENDS_LOCAL_H_
