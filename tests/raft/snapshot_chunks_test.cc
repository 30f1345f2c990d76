// Snapshots that are sent in part, and to who does not answer.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "raft/core.h"
#include "tests/raft/cluster.h"

namespace tenure::raft {
namespace {
constexpr std::int64_t kMs = 1'000'000;
const MemberId kA{"a", 11};
const MemberId kB{"b", 22};
const MemberId kC{"c", 33};
Instant At(std::int64_t ms) { return Instant::FromReadings(ms * kMs, ms * kMs); }
Payload Bytes(std::string bytes) { return std::make_shared<const std::string>(std::move(bytes)); }

Entry Command(Index index, Term term) {
  Entry entry;
  entry.index = index;
  entry.term = term;
  entry.kind = EntryKind::kCommands;
  entry.stamp_ns = static_cast<std::int64_t>(index);
  entry.payload = Bytes("x");
  return entry;
}

// A follower is sent the first chunk of a snapshot; the leader then dies. The next leader still has
// the log, and the follower catches up from that. From now on it can never take a snapshot.
TEST(SnapshotChunksTest, AnAbandonedSnapshotForbidsNoOwnOnes) {
  auto voters = Voters({kA, kB, kC});
  Options options;
  options.self = kA;
  Initial initial;
  initial.hard_state.term = 1;
  initial.entries.push_back(FirstEntry(voters));
  Core core(options, std::move(initial), At(0));
  core.Step(At(0), Timer{});

  const auto durable = [&](Instant now, const Output& out) {
    if (out.write.has_value()) core.Step(now, WriteDurable{out.write->id});
  };

  // b leads term 2, has trimmed its log, and sends a snapshot of entry 10 in two chunks.
  SnapshotRequest chunk;
  chunk.term = 2;
  chunk.snapshot.index = 10;
  chunk.snapshot.term = 2;
  chunk.snapshot.stamp_ns = 10;
  chunk.snapshot.configuration = voters;
  chunk.snapshot.bytes = 8;
  chunk.offset = 0;
  chunk.data = Bytes("1234");
  chunk.round = 1;
  durable(At(10), core.Step(At(10), Received{kB, chunk}));

  // b dies. c leads term 3 and has the log from entry 2 on.
  AppendRequest append;
  append.term = 3;
  append.prev_index = 1;
  append.prev_term = 1;
  for (Index i = 2; i <= 20; ++i) append.entries.push_back(Command(i, i <= 19 ? 2 : 3));
  append.commit = 20;
  append.round = 1;
  Output out = core.Step(At(500), Received{kC, append});
  durable(At(500), out);
  ASSERT_EQ(core.commit_index(), 20u);
  core.Step(At(501), Applied{20});

  // It is the leader of the next term, b stays away: only a snapshot can bound its log or feed b.
  Output piece = core.Step(At(502), SnapshotPiece{20, 0, Bytes("state"), true});
  EXPECT_TRUE(piece.write.has_value()) << "the snapshot was not taken";
  durable(At(502), piece);
  EXPECT_EQ(core.snapshot().index, 20u);
}

}  // namespace
}  // namespace tenure::raft
namespace tenure::raft {
namespace {

Initial WithSnapshot() {
  auto voters = Voters({kA, kB, kC});
  Initial initial;
  initial.hard_state.term = 1;
  initial.trimmed_through = 100;
  initial.trimmed_term = 1;
  initial.trimmed_stamp_ns = 100;
  initial.trimmed_configuration = voters;
  initial.applied = 100;
  initial.snapshot.index = 100;
  initial.snapshot.term = 1;
  initial.snapshot.stamp_ns = 100;
  initial.snapshot.configuration = voters;
  initial.snapshot.bytes = 10 << 20;
  return initial;
}

// c is away and needs the snapshot. Each round of reads, answered by b, sends c the same chunk.
TEST(SnapshotChunksTest, ReadsDoNotRepeatAChunkToWhoIsAway) {
  Options options;
  options.self = kA;
  Core core(options, WithSnapshot(), At(0));
  core.Step(At(0), Timer{});
  core.Step(At(700), Timer{});
  Term term = core.term() + 1;
  Output out = core.Step(At(700), Received{kB, VoteResponse{core.term(), term, true, true}});
  core.Step(At(700), WriteDurable{out.write->id});
  out = core.Step(At(700), Received{kB, VoteResponse{term, term, false, true}});
  ASSERT_EQ(core.role(), Role::kLeader);
  core.Step(At(700), WriteDurable{out.write->id});
  std::uint64_t round = 1;
  int chunks = 0;
  const auto look = [&](const Output& o) {
    for (const Outgoing& m : o.messages) {
      if (const auto* append = std::get_if<AppendRequest>(&m.message); append && m.to == kB)
        round = append->round;
      if (std::holds_alternative<SnapshotRequest>(m.message) && m.to == kC) ++chunks;
    }
  };
  const auto answer = [&] {
    AppendResponse response;
    response.term = term;
    response.accepted = true;
    response.match_index = core.last_index();
    response.round = round;
    return core.Step(At(701), Received{kB, response});
  };
  look(answer());
  // c said once that it has nothing, and is not heard of again.
  AppendResponse refusal;
  refusal.term = term;
  refusal.rejected_prev = core.last_index() - 1;
  refusal.match_index = 0;
  refusal.round = round;
  look(core.Step(At(701), Received{kC, refusal}));
  ASSERT_EQ(chunks, 1);
  std::size_t served = 0;
  for (ReadId id = 1; id <= 1000; ++id) {  // all within one millisecond
    look(core.Step(At(701), Read{id}));
    Output o = answer();
    look(o);
    served += o.reads_ready.size();
  }
  EXPECT_EQ(served, 1000u);
  EXPECT_LE(chunks, 3) << "chunks (of 256 KiB) sent to who has not answered the first";
}

}  // namespace
}  // namespace tenure::raft
