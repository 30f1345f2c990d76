#include <algorithm>
#include <deque>
#include <optional>
#include <utility>
#include <variant>

#include "google/protobuf/io/coded_stream.h"
#include "machine/codec.h"
#include "machine/impl.h"
#include "machine/limits.h"
#include "machine/snapshot.h"
#include "machine/state_hash.h"
#include "tenure/v1/snapshot.pb.h"

namespace tenure::machine {
namespace {

constexpr std::size_t kSlotBytesPerRecord = 16'384;

void Write(const SessionState& in, v1::SnapshotSession* out) {
  out->set_session(in.id);
  out->set_key_high(in.key.high);
  out->set_key_low(in.key.low);
  out->set_ttl_ns(in.ttl_ns);
  out->set_due_ns(in.due_ns);
  out->set_timer_ns(in.timer_ns);
  out->set_label(in.label);
  out->set_ended(in.ended);
  out->set_end(static_cast<std::uint32_t>(in.end));
  out->set_buried(in.buried);
  out->set_window_floor(in.window.floor());
}

void Write(const OperationRecord& in, v1::SnapshotOperation* out) {
  out->set_fingerprint(in.fingerprint);
  out->set_point(in.point);
  out->set_response(in.response);
  out->set_done(in.done);
  out->set_failed(in.failed);
  out->set_retention_ns(in.retention_ns);
  out->set_attempt_ns(in.attempt_ns);
  out->set_deadline_ns(in.deadline_ns);
  out->set_overdue(in.overdue);
  out->set_expires_ns(in.expires_ns);
  out->set_expiry(in.expiry);
  out->set_attempts(in.attempts);
  if (in.under != nullptr) out->set_under(in.under->name);
}

void Write(const Lock& in, v1::SnapshotLock* out) {
  out->set_name(in.name);
  out->set_value(in.value);
  if (in.holder != nullptr) {
    out->set_holder(in.holder->id);
    out->set_token(in.token);
    out->set_acquire(in.acquire);
    out->set_part(in.part);
    out->set_granted_ns(in.granted_ns);
  }
  out->set_pending(in.pending);
  out->set_kind(static_cast<std::uint32_t>(in.kind));
  if (in.shares != nullptr) {
    v1::SnapshotShares* shares = out->mutable_shares();
    shares->set_total(in.shares->total);
    shares->set_first(in.shares->first);
    shares->set_delay_ns(in.shares->delay_ns);
    shares->set_delayed_until_ns(in.shares->delayed_until_ns);
    shares->set_delay(in.shares->delay);
    shares->set_owner(in.shares->owner);
    shares->set_more_holds(in.shares->more_holds);
  }
  if (in.journal == nullptr) return;
  v1::SnapshotJournal* journal = out->mutable_journal();
  for (const Change& change : in.journal->changes) WriteChange(change, journal->add_changes());
  journal->set_dropped_through(in.journal->dropped_through);
  journal->set_idle(in.journal->idle);
  journal->set_untold(in.journal->untold);
  if (in.journal->operation != nullptr) Write(*in.journal->operation, journal->mutable_operation());
}

void Write(const Wait& in, v1::SnapshotWait* out) {
  out->set_session(in.session->id);
  out->set_acquire(in.acquire);
  out->set_kind(static_cast<std::uint32_t>(in.lock->kind));
  out->set_lock(in.lock->name);
  out->set_id(in.id);
  out->set_queued_ns(in.queued_ns);
  out->set_deadline_ns(in.deadline_ns);
  out->set_value(in.value);
  out->set_priority(in.priority);
  out->set_observes(in.observes);
  out->set_after(in.after);
  out->set_attempt_ns(in.attempt_ns);
  out->set_mode(static_cast<std::uint32_t>(in.mode));
  out->set_permits(in.permits);
  out->set_delay_ns(in.delay_ns);
  out->set_owner(in.owner);
  out->set_token(in.token);
  out->set_granted_ns(in.granted_ns);
  out->set_seat(in.seat);
  out->set_part(in.part);
  if (in.set != nullptr) out->set_parts(static_cast<std::uint32_t>(in.set->parts.size()));
  if (in.begin != nullptr) {
    out->mutable_begin()->set_name(in.begin->name);
    out->mutable_begin()->set_fingerprint(in.begin->fingerprint);
    out->mutable_begin()->set_retention_ns(in.begin->retention_ns);
  }
}

}  // namespace

// Walks all that the machine has, in the order of keys that stay what they are while it changes.
// What the walk meets is written unless it was saved before; what was saved is written instead, one
// for one, and whatever of it is left at the end.
class SnapshotReader::Impl final : public BeforeImages {
 public:
  explicit Impl(Machine::Impl* machine) : machine_(machine) {
    machine_->core.frozen = this;
    ++machine_->core.epoch;
    WriteHeader();
  }
  ~Impl() { Detach(); }

