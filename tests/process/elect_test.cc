// `tenure elect`, `tenure watch` and `tenure inspect elections`, on clusters of real processes.
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/process/cluster.h"
#include "tests/process/matchers.h"
#include "tests/process/watch.h"

namespace tenure::process {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ElectTest : public ProcessTest {
 protected:
  // Leads, once it is elected, until its input is closed. "leads TERM" shows that it does.
  static Process Lead(const Cluster& cluster, const std::string& value,
                      std::vector<std::string> flags = {}) {
    std::vector<std::string> arguments = {"elect", "e", absl::StrCat("--value=", value)};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    arguments.insert(arguments.end(),
                     {"--", "sh", "-c", "echo leads $TENURE_NAME $TENURE_FENCING_TOKEN; exec cat"});
    return Tenure(std::move(arguments), cluster.endpoints(), {.input_stays_open = true});
  }
  static long long TermOf(const Process& leader) {
    const std::string out = leader.out();
    const std::string::size_type at = out.find("leads e ");
    return at == std::string::npos ? 0 : std::atoll(out.c_str() + at + 8);
  }
  // The only one of `tenure inspect elections`; null if there is none.
  static json Election(const Cluster& cluster) {
    const Result result = RunTenure({"inspect", "elections", "--json"}, cluster.endpoints());
    EXPECT_EQ(result.status, 0) << result.err;
    const json list = json::parse(result.out, nullptr, false)["elections"];
    return list.empty() ? json() : list[0];
  }
  static bool AwaitCandidates(const Cluster& cluster, int count) {
    return Eventually([&] {
      const json election = Election(cluster);
      return election.is_object() && election["waiting"] == count;
    });
  }
  static Process Watch(const Cluster& cluster, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "watch");
    return Tenure(std::move(arguments), cluster.endpoints());
  }
  static std::vector<json> Lines(const std::string& text) {
    std::vector<json> lines;
    std::istringstream all(text);
    for (std::string line; std::getline(all, line);) lines.push_back(json::parse(line));
    return lines;
  }
  static bool AwaitLines(const Process& watch, std::size_t count) {
    return Eventually([&] {
      const std::string out = watch.out();
      return static_cast<std::size_t>(std::count(out.begin(), out.end(), '\n')) >= count;
    });
  }
};

TEST_F(ElectTest, OneLeadsAfterTheOther) {
  const Cluster cluster({.members = 1});
  Process first = Lead(cluster, "one");
  ASSERT_TRUE(first.AwaitOut("leads e ")) << first.err();
  Process second = Lead(cluster, "two");
  ASSERT_TRUE(AwaitCandidates(cluster, 1));
  EXPECT_EQ(second.out(), "");
  const json led = Election(cluster);
  EXPECT_EQ(led["name"], "e");
  EXPECT_EQ(led["led"], true);
  EXPECT_EQ(led["leader"]["value"], "one");
  EXPECT_EQ(led["leader"]["token"], TermOf(first));
  const Result table = RunTenure({"inspect", "elections"}, cluster.endpoints());
  EXPECT_THAT(table.out, AllOf(HasSubstr("LED BY"), HasSubstr("one")));
  const Result late = RunTenure({"elect", "e", "--wait=200ms", "--", "true"}, cluster.endpoints());
  EXPECT_EQ(late.status, 75);
  EXPECT_THAT(late.err, AllOf(IsOneLine(), HasSubstr("led by")));
  first.CloseInput();
  EXPECT_EQ(first.Wait().status, 0);
  ASSERT_TRUE(second.AwaitOut("leads e "));
  EXPECT_GT(TermOf(second), TermOf(first));
  second.Signal(SIGTERM);
  EXPECT_EQ(second.Wait().status, 128 + SIGTERM);
  EXPECT_TRUE(Election(cluster).is_null());
  EXPECT_EQ(cluster.Status()["sessions"], 0);
}

