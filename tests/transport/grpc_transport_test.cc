// Members that reach each other over gRPC.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <memory>
#include <numeric>

#include "tests/transport/grpc_fixture.h"

namespace tenure::grpc_transport {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const MemberId kN1{"n1", 11};
const MemberId kN2{"n2", 22};

// A peer that is sent to again and again, as members do, until it hears.
void SendUntilHeard(Member& from, Member& to, const MemberId& from_id, const MemberId& to_id,
                    std::uint64_t number) {
  for (int tries = 0; tries < 3000; ++tries) {
    from.SendNumber(to_id, number);
    std::promise<void> later;
    const TimerHandle timer = from.transport().loop().At(
        from.transport().loop().Now() + absl::Milliseconds(10), [&] { later.set_value(); });
    later.get_future().wait();
    bool heard = false;
    to.log.Change([&] {
      const auto numbers = to.NumbersFrom(from_id);
      heard = std::find(numbers.begin(), numbers.end(), number) != numbers.end();
    });
    if (heard) return;
  }
  FAIL() << number << " was never heard";
}

TEST(GrpcTransport, EnvelopesGoBothWaysInOrder) {
  Member n1(kN1);
  Member n2(kN2);
  ASSERT_TRUE(n1.Start().ok());
  ASSERT_TRUE(n2.Start().ok());
  n1.SetPeers({{"n2", n2.address()}, {"n1", n1.address()}});
  n2.SetPeers({{"n1", n1.address()}});
  for (std::uint64_t i = 0; i < 50; ++i) n1.SendNumber(kN2, i);
  n2.SendNumber({"n1", 0}, 7);  // whichever incarnation has that name

  ASSERT_TRUE(n2.log.Await([&] { return n2.heard.size() == 50; }));
  ASSERT_TRUE(n1.log.Await([&] { return n1.heard.size() == 1; }));
  std::vector<std::uint64_t> sent(50);
  std::iota(sent.begin(), sent.end(), 0);
  EXPECT_EQ(n2.NumbersFrom(kN1), sent);
  EXPECT_EQ(n2.heard[0].to, kN2);
  EXPECT_EQ(n1.heard[0].from, kN2);
  EXPECT_EQ(n1.heard[0].to, (MemberId{"n1", 0}));
}

TEST(GrpcTransport, PostsBeforeStartRun) {
  GrpcTransport transport({});
  std::promise<void> ran;
  transport.loop().Post([&] { ran.set_value(); });
  ran.get_future().wait();
}

// T11: what an earlier incarnation said is never taken for a later one's word.
TEST(GrpcTransport, T11_APeerThatComesBackIsAnotherMember) {
  Member n1(kN1);
  ASSERT_TRUE(n1.Start().ok());
  const MemberId again{"n2", 23};
  std::string address;
  {
    Member n2(kN2);
    ASSERT_TRUE(n2.Start().ok());
    address = n2.address();
    n1.SetPeers({{"n2", address}});
    n2.SetPeers({{"n1", n1.address()}});
    SendUntilHeard(n2, n1, kN2, kN1, 1);
    SendUntilHeard(n1, n2, kN1, kN2, 2);
    n2.SendNumber(kN1, 3);
  }
  Member n2(again);
  ASSERT_TRUE(n2.Start(address).ok());
  n2.SetPeers({{"n1", n1.address()}});
  SendUntilHeard(n2, n1, again, kN1, 4);
  SendUntilHeard(n1, n2, kN1, again, 5);  // n1 found its way back by itself
  n1.Stop();
  EXPECT_THAT(n1.NumbersFrom(again), ::testing::Each(4u));
  EXPECT_THAT(n1.NumbersFrom(kN2), ::testing::Not(Contains(4u)));
}

TEST(GrpcTransport, NobodySpeaksForAnotherIncarnation) {
  Member n1(kN1);
  Member n2(kN2);
  ASSERT_TRUE(n1.Start().ok());
  ASSERT_TRUE(n2.Start().ok());
  n2.SetPeers({{"n1", n1.address()}});
  n2.OnLoop([&] {
    n2.transport().Send({.from = {"n2", 21}, .to = kN1, .body = Forward(ForwardClosed{1})});
  });
  n2.SendNumber(kN1, 2);
  ASSERT_TRUE(n1.log.Await([&] { return !n1.heard.empty(); }));
  n1.Stop();
  EXPECT_THAT(n1.NumbersFrom(kN2), ElementsAre(2));
  EXPECT_THAT(n1.Get(&Member::heard), SizeIs(1));
}

// A stream that says it is one incarnation and carries messages of another is ended.
TEST(GrpcTransport, AStreamSpeaksForTheIncarnationOfItsHello) {
  Member n1(kN1);
  ASSERT_TRUE(n1.Start().ok());
  const auto loop = NewGrpcClientLoop();
  Log log;
  absl::Status closed;
  std::shared_ptr<ClientStream> stream;
  loop->RunOnLoop([&] {
    stream = ClientStream::Connect(
        loop.get(), n1.address(), kPeerMethod, {},
        {.on_open = [] {},
         .on_frame = [](const ReceivedFrame&) {},
         .on_closed = [&](absl::Status why) { log.Change([&] { closed = std::move(why); }); }});
    stream->outgoing().Append([](std::string* frame) {
      wire::AppendHello(wire::PeerHello{.from_name = "n2", .from_incarnation = 22, .to_name = "n1"},
                        frame);
    });
    stream->outgoing().Append([](std::string* frame) {
      wire::AppendEnvelope({.from = {"n2", 21}, .to = kN1, .body = Forward(ForwardClosed{1})},
                           frame);
    });
  });
  ASSERT_TRUE(log.Await([&] { return !closed.ok(); }));
  EXPECT_EQ(closed.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(n1.Get(&Member::heard), IsEmpty());
}

// How a hello is answered; empty if the stream is still open when n1 is stopped.
absl::Status AnswerToHello(Member& n1, const wire::PeerHello& hello) {
  const auto loop = NewGrpcClientLoop();
  Log log;
  absl::Status closed;
  loop->RunOnLoop([&] {
    ClientStream::Connect(
        loop.get(), n1.address(), kPeerMethod, {},
        {.on_open = [] {},
         .on_frame = [](const ReceivedFrame&) {},
         .on_closed = [&](absl::Status why) { log.Change([&] { closed = std::move(why); }); }})
        ->outgoing()
        .Append([&](std::string* frame) { wire::AppendHello(hello, frame); });
  });
  EXPECT_TRUE(log.Await([&] { return !closed.ok(); }));
  return closed;
}

TEST(GrpcTransport, AStreamForAnotherMemberIsRefusedAndToldWhy) {
  Member n1(kN1);
  ASSERT_TRUE(n1.Start().ok());
  const absl::Status wrong_name =
      AnswerToHello(n1, {.from_name = "n2", .from_incarnation = 22, .to_name = "n3"});
  EXPECT_EQ(wrong_name.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(wrong_name.message()), HasSubstr("this is member n1, not n3"));
  const absl::Status same_name =
      AnswerToHello(n1, {.from_name = "n1", .from_incarnation = 12, .to_name = "n1"});
  EXPECT_EQ(same_name.code(), absl::StatusCode::kFailedPrecondition);
  const absl::Status nobody = AnswerToHello(n1, {.to_name = "n1"});
  EXPECT_EQ(nobody.code(), absl::StatusCode::kInvalidArgument);
}

// A member that lags behind must be able to answer one that its own configuration does not name.
TEST(GrpcTransport, AnAnswerFindsItsWayToWhomIsNoPeer) {
  Member n1(kN1);
  Member n2(kN2);
  ASSERT_TRUE(n1.Start().ok());
  ASSERT_TRUE(n2.Start().ok());
  n1.SetPeers({{"n2", n2.address()}});
  SendUntilHeard(n1, n2, kN1, kN2, 1);
  n2.OnLoop([&] {
    n2.transport().Send({.from = kN2, .to = kN1, .body = Forward(ForwardClosed{1})});  // no answer
    n2.transport().Send({.from = kN2,
                         .to = kN1,
                         .body = raft::Message(raft::VoteResponse{.term = 3, .granted = true})});
  });
  ASSERT_TRUE(n1.log.Await([&] { return !n1.heard.empty(); }));
  n1.Stop();
  ASSERT_THAT(n1.Get(&Member::heard), SizeIs(1));
  EXPECT_TRUE(std::holds_alternative<raft::Message>(n1.Get(&Member::heard).front().body));
}

TEST(GrpcTransport, MessagesForAnAbsentPeerAreDroppedNotHoarded) {
  Member n1(kN1);
  ASSERT_TRUE(n1.Start().ok());
  std::string address;
  {
    Member n2(kN2);
    ASSERT_TRUE(n2.Start().ok());
    address = n2.address();
  }
  n1.SetPeers({{"n2", address}});
  const auto payload = std::make_shared<const std::string>(std::string(10'000, 'x'));
  n1.OnLoop([&] {
    for (int i = 0; i < 10'000; ++i) {
      n1.transport().Send({.from = kN1,
                           .to = kN2,
                           .body = raft::Message(raft::AppendRequest{
                               .entries = {{.index = 1, .payload = payload}}})});
    }
    PeerLink* link = n1.transport().peer_link("n2");
    EXPECT_GE(link->dropped(), 9'000u);
    EXPECT_LE(link->queued_bytes(), 2u << 20);
  });
}

TEST(GrpcTransport, MessagesForAPeerThatDoesNotReadAreDropped) {
  // Its loop is held up, so it reads nothing.
  Member n1(kN1, {.peer_queue_bytes = 1 << 20});
  Member n2(kN2);
  ASSERT_TRUE(n1.Start().ok());
  ASSERT_TRUE(n2.Start().ok());
  n1.SetPeers({{"n2", n2.address()}});
  SendUntilHeard(n1, n2, kN1, kN2, 1);
  HeldLoop held(n2.transport().loop());
  const auto payload = std::make_shared<const std::string>(std::string(100'000, 'x'));
  bool dropped = false;
  for (int i = 0; i < 2'000 && !dropped; ++i) {
    n1.OnLoop([&] {
      n1.transport().Send({.from = kN1,
                           .to = kN2,
                           .body = raft::Message(raft::AppendRequest{
                               .entries = {{.index = 1, .payload = payload}}})});
      PeerLink* link = n1.transport().peer_link("n2");
      EXPECT_LE(link->queued_bytes(), (1u << 20) + 200'000);
      dropped = link->dropped() > 0;
    });
  }
  held.Release();
  EXPECT_TRUE(dropped);
}

TEST(GrpcTransport, ATakenPortIsNamed) {
  Member n1(kN1);
  ASSERT_TRUE(n1.Start().ok());
  Member n2(kN2);
  const absl::Status status = n2.Start(n1.address());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(n1.address()));
  EXPECT_THAT(std::string(status.message()), HasSubstr("taken"));
  EXPECT_EQ(n2.Start("nonsense").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(n2.Start().ok());  // another port will do
}

TEST(GrpcTransport, StopIsPromptWhateverPeersDo) {
  auto n1 = std::make_unique<Member>(kN1);
  ASSERT_TRUE(n1->Start().ok());
  Member n2(kN2);
  ASSERT_TRUE(n2.Start().ok());
  std::string dead;
  {
    Member n3({"n3", 33});
    ASSERT_TRUE(n3.Start().ok());
    dead = n3.address();
  }
  // One that is there but stands still, one that is gone, and one that never answers.
  n1->SetPeers({{"n2", n2.address()}, {"n3", dead}, {"n4", "240.0.0.1:1"}});
  SendUntilHeard(*n1, n2, kN1, kN2, 1);
  HeldLoop held(n2.transport().loop());
  const auto payload = std::make_shared<const std::string>(std::string(1'000'000, 'x'));
  for (int i = 0; i < 30; ++i) {
    n1->Send(kN2,
             raft::Message(raft::AppendRequest{.entries = {{.index = 1, .payload = payload}}}));
  }
  const Instant before = ReadMonotonicClocks();
  n1->Stop();
  n1->Stop();
  n1.reset();
  EXPECT_LT(ReadMonotonicClocks().LeaderElapsedNs(before), 2'000'000'000);
  held.Release();
}

}  // namespace
}  // namespace tenure::grpc_transport
