// Sessions, locks, guards, and what the run asks of a client.
#include "tests/sim/process.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/errors.h"

namespace tenure::sim {

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
  others_->OnOver(session);
  std::erase_if(attempts_,
                [session](const auto& each) { return each.second.share.session == session; });
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
  if (scene_.plan.varied && Chance(0.4)) return others_->Act(slot.session, coordinator_);
  const std::uint64_t dice = scene_.world.RandomBelow(100);
  if (dice < 50) {
    if (waits_.size() < 4) LockOne(slot);
  } else if (dice < 62) {
    if (waits_.size() < 4) BeginOne(slot);
  } else if (dice < 92) {
    Inspect();
  } else if (dice < 93 && scene_.faulty) {
    Transfer();
  } else if (dice < 95 && scene_.faulty) {
    scene_.marks.Visit("session closed");
    const SessionId id = slot.session.id();
    Session session = slot.session;
    session.Close(absl::Seconds(5), [](absl::Status) {});
    OnOver(id, /*told=*/false);
  } else if (dice < 97) {
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
  const checker::LockHistory::Id asked = all_.history_.Asked(lock, session.id(), now());
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

void Process::OnGuard(LockGuard guard, SessionId session, checker::LockHistory::Id asked, bool keep,
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
  const checker::LockHistory::Id unlock = all_.history_.Unlocking(hold.lock, hold.token, now());
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
  const checker::LockHistory::Id read = all_.history_.Reading(lock, now());
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

// An operator wants somebody else to lead: a member by name, or whoever lags least.
void Process::Transfer() {
  const std::uint64_t size = static_cast<std::uint64_t>(all_.members_.size());
  const std::uint64_t target = scene_.world.RandomBelow(size + 1);
  Command command;
  command.operation =
      ChangeMembers{MemberAction::kTransfer, target == 0 ? "" : absl::StrCat("n", target), ""};
  coordinator_.backend()->Call(std::move(command), {.timeout = absl::Seconds(5), .retry = true},
                               Safe([this](absl::StatusOr<Reply> reply) {
                                 const bool done = reply.ok() && reply->code == ReplyCode::kOk;
                                 scene_.marks.Visit(done ? "transfer done" : "transfer failed");
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
    others_->Quiesce();
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
  std::string text =
      absl::StrCat("c", number_, ": ", waits_.size(), " waits, ", holds_.size(), " guards, ",
                   unlocking_, " unlocks under way, ", others_->Describe());
  for (const Slot& slot : sessions_) {
    absl::StrAppend(&text, ", session ", slot.session.id(), slot.opening ? " (opening)" : "",
                    slot.session.Valid() ? " valid" : "");
  }
  return text;
}

}  // namespace tenure::sim
