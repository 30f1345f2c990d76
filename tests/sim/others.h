// What a client does besides exclusive locks and operations: it shares locks, takes permits and
// sets of locks, leads elections, and, as an administrator, breaks what others hold.
#ifndef TENURE_TESTS_SIM_OTHERS_H_
#define TENURE_TESTS_SIM_OTHERS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tenure/coordinator.h"
#include "tenure/election.h"
#include "tenure/lock_set.h"
#include "tenure/mutex.h"
#include "tenure/session.h"
#include "tests/checker/lock_history.h"
#include "tests/sim/scene.h"

namespace tenure::sim {

// Of one process; everything happens on its machine's loop.
class Others {
 public:
  // `last_id` numbers what is held, over all clients. `all_shares`: of all clients.
  Others(Scene& scene, testing::VirtualNode& machine, int client, checker::LockHistory& history,
         std::uint64_t& last_id, std::function<std::vector<const Share*>()> all_shares)
      : scene_(scene),
        machine_(machine),
        client_(client),
        history_(history),
        last_id_(last_id),
        all_shares_(std::move(all_shares)) {}
  ~Others() { *alive_ = false; }

  // One thing at random.
  void Act(Session& session, Coordinator& coordinator);
  // The session is over: with it goes what hung on it.
  void OnOver(SessionId session);
  // Leaves its waits, and gives back all that it has.
  void Quiesce();
  void Resume() { quiescent_ = false; }  // to work again
  bool Idle() const { return waits_.empty() && kept_.empty() && under_way_ == 0; }
  // The process was killed.
  void Die();
  void AddShares(std::vector<const Share*>* shares) const;
  std::string Describe() const;

 private:
  struct Kept {
    SessionId session = 0;
    LockGuard guard;  // one of the three
    LockSetGuard set;
    Leadership lead;
    Election election;  // of the lead
    SharedMutex mutex;  // of the guard, if it can be downgraded
    std::vector<Share> shares;
    bool journaled = false;     // in the history: a lead, and a lock of kJournaled
    absl::Duration last_valid;  // of what is
    bool told = false;          // invariants know of it
    bool under_way = false;     // something is asked about it
    bool over = false;          // its session ended meanwhile
    TimerHandle timer;
  };

  template <typename F>
  auto Safe(F work) {
    return [alive = alive_, work = std::move(work)](auto&&... args) mutable {
      if (*alive) work(std::forward<decltype(args)>(args)...);
    };
  }
  absl::Duration now() const { return scene_.world.now(); }
  bool Chance(double p) { return scene_.world.Chance(p); }
  std::uint64_t Below(std::uint64_t n) { return scene_.world.RandomBelow(n); }
  absl::Duration Random(absl::Duration min, absl::Duration max) {
    return scene_.world.RandomDuration(min, max);
  }
  absl::Duration AWait();
  absl::Duration ATimeout() { return Random(absl::Milliseconds(100), absl::Seconds(6)); }
  std::stop_token Stopped(std::uint64_t id);

  void LockOne(Session& session);
  void LockJournaled(Session& session);
  void TakePermits(Session& session);
  void TakeSet(Session& session);
  void CampaignFor(Session& session);
  void Break(Coordinator& coordinator);
  void Look(Coordinator& coordinator);

  Kept& Keep(std::uint64_t id, SessionId session, std::vector<Share> shares);
  void Rearm(std::uint64_t id);
  void GoOn(std::uint64_t id);
  void GiveBack(std::uint64_t id);
  void EndLead(std::uint64_t id);
  void EndJournaled(std::uint64_t id);
  void DowngradeIt(std::uint64_t id);
  void LookAtLock(Coordinator& coordinator);
  void HandOver(std::uint64_t id);
  void Forget(std::uint64_t id);
  // Calls `done` with the status once it is there, and meanwhile counts as busy.
  template <typename Done>
  auto UnderWay(Done done) {
    ++under_way_;
    return Safe([this, done = std::move(done)](const absl::Status& status) mutable {
      --under_way_;
      done(status);
    });
  }
  absl::Duration LastValid(Kept& kept);
  // Its lease may have been over before what follows.
  void NoteWhetherOver(Kept& kept);
  absl::AnyInvocable<void(const absl::Status&)> Ending(checker::LockHistory::Id unlock);

  Scene& scene_;
  testing::VirtualNode& machine_;
  const int client_;
  checker::LockHistory& history_;
  std::uint64_t& last_id_;
  const std::function<std::vector<const Share*>()> all_shares_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::map<std::uint64_t, std::stop_source> waits_;
  std::map<std::uint64_t, TimerHandle> cancels_;
  std::map<std::uint64_t, Kept> kept_;
  int under_way_ = 0;
  bool quiescent_ = false;
};

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_OTHERS_H_
