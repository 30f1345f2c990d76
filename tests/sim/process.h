// One client's program, as the simulator runs it.
#ifndef TENURE_TESTS_SIM_PROCESS_H_
#define TENURE_TESTS_SIM_PROCESS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "backends/replicated.h"
#include "tenure/idempotency.h"
#include "testing/virtual_link.h"
#include "tests/sim/clients.h"
#include "tests/sim/others.h"

namespace tenure::sim {

// A process's loop, and what takes its place when the process was killed: then what is posted is
// run by Drain, so that what refers to itself in a circle (a call under way, its session, the
// backend that it is under way in) can be taken apart. A real process leaves that to the system.
class MortalLoop final : public Loop {
 public:
  explicit MortalLoop(Loop& under) : under_(under) {}
  Instant Now() override { return under_.Now(); }
  TimerHandle At(Instant when, absl::AnyInvocable<void() &&> wake) override {
    return under_.At(when, std::move(wake));
  }
  void Post(absl::AnyInvocable<void() &&> work) override {
    if (!dead_) return under_.Post(std::move(work));
    left_.push_back(std::move(work));
  }
  void Defer(absl::AnyInvocable<void() &&> work) override {
    if (!dead_) return under_.Defer(std::move(work));
    left_.push_back(std::move(work));
  }
  bool OnLoop() const override { return under_.OnLoop(); }

  void Die() { dead_ = true; }
  void Drain() {
    while (!left_.empty()) {
      for (auto& work : std::exchange(left_, {})) std::move(work)();
    }
  }

 private:
  Loop& under_;
  bool dead_ = false;
  std::vector<absl::AnyInvocable<void() &&>> left_;
};

// One run of a client's program: everything happens on its machine's loop, and ends with it.
class Process {
 public:
  Process(Clients& all, int number)
      : all_(all),
        scene_(all.scene_),
        number_(number),
        machine_(*all.slots_[number].machine),
        alive_(std::make_shared<bool>(true)),
        loop_(std::make_shared<MortalLoop>(machine_.loop())) {
    backends::ReplicatedOptions options;
    for (int i = 0; i < all.members_.size(); ++i)
      options.endpoints.push_back(all.members_.address(i));
    options.linger = absl::ZeroDuration();
    options.seed = 1 + scene_.world.RandomBelow(1u << 30);
    auto backend = backends::NewReplicatedBackend(
        loop_, testing::VirtualLinks(scene_.world, machine_), options);
    coordinator_ =
        Coordinator(std::move(backend), {.seed = 1 + scene_.world.RandomBelow(1ull << 62)});
    sessions_.resize(static_cast<std::size_t>(scene_.plan.sessions));
    others_ = std::make_unique<Others>(scene_, machine_, number_, all_.history_, all_.last_id_,
                                       [this] { return all_.Shares(); });
    // A program decides on its own thread, in its own time.
    Rearm();
  }
  // The machine was killed before, or this is the end: nobody is called back any more.
  ~Process() {
    *alive_ = false;
    for (auto& [id, held] : holds_)
      all_.history_.MayEnd(held.hold.lock, held.hold.token, LastValid(held));
    others_->Die();
    for (Slot& slot : sessions_) scene_.sessions.erase(slot.session.id());
    if (extra_.id() != 0) scene_.sessions.erase(extra_.id());
    loop_->Die();
    coordinator_.backend()->Shutdown();
    loop_->Drain();
    // What waits for an answer keeps its session, and no timer runs here that would give it up.
    for (Slot& slot : sessions_) slot.session.Close(absl::ZeroDuration(), [](absl::Status) {});
    extra_.Close(absl::ZeroDuration(), [](absl::Status) {});
    holds_.clear();
    attempts_.clear();
    waits_.clear();
    sessions_.clear();
    extra_ = Session();
    coordinator_ = Coordinator();
    loop_->Drain();
  }

  void Quiesce();
  void GiveBackKept();
  bool Idle() const {
    if (!waits_.empty() || !holds_.empty() || unlocking_ > 0 || cancelling_ > 0) return false;
    if (!attempts_.empty() || finishing_ > 0) return false;
    return others_->Idle();
  }
  bool progressed() const { return progressed_; }
  void ResetProgress() { progressed_ = false; }
  std::string Describe() const;

