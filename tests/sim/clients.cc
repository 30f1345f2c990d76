#include "tests/sim/clients.h"

#include <map>
#include <stop_token>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "backends/replicated.h"
#include "tenure/errors.h"
#include "tenure/idempotency.h"
#include "testing/virtual_link.h"

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
        loop_, testing::VirtualLinks(scene_.world, machine_), std::move(options));
    coordinator_ =
        Coordinator(std::move(backend), {.seed = 1 + scene_.world.RandomBelow(1ull << 62)});
    sessions_.resize(static_cast<std::size_t>(scene_.plan.sessions));
    // A program decides on its own thread, in its own time.
    Rearm();
  }
  // The machine was killed before, or this is the end: nobody is called back any more.
  ~Process() {
    *alive_ = false;
    for (auto& [id, held] : holds_)
      all_.history_.MayEnd(held.hold.lock, held.hold.token, LastValid(held));
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
    return true;
  }
  bool progressed() const { return progressed_; }
  void ResetProgress() { progressed_ = false; }
  std::string Describe() const;

  void Look();
  void TakeAndKeep(const std::string& lock, absl::Duration ttl,
                   absl::AnyInvocable<void(Revision)> done);
  void List(absl::AnyInvocable<void(absl::StatusOr<LockList>)> done);
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
    SessionId session = 0;
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
  void OnGuard(LockGuard guard, SessionId session, History::Id asked, bool keep, bool pinned);
  void BeginOne(Slot& slot);
  void OnBegun(Begun begun, SessionId session, absl::Duration asked);
  void WorkOn(std::uint64_t id);
  void FinishAttempt(std::uint64_t id);
  void WriteUnder(std::uint64_t id);
  void GiveBack(std::uint64_t id);
  void Drop(std::uint64_t id);
  void Inspect();
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
  std::map<std::uint64_t, Wait> waits_;
  std::map<std::uint64_t, Held> holds_;
  std::map<std::uint64_t, Working> attempts_;
  int finishing_ = 0;
  int unlocking_ = 0;
  int cancelling_ = 0;
  bool progressed_ = false;
  TimerHandle next_;
};

void Process::Rearm() {
  next_ = In(Random(absl::Milliseconds(2), scene_.plan.think_max), [this] { Act(); });
}

// ---- Sessions
// ------------------------------------------------------------------------------------

void Process::Open(Slot& slot) {
  slot.opening = true;
  SessionOptions options;
  options.ttl = Random(scene_.plan.ttl_min, scene_.plan.ttl_max);
  options.clock_drift_max = scene_.plan.drift_max;
  options.label = absl::StrCat("c", number_);
  options.open_timeout = absl::Seconds(10);
  Slot* const where = &slot;
  coordinator_.OpenSession(std::move(options), Safe([this, where](absl::StatusOr<Session> session) {
                             where->opening = false;
                             if (session.ok()) OnSession(*where, *std::move(session));
                           }));
}

void Process::OnSession(Slot& slot, Session session) {
  slot.session = std::move(session);
  const SessionId id = slot.session.id();
  scene_.sessions[id] = slot.session;
  LookAt(slot);
  slot.session.Watch(Safe([this, id](SessionState state) {
    if (state == SessionState::kJeopardy) scene_.marks.Visit("session in jeopardy");
    if (state == SessionState::kExpired) OnOver(id, /*told=*/true);
  }));
}

void Process::LookAt(Slot& slot) {
  slot.seen_at = machine_.loop().Now();
  slot.seen_left = slot.session.remaining();
}

void Process::Look() {
  for (Slot& slot : sessions_) {
    if (slot.session.id() != 0 && slot.session.Valid()) LookAt(slot);
  }
}

// It holds nothing under it from now on, whatever the cluster thinks.
void Process::OnOver(SessionId session, bool told) {
  for (Slot& slot : sessions_) {
    if (slot.session.id() != session || session == 0) continue;
    const absl::Duration left =
        slot.seen_left - absl::Nanoseconds(machine_.loop().Now().HolderElapsedNs(slot.seen_at));
    if (told) scene_.TellAll([&](Invariant& each) { each.OnLost(session, left); });
    slot.session = Session();
  }
  if (extra_.id() == session) extra_ = Session();
  scene_.sessions.erase(session);
  std::vector<std::uint64_t> ids;
  for (const auto& [id, held] : holds_) {
    if (held.hold.session == session) ids.push_back(id);
  }
  for (const std::uint64_t id : ids) Drop(id);
  std::erase_if(attempts_, [session](const auto& each) { return each.second.session == session; });
}

// ---- What it does, one thing at a time
// -----------------------------------------------------------

