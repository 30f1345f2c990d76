// Commands, entries' payloads and the genesis. Commands are decoded twice on each member's busiest
// path, at intake and when they are applied: their messages live in an arena on the stack.
#include "machine/codec.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "google/protobuf/arena.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/message.h"
#include "google/protobuf/unknown_field_set.h"
#include "machine/limits.h"
#include "tenure/v1/command.pb.h"
#include "tenure/v1/log.pb.h"

namespace tenure::machine {
namespace {

namespace pb = ::google::protobuf;

// ---- Out
// -----------------------------------------------------------------------------------------

struct OperationWriter {
  v1::Command& out;

  void operator()(const OpenSession& in) const {
    out.mutable_open_session()->set_ttl_ns(in.ttl_ns);
    out.mutable_open_session()->set_label(in.label);
  }
  void operator()(const RenewSession& in) const {
    out.mutable_renew_session()->set_attempt(in.attempt);
  }
  void operator()(const CloseSession&) const { out.mutable_close_session(); }
  void operator()(const AcquireLock& in) const {
    v1::AcquireLock* acquire = out.mutable_acquire_lock();
    acquire->set_name(in.name);
    acquire->set_wait_ns(in.wait_ns);
    acquire->set_value(in.value);
    acquire->set_mode(static_cast<std::uint32_t>(in.mode));
    acquire->set_permits(in.permits);
    acquire->set_total(in.total);
    acquire->set_delay_ns(in.delay_ns);
    acquire->set_owner(in.owner);
    acquire->set_reentrant(in.reentrant);
    acquire->set_detect_deadlock(in.detect_deadlock);
  }
  void operator()(const AcquireAll& in) const {
    v1::AcquireAll* all = out.mutable_acquire_all();
    for (const LockInSet& lock : in.locks) {
      all->add_names(lock.name);
      all->add_modes(static_cast<std::uint32_t>(lock.mode));
    }
    all->set_wait_ns(in.wait_ns);
    all->set_value(in.value);
    all->set_owner(in.owner);
    all->set_detect_deadlock(in.detect_deadlock);
    all->set_delay_ns(in.delay_ns);
  }
  void operator()(const CancelWait& in) const {
    out.mutable_cancel_wait()->set_acquire(in.acquire);
  }
  void operator()(const ReleaseLock& in) const {
    out.mutable_release_lock()->set_name(in.name);
    out.mutable_release_lock()->set_token(in.token);
  }
  void operator()(const Downgrade& in) const {
    out.mutable_downgrade()->set_name(in.name);
    out.mutable_downgrade()->set_token(in.token);
  }
  void operator()(const BreakLock& in) const {
    v1::BreakLock* broken = out.mutable_break_lock();
    broken->set_kind(static_cast<std::uint32_t>(in.kind));
    broken->set_scope(in.scope);
    broken->set_name(in.name);
    broken->set_token(in.token);
    broken->set_reason(in.reason);
  }
  void operator()(const Campaign& in) const {
    v1::Campaign* campaign = out.mutable_campaign();
    campaign->set_name(in.name);
    campaign->set_wait_ns(in.wait_ns);
    campaign->set_value(in.value);
    campaign->set_priority(in.priority);
  }
  void operator()(const Proclaim& in) const {
    v1::Proclaim* proclaim = out.mutable_proclaim();
    proclaim->set_name(in.name);
    proclaim->set_term(in.term);
    proclaim->set_value(in.value);
  }
  void operator()(const Resign& in) const {
    out.mutable_resign()->set_name(in.name);
    out.mutable_resign()->set_term(in.term);
  }
  void operator()(const HandOver& in) const {
    v1::HandOver* hand_over = out.mutable_hand_over();
    hand_over->set_name(in.name);
    hand_over->set_term(in.term);
    hand_over->set_candidate(in.candidate);
    hand_over->set_campaign(in.campaign);
  }
  void operator()(const Observe& in) const {
    v1::Observe* observe = out.mutable_observe();
    observe->set_kind(static_cast<std::uint32_t>(in.kind));
    observe->set_name(in.name);
    observe->set_after(in.after);
  }
  void operator()(const GetElection& in) const {
    out.mutable_get_election()->set_name(in.name);
    out.mutable_get_election()->set_after(in.after);
  }
  void operator()(const ListElections& in) const {
    out.mutable_list_elections()->set_after(in.after);
    out.mutable_list_elections()->set_limit(in.limit);
  }
  void operator()(const Begin& in) const {
    v1::Begin* begin = out.mutable_begin();
    begin->set_scope(in.scope);
    begin->set_key(in.key);
    begin->set_fingerprint(in.fingerprint);
    begin->set_deadline_ns(in.deadline_ns);
    begin->set_retention_ns(in.retention_ns);
    begin->set_wait_ns(in.wait_ns);
    begin->set_lock(in.lock);
    begin->set_value(in.value);
  }
  void operator()(const Checkpoint& in) const {
    v1::Checkpoint* checkpoint = out.mutable_checkpoint();
    checkpoint->set_scope(in.scope);
    checkpoint->set_key(in.key);
    checkpoint->set_token(in.token);
    checkpoint->set_point(in.point);
  }
  void operator()(const Extend& in) const {
    v1::Extend* extend = out.mutable_extend();
    extend->set_scope(in.scope);
    extend->set_key(in.key);
    extend->set_token(in.token);
    extend->set_deadline_ns(in.deadline_ns);
  }
  void operator()(const FinishAttempt& in) const {
    v1::FinishAttempt* finish = out.mutable_finish_attempt();
    finish->set_scope(in.scope);
    finish->set_key(in.key);
    finish->set_token(in.token);
    finish->set_outcome(static_cast<std::uint32_t>(in.outcome));
    finish->set_response(in.response);
  }
  void operator()(const AwaitOperation& in) const {
    v1::AwaitOperation* await = out.mutable_await_operation();
    await->set_scope(in.scope);
    await->set_key(in.key);
    await->set_wait_ns(in.wait_ns);
  }
  void operator()(const Forget& in) const {
    out.mutable_forget()->set_scope(in.scope);
    out.mutable_forget()->set_key(in.key);
  }
  void operator()(const GetOperation& in) const {
    out.mutable_get_operation()->set_scope(in.scope);
    out.mutable_get_operation()->set_key(in.key);
  }
  void operator()(const ListOperations& in) const {
    v1::ListOperations* list = out.mutable_list_operations();
    list->set_scope(in.scope);
    list->set_after(in.after);
    list->set_limit(in.limit);
  }
  void operator()(const GetLock& in) const { out.mutable_get_lock()->set_name(in.name); }
  void operator()(const ListLocks& in) const {
    out.mutable_list_locks()->set_after(in.after);
    out.mutable_list_locks()->set_limit(in.limit);
  }
  void operator()(const ListSessions& in) const {
    out.mutable_list_sessions()->set_after(in.after);
    out.mutable_list_sessions()->set_limit(in.limit);
  }
  void operator()(const GetStatus&) const { out.mutable_get_status(); }
  void operator()(const ChangeMembers& in) const {
    v1::ChangeMembers* change = out.mutable_change_members();
    change->set_action(static_cast<std::uint32_t>(in.action));
    change->set_name(in.name);
    change->set_address(in.address);
  }
};

// ---- In
// ------------------------------------------------------------------------------------------

// Each overload reads one alternative. The message is on its way out: strings are moved.
OpenSession Read(v1::OpenSession* in) { return {in->ttl_ns(), std::move(*in->mutable_label())}; }
RenewSession Read(v1::RenewSession* in) { return {in->attempt()}; }
CloseSession Read(v1::CloseSession*) { return {}; }
AcquireLock Read(v1::AcquireLock* in) {
  return {std::move(*in->mutable_name()),
          in->wait_ns(),
          std::move(*in->mutable_value()),
          static_cast<LockMode>(in->mode()),
          in->permits(),
          in->total(),
          in->delay_ns(),
          std::move(*in->mutable_owner()),
          in->reentrant(),
          in->detect_deadlock()};
}
AcquireAll Read(v1::AcquireAll* in) {
  AcquireAll out;
  out.locks.reserve(static_cast<std::size_t>(in->names_size()));
  for (int i = 0; i < in->names_size(); ++i) {
    out.locks.push_back({std::move(*in->mutable_names(i)), static_cast<LockMode>(in->modes(i))});
  }
  out.wait_ns = in->wait_ns();
  out.value = std::move(*in->mutable_value());
  out.owner = std::move(*in->mutable_owner());
  out.detect_deadlock = in->detect_deadlock();
  out.delay_ns = in->delay_ns();
  return out;
}
Downgrade Read(v1::Downgrade* in) { return {std::move(*in->mutable_name()), in->token()}; }
BreakLock Read(v1::BreakLock* in) {
  return {static_cast<ObjectKind>(in->kind()), std::move(*in->mutable_scope()),
          std::move(*in->mutable_name()), in->token(), std::move(*in->mutable_reason())};
}
CancelWait Read(v1::CancelWait* in) { return {in->acquire()}; }
ReleaseLock Read(v1::ReleaseLock* in) { return {std::move(*in->mutable_name()), in->token()}; }
Campaign Read(v1::Campaign* in) {
  return {std::move(*in->mutable_name()), in->wait_ns(), std::move(*in->mutable_value()),
          in->priority()};
}
Proclaim Read(v1::Proclaim* in) {
  return {std::move(*in->mutable_name()), in->term(), std::move(*in->mutable_value())};
}
Resign Read(v1::Resign* in) { return {std::move(*in->mutable_name()), in->term()}; }
HandOver Read(v1::HandOver* in) {
  return {std::move(*in->mutable_name()), in->term(), in->candidate(), in->campaign()};
}
Observe Read(v1::Observe* in) {
  return {static_cast<ObjectKind>(in->kind()), std::move(*in->mutable_name()), in->after()};
}
GetElection Read(v1::GetElection* in) { return {std::move(*in->mutable_name()), in->after()}; }
ListElections Read(v1::ListElections* in) { return {std::move(*in->mutable_after()), in->limit()}; }
Begin Read(v1::Begin* in) {
  return {std::move(*in->mutable_scope()),
          std::move(*in->mutable_key()),
          std::move(*in->mutable_fingerprint()),
          in->deadline_ns(),
          in->retention_ns(),
          in->wait_ns(),
          std::move(*in->mutable_lock()),
          std::move(*in->mutable_value())};
}
Checkpoint Read(v1::Checkpoint* in) {
  return {std::move(*in->mutable_scope()), std::move(*in->mutable_key()), in->token(),
          std::move(*in->mutable_point())};
}
Extend Read(v1::Extend* in) {
  return {std::move(*in->mutable_scope()), std::move(*in->mutable_key()), in->token(),
          in->deadline_ns()};
}
FinishAttempt Read(v1::FinishAttempt* in) {
  return {std::move(*in->mutable_scope()), std::move(*in->mutable_key()), in->token(),
          static_cast<Outcome>(in->outcome()), std::move(*in->mutable_response())};
}
AwaitOperation Read(v1::AwaitOperation* in) {
  return {std::move(*in->mutable_scope()), std::move(*in->mutable_key()), in->wait_ns()};
}
Forget Read(v1::Forget* in) {
  return {std::move(*in->mutable_scope()), std::move(*in->mutable_key())};
}
GetOperation Read(v1::GetOperation* in) {
  return {std::move(*in->mutable_scope()), std::move(*in->mutable_key())};
}
ListOperations Read(v1::ListOperations* in) {
  return {std::move(*in->mutable_scope()), std::move(*in->mutable_after()), in->limit()};
}
GetLock Read(v1::GetLock* in) { return {std::move(*in->mutable_name())}; }
ListLocks Read(v1::ListLocks* in) { return {std::move(*in->mutable_after()), in->limit()}; }
ListSessions Read(v1::ListSessions* in) { return {in->after(), in->limit()}; }
GetStatus Read(v1::GetStatus*) { return {}; }
// An action of a later version becomes one that no member knows.
ChangeMembers Read(v1::ChangeMembers* in) {
  return {static_cast<MemberAction>(std::min<std::uint32_t>(in->action(), 255)),
          std::move(*in->mutable_name()), std::move(*in->mutable_address())};
}

// True if `message` itself, not those inside it, has a field that this version does not know.
bool HasUnknown(const pb::Message& message) {
  return !message.GetReflection()->GetUnknownFields(message).empty();
}

// False if the alternative has a field that this version does not know. No alternative of a command
// has messages inside it; CodecTest.KnowsEveryMessageInsideACommand fails when that changes.
template <typename Message>
bool ReadInto(Message* in, Operation& out) {
  if (HasUnknown(*in)) return false;
  out = Read(in);
  return true;
}

// True if each name has a mode that there is.
bool HasModes(const v1::AcquireAll& in) {
  return in.names_size() == in.modes_size() &&
         std::all_of(in.modes().begin(), in.modes().end(), [](auto mode) { return mode <= 2; });
}

bool ReadOperation(v1::Command& in, Operation& out) {
  switch (in.operation_case()) {
    case v1::Command::kOpenSession:
      return ReadInto(in.mutable_open_session(), out);
    case v1::Command::kRenewSession:
      return ReadInto(in.mutable_renew_session(), out);
    case v1::Command::kCloseSession:
      return ReadInto(in.mutable_close_session(), out);
    case v1::Command::kAcquireLock:
      return in.acquire_lock().mode() <= 2 && ReadInto(in.mutable_acquire_lock(), out);
    case v1::Command::kAcquireAll:
      return HasModes(in.acquire_all()) && ReadInto(in.mutable_acquire_all(), out);
    case v1::Command::kDowngrade:
      return ReadInto(in.mutable_downgrade(), out);
    case v1::Command::kBreakLock:
      return in.break_lock().kind() <= 2 && ReadInto(in.mutable_break_lock(), out);
    case v1::Command::kCancelWait:
      return ReadInto(in.mutable_cancel_wait(), out);
    case v1::Command::kReleaseLock:
      return ReadInto(in.mutable_release_lock(), out);
    case v1::Command::kCampaign:
      return ReadInto(in.mutable_campaign(), out);
    case v1::Command::kProclaim:
      return ReadInto(in.mutable_proclaim(), out);
    case v1::Command::kResign:
      return ReadInto(in.mutable_resign(), out);
    case v1::Command::kHandOver:
      return ReadInto(in.mutable_hand_over(), out);
    case v1::Command::kObserve:
      return in.observe().kind() <= 1 && ReadInto(in.mutable_observe(), out);
    case v1::Command::kGetElection:
      return ReadInto(in.mutable_get_election(), out);
    case v1::Command::kListElections:
      return ReadInto(in.mutable_list_elections(), out);
    case v1::Command::kBegin:
      return ReadInto(in.mutable_begin(), out);
    case v1::Command::kCheckpoint:
      return ReadInto(in.mutable_checkpoint(), out);
    case v1::Command::kExtend:
      return ReadInto(in.mutable_extend(), out);
    case v1::Command::kFinishAttempt:
      return in.finish_attempt().outcome() <= 2 && ReadInto(in.mutable_finish_attempt(), out);
    case v1::Command::kAwaitOperation:
      return ReadInto(in.mutable_await_operation(), out);
    case v1::Command::kForget:
      return ReadInto(in.mutable_forget(), out);
    case v1::Command::kGetOperation:
      return ReadInto(in.mutable_get_operation(), out);
    case v1::Command::kListOperations:
      return ReadInto(in.mutable_list_operations(), out);
    case v1::Command::kGetLock:
      return ReadInto(in.mutable_get_lock(), out);
    case v1::Command::kListLocks:
      return ReadInto(in.mutable_list_locks(), out);
    case v1::Command::kListSessions:
      return ReadInto(in.mutable_list_sessions(), out);
    case v1::Command::kGetStatus:
      return ReadInto(in.mutable_get_status(), out);
    case v1::Command::kChangeMembers:
      return ReadInto(in.mutable_change_members(), out);
    case v1::Command::OPERATION_NOT_SET:
      return false;
  }
  return false;
}

// An arena whose first block is on the stack: most commands need no other.
class StackArena {
 public:
  StackArena() : arena_(block_, sizeof(block_)) {}
  template <typename Message>
  Message* Make() {
    return pb::Arena::CreateMessage<Message>(&arena_);
  }