  void Look();
  void TakeAndKeep(const std::string& lock, absl::Duration ttl,
                   absl::AnyInvocable<void(Revision)> done);
  void List(absl::AnyInvocable<void(absl::StatusOr<LockList>)> done);
  void Resume() { others_->Resume(); }
  void AddShares(std::vector<const Share*>* shares) const {
    others_->AddShares(shares);
    for (const auto& [id, working] : attempts_) {
      if (!working.share.name.empty()) shares->push_back(&working.share);
    }
  }
  void AddHolds(std::vector<const Hold*>* holds) const {
    for (const auto& [id, held] : holds_) holds->push_back(&held.hold);
  }

 private:
  struct Slot {
    Session session;
    bool opening = false;
    absl::Duration seen_left;  // its own deadline, when last looked at
    Instant seen_at;
  };
  struct Wait {
    std::stop_source stop;
    TimerHandle cancel_timer;
    bool cancelled = false;
  };
  struct Held {
    Hold hold;
    TimerHandle timer;          // the next thing to do with it
    TimerHandle write_timer;    // the next write under it
    bool keep = false;          // until the session ends
    absl::Duration last_valid;  // when it was last seen to be
  };

  struct Working {
    Attempt attempt;
    Share share;  // of the lock that is held with it; without a name: none that can be judged
    TimerHandle timer;
    int point = 0;
  };

  // Wraps a callback: not called once the process is gone.
  template <typename F>
  auto Safe(F work) {
    return [alive = alive_, work = std::move(work)](auto&&... args) mutable {
      if (*alive) work(std::forward<decltype(args)>(args)...);
    };
  }
  absl::Duration now() const { return scene_.world.now(); }
  absl::Duration Random(absl::Duration min, absl::Duration max) {
    return scene_.world.RandomDuration(min, max);
  }
  bool Chance(double p) { return scene_.world.Chance(p); }
  TimerHandle In(absl::Duration delay, absl::AnyInvocable<void()> work) {
    return machine_.loop().At(machine_.loop().Now() + delay, Safe(std::move(work)));
  }

  // From then on the cluster may have ended it; with wild clocks, from the grant on.
  absl::Duration LastValid(Held& held) {
    if (!scene_.plan.wild_clocks && held.hold.guard.Valid()) held.last_valid = now();
    return held.last_valid;
  }
  void Rearm();
  void Act();
  void Open(Slot& slot);
  void OnSession(Slot& slot, Session session);
  void LookAt(Slot& slot);
  void OnOver(SessionId session, bool told);
  void LockOne(Slot& slot);
  void Ask(const Session& session, const std::string& lock, LockOptions options, bool keep,
           absl::AnyInvocable<void(Revision)> done);
  void OnGuard(LockGuard guard, SessionId session, checker::LockHistory::Id asked, bool keep,
               bool pinned);
  void BeginOne(Slot& slot);
  void OnBegun(Begun begun, Share share, absl::Duration asked);
  void WorkOn(std::uint64_t id);
  void FinishAttempt(std::uint64_t id);
  void WriteUnder(std::uint64_t id);
  void GiveBack(std::uint64_t id);
  void Drop(std::uint64_t id);
  void Inspect();
  void Transfer();
  std::string RandomLock() {
    return absl::StrCat("lock-",
                        scene_.world.RandomBelow(static_cast<std::uint64_t>(scene_.plan.locks)));
  }

  Clients& all_;
  Scene& scene_;
  const int number_;
  testing::VirtualNode& machine_;
  const std::shared_ptr<bool> alive_;
  const std::shared_ptr<MortalLoop> loop_;
  Coordinator coordinator_;
  std::vector<Slot> sessions_;
  Session extra_;  // of TakeAndKeep
  std::unique_ptr<Others> others_;
  std::map<std::uint64_t, Wait> waits_;
  std::map<std::uint64_t, Held> holds_;
  std::map<std::uint64_t, Working> attempts_;
  int finishing_ = 0;
  int unlocking_ = 0;
  int cancelling_ = 0;
  bool progressed_ = false;
  TimerHandle next_;
};

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_PROCESS_H_