TEST_F(ElectTest, PassesStatusesThroughAndRefuses) {
  const Cluster cluster({.members = 1});
  EXPECT_EQ(RunTenure({"elect", "e", "--", "sh", "-c", "exit 7"}, cluster.endpoints()).status, 7);
  EXPECT_EQ(RunTenure({"elect", "e", "--", "/nowhere/none"}, cluster.endpoints()).status, 127);
  const Result silent = RunTenure({"elect", "e", "--wait=1s", "--", "true"},
                                  absl::StrCat("127.0.0.1:", FreePorts(1)[0]));
  EXPECT_EQ(silent.status, 69);
  EXPECT_THAT(silent.err, IsOneLine());
  Process waiting = Lead(cluster, "one");
  ASSERT_TRUE(waiting.AwaitOut("leads e "));
  Process candidate = Lead(cluster, "two");
  ASSERT_TRUE(AwaitCandidates(cluster, 1));
  candidate.Signal(SIGINT);
  EXPECT_EQ(candidate.Wait().status, 128 + SIGINT);
  EXPECT_EQ(Election(cluster)["waiting"], 0);
}

// E1: the leader's lease runs out while nobody answers it.
TEST_F(ElectTest, E1_WhoCannotRenewLeadsNoMore) {
  Cluster cluster({.members = 1});
  Process leader = Lead(cluster, "one", {"--ttl=1s"});
  ASSERT_TRUE(leader.AwaitOut("leads e ")) << leader.err();
  cluster.member(0).Pause();
  const Result lost = leader.Wait();
  EXPECT_EQ(lost.status, 76);
  EXPECT_THAT(lost.err, HasSubstr("lost the lead of e"));
  cluster.member(0).Resume();
  Process next = Lead(cluster, "two");
  ASSERT_TRUE(next.AwaitOut("leads e ")) << next.err();
  EXPECT_GT(TermOf(next), TermOf(leader));
}

// The cluster's own leader is killed under a leader, a candidate and a watcher.
TEST_F(ElectTest, AKilledMemberDeposesNobodyAndHidesNoChange) {
  Cluster cluster;
  Process watch = Watch(cluster, {"election", "e"});
  ASSERT_TRUE(AwaitLines(watch, 1)) << watch.err();
  Process first = Lead(cluster, "one");
  ASSERT_TRUE(first.AwaitOut("leads e ")) << first.err();
  ASSERT_TRUE(AwaitLines(watch, 2));
  Process second = Lead(cluster, "two");
  ASSERT_TRUE(AwaitCandidates(cluster, 1));
  const int killed = cluster.AwaitLeader();
  cluster.member(killed).Kill();
  cluster.AwaitLeader(cluster.AllBut(killed), killed);
  EXPECT_TRUE(first.running());
  EXPECT_EQ(second.out(), "");
  first.CloseInput();
  EXPECT_EQ(first.Wait().status, 0);
  ASSERT_TRUE(second.AwaitOut("leads e ")) << second.err();
  ASSERT_TRUE(AwaitLines(watch, 4)) << watch.out();
  watch.Signal(SIGTERM);
  const Result watched = watch.Wait();
  EXPECT_EQ(watched.status, 0);
  EXPECT_EQ(watched.err, "");
  const std::vector<json> lines = Lines(watched.out);
  ASSERT_EQ(lines.size(), 4u) << watched.out;
  const char* const events[] = {"state", "granted", "released", "granted"};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(lines[i]["event"], events[i]) << lines[i];
    EXPECT_EQ(lines[i]["kind"], "election");
    if (i > 0) {
      EXPECT_GT(lines[i]["revision"], lines[i - 1]["revision"]);
    }
  }
  EXPECT_TRUE(lines[0]["holder"].is_null());
  EXPECT_EQ(lines[1]["holder"]["value"], "one");
  EXPECT_EQ(lines[1]["token"], TermOf(first));
  EXPECT_TRUE(lines[2]["holder"].is_null());
  EXPECT_EQ(lines[3]["value"], "two");
  EXPECT_EQ(lines[3]["token"], TermOf(second));
  // Another one goes on where that one was.
  Process later = Watch(
      cluster, {"election", "e", absl::StrCat("--after=", lines[1]["revision"].get<long long>())});
  ASSERT_TRUE(AwaitLines(later, 2)) << later.err();
  later.Signal(SIGINT);
  EXPECT_EQ(Lines(later.Wait().out), std::vector<json>(lines.begin() + 2, lines.end()));
}