 private:
  alignas(8) char block_[1024];
  pb::Arena arena_;
};

bool FitsInt(absl::string_view bytes) {
  return bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max());
}

absl::Status TooNew(absl::string_view what, std::uint32_t needed, std::uint32_t newest) {
  return absl::UnimplementedError(absl::StrCat(what, " needs machine version ", needed,
                                               "; this program has ", newest,
                                               ": start the newer one"));
}

// Reads into `command`, whose members are all as they were constructed.
absl::Status Decode(absl::string_view bytes, std::uint32_t newest, Command& command) {
  StackArena arena;
  auto* in = arena.Make<v1::Command>();
  if (!FitsInt(bytes) || !in->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("these bytes are no command");
  }
  // First the version: a newer command explains itself by it, not by its unknown fields.
  if (in->machine_version() > newest) return TooNew("the command", in->machine_version(), newest);
  if (in->machine_version() == 0) {
    return absl::InvalidArgumentError("the command names no machine version");
  }
  if (HasUnknown(*in) || !ReadOperation(*in, command.operation)) {
    return absl::InvalidArgumentError(
        "the command has no operation, or a field that this version does not know");
  }
  command.machine_version = in->machine_version();
  command.session = in->session();
  command.key = {in->key_high(), in->key_low()};
  command.sequence = in->sequence();
  command.acknowledged_through = in->acknowledged_through();
  command.acknowledged.assign(in->acknowledged().begin(), in->acknowledged().end());
  command.events_seen_through = in->events_seen_through();
  return absl::OkStatus();
}

constexpr std::uint32_t kLengthDelimited = 2;
constexpr std::uint32_t kPayloadCommandTag =
    v1::CommandsPayload::kCommandsFieldNumber << 3 | kLengthDelimited;

// Hands out each command's bytes in place. False if `bytes` are not a CommandsPayload and nothing
// else.
template <typename Visit>
bool ForEachCommand(absl::string_view bytes, Visit visit) {
  if (!FitsInt(bytes)) return false;
  const int size = static_cast<int>(bytes.size());
  pb::io::CodedInputStream stream(reinterpret_cast<const std::uint8_t*>(bytes.data()), size);
  while (stream.CurrentPosition() < size) {
    std::uint32_t length = 0;
    if (stream.ReadTag() != kPayloadCommandTag || !stream.ReadVarint32(&length)) return false;
    const int start = stream.CurrentPosition();
    if (length > static_cast<std::uint32_t>(size - start)) return false;
    if (!visit(bytes.substr(static_cast<std::size_t>(start), length))) return false;
    if (!stream.Skip(static_cast<int>(length))) return false;
  }
  return true;
}

}  // namespace

