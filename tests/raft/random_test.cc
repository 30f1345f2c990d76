// Random runs of whole clusters under fixed seeds: loss, duplication, reordering, partitions,
// crashes that drop what was not durable, restarts, slow and failing disks, changes of members,
// hand-overs and snapshots. After every step the
// properties of figure 3.2 of the dissertation are checked, and what this core promises beyond
// them.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "raft/prng.h"
#include "tests/raft/cluster.h"
#include "tests/testing/sanitized.h"

namespace tenure::raft {
namespace {

constexpr std::int64_t kMs = 1'000'000;

// What must hold, whatever happens. Fed with every step and every message.
class Invariants {
 public:
  explicit Invariants(Cluster* cluster) : cluster_(cluster) {}

  void OnRead(ReadId id) { read_floor_[id] = committed_.empty() ? 0 : committed_.rbegin()->first; }

  void OnStep(Cluster::Node& node, const Output& out) {
    if (out.write.has_value()) OnWrite(node, *out.write);
    if (out.role_change.has_value()) OnRole(node, *out.role_change);
    for (const Entry& entry : out.committed) OnCommitted(node, entry);
    installs += out.install.has_value() && out.install->last;
    if (node.core->configuration().joint()) ++joint_steps;
    for (const ReadReady& ready : out.reads_ready) {
      ++reads_served;
      ASSERT_GE(ready.index, read_floor_[ready.id]) << "a stale read on " << node.id().name;
      ASSERT_LE(ready.index, committed_.rbegin()->first);
    }
    configuration_[node.id().name] = node.core->configuration();
  }

  void OnSend(const Cluster::Node& node, const Message& message) {
    // Nothing is said of a term, and no vote or entry acknowledged, before it is durable.
    const Term durable = node.hard_state.term;
    if (const auto* m = std::get_if<VoteRequest>(&message)) {
      ASSERT_LE(m->term, m->pre_vote ? durable + 1 : durable);
    } else if (const auto* v = std::get_if<VoteResponse>(&message)) {
      ASSERT_LE(v->term, durable);
      if (v->granted && !v->pre_vote && v->term == durable) {
        ASSERT_FALSE(node.hard_state.vote.empty());
      }
    } else if (const auto* r = std::get_if<AppendResponse>(&message)) {
      ASSERT_LE(r->term, durable);
      // A disk that a later leader rewrote meanwhile may end sooner.
      if (r->accepted && r->term == durable) {
        ASSERT_LE(r->match_index, node.disk.last_index());
      }
    } else if (const auto* t = std::get_if<TimeoutNow>(&message)) {
      ASSERT_EQ(t->term, durable);
      // Whoever asks for an election has no lease, from before anybody hears of it.
      ASSERT_FALSE(node.core->HasLease(cluster_->now()));
    } else {
      ASSERT_LE(std::visit([](const auto& any) { return any.term; }, message), durable);
    }
  }
  void OnVote(const MemberId& voter, const MemberId& candidate, const VoteResponse& response) {
    if (!response.granted || response.pre_vote) return;
    auto [it, first] = votes_.try_emplace({voter.name, response.request_term}, candidate.name);
    ASSERT_EQ(it->second, candidate.name) << voter.name << " voted twice";
  }

  static bool Names(const std::vector<Server>& servers, const MemberId& id) {
    return std::any_of(servers.begin(), servers.end(),
                       [&id](const Server& server) { return server.id == id; });
  }
  static bool Names(const Configuration& c, const MemberId& id) {
    return Names(c.voters, id) || Names(c.voters_outgoing, id) || Names(c.learners, id);
  }

  Index committed() const { return committed_.empty() ? 0 : committed_.rbegin()->first; }
  int reads_served = 0;
  int leaders() const { return static_cast<int>(leaders_.size()); }
  int trims = 0;
  int truncations = 0;
  int installs = 0;
  int joint_steps = 0;

 private:
  struct Known {
    Term term;
    Payload payload;
  };

