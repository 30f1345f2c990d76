// What the command line says, and what is wrong with it in one line.
#include "cli/flags.h"

#include <string>
#include <variant>
#include <vector>

#include "cli/exit_status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tenure::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

Invocation Parse(const std::vector<std::string>& arguments, const std::string& environment = "") {
  return ParseArguments(arguments, environment);
}

// The complaint, if it is one: a single line, status 64.
std::string Complaint(const std::vector<std::string>& arguments) {
  const Invocation invocation = Parse(arguments);
  const Ending* ending = std::get_if<Ending>(&invocation);
  if (ending == nullptr) return "(accepted)";
  EXPECT_EQ(ending->status, kExitUsage) << ending->text;
  EXPECT_THAT(ending->text, Not(HasSubstr("\n")));
  return ending->text;
}

TEST(Flags, LockTakesWhatFollowsTheDashesAsItIs) {
  const Invocation invocation = Parse({"lock", "a,b", "--wait=500ms", "--ttl=1m", "--value=[x]",
                                       "--", "sh", "-c", "[a,b]", "--", "--wait=1s", ""});
  const LockFlags& flags = std::get<LockFlags>(invocation);
  EXPECT_EQ(flags.name, "a,b");
  EXPECT_EQ(flags.wait, absl::Milliseconds(500));
  EXPECT_EQ(flags.ttl, absl::Minutes(1));
  EXPECT_EQ(flags.grace, absl::Seconds(5));
  EXPECT_EQ(flags.value, "[x]");
  EXPECT_EQ(flags.endpoints, "127.0.0.1:7400");
  EXPECT_THAT(flags.command, ElementsAre("sh", "-c", "[a,b]", "--", "--wait=1s", ""));
}

TEST(Flags, LockNamesMayLookLikeLists) {
  EXPECT_EQ(std::get<LockFlags>(Parse({"lock", "[a,b]", "--", "true"})).name, "[a,b]");
}

TEST(Flags, DefaultsAreTheDesigns) {
  const LockFlags lock = std::get<LockFlags>(Parse({"lock", "x", "--", "true"}));
  EXPECT_EQ(lock.wait, absl::Seconds(30));
  EXPECT_EQ(lock.ttl, absl::Seconds(10));
  EXPECT_EQ(std::get<StatusFlags>(Parse({"status"})).timeout, absl::Seconds(5));
  const ServeFlags serve = std::get<ServeFlags>(Parse({"serve"}));
  EXPECT_EQ(serve.id, "n1");
  EXPECT_EQ(serve.cluster, "n1=127.0.0.1:7400");
  EXPECT_TRUE(serve.assert_new);
  EXPECT_TRUE(serve.development);
}

TEST(Flags, ServeWithAClusterIsNotNewUnlessItSaysSo) {
  const ServeFlags flags = std::get<ServeFlags>(
      Parse({"serve", "--id=n2", "--cluster=n1=a:1,n2=b:2", "--listen=0.0.0.0:2"}));
  EXPECT_FALSE(flags.assert_new);
  EXPECT_FALSE(flags.development);
  EXPECT_EQ(flags.cluster, "n1=a:1,n2=b:2");
  EXPECT_EQ(flags.listen, "0.0.0.0:2");
}

TEST(Flags, ServeIsStrictOfADiskAlone) {
  const ServeFlags flags =
      std::get<ServeFlags>(Parse({"serve", "--data=/var/lib/t", "--strict-restart"}));
  EXPECT_EQ(flags.data, "/var/lib/t");
  EXPECT_TRUE(flags.strict_restart);
  EXPECT_THAT(Complaint({"serve", "--strict-restart"}), HasSubstr("members with --data"));
}

