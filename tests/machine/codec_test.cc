// The codec: every alternative there and back, nothing unknown let in, garbage harmless.
#include "machine/codec.h"

#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/unknown_field_set.h"
#include "gtest/gtest.h"
#include "tenure/v1/command.pb.h"
#include "tenure/v1/log.pb.h"

namespace tenure::machine {
namespace {

constexpr std::uint64_t kBig = std::numeric_limits<std::uint64_t>::max();

std::vector<Command> AllCommands() {
  std::vector<Command> commands;
  const std::vector<Operation> operations = {
      OpenSession{10, "host:1"},
      RenewSession{kBig},
      CloseSession{},
      AcquireLock{std::string("a\0\xff", 3), kWaitForever, "value"},
      AcquireLock{"b", -1, ""},
      CancelWait{7},
      ReleaseLock{"a", 1ull << 52},
      AcquireLock{"s", 1, "v", LockMode::kPermits, 2, 3, 4, "owner", true},
      AcquireAll{{{"a", LockMode::kShared}, {"b"}}, 5, "v", "owner"},
      AcquireAll{{{"a"}}, 5, "v", "owner", true, 6},
      Downgrade{"d", 5},
      BreakLock{ObjectKind::kOperation, "s", "k", 6, "stuck"},
      Campaign{"e", kWaitForever, "address", 7},
      Proclaim{"e", 3, "other"},
      Resign{"e", 4},
      HandOver{"e", 5, 6, 7},
      Observe{ObjectKind::kElection, "e", 8},
      Begin{"s", "k", "print", 3, 4, 5},
      Begin{"s", "k", "print", 3, 4, 5, "lock", "value"},
      Checkpoint{"s", "k", 6, "point"},
      Extend{"s", "k", 7, 8},
      FinishAttempt{"s", "k", 9, Outcome::kAbandoned, "response"},
      AwaitOperation{"s", "k", 10},
      Forget{"s", "k"},
      GetOperation{"s", "k"},
      ListOperations{"s", "k", 11},
      GetElection{"e", 9},
      ListElections{"f", 10},
      GetLock{"a"},
      ListLocks{"b", 5},
      ListSessions{9, 6},
      GetStatus{},
      ChangeMembers{MemberAction::kTransfer, "n4", "h:4"},
  };
  for (const Operation& operation : operations) {
    Command command;
    command.session = 12;
    command.key = {kBig, 3};
    command.sequence = 44;
    command.acknowledged_through = 40;
    command.acknowledged = {43, 42};
    command.events_seen_through = 99;
    command.operation = operation;
    commands.push_back(command);
  }
  return commands;
}

std::vector<Reply> AllReplies() {
  const LockHolder holder{1, 2, "label", "value", 3, "owner", 4};
  const BreakRecord broken{1, 2, 3, "label", "by", 4};
  const LockDescription lock{
      "name", holder,
      2,      {{4, "w", 5, LockMode::kPermits, 3, "o"}, {6, "x", 7, LockMode::kShared}},
      8,      {holder},
      9,      10,
      11,     broken};
  ClusterStatus status;
  status.cluster = {1, 2};
  status.answered_by = {"n1", 3};
  status.leader = {"n2", 4};
  status.term = 5;
  status.revision = 6;
  status.commit = 7;
  status.applied = 8;
  status.log_bytes = 9;
  status.cluster_time_ns = 10;
  status.held_back_ns = 11;
  status.sessions = 12;
  status.locks = 13;
  status.state_hash = kBig;
  status.machine_version = 14;
  status.newest_machine_version = 15;
  status.may_stop_one = true;
  status.message = "all is well";
  status.members = {{{"n1", 3}, "127.0.0.1:7401", "leader", true, 8}};
  std::vector<Reply> replies;
  const auto add = [&replies](auto result) {
    Reply& reply = replies.emplace_back();
    reply.revision = 77;
    reply.result = result;
  };
  add(SessionOpened{1, 2});
  add(SessionRenewed{3, 4});
  add(SessionClosed{});
  add(LockGranted{5});
  add(LockGranted{5, 4, 3});
  add(LockGranted{5, 0, 0, 2});
  add(LockGranted{5, 4, 0, 1, {4, 0}});
  add(LockBroken{});
  add(Deadlock{{{5, "me", "a"}, {6, std::string("\0", 1), "b"}}});
  add(LockQueued{6, holder, 7});
  add(LockHeld{holder, 8, 9});
  add(LockReleased{});
  add(LockReleased{2});
  add(WaitCancelled{});
  const Change change{1, ChangeKind::kLost, 2, 3, "label", "value", 4};
  add(Proclaimed{});
  add(Observing{});
  add(Observed{holder, {change, change}, true});
  const ElectionDescription election{"e",      holder, 3,     {{4, 5, "l", "v", 6, 7}},
                                     {change}, true,   broken};
  add(election);
  add(ElectionList{{election}, true});
  add(AttemptStarted{1, "point", 2});
  add(AttemptInProgress{holder, 3, 4, 5});
  add(OperationDone{true, "response", 6});
  add(AttemptExtended{7});
  add(AttemptFinished{});
  add(OperationForgotten{});
  const OperationDescription operation{
      "s", "k", OperationState::kFailed, holder, 1, 2, 3, 4, "f", "p", "r", "x", broken};
  add(operation);
  add(OperationList{{operation}, true});
  add(lock);
  add(LockList{{lock, lock}, true});
  add(SessionList{{{1, "l", 2, 3, 4, 5}}, true});
  add(status);
  replies.push_back({ReplyCode::kNotHeld, "not yours", 78, {}});
  return replies;
}

std::vector<SessionEvent> AllEvents() {
  return {{1, 2, LockGrantedEvent{3, "a", 4, 5, 6, {5, 0}}},
          {1, 2, LockLostEvent{3, "a", 4, "broken by b"}},
          {5, 6, WaitEndedEvent{7, "b", WaitEnd::kDeadline}},
          {1, 2, ChangedEvent{3, "e", true, {4, ChangeKind::kValue, 5, 6, "l", "v"}}},
          {1, 2, AttemptStartedEvent{3, "s", "k", 4, "point", 5}},
          {1, 2, OperationEndedEvent{3, "s", "k"}},
          {8, 9, SessionEndedEvent{SessionEnd::kUnknown}}};
}

TEST(CodecTest, CommandsComeBack) {
  std::size_t alternatives = 0;
  for (const Command& command : AllCommands()) {
    const std::string bytes = EncodeCommand(command);
    const absl::StatusOr<Command> back = DecodeCommand(bytes);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(EncodeCommand(*back), bytes);
    EXPECT_EQ(back->operation.index(), command.operation.index());
    EXPECT_EQ(back->key, command.key);
    EXPECT_EQ(back->session, 12u);
    EXPECT_EQ(back->sequence, 44u);
    EXPECT_EQ(back->acknowledged_through, 40u);
    EXPECT_EQ(back->acknowledged, command.acknowledged);
    EXPECT_EQ(back->events_seen_through, 99u);
    alternatives = std::max(alternatives, command.operation.index() + 1);
  }
  EXPECT_EQ(alternatives, std::variant_size_v<Operation::variant>);
  const auto acquire =
      std::get<AcquireLock>(DecodeCommand(EncodeCommand(AllCommands()[3]))->operation);
  EXPECT_EQ(acquire.name, std::string("a\0\xff", 3));
  EXPECT_EQ(acquire.wait_ns, kWaitForever);
  EXPECT_EQ(acquire.value, "value");
}

TEST(CodecTest, RepliesComeBack) {
  std::set<std::size_t> alternatives;
  for (const Reply& reply : AllReplies()) {
    const std::string bytes = EncodeReply(reply);
    const absl::StatusOr<Reply> back = DecodeReply(bytes);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(EncodeReply(*back), bytes);
    EXPECT_EQ(back->code, reply.code);
    EXPECT_EQ(back->message, reply.message);
    EXPECT_EQ(back->revision, reply.revision);
    EXPECT_EQ(back->result.index(), reply.result.index());
    alternatives.insert(reply.result.index());
  }
  EXPECT_EQ(alternatives.size(), std::variant_size_v<ReplyResult::variant>);
  for (const Reply& reply : AllReplies()) {
    const Reply back = *DecodeReply(EncodeReply(reply));
    if (const auto* list = std::get_if<LockList>(&reply.result)) {
      EXPECT_EQ(std::get<LockList>(back.result).locks, list->locks);
    }
    if (const auto* list = std::get_if<ElectionList>(&reply.result)) {
      EXPECT_EQ(std::get<ElectionList>(back.result).elections, list->elections);
    }
    if (const auto* list = std::get_if<OperationList>(&reply.result)) {
      EXPECT_EQ(std::get<OperationList>(back.result).operations, list->operations);
    }
    if (const auto* observed = std::get_if<Observed>(&reply.result)) {
      EXPECT_EQ(std::get<Observed>(back.result).changes, observed->changes);
    }
  }
  const auto status = std::get<ClusterStatus>(
      DecodeReply(EncodeReply((AllReplies()[AllReplies().size() - 2])))->result);
  EXPECT_EQ(status.leader, (MemberId{"n2", 4}));
  EXPECT_EQ(status.members.at(0).address, "127.0.0.1:7401");
  EXPECT_EQ(status.state_hash, kBig);
}

TEST(CodecTest, AProgramReadsNothingOfALaterVersion) {
  Genesis genesis;
  genesis.machine_version = 7;
  EXPECT_TRUE(DecodeGenesis(EncodeGenesis(genesis), 7).ok());
  EXPECT_EQ(DecodeGenesis(EncodeGenesis(genesis), 6).status().code(),
            absl::StatusCode::kUnimplemented);
  Command command = AllCommands().front();
  command.machine_version = 7;
  EXPECT_TRUE(DecodeCommand(EncodeCommand(command), 7).ok());
  EXPECT_EQ(DecodeCommand(EncodeCommand(command), 6).status().code(),
            absl::StatusCode::kUnimplemented);
}

TEST(CodecTest, ARaiseOfTheVersionComesBack) {
  const std::string bytes = EncodeVersionRaise(7);
  EXPECT_EQ(*DecodeVersionRaise(bytes, 7), 7u);
  EXPECT_EQ(DecodeVersionRaise(bytes, 6).status().code(), absl::StatusCode::kUnimplemented);
  for (const std::string& wrong :
       {EncodeVersionRaise(0), std::string(), std::string("garbage"), bytes + "\x78\x01"}) {
    EXPECT_EQ(DecodeVersionRaise(wrong, 7).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(CodecTest, EventsComeBack) {
  for (const SessionEvent& event : AllEvents()) {
    const std::string bytes = EncodeEvent(event);
    const absl::StatusOr<SessionEvent> back = DecodeEvent(bytes);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(EncodeEvent(*back), bytes);
    EXPECT_EQ(back->session, event.session);
    EXPECT_EQ(back->revision, event.revision);
    EXPECT_EQ(back->body.index(), event.body.index());
  }
}

TEST(CodecTest, GenesisComesBack) {
  Genesis genesis;
  genesis.first_revision = 1ull << 50;
  genesis.grants_from_ns = 61;
  genesis.limits = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21};
  const absl::StatusOr<Genesis> back = DecodeGenesis(EncodeGenesis(genesis));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->limits, genesis.limits);
  EXPECT_EQ(back->first_revision, genesis.first_revision);
  EXPECT_EQ(back->grants_from_ns, genesis.grants_from_ns);
  EXPECT_EQ(back->machine_version, genesis.machine_version);
  genesis.machine_version = kMachineVersion + 1;
  EXPECT_EQ(DecodeGenesis(EncodeGenesis(genesis)).status().code(),
            absl::StatusCode::kUnimplemented);
  EXPECT_FALSE(DecodeGenesis("").ok());
  EXPECT_FALSE(DecodeGenesis("\xff").ok());
}

// A genesis from before a limit existed has its default.
TEST(CodecTest, LimitsThatAnOlderGenesisDoesNotHaveAreTheDefaults) {
  v1::Genesis old;
  ASSERT_TRUE(old.ParseFromString(EncodeGenesis({})));
  const auto* limits = v1::Limits::descriptor();
  int optional = 0;
  for (int i = 0; i < limits->field_count(); ++i) {
    if (!limits->field(i)->has_presence()) continue;
    old.mutable_limits()->GetReflection()->ClearField(old.mutable_limits(), limits->field(i));
    ++optional;
  }
  EXPECT_GE(optional, 3);
  EXPECT_EQ(DecodeGenesis(old.SerializeAsString())->limits, Limits{});
}

TEST(CodecTest, APayloadIsTheCommandsOwnBytes) {
  std::vector<std::string> encoded;
  for (const Command& command : AllCommands()) {
    if (IsWrite(command.operation)) encoded.push_back(EncodeCommand(command));
  }
  // Not the canonical form: a client in another language may order its fields otherwise.
  encoded.push_back(encoded[0].substr(2) + encoded[0].substr(0, 2));
  const std::vector<absl::string_view> views(encoded.begin(), encoded.end());
  const std::string payload = EncodePayload(views);
  v1::CommandsPayload parsed;
  ASSERT_TRUE(parsed.ParseFromString(payload));
  ASSERT_EQ(static_cast<std::size_t>(parsed.commands_size()), encoded.size());
  for (int i = 0; i < parsed.commands_size(); ++i) EXPECT_EQ(parsed.commands(i), encoded[i]);
  const absl::StatusOr<std::vector<Command>> back = DecodePayload(payload);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->size(), encoded.size());
  EXPECT_EQ(EncodeCommand(back->back()), encoded[0]);
  ASSERT_TRUE(DecodePayload("").ok());
  EXPECT_TRUE(DecodePayload("")->empty());
}

TEST(CodecTest, AReadInTheLogIsAnError) {
  for (const Command& command : AllCommands()) {
    const std::string bytes = EncodeCommand(command);
    EXPECT_EQ(DecodePayload(EncodePayload({bytes})).ok(), IsWrite(command.operation));
  }
}

TEST(CodecTest, T9_UnknownFieldsInACommandAreRefused) {
  for (const Command& command : AllCommands()) {
    v1::Command message;
    ASSERT_TRUE(message.ParseFromString(EncodeCommand(command)));
    v1::Command outer = message;
    outer.GetReflection()->MutableUnknownFields(&outer)->AddVarint(2000, 1);
    EXPECT_EQ(DecodeCommand(outer.SerializeAsString()).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_FALSE(DecodePayload(EncodePayload({outer.SerializeAsString()})).ok());

    const auto* reflection = message.GetReflection();
    const auto* field = reflection->GetOneofFieldDescriptor(
        message, message.GetDescriptor()->FindOneofByName("operation"));
    google::protobuf::Message* inner = reflection->MutableMessage(&message, field);
    inner->GetReflection()->MutableUnknownFields(inner)->AddLengthDelimited(9, "new");
    EXPECT_EQ(DecodeCommand(message.SerializeAsString()).status().code(),
              absl::StatusCode::kInvalidArgument)
        << field->name();
  }
  // A known number with another wire type is as unknown.
  v1::Command message;
  message.set_machine_version(1);
  message.mutable_close_session();
  message.GetReflection()->MutableUnknownFields(&message)->AddFixed32(5, 1);
  EXPECT_FALSE(DecodeCommand(message.SerializeAsString()).ok());
}

// The codec looks for unknown fields in a command and in its alternative, not deeper.
TEST(CodecTest, KnowsEveryMessageInsideACommand) {
  const google::protobuf::Descriptor* command = v1::Command::descriptor();
  for (int i = 0; i < command->field_count(); ++i) {
    const google::protobuf::Descriptor* inner = command->field(i)->message_type();
    if (inner == nullptr) continue;
    EXPECT_EQ(command->field(i)->containing_oneof(), command->FindOneofByName("operation"));
    for (int j = 0; j < inner->field_count(); ++j) {
      EXPECT_EQ(inner->field(j)->message_type(), nullptr)
          << inner->field(j)->full_name() << ": teach codec.cc to look inside";
    }
  }
}

TEST(CodecTest, NewerCommandsAreToldApartFromGarbage) {
  v1::Command message;
  message.set_machine_version(kMachineVersion + 1);
  message.GetReflection()->MutableUnknownFields(&message)->AddLengthDelimited(22, "");
  EXPECT_EQ(DecodeCommand(message.SerializeAsString()).status().code(),
            absl::StatusCode::kUnimplemented);
  message.set_machine_version(0);
  EXPECT_EQ(DecodeCommand(message.SerializeAsString()).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DecodeCommand("").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CodecTest, RepliesThatSayNothingAreRefused) {
  EXPECT_FALSE(DecodeReply("").ok());
  EXPECT_FALSE(DecodeEvent("").ok());
  v1::Reply reply;
  reply.set_code(1000);
  EXPECT_FALSE(DecodeReply(reply.SerializeAsString()).ok());
}

TEST(CodecTest, X2_ALengthBeyondThePayloadIsRefusedBeforeAnythingIsAllocated) {
  EXPECT_FALSE(DecodePayload(std::string("\x0a\xff\xff\xff\xff\x03", 6)).ok());
  EXPECT_FALSE(DecodePayload(std::string("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10)).ok());
  EXPECT_FALSE(DecodePayload(std::string("\x0a\x05", 2) + "abc").ok());
  EXPECT_FALSE(DecodePayload(std::string("\x0a", 1)).ok());
  EXPECT_FALSE(DecodePayload(std::string("\x00", 1)).ok());
  EXPECT_FALSE(DecodePayload(std::string("\x12\x00", 2)).ok());
}

TEST(CodecTest, GarbageNeverCrashes) {
  std::vector<std::string> corpus;
  std::vector<absl::string_view> views;
  for (const Command& command : AllCommands()) corpus.push_back(EncodeCommand(command));
  for (const std::string& bytes : corpus) views.push_back(bytes);
  corpus.push_back(EncodePayload(views));
  for (const Reply& reply : AllReplies()) corpus.push_back(EncodeReply(reply));
  for (const SessionEvent& event : AllEvents()) corpus.push_back(EncodeEvent(event));
  corpus.push_back(EncodeGenesis({}));
  const auto decode = [](const std::string& bytes) {
    int understood = 0;
    if (const auto command = DecodeCommand(bytes); command.ok()) {
      // What was understood can be said again.
      EXPECT_TRUE(DecodeCommand(EncodeCommand(*command)).ok());
      ++understood;
    }
    understood += DecodePayload(bytes).ok();
    understood += DecodeReply(bytes).ok();
    understood += DecodeEvent(bytes).ok();
    understood += DecodeGenesis(bytes).ok();
    return understood;
  };
  for (const std::string& bytes : corpus) {
    for (std::size_t n = 0; n < bytes.size(); ++n) decode(bytes.substr(0, n));
  }
  std::mt19937 random(20260101);
  int understood = 0;
  for (int i = 0; i < 60'000; ++i) {
    std::string bytes = corpus[random() % corpus.size()];
    for (std::uint32_t n = 1 + random() % 4; n > 0; --n) {
      const std::size_t at = random() % (bytes.size() + 1);
      switch (random() % 4) {
        case 0:
          if (at < bytes.size()) bytes[at] = static_cast<char>(random());
          break;
        case 1:
          if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
          break;
        case 2:
          bytes.insert(at, 1, static_cast<char>(random()));
          break;
        default:
          bytes.erase(at, random() % 8);
      }
    }
    understood += decode(bytes) > 0;
  }
  EXPECT_GT(understood, 1000) << "the mutations are too coarse to test anything";
}

}  // namespace
}  // namespace tenure::machine
