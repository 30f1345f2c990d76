#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/message.h"
#include "google/protobuf/unknown_field_set.h"
#include "machine/codec.h"
#include "machine/impl.h"
#include "machine/limits.h"
#include "machine/snapshot.h"
#include "machine/state_hash.h"
#include "tenure/v1/snapshot.pb.h"

namespace tenure::machine {
namespace {

// Far above what any record takes: limits of values are far below. It bounds what a damaged length
// can make the buffer hold.
constexpr std::uint32_t kRecordBytesMax = 64 << 20;
constexpr auto kKindMax = static_cast<std::uint32_t>(ObjectKind::kOperation);
constexpr char kRecordTag = v1::Snapshot::kRecordsFieldNumber << 3 | 2;

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("the snapshot is damaged: ", what));
}

absl::Status UnknownField() {
  return absl::UnimplementedError(
      "the snapshot has a record, or a field of one, that this version does not know");
}

// True if `message` itself has only fields that this version knows.
bool Known(const google::protobuf::Message& message) {
  return message.GetReflection()->GetUnknownFields(message).empty();
}

}  // namespace

class SnapshotWriter::Impl {
 public:
  explicit Impl(std::uint32_t newest) : newest_(newest) {}
  absl::Status Add(absl::string_view chunk);
  absl::StatusOr<Machine> Finish();

 private:
  struct Holder {
    Lock* lock;
    SessionId session;
  };
  struct Waiting {
    std::unique_ptr<Wait> wait;
    SessionId session;
    ObjectKind kind;
    std::string lock;
    std::uint32_t parts;
  };

  Machine::Impl& machine() { return *machine_.impl_; }
  // Takes the records that have come whole out of the buffer.
  absl::Status TakeRecords();
  absl::Status Take(absl::string_view bytes);
  absl::Status TakeHeader(const v1::SnapshotHeader& in);
  absl::Status TakeSession(const v1::SnapshotSession& in);
  absl::Status TakeWindow(const v1::SnapshotWindow& in);
  absl::Status TakeEvent(const std::string& in);
  absl::Status TakeLock(v1::SnapshotLock* in);
  absl::Status TakeJournal(const v1::SnapshotLock& in, Lock& lock);
  absl::Status TakeWait(v1::SnapshotWait* in);
  absl::Status TakeTrailer(const v1::SnapshotTrailer& in);
  absl::Status LinkEvents();
  absl::Status LinkLocks();

  const std::uint32_t newest_;
  absl::Status status_;
  Machine machine_;
  std::string buffer_;
  v1::SnapshotRecord record_;
  std::uint64_t records_ = 0;
  StateHash hash_;
  bool whole_ = false;
  // What can be linked only when all is there.
  std::vector<SessionEvent> events_;
  std::vector<Holder> holders_;
  std::vector<std::pair<Lock*, std::string>> under_;  // operations, and the locks held with them
  std::vector<Waiting> waits_;
};

absl::Status SnapshotWriter::Impl::Add(absl::string_view chunk) {
  if (!status_.ok()) return status_;
  buffer_.append(chunk.data(), chunk.size());
  status_ = TakeRecords();
  return status_;
}

absl::Status SnapshotWriter::Impl::TakeRecords() {
  std::size_t at = 0;
  while (at < buffer_.size()) {
    if (whole_) return Damaged("there is more behind its trailer");
    if (buffer_[at] != kRecordTag) return Damaged("a record begins with another byte");
    std::size_t head = at + 1;
    std::uint64_t length = 0;
    bool complete = false;
    for (int shift = 0; head < buffer_.size() && !complete; shift += 7) {
      if (shift > 28) return Damaged("a record's length is malformed");
      const auto byte = static_cast<unsigned char>(buffer_[head++]);
      length |= std::uint64_t{byte & 0x7fu} << shift;
      complete = byte < 0x80;
    }
    if (!complete) break;
    if (length > kRecordBytesMax) {
      return Damaged(absl::StrCat("a record of ", length, " bytes is longer than any may be"));
    }
    if (buffer_.size() - head < length) break;
    if (absl::Status status = Take(absl::string_view(buffer_).substr(head, length)); !status.ok()) {
      return status;
    }
    at = head + length;
  }
  buffer_.erase(0, at);
  return absl::OkStatus();
}

