// Linearizable reads that wait for a leader's proof that it still leads (ReadIndex, section 6.4).
#ifndef TENURE_RAFT_READS_H_
#define TENURE_RAFT_READS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "raft/core.h"
#include "tenure/types.h"

namespace tenure::raft {

// Reads wait for a round that begins after they came; all that came before one share it.
class Reads {
 public:
  std::size_t size() const { return size_; }
  bool waiting() const { return !waiting_.empty(); }
  bool under_way() const { return !under_way_.empty(); }

  void Add(ReadId id) {
    waiting_.push_back(id);
    ++size_;
  }
  // Round `round` begins, at a moment when everything up to `commit` is known to be committed.
  void Join(std::uint64_t round, Index commit) {
    if (waiting_.empty()) return;
    under_way_.push_back({round, commit, std::exchange(waiting_, {})});
  }
  // A quorum has answered `round` or a later one.
  void Confirm(std::uint64_t round, std::vector<ReadReady>& ready) {
    while (!under_way_.empty() && under_way_.front().round <= round) {
      for (ReadId id : under_way_.front().ids) ready.push_back({id, under_way_.front().index});
      size_ -= under_way_.front().ids.size();
      under_way_.pop_front();
    }
  }
  // Leadership is gone.
  void RefuseAll(std::vector<ReadId>& refused) {
    for (const Group& group : under_way_) {
      refused.insert(refused.end(), group.ids.begin(), group.ids.end());
    }
    refused.insert(refused.end(), waiting_.begin(), waiting_.end());
    under_way_.clear();
    waiting_.clear();
    size_ = 0;
  }

 private:
  struct Group {
    std::uint64_t round;
    Index index;
    std::vector<ReadId> ids;
  };
  std::vector<ReadId> waiting_;
  std::deque<Group> under_way_;
  std::size_t size_ = 0;
};

}  // namespace tenure::raft

#endif  // TENURE_RAFT_READS_H_
