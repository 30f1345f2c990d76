// Examples that are services: what a client or a queue repeats is done once.
#include <sys/stat.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "tests/process/cluster.h"
#include "tests/process/watch.h"

namespace tenure::process {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

std::string Program(const std::string& name) { return TENURE_BIN_DIR "/" + name; }

std::vector<std::string> LinesOf(const std::string& text, const std::string& with) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (absl::StrContains(line, with)) lines.push_back(line);
  }
  return lines;
}

class BankTest : public ProcessTest {
 protected:
  // Three replicas; false if a port was taken meanwhile.
  bool Start() {
    replicas_.clear();
    addresses_.clear();
    const std::vector<int> ports = FreePorts(6);
    std::vector<std::string> list;
    for (int i = 0; i < 3; ++i) {
      list.push_back(absl::StrCat(Cluster::Name(i), "=127.0.0.1:", ports[i]));
      addresses_.push_back(absl::StrCat("127.0.0.1:", ports[3 + i]));
    }
    for (int i = 0; i < 3; ++i) {
      replicas_.emplace_back(
          std::vector<std::string>{Program("bank"), "serve", Cluster::Name(i),
                                   absl::StrJoin(list, ","), addresses_[i], Path("ledger"), "new"},
          ProcessOptions{.input_stays_open = true});
    }
    for (Process& replica : replicas_) {
      if (replica.AwaitOut("serves")) continue;
      EXPECT_THAT(replica.err(), HasSubstr("the port is taken"));
      return false;
    }
    return true;
  }
  Result Transfer(int replica, const std::string& key, const std::string& cents) {
    return Process({Program("bank"), "transfer", addresses_[replica], key, "alice", "bob", cents})
        .Wait();
  }
  std::vector<std::string> Ledger() const { return LinesOf(Text("ledger"), "alice"); }

  std::vector<std::string> addresses_;
  std::vector<Process> replicas_;
};

// I1, I3 and I5 as a service's clients meet them.
TEST_F(BankTest, I3_ARepeatedCallIsAnsweredAsBeforeAndBookedOnce) {
  int tries = 0;
  while (!Start()) ASSERT_LT(++tries, 20) << "no ports were free";
  const Result first = Transfer(0, "k1", "1000");
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_THAT(first.out, StartsWith("transfer "));
  const std::string receipt = first.out.substr(0, first.out.find('\n'));
  for (int replica = 0; replica < 3; ++replica) {
    EXPECT_EQ(Transfer(replica, "k1", "1000").out, receipt + " (as before)\n");
  }
  EXPECT_THAT(Ledger(), SizeIs(1));
  // Another request under that key.
  const Result other = Transfer(1, "k1", "2000");
  EXPECT_EQ(other.status, 1);
  EXPECT_THAT(other.err, AllOf(StartsWith("3 "), HasSubstr("used for another request")));
  // No key at all, which this method requires.
  EXPECT_THAT(Transfer(1, "", "2000").err, AllOf(StartsWith("3 "), HasSubstr("idempotency-key")));
  // A failure that no repeat changes is answered as before, too.
  EXPECT_THAT(Transfer(1, "k2", "0").err, AllOf(StartsWith("3 "), HasSubstr("one cent")));
  EXPECT_THAT(Transfer(2, "k2", "0").err, AllOf(HasSubstr("one cent"), EndsWith("(as before)\n")));
  EXPECT_THAT(Ledger(), SizeIs(1));
  // A replica is killed; the others go on, and know.
  replicas_[0].Kill();
  EXPECT_EQ(Transfer(1, "k1", "1000").out, receipt + " (as before)\n");
  EXPECT_EQ(Transfer(2, "k3", "5").status, 0);
  EXPECT_THAT(Ledger(), SizeIs(2));
  for (int replica = 1; replica < 3; ++replica) {
    replicas_[static_cast<std::size_t>(replica)].CloseInput();
    EXPECT_EQ(replicas_[static_cast<std::size_t>(replica)].Wait().status, 0);
  }
}

