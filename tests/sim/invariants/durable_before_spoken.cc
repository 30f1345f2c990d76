// What a message tells of its sender's term, vote, log and snapshot is durable when it leaves. A
// snapshot that is whole and durable stands for the log up to its index. Ongaro's
// dissertation, section 3.8 ("before responding to RPCs"); PITFALLS C11, C12, C13.
#include <variant>

#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class DurableBeforeSpoken final : public Invariant {
 public:
  explicit DurableBeforeSpoken(Scene& scene) : Invariant(scene, "durable before spoken") {}

  void OnSend(const Actor& actor, const Envelope& envelope) override {
    const auto* message = std::get_if<raft::Message>(&envelope.body);
    if (message == nullptr) return;
    const IncarnationFacts& facts = *actor.facts;
    const raft::HardState& durable = facts.durable.hard_state();
    const auto said_too_early = [&](absl::string_view what, Term term) {
      Fail(absl::StrCat(facts.id.ToString(), " says ", what, " in term ", term, ", but has term ",
                        durable.term, " with a vote for ",
                        durable.vote.empty() ? "nobody" : durable.vote.ToString(),
                        " and a log up to ", facts.durable.last_index(), " on its disk"));
    };
    if (const auto* ask = std::get_if<raft::VoteRequest>(message)) {
      if (ask->pre_vote) return;
      if (durable.term < ask->term || (durable.term == ask->term && durable.vote != facts.id))
        said_too_early("\"vote for me\"", ask->term);
    } else if (const auto* vote = std::get_if<raft::VoteResponse>(message)) {
      if (vote->pre_vote || !vote->granted) return;
      if (durable.term < vote->request_term ||
          (durable.term == vote->request_term && durable.vote != envelope.to))
        said_too_early(absl::StrCat("\"my vote is ", envelope.to.ToString(), "'s\""),
                       vote->request_term);
    } else if (const auto* append = std::get_if<raft::AppendRequest>(message)) {
      if (durable.term < append->term) said_too_early("\"I lead\"", append->term);
    } else if (const auto* now = std::get_if<raft::TimeoutNow>(message)) {
      if (durable.term < now->term) said_too_early("\"campaign\"", now->term);
    } else if (const auto* chunk = std::get_if<raft::SnapshotRequest>(message)) {
      if (durable.term < chunk->term) return said_too_early("\"I lead\"", chunk->term);
      if (facts.durable.snapshot_index() < chunk->snapshot.index)
        said_too_early(absl::StrCat("\"my snapshot is ", chunk->snapshot.index, "\""), chunk->term);
    } else if (const auto* wants = std::get_if<raft::SnapshotResponse>(message)) {
      if (durable.term < wants->term) return said_too_early("\"go on\"", wants->term);
      if (facts.durable.BytesOf(wants->index) < wants->offset)
        said_too_early(
            absl::StrCat("\"I have snapshot ", wants->index, " up to byte ", wants->offset, "\""),
            wants->term);
    } else if (const auto* answer = std::get_if<raft::AppendResponse>(message)) {
      // What is applied is committed: no later term takes it back.
      if (facts.durable.last_index() < answer->applied)
        return said_too_early(absl::StrCat("\"I have applied ", answer->applied, "\""),
                              answer->term);
      if (!answer->accepted) return;
      if (durable.term < answer->term) return said_too_early("\"accepted\"", answer->term);
      // In a later term it may have been truncated since: an acknowledgement that waited for its
      // write is no worse than one that the network delays.
      if (durable.term == answer->term && facts.durable.last_index() < answer->match_index)
        said_too_early(absl::StrCat("\"I have all up to ", answer->match_index, "\""),
                       answer->term);
    }
  }
};

}  // namespace

std::unique_ptr<Invariant> NewDurableBeforeSpoken(Scene& scene) {
  return std::make_unique<DurableBeforeSpoken>(scene);
}

}  // namespace tenure::sim
