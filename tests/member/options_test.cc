#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "member/cluster_list.h"
#include "member/genesis.h"
#include "tenure/member_options.h"

namespace tenure::member {
namespace {

TEST(ClusterList, TheSameListInAnyOrderIsTheSame) {
  const auto a = ParseClusterList("n2=h:2,n1=h:1, n3=h:3");
  const auto b = ParseClusterList("n1=h:1,n2=h:2,n3=h:3");
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(*a, *b);
  EXPECT_EQ(ClusterListDigest(*a), ClusterListDigest(*b));
  EXPECT_NE(ClusterListDigest(*a), ClusterListDigest(*ParseClusterList("n1=h:1,n2=h:2,n3=h:4")));
}

TEST(ClusterList, ErrorsSayWhatToDo) {
  for (const char* bad :
       {"", "n1", "n1=", "=h:1", "n1=h", "n1=h:99999", "n1=h:1,n1=h:2", "n1=h:1,n2=h:1", "n 1=h:1",
        "n1=h:1,", "n1=h:1,n2=h:80:90", "n1=h:1;n2=h:2", "n1=[::1:1", "n1=unix:/run/n1", "n1=a b:1",
        "a=h:1,b=h:2,c=h:3,d=h:4,e=h:5,f=h:6,g=h:7,h=h:8"}) {
    const auto members = ParseClusterList(bad);
    EXPECT_FALSE(members.ok()) << bad;
    EXPECT_TRUE(absl::IsInvalidArgument(members.status())) << bad;
    EXPECT_FALSE(absl::StrContains(members.status().message(), "\n"));
  }
}

TEST(ClusterList, AddressesOfEachKindAreTaken) {
  for (const char* good : {"n1=h:1", "n1=10.0.0.1:7400", "n1=a_b-c.example:1", "n1=[::1]:7400",
                           "n1=[fe80::1%eth0]:7400"}) {
    EXPECT_TRUE(ParseClusterList(good).ok()) << good;
  }
}

TEST(MemberOptionsTest, AnUnknownIdIsNamed) {
  MemberOptions options;
  options.id = "n9";
  options.cluster = "n1=h:1,n2=h:2";
  const absl::Status status = ValidateMemberOptions(options);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "n9"));
  options.id = "n2";
  EXPECT_TRUE(ValidateMemberOptions(options).ok());
}

// PITFALLS L22 at the first start: the wall clock gives tokens that rise over a cluster that kept
// nothing.
TEST(Genesis, TheFirstRevisionRisesWithTheWallClockAndStaysBelow2To53) {
  const auto first = MakeGenesis({}, absl::FromUnixSeconds(1'790'000'000));
  const auto later = MakeGenesis({}, absl::FromUnixSeconds(1'790'000'001));
  ASSERT_TRUE(first.ok() && later.ok());
  EXPECT_EQ(first->first_revision, Revision{1'790'000'000 - 1'577'836'800} << 22);
  EXPECT_GT(later->first_revision, first->first_revision);
  EXPECT_LT(later->first_revision, Revision{1} << 53);
  const auto survivor =
      MakeGenesis({.revision_floor = Revision{1} << 51}, absl::FromUnixSeconds(1'790'000'000));
  EXPECT_EQ(survivor->first_revision, (Revision{1} << 51) + (Revision{1} << 32));
}

// Found by tenure_sim: a cluster that was wiped and came back within a second gave its tokens
// again.
TEST(Genesis, L22TwoStartsWithinOneSecondDoNotShareTokens) {
  const absl::Time wall = absl::FromUnixSeconds(1'790'000'000);
  const auto first = MakeGenesis({}, wall);
  const auto second = MakeGenesis({}, wall + absl::Milliseconds(100));
  ASSERT_TRUE(first.ok() && second.ok());
  // More than any cluster can have used up meanwhile.
  EXPECT_GT(second->first_revision, first->first_revision + 400'000);
}

TEST(Genesis, AWallClockThatCannotBeIsRefused) {
  EXPECT_FALSE(MakeGenesis({}, absl::FromUnixSeconds(0)).ok());
  EXPECT_FALSE(MakeGenesis({}, absl::FromUnixSeconds(1'577'836'800)).ok());
}

// PITFALLS T10.
TEST(Genesis, T10ANewClusterHoldsBackForTheLongestTtlStretchedByDrift) {
  const auto genesis = MakeGenesis({.ttl_max = absl::Seconds(60), .clock_drift_max = 0.01},
                                   absl::FromUnixSeconds(1'790'000'000));
  ASSERT_TRUE(genesis.ok());
  EXPECT_GE(genesis->grants_from_ns, absl::ToInt64Nanoseconds(absl::Seconds(60)) * 101 / 99);
  EXPECT_LE(genesis->grants_from_ns, absl::ToInt64Nanoseconds(absl::Seconds(62)));
  EXPECT_EQ(genesis->limits.ttl_max_ns, absl::ToInt64Nanoseconds(absl::Seconds(60)));
  EXPECT_EQ(MakeGenesis({.all_new = true}, absl::FromUnixSeconds(1'790'000'000))->grants_from_ns,
            0);
}

}  // namespace
}  // namespace tenure::member