std::string EncodeCommand(const Command& command) {
  StackArena arena;
  auto* out = arena.Make<v1::Command>();
  out->set_machine_version(command.machine_version);
  out->set_session(command.session);
  out->set_key_high(command.key.high);
  out->set_key_low(command.key.low);
  out->set_sequence(command.sequence);
  out->set_acknowledged_through(command.acknowledged_through);
  out->mutable_acknowledged()->Add(command.acknowledged.begin(), command.acknowledged.end());
  out->set_events_seen_through(command.events_seen_through);
  std::visit(OperationWriter{*out}, command.operation);
  return out->SerializeAsString();
}

absl::StatusOr<Command> DecodeCommand(absl::string_view bytes, std::uint32_t newest) {
  absl::StatusOr<Command> command(absl::in_place);
  if (absl::Status status = Decode(bytes, newest, *command); !status.ok()) return status;
  return command;
}

std::string EncodePayload(absl::Span<const absl::string_view> commands) {
  std::size_t size = 0;
  for (const absl::string_view command : commands) size += command.size() + 6;
  std::string payload;
  payload.reserve(size);
  std::uint8_t head[10];
  for (const absl::string_view command : commands) {
    std::uint8_t* end = pb::io::CodedOutputStream::WriteTagToArray(kPayloadCommandTag, head);
    end = pb::io::CodedOutputStream::WriteVarint32ToArray(
        static_cast<std::uint32_t>(command.size()), end);
    payload.append(reinterpret_cast<const char*>(head), static_cast<std::size_t>(end - head));
    payload.append(command.data(), command.size());
  }
  return payload;
}

