#include "raft/progress.h"

#include <algorithm>

namespace tenure::raft {

void Progress::Answered(std::uint64_t round, Instant began) {
  if (round <= answered_round_) return;
  answered_round_ = round;
  contact_ = began;
}

bool Progress::Matched(Index index) {
  while (!under_way_.empty() && under_way_.front().last <= index) {
    bytes_under_way_ -= under_way_.front().bytes;
    under_way_.pop_front();
  }
  if (index <= match_) return false;
  match_ = index;
  window_ = std::min(window_ * 2, kWindowMax);
  next_ = std::max(next_, match_ + 1);
  return true;
}

void Progress::SentAppend(Index last, std::size_t bytes) {
  under_way_.push_back({last, bytes});
  bytes_under_way_ += bytes;
  next_ = last + 1;
}

void Progress::BecomeReplicate() {
  state_ = State::kReplicate;
  next_ = match_ + 1;
  under_way_.clear();
  bytes_under_way_ = 0;
}

void Progress::BecomeSnapshot(Index index) {
  state_ = State::kSnapshot;
  snapshot_ = index;
  snapshot_offset_ = 0;
  chunk_round_ = 0;
  chunk_sent_ = false;
  under_way_.clear();
  bytes_under_way_ = 0;
}

void Progress::BecomeProbe(Index next) {
  if (state_ == State::kReplicate) window_ = 1;
  state_ = State::kProbe;
  probe_sent_ = false;
  next_ = std::max(next, match_ + 1);
  under_way_.clear();
  bytes_under_way_ = 0;
}

}  // namespace tenure::raft