  void OnWrite(Cluster::Node& node, const WriteBatch& batch) {
    for (const Entry& entry : batch.entries) {
      // Log matching, by induction: what precedes an entry is fixed by its index and term.
      const Term before = node.memory.TermAt(entry.index - 1);
      auto [it, first] =
          entries_.try_emplace({entry.index, entry.term}, std::pair(before, entry.payload));
      ASSERT_EQ(it->second.second, entry.payload) << "two entries at one index and term";
      if (before != 0) {
        ASSERT_EQ(it->second.first, before) << "logs do not match";
      }
      auto known = committed_.find(entry.index);
      if (known != committed_.end() && entry.term != known->second.term) {
        ASSERT_LT(entry.term, known->second.term) << "a later term overwrote a committed entry";
      }
    }
    truncations += batch.truncate_from != 0;
    if (batch.truncate_from != 0) {
      ASSERT_GT(batch.truncate_from, node.committed) << "a committed entry was truncated";
    }
    trims += batch.trim_through != 0;
    if (batch.trim_through == 0 || batch.trim_through <= node.memory.snapshot.index) return;
    ASSERT_TRUE(node.options.trim_without_snapshot) << "trimmed what a restart needs";
    if (node.core->role() != Role::kLeader) return;  // its leader decided it
    for (auto& other : cluster_->nodes()) {
      if (!Names(node.core->configuration(), other->id())) continue;
      ASSERT_LE(batch.trim_through, other->disk.last_index()) << "trimmed what another may need";
    }
  }

  void OnRole(const Cluster::Node& node, const RoleChange& change) {
    if (change.role != Role::kLeader) return;
    auto [it, first] = leaders_.try_emplace(change.term, node.id().name);
    ASSERT_EQ(it->second, node.id().name) << "two leaders in term " << change.term;
    for (auto& other : cluster_->nodes()) {
      if (other.get() == &node || !other->core.has_value()) continue;
      ASSERT_FALSE(other->core->HasLease(cluster_->now()))
          << node.id().name << " leads in term " << change.term << " within the lease of "
          << other->id().name;
    }
    // Leader completeness: with the entries that were committed in earlier terms.
    for (const auto& [index, known] : committed_) {
      if (index <= node.memory.trimmed_through || commit_term_[index] >= change.term) continue;
      ASSERT_EQ(node.memory.TermAt(index), known.term)
          << "a leader lacks committed entry " << index;
    }
  }

  void OnCommitted(const Cluster::Node& node, const Entry& entry) {
    auto [it, first] = committed_.try_emplace(entry.index, Known{entry.term, entry.payload});
    ASSERT_EQ(it->second.term, entry.term) << "different entries committed at " << entry.index;
    ASSERT_EQ(it->second.payload, entry.payload);
    if (!first) return;
    commit_term_[entry.index] = node.core->term();
    // On the disks of a majority, now and for ever: of the configuration before this step, which
    // may have appended the next one.
    const Configuration& c = configuration_[node.id().name];
    ASSERT_TRUE(HeldByMost(c.voters, entry) && (!c.joint() || HeldByMost(c.voters_outgoing, entry)))
        << "committed too early: " << entry.index;
  }
  bool HeldByMost(const std::vector<Server>& servers, const Entry& entry) const {
    std::size_t copies = 0;
    for (const Server& server : servers) {
      const Cluster::Node* other = cluster_->Find(server.id);
      copies += other->disk.trimmed_through >= entry.index ||
                other->disk.TermAt(entry.index) == entry.term;
    }
    return copies >= servers.size() / 2 + 1;
  }

