// The Loop that is a gRPC completion queue: sockets, timers and the actor on one thread, so that no
// hand-over lies between a message and its answer.
#ifndef TENURE_TRANSPORT_GRPC_LOOP_H_
#define TENURE_TRANSPORT_GRPC_LOOP_H_

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "loop/timer_queue.h"
#include "tenure/loop.h"

namespace tenure::grpc_transport {

// What a gRPC operation's tag points to. It stays where it is until its event has arrived.
class Tag {
 public:
  explicit Tag(std::function<void(bool ok)> on_event) : on_event_(std::move(on_event)) {}
  Tag(const Tag&) = delete;
  Tag& operator=(const Tag&) = delete;

  void Fire(bool ok) { on_event_(ok); }

 private:
  std::function<void(bool ok)> on_event_;
};

// Something with operations in the queue. It leaves the loop by Remove once the last has come back.
class Resident {
 public:
  // Cancel what is under way, soon and without a word to anyone. May be called more than once.
  virtual void Abandon() = 0;

 protected:
  ~Resident() = default;
};

class GrpcLoop final : public Loop {
 public:
  using Work = absl::AnyInvocable<void() &&>;

  // How long to poll without blocking, at most, after a turn that carried operations, so that an
  // answer which is microseconds away finds this thread awake. So long only in a burst, as when a
  // caller works through one operation after the other; kFirstSpinNs otherwise. Zero: never. An
  // idle loop never spins.
  static constexpr absl::Duration kDefaultSpin = absl::Microseconds(300);
  static constexpr std::int64_t kFirstSpinNs = 50'000;
  // What counts as closely. More than the longest spin: where waking takes so long that operations
  // come apart because of it, spinning is what brings them together again.
  static constexpr std::int64_t kCloseNs = 1'000'000;

  // Whether threads that wait may drive the loop. Only where nobody else waits for its sockets:
  // what arrives while the own thread stands back for them is seen up to a millisecond later.
  enum class Loans : bool { kNone, kTaken };

  // The thread starts at once: work may be posted right away.
  explicit GrpcLoop(std::unique_ptr<::grpc::CompletionQueue> queue,
                    absl::Duration spin = kDefaultSpin, Loans loans = Loans::kNone);
  ~GrpcLoop() override;

  Instant Now() override { return ReadMonotonicClocks(); }
  TimerHandle At(Instant when, Work wake) override;
  void Post(Work work) override;
  void Defer(Work work) override { deferred_.push_back(std::move(work)); }
  bool OnLoop() const override { return current_ == this; }

  // The loop's own thread stands back for a moment when it has answered the only thread that
  // waited: that thread's next call drives the loop itself, which saves two wake-ups. With several
  // waiting threads the own one does all the work, and their operations share frames.
  bool Drive(absl::FunctionRef<void()> begin, absl::FunctionRef<bool()> done) override;
  void NoteWaiter(bool waits) override;

  ::grpc::CompletionQueue* queue() { return queue_.get(); }

  // ---- From the loop's thread only
  // -----------------------------------------------------------------

  // Work that can wait. Here streams re-arm their reads, unless a write of theirs came before,
  // which carries the window update along. Briefly: it runs at the end of a turn that comes
  // kBriefNs or more from now, or before the loop sleeps if that comes first. For long: in
  // kLongNs or soon after, also if the loop sleeps until then.
  static constexpr std::int64_t kBriefNs = 100'000;
  static constexpr std::int64_t kLongNs = 1'000'000;
  void DeferBriefly(Work work) { brief_.push_back({Now().PlusNs(kBriefNs), std::move(work)}); }
  void DeferForLong(Work work) { long_.push_back({Now().PlusNs(kLongNs), std::move(work)}); }

  // This turn carried operations, rather than heartbeats: more are likely to follow at once.
  void MarkActive() { active_ = true; }
  // Such turns have followed each other closely for a while, and still do as far as is known.
  bool InBurst() const { return close_turns_ == kCloseTurns; }
  // So many more (or fewer) operations of ours wait for an answer from elsewhere.
  void AddInFlight(std::int64_t change) { in_flight_ += change; }

  void Add(Resident* resident);
  void Remove(Resident* resident) { residents_.erase(resident); }
  std::size_t residents() const { return residents_.size(); }

  // ---- From other threads
  // --------------------------------------------------------------------------

  // Runs `work` on the loop and returns when it has run. False if the loop has stopped.
  bool RunOnLoop(std::function<void()> work);

  // Abandons all residents, waits for them, and ends the thread. May be called twice.
  void Stop();

  // Turns so far; an idle loop takes none.
  std::uint64_t turns() const { return turns_.load(std::memory_order_relaxed); }

 private:
  using Next = ::grpc::CompletionQueue::NextStatus;

  // Who runs the turns. Only that thread touches what is "the loop's thread only" below.
  enum class Driver : std::uint8_t {
    kOwn,     // the loop's own thread
    kNobody,  // it stands back, for a moment
    kLent,    // a caller's
  };

  void Run();
  void RunTurn();
  void Prolong(bool active);
  bool ShouldStandBack();
  void StandBack();
  void GiveBack();
  bool Wait(void** tag, bool* ok);
  bool Spin(void** tag, bool* ok);
  bool Block(void** tag, bool* ok);
  void RunTimers();
  void RunPosted();
  bool Poll(void** tag, bool* ok);
  bool HasWork() const;
  void WakeUp();
  void OnWoken();
  void Cancel(TimerQueue::Key key);
  bool Drained();

  static thread_local const GrpcLoop* current_;

  const std::unique_ptr<::grpc::CompletionQueue> queue_;
  const std::int64_t spin_ns_;
  const Loans takes_loans_;

  std::mutex mutex_;
  std::vector<Work> inbox_;  // posted by other threads
  TimerQueue timers_;
  bool asleep_ = false;        // blocked in the queue, or about to be
  bool wake_pending_ = false;  // the alarm is set and its event has not come back yet
  bool stopped_ = false;       // nothing is posted any more
  Driver driver_ = Driver::kOwn;
  bool reclaim_ = false;                // the own thread is wanted
  bool awaits_return_ = false;          // it wants to know when the loan ends
  std::uint64_t loans_ = 0;             // so far
  std::condition_variable own_;         // the own thread, standing back
  std::atomic<bool> has_inbox_{false};  // so that spinning needs no lock
  std::atomic<bool> stopping_{false};
  std::atomic<int> waiters_{0};        // threads that wait for an answer, without driving
  std::atomic<int> waiters_ended_{0};  // of those, answered since the own thread last looked

  ::grpc::Alarm alarm_;
  Tag woken_{[this](bool) { OnWoken(); }};

  // The loop's thread only.
  std::vector<TimerQueue::Key> due_;
  std::vector<Work> ready_;
  std::deque<Work> local_;
  std::vector<Work> deferred_;
  struct Late {
    Instant due;
    Work work;
  };
  using Delayed = std::deque<Late>;
  static void RunDelayed(Delayed* delayed, bool all);
  Delayed brief_;
  Delayed long_;
  std::unordered_set<Resident*> residents_;
  std::int64_t in_flight_ = 0;
  bool active_ = false;  // this turn carried operations
  static constexpr int kCloseTurns = 8;
  int close_turns_ = 0;  // turns that did, each soon after the one before; counts to kCloseTurns
  Instant last_active_;
  Instant spin_until_;  // polls instead of sleeping until then

  std::atomic<std::uint64_t> turns_{0};
  std::mutex join_mutex_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tenure::grpc_transport

#endif  // TENURE_TRANSPORT_GRPC_LOOP_H_