TEST(Flags, EndpointsComeFromTheFlagThenTheEnvironment) {
  EXPECT_EQ(std::get<StatusFlags>(Parse({"status"}, "e:1,e:2")).endpoints, "e:1,e:2");
  EXPECT_EQ(std::get<StatusFlags>(Parse({"status", "--endpoints=f:1"}, "e:1")).endpoints, "f:1");
  EXPECT_EQ(std::get<StatusFlags>(Parse({"status"}, "tenure://e:1")).endpoints, "e:1");
}

TEST(Flags, InspectKnowsWhatIsThereNow) {
  EXPECT_EQ(std::get<InspectFlags>(Parse({"inspect", "locks"})).what, InspectFlags::What::kLocks);
  const InspectFlags lock =
      std::get<InspectFlags>(Parse({"inspect", "lock", "a", "--json", "--timeout=1s"}));
  EXPECT_EQ(lock.what, InspectFlags::What::kLock);
  EXPECT_EQ(lock.name, "a");
  EXPECT_TRUE(lock.json);
  EXPECT_EQ(lock.timeout, absl::Seconds(1));
  EXPECT_EQ(std::get<InspectFlags>(Parse({"inspect", "sessions"})).what,
            InspectFlags::What::kSessions);
  EXPECT_EQ(std::get<InspectFlags>(Parse({"inspect", "elections"})).what,
            InspectFlags::What::kElections);
  const InspectFlags election = std::get<InspectFlags>(Parse({"inspect", "election", "e"}));
  EXPECT_EQ(election.what, InspectFlags::What::kElection);
  EXPECT_EQ(election.name, "e");
  EXPECT_THAT(Complaint({"inspect", "weather"}), HasSubstr("weather"));
  Complaint({"inspect"});
}

TEST(Flags, LocksElectionsAndKeysAreBroken) {
  EXPECT_EQ(std::get<BreakFlags>(Parse({"break", "lock", "a"})).what, BreakFlags::What::kLock);
  EXPECT_FALSE(std::get<BreakFlags>(Parse({"break", "lock", "a"})).delay);
  EXPECT_TRUE(std::get<BreakFlags>(Parse({"break", "lock", "a", "--delay"})).delay);
  const BreakFlags election =
      std::get<BreakFlags>(Parse({"break", "election", "e", "--token=7", "--reason=why"}));
  EXPECT_EQ(election.what, BreakFlags::What::kElection);
  EXPECT_EQ(election.token, 7u);
  EXPECT_EQ(election.reason, "why");
  const BreakFlags key = std::get<BreakFlags>(Parse({"break", "key", "k", "--scope=s"}));
  EXPECT_EQ(key.what, BreakFlags::What::kKey);
  EXPECT_EQ(key.name, "k");
  EXPECT_EQ(key.scope, "s");
  EXPECT_THAT(Complaint({"break"}), HasSubstr("election NAME"));
}