  Cluster* cluster_;
  std::map<Term, std::string> leaders_;
  std::map<std::pair<std::string, Term>, std::string> votes_;
  std::map<std::pair<Index, Term>, std::pair<Term, Payload>> entries_;
  std::map<Index, Known> committed_;
  std::map<Index, Term> commit_term_;
  std::map<ReadId, Index> read_floor_;
  std::map<std::string, Configuration> configuration_;  // by member, after its last step
};

class RandomRun {
 public:
  explicit RandomRun(std::uint64_t seed) : prng_(seed), invariants_(&cluster_) {
    const std::size_t sizes[] = {1, 2, 3, 3, 3, 5};
    const std::size_t size = sizes[prng_.Below(6)];
    loss_ = prng_.Below(2) == 0 ? 0 : prng_.Below(20);
    repeat_ = prng_.Below(2) == 0 ? 0 : prng_.Below(10);
    delay_ns_ = static_cast<std::int64_t>(1 + prng_.Below(60)) * kMs;
    write_percent_ = 5 + prng_.Below(90);
    calm_ = 20 + prng_.Below(150);
    std::vector<MemberId> ids;
    for (std::size_t i = 1; i <= size; ++i) ids.push_back({absl::StrCat("n", i), 100 + i});
    auto voters = Voters(ids);
    const std::size_t spares = prng_.Below(3);
    for (std::size_t i = 1; i <= spares; ++i) ids.push_back({absl::StrCat("s", i), 200 + i});
    const bool trim = prng_.Below(2) == 0;
    for (const MemberId& id : ids) {
      Options options;
      options.self = id;
      options.trim_without_snapshot = trim;
      options.lease_reads = seed % 3 == 0;
      options.priority = seed % 5 == 0 ? static_cast<std::uint32_t>(prng_.Below(3)) : 0;
      options.seed = prng_.Next();
      options.append_entries_max = 1 + prng_.Below(8);
      options.append_bytes_max = 20000;
      // Half the runs with the default, so that a storm of repetitions would be seen.
      if (seed % 2 == 0) options.inflight_appends_max = 1 + prng_.Below(6);
      Cluster::Node& node = cluster_.Add(options);
      node.hard_state.term = 1;
      if (id.incarnation < 200) node.disk.entries.push_back(FirstEntry(voters));
    }
    cluster_.on_step = [this](Cluster::Node& node, const Event&, const Output& out) {
      invariants_.OnStep(node, out);
    };
    cluster_.on_send = [this](Cluster::Node& node, Cluster::Flight& flight) {
      return Schedule(node, flight);
    };
    for (auto& node : cluster_.nodes()) cluster_.Start(*node, Instant{});
  }

  void Run(int turns) {
    for (int i = 0; i < turns && !::testing::Test::HasFatalFailure(); ++i) {
      Turn();
      if (prng_.Below(calm_) == 0) Disturb();
    }
    if (!::testing::Test::HasFatalFailure()) Heal();
  }

  const Invariants& invariants() const { return invariants_; }
  std::uint64_t digest() const { return digest_; }

 private:
  bool Schedule(Cluster::Node& node, Cluster::Flight& flight) {
    invariants_.OnSend(node, flight.message);
    if (const auto* vote = std::get_if<VoteResponse>(&flight.message)) {
      invariants_.OnVote(flight.from, flight.to, *vote);
    }
    digest_ = digest_ * 31 + flight.message.index() + static_cast<std::uint64_t>(cluster_.now_ns());
    if (cut_.count({flight.from.name, flight.to.name}) != 0) return false;
    if (prng_.Below(100) < loss_) return false;
    flight.due_ns = cluster_.now_ns() + 1 +
                    static_cast<std::int64_t>(prng_.Below(static_cast<std::uint64_t>(delay_ns_)));
    if (prng_.Below(100) < repeat_) {
      Cluster::Flight copy = flight;  // and some of them very late
      copy.due_ns += static_cast<std::int64_t>(prng_.Below(20)) * delay_ns_;
      cluster_.flights().push_back(std::move(copy));
    }
    return true;
  }

  // A few milliseconds pass: messages arrive, disks sync, timers fire, clients come.
  void Turn() {
    cluster_.set_now_ns(cluster_.now_ns() + static_cast<std::int64_t>(1 + prng_.Below(4)) * kMs);
    auto& flights = cluster_.flights();
    ASSERT_LT(flights.size(), 3000u) << "a storm of messages";
    std::vector<Cluster::Flight> due;
    for (std::size_t i = 0; i < flights.size();) {
      if (flights[i].due_ns > cluster_.now_ns()) {
        ++i;
        continue;
      }
      due.push_back(std::move(flights[i]));
      flights.erase(flights.begin() + static_cast<std::ptrdiff_t>(i));
    }
    std::stable_sort(due.begin(), due.end(),
                     [](const auto& a, const auto& b) { return a.due_ns < b.due_ns; });
    for (auto& flight : due) cluster_.Deliver(std::move(flight));
    for (auto& node : cluster_.nodes()) {
      if (!node->core.has_value()) continue;
      while (!node->writes.empty() && prng_.Below(100) < write_percent_) {
        cluster_.CompleteWrite(*node);
      }
      if (prng_.Below(4) != 0) cluster_.ApplyAll(*node);
      if (cluster_.now().Reached(node->deadline)) cluster_.Step(*node, Timer{});
      if (node->core->snapshot_wanted() || prng_.Below(500) == 0) cluster_.TakeSnapshot(*node);
      if (clients_ && prng_.Below(5) == 0) Ask(*node);
    }
  }

