// `tenure status` and `tenure inspect`, for people and for scripts.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/process/cluster.h"
#include "tests/process/matchers.h"
#include "tests/process/watch.h"

namespace tenure::process {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class StatusTest : public ProcessTest {
 protected:
  // Every field that scripts may count on, with its type, and none left out.
  static void ExpectComplete(const nlohmann::json& status) {
    ASSERT_TRUE(status.is_object());
    EXPECT_TRUE(status["leader"].is_string());
    EXPECT_TRUE(status["term"].is_number_unsigned());
    EXPECT_TRUE(status["revision"].is_number_unsigned());
    EXPECT_TRUE(status["sessions"].is_number_unsigned());
    EXPECT_TRUE(status["locks"].is_number_unsigned());
    EXPECT_TRUE(status["message"].is_string());
    EXPECT_TRUE(status["may_stop_one"].is_boolean());
    std::vector<std::string> ids;
    for (const nlohmann::json& member : status["members"]) {
      ids.push_back(member["id"]);
      EXPECT_TRUE(member["address"].is_string());
      EXPECT_TRUE(member["role"].is_string());
      EXPECT_TRUE(member["reachable"].is_boolean());
      EXPECT_TRUE(member["applied"].is_number_unsigned());
    }
    EXPECT_THAT(ids, UnorderedElementsAre("n1", "n2", "n3"));
  }
};

TEST_F(StatusTest, IsWholeWithALeaderAndWithout) {
  Cluster cluster;
  const int leader = cluster.AwaitLeader();
  // Whoever is asked first, the leader's own view is what is shown.
  for (int first = 0; first < cluster.size(); ++first) {
    const Result asked = RunTenure({"status", "--json"},
                                   absl::StrCat(cluster.address(first), ",", cluster.endpoints()));
    EXPECT_EQ(asked.status, 0) << asked.err;
    const nlohmann::json status = nlohmann::json::parse(asked.out);
    ExpectComplete(status);
    EXPECT_EQ(status["leader"], Cluster::Name(leader));
    EXPECT_EQ(status["answered_by"], Cluster::Name(leader));
    EXPECT_EQ(status["may_stop_one"], true);
    for (const nlohmann::json& member : status["members"]) {
      EXPECT_EQ(member["reachable"], true) << status;
      EXPECT_EQ(member["role"], member["id"] == status["leader"] ? "leader" : "follower");
    }
  }
  // One that is asked alone tells what it sees.
  for (int i = 0; i < cluster.size(); ++i) {
    const nlohmann::json status = cluster.Status(i);
    ExpectComplete(status);
    EXPECT_EQ(status["answered_by"], Cluster::Name(i));
  }
  const Result text = RunTenure({"status"}, cluster.endpoints());
  EXPECT_THAT(text.out, HasSubstr(absl::StrCat("leader    ", Cluster::Name(leader), "\n")));
  EXPECT_THAT(text.out, HasSubstr("Another member may be stopped."));

  // Alone, a member of three has no leader after a while, and answers all the same.
  const int alone = leader;
  for (const int other : cluster.AllBut(alone)) cluster.member(other).Pause();
  ASSERT_TRUE(
      Eventually([&] { return cluster.Status(alone)["leader"].get<std::string>().empty(); }));
  for (const nlohmann::json& status : {cluster.Status(alone), cluster.Status()}) {
    ExpectComplete(status);
    EXPECT_EQ(status["leader"], "");
    EXPECT_EQ(status["may_stop_one"], false);
    EXPECT_THAT(status["message"].get<std::string>(), HasSubstr("no leader"));
  }
  // What needs a leader says within its time that there is none.
  const Result inspected = RunTenure({"inspect", "locks", "--timeout=1s"}, cluster.endpoints());
  EXPECT_EQ(inspected.status, 69);
  EXPECT_THAT(inspected.err, IsOneLine());
}

TEST_F(StatusTest, InspectShowsWhoHoldsAndWhoWaits) {
  Cluster cluster({.members = 1});
  Process holder = Tenure(
      {"lock", "a", "--value=invoice 42", "--", "sh", "-c", "echo $TENURE_FENCING_TOKEN; cat"},
      cluster.endpoints(), {.input_stays_open = true});
  ASSERT_TRUE(holder.AwaitOut("\n"));
  Process waiter = Tenure({"lock", "a", "--", "true"}, cluster.endpoints());
  ASSERT_TRUE(Eventually([&] { return cluster.Lock("a")["waiting"] == 1; }));

  const nlohmann::json lock = cluster.Lock("a");
  EXPECT_EQ(lock["name"], "a");
  EXPECT_EQ(lock["held"], true);
  EXPECT_EQ(absl::StrCat(lock["holder"]["token"].get<std::int64_t>(), "\n"), holder.out());
  EXPECT_EQ(lock["holder"]["value"], "invoice 42");
  EXPECT_THAT(lock["holder"]["label"].get<std::string>(), HasSubstr(absl::StrCat(holder.pid())));
  EXPECT_TRUE(lock["holder"]["session"].is_number_unsigned());
  EXPECT_TRUE(lock["holder"]["held_seconds"].is_number());
  ASSERT_EQ(lock["waiters"].size(), 1);
  EXPECT_THAT(lock["waiters"][0]["label"].get<std::string>(),
              HasSubstr(absl::StrCat(waiter.pid())));

  const nlohmann::json locks =
      nlohmann::json::parse(RunTenure({"inspect", "locks", "--json"}, cluster.endpoints()).out);
  ASSERT_EQ(locks["locks"].size(), 1);
  EXPECT_EQ(locks["locks"][0]["name"], "a");
  const nlohmann::json sessions =
      nlohmann::json::parse(RunTenure({"inspect", "sessions", "--json"}, cluster.endpoints()).out);
  ASSERT_EQ(sessions["sessions"].size(), 2);
  EXPECT_TRUE(sessions["sessions"][0]["ttl_seconds"].is_number());
  EXPECT_EQ(cluster.Status()["sessions"], 2);
  EXPECT_EQ(cluster.Status()["locks"], 1);
  EXPECT_THAT(RunTenure({"inspect", "lock", "a"}, cluster.endpoints()).out,
              HasSubstr("invoice 42"));

  holder.CloseInput();
  EXPECT_EQ(holder.Wait().status, 0);
  EXPECT_EQ(waiter.Wait().status, 0);
  EXPECT_EQ(cluster.Lock("a")["held"], false);
}

TEST_F(StatusTest, InspectCountsThoseWhoShare) {
  Cluster cluster({.members = 1});
  std::vector<Process> holders;
  for (const std::vector<std::string>& how : {std::vector<std::string>{"shared", "--shared"},
                                              {"shared", "--shared"},
                                              {"permits", "--permits=2/5"}}) {
    std::vector<std::string> arguments = {"lock"};
    arguments.insert(arguments.end(), how.begin(), how.end());
    arguments.insert(arguments.end(), {"--", "sh", "-c", "echo; cat"});
    holders.push_back(Tenure(arguments, cluster.endpoints(), {.input_stays_open = true}));
  }
  for (Process& holder : holders) ASSERT_TRUE(holder.AwaitOut("\n"));
  const std::string locks = RunTenure({"inspect", "locks"}, cluster.endpoints()).out;
  EXPECT_THAT(locks, HasSubstr(" and 1 more, shared "));
  EXPECT_THAT(locks, HasSubstr(": 2 of 5 permits "));
  for (Process& holder : holders) {
    holder.CloseInput();
    EXPECT_EQ(holder.Wait().status, 0);
  }
}

// A follower knows of the others no more than who leads, and shows no guesses.
TEST_F(StatusTest, AFollowerShowsWhatItKnows) {
  Cluster cluster;
  const int leader = cluster.AwaitLeader();
  const std::vector<int> others = cluster.AllBut(leader);
  const std::string table = RunTenure({"status"}, cluster.address(others[0])).out;
  const auto row = [](const std::string& name, const std::string& address,
                      const std::string& rest) {
    return absl::StrCat(name, "      ", address, "  ", rest);
  };
  EXPECT_THAT(table, HasSubstr(row(Cluster::Name(leader), cluster.address(leader), "leader")));
  EXPECT_THAT(table, HasSubstr(row(Cluster::Name(others[0]), cluster.address(others[0]),
                                   "follower  yes        ")));
  EXPECT_THAT(table, HasSubstr(row(Cluster::Name(others[1]), cluster.address(others[1]),
                                   "-         -          -")));
}

TEST_F(StatusTest, NoAnswerIsSaidInTime) {
  const Listener silent;
  std::vector<Process> started;
  for (const std::string& endpoint :
       {silent.address(), absl::StrCat("127.0.0.1:", FreePorts(1)[0])}) {
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"status", "--timeout=1s"},
          {"status", "--json", "--timeout=1s"},
          {"inspect", "locks", "--timeout=1s"},
          {"inspect", "lock", "a", "--json", "--timeout=1s"},
          {"inspect", "sessions", "--timeout=1s"}}) {
      started.push_back(Tenure(arguments, endpoint));
    }
  }
  for (Process& process : started) {
    const Result result = process.Wait(absl::Seconds(30));
    EXPECT_EQ(result.status, 69);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, IsOneLine());
  }
  // And why, without what a library went through meanwhile.
  const std::string nobody = absl::StrCat("127.0.0.1:", FreePorts(1)[0]);
  EXPECT_THAT(RunTenure({"status", "--timeout=1s"}, nobody).err,
              HasSubstr(absl::StrCat(nobody, ": cannot connect: Connection refused\n")));
}

}  // namespace
}  // namespace tenure::process