TEST_F(ElectTest, ALockIsWatchedAndABreakIsTold) {
  const Cluster cluster({.members = 1});
  Process watch = Watch(cluster, {"lock", "a"});
  ASSERT_TRUE(AwaitLines(watch, 1)) << watch.err();
  Process holder = Tenure({"lock", "a", "--value=v", "--", "cat"}, cluster.endpoints(),
                          {.input = "ready\n", .input_stays_open = true});
  ASSERT_TRUE(holder.AwaitOut("ready")) << holder.err();
  ASSERT_TRUE(AwaitLines(watch, 2));
  EXPECT_EQ(RunTenure({"break", "lock", "a", "--reason=stuck"}, cluster.endpoints()).status, 0);
  ASSERT_TRUE(AwaitLines(watch, 3));
  EXPECT_EQ(holder.Wait().status, 76);
  watch.Signal(SIGTERM);
  const Result watched = watch.Wait();
  EXPECT_EQ(watched.status, 0);
  const std::vector<json> lines = Lines(watched.out);
  ASSERT_GE(lines.size(), 3u);
  EXPECT_EQ(lines[1]["event"], "granted");
  EXPECT_EQ(lines[1]["value"], "v");
  EXPECT_EQ(lines[2]["event"], "broken");
  EXPECT_THAT(lines[2]["value"].get<std::string>(), HasSubstr("stuck"));
  EXPECT_TRUE(lines[2]["holder"].is_null());
}

TEST_F(ElectTest, ABrokenLeadGoesToTheNextAndIsOnRecord) {
  const Cluster cluster({.members = 1});
  Process first = Lead(cluster, "one");
  ASSERT_TRUE(first.AwaitOut("leads")) << first.err();
  Process second = Lead(cluster, "two", {"--priority=3"});
  ASSERT_TRUE(AwaitCandidates(cluster, 1));
  const Result shown = RunTenure({"inspect", "election", "e"}, cluster.endpoints());
  EXPECT_THAT(shown.out, AllOf(HasSubstr("one"), HasSubstr("CANDIDATE"), HasSubstr("two")));
  const Result broken =
      RunTenure({"break", "election", "e", "--reason=stuck"}, cluster.endpoints());
  EXPECT_EQ(broken.status, 0) << broken.err;
  const Result ended = first.Wait();
  EXPECT_EQ(ended.status, 76);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("the lead of e was broken by "), HasSubstr(": stuck")));
  ASSERT_TRUE(second.AwaitOut("leads")) << second.err();
  const json election =
      json::parse(RunTenure({"inspect", "election", "e", "--json"}, cluster.endpoints()).out);
  EXPECT_EQ(election["leader"]["value"], "two");
  EXPECT_EQ(election["candidates"].size(), 0u);
  EXPECT_EQ(election["broken"]["token"], TermOf(first));
  EXPECT_THAT(election["broken"]["by"].get<std::string>(), HasSubstr("stuck"));
  EXPECT_EQ(election["changes"].back()["event"], "granted");
  const Result nobody = RunTenure({"break", "election", "f"}, cluster.endpoints());
  EXPECT_EQ(nobody.status, 75);
  EXPECT_THAT(nobody.err, IsOneLine());
}

TEST_F(ElectTest, AWatchSaysWhatItMissedAndEndsWithItsReader) {
  const Cluster cluster({.members = 1});
  // Only the last 32 changes are kept, and these are 40.
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(RunTenure({"elect", "e", "--", "true"}, cluster.endpoints()).status, 0);
  }
  Process behind = Watch(cluster, {"election", "e", "--after=1"});
  ASSERT_TRUE(AwaitLines(behind, 33)) << behind.err();
  behind.Signal(SIGTERM);
  const std::vector<json> lines = Lines(behind.Wait().out);
  ASSERT_EQ(lines.size(), 33u);
  EXPECT_EQ(lines[0]["event"], "gap");
  EXPECT_EQ(lines[1]["event"], "granted");
  EXPECT_EQ(lines[32]["event"], "released");
  EXPECT_EQ(cluster.Status()["sessions"], 0);
  // `head` reads one line and goes; the watch, which has nothing more to say, sees that.
  Process piped({"/bin/sh", "-c",
                 absl::StrCat(TENURE_BIN_DIR "/tenure watch election e --endpoints=",
                              cluster.endpoints(), " | head -n 1")});
  const Result ended = piped.Wait();
  EXPECT_EQ(Lines(ended.out).size(), 1u);
  EXPECT_EQ(ended.err, "");
  const Result silent = RunTenure({"watch", "lock", "a", "--timeout=200ms"},
                                  absl::StrCat("127.0.0.1:", FreePorts(1)[0]));
  EXPECT_EQ(silent.status, 69);
  EXPECT_THAT(silent.err, IsOneLine());
}

}  // namespace
}  // namespace tenure::process
