// The replicated backend against scripted members, on virtual time.
#include "backends/replicated.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "machine/codec.h"
#include "tenure/errors.h"
#include "tenure/testing/world.h"
#include "transport/link.h"

namespace tenure::backends {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A connection as the test sees it: what was sent on it, and a way to answer.
struct FakeLink final : Link {
  FakeLink(std::string to, LinkSink* its_sink, std::vector<FakeLink*>* all)
      : address(std::move(to)), sink(its_sink), links(all) {
    links->push_back(this);
  }
  ~FakeLink() override { std::erase(*links, this); }
  void Send(std::vector<ClientRequest> requests) override {
    ++sends;
    for (ClientRequest& each : requests) sent.push_back(std::move(each));
  }

  const std::string address;
  LinkSink* const sink;
  std::vector<FakeLink*>* const links;
  std::vector<ClientRequest> sent;
  std::size_t sends = 0;  // of how many requests each
};

class ReplicatedTest : public ::testing::Test {
 protected:
  ReplicatedTest() { MakeBackend({}); }
  ~ReplicatedTest() override {
    backend_ = nullptr;
    world_.RunFor(absl::Seconds(1));
    EXPECT_TRUE(links_.empty()) << "a link outlived its backend";
  }

  void MakeBackend(ReplicatedOptions options) {
    options.endpoints = {"a:1", "b:1", "c:1"};
    options.linger = absl::ZeroDuration();
    backend_ = NewReplicatedBackend(
        std::shared_ptr<Loop>(std::shared_ptr<void>(), &node_.loop()),
        [this](const std::string& address, LinkSink* sink) {
          return std::make_unique<FakeLink>(address, sink, &links_);
        },
        options);
  }

  // A call whose outcome lands in `*outcome`.
  void Call(Operation operation, std::optional<absl::StatusOr<Reply>>* outcome,
            CallOptions options = {}) {
    Command command;
    command.operation = std::move(operation);
    backend_->Call(std::move(command), options,
                   [outcome](absl::StatusOr<Reply> reply) { *outcome = std::move(reply); });
    Settle();
  }

  void Settle() { world_.RunFor(absl::Milliseconds(1)); }

  FakeLink* OnlyLink() {
    EXPECT_EQ(links_.size(), 1u);
    return links_.empty() ? nullptr : links_.back();
  }

  // Waits for a link to `address` and takes it as connected.
  FakeLink* AwaitConnected(const std::string& address, const std::string& leader = "") {
    EXPECT_TRUE(world_.RunUntil(
        [&] { return !links_.empty() && links_.back()->address == address; }, absl::Seconds(5)))
        << "nobody connects to " << address;
    FakeLink* const link = links_.back();
    OnLoop([&] { link->sink->OnConnected(leader); });
    return link;
  }

  void OnLoop(absl::AnyInvocable<void() &&> work) {
    node_.loop().Post(std::move(work));
    Settle();
  }

  void Answer(FakeLink* link, const ClientRequest& request, Revision revision) {
    Reply reply;
    reply.revision = revision;
    reply.result = LockGranted{.token = revision};
    Send(link, {.replies = {{.id = request.id, .reply = machine::EncodeReply(reply)}}});
  }
  void Refuse(FakeLink* link, const ClientRequest& request, Refusal refusal,
              const std::string& leader = "") {
    Send(link, {.replies = {{.id = request.id,
                             .refusal = refusal,
                             .message = "because",
                             .leader_address = leader}}});
  }
  void Send(FakeLink* link, ServerMessage message) {
    LinkSink* const sink = link->sink;
    OnLoop([sink, message = std::move(message)]() mutable { sink->OnMessage(std::move(message)); });
  }