void Process::Act() {
  Rearm();
  Look();
  if (all_.quiescent_) return;
  Slot& slot = sessions_[scene_.world.RandomBelow(sessions_.size())];
  if (slot.session.id() == 0) {
    if (!slot.opening) Open(slot);
    return;
  }
  const std::uint64_t dice = scene_.world.RandomBelow(100);
  if (dice < 50) {
    if (waits_.size() < 4) LockOne(slot);
  } else if (dice < 62) {
    if (waits_.size() < 4) BeginOne(slot);
  } else if (dice < 92) {
    Inspect();
  } else if (dice < 94 && scene_.faulty) {
    scene_.marks.Visit("session closed");
    const SessionId id = slot.session.id();
    Session session = slot.session;
    session.Close(absl::Seconds(5), [](absl::Status) {});
    OnOver(id, /*told=*/false);
  } else if (dice < 96) {
    std::vector<std::uint64_t> ids;
    for (const auto& [id, held] : holds_) ids.push_back(id);
    if (!ids.empty()) {
      scene_.marks.Visit("guard dropped");
      Drop(ids[scene_.world.RandomBelow(ids.size())]);
    }
  } else {
    List([](absl::StatusOr<LockList>) {});
  }
}

void Process::LockOne(Slot& slot) {
  LockOptions options;
  switch (scene_.world.RandomBelow(4)) {
    case 0:
      options.wait = absl::ZeroDuration();
      break;
    case 1:
      options.wait = Random(absl::Milliseconds(5), absl::Milliseconds(400));
      break;
    case 2:
      options.wait = Random(absl::Milliseconds(200), absl::Seconds(5));
      break;
    default:
      break;
  }
  options.value = absl::StrCat("c", number_);
  const bool keep = scene_.faulty && Chance(0.02);
  Ask(slot.session, RandomLock(), std::move(options), keep, nullptr);
}

void Process::Ask(const Session& session, const std::string& lock, LockOptions options, bool keep,
                  absl::AnyInvocable<void(Revision)> done) {
  const std::uint64_t id = ++all_.last_id_;
  const History::Id asked = all_.history_.Asked(lock, session.id(), now());
  Wait& wait = waits_[id];
  options.cancel = wait.stop.get_token();
  if (done == nullptr && Chance(0.15)) {
    wait.cancel_timer = In(Random(absl::ZeroDuration(), absl::Seconds(1)), [this, id] {
      const auto it = waits_.find(id);
      if (it == waits_.end()) return;
      scene_.marks.Visit("wait cancelled");
      // The callback that it brings takes the wait out of the table.
      std::stop_source stop = it->second.stop;
      stop.request_stop();
    });
  }
  Mutex mutex = session.mutex(lock);
  mutex.Lock(
      std::move(options), Safe([this, id, asked, keep, session_id = session.id(),
                                done = std::move(done)](absl::StatusOr<LockGuard> guard) mutable {
        waits_.erase(id);
        if (!guard.ok()) {
          if (done) done(0);
          if (absl::IsAborted(guard.status())) scene_.marks.Visit("wait in vain");
          return;
        }
        const Revision token = guard->token();
        OnGuard(*std::move(guard), session_id, asked, keep && (scene_.faulty || done != nullptr),
                /*pinned=*/done != nullptr);
        if (done) done(token);
      }));
}

void Process::OnGuard(LockGuard guard, SessionId session, History::Id asked, bool keep,
                      bool pinned) {
  const std::uint64_t id = ++all_.last_id_;
  Held& held = holds_[id];
  held.hold = {id, number_, guard.name(), guard.token(), session, std::move(guard)};
  held.keep = keep;
  held.last_valid = all_.history_.asked(asked);
  const Hold& hold = held.hold;
  all_.history_.Granted(asked, hold.token, now());
  scene_.world.MixIntoTrace(hold.token);
  const std::vector<const Hold*> holds = all_.Holds();
  scene_.TellAll([&](Invariant& each) { each.OnGranted(hold, holds); });
  // The session may be over before the guard is here.
  if (!scene_.sessions.contains(session)) return Drop(id);
  if (!hold.guard.Valid()) scene_.marks.Visit("granted after the lease was over");
  WriteUnder(id);
  if (keep) {
    scene_.marks.Visit("guard kept");
  } else {
    const absl::Duration how_long = Chance(0.1) ? scene_.plan.ttl_max : absl::Milliseconds(300);
    held.timer = In(Random(absl::Milliseconds(1), how_long), [this, id] { GiveBack(id); });
  }
  if (all_.quiescent_ && !pinned) GiveBack(id);
}

