#include "model.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace tenure::machine {

// ---- Time
// ----------------------------------------------------------------------------------------

void Model::PassTime(std::int64_t now) {
  now_ = now;
  std::vector<std::pair<std::int64_t, SessionId>> due;
  for (const auto& [id, session] : sessions) {
    if (session.alive && session.due <= now) due.emplace_back(session.due, id);
  }
  std::sort(due.begin(), due.end());
  for (const auto& [when, id] : due) End(id, SessionEnd::kExpired);
  while (RunFirstTimer()) {
  }
  if (now >= grants_from_) {
    for (const std::string& name : held_back_) Settle(name);
    held_back_.clear();
  }
  for (const auto& [when, id] : due) Estate(id);
  Tidy();
  TellObservers(1'000'000);
}

void Model::Happen(const std::string& name, ChangeKind kind, SessionId session) {
  Lock& lock = locks[name];
  if (!lock.election) return;
  lock.changes.push_back({kind, session});
  const bool listed = std::count(untold_.begin(), untold_.end(), name) != 0;
  if (!lock.observers.empty() && !listed) untold_.push_back(name);
}

void Model::TellObservers(std::uint64_t most) {
  while (!untold_.empty() && most > 0) {
    const std::string name = untold_.front();
    if (const auto it = operations.find(name); it != operations.end()) {
      Record& record = it->second;
      for (std::list<Attempter>* all : {&record.queue, &record.awaiting}) {
        for (; !all->empty(); all->pop_front()) {
          if (most-- == 0) return;
          const GrantId who = all->front().who;
          told.push_back(absl::StrCat(who.first, ": outcome ", who.second, " ", name));
        }
      }
      untold_.erase(untold_.begin());
      continue;
    }
    Lock& lock = locks[name];
    while (!lock.observers.empty() && lock.observers.front().seen < lock.changes.size()) {
      if (most-- == 0) return;
      const Observer observer = lock.observers.front();
      lock.observers.pop_front();
      const Happened& change = lock.changes[observer.seen];
      told.push_back(absl::StrCat(observer.who.first, ": changed ", observer.who.second, " ", name,
                                  " ", static_cast<int>(change.kind), " ", change.session));
    }
    untold_.erase(untold_.begin());
  }
}

bool Model::RunFirstTimer() {
  struct First {
    std::int64_t due;
    std::uint64_t order = ~std::uint64_t{0};
    std::string name = {};
    int what = 0;  // 1: wait for a lock; 2, 3: for an operation; 4: attempt; 5: record
    GrantId who = {};
  } first{now_};
  const auto offer = [&first](std::int64_t due, std::uint64_t order, const std::string& name,
                              int what, GrantId who) {
    if (std::pair(due, order) < std::pair(first.due, first.order)) {
      first = {due, order, name, what, who};
    }
  };
  for (const auto& [name, lock] : locks) {
    for (const Waiter& waiter : lock.queue)
      offer(waiter.deadline, waiter.order, name, 1, waiter.who);
  }
  for (const auto& [key, record] : operations) {
    for (const Attempter& a : record.queue) offer(a.deadline, a.order, key, 2, a.who);
    for (const Attempter& a : record.awaiting) offer(a.deadline, a.order, key, 3, a.who);
    offer(record.deadline, record.deadline_order, key, 4, {});
    offer(record.expires, record.expiry_order, key, 5, {});
  }
  const auto is_first = [&first](const auto& waiter) { return waiter.who == first.who; };
  switch (first.what) {
    case 0:
      return false;
    case 1:
      locks[first.name].queue.remove_if(is_first);
      break;
    case 2:
      operations[first.name].queue.remove_if(is_first);
      break;
    case 3:
      operations[first.name].awaiting.remove_if(is_first);
      break;
    case 4:
      operations[first.name].deadline = kWaitForever;
      operations[first.name].overdue = true;
      SettleRecord(first.name);
      return true;
    default:
      Expire(first.name);
      return true;
  }
  told.push_back(absl::StrCat(first.who.first, ": wait ", first.who.second, " over ", first.name));
  return true;
}