absl::Status SnapshotWriter::Impl::Take(absl::string_view bytes) {
  if (!record_.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Damaged("a record is malformed");
  }
  if (!Known(record_)) return UnknownField();
  const auto taken = [&](auto status, const google::protobuf::Message& message) -> absl::Status {
    return Known(message) ? status() : UnknownField();
  };
  using Record = v1::SnapshotRecord;
  if (records_ == 0 && record_.record_case() != Record::kHeader) {
    return Damaged("it does not begin with a header");
  }
  absl::Status status;
  switch (record_.record_case()) {
    case Record::kHeader:
      status = taken([&] { return TakeHeader(record_.header()); }, record_.header());
      break;
    case Record::kSession:
      status = taken([&] { return TakeSession(record_.session()); }, record_.session());
      break;
    case Record::kWindow:
      status = taken([&] { return TakeWindow(record_.window()); }, record_.window());
      break;
    case Record::kEvent:
      status = TakeEvent(record_.event());
      break;
    case Record::kLock:
      status = taken([&] { return TakeLock(record_.mutable_lock()); }, record_.lock());
      break;
    case Record::kWait:
      status = taken([&] { return TakeWait(record_.mutable_wait()); }, record_.wait());
      break;
    case Record::kTrailer:
      return taken([&] { return TakeTrailer(record_.trailer()); }, record_.trailer());
    case Record::RECORD_NOT_SET:
      return Damaged("a record is empty");
  }
  hash_.AddBytes(bytes);
  ++records_;
  return status;
}

absl::Status SnapshotWriter::Impl::TakeHeader(const v1::SnapshotHeader& in) {
  if (records_ != 0) return Damaged("it has two headers");
  if (in.machine_version() > newest_) {
    return absl::UnimplementedError(absl::StrCat("the snapshot is of machine version ",
                                                 in.machine_version(), "; this program has ",
                                                 newest_, ": start the newer one"));
  }
  if (!Known(in.limits())) {
    return UnknownField();
  }
  Core& core = machine().core;
  core.version = in.machine_version();
  core.limits = ReadLimits(in.limits());
  core.now_ns = in.now_ns();
  core.grants_from_ns = in.grants_from_ns();
  core.revision = in.revision();
  core.hash = StateHash(in.state_hash());
  machine().locks.counters = {in.last_pending(), in.last_untold(), in.last_idle(),
                              in.forgotten_through()};
  // Version 0 is a machine that was not started: nothing can be in it.
  if (core.version == 0) return absl::OkStatus();
  if (absl::Status status = CheckLimits(core.limits); !status.ok()) {
    return Damaged(status.message());
  }
  return absl::OkStatus();
}

absl::Status SnapshotWriter::Impl::TakeSession(const v1::SnapshotSession& in) {
  if (in.session() == 0 || in.session() > machine().core.revision ||
      in.ended() > machine().core.revision || in.end() > 1) {
    return Damaged("a session is out of range");
  }
  SessionState state;
  state.id = in.session();
  state.key = {in.key_high(), in.key_low()};
  state.ttl_ns = in.ttl_ns();
  state.due_ns = in.due_ns();
  state.timer_ns = in.timer_ns();
  state.label = in.label();
  state.dead = in.ended() != 0;
  state.ended = in.ended();
  state.end = static_cast<SessionEnd>(in.end());
  state.buried = in.buried();
  state.window.Restore(in.window_floor());
  if (state.buried && !state.dead) return Damaged("a living session is buried");
  if (machine().sessions.Restore(std::move(state)) == nullptr) {
    return Damaged(absl::StrCat("session ", in.session(), " is in it twice"));
  }
  return absl::OkStatus();
}

absl::Status SnapshotWriter::Impl::TakeWindow(const v1::SnapshotWindow& in) {
  Session* session = machine().sessions.Find(in.session());
  if (session == nullptr) return Damaged("a window stands before its session");
  const std::uint64_t reach = machine().core.limits.window;
  for (const v1::SnapshotWindow::Slot& slot : in.slots()) {
    if (!Known(slot)) return UnknownField();
    if (session->window.Look(slot.sequence(), reach) != SequenceWindow::Fate::kNew) {
      return Damaged("a sequence is outside its window, or in it twice");
    }
    if (slot.reply().empty()) {
      session->window.Acknowledge(0, {slot.sequence()}, reach);
      continue;
    }
    const absl::StatusOr<Reply> reply = DecodeReply(slot.reply());
    if (!reply.ok()) return Damaged(reply.status().message());
    session->window.Keep(slot.sequence(), *reply);
  }
  return absl::OkStatus();
}

absl::Status SnapshotWriter::Impl::TakeEvent(const std::string& in) {
  absl::StatusOr<SessionEvent> event = DecodeEvent(in);
  if (!event.ok()) return Damaged(event.status().message());
  if (event->revision > machine().core.revision) return Damaged("an event is out of range");
  events_.push_back(*std::move(event));
  return absl::OkStatus();
}