  void Ask(Cluster::Node& node) {
    if (node.core->role() != Role::kLeader && prng_.Below(10) != 0) return;
    if (prng_.Below(3) == 0) {
      invariants_.OnRead(++last_read_);
      cluster_.Step(node, Read{last_read_});
      return;
    }
    for (std::uint64_t i = prng_.Below(8); i > 0; --i) {
      auto payload = std::make_shared<const std::string>(prng_.Below(3000), 'x');
      cluster_.Step(node, Propose{std::move(payload), cluster_.now_ns()});
    }
  }

  void Disturb() {
    auto& nodes = cluster_.nodes();
    Cluster::Node* chosen = nodes[prng_.Below(nodes.size())].get();
    for (auto& other : nodes) {  // a leader's troubles are the interesting ones
      const bool leads = other->core.has_value() && other->core->role() == Role::kLeader;
      if (leads && prng_.Below(2) == 0) chosen = other.get();
    }
    Cluster::Node& node = *chosen;
    switch (prng_.Below(10)) {
      case 0:
      case 1:
        if (node.core.has_value()) {
          cluster_.Crash(node);
        } else {
          Restart(node);
        }
        return;
      case 2:
        if (node.core.has_value() && prng_.Below(3) == 0) {
          cluster_.Step(node, WriteFailed{});
          EXPECT_EQ(node.core->role(), Role::kStopped);
          cluster_.Crash(node);
        }
        return;
      case 3:
        for (auto& other : nodes) {
          if (prng_.Below(2) == 0) cut_.insert({node.id().name, other->id().name});
          if (prng_.Below(2) == 0) cut_.insert({other->id().name, node.id().name});
        }
        return;
      case 4:
        cut_.clear();
        return;
      case 5:
      case 6:
        if (Cluster::Node* leader = Leader()) Reconfigure(*leader);
        return;
      case 7:
        if (Cluster::Node* leader = Leader()) {
          Transfer transfer;
          if (prng_.Below(2) == 0) transfer.target = nodes[prng_.Below(nodes.size())]->id();
          if (cluster_.Step(*leader, transfer).refused.ok()) ++transfers;
        }
        return;
      default:
        write_percent_ = 5 + prng_.Below(95);
    }
  }

  // Who is where, for whoever reads of a failure.
  std::string Describe() {
    std::string text;
    for (auto& node : cluster_.nodes()) {
      const Core& core = *node->core;
      absl::StrAppend(&text, node->id().name, " role ", static_cast<int>(core.role()), " term ",
                      core.term(), " last ", core.last_index(), "/",
                      node->memory.TermAt(core.last_index()), " commit ", core.commit_index(),
                      " trimmed ", node->memory.trimmed_through, " members since ",
                      core.configuration_index(), ":");
      for (const Server& server : core.configuration().voters) {
        absl::StrAppend(&text, " ", server.id.name);
      }
      for (const Server& server : core.configuration().voters_outgoing) {
        absl::StrAppend(&text, " -", server.id.name);
      }
      absl::StrAppend(&text, "\n");
    }
    return text;
  }

  Cluster::Node* Leader() {
    Cluster::Node* leader = nullptr;
    for (auto& node : cluster_.nodes()) {
      if (!node->core.has_value() || node->core->role() != Role::kLeader) continue;
      if (leader == nullptr || node->core->term() > leader->core->term()) leader = node.get();
    }
    return leader;
  }

  void Reconfigure(Cluster::Node& node) {
    Configure configure;
    for (auto& other : cluster_.nodes()) {
      const Server server{other->id(), other->id().name + ":7400"};
      const std::uint64_t what = prng_.Below(6);
      if (what < 4) configure.voters.push_back(server);
      if (what == 4) configure.learners.push_back(server);
    }
    const Output out = cluster_.Step(node, configure);
    if (out.proposed.has_value()) ++changes;
  }