void Model::End(SessionId id, SessionEnd reason) {
  sessions[id].alive = false;
  sessions[id].end = reason;
  told.push_back(absl::StrCat(id, ": ended ", static_cast<int>(reason)));
  for (auto& [name, lock] : locks) {
    lock.queue.remove_if([id](const Waiter& waiter) { return waiter.who.first == id; });
    lock.observers.remove_if([id](const Observer& observer) { return observer.who.first == id; });
  }
  for (auto& [key, record] : operations) {
    record.queue.remove_if([id](const Attempter& waiter) { return waiter.who.first == id; });
    record.awaiting.remove_if([id](const Attempter& waiter) { return waiter.who.first == id; });
  }
}

// Its locks go to whoever waits, in the order in which it had asked for them.
void Model::Estate(SessionId dead) {
  std::map<Sequence, std::string> held;
  for (const auto& [name, lock] : locks) {
    if (lock.holder.first == dead) held[lock.holder.second] = name;
  }
  for (const auto& [key, record] : operations) {
    if (record.holder.first == dead) held[record.holder.second] = key;
  }
  for (const auto& [acquire, name] : held) {
    if (operations.count(name) != 0) {
      SettleRecord(name);
      continue;
    }
    locks[name].holder = {};
    Happen(name, ChangeKind::kLost, dead);
    Settle(name);
  }
}

void Model::Settle(const std::string& name) {
  if (operations.count(name) != 0) return SettleRecord(name);
  const auto it = locks.find(name);
  if (it == locks.end() || now_ < grants_from_) return;
  Lock& lock = it->second;
  if (lock.holder.first != 0 || lock.queue.empty()) return;
  lock.holder = lock.queue.front().who;
  lock.queue.pop_front();
  told.push_back(absl::StrCat(lock.holder.first, ": granted ", lock.holder.second, " ", name));
  Happen(name, ChangeKind::kGranted, lock.holder.first);
}

void Model::Tidy() {
  std::erase_if(locks, [](const auto& entry) {
    return entry.second.holder.first == 0 && entry.second.queue.empty() && !entry.second.election;
  });
}

// ---- Commands
// ------------------------------------------------------------------------------------

std::string Model::Run(const Command& command, SessionId opened) {
  if (std::holds_alternative<OpenSession>(command.operation)) return Open(command, opened);
  const auto it = sessions.find(command.session);
  if (it == sessions.end()) return "ended";
  Session& session = it->second;
  if (session.key != command.key) return "wrong key";
  const bool close = std::holds_alternative<CloseSession>(command.operation);
  if (!session.alive) {
    if (close && session.end == SessionEnd::kClosed) return "closed";
    const auto kept = session.replies.find(command.sequence);
    return kept == session.replies.end() ? "ended" : kept->second;
  }
  Acknowledge(session, command);
  if (const auto* renew = std::get_if<RenewSession>(&command.operation)) {
    session.due = now_ + session.ttl;
    return absl::StrCat("renewed ", renew->attempt);
  }
  if (close) {
    End(command.session, SessionEnd::kClosed);
    Estate(command.session);
    Tidy();
    TellObservers(32);
    return "closed";
  }
  std::string reply = Once(session, command);
  TellObservers(32);
  return reply;
}

std::string Model::Open(const Command& command, SessionId opened) {
  for (const auto& [id, session] : sessions) {
    if (session.alive && session.key == command.key) return absl::StrCat("opened ", id);
  }
  if (!sessions.empty() && sessions.rbegin()->first >= opened) return "a fresh id";
  Session& session = sessions[opened];
  session.key = command.key;
  session.ttl = std::get<OpenSession>(command.operation).ttl_ns;
  session.due = now_ + session.ttl;
  return absl::StrCat("opened ", opened);
}