// ---- Operations: a key is new, begun by somebody, or done; the newest is the most wanted

void Process::BeginOne(Slot& slot) {
  const std::uint64_t id = ++all_.last_id_;
  const std::uint64_t back = scene_.world.RandomBelow(3);
  const std::string key =
      absl::StrCat("op-", all_.newest_key_ < back ? 0 : all_.newest_key_ - back);
  BeginOptions options;
  switch (scene_.world.RandomBelow(3)) {
    case 0:
      break;
    case 1:
      options.wait = Random(absl::Milliseconds(5), absl::Milliseconds(400));
      break;
    default:
      options.wait = Random(absl::Milliseconds(200), absl::Seconds(5));
      break;
  }
  if (Chance(0.3)) options.deadline = Random(absl::Milliseconds(50), absl::Seconds(2));
  Wait& wait = waits_[id];
  options.cancel = wait.stop.get_token();
  if (Chance(0.15)) {
    wait.cancel_timer = In(Random(absl::ZeroDuration(), absl::Seconds(1)), [this, id] {
      const auto it = waits_.find(id);
      if (it == waits_.end()) return;
      scene_.marks.Visit("wait to begin cancelled");
      std::stop_source stop = it->second.stop;
      stop.request_stop();
    });
  }
  slot.session.idempotency("sim").Begin(
      key, "same", std::move(options),
      Safe([this, id, key, asked = now(),
            session = slot.session.id()](absl::StatusOr<Begun> begun) mutable {
        waits_.erase(id);
        if (!begun.ok()) return;
        if (begun->state == Begun::State::kDone) {
          Revision token = 0;
          const absl::StatusOr<std::string>& result = begun->outcome.result;
          if (!absl::SimpleAtoi(result.ok() ? *result : std::string(result.status().message()),
                                &token)) {
            return scene_.Violated("one outcome", absl::StrCat(key, " is done with ", *result));
          }
          scene_.marks.Visit(result.ok() ? "operation done" : "operation failed");
          scene_.TellAll([&](Invariant& each) { each.OnOutcome(key, token, asked); });
          if (key == absl::StrCat("op-", all_.newest_key_)) ++all_.newest_key_;
        } else if (begun->state == Begun::State::kStarted) {
          OnBegun(*std::move(begun), session, asked);
        }
      }));
}

void Process::OnBegun(Begun begun, SessionId session, absl::Duration asked) {
  const Attempt& attempt = begun.attempt;
  scene_.marks.Visit(attempt.number() == 1 ? "operation begun" : "operation taken over");
  scene_.world.MixIntoTrace(attempt.token());
  scene_.TellAll([&](Invariant& each) {
    each.OnAttempt(attempt.key(), attempt.token(), attempt.recovery_point(), asked);
  });
  if (!scene_.sessions.contains(session)) return;  // abandons it
  const std::uint64_t id = ++all_.last_id_;
  Working& working = attempts_[id];
  if (!absl::SimpleAtoi(attempt.recovery_point(), &working.point)) working.point = 0;
  working.attempt = std::move(begun.attempt);
  working.session = session;
  working.timer =
      In(Random(absl::Milliseconds(1), absl::Milliseconds(300)), [this, id] { WorkOn(id); });
}

void Process::WorkOn(std::uint64_t id) {
  const auto it = attempts_.find(id);
  if (it == attempts_.end()) return;
  if (Chance(0.5)) return FinishAttempt(id);
  Working& working = it->second;
  const std::string point = absl::StrCat(++working.point);
  working.attempt.Checkpoint(
      point, Random(absl::Milliseconds(100), absl::Seconds(6)),
      Safe([this, id, point, key = working.attempt.key(),
            token = working.attempt.token()](const absl::Status& status) {
        if (status.ok()) {
          scene_.marks.Visit("recovery point kept");
          scene_.TellAll([&](Invariant& each) { each.OnCheckpoint(key, token, point); });
        } else if (absl::IsAborted(status)) {
          scene_.marks.Visit("stale attempt refused");
        }
        const auto still = attempts_.find(id);
        if (still == attempts_.end()) return;
        still->second.timer =
            In(Random(absl::Milliseconds(1), absl::Milliseconds(300)), [this, id] { WorkOn(id); });
      }));
}

