// The log as the core holds it: in memory, trimmed from below, truncated from above, and aware of
// the configurations in it.
#ifndef TENURE_RAFT_LOG_H_
#define TENURE_RAFT_LOG_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "tenure/raft_types.h"
#include "tenure/types.h"

namespace tenure::raft {

// Not thread-safe. All lookups are O(1) but LastNotAfter, which is O(log n).
class Log {
 public:
  // What an entry is charged beside its payload: the slot, and a share of what points at it.
  static constexpr std::size_t kEntryCharge = 96;

  // The log before its first held entry: what is known of the last trimmed one, or nothing.
  struct Base {
    Index index = 0;
    Term term = 0;
    std::int64_t stamp_ns = 0;
    std::shared_ptr<const Configuration> configuration;  // in force there; null: empty
  };
  Log(Base base, std::vector<Entry> entries);

  Index trimmed_through() const { return base_.index; }
  Index last_index() const { return base_.index + slots_.size(); }
  Term last_term() const { return slots_.empty() ? base_.term : slots_.back().entry.term; }
  std::int64_t last_stamp_ns() const {
    return slots_.empty() ? base_.stamp_ns : slots_.back().entry.stamp_ns;
  }

  bool Holds(Index index) const { return index > base_.index && index <= last_index(); }
  // The entry at `index`, which the log must hold.
  const Entry& At(Index index) const { return slots_[index - base_.index - 1].entry; }
  // Term and stamp at `index`, also of the last trimmed entry; absent if trimmed away or not there
  // yet.
  std::optional<Term> TermAt(Index index) const;
  std::optional<std::int64_t> StampAt(Index index) const;

  // The last index up to `from` whose term is not above `term`, or trimmed_through(). What either
  // side of a refused append may skip to: no later entry can agree (section 3.5, last paragraph).
  Index LastNotAfter(Index from, Term term) const;

  // Entries from `first` on, at most so many and so many charged bytes, but one at least if any is
  // held.
  std::vector<Entry> Slice(Index first, std::size_t max_entries, std::size_t max_bytes) const;

  // `entry.index` must be last_index() + 1.
  void Append(Entry entry);
  // Drops the entries from `index` on, and with them the configurations that they brought.
  void TruncateFrom(Index index);
  // Drops the entries up to `index`, which must not exceed last_index().
  void TrimThrough(Index index);

  // Drops everything: the log begins anew after `base`.
  void Reset(Base base);

  // Charged bytes of all entries, and of those that TrimThrough(index) would drop.
  std::size_t bytes() const { return last_total() - trimmed_bytes_; }
  std::size_t BytesThrough(Index index) const;

  // In force: the last one appended (section 4.1). Never null.
  const std::shared_ptr<const Configuration>& configuration() const {
    return configurations_.back().configuration;
  }
  // In force at `index`, which must not be below trimmed_through().
  const std::shared_ptr<const Configuration>& ConfigurationAt(Index index) const;
  // Whether a configuration that is or was in force at `index` or later makes `id` a voter.
  bool NamesVoterSince(Index index, const MemberId& id) const;
  // Where it was appended, or trimmed_through() if it is older than that.
  Index configuration_index() const { return configurations_.back().since; }

  static std::size_t Charge(const Entry& entry) { return kEntryCharge + entry.payload_bytes(); }

 private:
  struct Slot {
    Entry entry;
    std::size_t total;  // charged bytes of this entry and all before it, ever
  };
  struct InForce {
    Index since;
    std::shared_ptr<const Configuration> configuration;
  };

  std::size_t last_total() const { return slots_.empty() ? trimmed_bytes_ : slots_.back().total; }

  Base base_;
  std::deque<Slot> slots_;
  std::size_t trimmed_bytes_ = 0;
  std::vector<InForce> configurations_;  // by index; the first is the one at base_
};

}  // namespace tenure::raft

#endif  // TENURE_RAFT_LOG_H_
