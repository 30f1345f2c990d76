// Clients of a member, over gRPC.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/transport/grpc_fixture.h"

namespace tenure::grpc_transport {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const MemberId kN1{"n1", 11};

TEST(GrpcClient, RequestsAreAnsweredAndOneTurnsRequestsShareAFrame) {
  Member n1(kN1);
  ASSERT_TRUE(n1.Start().ok());
  Client client(n1.address());
  client.SendEach(10);  // before it is connected: they wait
  ASSERT_TRUE(client.log.Await([&] { return client.replies.size() == 10; }));
  EXPECT_TRUE(client.connected);
  EXPECT_EQ(n1.Get(&Member::request_batches), 1u);

  client.SendEach(1000);
  ASSERT_TRUE(client.log.Await([&] { return client.replies.size() == 1010; }));
  // One frame each way, but for what a slow machine splits.
  EXPECT_LE(n1.Get(&Member::request_batches), 3u);
  EXPECT_LE(client.messages, 6u);
  EXPECT_THAT(client.replies, Each(Field(&ClientReply::reply, "c")));
}

TEST(GrpcClient, WhatATurnSaysToAClientIsOneFrame) {
  Member n1(kN1);
  n1.answer = [&](ConnectionId connection, const std::vector<ClientRequest>&) {
    for (int i = 0; i < 100; ++i) {
      ServerMessage message;
      message.events.push_back("e");
      n1.transport().SendToClient(connection, std::move(message));
    }
  };
  ASSERT_TRUE(n1.Start().ok());
  Client client(n1.address());
  client.SendEach(1);
  ASSERT_TRUE(client.log.Await([&] { return client.events.size() == 100; }));
  EXPECT_EQ(client.messages, 1u);
}

TEST(GrpcClient, LargeMessagesArrive) {
  Member n1(kN1);
  ASSERT_TRUE(n1.Start().ok());
  Client client(n1.address());
  const std::string large(2'000'000, 'x');
  client.Send({{.id = 1, .command = large}, {.id = 2, .command = "c"}});
  ASSERT_TRUE(client.log.Await([&] { return client.replies.size() == 2; }));
  EXPECT_EQ(client.replies[0].reply, large);
}

TEST(GrpcClient, RequestsThatNoMemberWouldTakeAreRefused) {
  Member n1(kN1);
  ASSERT_TRUE(n1.Start().ok());
  Client client(n1.address());
  client.Send(
      {{.id = 1, .command = std::string(4 << 20, 'x')}, {.id = 2, .kind = wire::kUnknownKind}});
  ASSERT_TRUE(client.log.Await([&] { return client.replies.size() == 2; }));
  EXPECT_THAT(client.replies, Each(Field(&ClientReply::refusal, Refusal::kInvalid)));
  EXPECT_THAT(n1.Get(&Member::requests), IsEmpty());
}

TEST(GrpcClient, TooManyUnansweredRequestsAreRefused) {
  Member n1(kN1, {.client_requests = 10});
  n1.answer = nullptr;
  ASSERT_TRUE(n1.Start().ok());
  Client client(n1.address());
  client.SendEach(25);
  ASSERT_TRUE(client.log.Await([&] { return client.replies.size() == 15; }));
  EXPECT_THAT(client.replies, Each(Field(&ClientReply::refusal, Refusal::kOverloaded)));
  EXPECT_THAT(n1.Get(&Member::requests), SizeIs(10));
}

TEST(GrpcClient, TheMemberHearsWhenAClientGoes) {
  Member n1(kN1);
  ASSERT_TRUE(n1.Start().ok());
  Client client(n1.address());
  client.SendEach(1);
  ASSERT_TRUE(client.log.Await([&] { return client.replies.size() == 1; }));
  client.Close();
  ASSERT_TRUE(n1.log.Await([&] { return n1.closed.size() == 1; }));
  EXPECT_THAT(client.closed, IsEmpty());  // who closes is not told
}

TEST(GrpcClient, TheClientHearsWhenItIsClosedAndWhy) {
  Member n1(kN1);
  n1.answer = [&](ConnectionId connection, const std::vector<ClientRequest>&) {
    n1.transport().CloseClient(connection, absl::InvalidArgumentError("a breach"));
  };
  ASSERT_TRUE(n1.Start().ok());
  Client client(n1.address());
  client.SendEach(1);
  ASSERT_TRUE(client.log.Await([&] { return client.closed.size() == 1; }));
  EXPECT_EQ(client.closed[0].code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(n1.log.Await([&] { return n1.closed.size() == 1; }));
}

TEST(GrpcClient, TheClientHearsWhenTheMemberStops) {
  Member n1(kN1);
  ASSERT_TRUE(n1.Start().ok());
  Client client(n1.address());
  ASSERT_TRUE(client.log.Await([&] { return client.connected; }));
  n1.Stop();
  ASSERT_TRUE(client.log.Await([&] { return client.closed.size() == 1; }));
  EXPECT_EQ(client.closed[0].code(), absl::StatusCode::kUnavailable);
  Client late(n1.address());
  ASSERT_TRUE(late.log.Await([&] { return late.closed.size() == 1; }));
  EXPECT_FALSE(late.connected);
}

TEST(GrpcClient, AClientThatDoesNotReadIsClosedAtItsLimit) {
  Member n1(kN1, {.client_queue_bytes = 1 << 20});
  ConnectionId connection = 0;
  n1.answer = [&](ConnectionId c, const std::vector<ClientRequest>&) { connection = c; };
  ASSERT_TRUE(n1.Start().ok());
  Client client(n1.address());
  client.SendEach(1);
  ASSERT_TRUE(n1.log.Await([&] { return n1.requests.size() == 1; }));

  HeldLoop held(client.loop());
  std::size_t sent = 0;
  for (int i = 0; i < 1000 && sent < (200u << 20); ++i) {
    n1.OnLoop([&] {
      ServerMessage message;
      message.events.push_back(std::string(100'000, 'e'));
      n1.transport().SendToClient(connection, std::move(message));
      sent += 100'000;
      if (n1.transport().clients() == 0) sent = 1u << 30;
    });
  }
  EXPECT_TRUE(n1.log.Await([&] { return n1.closed.size() == 1; }));
  held.Release();
  ASSERT_TRUE(client.log.Await([&] { return client.closed.size() == 1; }));
}

TEST(GrpcClient, LongAnswersToAClientThatReadsSlowlyArePutOff) {
  Member n1(kN1, {.client_queue_bytes = 1 << 20});
  ConnectionId connection = 0;
  n1.answer = [&](ConnectionId c, const std::vector<ClientRequest>&) { connection = c; };
  ASSERT_TRUE(n1.Start().ok());
  Client client(n1.address());
  constexpr std::size_t kAsked = 300;
  client.SendEach(kAsked);
  ASSERT_TRUE(n1.log.Await([&] { return n1.requests.size() == kAsked; }));

  HeldLoop held(client.loop());
  for (std::size_t i = 0; i < kAsked; ++i) {  // 30 MB
    n1.OnLoop([&] {
      ServerMessage message;
      message.replies.push_back({.id = i + 1, .reply = std::string(100'000, 'r')});
      n1.transport().SendToClient(connection, std::move(message));
    });
  }
  held.Release();
  ASSERT_TRUE(client.log.Await([&] { return client.replies.size() == kAsked; }));
  std::size_t whole = 0;
  for (const ClientReply& reply : client.replies) {
    whole += reply.refusal == Refusal::kNone ? 1 : 0;
    EXPECT_EQ(reply.reply.size(), reply.refusal == Refusal::kNone ? 100'000u : 0u);
    EXPECT_TRUE(reply.refusal == Refusal::kNone || reply.refusal == Refusal::kUncertain);
  }
  EXPECT_GT(whole, 4u) << "until half of its queue is full";
  EXPECT_LT(whole, kAsked);
  EXPECT_TRUE(client.closed.empty()) << "it did not take offence";
}

TEST(GrpcClient, TheLoopEndsWithStreamsOpenAndOpening) {
  Member n1(kN1);
  ASSERT_TRUE(n1.Start().ok());
  { const Client never_used("240.0.0.1:1"); }
  { const Client open(n1.address()); }
  auto loop = NewGrpcClientLoop();
  struct Silent : backends::LinkSink {
    void OnConnected(std::string) override {}
    void OnMessage(ServerMessage) override {}
    void OnClosed(absl::Status) override { ADD_FAILURE(); }
  } silent;
  std::unique_ptr<backends::Link> link;
  loop->RunOnLoop([&] { link = ConnectClientLink(loop.get(), n1.address(), &silent); });
  loop->Stop();  // the link is still there
  link.reset();
}

}  // namespace
}  // namespace tenure::grpc_transport