void Model::Acknowledge(Session& session, const Command& command) {
  session.floor = std::max(session.floor, command.acknowledged_through);
  for (const Sequence sequence : command.acknowledged) {
    if (sequence <= session.floor + window_) session.acknowledged.insert(sequence);
  }
  while (session.acknowledged.count(session.floor + 1) != 0) ++session.floor;
  std::erase_if(session.replies, [&session](const auto& kept) {
    return kept.first <= session.floor || session.acknowledged.count(kept.first) != 0;
  });
}

std::string Model::Once(Session& session, const Command& command) {
  const Sequence sequence = command.sequence;
  const auto kept = session.replies.find(sequence);
  if (kept != session.replies.end()) return kept->second;
  if (sequence <= session.floor || session.acknowledged.count(sequence) != 0) return "forgotten";
  if (sequence > session.floor + window_) return "limit";
  std::string reply = Execute(session, command);
  if (reply.rfind("done", 0) == 0) return reply;  // to be asked for again
  session.replies[sequence] = reply;
  return reply;
}

std::string Model::Execute(Session& session, const Command& command) {
  if (const auto* acquire = std::get_if<AcquireLock>(&command.operation)) {
    return Acquire(command, acquire->name, acquire->wait_ns, false, 0);
  }
  if (const auto* campaign = std::get_if<Campaign>(&command.operation)) {
    return Acquire(command, campaign->name, campaign->wait_ns, true, campaign->priority);
  }
  if (const auto* release = std::get_if<ReleaseLock>(&command.operation)) {
    return Release(command, release->name, release->token, false);
  }
  if (const auto* resign = std::get_if<Resign>(&command.operation)) {
    return Release(command, resign->name, resign->term, true);
  }
  if (const auto* proclaim = std::get_if<Proclaim>(&command.operation)) {
    if (Held(command, proclaim->name, proclaim->term, true) == nullptr) return "not held";
    Happen(proclaim->name, ChangeKind::kValue, command.session);
    return "proclaimed";
  }
  if (const auto* hand_over = std::get_if<HandOver>(&command.operation)) {
    return Choose(command, *hand_over);
  }
  if (const auto* observe = std::get_if<Observe>(&command.operation)) {
    return Watch(command, *observe);
  }
  if (const auto* cancel = std::get_if<CancelWait>(&command.operation)) {
    return Cancel(session, command, *cancel);
  }
  return Operate(command);
}

std::string Model::Acquire(const Command& command, const std::string& name, std::int64_t wait_ns,
                           bool election, std::uint32_t priority) {
  const GrantId who{command.session, command.sequence};
  if (name.empty() || wait_ns < 0) return "invalid";
  const bool held_back = now_ < grants_from_;
  const auto it = locks.find(name);
  const SessionId holder = it == locks.end() ? 0 : it->second.holder.first;
  std::size_t ahead = 0, waiting = 0;
  if (it != locks.end()) {
    for (const Waiter& waiter : it->second.queue) ahead += waiter.priority >= priority;
    waiting = it->second.queue.size();
  }
  if (holder == 0 && waiting == 0 && !held_back) {
    locks[name].holder = who;
    locks[name].election = election;
    Happen(name, ChangeKind::kGranted, command.session);
    return "granted";
  }
  const std::int64_t back = held_back ? grants_from_ - now_ : 0;
  if (wait_ns == 0) return absl::StrCat("held by ", holder, " ", waiting, " ", back);
  const std::int64_t deadline = wait_ns == kWaitForever ? kWaitForever : now_ + wait_ns;
  Lock& lock = locks[name];
  lock.election = election;
  auto place = lock.queue.begin();
  while (place != lock.queue.end() && place->priority >= priority) ++place;
  lock.queue.insert(place, {who, deadline, ++order_, priority});
  if (held_back && std::count(held_back_.begin(), held_back_.end(), name) == 0) {
    held_back_.push_back(name);
  }
  return absl::StrCat("queued behind ", holder, " ", ahead, " ", back);
}

