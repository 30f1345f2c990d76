// What happened to locks and elections, for those who watch.
#include <algorithm>
#include <utility>
#include <vector>

#include "machine/locks.h"

namespace tenure::machine {
namespace {

// How many that nobody uses are kept for their journals. Part of the rules of machine version 1.
constexpr std::size_t kIdleMax = 1024;

}  // namespace

void Locks::StartJournal(Lock& lock, Revision dropped_through) {
  core_->Touch(lock);
  lock.journal = std::make_unique<Journal>();
  lock.journal->dropped_through = dropped_through;
}

void Locks::Record(Lock& lock, Revision revision, ChangeKind kind, absl::string_view by) {
  if (lock.journal == nullptr) return;
  Change change;
  change.revision = revision;
  change.kind = kind;
  change.token = lock.token;
  change.session = lock.holder->id;
  change.label = lock.holder->label;
  const bool holds = kind == ChangeKind::kGranted || kind == ChangeKind::kValue;
  change.value = holds ? lock.value : std::string(by);
  Record(lock, std::move(change));
}

void Locks::Record(Lock& lock, Change change) {
  // Of operations, only what administrators did.
  if (lock.journal == nullptr ||
      (lock.kind == ObjectKind::kOperation && change.kind != ChangeKind::kBroken)) {
    return;
  }
  core_->Touch(lock);
  Journal& journal = *lock.journal;
  change.at_ns = core_->now_ns;
  core_->hash.Add(change.revision);
  core_->hash.Add(static_cast<std::uint64_t>(change.kind));
  journal.changes.push_back(std::move(change));
  while (journal.changes.size() > core_->limits.changes_kept) {
    journal.dropped_through = journal.changes.front().revision;
    journal.changes.pop_front();
  }
  if (lock.kind == ObjectKind::kOperation) return;
  if (journal.observers.first != nullptr) PutOffTelling(lock);
}

void Locks::PutOffTelling(Lock& lock) {
  if (lock.journal->untold != 0) return;
  core_->Touch(lock);
  lock.journal->untold = ++counters.last_untold;
  untold_.push_back(&lock);
}

bool Locks::CopyChanges(const Journal& journal, Revision after, std::vector<Change>& changes) {
  for (const Change& change : journal.changes) {
    if (change.revision > after) changes.push_back(change);
  }
  return after != 0 && journal.dropped_through > after;
}

// ---- Observers
// -----------------------------------------------------------------------------------

void Locks::Run(Session& session, Sequence sequence, const Observe& observe, Reply& reply) {
  if (observe.kind == ObjectKind::kOperation) {
    return Refuse(reply, ReplyCode::kInvalid, "an operation is not observed but awaited");
  }
  if (!Check(session, observe.name, "", reply)) return;
  const auto place = locks_.lower_bound(Key{observe.kind, observe.name});
  Lock* lock =
      place != locks_.end() && Is(**place, observe.kind, observe.name) ? place->get() : nullptr;
  const Journal* journal = lock == nullptr ? nullptr : lock->journal.get();
  if (!HasRoom(lock, observe.kind, reply) ||
      !HasRoomToWait(session, journal == nullptr ? 0 : journal->observers.size,
                     core_->limits.observers_per_name_max, reply)) {
    return;
  }
  if (lock == nullptr) lock = Create(place, observe.kind, observe.name);
  // Of what happened to a lock before somebody looked nothing is known.
  if (lock->journal == nullptr) StartJournal(*lock, core_->revision);
  journal = lock->journal.get();
  // What was not yet cannot have been seen.
  const Revision after = std::min(observe.after, core_->revision);
  if (after == 0 || journal->last_change() > after) {
    Observed& observed = reply.result.emplace<Observed>();
    observed.holder = DescribeHolder(*lock);
    observed.gap = CopyChanges(*journal, after, observed.changes);
    RetireIfIdle(*lock);
    return;
  }
  Wait* wait = NewWait(*lock, session, sequence, core_->Raise());
  wait->observes = true;
  wait->after = after;
  Link(wait);
  reply.result = Observing{};
}

void Locks::Tell(Wait* observer) {
  Session& session = *observer->session;
  Lock& lock = *observer->lock;
  ChangedEvent event;
  event.observe = observer->acquire;
  event.name = lock.name;
  event.gap = lock.journal->dropped_through > observer->after;
  for (const Change& change : lock.journal->changes) {
    if (change.revision <= observer->after) continue;
    event.change = change;
    break;
  }
  EndWait(observer);
  if (!session.dead) sessions_->Tell(session, {session.id, core_->Raise(), std::move(event)});
}

void Locks::TellObservers(std::uint64_t& steps) {
  while (!untold_.empty() && steps > 0) {
    Lock& lock = *untold_.front();
    Journal& journal = *lock.journal;
    // All who wait for an operation learn of its outcome.
    const bool done = journal.operation != nullptr && journal.operation->done;
    while (done && (lock.queue.first != nullptr || journal.observers.first != nullptr)) {
      if (steps == 0) return;
      --steps;
      TellEnded(lock.queue.first != nullptr ? lock.queue.first : journal.observers.first);
    }
    // Those who came after the last change stand behind the others, and have seen it.
    while (journal.operation == nullptr && journal.observers.first != nullptr &&
           journal.observers.first->after < journal.last_change()) {
      if (steps == 0) return;
      --steps;
      Tell(journal.observers.first);
    }
    untold_.pop_front();
    core_->Touch(lock);
    journal.untold = 0;
    RetireIfIdle(lock);
  }
}

// ---- Idle ones
// -----------------------------------------------------------------------------------

void Locks::Use(Lock& lock) {
  if (Used(lock)) return;
  core_->Touch(lock);
  idle_.erase(lock.journal->idle);
  lock.journal->idle = 0;
  ++counts_[static_cast<std::size_t>(lock.kind)];
}

void Locks::Rest(Lock& lock) {
  core_->Touch(lock);
  --counts_[static_cast<std::size_t>(lock.kind)];
  lock.journal->idle = ++counters.last_idle;
  idle_.emplace(lock.journal->idle, &lock);
  if (idle_.size() <= kIdleMax) return;
  Lock& oldest = *idle_.begin()->second;
  idle_.erase(idle_.begin());
  counters.forgotten_through = std::max(counters.forgotten_through, oldest.journal->last_change());
  Erase(locks_.find(KeyOf(oldest)));
}

}  // namespace tenure::machine
