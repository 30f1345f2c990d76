#include "machine/machine.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "machine/impl.h"
#include "machine/limits.h"
#include "machine/reply_hash.h"
#include "machine/snapshot.h"

namespace tenure::machine {
// ---- Time
// ----------------------------------------------------------------------------------------

void Machine::Impl::PassTime(std::int64_t stamp_ns) {
  core.now_ns = std::max(core.now_ns, stamp_ns);
  core.hash.AddSigned(core.now_ns);
  core.budget = core.limits.cleanup_per_entry;
  sessions.EndDue();
  locks.RunTimers();
  CleanUp();
  locks.TellObservers(core.budget);
}

void Machine::Impl::CleanUp() {
  locks.HandOverPending();
  while (core.budget > 0) {
    Session* dead = sessions.FirstDead();
    if (dead == nullptr) return;
    core.hash.Add(dead->id);
    if (!locks.CleanUp(*dead)) return;
    if (core.budget > 0) --core.budget;
    sessions.BuryFirstDead();
  }
}

// ---- Commands
// ------------------------------------------------------------------------------------

void Machine::Impl::Run(const Command& command, Reply& reply) {
  if (command.machine_version > core.version) {
    Refuse(reply, ReplyCode::kVersion,
           absl::StrCat("the command needs machine version ", command.machine_version,
                        "; this cluster's is ", core.version));
  } else if (command.machine_version == 0) {
    Refuse(reply, ReplyCode::kInvalid, "the command names no machine version");
  } else if (!IsWrite(command.operation)) {
    Refuse(reply, ReplyCode::kInvalid, "a read is no command for the log");
  } else if (const auto* open = std::get_if<OpenSession>(&command.operation)) {
    sessions.Open(command, *open, reply);
  } else {
    RunInSession(command, reply);
  }
  std::uint64_t steps = kStepsPerCommand;
  locks.TellObservers(steps);
  if (reply.revision == 0) reply.revision = core.revision;  // a kept reply has its own
  AddReply(reply, core.hash);
}

void Machine::Impl::RunInSession(const Command& command, Reply& reply) {
  Session* session = sessions.Find(command.session);
  if (session == nullptr) {
    return Refuse(reply, ReplyCode::kSessionEnded,
                  absl::StrCat("session ", command.session, " has ended, or never was"));
  }
  if (session->key != command.key) {
    return Refuse(reply, ReplyCode::kWrongKey,
                  absl::StrCat("session ", command.session, " belongs to another instance"));
  }
  if (session->dead) return AnswerForDead(*session, command, reply);
  core.Touch<SessionState>(*session);

  session->window.Acknowledge(command.acknowledged_through, command.acknowledged,
                              core.limits.window);
  sessions.AcknowledgeEvents(*session, command.events_seen_through);

  const auto* renew = std::get_if<RenewSession>(&command.operation);
  const bool close = std::holds_alternative<CloseSession>(command.operation);
  if (renew == nullptr && !close) return RunOnce(*session, command, reply);
  if (command.sequence != 0) {
    return Refuse(reply, ReplyCode::kInvalid, "renewing or closing a session takes no sequence");
  }
  if (renew != nullptr) return sessions.Renew(*session, *renew, reply);
  sessions.End(*session, SessionEnd::kClosed);
  CleanUp();
  reply.result = SessionClosed{};
}

void Machine::Impl::RunOnce(Session& session, const Command& command, Reply& reply) {
  const Sequence sequence = command.sequence;
  if (sequence == 0) {
    return Refuse(reply, ReplyCode::kInvalid, "the command needs a sequence, from 1");
  }
  switch (session.window.Look(sequence, core.limits.window)) {
    case SequenceWindow::Fate::kKept:
      reply = session.window.Recall(sequence);
      return;
    case SequenceWindow::Fate::kForgotten:
      return Refuse(reply, ReplyCode::kForgotten,
                    absl::StrCat("sequence ", sequence, " was acknowledged before"));
    case SequenceWindow::Fate::kBeyond:
      // The one refusal that is not kept: there is no place for it.
      return Refuse(reply, ReplyCode::kLimit,
                    absl::StrCat("sequence ", sequence, " is more than ", core.limits.window,
                                 " above the last one acknowledged, ", session.window.floor(),
                                 "; acknowledge replies first"));
    case SequenceWindow::Fate::kNew:
      break;
  }
  Execute(session, command, reply);
  reply.revision = core.revision;
  // An outcome may be large, and telling it changes nothing: a retry asks again.
  if (std::holds_alternative<OperationDone>(reply.result)) return;
  session.window.Keep(sequence, reply);
}

void Machine::Impl::Execute(Session& session, const Command& command, Reply& reply) {
  if (const auto* acquire = std::get_if<AcquireLock>(&command.operation)) {
    locks.Acquire(session, command.sequence, *acquire, reply);
  } else if (const auto* release = std::get_if<ReleaseLock>(&command.operation)) {
    locks.Release(session, *release, reply);
  } else if (const auto* all = std::get_if<AcquireAll>(&command.operation)) {
    locks.Run(session, command.sequence, *all, reply);
  } else if (const auto* downgrade = std::get_if<Downgrade>(&command.operation)) {
    locks.Run(session, *downgrade, reply);
  } else if (const auto* broken = std::get_if<BreakLock>(&command.operation)) {
    locks.Run(session, *broken, reply);
  } else if (const auto* campaign = std::get_if<Campaign>(&command.operation)) {
    locks.Run(session, command.sequence, *campaign, reply);
  } else if (const auto* proclaim = std::get_if<Proclaim>(&command.operation)) {
    locks.Run(session, *proclaim, reply);
  } else if (const auto* resign = std::get_if<Resign>(&command.operation)) {
    locks.Run(session, *resign, reply);
  } else if (const auto* hand_over = std::get_if<HandOver>(&command.operation)) {
    locks.Run(session, *hand_over, reply);
  } else if (const auto* observe = std::get_if<Observe>(&command.operation)) {
    locks.Run(session, command.sequence, *observe, reply);
  } else if (const auto* begin = std::get_if<Begin>(&command.operation)) {
    locks.Run(session, command.sequence, *begin, reply);
  } else if (const auto* checkpoint = std::get_if<Checkpoint>(&command.operation)) {
    locks.Run(session, *checkpoint, reply);
  } else if (const auto* extend = std::get_if<Extend>(&command.operation)) {
    locks.Run(session, *extend, reply);
  } else if (const auto* finish = std::get_if<FinishAttempt>(&command.operation)) {
    locks.Run(session, *finish, reply);
  } else if (const auto* await = std::get_if<AwaitOperation>(&command.operation)) {
    locks.Run(session, command.sequence, *await, reply);
  } else if (const auto* forget = std::get_if<Forget>(&command.operation)) {
    locks.Run(session, *forget, reply);
  } else if (const auto* cancel = std::get_if<CancelWait>(&command.operation)) {
    if (cancel->acquire == 0 || cancel->acquire == command.sequence) {
      return Refuse(reply, ReplyCode::kInvalid, "the wait to cancel is named by its own sequence");
    }
    Cancel(session, *cancel, reply);
  }
}

void Machine::Impl::Cancel(Session& session, const CancelWait& cancel, Reply& reply) {
  const SequenceWindow::Fate fate = session.window.Look(cancel.acquire, core.limits.window);
  switch (fate) {
    case SequenceWindow::Fate::kBeyond:
      return Refuse(reply, ReplyCode::kLimit,
                    absl::StrCat("the wait's sequence ", cancel.acquire,
                                 " is beyond the window; acknowledge replies first"));
    case SequenceWindow::Fate::kNew:
      // It overtook its acquire, which is to meet this answer (PITFALLS T14).
      reply.result = WaitCancelled{};
      break;
    case SequenceWindow::Fate::kKept: {
      Reply kept = session.window.Recall(cancel.acquire);
      if (std::holds_alternative<LockGranted>(kept.result) ||
          std::holds_alternative<AttemptStarted>(kept.result)) {
        reply.result = kept.result;
        return;
      }
      locks.Cancel(session, cancel, reply);
      // A late retry of the acquire must not be told that it is queued.
      if (!std::holds_alternative<LockQueued>(kept.result) &&
          !std::holds_alternative<Observing>(kept.result) &&
          !std::holds_alternative<AttemptInProgress>(kept.result)) {
        return;
      }
      if (!std::holds_alternative<WaitCancelled>(reply.result)) return;
      break;
    }
    case SequenceWindow::Fate::kForgotten:
      return locks.Cancel(session, cancel, reply);
  }
  reply.revision = core.revision;
  session.window.Keep(cancel.acquire, reply);
}

// A retry for a session that has ended is uncertain, unless its kept reply answers it.
void Machine::Impl::AnswerForDead(const Session& session, const Command& command,
                                  Reply& reply) const {
  if (std::holds_alternative<CloseSession>(command.operation) &&
      session.end == SessionEnd::kClosed) {
    reply.result = SessionClosed{};
    return;
  }
  if (command.sequence != 0 &&
      session.window.Look(command.sequence, core.limits.window) == SequenceWindow::Fate::kKept) {
    reply = session.window.Recall(command.sequence);
    return;
  }
  Refuse(reply, ReplyCode::kSessionEnded,
         absl::StrCat("session ", session.id,
                      session.end == SessionEnd::kClosed ? " was closed" : " has expired"));
}

// ---- The machine
// ---------------------------------------------------------------------------------

Machine::Machine() : impl_(std::make_unique<Impl>()) {}
Machine::~Machine() = default;
Machine::Machine(Machine&&) noexcept = default;
Machine& Machine::operator=(Machine&&) noexcept = default;

absl::Status Machine::Start(const Genesis& genesis, std::int64_t stamp_ns) {
  Core& core = impl_->core;
  if (core.version != 0) return absl::FailedPreconditionError("genesis: there was one already");
  if (genesis.machine_version == 0) {
    return absl::InvalidArgumentError("genesis: no machine version");
  }
  if (genesis.first_revision >= kRevisionMax) {
    return absl::InvalidArgumentError("genesis: the first revision is not below 2^53");
  }
  if (absl::Status status = CheckLimits(genesis.limits); !status.ok()) return status;
  core.version = genesis.machine_version;
  core.revision = genesis.first_revision;
  core.grants_from_ns = genesis.grants_from_ns;
  core.limits = genesis.limits;
  core.now_ns = stamp_ns;
  core.hash.Add(core.version);
  core.hash.Add(core.revision);
  core.hash.AddSigned(core.grants_from_ns);
  core.hash.AddSigned(core.now_ns);
  AddLimits(core.limits, core.hash);
  return absl::OkStatus();
}

void Machine::RaiseVersion(std::uint32_t version) {
  Core& core = impl_->core;
  if (version <= core.version) return;
  core.version = version;
  core.hash.Add(version);
}

Applied Machine::Apply(std::int64_t stamp_ns, absl::Span<const Command> commands) {
  Applied applied;
  applied.replies.reserve(commands.size());
  impl_->core.events = &applied.events;
  impl_->PassTime(stamp_ns);
  for (const Command& command : commands) impl_->Run(command, applied.replies.emplace_back());
  for (const SessionEvent& event : applied.events) AddEvent(event, impl_->core.hash);
  impl_->core.events = nullptr;
  return applied;
}

Reply Machine::Query(const Operation& operation) const {
  Reply reply;
  reply.revision = revision();
  if (const auto* get = std::get_if<GetLock>(&operation)) {
    impl_->locks.Get(*get, reply);
  } else if (const auto* locks = std::get_if<ListLocks>(&operation)) {
    impl_->locks.List(*locks, reply);
  } else if (const auto* election = std::get_if<GetElection>(&operation)) {
    impl_->locks.Get(*election, reply);
  } else if (const auto* elections = std::get_if<ListElections>(&operation)) {
    impl_->locks.List(*elections, reply);
  } else if (const auto* key = std::get_if<GetOperation>(&operation)) {
    impl_->locks.Get(*key, reply);
  } else if (const auto* keys = std::get_if<ListOperations>(&operation)) {
    impl_->locks.List(*keys, reply);
  } else if (const auto* sessions = std::get_if<ListSessions>(&operation)) {
    impl_->sessions.List(*sessions, reply);
  } else {
    Refuse(reply, ReplyCode::kInvalid, "this is no read of the state machine");
  }
  return reply;
}

std::vector<SessionEvent> Machine::EventsAfter(SessionId session, Revision after) const {
  return impl_->sessions.EventsAfter(session, after);
}

std::int64_t Machine::now_ns() const { return impl_->core.now_ns; }
Revision Machine::revision() const { return impl_->core.revision; }
std::uint64_t Machine::session_count() const { return impl_->sessions.live_count(); }
std::uint64_t Machine::lock_count() const { return impl_->locks.count(ObjectKind::kLock); }
std::uint64_t Machine::election_count() const { return impl_->locks.count(ObjectKind::kElection); }
std::int64_t Machine::grants_from_ns() const { return impl_->core.grants_from_ns; }
const Limits& Machine::limits() const { return impl_->core.limits; }
std::uint32_t Machine::version() const { return impl_->core.version; }

std::uint64_t Machine::key_count() const { return impl_->locks.count(ObjectKind::kOperation); }

bool Machine::HasDeadline() const {
  return session_count() > 0 || impl_->locks.has_expiries() || HasBacklog() ||
         impl_->core.HeldBackNs() > 0;
}

bool Machine::HasBacklog() const {
  return impl_->sessions.FirstDead() != nullptr || impl_->locks.has_untold() ||
         impl_->locks.has_expired() ||
         (impl_->locks.has_pending() && impl_->core.HeldBackNs() == 0);
}

std::unique_ptr<SnapshotReader> Machine::Freeze() {
  if (impl_->reader != nullptr) return nullptr;
  return std::make_unique<SnapshotReader>(impl_.get());
}

std::uint64_t Machine::StateHash() const { return impl_->core.hash.value(); }

}  // namespace tenure::machine