TEST(Flags, WhatCannotWorkIsOneLineThatSaysWhatToDo) {
  EXPECT_THAT(Complaint({}),
              HasSubstr("serve, lock, elect, once, watch, break, status, inspect and member"));
  EXPECT_THAT(Complaint({"lokc", "x", "--", "true"}),
              HasSubstr("there is no subcommand 'lokc'; there are serve, lock"));
  EXPECT_THAT(Complaint({"serve", "--colour=red"}), HasSubstr("--colour"));
  EXPECT_THAT(Complaint({"serve", "--cluster=n1=a:1"}), HasSubstr("--id"));
  EXPECT_THAT(Complaint({"serve", "--data="}), HasSubstr("--data= has no value"));
  EXPECT_THAT(Complaint({"status", "--endpoints="}), HasSubstr("--endpoints= has no value"));
  EXPECT_THAT(Complaint({"serve", "--id=n1", "--id=n2"}),
              HasSubstr("--id is given more than once"));
  EXPECT_THAT(Complaint({"serve", "--new=maybe"}), HasSubstr("--new = maybe is no value"));
  EXPECT_THAT(Complaint({"lock", "x"}), HasSubstr("-- COMMAND"));
  EXPECT_THAT(Complaint({"lock", "x", "--"}), HasSubstr("-- COMMAND"));
  EXPECT_THAT(Complaint({"lock", "--", "true"}), HasSubstr("NAME"));
  EXPECT_THAT(Complaint({"lock", "x", "make", "all"}),
              HasSubstr("not expected: make all; COMMAND stands after `--`"));
  for (const char* permits : {"0/2", "3/2", "1", "1/2/3", "a/b", "/", "-1/2"}) {
    EXPECT_THAT(Complaint({"lock", "x", "--permits", permits, "--", "true"}), HasSubstr("K/N"));
  }
  EXPECT_THAT(Complaint({"lock", "x", "--shared", "--permits=1/2", "--", "true"}),
              HasSubstr("--permits"));
  EXPECT_THAT(Complaint({"once", "--", "true"}), HasSubstr("KEY"));
  EXPECT_THAT(Complaint({"once", "k"}), HasSubstr("-- COMMAND"));
  EXPECT_THAT(Complaint({"once", "k", "--retention=0", "--", "true"}), HasSubstr("--retention"));
  EXPECT_THAT(Complaint({"break"}), HasSubstr("lock NAME"));
  EXPECT_THAT(Complaint({"break", "lock"}), HasSubstr("NAME"));
  for (const char* const token : {"--token=0", "--token=-4", "--token=x", "--token="}) {
    EXPECT_THAT(Complaint({"break", "lock", "a", token}), HasSubstr("--token")) << token;
  }
  EXPECT_THAT(Complaint({"break", "lock", "a", "--token=0"}), HasSubstr("above 0"));
  EXPECT_THAT(Complaint({"break", "lock", "a", "--delay", "--token=7"}), HasSubstr("--delay"));
  EXPECT_THAT(Complaint({"break", "key", "a", "--delay"}), HasSubstr("--delay"));
  EXPECT_THAT(Complaint({"inspect", "key"}), HasSubstr("KEY"));
  EXPECT_THAT(Complaint({"lock", "x", "--ttl=999ms", "--", "true"}), HasSubstr("one second"));
  EXPECT_THAT(Complaint({"lock", "x", "--wait=30", "--", "true"}), HasSubstr("500ms, 30s"));
  EXPECT_THAT(Complaint({"lock", "x", "--wait=-1s", "--", "true"}), HasSubstr("'-1s'"));
  EXPECT_THAT(Complaint({"lock", "x", "--try", "--wait=1s", "--", "true"}), HasSubstr("--wait"));
  EXPECT_THAT(Complaint({"status", "--", "x"}), HasSubstr("no COMMAND"));
}

TEST(Flags, HelpIsNoError) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--help"}, {"lock", "--help"}, {"inspect", "lock", "--help"}}) {
    const Ending ending = std::get<Ending>(Parse(arguments));
    EXPECT_EQ(ending.status, 0);
    EXPECT_THAT(ending.text, HasSubstr("--help"));
  }
  const std::string lock = std::get<Ending>(Parse({"lock", "--help"})).text;
  EXPECT_THAT(lock, HasSubstr("TENURE_FENCING_TOKEN"));
  EXPECT_EQ(std::get<Ending>(Parse({"help", "lock"})).text, lock);
  EXPECT_EQ(std::get<Ending>(Parse({"help"})).text, std::get<Ending>(Parse({"--help"})).text);
}

TEST(Flags, VersionIsNoErrorEither) {
  const Ending ending = std::get<Ending>(Parse({"--version"}));
  EXPECT_EQ(ending.status, 0);
  EXPECT_THAT(ending.text, MatchesRegex("tenure [0-9]+[.][0-9]+[.][0-9]+"));
}