  void Save(const SessionState& session) override { saved_.emplace_back(session); }
  void Save(const KeptEvent& event) override { saved_.emplace_back(Encode(event)); }
  void Save(const Lock& lock) override { saved_.emplace_back(Encode(lock)); }
  void Save(const Wait& wait) override {
    saved_.emplace_back(Encode(wait));
    if (&wait == wait_) wait_ = FirstUnread(wait.next);  // it is about to go
  }

  // The machine goes before all was read.
  void Abandon() {
    machine_ = nullptr;
    broken_ = true;
  }
  bool Next(std::size_t bytes_max, std::string* chunk);
  bool broken() const { return broken_; }

 private:
  enum class Stage { kSessions, kLocks, kLeftOver, kTrailer, kDone };

  void Detach();
  // Takes one thing into the buffer, or passes one.
  void Step();
  void StepSession();
  void StepLock();
  void StepTrailer();
  void WriteHeader();
  // Marks a thing as written. False if it was already, or came to be later.
  template <typename T>
  bool Mark(T& thing) {
    if (thing.epoch == machine_->core.epoch) return false;
    thing.epoch = machine_->core.epoch;
    return true;
  }
  // The first of a queue, from `wait` on, that is not marked.
  Wait* FirstUnread(Wait* wait) const {
    while (wait != nullptr && wait->epoch == machine_->core.epoch) wait = wait->next;
    return wait;
  }
  // False if nothing is saved.
  bool TakeSaved();
  void Begin(SessionState state);
  void GoOnWithWindow();

  std::string Encode(const KeptEvent& event) {
    record_.set_event(EncodeEvent(event.event));
    return record_.SerializeAsString();
  }
  std::string Encode(const Lock& lock) {
    record_.Clear();
    Write(lock, record_.mutable_lock());
    return record_.SerializeAsString();
  }
  std::string Encode(const Wait& wait) {
    record_.Clear();
    Write(wait, record_.mutable_wait());
    return record_.SerializeAsString();
  }
  void Append(absl::string_view record);

  Machine::Impl* machine_;
  bool broken_ = false;
  Stage stage_ = Stage::kSessions;
  SessionId session_ = 0;                // the one that the walk is at
  Revision event_ = 0;                   // of its events
  ObjectKind kind_ = ObjectKind::kLock;  // of the lock that it is at, and its name
  std::string lock_;
  bool observers_ = true;  // its queue is done, its observers are next or done
  Revision share_ = 0;     // of its holders
  Wait* wait_ = nullptr;   // the next of its queue: not marked, so its end is heard of
  std::deque<std::variant<SessionState, std::string>> saved_;
  // The session whose window is being written, and how far.
  std::optional<SessionState> writing_;
  Sequence slot_ = 0;

