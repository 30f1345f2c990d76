// The examples do what README says of them, and its code is theirs.
#include <signal.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "tests/process/cluster.h"
#include "tests/process/process.h"
#include "tests/process/watch.h"

namespace tenure::process {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Read(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Code without its indentation and empty lines, so that a part of a function compares.
std::vector<std::string> Lines(const std::string& code) {
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(code, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty()) lines.emplace_back(line);
  }
  return lines;
}

bool Has(const std::vector<std::string>& code, const std::vector<std::string>& part) {
  return std::search(code.begin(), code.end(), part.begin(), part.end()) != code.end();
}

TEST(Readme, CodeIsThatOfTheExamples) {
  std::vector<std::vector<std::string>> examples;
  for (const auto& entry : std::filesystem::directory_iterator(TENURE_SOURCE_DIR "/examples")) {
    if (entry.path().extension() == ".cc") examples.push_back(Lines(Read(entry.path())));
  }
  const std::vector<std::string> parts =
      absl::StrSplit(Read(TENURE_SOURCE_DIR "/README.md"), "```cpp\n");
  ASSERT_GE(parts.size(), 3) << "README has lost its code";
  for (size_t i = 1; i < parts.size(); ++i) {
    std::vector<std::string> code = Lines(parts[i].substr(0, parts[i].find("```")));
    // Includes come first in the example, and not only these.
    std::vector<std::string> includes;
    while (!code.empty() && absl::StartsWith(code.front(), "#include")) {
      includes.push_back(code.front());
      code.erase(code.begin());
    }
    bool found = false;
    for (const std::vector<std::string>& example : examples) {
      found |= Has(example, code) && Has(example, includes);
    }
    EXPECT_TRUE(found) << "no example has this code of README:\n" << absl::StrJoin(code, "\n");
  }
}

class ExamplesTest : public ProcessTest {
 protected:
  static std::string Program(const std::string& name) { return TENURE_BIN_DIR "/" + name; }
};

TEST_F(ExamplesTest, TheTwentyLinesDoWhatTheySay) {
  const std::string rounds =
      "scheduled round 1 of 3\nscheduled round 2 of 3\nscheduled round 3 of 3\n";
  const std::string all =
      "printed a page\n" + rounds + "charged order 4711\nreceipt for order 4711\n";
  EXPECT_EQ(Process({Program("twenty_lines"), "memory:"}).Wait().out, all);
  Cluster cluster;
  const std::string where = "tenure://" + cluster.endpoints();
  const Result first = Process({Program("twenty_lines"), where}).Wait();
  EXPECT_EQ(first.status, 0) << first.err;
  EXPECT_EQ(first.out, all);
  const Result again = Process({Program("twenty_lines"), where}).Wait();
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(again.out, "printed a page\n" + rounds + "receipt for order 4711\n");
  const Result malformed = Process({Program("twenty_lines"), "printer:"}).Wait();
  EXPECT_EQ(malformed.status, 1);
  EXPECT_THAT(malformed.err, HasSubstr("tenure://host:port"));
}

// The scheduler that leads is stopped past its lease, and its successor killed; meanwhile a member
// dies. One at a time schedules, and no round is left out or done twice.
TEST_F(ExamplesTest, OneSchedulerSchedulesWhicheverIsStopped) {
  Cluster cluster;
  const auto start = [&](const std::string& who) {
    return Process({Program("scheduler"), "tenure://" + cluster.endpoints(), "jobs", Path("ledger"),
                    who, "3"});
  };
  const auto rounds = [&] {
    const std::string text = Text("ledger");
    return std::count(text.begin(), text.end(), '\n');
  };
  const auto await_rounds = [&](std::ptrdiff_t more) {
    return Eventually([&, least = rounds() + more] { return rounds() >= least; });
  };
  Process first = start("one");
  ASSERT_TRUE(first.AwaitOut("one leads")) << first.err();
  Process second = start("two");
  ASSERT_TRUE(await_rounds(2));
  first.Pause();
  ASSERT_TRUE(second.AwaitOut("two leads")) << second.err();
  ASSERT_TRUE(await_rounds(2));
  Process third = start("three");
  first.Resume();
  ASSERT_TRUE(first.AwaitOut("one leads no more")) << first.err();
  cluster.member(cluster.AwaitLeader()).Kill();
  ASSERT_TRUE(await_rounds(2)) << "a member's death stops nobody";
  EXPECT_EQ(third.out(), "");
  second.Kill();
  ASSERT_TRUE(Eventually([&] {
    return absl::StrContains(third.out(), "three leads") ||
           absl::StrContains(first.out(), "no more\none leads");
  }));
  ASSERT_TRUE(await_rounds(2));
  for (Process* last : {&first, &third}) {
    last->Signal(SIGTERM);
    EXPECT_EQ(last->Wait().status, 0);
  }

  std::istringstream ledger(Text("ledger"));
  std::int64_t count = 0;
  std::uint64_t term = 0;
  std::int64_t round = 0;
  std::uint64_t of_term = 0;
  std::string who;
  std::string before;
  while (ledger >> round >> of_term >> who) {
    EXPECT_EQ(round, ++count);
    EXPECT_GE(of_term, term);
    if (of_term == term) {
      EXPECT_EQ(who, before) << "one leader a term";
    }
    term = of_term;
    before = who;
  }
  EXPECT_GE(count, 8);
}

TEST_F(ExamplesTest, ReplicasAreTheirOwnCluster) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    std::vector<std::string> list;
    for (const int port : FreePorts(3)) {
      list.push_back(absl::StrCat("n", list.size() + 1, "=127.0.0.1:", port));
    }
    std::vector<Process> replicas;
    replicas.reserve(3);
    for (int i = 0; i < 3; ++i) {
      replicas.emplace_back(std::vector<std::string>{Program("replica"), Cluster::Name(i),
                                                     absl::StrJoin(list, ","), "new"},
                            ProcessOptions{.input_stays_open = true});
    }
    // One after another, each with a token of its own.
    std::vector<std::string> tokens;
    bool taken = false;
    for (Process& replica : replicas) {
      const bool wrote = replica.AwaitOut("\n");
      taken |= !wrote && absl::StrContains(replica.err(), "the port is taken");
      if (taken) break;
      ASSERT_TRUE(wrote) << replica.err();
      tokens.push_back(replica.out().substr(replica.out().rfind(' ')));
    }
    if (taken) continue;
    EXPECT_NE(tokens[0], tokens[1]);
    EXPECT_NE(tokens[1], tokens[2]);
    EXPECT_NE(tokens[0], tokens[2]);
    for (Process& replica : replicas) {
      replica.CloseInput();
      EXPECT_EQ(replica.Wait().status, 0);
    }
    return;
  }
  FAIL() << "no three ports were free";
}