// I5: a failure that passes is not stored.
TEST_F(BankTest, I5_AFailureThatPassesIsTriedAgain) {
  int tries = 0;
  while (!Start()) ASSERT_LT(++tries, 20) << "no ports were free";
  ASSERT_EQ(mkdir(Path("ledger").c_str(), 0700), 0);  // which cannot be appended to
  EXPECT_THAT(Transfer(0, "k", "1000").err, StartsWith("14 the ledger"));
  ASSERT_EQ(rmdir(Path("ledger").c_str()), 0);
  const Result again = Transfer(1, "k", "1000");
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(again.out.find("as before"), std::string::npos);
  EXPECT_THAT(Ledger(), SizeIs(1));
}

class ConsumerTest : public ProcessTest {};

// I6: each message is delivered to three consumers at once, one of which dies in the middle of one.
TEST_F(ConsumerTest, I6_EachMessageIsWorkedOnOnceThoughOneConsumerDies) {
  Cluster cluster;
  const std::string where = "tenure://" + cluster.endpoints();
  std::string messages;
  for (int i = 0; i < 20; ++i) absl::StrAppend(&messages, "m", i, " body\n");
  const std::string poison = messages + "last crash\n";
  std::vector<Process> consumers;
  for (const char* name : {"a", "b", "c"}) {
    consumers.emplace_back(std::vector<std::string>{Program("consumer"), where, name},
                           ProcessOptions{.input = poison});
  }
  std::string out;
  int died = 0;
  for (Process& consumer : consumers) {
    const Result result = consumer.Wait();
    out += result.out;
    died += result.status == 0 ? 0 : 1;
  }
  EXPECT_EQ(died, 1) << "it crashes once: the next one finds how far it came";
  EXPECT_THAT(LinesOf(out, " reserves for "), SizeIs(21));
  EXPECT_THAT(LinesOf(out, " ships "), SizeIs(21));
  for (int i = 0; i < 20; ++i) {
    const std::string id = absl::StrCat("m", i);
    EXPECT_THAT(LinesOf(out, absl::StrCat("ships ", id, "")), ::testing::Not(SizeIs(0)));
    EXPECT_THAT(LinesOf(out, absl::StrCat("acknowledges ", id, ", ")), SizeIs(3)) << id;
  }
  EXPECT_THAT(LinesOf(out, "acknowledges last, "), SizeIs(2));
}

class ShardsTest : public ProcessTest {};

TEST_F(ShardsTest, EachShardHasOneWorkerAndADeadOnesAreTakenOver) {
  Cluster cluster;
  const std::string where = "tenure://" + cluster.endpoints();
  const auto start = [&](const std::string& name) {
    return Process({Program("shard_worker"), where, name, "4", "2"}, {.input_stays_open = true});
  };
  const auto works = [](const Process& worker) {
    return LinesOf(worker.out(), "works on shard").size();
  };
  Process a = start("a");
  Process b = start("b");
  ASSERT_TRUE(Eventually([&] { return works(a) == 2 && works(b) == 2; })) << a.err() << b.err();
  std::string all = a.out() + b.out();
  for (int shard = 0; shard < 4; ++shard) {
    EXPECT_THAT(LinesOf(all, absl::StrCat("shard ", shard, ",")), SizeIs(1)) << all;
  }
  Process c = start("c");  // waits for what becomes free
  cluster.member(cluster.AwaitLeader()).Kill();
  b.Kill();
  ASSERT_TRUE(Eventually([&] { return works(c) == 2; })) << c.err();
  EXPECT_EQ(works(a), 2u) << "it has as many as it wants, and has lost none";
  EXPECT_THAT(LinesOf(a.out(), "loses"), SizeIs(0));
  all = a.out() + c.out();
  for (int shard = 0; shard < 4; ++shard) {
    EXPECT_THAT(LinesOf(all, absl::StrCat("shard ", shard, ",")), SizeIs(1)) << all;
  }
  for (Process* worker : {&a, &c}) {
    worker->CloseInput();
    EXPECT_EQ(worker->Wait().status, 0);
  }
}

}  // namespace
}  // namespace tenure::process
