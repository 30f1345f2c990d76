// What client processes asked of a cluster of processes and were told, under faults, judged by the
// linearizability checker.
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/checker/lock_history.h"
#include "tests/process/cluster.h"
#include "tests/process/lock_journal.h"
#include "tests/process/watch.h"

namespace tenure::process {
namespace {

using ::testing::HasSubstr;

class HistoryTest : public ProcessTest {
 protected:
  void StartClient(const Cluster& cluster) {
    const auto number = static_cast<unsigned>(clients_.size());
    clients_.emplace_back(std::vector<std::string>{TENURE_BIN_DIR "/journaling_client",
                                                   cluster.endpoints(), Journal(number),
                                                   absl::StrCat(seed_ + number)});
    killed_ns_.push_back(0);
  }
  void KillClient(std::size_t number) {
    killed_ns_[number] = JournalNow();
    clients_[number].Kill();
  }
  std::string Journal(std::size_t number) const { return Path(absl::StrCat("journal.", number)); }

  // Of all clients so far.
  std::size_t Grants() const {
    std::size_t grants = 0;
    for (std::size_t number = 0; number < clients_.size(); ++number) {
      std::ifstream journal(Journal(number));
      for (JournalLine line; Read(journal, &line);) grants += line.what == "granted" ? 1 : 0;
    }
    return grants;
  }
  void AwaitGrants(std::size_t more) {
    const std::size_t enough = Grants() + more;
    ASSERT_TRUE(Eventually([&] { return Grants() >= enough; })) << clients_.back().err();
  }

  checker::LockHistory History() const {
    checker::LockHistory history;
    for (std::size_t number = 0; number < clients_.size(); ++number) {
      Take(Journal(number), killed_ns_[number], &history);
    }
    return history;
  }
  static std::string Check(const checker::LockHistory& history) {
    std::uint64_t calls = 0;
    std::uint64_t searches = 0;
    std::string wrong = history.Check(&calls, &searches);
    RecordProperty("calls", static_cast<int>(calls));
    RecordProperty("searches", static_cast<int>(searches));
    return wrong;
  }

  const unsigned seed_ =
      ::testing::UnitTest::GetInstance()->random_seed() > 0
          ? static_cast<unsigned>(::testing::UnitTest::GetInstance()->random_seed())
          : 1;
  std::vector<Process> clients_;

 private:
  // One client's journal. What a killed one held may end from then on.
  static void Take(const std::string& path, std::int64_t killed_ns, checker::LockHistory* history) {
    using Id = checker::LockHistory::Id;
    std::ifstream journal(path);
    std::map<std::string, Id> asked, unlocking, reading;
    std::map<std::string, std::uint64_t> held;
    for (JournalLine line; Read(journal, &line);) {
      const absl::Duration at = absl::Nanoseconds(line.at_ns);
      if (line.what == "asked") {
        asked[line.lock] = history->Asked(line.lock, line.first, at);
      } else if (line.what == "granted") {
        history->Granted(asked.at(line.lock), line.first, at);
        held[line.lock] = line.first;
      } else if (line.what == "unlocking") {
        unlocking[line.lock] = history->Unlocking(line.lock, line.first, at);
        held.erase(line.lock);
      } else if (line.what == "unlocked") {
        history->Unlocked(unlocking.at(line.lock), line.first == 1, at);
      } else if (line.what == "may-end") {
        history->MayEnd(line.lock, line.first, at);
        held.erase(line.lock);
      } else if (line.what == "reading") {
        reading[line.lock] = history->Reading(line.lock, at);
      } else if (line.what == "read") {
        history->Read(reading.at(line.lock), line.first, line.second, at);
      } else {
        ADD_FAILURE() << "what is " << line.what << "?";
      }
    }
    for (const auto& [lock, token] : held)
      history->MayEnd(lock, token, absl::Nanoseconds(killed_ns));
  }

  std::vector<std::int64_t> killed_ns_;  // 0: it was not
};

TEST_F(HistoryTest, LocksOfProcessesAreLinearizableUnderFaults) {
  Cluster cluster;
  for (int i = 0; i < 5; ++i) StartClient(cluster);
  AwaitGrants(300);
  // A client dies with what it holds; another takes its place.
  KillClient(0);
  StartClient(cluster);
  AwaitGrants(100);
  // A leader stands still for longer than elections take, and comes back.
  const int paused = cluster.AwaitLeader();
  cluster.member(paused).Pause();
  const int second = cluster.AwaitLeader(cluster.AllBut(paused), paused);
  AwaitGrants(100);
  cluster.member(paused).Resume();
  ASSERT_NE(second, -1);
  cluster.AwaitLeader();
  AwaitGrants(100);
  // A client stands still for longer than its lease, by the cluster's own time.
  clients_[1].Pause();
  const double until = cluster.Status()["cluster_time_seconds"].get<double>() + 4;
  ASSERT_TRUE(
      Eventually([&] { return cluster.Status()["cluster_time_seconds"].get<double>() > until; }));
  clients_[1].Resume();
  AwaitGrants(100);
  // The leader dies.
  cluster.member(cluster.AwaitLeader()).Kill();
  AwaitGrants(300);
  for (std::size_t i = 1; i < clients_.size(); ++i) clients_[i].Signal(SIGTERM);
  for (std::size_t i = 1; i < clients_.size(); ++i) {
    const Result result = clients_[i].Wait();
    EXPECT_EQ(result.status, 0) << result.err;
  }

  const checker::LockHistory history = History();
  EXPECT_EQ(Check(history), "") << "seed " << seed_;
  // It would have been noticed: a second holder beside one that has the lock for a while.
  checker::LockHistory doctored = history;
  const absl::Duration now = absl::Nanoseconds(JournalNow());
  const auto ms = [&](int n) { return now + absl::Milliseconds(n); };
  std::uint64_t token = std::uint64_t{1} << 52;
  doctored.Granted(doctored.Asked("a", 1, ms(1)), token, ms(2));
  doctored.Granted(doctored.Asked("a", 2, ms(3)), token + 1, ms(4));
  doctored.Unlocked(doctored.Unlocking("a", token, ms(5)), true, ms(6));
  EXPECT_THAT(Check(doctored), HasSubstr("not linearizable"));
}

}  // namespace
}  // namespace tenure::process