void Process::FinishAttempt(std::uint64_t id) {
  const auto it = attempts_.find(id);
  if (it == attempts_.end()) return;
  Attempt attempt = std::move(it->second.attempt);
  attempts_.erase(it);
  if (Chance(0.15)) return scene_.marks.Visit("attempt dropped");
  ++finishing_;
  auto done = Safe([this, key = attempt.key(), token = attempt.token(),
                    asked = now()](const absl::Status& status) {
    --finishing_;
    if (status.ok()) {
      scene_.TellAll([&](Invariant& each) { each.OnOutcome(key, token, asked); });
      if (key == absl::StrCat("op-", all_.newest_key_)) ++all_.newest_key_;
    } else if (absl::IsAborted(status)) {
      scene_.marks.Visit("stale attempt refused");
    }
  });
  const std::string outcome = absl::StrCat(attempt.token());
  const absl::Duration timeout = Random(absl::Milliseconds(100), absl::Seconds(6));
  if (Chance(0.2)) {
    attempt.Fail(absl::NotFoundError(outcome), timeout, std::move(done));
  } else {
    attempt.Complete(outcome, timeout, std::move(done));
  }
}

// ---- Guards

void Process::WriteUnder(std::uint64_t id) {
  const auto it = holds_.find(id);
  if (it == holds_.end()) return;
  Held& held = it->second;
  if (held.hold.guard.Valid()) {
    LastValid(held);
    scene_.TellAll([&](Invariant& each) { each.OnGuardedWrite(held.hold); });
  }
  held.write_timer =
      In(Random(absl::Milliseconds(20), absl::Milliseconds(500)), [this, id] { WriteUnder(id); });
}

void Process::GiveBack(std::uint64_t id) {
  const auto it = holds_.find(id);
  if (it == holds_.end()) return;
  if (Chance(0.1)) return Drop(id);
  const absl::Duration valid = LastValid(it->second);
  if (valid < now()) all_.history_.MayEnd(it->second.hold.lock, it->second.hold.token, valid);
  Hold hold = std::move(it->second.hold);
  holds_.erase(it);
  const History::Id unlock = all_.history_.Unlocking(hold.lock, hold.token, now());
  ++unlocking_;
  hold.guard.Unlock(Random(absl::Milliseconds(100), absl::Seconds(6)),
                    Safe([this, unlock](absl::Status status) {
                      --unlocking_;
                      if (status.ok()) {
                        ++scene_.counts.unlocks;
                        progressed_ = true;
                        all_.history_.Unlocked(unlock, true, now());
                      } else if (absl::IsNotFound(status)) {
                        scene_.marks.Visit("unlock found nothing held");
                        all_.history_.Unlocked(unlock, false, now());
                      } else {
                        scene_.marks.Visit("unlock without an answer");
                      }
                    }));
}

void Process::Drop(std::uint64_t id) {
  const auto it = holds_.find(id);
  if (it == holds_.end()) return;
  Held held = std::move(it->second);
  holds_.erase(it);
  all_.history_.MayEnd(held.hold.lock, held.hold.token, LastValid(held));
}

void Process::Inspect() {
  const std::string lock = RandomLock();
  const History::Id read = all_.history_.Reading(lock, now());
  const Revision committed = scene_.facts.revision;
  Command command;
  command.operation = GetLock{lock};
  // The seam below the handle: a reply also tells of which revision it is.
  coordinator_.backend()->Call(
      std::move(command), {.timeout = absl::Seconds(5), .retry = true},
      Safe([this, read, committed](absl::StatusOr<Reply> reply) {
        if (!reply.ok()) return scene_.marks.Visit("read failed");
        const auto* described = std::get_if<LockDescription>(&reply->result);
        if (described == nullptr) return;
        ++scene_.counts.reads;
        all_.history_.Read(read, described->holder.token, described->holder.session, now());
        scene_.TellAll([&](Invariant& each) { each.OnRead(committed, reply->revision); });
      }));
}

void Process::List(absl::AnyInvocable<void(absl::StatusOr<LockList>)> done) {
  Command command;
  command.operation = ListLocks{};
  coordinator_.backend()->Call(std::move(command), {.timeout = absl::Seconds(5), .retry = true},
                               Safe([done = std::move(done)](absl::StatusOr<Reply> reply) mutable {
                                 if (!reply.ok()) return done(reply.status());
                                 auto* list = std::get_if<LockList>(&reply->result);
                                 if (list == nullptr) return done(absl::InternalError("no list"));
                                 done(std::move(*list));
                               }));
}

// ---- What the run asks of it
// ---------------------------------------------------------------------

void Process::Quiesce() {
  machine_.loop().Post(Safe([this] {
    std::vector<std::stop_source> stops;
    for (auto& [id, wait] : waits_) stops.push_back(wait.stop);
    for (std::stop_source& stop : stops) stop.request_stop();
    std::vector<std::uint64_t> ids;
    for (const auto& [id, held] : holds_) ids.push_back(id);
    for (const std::uint64_t id : ids) GiveBack(id);
    ids.clear();
    for (const auto& [id, working] : attempts_) ids.push_back(id);
    for (const std::uint64_t id : ids) FinishAttempt(id);
  }));
}