Model::Lock* Model::Held(const Command& command, const std::string& name, Revision token,
                         bool election) {
  const auto lock = locks.find(name);
  const auto grant = grants.find(token);
  if (lock == locks.end() || grant == grants.end() || lock->second.holder != grant->second ||
      grant->second.first != command.session || lock->second.election != election) {
    return nullptr;
  }
  return &lock->second;
}

std::string Model::Release(const Command& command, const std::string& name, Revision token,
                           bool election) {
  Lock* lock = Held(command, name, token, election);
  if (lock == nullptr) return "not held";
  lock->holder = {};
  Happen(name, ChangeKind::kReleased, command.session);
  Settle(name);
  Tidy();
  return "released";
}

std::string Model::Choose(const Command& command, const HandOver& hand_over) {
  Lock* lock = Held(command, hand_over.name, hand_over.term, true);
  if (lock == nullptr) return "not held";
  const GrantId chosen{hand_over.candidate, hand_over.campaign};
  for (auto it = lock->queue.begin(); it != lock->queue.end(); ++it) {
    if (it->who != chosen) continue;
    Happen(hand_over.name, ChangeKind::kHandedOver, command.session);
    lock->queue.push_front(*it);
    lock->queue.erase(it);
    lock->holder = {};
    Settle(hand_over.name);
    return "released";
  }
  return "absent";
}

std::string Model::Watch(const Command& command, const Observe& observe) {
  if (observe.name.empty()) return "invalid";
  Lock& lock = locks[observe.name];
  lock.election = true;
  std::size_t later = 0;
  for (const Happened& change : lock.changes) later += change.revision > observe.after;
  if (observe.after == 0 || later > 0) {
    const std::size_t kept = std::min<std::size_t>(later, 32);
    return absl::StrCat("observed ", kept, " ", observe.after != 0 && kept < later);
  }
  lock.observers.push_back({{command.session, command.sequence}, lock.changes.size()});
  return "observing";
}

std::string Model::Cancel(Session& session, const Command& command, const CancelWait& cancel) {
  if (cancel.acquire == 0 || cancel.acquire == command.sequence) return "invalid";
  const GrantId who{command.session, cancel.acquire};
  const auto kept = session.replies.find(cancel.acquire);
  if (kept != session.replies.end() &&
      (kept->second == "granted" || kept->second.rfind("started", 0) == 0)) {
    return kept->second;
  }
  for (auto& [name, lock] : locks) {
    if (lock.holder == who) return "granted";
    lock.queue.remove_if([&](const Waiter& waiter) { return waiter.who == who; });
    lock.observers.remove_if([&](const Observer& observer) { return observer.who == who; });
  }
  for (auto& [key, record] : operations) {
    if (record.holder == who) return absl::StrCat("started ", record.attempts, " ", record.point);
    record.queue.remove_if([&](const Attempter& waiter) { return waiter.who == who; });
    record.awaiting.remove_if([&](const Attempter& waiter) { return waiter.who == who; });
  }
  Tidy();
  const bool forgotten =
      cancel.acquire <= session.floor || session.acknowledged.count(cancel.acquire) != 0;
  if (forgotten) return "cancelled";
  if (kept == session.replies.end()) {
    if (cancel.acquire > session.floor + window_) return "limit";
    session.replies[cancel.acquire] = "cancelled";
  } else if (kept->second.rfind("queued", 0) == 0 || kept->second == "observing" ||
             kept->second.rfind("progress", 0) == 0) {
    kept->second = "cancelled";
  }
  return "cancelled";
}

// ---- Shown
// ---------------------------------------------------------------------------------------