  void Restart(Cluster::Node& node) {
    cluster_.Start(node, cluster_.now() + node.options.election_timeout_max);
  }

  // Once the faults are over, everybody agrees within seconds.
  void Heal() {
    cut_.clear();
    loss_ = repeat_ = 0;
    write_percent_ = 95;
    delay_ns_ = 2 * kMs;
    for (auto& node : cluster_.nodes()) {
      if (!node->core.has_value()) Restart(*node);
    }
    for (int i = 0; i < 1500; ++i) Turn();  // about four seconds
    clients_ = false;
    for (int i = 0; i < 2000; ++i) Turn();
    std::size_t leaders = 0;
    const Configuration* members = nullptr;
    for (auto& node : cluster_.nodes()) {
      leaders += node->core->role() == Role::kLeader;
      if (node->core->role() == Role::kLeader) members = &node->core->configuration();
    }
    ASSERT_EQ(leaders, 1u) << Describe();
    ASSERT_FALSE(members->joint());
    for (auto& node : cluster_.nodes()) {
      if (!Invariants::Names(*members, node->id())) continue;  // it may never hear of its removal
      ASSERT_EQ(node->core->commit_index(), invariants_.committed()) << node->id().name;
      ASSERT_EQ(node->core->last_index(), invariants_.committed()) << node->id().name;
    }
  }

 public:
  int changes = 0;
  int transfers = 0;

 private:
  Prng prng_;
  Cluster cluster_;
  Invariants invariants_;
  std::uint64_t loss_ = 0;
  std::uint64_t repeat_ = 0;
  std::int64_t delay_ns_ = 0;
  std::uint64_t write_percent_ = 0;
  std::uint64_t calm_ = 1;  // turns between two disturbances, on average
  bool clients_ = true;
  std::set<std::pair<std::string, std::string>> cut_;
  ReadId last_read_ = 0;
  std::uint64_t digest_ = 0;
};

constexpr int kSeedsPerCase = tenure::testing::kSanitized ? 5 : 40;

class RandomCluster : public ::testing::TestWithParam<int> {};

TEST_P(RandomCluster, KeepsEveryInvariant) {
  Index committed = 0;
  int reads = 0;
  int leaders = 0;
  int trims = 0;
  int truncations = 0;
  int installs = 0;
  int joint_steps = 0;
  int changes = 0;
  int transfers = 0;
  for (int i = 0; i < kSeedsPerCase; ++i) {
    const int seed = GetParam() * kSeedsPerCase + i;
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    RandomRun run(static_cast<std::uint64_t>(seed));
    run.Run(2500);
    if (HasFailure()) return;
    committed += run.invariants().committed();
    reads += run.invariants().reads_served;
    leaders += run.invariants().leaders();
    trims += run.invariants().trims;
    truncations += run.invariants().truncations;
    installs += run.invariants().installs;
    joint_steps += run.invariants().joint_steps;
    changes += run.changes;
    transfers += run.transfers;
  }
  RecordProperty("committed", static_cast<int>(committed));
  EXPECT_GT(committed, 0u);
  if (tenure::testing::kSanitized) return;  // a few runs need not visit everything
  // The runs did visit what they are for.
  EXPECT_GT(committed, 1000u);
  EXPECT_GT(reads, 500);
  EXPECT_GT(leaders, kSeedsPerCase);
  EXPECT_GT(trims, 10);
  EXPECT_GT(truncations, 0);
  EXPECT_GT(installs, 0);
  EXPECT_GT(joint_steps, 50);
  EXPECT_GT(changes, 10);
  EXPECT_GT(transfers, 5);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomCluster,
                         ::testing::Range(0, tenure::testing::kSanitized ? 1 : 8));

TEST(RandomRunTest, IsReplayedByItsSeed) {
  RandomRun a(4711);
  RandomRun b(4711);
  a.Run(500);
  b.Run(500);
  EXPECT_EQ(a.digest(), b.digest());
}

}  // namespace
}  // namespace tenure::raft
