// The JSON that people script against: its names, and that nothing is ever left out.
#include "cli/json.h"

#include <sstream>
#include <string>
#include <vector>

#include "cli/kept_output.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace tenure::cli {
namespace {

using Json = nlohmann::json;

TEST(Json, StatusWithoutALeaderHasAllItsFields) {
  const Json json = Json::parse(StatusJson(ClusterStatus()));
  EXPECT_EQ(json.at("leader"), "");
  for (const char* name :
       {"term", "revision", "sessions", "locks", "commit", "held_back_seconds"}) {
    EXPECT_TRUE(json.at(name).is_number()) << name;
  }
  EXPECT_TRUE(json.at("members").is_array());
}

TEST(Json, StatusNamesMembersAsTheirIdFlagDoes) {
  ClusterStatus status;
  status.leader = {"n2", 7};
  status.revision = (Revision{1} << 53) - 1;
  status.members.push_back(
      {.id = {"n2", 7}, .address = "h:1", .role = "leader", .reachable = true, .applied = 9});
  const Json json = Json::parse(StatusJson(status));
  EXPECT_EQ(json.at("leader"), "n2");
  EXPECT_EQ(json.at("revision"), 9007199254740991);
  const Json& member = json.at("members").at(0);
  EXPECT_EQ(member.at("id"), "n2");
  EXPECT_EQ(member.at("address"), "h:1");
  EXPECT_EQ(member.at("role"), "leader");
  EXPECT_EQ(member.at("reachable"), true);
  EXPECT_EQ(member.at("applied"), 9);
}

TEST(Json, AFreeLockHasNoHolderAndSaysSo) {
  LockDescription lock;
  lock.name = "a\xff";  // not UTF-8: shown, not thrown at
  const Json json = Json::parse(LockJson(lock));
  EXPECT_EQ(json.at("held"), false);
  EXPECT_TRUE(json.at("holder").is_null());
  EXPECT_EQ(json.at("waiting"), 0);
  EXPECT_EQ(json.at("held_back_seconds"), 0.0);
  lock.delay_left_ns = 2'500'000'000;
  EXPECT_EQ(Json::parse(LockJson(lock)).at("held_back_seconds"), 2.5);
  EXPECT_EQ(Json::parse(LocksJson({lock})).at("locks").size(), 1u);
  EXPECT_EQ(Json::parse(SessionsJson({})).at("sessions").size(), 0u);
}

TEST(Json, OneLockShowsWhoSharesWhoWaitsAndWhoBrokeIt) {
  LockDescription lock;
  lock.name = "a";
  lock.waiters = {{.session = 4, .mode = LockMode::kPermits, .permits = 2, .owner = "o"}};
  lock.sharers = {{.session = 5, .permits = 1}};
  const Json whole = Json::parse(LockJson(lock));
  EXPECT_EQ(whole.at("waiters").at(0).at("mode"), "permits");
  EXPECT_EQ(whole.at("waiters").at(0).at("permits"), 2);
  EXPECT_EQ(whole.at("waiters").at(0).at("owner"), "o");
  EXPECT_EQ(whole.at("sharers").at(0).at("permits"), 1);
  EXPECT_TRUE(whole.at("broken").is_null());
  lock.broken = {7, 6, 5, "h:1", "broken by me: stuck", 1'500'000'000};
  const Json broken = Json::parse(LockJson(lock)).at("broken");
  EXPECT_EQ(broken.at("token"), 6);
  EXPECT_EQ(broken.at("seconds_ago"), 1.5);
  EXPECT_EQ(broken.at("by"), "broken by me: stuck");
  const Json listed = Json::parse(LocksJson({lock})).at("locks").at(0);
  EXPECT_FALSE(listed.contains("waiters")) << "an empty list would say that nobody waits";
}

TEST(Json, AKeyShowsWhatItsCommandDid) {
  OperationDescription key;
  key.key = "k";
  key.response = "a response";
  EXPECT_TRUE(Json::parse(KeyJson(key)).at("exit_status").is_null());
  key.response = EncodeOutcome({.exit_status = 3, .written = 5, .output = "hello"});
  const Json json = Json::parse(KeyJson(key));
  EXPECT_EQ(json.at("exit_status"), 3);
  EXPECT_EQ(json.at("output"), "hello");
  EXPECT_EQ(json.at("output_bytes"), 5);
}

TEST(Json, AnElectionNamesItsLeaderOrNobody) {
  ElectionDescription led;
  led.name = "a";
  led.leader = {.session = 4, .token = 9, .label = "h:1", .value = "v", .held_ns = 500'000'000};
  led.waiting = 2;
  ElectionDescription open;
  open.name = "b";
  const Json list = Json::parse(ElectionsJson({led, open})).at("elections");
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].at("led"), true);
  EXPECT_EQ(list[0].at("leader").at("token"), 9);
  EXPECT_EQ(list[0].at("leader").at("held_seconds"), 0.5);
  EXPECT_EQ(list[0].at("waiting"), 2);
  EXPECT_EQ(list[1].at("led"), false);
  EXPECT_TRUE(list[1].at("leader").is_null());
}

// What NewsJson makes of it, line by line.
std::vector<Json> Lines(const News& news) {
  std::vector<Json> lines;
  std::istringstream text(NewsJson("election", "e", news));
  for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
  return lines;
}

TEST(Json, EachLineOfAWatchHasAllItsFields) {
  News news;
  news.change = {.revision = 12,
                 .kind = ChangeKind::kHandedOver,
                 .token = 9,
                 .session = 4,
                 .label = "h:1",
                 .value = "",
                 .at_ns = 1'500'000'000};
  const std::vector<Json> lines = Lines(news);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0], Json({{"kind", "election"},
                            {"name", "e"},
                            {"event", "handed_over"},
                            {"revision", 12},
                            {"token", 9},
                            {"session", 4},
                            {"label", "h:1"},
                            {"value", ""},
                            {"cluster_time_seconds", 1.5},
                            {"holder", nullptr}}));
}

TEST(Json, AGapIsALineOfItsOwnWithTheSameFields) {
  News news;
  news.gap = true;
  news.change = {.revision = 12, .kind = ChangeKind::kValue, .token = 9, .session = 4};
  news.holder = {.session = 4, .token = 9, .label = "h:1", .value = "v"};
  std::vector<Json> lines = Lines(news);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].at("event"), "gap");
  EXPECT_EQ(lines[1].at("event"), "value");
  EXPECT_EQ(lines[1].at("holder").at("value"), "v");
  for (const auto& [field, value] : lines[1].items()) EXPECT_TRUE(lines[0].contains(field));
  // Nothing is known but how things stand.
  news.change = {.revision = 15};
  lines = Lines(news);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].at("event"), "state");
  EXPECT_EQ(lines[1].at("revision"), 15);
}

}  // namespace
}  // namespace tenure::cli