  testing::World world_{1};
  testing::VirtualNode& node_ = world_.AddNode("client");
  std::vector<FakeLink*> links_;
  std::shared_ptr<Backend> backend_;
};

struct RecordingSink final : EventSink {
  void OnEvent(SessionEvent event) override { revisions.push_back(event.revision); }
  std::vector<Revision> revisions;
};

std::string Event(SessionId session, Revision revision) {
  return machine::EncodeEvent({.session = session,
                               .revision = revision,
                               .body = WaitEndedEvent{.acquire = 1, .name = "x"}});
}

TEST_F(ReplicatedTest, FollowsTheHintToTheLeader) {
  std::optional<absl::StatusOr<Reply>> outcome;
  Call(AcquireLock{.name = "x"}, &outcome);
  FakeLink* const follower = AwaitConnected("a:1");
  ASSERT_EQ(follower->sent.size(), 1u);
  Refuse(follower, follower->sent[0], Refusal::kNotLeader, "leader:9");
  FakeLink* const leader = AwaitConnected("leader:9");
  ASSERT_EQ(leader->sent.size(), 1u);
  Answer(leader, leader->sent[0], 7);
  ASSERT_TRUE(outcome.has_value());
  ASSERT_TRUE(outcome->ok()) << outcome->status();
  EXPECT_EQ((*outcome)->revision, 7u);
}

TEST_F(ReplicatedTest, KeepsLookingWhileNobodyLeads) {
  std::optional<absl::StatusOr<Reply>> outcome;
  Call(AcquireLock{.name = "x"}, &outcome);
  for (const char* address : {"a:1", "b:1", "c:1", "a:1"}) {
    FakeLink* const link = AwaitConnected(address);
    ASSERT_EQ(link->sent.size(), 1u);
    Refuse(link, link->sent[0], Refusal::kNotLeader);
  }
  FakeLink* const link = AwaitConnected("b:1");
  Answer(link, link->sent[0], 1);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_TRUE(outcome->ok());
}

// Whoever gives up is told what the last member said, and once who it was.
TEST_F(ReplicatedTest, TellsWhyNobodyLeads) {
  std::optional<absl::StatusOr<Reply>> outcome;
  Call(GetLock{.name = "x"}, &outcome, {.timeout = absl::Milliseconds(100)});
  FakeLink* const link = AwaitConnected("a:1");
  Refuse(link, link->sent[0], Refusal::kNotLeader);
  ASSERT_TRUE(world_.RunUntil([&] { return outcome.has_value(); }, absl::Seconds(1)));
  EXPECT_EQ(outcome->status().message(),
            "no leader answered in time, nothing happened: a:1: because");

  std::optional<absl::StatusOr<Reply>> later;
  Call(GetLock{.name = "x"}, &later, {.timeout = absl::Milliseconds(100)});
  LinkSink* const sink = AwaitConnected("b:1")->sink;
  OnLoop([sink] { sink->OnClosed(absl::UnavailableError("b:1: gone")); });
  ASSERT_TRUE(world_.RunUntil([&] { return later.has_value(); }, absl::Seconds(1)));
  EXPECT_EQ(later->status().message(), "no leader answered in time, nothing happened: b:1: gone");
}

TEST_F(ReplicatedTest, SendsAgainWhatMayBeSentAgainAfterALostConnection) {
  std::optional<absl::StatusOr<Reply>> acquire, renew;
  Call(AcquireLock{.name = "x"}, &acquire);
  Call(RenewSession{.attempt = 1}, &renew, {.retry = false});
  FakeLink* const first = AwaitConnected("a:1");
  ASSERT_EQ(first->sent.size(), 2u);
  const std::string bytes = first->sent[0].command;
  LinkSink* const sink = first->sink;
  OnLoop([sink] { sink->OnClosed(absl::UnavailableError("gone")); });
  ASSERT_TRUE(renew.has_value()) << "an attempt's answer must be that of one sending";
  EXPECT_EQ(renew->status().code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(KindOf(renew->status()), ErrorKind::kUncertain);
  FakeLink* const second = AwaitConnected("b:1");
  ASSERT_EQ(second->sent.size(), 1u);
  EXPECT_EQ(second->sent[0].command, bytes) << "a retry is the same command, to the byte";
  Answer(second, second->sent[0], 3);
  ASSERT_TRUE(acquire.has_value());
  EXPECT_TRUE(acquire->ok());
}

// Whoever asked first stands first in the queue, also when the leader changes meanwhile: the slots
// of earlier calls are used again in another order.
// A member works on the first part of what a long turn asks while the turn goes on.
TEST_F(ReplicatedTest, ALongTurnIsSentInParts) {
  constexpr std::size_t kCalls = 1000;
  std::optional<absl::StatusOr<Reply>> first;
  Call(AcquireLock{.name = "x"}, &first);
  FakeLink* const link = AwaitConnected("a:1");
  Answer(link, link->sent[0], 1);
  link->sent.clear();
  link->sends = 0;
  OnLoop([&] {
    for (std::size_t i = 0; i < kCalls; ++i) {
      Command command;
      command.sequence = i + 1;
      command.operation = AcquireLock{.name = "x"};
      backend_->Call(std::move(command), {}, [](const absl::StatusOr<Reply>&) {});
    }
  });
  ASSERT_EQ(link->sent.size(), kCalls);
  EXPECT_GE(link->sends, 3u);
  EXPECT_LE(link->sends, 8u) << "parts, not single requests";
  for (std::size_t i = 0; i < kCalls; ++i) {
    const absl::StatusOr<Command> command = machine::DecodeCommand(link->sent[i].command);
    ASSERT_TRUE(command.ok()) << command.status();
    ASSERT_EQ(command->sequence, i + 1);
  }
}

TEST_F(ReplicatedTest, WhatIsSentAgainKeepsItsOrder) {
  std::vector<std::optional<absl::StatusOr<Reply>>> earlier(5);
  for (auto& outcome : earlier) Call(AcquireLock{.name = "x"}, &outcome);
  FakeLink* const first = AwaitConnected("a:1");
  ASSERT_EQ(first->sent.size(), earlier.size());
  for (const std::size_t i : {3, 0, 4, 1}) Answer(first, first->sent[i], 1);
  first->sent.clear();
  std::vector<std::optional<absl::StatusOr<Reply>>> later(6);
  std::vector<std::string> asked;
  for (std::size_t i = 0; i < later.size(); ++i) {
    Call(AcquireLock{.name = std::string(1, static_cast<char>('a' + i))}, &later[i]);
    asked.push_back(first->sent.back().command);
  }
  const auto commands = [](const FakeLink* link) {
    std::vector<std::string> all;
    for (const ClientRequest& request : link->sent) all.push_back(request.command);
    return all;
  };
  Answer(first, first->sent[2], 1);
  asked.erase(asked.begin() + 2);
  LinkSink* const sink = first->sink;
  OnLoop([sink] { sink->OnClosed(absl::UnavailableError("gone")); });
  FakeLink* const second = AwaitConnected("b:1");
  std::vector<std::string> again = commands(second);
  ASSERT_EQ(again.size(), asked.size() + 1);
  again.erase(again.begin());  // the one that was left of the earlier
  EXPECT_EQ(again, asked);
  // Likewise when the answers were put off.
  const std::vector<ClientRequest> sent = std::exchange(second->sent, {});
  ServerMessage put_off;
  for (std::size_t i = sent.size(); i-- > 0;) {
    put_off.replies.push_back({.id = sent[i].id, .refusal = Refusal::kUncertain});
  }
  Send(second, std::move(put_off));
  world_.RunFor(absl::Milliseconds(50));
  again = commands(second);
  ASSERT_EQ(again.size(), asked.size() + 1);
  again.erase(again.begin());
  EXPECT_EQ(again, asked);
  backend_->Shutdown();
  Settle();
}

TEST_F(ReplicatedTest, TimeOutIsRetrySafeIfNothingWasSentAndUncertainOtherwise) {
  std::optional<absl::StatusOr<Reply>> unsent;
  Call(AcquireLock{.name = "x"}, &unsent, {.timeout = absl::Milliseconds(100)});
  ASSERT_TRUE(world_.RunUntil([&] { return unsent.has_value(); }, absl::Seconds(1)));
  EXPECT_EQ(unsent->status().code(), absl::StatusCode::kUnavailable);

  std::optional<absl::StatusOr<Reply>> sent;
  AwaitConnected("a:1");
  Call(AcquireLock{.name = "x"}, &sent, {.timeout = absl::Milliseconds(100)});
  ASSERT_TRUE(world_.RunUntil([&] { return sent.has_value(); }, absl::Seconds(1)));
  EXPECT_EQ(sent->status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(KindOf(sent->status()), ErrorKind::kUncertain);

  // A read changes nothing; what changes the members does, although it is no entry of the log.
  std::optional<absl::StatusOr<Reply>> read, change;
  Call(GetLock{"x"}, &read, {.timeout = absl::Milliseconds(100)});
  Call(ChangeMembers{MemberAction::kRemove, "n2", ""}, &change,
       {.timeout = absl::Milliseconds(100)});
  ASSERT_TRUE(world_.RunUntil([&] { return read && change; }, absl::Seconds(1)));
  EXPECT_EQ(read->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(change->status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(change->status().message()), HasSubstr("a:1: it does not answer"));
}

TEST_F(ReplicatedTest, ALateAnswerMeetsNoLaterCall) {
  std::optional<absl::StatusOr<Reply>> first, second;
  Call(AcquireLock{.name = "x"}, &first, {.timeout = absl::Milliseconds(50)});
  FakeLink* const link = AwaitConnected("a:1");
  ASSERT_TRUE(world_.RunUntil([&] { return first.has_value(); }, absl::Seconds(1)));
  Call(AcquireLock{.name = "y"}, &second);
  ASSERT_EQ(link->sent.size(), 2u);
  Answer(link, link->sent[0], 1);
  EXPECT_FALSE(second.has_value());
  Answer(link, link->sent[1], 2);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ((*second)->revision, 2u);
}

TEST_F(ReplicatedTest, GivesUpASilentLeader) {
  std::optional<absl::StatusOr<Reply>> outcome;
  Call(AcquireLock{.name = "x"}, &outcome, {.timeout = absl::Seconds(10)});
  AwaitConnected("a:1");  // and then not a word: it is paused
  FakeLink* const next = AwaitConnected("b:1");
  ASSERT_EQ(next->sent.size(), 1u);
  Answer(next, next->sent[0], 5);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_TRUE(outcome->ok());
}

// A hint has led to `b`, which comes next in the list too. To try it again would take as long
// again, and cost a holder its lease.
TEST_F(ReplicatedTest, DoesNotReturnToASilentLeaderBeforeTheOthers) {
  std::optional<absl::StatusOr<Reply>> outcome;
  Call(AcquireLock{.name = "x"}, &outcome, {.timeout = absl::Seconds(10)});
  AwaitConnected("a:1", "b:1");
  AwaitConnected("b:1");  // and then not a word: it is paused
  ASSERT_TRUE(world_.RunUntil([&] { return !links_.empty() && links_.back()->address != "b:1"; },
                              absl::Seconds(5)));
  EXPECT_EQ(links_.back()->address, "c:1");
  FakeLink* const next = AwaitConnected("c:1");
  Answer(next, next->sent[0], 5);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_TRUE(outcome->ok());
}

TEST_F(ReplicatedTest, ListensAgainAfterAFailOverFromWhereItWas) {
  const auto sink = std::make_shared<RecordingSink>();
  backend_->Listen(4, 10, sink);
  Settle();
  FakeLink* const first = AwaitConnected("a:1");
  ASSERT_EQ(first->sent.size(), 1u);
  EXPECT_EQ(first->sent[0].kind, RequestKind::kListen);
  EXPECT_EQ(first->sent[0].after, 10u);
  Send(first, {.replies = {{.id = first->sent[0].id}},
               .events = {Event(4, 11), Event(4, 13), Event(5, 14)}});
  EXPECT_THAT(sink->revisions, ElementsAre(11, 13));
  LinkSink* const its_sink = first->sink;
  OnLoop([its_sink] { its_sink->OnClosed(absl::UnavailableError("gone")); });
  FakeLink* const second = AwaitConnected("b:1");
  ASSERT_EQ(second->sent.size(), 1u);
  EXPECT_EQ(second->sent[0].after, 13u);
  Send(second, {.events = {Event(4, 13), Event(4, 15)}});
  EXPECT_THAT(sink->revisions, ElementsAre(11, 13, 15)) << "an event is told once";
  backend_->Unlisten(4);
  Settle();
  Send(second, {.events = {Event(4, 16)}});
  EXPECT_THAT(sink->revisions, ElementsAre(11, 13, 15));
}

TEST_F(ReplicatedTest, RefusesPastItsLimitAndKeepsATenthForWhatFreesSomething) {
  MakeBackend({.calls_max = 10});
  std::vector<std::optional<absl::StatusOr<Reply>>> outcomes(14);
  for (int i = 0; i < 11; ++i) Call(AcquireLock{.name = "x"}, &outcomes[i]);
  EXPECT_FALSE(outcomes[9].has_value());
  ASSERT_TRUE(outcomes[10].has_value());
  EXPECT_EQ(outcomes[10]->status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(RetryAfter(outcomes[10]->status()), absl::ZeroDuration());
  Call(ReleaseLock{.name = "x", .token = 1}, &outcomes[11]);
  EXPECT_FALSE(outcomes[11].has_value());
  Call(ReleaseLock{.name = "x", .token = 1}, &outcomes[12]);
  ASSERT_TRUE(outcomes[12].has_value());
  EXPECT_EQ(outcomes[12]->status().code(), absl::StatusCode::kResourceExhausted);
  backend_->Shutdown();
  Settle();
}

// A new leader's refusal says nothing of what was sent to the one before: "nothing happened" would
// be untrue, and leave a ghost behind (PITFALLS L14; found by the simulator).
TEST_F(ReplicatedTest, ARefusalDoesNotResolveAnEarlierSending) {
  std::optional<absl::StatusOr<Reply>> insists, version, once;
  Call(AcquireLock{.name = "x"}, &insists, {.timeout = absl::Seconds(10)});
  Call(AcquireLock{.name = "y"}, &version, {.timeout = absl::Seconds(10)});
  FakeLink* const first = AwaitConnected("a:1");
  ASSERT_EQ(first->sent.size(), 2u);
  LinkSink* const its_sink = first->sink;
  OnLoop([its_sink] { its_sink->OnClosed(absl::UnavailableError("gone")); });
  FakeLink* const second = AwaitConnected("b:1");
  ASSERT_EQ(second->sent.size(), 2u);
  Call(AcquireLock{.name = "z"}, &once, {.timeout = absl::Seconds(10)});
  ASSERT_EQ(second->sent.size(), 3u);
  Refuse(second, second->sent[0], Refusal::kOverloaded);
  Refuse(second, second->sent[1], Refusal::kVersion);
  Refuse(second, second->sent[2], Refusal::kOverloaded);
  EXPECT_FALSE(insists.has_value());
  ASSERT_TRUE(version.has_value());
  EXPECT_EQ(KindOf(version->status()), ErrorKind::kUncertain);
  ASSERT_TRUE(once.has_value()) << "sent here alone, and refused";
  EXPECT_EQ(KindOf(once->status()), ErrorKind::kRetrySafe);
  ASSERT_TRUE(world_.RunUntil([&] { return second->sent.size() >= 4; }, absl::Seconds(1)));
  Answer(second, second->sent[3], 7);
  ASSERT_TRUE(insists.has_value());
  EXPECT_TRUE(insists->ok());
}

TEST_F(ReplicatedTest, InsistsOnReleasesWhenTheLeaderIsOverloaded) {
  std::optional<absl::StatusOr<Reply>> acquire, release;
  Call(AcquireLock{.name = "x"}, &acquire);
  Call(ReleaseLock{.name = "x", .token = 1}, &release);
  FakeLink* const link = AwaitConnected("a:1");
  ASSERT_EQ(link->sent.size(), 2u);
  Refuse(link, link->sent[0], Refusal::kOverloaded);
  Refuse(link, link->sent[1], Refusal::kOverloaded);
  ASSERT_TRUE(acquire.has_value());
  EXPECT_EQ(KindOf(acquire->status()), ErrorKind::kRetrySafe);
  EXPECT_FALSE(release.has_value());
  ASSERT_TRUE(world_.RunUntil([&] { return link->sent.size() == 3; }, absl::Seconds(1)));
  Answer(link, link->sent[2], 1);
  ASSERT_TRUE(release.has_value());
  EXPECT_TRUE(release->ok());
}

TEST_F(ReplicatedTest, ResolvesTheUncertainByAskingAgain) {
  std::optional<absl::StatusOr<Reply>> outcome;
  Call(AcquireLock{.name = "x"}, &outcome);
  FakeLink* const link = AwaitConnected("a:1");
  Refuse(link, link->sent[0], Refusal::kUncertain);
  ASSERT_TRUE(world_.RunUntil([&] { return link->sent.size() == 2; }, absl::Seconds(1)));
  Answer(link, link->sent[1], 9);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_TRUE(outcome->ok());
}

TEST_F(ReplicatedTest, PassesOnWhatNoRetryMends) {
  std::optional<absl::StatusOr<Reply>> invalid, version, garbage;
  Call(AcquireLock{.name = "x"}, &invalid);
  Call(AcquireLock{.name = "x"}, &version);
  Call(AcquireLock{.name = "x"}, &garbage);
  FakeLink* const link = AwaitConnected("a:1");
  Refuse(link, link->sent[0], Refusal::kInvalid);
  Refuse(link, link->sent[1], Refusal::kVersion);
  Send(link, {.replies = {{.id = link->sent[2].id, .reply = "\xff\xff"}}});
  ASSERT_TRUE(invalid.has_value() && version.has_value() && garbage.has_value());
  EXPECT_EQ(invalid->status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(invalid->status().message()), HasSubstr("because"));
  EXPECT_EQ(version->status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_FALSE(garbage->ok());
}

TEST_F(ReplicatedTest, AnyMemberAnswersForStatus) {
  std::optional<absl::StatusOr<Reply>> outcome;
  Call(GetStatus{}, &outcome);
  FakeLink* const link = AwaitConnected("a:1", "leader:9");
  ASSERT_EQ(link->sent.size(), 1u) << "it need not be the leader";
  EXPECT_EQ(link->sent[0].kind, RequestKind::kStatus);
  Answer(link, link->sent[0], 2);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_TRUE(outcome->ok());
}

TEST_F(ReplicatedTest, ShutdownAnswersEverybody) {
  std::optional<absl::StatusOr<Reply>> sent, read, after;
  Call(AcquireLock{.name = "x"}, &sent, {.timeout = absl::InfiniteDuration()});
  Call(GetLock{.name = "x"}, &read, {.timeout = absl::InfiniteDuration()});
  AwaitConnected("a:1");
  backend_->Shutdown();
  Settle();
  ASSERT_TRUE(sent.has_value());
  EXPECT_EQ(sent->status().code(), absl::StatusCode::kUnknown) << "it may have happened";
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(links_.empty());
  Call(AcquireLock{.name = "x"}, &after);
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(after->status().code(), absl::StatusCode::kCancelled);
}

TEST_F(ReplicatedTest, WhatWasNeverSentEndsAsCancelled) {
  std::optional<absl::StatusOr<Reply>> unsent;
  Call(AcquireLock{.name = "x"}, &unsent, {.timeout = absl::InfiniteDuration()});
  backend_->Shutdown();
  Settle();
  ASSERT_TRUE(unsent.has_value());
  EXPECT_EQ(unsent->status().code(), absl::StatusCode::kCancelled);
}

TEST_F(ReplicatedTest, ACallbackMayDropTheLastReference) {
  std::optional<absl::StatusOr<Reply>> other;
  Command command;
  command.operation = AcquireLock{.name = "x"};
  bool done = false;
  Backend* const backend = backend_.get();
  backend->Call(command, {}, [&, keep = std::move(backend_)](absl::StatusOr<Reply>) mutable {
    keep = nullptr;
    done = true;
  });
  Settle();
  FakeLink* const link = AwaitConnected("a:1");
  Answer(link, link->sent[0], 1);
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace tenure::backends