absl::Status SnapshotWriter::Impl::TakeLock(v1::SnapshotLock* in) {
  if (in->token() > machine().core.revision) return Damaged("a token is out of range");
  auto lock = std::make_unique<Lock>();
  lock->name = std::move(*in->mutable_name());
  lock->value = std::move(*in->mutable_value());
  lock->token = in->token();
  lock->acquire = in->acquire();
  lock->part = in->part();
  lock->granted_ns = in->granted_ns();
  lock->pending = in->pending();
  if (in->kind() > kKindMax) return Damaged("something is of no kind that can be held");
  lock->kind = static_cast<ObjectKind>(in->kind());
  if (in->has_shares()) {
    if (!Known(in->shares())) return UnknownField();
    lock->shares = std::make_unique<Shares>();
    lock->shares->total = in->shares().total();
    lock->shares->first = in->shares().first();
    lock->shares->delay_ns = in->shares().delay_ns();
    lock->shares->delayed_until_ns = in->shares().delayed_until_ns();
    lock->shares->delay = in->shares().delay();
    lock->shares->owner = in->shares().owner();
    lock->shares->more_holds = in->shares().more_holds();
  }
  if (absl::Status status = TakeJournal(*in, *lock); !status.ok()) return status;
  Lock* const added = machine().locks.Restore(std::move(lock));
  if (added == nullptr) return Damaged("a lock is in it twice");
  if (in->holder() != 0) holders_.push_back({added, in->holder()});
  const std::string& under = in->journal().operation().under();
  if (!under.empty()) under_.emplace_back(added, under);
  return absl::OkStatus();
}

absl::Status SnapshotWriter::Impl::TakeJournal(const v1::SnapshotLock& in, Lock& lock) {
  if (!in.has_journal()) {
    if (lock.kind == ObjectKind::kLock) return absl::OkStatus();
    return Damaged("an election or an operation has no journal");
  }
  const v1::SnapshotJournal& journal = in.journal();
  if (!Known(journal)) return UnknownField();
  lock.journal = std::make_unique<Journal>();
  lock.journal->dropped_through = journal.dropped_through();
  lock.journal->idle = journal.idle();
  lock.journal->untold = journal.untold();
  for (const v1::Change& change : journal.changes()) {
    if (!Known(change)) return UnknownField();
    lock.journal->changes.push_back(ReadChange(change));
  }
  if (journal.has_operation() != (lock.kind == ObjectKind::kOperation)) {
    return Damaged("an operation has no record, or something else has one");
  }
  if (!journal.has_operation()) return absl::OkStatus();
  const v1::SnapshotOperation& operation = journal.operation();
  if (!Known(operation)) return UnknownField();
  lock.journal->operation = std::make_unique<OperationRecord>();
  OperationRecord& record = *lock.journal->operation;
  record.fingerprint = operation.fingerprint();
  record.point = operation.point();
  record.response = operation.response();
  record.done = operation.done();
  record.failed = operation.failed();
  record.retention_ns = operation.retention_ns();
  record.attempt_ns = operation.attempt_ns();
  record.deadline_ns = operation.deadline_ns();
  record.overdue = operation.overdue();
  record.expires_ns = operation.expires_ns();
  record.expiry = operation.expiry();
  record.attempts = operation.attempts();
  return absl::OkStatus();
}

absl::Status SnapshotWriter::Impl::TakeWait(v1::SnapshotWait* in) {
  if (in->id() > machine().core.revision) return Damaged("a wait is out of range");
  auto wait = std::make_unique<Wait>();
  wait->acquire = in->acquire();
  wait->id = in->id();
  wait->queued_ns = in->queued_ns();
  wait->deadline_ns = in->deadline_ns();
  wait->value = std::move(*in->mutable_value());
  wait->attempt_ns = in->attempt_ns();
  if (in->mode() > 2 || in->seat() >= machine().core.limits.permits_max)
    return Damaged("a mode is out of range");
  wait->mode = static_cast<LockMode>(in->mode());
  wait->permits = in->permits();
  wait->delay_ns = in->delay_ns();
  wait->owner = std::move(*in->mutable_owner());
  wait->token = in->token();
  wait->granted_ns = in->granted_ns();
  wait->seat = in->seat();
  wait->part = in->part();
  if (in->parts() > machine().core.limits.locks_at_once_max ||
      (in->parts() != 0 && (in->part() >= in->parts() || in->observes()))) {
    return Damaged("a wait for several locks is out of range");
  }
  if (in->priority() > kPriorityMax || in->kind() > kKindMax)
    return Damaged("a wait is out of range");
  wait->priority = static_cast<std::uint8_t>(in->priority());
  wait->observes = in->observes();
  wait->after = in->after();
  if (in->has_begin()) {
    if (!Known(in->begin())) return UnknownField();
    if (in->kind() != static_cast<std::uint32_t>(ObjectKind::kLock) || in->token() != 0 ||
        in->parts() != 0 || in->mode() != static_cast<std::uint32_t>(LockMode::kExclusive)) {
      return Damaged("a wait for an attempt is no wait for a lock");
    }
    wait->begin = std::make_unique<BeginUnder>();
    wait->begin->name = std::move(*in->mutable_begin()->mutable_name());
    wait->begin->fingerprint = std::move(*in->mutable_begin()->mutable_fingerprint());
    wait->begin->retention_ns = in->begin().retention_ns();
  }
  waits_.push_back({std::move(wait), in->session(), static_cast<ObjectKind>(in->kind()),
                    std::move(*in->mutable_lock()), in->parts()});
  return absl::OkStatus();
}