absl::StatusOr<std::vector<Command>> DecodePayload(absl::string_view bytes, std::uint32_t newest) {
  std::size_t count = 0;
  const bool whole = ForEachCommand(bytes, [&count](absl::string_view) {
    ++count;
    return true;
  });
  if (!whole) return absl::InvalidArgumentError("the entry's payload is malformed");
  std::vector<Command> commands;
  commands.reserve(count);
  absl::Status status;
  ForEachCommand(bytes, [&](absl::string_view command) {
    status = Decode(command, newest, commands.emplace_back());
    if (status.ok() && !IsWrite(commands.back().operation)) {
      status = absl::InvalidArgumentError("a read stands in the log");
    }
    return status.ok();
  });
  if (!status.ok()) {
    return absl::Status(status.code(), absl::StrCat("command ", commands.size(), " of ", count,
                                                    " in the entry: ", status.message()));
  }
  return commands;
}

// ---- Genesis
// -------------------------------------------------------------------------------------

std::string EncodeGenesis(const Genesis& genesis) {
  v1::Genesis out;
  out.set_machine_version(genesis.machine_version);
  out.set_first_revision(genesis.first_revision);
  out.set_grants_from_ns(genesis.grants_from_ns);
  WriteLimits(genesis.limits, out.mutable_limits());
  return out.SerializeAsString();
}

