// What is known of a run from outside of the members: each incarnation's log as it was written and
// as it is durable, what was committed, and what the machine made of it. Invariants are judged by
// these, never by what a member believes of itself.
#ifndef TENURE_TESTS_SIM_FACTS_H_
#define TENURE_TESTS_SIM_FACTS_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tenure/raft_types.h"
#include "tenure/storage.h"
#include "tenure/types.h"

namespace tenure::sim {

struct EntryFact {
  Index index = 0;
  Term term = 0;
  raft::EntryKind kind = raft::EntryKind::kNoOp;
  std::int64_t stamp_ns = 0;
  std::uint64_t content = 0;  // a hash over everything that the entry is

  friend bool operator==(const EntryFact&, const EntryFact&) = default;
};

EntryFact FactOf(const raft::Entry& entry);

// One log, written or durable. Where a snapshot stands for its beginning, or it was trimmed, the
// base tells of the last entry before it.
class LogFact {
 public:
  void Recover(const Recovered& recovered);
  void Apply(const raft::WriteBatch& batch);

  Index first_index() const { return base_.index + 1; }
  Index last_index() const { return base_.index + entries_.size(); }
  // Null if the log does not reach there, or not back to there any more.
  const EntryFact* At(Index index) const {
    if (index < first_index() || index > last_index()) return nullptr;
    return &entries_[index - first_index()];
  }
  // In the snapshot, or applied by everybody: in either case it was committed, and it is had.
  bool Trimmed(Index index) const { return index <= base_.index; }
  // Index, term and stamp of the entry at `index`, also of the last one that was trimmed; nothing
  // if unknown.
  struct Place {
    Index index = 0;
    Term term = 0;
    std::int64_t stamp_ns = 0;
  };
  std::optional<Place> PlaceAt(Index index) const;
  // Whether `snapshot` would take the place of this log as a whole.
  bool ReplacedBy(const raft::SnapshotInfo& snapshot) const;
  Index snapshot_index() const { return snapshot_index_; }
  // How much of a snapshot in the making, of that index, is here; all of it once it is whole.
  std::uint64_t BytesOf(Index snapshot) const;
  const raft::HardState& hard_state() const { return hard_state_; }

 private:
  Place base_;
  std::deque<EntryFact> entries_;
  Index snapshot_index_ = 0;
  std::map<Index, std::uint64_t> chunks_;  // of this process; the most that there ever was
  raft::HardState hard_state_;
};

// One incarnation. Kept when it is gone: what it had acknowledged counts for what was committed.
struct IncarnationFacts {
  MemberId id;
  ClusterId cluster;  // empty: free
  LogFact written;
  LogFact durable;
  // Of its present process.
  Term term = 0;
  Index commit = 0;
  Index applied = 0;
  bool leads = false;
  absl::Duration started;  // true time
  Instant started_by_own_clock;
  bool recovered = false;  // it had data when it started
  // An older copy of its disk was put back: what it had acknowledged before.
  std::optional<LogFact> before_it_went_back;
  bool went_back() const { return before_it_went_back.has_value(); }
};

struct CommittedFact {
  EntryFact entry;
  Term by_term = 0;   // the term of the leader that committed it first
  absl::Duration at;  // true time
};
struct AppliedFact {
  std::uint64_t state_hash = 0;
  Revision revision = 0;
};

// One cluster, by its id: what was wiped and bootstrapped anew is another.
struct ClusterFacts {
  std::vector<CommittedFact> committed;  // of index 1, 2, ...
  std::vector<AppliedFact> applied;      // likewise, by whoever was first
  // Those that were committed, in their order.
  std::vector<std::pair<Index, std::shared_ptr<const raft::Configuration>>> configurations;
  std::map<Term, MemberId> leaders;
  Term last_term = 0;  // the greatest with a leader

  Index last_committed() const { return committed.size(); }
  // In force at `index` by what is committed; null before the first.
  std::shared_ptr<const raft::Configuration> ConfigurationAt(Index index) const;
};

struct Facts {
  std::map<MemberId, IncarnationFacts> incarnations;
  // By name: the youngest incarnation. Every other one is lost: no process will ever be it again.
  std::map<std::string, MemberId> youngest;
  std::map<ClusterId, ClusterFacts> clusters;
  Revision revision = 0;  // the greatest that any machine reached by a committed entry
  std::map<SessionId, absl::Duration>
      ended;  // sessions, and when an applied entry first ended them
  // Of all clusters: true time of the latest first commit, and what came of leaders.
  absl::Duration last_commit_at;
  std::uint64_t leader_changes = 0;

  bool Lost(const MemberId& id) const;
};

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_FACTS_H_