  v1::SnapshotRecord record_;
  std::string buffer_;
  std::size_t taken_ = 0;  // of the buffer
  std::uint64_t records_ = 0;
  StateHash hash_;
};

void SnapshotReader::Impl::Detach() {
  if (machine_ == nullptr) return;
  machine_->core.frozen = nullptr;
  machine_->reader = nullptr;
  machine_ = nullptr;
}

void SnapshotReader::Impl::Append(absl::string_view record) {
  namespace io = google::protobuf::io;
  constexpr std::uint32_t kTag = v1::Snapshot::kRecordsFieldNumber << 3 | 2;
  std::uint8_t head[10];
  std::uint8_t* end = io::CodedOutputStream::WriteTagToArray(kTag, head);
  end = io::CodedOutputStream::WriteVarint32ToArray(static_cast<std::uint32_t>(record.size()), end);
  buffer_.append(reinterpret_cast<const char*>(head), static_cast<std::size_t>(end - head));
  buffer_.append(record.data(), record.size());
  hash_.AddBytes(record);
  ++records_;
}

void SnapshotReader::Impl::WriteHeader() {
  const Core& core = machine_->core;
  v1::SnapshotHeader* header = record_.mutable_header();
  header->set_machine_version(core.version);
  WriteLimits(core.limits, header->mutable_limits());
  header->set_now_ns(core.now_ns);
  header->set_grants_from_ns(core.grants_from_ns);
  header->set_revision(core.revision);
  header->set_state_hash(core.hash.value());
  const Locks::Counters& counters = machine_->locks.counters;
  header->set_last_pending(counters.last_pending);
  header->set_last_untold(counters.last_untold);
  header->set_last_idle(counters.last_idle);
  header->set_forgotten_through(counters.forgotten_through);
  Append(record_.SerializeAsString());
}

bool SnapshotReader::Impl::Next(std::size_t bytes_max, std::string* chunk) {
  chunk->clear();
  if (broken_) return false;
  while (buffer_.size() - taken_ < bytes_max && stage_ != Stage::kDone) Step();
  const std::size_t size = std::min(bytes_max, buffer_.size() - taken_);
  chunk->assign(buffer_, taken_, size);
  taken_ += size;
  if (taken_ * 2 >= buffer_.size()) {
    buffer_.erase(0, taken_);
    taken_ = 0;
  }
  return size > 0;
}

void SnapshotReader::Impl::Step() {
  if (writing_.has_value()) return GoOnWithWindow();
  switch (stage_) {
    case Stage::kSessions:
      return StepSession();
    case Stage::kLocks:
      return StepLock();
    case Stage::kLeftOver:
      if (!TakeSaved()) stage_ = Stage::kTrailer;
      return;
    case Stage::kTrailer:
      return StepTrailer();
    case Stage::kDone:
      return;
  }
}

bool SnapshotReader::Impl::TakeSaved() {
  if (saved_.empty()) return false;
  auto first = std::move(saved_.front());
  saved_.pop_front();
  if (auto* session = std::get_if<SessionState>(&first)) {
    Begin(std::move(*session));
  } else {
    Append(std::get<std::string>(first));
  }
  return true;
}

void SnapshotReader::Impl::StepSession() {
  // Null at first, and if it was forgotten since the last step; then all of it was saved.
  if (Session* session = machine_->sessions.Find(session_)) {
    const auto event = session->events.upper_bound(event_);
    if (event != session->events.end()) {
      event_ = event->first;
      if (!Mark(event->second)) return static_cast<void>(TakeSaved());
      return Append(Encode(event->second));
    }
  }
  Session* next = machine_->sessions.NextAfter(session_);
  if (next == nullptr) {
    stage_ = Stage::kLocks;
    return;
  }
  session_ = next->id;
  event_ = 0;
  if (!Mark<SessionState>(*next)) return static_cast<void>(TakeSaved());
  Begin(*next);
}

void SnapshotReader::Impl::StepLock() {
  if (Wait* wait = wait_) {
    Mark(*wait);
    wait_ = FirstUnread(wait->next);
    return Append(Encode(*wait));
  }
  if (!observers_) {
    observers_ = true;
    const Lock* lock = machine_->locks.Find(kind_, lock_);
    const Journal* journal = lock == nullptr ? nullptr : lock->journal.get();
    wait_ = journal == nullptr ? nullptr : FirstUnread(journal->observers.first);
    return;
  }
  Lock* const here = machine_->locks.Find(kind_, lock_);
  if (here != nullptr && here->shares != nullptr) {
    const auto share = here->shares->holders.upper_bound(share_);
    if (share != here->shares->holders.end()) {
      share_ = share->first;
      if (!Mark(*share->second)) return static_cast<void>(TakeSaved());
      return Append(Encode(*share->second));
    }
  }
  Lock* lock = machine_->locks.NextAfter(kind_, lock_);
  if (lock == nullptr) {
    Detach();  // all that is left was saved
    stage_ = Stage::kLeftOver;
    return;
  }
  kind_ = lock->kind;
  lock_ = lock->name;
  observers_ = false;
  share_ = 0;
  wait_ = FirstUnread(lock->queue.first);
  if (!Mark(*lock)) return static_cast<void>(TakeSaved());
  Append(Encode(*lock));
}

void SnapshotReader::Impl::Begin(SessionState state) {
  record_.Clear();
  Write(state, record_.mutable_session());
  Append(record_.SerializeAsString());
  writing_ = std::move(state);
  slot_ = 0;
}

void SnapshotReader::Impl::GoOnWithWindow() {
  record_.Clear();
  v1::SnapshotWindow* window = record_.mutable_window();
  window->set_session(writing_->id);
  std::size_t bytes = 0;
  std::unique_ptr<const Reply> reply;
  while (bytes < kSlotBytesPerRecord) {
    if (!writing_->window.Next(slot_, &slot_, &reply)) {
      writing_.reset();
      break;
    }
    v1::SnapshotWindow::Slot* slot = window->add_slots();
    slot->set_sequence(slot_);
    if (reply != nullptr) slot->set_reply(EncodeReply(*reply));
    bytes += slot->reply().size() + 16;
  }
  if (bytes > 0) Append(record_.SerializeAsString());
}

void SnapshotReader::Impl::StepTrailer() {
  record_.Clear();
  record_.mutable_trailer()->set_records(records_);
  record_.mutable_trailer()->set_hash(hash_.value());
  Append(record_.SerializeAsString());
  stage_ = Stage::kDone;
}

// ---- The reader
// ----------------------------------------------------------------------------------

SnapshotReader::SnapshotReader(Machine::Impl* machine) : impl_(std::make_unique<Impl>(machine)) {
  machine->reader = this;
}

SnapshotReader::~SnapshotReader() = default;

bool SnapshotReader::Next(std::size_t bytes_max, std::string* chunk) {
  return impl_->Next(bytes_max, chunk);
}

absl::Status SnapshotReader::status() const {
  if (!impl_->broken()) return absl::OkStatus();
  return absl::AbortedError("the state machine went before its snapshot was read to the end");
}

Machine::Impl::~Impl() {
  if (reader != nullptr) reader->impl_->Abandon();
}

}  // namespace tenure::machine
