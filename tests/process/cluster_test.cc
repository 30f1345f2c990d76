// A cluster of processes under faults: its promise to clients in other processes.
#include "tests/process/cluster.h"

#include <signal.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/journal.h"
#include "gmock/gmock.h"
#include "tests/process/watch.h"

namespace tenure::process {
namespace {

using ::testing::HasSubstr;

class ClusterTest : public ProcessTest {
 protected:
  // Counts in the file "counter" under the lock "counter" until SIGTERM.
  Process Client(const Cluster& cluster, int number, std::vector<std::string> flags = {}) {
    std::vector<std::string> command = {
        TENURE_BIN_DIR "/count_under_lock", "--at=tenure://" + cluster.endpoints(),
        "--counter=" + Path("counter"), "--journal=" + Journal(number)};
    command.insert(command.end(), flags.begin(), flags.end());
    return Process(command);
  }
  std::string Journal(int number) const { return Path(absl::StrCat("journal.", number)); }
  std::int64_t Counter() const { return examples::ReadCounter(Path("counter")); }
};

void ExpectNoFaults(const std::vector<examples::Section>& sections, std::int64_t counter) {
  const examples::Faults faults = examples::FindFaults(sections, counter);
  EXPECT_EQ(faults.overlaps, 0);
  EXPECT_EQ(faults.falls, 0);
  EXPECT_EQ(faults.lost, 0);
}

// L3 at the level of processes: the lock that clients hold and wait for outlives its leader.
TEST_F(ClusterTest, L3_T9_AKilledLeaderCostsNoCountAndNoOrder) {
  Cluster cluster;
  constexpr int kClients = 5;
  std::vector<Process> clients;
  std::vector<std::string> journals;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(Client(cluster, i));
    journals.push_back(Journal(i));
  }
  ASSERT_TRUE(Eventually([&] { return Counter() >= 100; })) << clients[0].err();
  const int leader = cluster.AwaitLeader();
  cluster.member(leader).Kill();
  const std::int64_t killed_us = examples::NowUs();
  const std::int64_t before = Counter();
  ASSERT_TRUE(Eventually([&] { return Counter() >= before + 100; })) << clients[0].err();
  for (const Process& client : clients) client.Signal(SIGTERM);
  for (Process& client : clients) {
    const Result result = client.Wait();
    EXPECT_EQ(result.status, 0) << result.err;
  }

  // All have taken their leave: sooner than their leases end.
  EXPECT_TRUE(Eventually([&] { return cluster.Status()["sessions"] == 0; }, absl::Seconds(5)));
  const std::vector<examples::Section> sections = examples::ReadJournals(journals);
  ExpectNoFaults(sections, Counter());
  EXPECT_LT(sections.front().begin_us, killed_us);
  EXPECT_GT(sections.back().begin_us, killed_us);
  EXPECT_NE(cluster.AwaitLeader(cluster.AllBut(leader), leader), -1);

  // T9: the survivors have applied the same, to the same state.
  nlohmann::json one;
  nlohmann::json other;
  ASSERT_TRUE(Eventually([&] {
    one = cluster.Status(cluster.AllBut(leader)[0]);
    other = cluster.Status(cluster.AllBut(leader)[1]);
    return one["applied"] == other["applied"];
  })) << one
      << other;
  EXPECT_EQ(one["state_hash"], other["state_hash"]);
}

// L1: a leader that is stopped for longer than any lease comes back and ends nobody's.
TEST_F(ClusterTest, L1_APausedLeaderComesBackAndRevokesNothing) {
  Cluster cluster;
  // Ends with 76 if its lease is lost. The lease is long enough for a client to find the new
  // leader.
  Process holder =
      Tenure({"lock", "a", "--ttl=5s", "--", "sh", "-c", "echo $TENURE_FENCING_TOKEN; cat"},
             cluster.endpoints(), {.input_stays_open = true});
  ASSERT_TRUE(holder.AwaitOut("\n"));
  const int old_leader = cluster.AwaitLeader();
  cluster.member(old_leader).Pause();
  const int new_leader = cluster.AwaitLeader(cluster.AllBut(old_leader), old_leader);
  // The old leader stands still for more than the lease, by the cluster's own time.
  const double until = cluster.Status(new_leader)["cluster_time_seconds"].get<double>() + 6;
  const auto has_passed = [&](int member) {
    return cluster.Status(member)["cluster_time_seconds"].get<double>() > until;
  };
  ASSERT_TRUE(Eventually([&] { return has_passed(new_leader); }))
      << until << cluster.Status(new_leader) << holder.err();
  cluster.member(old_leader).Resume();
  cluster.AwaitLeader();
  ASSERT_TRUE(Eventually([&] { return has_passed(old_leader); }));
  EXPECT_TRUE(holder.running());
  EXPECT_EQ(absl::StrCat(cluster.Lock("a")["holder"]["token"].get<std::int64_t>(), "\n"),
            holder.out());
  holder.CloseInput();
  EXPECT_EQ(holder.Wait().status, 0);
}

// L9: a client that is paused past its lease ends as lost, writes nothing, and was no holder any
// more when its successor became one.
TEST_F(ClusterTest, L9_AClientPausedPastItsLeaseHasLost) {
  Cluster cluster({.members = 1});
  Process paused = Client(cluster, 0, {"--ttl-s=1", "--hold-ms=600000", "--verbose"});
  ASSERT_TRUE(paused.AwaitOut("holds"));
  paused.Pause();
  Process successor = Client(cluster, 1);
  ASSERT_TRUE(Eventually([&] { return Counter() >= 3; })) << successor.err();
  paused.Resume();
  const Result lost = paused.Wait();
  EXPECT_EQ(lost.status, 76);
  EXPECT_THAT(lost.err, HasSubstr("lost the lock"));
  successor.Signal(SIGTERM);
  EXPECT_EQ(successor.Wait().status, 0);

  const std::vector<examples::Section> sections = examples::ReadJournals({Journal(0), Journal(1)});
  ExpectNoFaults(sections, Counter());
  EXPECT_EQ(sections.front().count, 0);
}

}  // namespace
}  // namespace tenure::process
