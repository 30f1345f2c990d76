// The client's half of "exactly once": numbers commands, and tells the machine which replies it
// has. Not thread-safe.
#ifndef TENURE_CLIENT_SEQUENCES_H_
#define TENURE_CLIENT_SEQUENCES_H_

#include <algorithm>
#include <cstddef>
#include <deque>
#include <utility>
#include <vector>

#include "tenure/command.h"
#include "tenure/types.h"

namespace tenure::client {

class Sequences {
 public:
  Sequence Next() {
    finished_.push_back(false);
    return through_ + finished_.size();
  }

  // The command with this sequence is settled: its reply is here, or it will never be sent again.
  // It is acknowledged from now on. Harmless to repeat.
  void Finish(Sequence sequence) {
    if (sequence <= through_ || finished_[sequence - through_ - 1]) return;
    finished_[sequence - through_ - 1] = true;
    if (sequence != through_ + 1) {
      unsaid_.push_back(sequence);
      return;
    }
    while (!finished_.empty() && finished_.front()) {
      finished_.pop_front();
      ++through_;
    }
  }

  // Puts into `command` what is to be acknowledged: a floor, which every command repeats, and
  // single sequences above it, which are said once. Call Unsay with them if the command gets no
  // reply.
  void Acknowledge(Command& command) {
    command.acknowledged_through = through_;
    if (unsaid_.empty()) return;
    std::erase_if(unsaid_, [this](Sequence sequence) { return sequence <= through_; });
    const std::size_t count = std::min(unsaid_.size(), kSinglesMax);
    command.acknowledged.assign(unsaid_.begin(),
                                unsaid_.begin() + static_cast<std::ptrdiff_t>(count));
    unsaid_.erase(unsaid_.begin(), unsaid_.begin() + static_cast<std::ptrdiff_t>(count));
  }
  void Unsay(const std::vector<Sequence>& singles) {
    unsaid_.insert(unsaid_.end(), singles.begin(), singles.end());
  }

  Sequence through() const { return through_; }
  // How many are numbered above that.
  std::size_t ahead() const { return finished_.size(); }

 private:
  static constexpr std::size_t kSinglesMax = 256;

  Sequence through_ = 0;
  std::deque<bool> finished_;     // of through_ + 1 and on
  std::vector<Sequence> unsaid_;  // finished ones above through_
};

}  // namespace tenure::client

#endif  // TENURE_CLIENT_SEQUENCES_H_