TEST(Flags, LocksAreExclusiveSharedOrOfPermits) {
  EXPECT_FALSE(std::get<LockFlags>(Parse({"lock", "x", "--", "true"})).shared);
  EXPECT_TRUE(std::get<LockFlags>(Parse({"lock", "x", "--shared", "--", "true"})).shared);
  const auto permits = std::get<LockFlags>(Parse({"lock", "x", "--permits=2/5", "--", "true"}));
  EXPECT_EQ(permits.permits, 2u);
  EXPECT_EQ(permits.total, 5u);
}

TEST(Flags, OnceTakesAKeyAndWhatItIsKnownBy) {
  EXPECT_THAT(Complaint({"once", "k", "--retention=721h", "--", "true"}), HasSubstr("720h"));
  const auto plain = std::get<OnceFlags>(Parse({"once", "k", "--", "echo", "[a,b]"}));
  EXPECT_EQ(plain.name, "k");
  EXPECT_EQ(plain.scope, "");
  EXPECT_EQ(plain.fingerprint, "") << "never COMMAND's words";
  EXPECT_EQ(plain.retention, absl::Hours(24));
  EXPECT_EQ(plain.wait, absl::Seconds(30));
  EXPECT_EQ(plain.command, (std::vector<std::string>{"echo", "[a,b]"}));
  const auto all = std::get<OnceFlags>(Parse(
      {"once", "k", "--scope=s", "--fingerprint=f", "--retention=1h", "--wait=inf", "--", "true"}));
  EXPECT_EQ(all.scope, "s");
  EXPECT_EQ(all.fingerprint, "f");
  EXPECT_EQ(all.retention, absl::Hours(1));
  EXPECT_EQ(all.wait, absl::InfiniteDuration());
  const auto key = std::get<InspectFlags>(Parse({"inspect", "key", "k", "--scope=s"}));
  EXPECT_EQ(key.what, InspectFlags::What::kKey);
  EXPECT_EQ(key.scope, "s");
  EXPECT_EQ(std::get<InspectFlags>(Parse({"inspect", "keys"})).what, InspectFlags::What::kKeys);
}

TEST(Flags, BreakNamesALockAndMaySayWhoseAndWhy) {
  const auto flags =
      std::get<BreakFlags>(Parse({"break", "lock", "x", "--token=41", "--reason=it is stuck"}));
  EXPECT_EQ(flags.name, "x");
  EXPECT_EQ(flags.token, 41u);
  EXPECT_EQ(flags.reason, "it is stuck");
}

// A script's variable that is not set: what follows is no value.
TEST(Flags, AnEmptyValueTakesNothingFromTheNextArgument) {
  const auto lock = std::get<LockFlags>(Parse({"lock", "x", "--value=", "--shared", "--", "true"}));
  EXPECT_EQ(lock.value, "");
  EXPECT_TRUE(lock.shared);
  const auto once = std::get<OnceFlags>(
      Parse({"once", "k", "--fingerprint=", "--wait=5s", "--", "echo", "--x="}));
  EXPECT_EQ(once.fingerprint, "");
  EXPECT_EQ(once.wait, absl::Seconds(5));
  EXPECT_THAT(Complaint({"serve", "--id=n1", "--cluster=", "--new"}),
              HasSubstr("--cluster= has no value"));
  EXPECT_THAT(Complaint({"lock", "x", "--wait=", "--", "true"}), HasSubstr("--wait"));
}