class LocalClusterTest : public ExamplesTest {
 protected:
  Process Start(const std::vector<std::string>& flags = {}) {
    std::vector<std::string> command = {TENURE_SOURCE_DIR "/examples/local_cluster.sh",
                                        "--seconds=6"};
    // The programs that the script itself would build may be these.
    if (std::string(TENURE_BIN_DIR) != TENURE_SOURCE_DIR "/build/release/bin") {
      command.emplace_back("--bin=" TENURE_BIN_DIR);
    }
    command.insert(command.end(), flags.begin(), flags.end());
    return Process(command, {.environment = {"TMPDIR=" + Path("")}});
  }
};

TEST_F(LocalClusterTest, TellsThatTheLockHeld) {
  const Result result = Start().Wait(absl::Seconds(150));
  EXPECT_EQ(result.status, 0) << result.out << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("increments: exact"), HasSubstr("no two holders"),
                                HasSubstr("only rose"), HasSubstr("none for "),
                                HasSubstr("The lock held."), Not(HasSubstr("WRONG"))));
  EXPECT_EQ(result.err, "");
  EXPECT_TRUE(NothingLeft());
}

TEST_F(LocalClusterTest, TellsThatNoLockDidNot) {
  const Result result = Start({"--bin=" TENURE_BIN_DIR, "--without-lock"}).Wait();
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.out, AllOf(HasSubstr("counter   WRONG"), HasSubstr("overlap   WRONG"),
                                HasSubstr("tokens    WRONG")));
  EXPECT_THAT(result.err, HasSubstr("the lock did not hold"));
  EXPECT_TRUE(NothingLeft());
}

TEST_F(LocalClusterTest, LeavesNothingWhenItIsInterrupted) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    Process script = Start({"--bin=" TENURE_BIN_DIR});
    ASSERT_TRUE(script.AwaitOut("Eight client processes")) << script.err();
    script.Signal(signal);
    EXPECT_EQ(script.Wait().status, 128 + signal);
    EXPECT_TRUE(NothingLeft());
  }
}

// What it starts is bound to it a moment after its start, so this is not done right then.
TEST_F(LocalClusterTest, LeavesNothingWhenItIsKilled) {
  Process script = Start({"--bin=" TENURE_BIN_DIR});
  ASSERT_TRUE(script.AwaitOut("with SIGKILL")) << script.err();
  script.Kill();
  EXPECT_TRUE(NothingLeft());
}

TEST_F(LocalClusterTest, HelpsAndRefuses) {
  EXPECT_THAT(Start({"--help"}).Wait().out, HasSubstr("--seconds=S"));
  for (const char* flag : {"--seconds=5", "--seconds=x", "--fast", "--bin=/nowhere"}) {
    EXPECT_EQ(Start({flag}).Wait().status, 64) << flag;
  }
}

}  // namespace
}  // namespace tenure::process
