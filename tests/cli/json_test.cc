// The JSON that people script against: its names, and that nothing is ever left out.
#include "cli/json.h"

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
  EXPECT_EQ(Json::parse(LocksJson({lock})).at("locks").size(), 1u);
  EXPECT_EQ(Json::parse(SessionsJson({})).at("sessions").size(), 0u);
}

}  // namespace
}  // namespace tenure::cli