TEST(Flags, MemberTakesAVerbAndAName) {
  EXPECT_EQ(std::get<MemberFlags>(Parse({"member", "list"})).what, MemberFlags::What::kList);
  const auto add = std::get<MemberFlags>(Parse({"member", "add", "n4=10.0.0.4:7400"}));
  EXPECT_EQ(add.what, MemberFlags::What::kAdd);
  EXPECT_EQ(add.name, "n4");
  EXPECT_EQ(add.address, "10.0.0.4:7400");
  EXPECT_EQ(add.timeout, absl::Seconds(30));
  const auto remove = std::get<MemberFlags>(Parse({"member", "remove", "n2", "--timeout=5s"}));
  EXPECT_EQ(remove.what, MemberFlags::What::kRemove);
  EXPECT_EQ(remove.name, "n2");
  EXPECT_EQ(remove.timeout, absl::Seconds(5));
  EXPECT_EQ(std::get<MemberFlags>(Parse({"member", "promote", "n4"})).what,
            MemberFlags::What::kPromote);
  const auto transfer = std::get<MemberFlags>(Parse({"member", "transfer"}));
  EXPECT_EQ(transfer.what, MemberFlags::What::kTransfer);
  EXPECT_EQ(transfer.name, "");
  EXPECT_EQ(std::get<MemberFlags>(Parse({"member", "transfer", "n3"})).name, "n3");
  EXPECT_THAT(Complaint({"member"}), HasSubstr("list, add, remove, promote or transfer"));
  EXPECT_THAT(Complaint({"member", "add", "n4"}), HasSubstr("is not ID=HOST:PORT"));
  EXPECT_THAT(Complaint({"member", "remove"}), HasSubstr("ID"));
}

TEST(Flags, ElectWaitsWithoutLimitUnlessItIsTold) {
  const auto plain = std::get<ElectFlags>(Parse({"elect", "e", "--", "echo", "[a,b]"}));
  EXPECT_EQ(plain.name, "e");
  EXPECT_EQ(plain.wait, absl::InfiniteDuration());
  EXPECT_EQ(plain.ttl, absl::Seconds(10));
  EXPECT_EQ(plain.priority, 0u);
  EXPECT_THAT(plain.command, ElementsAre("echo", "[a,b]"));
  const auto all = std::get<ElectFlags>(Parse(
      {"elect", "e", "--value=10.0.0.1:80", "--priority=7", "--wait=1m", "--ttl=3s", "--", "x"}));
  EXPECT_EQ(all.value, "10.0.0.1:80");
  EXPECT_EQ(all.priority, 7u);
  EXPECT_EQ(all.wait, absl::Minutes(1));
  EXPECT_EQ(all.ttl, absl::Seconds(3));
  EXPECT_THAT(Complaint({"elect", "e"}), HasSubstr("-- COMMAND"));
  EXPECT_THAT(Complaint({"elect", "", "--", "x"}), HasSubstr("NAME"));
  EXPECT_THAT(Complaint({"elect", "e", "--wait=0", "--", "x"}), HasSubstr("--wait"));
  EXPECT_THAT(Complaint({"elect", "e", "--ttl=1ms", "--", "x"}), HasSubstr("one second"));
  EXPECT_THAT(Complaint({"elect", "e", "--priority=-1", "--", "x"}), HasSubstr("--priority"));
}

TEST(Flags, WatchTakesAKindAndAName) {
  const auto lock = std::get<WatchFlags>(Parse({"watch", "lock", "a", "--after=7"}));
  EXPECT_EQ(lock.what, WatchFlags::What::kLock);
  EXPECT_EQ(lock.name, "a");
  EXPECT_EQ(lock.after, 7u);
  const auto election = std::get<WatchFlags>(Parse({"watch", "election", "[e]"}, "h:1"));
  EXPECT_EQ(election.what, WatchFlags::What::kElection);
  EXPECT_EQ(election.name, "[e]");
  EXPECT_EQ(election.after, 0u);
  EXPECT_EQ(election.endpoints, "h:1");
  EXPECT_EQ(election.timeout, absl::Seconds(5));
  EXPECT_THAT(Complaint({"watch"}), HasSubstr("lock NAME or election NAME"));
  EXPECT_THAT(Complaint({"watch", "lock"}), HasSubstr("NAME"));
  EXPECT_THAT(Complaint({"watch", "lock", "a", "--", "x"}), HasSubstr("no COMMAND"));
}

}  // namespace
}  // namespace tenure::cli