absl::StatusOr<Genesis> DecodeGenesis(absl::string_view bytes, std::uint32_t newest) {
  v1::Genesis in;
  if (!FitsInt(bytes) || !in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !in.has_limits()) {
    return absl::InvalidArgumentError("these bytes are no genesis");
  }
  if (in.machine_version() > newest) return TooNew("the genesis", in.machine_version(), newest);
  if (HasUnknown(in) || HasUnknown(in.limits())) {
    return absl::InvalidArgumentError("the genesis has a field that this version does not know");
  }
  Genesis genesis;
  genesis.machine_version = in.machine_version();
  genesis.first_revision = in.first_revision();
  genesis.grants_from_ns = in.grants_from_ns();
  genesis.limits = ReadLimits(in.limits());
  return genesis;
}

// ---- Versions
// ------------------------------------------------------------------------------------

std::string EncodeVersionRaise(std::uint32_t version) {
  v1::VersionRaise out;
  out.set_machine_version(version);
  return out.SerializeAsString();
}

absl::StatusOr<std::uint32_t> DecodeVersionRaise(absl::string_view bytes, std::uint32_t newest) {
  v1::VersionRaise in;
  if (!FitsInt(bytes) || !in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      in.machine_version() == 0) {
    return absl::InvalidArgumentError("these bytes raise no version");
  }
  if (in.machine_version() > newest) return TooNew("the cluster", in.machine_version(), newest);
  if (HasUnknown(in)) {
    return absl::InvalidArgumentError("the raise has a field that this version does not know");
  }
  return in.machine_version();
}

}  // namespace tenure::machine
