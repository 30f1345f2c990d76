// What a leader knows of one other member, and how it feeds it.
#ifndef TENURE_RAFT_PROGRESS_H_
#define TENURE_RAFT_PROGRESS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "tenure/types.h"

namespace tenure::raft {

// Probing, one append is under way at a time, until the place is found where the logs agree;
// replicating, appends are sent ahead of their answers, up to limits (section 10.2.1). One that
// lags behind the log gets the snapshot, one chunk under way at a time (section 5). Not
// thread-safe.
class Progress {
 public:
  enum class State : std::uint8_t { kProbe, kReplicate, kSnapshot };

  Progress() = default;
  // At the beginning of a term: nothing is known but that leadership began `now`.
  Progress(Index next, Instant now) : next_(next), contact_(now) {}

  State state() const { return state_; }
  Index match() const { return match_; }
  Index next() const { return next_; }
  Index applied() const { return applied_; }
  std::uint64_t answered_round() const { return answered_round_; }
  // When the newest round that it answered began; at first, when leadership did.
  Instant contact() const { return contact_; }
  bool probe_sent() const { return probe_sent_; }
  // The newest number of a hand-over that it heard, and its priority, as it said last.
  std::uint64_t transfer() const { return transfer_; }
  std::uint32_t priority() const { return priority_; }
  bool HasRoom(std::size_t max_appends, std::size_t max_bytes) const {
    return under_way_.size() < std::min(max_appends, window_) && bytes_under_way_ < max_bytes;
  }

  // It answered `round`, which began no earlier than `began`.
  void Answered(std::uint64_t round, Instant began);
  // It holds, durably, what this leader's log says up to `index`. True if that is news.
  bool Matched(Index index);
  void Applied(Index index) { applied_ = index > applied_ ? index : applied_; }
  void Told(std::uint64_t transfer, std::uint32_t priority) {
    transfer_ = std::max(transfer_, transfer);
    priority_ = priority;
  }

  // Sent, and not to be sent again unless the answers say so.
  void SentProbe() { probe_sent_ = true; }
  void SentAppend(Index last, std::size_t bytes);

  void BecomeReplicate();
  // Sends the snapshot of `index`, from the beginning; 0: there is none yet.
  void BecomeSnapshot(Index index);
  Index snapshot() const { return snapshot_; }
  std::uint64_t snapshot_offset() const { return snapshot_offset_; }
  // It wants the chunk at `offset`.
  void WantsChunk(std::uint64_t offset, std::uint64_t round) {
    snapshot_offset_ = offset;
    chunk_round_ = round;
    chunk_sent_ = false;
  }
  // The round in which it came to want this chunk.
  std::uint64_t chunk_round() const { return chunk_round_; }
  bool chunk_sent() const { return chunk_sent_; }
  void SentChunk() { chunk_sent_ = true; }
  // Probes from `next`, but never below what is known to match.
  void BecomeProbe(Index next);

 private:
  static constexpr std::size_t kWindowMax = 1 << 20;
  struct Append {
    Index last;
    std::size_t bytes;
  };

  State state_ = State::kProbe;
  bool probe_sent_ = false;
  Index match_ = 0;
  Index next_ = 1;
  Index applied_ = 0;
  std::uint64_t answered_round_ = 0;
  Instant contact_;
  Index snapshot_ = 0;
  std::uint64_t snapshot_offset_ = 0;
  std::uint64_t chunk_round_ = 0;
  bool chunk_sent_ = false;
  std::uint64_t transfer_ = 0;
  std::uint32_t priority_ = 0;
  std::deque<Append> under_way_;
  std::size_t bytes_under_way_ = 0;
  // Appends that may be under way: one after appends were refused, twice as many at each success.
  // Otherwise a network that reorders would turn each answer into a burst of repetitions, each
  // repetition into an answer, and so on without end.
  std::size_t window_ = kWindowMax;
};

}  // namespace tenure::raft

#endif  // TENURE_RAFT_PROGRESS_H_
