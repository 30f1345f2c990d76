// What a member answers to whom: ports, connections, other members' processes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "machine/codec.h"
#include "tests/member/cluster.h"

namespace tenure::member {
namespace {

using testing::World;

TEST(Node, AConnectionToAFollowerIsToldWhoLeads) {
  World world(3);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  auto client = Caller::Connect(cluster, world.AddNode("client"), Other(cluster, leader));
  const ClientReply reply = client->Await(client->Write(Session{}.Open(absl::Seconds(10))));
  EXPECT_EQ(reply.refusal, Refusal::kNotLeader);
  EXPECT_EQ(reply.leader_address, cluster.address(leader));
}

TEST(Node, APortIntoAFollowerIsServedThroughIt) {
  World world(4);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  auto near = Caller::Port(cluster, Other(cluster, leader));
  auto there = Caller::Port(cluster, leader);
  Session a = OpenSessionOn(*there, absl::Seconds(30), 1);
  Session b = OpenSessionOn(*near, absl::Seconds(30), 2);
  const Reply granted = there->AwaitReply(there->Write(a.Acquire("x", absl::ZeroDuration())));
  ASSERT_NE(As<LockGranted>(granted), nullptr);
  EXPECT_EQ(near->Await(near->Listen(b.id)).refusal, Refusal::kNone);
  ASSERT_NE(As<LockQueued>(near->AwaitReply(near->Write(b.Acquire("x", absl::InfiniteDuration())))),
            nullptr);
  there->AwaitReply(there->Write(a.Release("x", As<LockGranted>(granted)->token)));
  ASSERT_TRUE(world.RunUntil([&] { return !near->events.empty(); }, absl::Seconds(1)));
  EXPECT_NE(std::get_if<LockGrantedEvent>(&near->events[0].body), nullptr);
}

TEST(Node, AForwardedRequestIsUncertainWhenTheLeaderIsGone) {
  World world(5);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  auto near = Caller::Port(cluster, Other(cluster, leader));
  Session b = OpenSessionOn(*near, absl::Seconds(30), 2);
  near->Await(near->Listen(b.id));
  cluster.machine(leader).Pause();
  const std::uint64_t write = near->Write(b.Acquire("x", absl::ZeroDuration()));
  const std::uint64_t read = near->Read(GetLock{"x"});
  EXPECT_EQ(near->Await(write).refusal, Refusal::kUncertain);
  EXPECT_EQ(near->Await(read).refusal, Refusal::kNotLeader);
  EXPECT_FALSE(near->notices.empty());  // who listens must look for the next leader
  cluster.machine(leader).Resume();
}

TEST(Node, GarbageIsRefusedAndNothingElseHappens) {
  World world(23);
  Cluster cluster(world);
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  auto port = Caller::Port(cluster, cluster.Leader());
  EXPECT_EQ(port->Await(port->Send({.command = "\x12\xff garbage"})).refusal, Refusal::kInvalid);
  Command read;
  read.operation = GetLock{"x"};
  EXPECT_EQ(port->Await(port->Send({.command = machine::EncodeCommand(read)})).refusal,
            Refusal::kInvalid);
  Command write = Session{}.Open(absl::Seconds(10));
  EXPECT_EQ(port->Await(port->Send(
                            {.kind = RequestKind::kRead, .command = machine::EncodeCommand(write)}))
                .refusal,
            Refusal::kInvalid);
  write.machine_version = kMachineVersion + 1;
  EXPECT_EQ(port->Await(port->Write(write)).refusal, Refusal::kVersion);
  EXPECT_EQ(port->Await(port->Send({.kind = static_cast<RequestKind>(77)})).refusal,
            Refusal::kInvalid);
  EXPECT_EQ(port->Await(port->Send({.kind = RequestKind::kListen})).refusal, Refusal::kInvalid);
  OpenSessionOn(*port, absl::Seconds(10), 1);
}

TEST(Node, PastTheLimitOnlyWhatKeepsOrFreesIsTaken) {
  World world(24);
  Cluster cluster(world);
  cluster.options().change = [](MemberOptions& options) { options.commands_pending_max = 100; };
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  auto port = Caller::Port(cluster, leader);
  Session session = OpenSessionOn(*port, absl::Seconds(30), 1);
  cluster.Isolate(leader, true);
  std::vector<std::uint64_t> acquires;
  for (int i = 0; i < 95; ++i)
    acquires.push_back(port->Write(session.Acquire("x", absl::ZeroDuration())));
  world.RunFor(absl::Milliseconds(20));
  std::vector<std::uint64_t> renewals;
  for (int i = 0; i < 12; ++i)
    renewals.push_back(port->Write(session.Renew(static_cast<std::uint64_t>(i))));
  world.RunFor(absl::Milliseconds(20));
  int refused = 0;
  for (const std::uint64_t id : acquires)
    refused += port->Has(id) && port->replies[id].refusal == Refusal::kOverloaded;
  EXPECT_EQ(refused, 5);
  refused = 0;
  for (const std::uint64_t id : renewals)
    refused += port->Has(id) && port->replies[id].refusal == Refusal::kOverloaded;
  EXPECT_EQ(refused, 2);
  // The client's own word for it does not help.
  const std::uint64_t liar =
      port->Send({.reserved = true,
                  .command = machine::EncodeCommand(session.Acquire("y", absl::ZeroDuration()))});
  EXPECT_EQ(port->Await(liar).refusal, Refusal::kOverloaded);
}

TEST(Node, AFullLogRefusesWhatIsNew) {
  World world(40);
  Cluster cluster(world);
  cluster.options().change = [](MemberOptions& options) { options.log_bytes_max = 100'000; };
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  const int leader = cluster.Leader();
  auto port = Caller::Port(cluster, leader);
  Session session = OpenSessionOn(*port, absl::Seconds(30), 1);
  cluster.Isolate(leader, true);  // nothing is committed, so no snapshot stands for anything
  std::vector<std::uint64_t> sent;
  for (int i = 0; i < 400; ++i) {
    sent.push_back(port->Write(session.Acquire(std::string(400, 'x'), absl::ZeroDuration())));
    if (i % 20 == 0) world.RunFor(absl::Milliseconds(1));
  }
  world.RunFor(absl::Milliseconds(20));
  int refused = 0;
  for (const std::uint64_t id : sent) {
    if (!port->Has(id)) continue;
    EXPECT_EQ(port->replies[id].refusal, Refusal::kOverloaded);
    EXPECT_TRUE(absl::StrContains(port->replies[id].message, "the log is full"));
    ++refused;
  }
  EXPECT_GT(refused, 100);
  EXPECT_TRUE(absl::StrContains(cluster.Status(leader).message, "log is nearly full"));
  EXPECT_LT(cluster.Status(leader).log_bytes, 120'000u);
}

TEST(Node, CommandsOfOneTurnAreOneEntryAndOneMessage) {
  World world(28);
  Cluster cluster(world, {.size = 1});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitLeader());
  auto port = Caller::Port(cluster, 0);
  Session session = OpenSessionOn(*port, absl::Seconds(30), 1);
  world.RunFor(absl::Milliseconds(1));
  const Index before = cluster.Status(0).applied;
  const std::size_t messages = port->messages;
  std::vector<ClientRequest> requests;
  for (int i = 0; i < 1000; ++i) {
    requests.push_back(
        {.id = port->NextId(),
         .command = machine::EncodeCommand(session.Acquire("x", absl::ZeroDuration()))});
  }
  port->SendMany(std::move(requests));
  world.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(port->replies.size(), 1001u);
  EXPECT_EQ(cluster.Status(0).applied, before + 1);
  EXPECT_EQ(port->messages, messages + 1);
}

TEST(Node, AHugeTurnIsCutIntoTurnsAndLosesNothing) {
  World world(29);
  Cluster cluster(world, {.size = 3});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  auto port = Caller::Port(cluster, cluster.Leader());
  Session session = OpenSessionOn(*port, absl::Seconds(30), 1);
  std::vector<ClientRequest> requests;
  for (int i = 0; i < 20'000; ++i) {
    requests.push_back({.id = port->NextId(), .command = machine::EncodeCommand(session.Renew(7))});
  }
  port->SendMany(std::move(requests));
  ASSERT_TRUE(world.RunUntil([&] { return port->replies.size() == 20'001; }, absl::Seconds(5)));
  for (const auto& [id, reply] : port->replies) EXPECT_EQ(reply.refusal, Refusal::kNone);
}

// ---- Long answers
// ----------------------------------------------------------------------------------

constexpr std::size_t kLong = 60'000;

// Leaves an outcome of that length under the key "k".
void StoreLongOutcome(Caller& caller, Session& session) {
  Command begin;
  begin.session = session.id;
  begin.key = session.key;
  begin.sequence = ++session.last;
  begin.operation = Begin{.key = "k"};
  const Reply begun = caller.AwaitReply(caller.Write(begin));
  const AttemptStarted* started = As<AttemptStarted>(begun);
  ASSERT_NE(started, nullptr);
  Command finish = begin;
  finish.sequence = ++session.last;
  finish.operation =
      FinishAttempt{.key = "k", .token = started->token, .response = std::string(kLong, 'x')};
  ASSERT_NE(As<AttemptFinished>(caller.AwaitReply(caller.Write(finish))), nullptr);
}

// The same read, so often, in one message.
std::vector<ClientRequest> Reads(Caller& caller, std::size_t count, const Operation& operation) {
  Command read;
  read.operation = operation;
  std::vector<ClientRequest> requests;
  for (std::size_t i = 0; i < count; ++i) {
    requests.push_back({.id = caller.NextId(),
                        .kind = RequestKind::kRead,
                        .command = machine::EncodeCommand(read)});
  }
  return requests;
}

TEST(Node, LongAnswersOfOneTurnArePutOffPastABoundAndShortOnesNever) {
  World world(41);
  Cluster cluster(world, {.size = 1});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitLeader());
  auto port = Caller::Port(cluster, 0);
  Session session = OpenSessionOn(*port, absl::Seconds(30), 1);
  StoreLongOutcome(*port, session);
  port->replies.clear();
  std::vector<ClientRequest> asked = Reads(*port, 100, GetOperation{.key = "k"});
  for (ClientRequest& short_one : Reads(*port, 5, GetLock{"x"})) {
    asked.push_back(std::move(short_one));
  }
  port->SendMany(std::move(asked));
  ASSERT_TRUE(world.RunUntil([&] { return port->replies.size() == 105; }, absl::Seconds(5)));
  std::size_t whole = 0;
  std::size_t put_off = 0;
  std::size_t short_ones = 0;
  for (const auto& [id, reply] : port->replies) {
    whole += reply.reply.size() > kLong ? 1 : 0;
    put_off += reply.refusal == Refusal::kUncertain ? 1 : 0;
    short_ones += reply.refusal == Refusal::kNone && reply.reply.size() < kLong ? 1 : 0;
  }
  EXPECT_EQ(whole, (2u << 20) / (kLong + 100)) << "two mebibytes";
  EXPECT_EQ(put_off, 100 - whole);
  EXPECT_EQ(short_ones, 5u);
  // Asked again, there is place for them.
  port->replies.clear();
  port->SendMany(Reads(*port, 1, GetOperation{.key = "k"}));
  ASSERT_TRUE(world.RunUntil([&] { return port->replies.size() == 1; }, absl::Seconds(5)));
  EXPECT_EQ(port->replies.begin()->second.refusal, Refusal::kNone);
}

TEST(Node, WhatIsPassedOnFitsIntoFrames) {
  World world(42);
  std::size_t longest = 0;
  std::size_t messages = 0;
  Cluster cluster(world, {.on_send = [&](int, const Envelope& envelope) {
                    const auto* forward = std::get_if<Forward>(&envelope.body);
                    if (forward == nullptr) return;
                    const auto* replies = std::get_if<ForwardedReplies>(forward);
                    if (replies == nullptr) return;
                    std::size_t bytes = 0;
                    for (const ClientReply& reply : replies->message.replies) {
                      bytes += reply.reply.size();
                    }
                    ++messages;
                    longest = std::max(longest, bytes);
                  }});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitConverged());
  auto near = Caller::Port(cluster, Other(cluster, cluster.Leader()));
  Session session = OpenSessionOn(*near, absl::Seconds(30), 1);
  StoreLongOutcome(*near, session);
  near->replies.clear();
  messages = 0;
  near->SendMany(Reads(*near, 30, GetOperation{.key = "k"}));
  ASSERT_TRUE(world.RunUntil([&] { return near->replies.size() == 30; }, absl::Seconds(5)));
  for (const auto& [id, reply] : near->replies) EXPECT_GT(reply.reply.size(), kLong);
  EXPECT_LE(longest, 512u << 10);
  EXPECT_GE(messages, 30 * kLong / (512u << 10));
}

}  // namespace
}  // namespace tenure::member
