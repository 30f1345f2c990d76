// Which of the log is on this member's disk.
#ifndef TENURE_RAFT_DURABLE_H_
#define TENURE_RAFT_DURABLE_H_

#include <algorithm>
#include <deque>

#include "tenure/raft_types.h"
#include "tenure/types.h"

namespace tenure::raft {

// Follows the writes under way and tells how far the *present* log is durable. A notice about a
// write whose entries were truncated since vouches for those alone that are still there: indexes
// are reused, writes never (etcd#1690). Not thread-safe.
class Durable {
 public:
  explicit Durable(Index index) : index_(index) {}

  // All of the present log up to here is durable.
  Index index() const { return index_; }
  // All writes up to here are durable.
  WriteId write() const { return write_; }
  // Whether a write is under way.
  bool waiting() const { return !under_way_.empty(); }

  // Write `id`, the newest, brings the log up to `last`.
  void Written(WriteId id, Index last) {
    if (!under_way_.empty() && under_way_.back().id == id) {
      under_way_.back().last = last;
    } else {
      under_way_.push_back({id, last});
    }
  }
  // The log is another one, which begins after `base`; write `id`, the newest, brings that.
  void Replaced(WriteId id, Index base) {
    index_ = 0;
    for (Write& write : under_way_) write.last = 0;
    Written(id, base);
  }
  // The log now ends before `from`.
  void Truncated(Index from) {
    index_ = std::min(index_, from - 1);
    for (Write& write : under_way_) write.last = std::min(write.last, from - 1);
  }
  // The disk says so. Writes that were never under way do not become durable.
  void Notice(WriteId id) {
    while (!under_way_.empty() && under_way_.front().id <= id) {
      index_ = std::max(index_, under_way_.front().last);
      write_ = under_way_.front().id;
      under_way_.pop_front();
    }
  }
  // The write after which the log is durable up to `index`; 0 if it is already.
  WriteId WriteFor(Index index) const {
    if (index <= index_) return 0;
    auto it = std::partition_point(under_way_.begin(), under_way_.end(),
                                   [index](const Write& write) { return write.last < index; });
    return it == under_way_.end() ? 0 : it->id;
  }

 private:
  struct Write {
    WriteId id;
    Index last;
  };
  Index index_;
  WriteId write_ = 0;
  std::deque<Write> under_way_;  // `last` never falls along it
};

}  // namespace tenure::raft

#endif  // TENURE_RAFT_DURABLE_H_