absl::Status SnapshotWriter::Impl::TakeTrailer(const v1::SnapshotTrailer& in) {
  if (in.records() != records_ || in.hash() != hash_.value()) {
    return Damaged("its trailer tells of other records than these");
  }
  whole_ = true;
  return absl::OkStatus();
}

// ---- At the end
// ----------------------------------------------------------------------------------

absl::Status SnapshotWriter::Impl::LinkEvents() {
  for (SessionEvent& event : events_) {
    Session* session = machine().sessions.Find(event.session);
    if (session == nullptr || !machine().sessions.RestoreEvent(*session, std::move(event))) {
      return Damaged("an event is nobody's, or is in it twice");
    }
  }
  return absl::OkStatus();
}

absl::Status SnapshotWriter::Impl::LinkLocks() {
  for (const Holder& holder : holders_) {
    Session* session = machine().sessions.Find(holder.session);
    if (session == nullptr || !machine().locks.RestoreHolder(*holder.lock, *session)) {
      return Damaged("a lock's holder is no session, or holds it twice");
    }
  }
  for (const auto& [operation, name] : under_) {
    Lock* const lock = machine().locks.Find(ObjectKind::kLock, name);
    if (lock == nullptr || !machine().locks.RestoreUnder(*operation, *lock)) {
      return Damaged("an attempt and its lock are not held as one");
    }
  }
  std::sort(waits_.begin(), waits_.end(),
            [](const Waiting& a, const Waiting& b) { return a.wait->id < b.wait->id; });
  for (Waiting& waiting : waits_) {
    waiting.wait->session = machine().sessions.Find(waiting.session);
    waiting.wait->lock = machine().locks.Find(waiting.kind, waiting.lock);
    if (waiting.wait->session == nullptr || waiting.wait->lock == nullptr ||
        (waiting.wait->observes && waiting.wait->lock->journal == nullptr) ||
        (waiting.wait->token != 0 && waiting.wait->lock->shares == nullptr) ||
        !machine().locks.RestoreWait(std::move(waiting.wait), waiting.parts)) {
      return Damaged("a wait is nobody's, or is in it twice");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Machine> SnapshotWriter::Impl::Finish() {
  if (!status_.ok()) return status_;
  status_ = absl::FailedPreconditionError("the snapshot was finished already");
  if (!whole_) {
    return absl::DataLossError(
        absl::StrCat("the snapshot is cut short: ", records_, " records and no trailer"));
  }
  if (absl::Status status = LinkEvents(); !status.ok()) return status;
  if (absl::Status status = LinkLocks(); !status.ok()) return status;
  if (!machine().sessions.FinishRestore()) return Damaged("two sessions share what is one's own");
  if (!machine().locks.FinishRestore()) return Damaged("two hand-overs have one place");
  return std::move(machine_);
}

// ---- The writer
// ----------------------------------------------------------------------------------

SnapshotWriter::SnapshotWriter(std::uint32_t newest) : impl_(std::make_unique<Impl>(newest)) {}
SnapshotWriter::~SnapshotWriter() = default;
SnapshotWriter::SnapshotWriter(SnapshotWriter&&) noexcept = default;
SnapshotWriter& SnapshotWriter::operator=(SnapshotWriter&&) noexcept = default;

absl::Status SnapshotWriter::Add(absl::string_view chunk) { return impl_->Add(chunk); }
absl::StatusOr<Machine> SnapshotWriter::Finish() { return impl_->Finish(); }

}  // namespace tenure::machine