void Process::GiveBackKept() {
  machine_.loop().Post(Safe([this] {
    std::vector<std::uint64_t> ids;
    for (const auto& [id, held] : holds_) {
      if (held.keep) ids.push_back(id);
    }
    for (const std::uint64_t id : ids) GiveBack(id);
  }));
}

void Process::TakeAndKeep(const std::string& lock, absl::Duration ttl,
                          absl::AnyInvocable<void(Revision)> done) {
  machine_.loop().Post(Safe([this, lock, ttl, done = std::move(done)]() mutable {
    SessionOptions options;
    options.ttl = ttl;
    options.clock_drift_max = scene_.plan.drift_max;
    options.label = absl::StrCat("c", number_);
    options.open_timeout = absl::Seconds(60);
    coordinator_.OpenSession(
        std::move(options),
        Safe([this, lock, done = std::move(done)](absl::StatusOr<Session> session) mutable {
          if (!session.ok()) return done(0);
          extra_ = *std::move(session);
          const SessionId id = extra_.id();
          scene_.sessions[id] = extra_;
          extra_.Watch(Safe([this, id](SessionState state) {
            if (state == SessionState::kExpired) OnOver(id, /*told=*/false);
          }));
          Ask(extra_, lock, {}, /*keep=*/true, std::move(done));
        }));
  }));
}

std::string Process::Describe() const {
  std::string text = absl::StrCat("c", number_, ": ", waits_.size(), " waits, ", holds_.size(),
                                  " guards, ", unlocking_, " unlocks under way");
  for (const Slot& slot : sessions_) {
    absl::StrAppend(&text, ", session ", slot.session.id(), slot.opening ? " (opening)" : "",
                    slot.session.Valid() ? " valid" : "");
  }
  return text;
}

// ---- All of them
// -----------------------------------------------------------------------------------

Clients::Clients(Scene& scene, Members& members, History& history)
    : scene_(scene), members_(members), history_(history) {
  for (int i = 0; i < scene.plan.clients; ++i) {
    Slot slot;
    slot.name = absl::StrCat("c", i);
    slot.machine = &scene.world.AddNode(slot.name);
    slots_.push_back(std::move(slot));
  }
}

Clients::~Clients() {
  for (int i = 0; i < size(); ++i) Kill(i);
}

const std::string& Clients::name(int i) const { return slots_[i].name; }

void Clients::Start(int i) {
  slots_[i].machine->Restart();
  slots_[i].process = std::make_unique<Process>(*this, i);
}

void Clients::Look(int i) {
  if (running(i)) slots_[i].process->Look();
}

void Clients::Kill(int i) {
  if (slots_[i].process == nullptr) return;
  slots_[i].machine->Resume();
  slots_[i].machine->Kill();
  slots_[i].process = nullptr;
}

void Clients::Quiesce() {
  quiescent_ = true;
  for (Slot& slot : slots_) {
    if (slot.process != nullptr) slot.process->Quiesce();
  }
}

bool Clients::Idle() const {
  for (const Slot& slot : slots_) {
    if (slot.process != nullptr && !slot.process->Idle()) return false;
  }
  return true;
}

void Clients::Resume() { quiescent_ = false; }

void Clients::BeginRound() {
  for (Slot& slot : slots_) {
    if (slot.process == nullptr) continue;
    slot.process->ResetProgress();
    slot.process->GiveBackKept();
  }
}

bool Clients::AllMadeProgress() const {
  for (const Slot& slot : slots_) {
    if (slot.process != nullptr && !slot.process->progressed()) return false;
  }
  return true;
}

std::string Clients::WhoIsStuck() const {
  std::string text;
  for (const Slot& slot : slots_) {
    if (slot.process != nullptr)
      absl::StrAppend(&text, text.empty() ? "" : "; ", slot.process->Describe());
  }
  return text;
}

void Clients::TakeAndKeep(int i, const std::string& lock, absl::Duration ttl,
                          absl::AnyInvocable<void(Revision)> done) {
  slots_[i].process->TakeAndKeep(lock, ttl, std::move(done));
}

void Clients::List(int i, absl::AnyInvocable<void(absl::StatusOr<LockList>)> done) {
  slots_[i].process->List(std::move(done));
}

std::vector<const Hold*> Clients::Holds() const {
  std::vector<const Hold*> holds;
  for (const Slot& slot : slots_) {
    if (slot.process != nullptr) slot.process->AddHolds(&holds);
  }
  return holds;
}

}  // namespace tenure::sim
