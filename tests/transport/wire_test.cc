// What is encoded comes back as it was, agrees with the schema, and no bytes crash the parser.
#include "transport/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tenure/v1/client.pb.h"
#include "tenure/v1/peer.pb.h"
#include "transport/wire_format.h"
#include "transport/wire_parts.h"

namespace tenure::wire {
namespace {

using ::testing::SizeIs;

raft::Entry CommandsEntry(Index index, std::string payload) {
  return {.index = index,
          .term = 7,
          .kind = raft::EntryKind::kCommands,
          .stamp_ns = 1'234'567'890'123,
          .payload = std::make_shared<const std::string>(std::move(payload))};
}

raft::Entry ConfigurationEntry() {
  const raft::Configuration configuration = {
      .voters = {{{"n1", 11}, "127.0.0.1:1"}, {{"n2", 0xffffffffffffffff}, "[::1]:2"}},
      .voters_outgoing = {{{"n0", 9}, ""}},
      .learners = {{{"n4", 4}, "h:4"}}};
  return {.index = 1,
          .term = 1,
          .kind = raft::EntryKind::kConfiguration,
          .payload = std::make_shared<const std::string>("genesis"),
          .configuration = std::make_shared<const raft::Configuration>(configuration)};
}

raft::SnapshotRequest ChunkOfASnapshot() {
  raft::SnapshotRequest request;
  request.term = 7;
  request.snapshot.index = 6;
  request.snapshot.term = 5;
  request.snapshot.stamp_ns = 99;
  request.snapshot.configuration = ConfigurationEntry().configuration;
  request.snapshot.bytes = 1'000'000'000'000;
  request.offset = 5'000'000'000;
  request.data = std::make_shared<const std::string>("chunk");
  request.round = 3;
  return request;
}

// One of each alternative, with no field at its default.
std::vector<PeerBody> AllBodies() {
  const ClusterId id{0x0123456789abcdef, 0xfedcba9876543210};
  const ClientRequest request{.id = 5,
                              .kind = RequestKind::kListen,
                              .reserved = true,
                              .command = std::string("\0cmd", 4),
                              .session = 6,
                              .after = 7};
  const ClientReply reply{.id = 5,
                          .refusal = Refusal::kNotLeader,
                          .message = "no",
                          .leader_address = "h:1",
                          .reply = "r"};
  return {
      raft::Message(raft::VoteRequest{3, true, 4, 2, true}),
      raft::Message(raft::VoteResponse{3, 2, true, true}),
      raft::Message(raft::AppendRequest{
          .term = 7,
          .prev_index = 8,
          .prev_term = 6,
          .entries = {CommandsEntry(9, "a"), CommandsEntry(10, ""), ConfigurationEntry()},
          .commit = 8,
          .round = 1'000'000,
          .trim_through = 2,
          .transfer = 4,
          .durable = 10}),
      raft::Message(raft::AppendResponse{7, true, 10, 6, 8, 9, 1'000'000, 4, 5}),
      raft::Message(raft::TimeoutNow{7, 4}),
      raft::Message(ChunkOfASnapshot()),
      raft::Message(raft::SnapshotResponse{7, 6, 5'000'000'005, 3}),
      Handshake(Hello{true, true, true, 12, 0xabcdef, true}),
      Handshake(BootstrapPropose{id, ConfigurationEntry(), true}),
      Handshake(BootstrapAccept{id, 3}),
      Handshake(BootstrapStart{id, 4}),
      Handshake(LostQuery{{"n1", 77}}),
      Handshake(Lost{{"n2", 78}}),
      Handshake(NotAMember{"gone", true}),
      Handshake(AttestationQuery{}),
      Handshake(Attestation{{{"n1", 7}, 3, {"n2", 9}, 12, 2, 11}}),
      Forward(ForwardedRequests{42, {request, request}}),
      Forward(ForwardedReplies{43, {{reply, reply}, {"event", ""}}, 12}),
      Forward(ForwardClosed{44}),
  };
}

Envelope MakeEnvelope(PeerBody body) {
  return {.cluster = {1, 2}, .from = {"", 3}, .to = {"", 4}, .body = std::move(body)};
}

std::string Encode(const PeerBody& body) {
  std::string frame;
  AppendEnvelope(MakeEnvelope(body), &frame);
  return frame;
}

TEST(Wire, EveryKindOfEnvelopeComesBackAsItWas) {
  for (const PeerBody& body : AllBodies()) {
    const std::string bytes = Encode(body);
    const auto frame = ParsePeerFrame(bytes);
    ASSERT_TRUE(frame.ok()) << frame.status();
    ASSERT_THAT(frame->envelopes, SizeIs(1));
    const Envelope& envelope = frame->envelopes[0];
    EXPECT_EQ(envelope.cluster, (ClusterId{1, 2}));
    EXPECT_EQ(envelope.from.incarnation, 3u);
    EXPECT_EQ(envelope.to.incarnation, 4u);
    EXPECT_EQ(envelope.body.index(), body.index());
    EXPECT_EQ(Encode(envelope.body), bytes);  // no field is lost
  }
}

// The codec is written by hand where it is hot; the generated code must agree byte for byte.
TEST(Wire, AgreesWithTheSchema) {
  for (const PeerBody& body : AllBodies()) {
    const std::string bytes = Encode(body);
    v1::PeerFrame frame;
    ASSERT_TRUE(frame.ParseFromString(bytes));
    ASSERT_EQ(frame.envelopes_size(), 1);
    EXPECT_NE(frame.envelopes(0).body_case(), v1::Envelope::BODY_NOT_SET);
    EXPECT_EQ(frame.SerializeAsString(), bytes) << frame.envelopes(0).body_case();
  }
}

TEST(Wire, EntriesKeepPayloadStampAndConfiguration) {
  const auto frame = ParsePeerFrame(Encode(AllBodies()[2]));
  ASSERT_TRUE(frame.ok());
  const auto& append =
      std::get<raft::AppendRequest>(std::get<raft::Message>(frame->envelopes[0].body));
  ASSERT_THAT(append.entries, SizeIs(3));
  EXPECT_EQ(append.entries[0].index, 9u);
  EXPECT_EQ(append.entries[0].term, 7u);
  EXPECT_EQ(append.entries[0].stamp_ns, 1'234'567'890'123);
  EXPECT_EQ(*append.entries[0].payload, "a");
  EXPECT_EQ(append.entries[1].payload_bytes(), 0u);
  EXPECT_EQ(*append.entries[2].configuration, *ConfigurationEntry().configuration);
}

TEST(Wire, HellosComeBackAsTheyWere) {
  std::string frame;
  const PeerHello peer{.from_name = "n1", .from_incarnation = 5, .to_name = "n2"};
  AppendHello(peer, &frame);
  EXPECT_EQ(ParsePeerFrame(frame)->hello, peer);
  frame.clear();
  const ClientHello client{.label = "h:1"};
  AppendHello(client, &frame);
  EXPECT_EQ(ParseClientFrame(frame)->hello, client);
  frame.clear();
  const ServerHello server{.member_name = "n1", .leader_address = "h:2"};
  AppendHello(server, &frame);
  EXPECT_EQ(ParseServerFrame(frame)->hello, server);
}

TEST(Wire, ClientFramesComeBackAsTheyWere) {
  std::string bytes;
  for (std::uint64_t id = 1; id <= 5; ++id) {
    AppendRequest({.id = id,
                   .kind = static_cast<RequestKind>(id - 1),
                   .reserved = id == 2,
                   .command = "c",
                   .session = id * 1'000'000'007,
                   .after = id},
                  &bytes);
  }
  v1::ClientFrame schema;
  ASSERT_TRUE(schema.ParseFromString(bytes));
  EXPECT_EQ(schema.SerializeAsString(), bytes);
  const auto frame = ParseClientFrame(bytes);
  ASSERT_TRUE(frame.ok());
  ASSERT_THAT(frame->requests, SizeIs(5));
  EXPECT_EQ(frame->requests[1].kind, RequestKind::kRead);
  EXPECT_TRUE(frame->requests[1].reserved);
  EXPECT_EQ(frame->requests[4].session, 5'000'000'035u);
}

TEST(Wire, ServerFramesComeBackAsTheyWere) {
  std::string bytes;
  AppendReply({.id = 9,
               .refusal = Refusal::kUncertain,
               .message = "m",
               .leader_address = "a",
               .reply = "r"},
              &bytes);
  AppendEvent("e1", &bytes);
  v1::ServerFrame schema;
  ASSERT_TRUE(schema.ParseFromString(bytes));
  EXPECT_EQ(schema.SerializeAsString(), bytes);
  const auto frame = ParseServerFrame(bytes);
  ASSERT_TRUE(frame.ok());
  ASSERT_THAT(frame->message.replies, SizeIs(1));
  EXPECT_EQ(frame->message.replies[0].refusal, Refusal::kUncertain);
  EXPECT_EQ(frame->message.replies[0].reply, "r");
  EXPECT_EQ(frame->message.events, std::vector<std::string>{"e1"});
}

TEST(Wire, WhatALaterVersionSaysIsSkippedOrNamedUnknown) {
  v1::ClientFrame client;
  client.add_requests()->set_kind(256);  // not 0, however it is stored
  EXPECT_EQ(ParseClientFrame(client.SerializeAsString())->requests[0].kind, kUnknownKind);

  // An envelope whose body has number 60, then one that is known.
  std::string bytes("\x12\x03\xe2\x03\x00", 5);
  bytes += Encode(Forward(ForwardClosed{1}));
  const auto frame = ParsePeerFrame(bytes);
  ASSERT_TRUE(frame.ok());
  EXPECT_THAT(frame->envelopes, SizeIs(1));

  v1::PeerFrame peer;
  peer.add_envelopes()->mutable_append_request()->add_entries()->set_kind(9);
  EXPECT_THAT(ParsePeerFrame(peer.SerializeAsString())->envelopes, SizeIs(0));
}

TEST(Wire, AConfigurationEntryWithoutConfigurationIsRefused) {
  v1::PeerFrame frame;
  frame.add_envelopes()->mutable_append_request()->add_entries()->set_kind(2);
  EXPECT_FALSE(ParsePeerFrame(frame.SerializeAsString()).ok());
}

// X2, in the frame: two bytes a request would become a hundred in memory.
TEST(Wire, X2_TooManyElementsAreRefusedBeforeTheyAreMade) {
  std::string bytes;
  for (std::size_t i = 0; i <= kMaxElements; ++i) bytes.append("\x12\x00", 2);
  EXPECT_FALSE(ParseClientFrame(bytes).ok());
  EXPECT_FALSE(ParseServerFrame(bytes).ok());
  EXPECT_FALSE(ParsePeerFrame(bytes).ok());
  // A length that the frame does not have.
  EXPECT_FALSE(ParseClientFrame(std::string("\x12\xff\xff\xff\xff\x07", 6)).ok());
}

// Nor may they be spread over messages that are nested in the frame.
TEST(Wire, X2_NestedElementsCountForTheWholeFrame) {
  const std::size_t half = kMaxElements / 2 + 1;
  std::string elements;
  for (std::size_t i = 0; i < half; ++i) elements.append("\x12\x00", 2);
  const auto nested = [](std::uint32_t kind, const std::string& body, int times) {
    std::string envelope;
    PutBytes(kind, body, &envelope);
    std::string frame;
    for (int i = 0; i < times; ++i) PutBytes(2, envelope, &frame);
    return ParsePeerFrame(frame).ok();
  };
  std::string replies;
  PutBytes(2, elements, &replies);
  EXPECT_TRUE(nested(field::kForwardedReplies, replies, 1));
  EXPECT_FALSE(nested(field::kForwardedReplies, replies, 2));
  EXPECT_TRUE(nested(field::kForwardedRequests, elements, 1));
  EXPECT_FALSE(nested(field::kForwardedRequests, elements, 2));
  std::string entries;
  for (std::size_t i = 0; i < half; ++i) entries.append("\x22\x00", 2);
  EXPECT_TRUE(nested(field::kAppendRequest, entries, 1));
  EXPECT_FALSE(nested(field::kAppendRequest, entries, 2));
  // The servers of a snapshot's configuration, which the generated code would make.
  std::string servers;
  for (std::size_t i = 0; i < (64 << 10); ++i) servers.append("\x0a\x00", 2);
  std::string info, snapshot;
  PutBytes(4, servers, &info);
  PutBytes(2, info, &snapshot);
  EXPECT_FALSE(nested(field::kSnapshotRequest, snapshot, 1));
}

TEST(Wire, TruncatedFramesNeverCrash) {
  for (const PeerBody& body : AllBodies()) {
    const std::string bytes = Encode(body);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      (void)ParsePeerFrame(bytes.substr(0, size));
      (void)ParseClientFrame(bytes.substr(0, size));
      (void)ParseServerFrame(bytes.substr(0, size));
    }
  }
}

TEST(Wire, MutatedFramesNeverCrash) {
  std::mt19937 random(20);
  const auto upto = [&](std::size_t n) { return random() % n; };
  const std::vector<PeerBody> bodies = AllBodies();
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = Encode(bodies[upto(bodies.size())]) + Encode(bodies[upto(bodies.size())]);
    for (std::size_t change = 0; change <= upto(6); ++change) {
      bytes[upto(bytes.size())] = static_cast<char>(random());
      if (upto(4) == 0) bytes.erase(upto(bytes.size()), upto(5));
      if (bytes.empty()) break;
    }
    const auto frame = ParsePeerFrame(bytes);
    if (frame.ok()) {  // what is accepted can be sent on
      for (const Envelope& envelope : frame->envelopes) (void)Encode(envelope.body);
    }
    (void)ParseClientFrame(bytes);
    (void)ParseServerFrame(bytes);
  }
}

}  // namespace
}  // namespace tenure::wire