std::string Model::Show(const Reply& reply) {
  switch (reply.code) {
    case ReplyCode::kOk:
      break;
    case ReplyCode::kSessionEnded:
      return "ended";
    case ReplyCode::kWrongKey:
      return "wrong key";
    case ReplyCode::kInvalid:
      return "invalid";
    case ReplyCode::kLimit:
      return "limit";
    case ReplyCode::kNotHeld:
      return "not held";
    case ReplyCode::kForgotten:
      return "forgotten";
    case ReplyCode::kVersion:
      return "version";
    case ReplyCode::kAbsent:
      return "absent";
    case ReplyCode::kMismatch:
      return "mismatch";
    case ReplyCode::kConflict:
      return "conflict";
    case ReplyCode::kDeadlock:
      return "deadlock";
  }
  if (const auto* opened = std::get_if<SessionOpened>(&reply.result)) {
    return absl::StrCat("opened ", opened->session);
  }
  if (const auto* renewed = std::get_if<SessionRenewed>(&reply.result)) {
    return absl::StrCat("renewed ", renewed->attempt);
  }
  if (const auto* queued = std::get_if<LockQueued>(&reply.result)) {
    return absl::StrCat("queued behind ", queued->holder.session, " ", queued->ahead, " ",
                        queued->held_back_ns);
  }
  if (const auto* held = std::get_if<LockHeld>(&reply.result)) {
    return absl::StrCat("held by ", held->holder.session, " ", held->waiting, " ",
                        held->held_back_ns);
  }
  if (std::holds_alternative<SessionClosed>(reply.result)) return "closed";
  if (std::holds_alternative<LockGranted>(reply.result)) return "granted";
  if (std::holds_alternative<LockReleased>(reply.result)) return "released";
  if (std::holds_alternative<WaitCancelled>(reply.result)) return "cancelled";
  if (std::holds_alternative<Proclaimed>(reply.result)) return "proclaimed";
  if (std::holds_alternative<Observing>(reply.result)) return "observing";
  if (const auto* observed = std::get_if<Observed>(&reply.result)) {
    return absl::StrCat("observed ", observed->changes.size(), " ", observed->gap);
  }
  if (const auto* started = std::get_if<AttemptStarted>(&reply.result)) {
    return absl::StrCat("started ", started->attempts, " ", started->point);
  }
  if (const auto* progress = std::get_if<AttemptInProgress>(&reply.result)) {
    return absl::StrCat("progress ", progress->holder.session, " ", progress->ends_in_ns, " ",
                        progress->ahead, " ", progress->held_back_ns);
  }
  if (const auto* done = std::get_if<OperationDone>(&reply.result)) {
    return absl::StrCat("done ", done->failed, " ", done->response, " ", done->expires_in_ns);
  }
  if (const auto* extended = std::get_if<AttemptExtended>(&reply.result)) {
    return absl::StrCat("extended ", extended->ends_in_ns);
  }
  if (std::holds_alternative<AttemptFinished>(reply.result)) return "finished";
  if (std::holds_alternative<OperationForgotten>(reply.result)) return "removed";
  return "something else";
}

std::string Model::Show(const SessionEvent& event) {
  if (const auto* granted = std::get_if<LockGrantedEvent>(&event.body)) {
    return absl::StrCat(event.session, ": granted ", granted->acquire, " ", granted->name);
  }
  if (const auto* ended = std::get_if<WaitEndedEvent>(&event.body)) {
    return absl::StrCat(event.session, ": wait ", ended->acquire, " over ", ended->name);
  }
  if (const auto* started = std::get_if<AttemptStartedEvent>(&event.body)) {
    return absl::StrCat(event.session, ": started ", started->begin, " ", started->key, " ",
                        started->attempts, " ", started->point);
  }
  if (const auto* ended = std::get_if<OperationEndedEvent>(&event.body)) {
    return absl::StrCat(event.session, ": outcome ", ended->begin, " ", ended->key);
  }
  if (const auto* lost = std::get_if<LockLostEvent>(&event.body)) {
    return absl::StrCat(event.session, ": lost ", lost->acquire, " ", lost->name);
  }
  if (const auto* changed = std::get_if<ChangedEvent>(&event.body)) {
    return absl::StrCat(event.session, ": changed ", changed->observe, " ", changed->name, " ",
                        static_cast<int>(changed->change.kind), " ", changed->change.session);
  }
  return absl::StrCat(event.session, ": ended ",
                      static_cast<int>(std::get<SessionEndedEvent>(event.body).reason));
}

}  // namespace tenure::machine
