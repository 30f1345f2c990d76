#include <gtest/gtest.h>

#include "tests/member/cluster.h"

namespace tenure::member {
namespace {

class Sizes : public ::testing::TestWithParam<int> {};

TEST_P(Sizes, ServesLocksThroughPortsAndConnections) {
  testing::World world(7);
  Cluster cluster(world, {.size = GetParam()});
  cluster.StartAll();
  ASSERT_TRUE(cluster.AwaitLeader());
  auto port = Caller::Port(cluster, 0);
  Session session = OpenSessionOn(*port, absl::Seconds(10), 1);
  const Reply granted = port->AwaitReply(port->Write(session.Acquire("a", absl::ZeroDuration())));
  ASSERT_TRUE(std::holds_alternative<LockGranted>(granted.result)) << granted.message;
  auto client = Caller::Connect(cluster, world.AddNode("client"), cluster.Leader());
  const Reply read = client->AwaitReply(client->Read(GetLock{"a"}));
  const LockDescription* lock = std::get_if<LockDescription>(&read.result);
  ASSERT_NE(lock, nullptr);
  EXPECT_EQ(lock->holder.session, session.id);
  ASSERT_TRUE(cluster.AwaitConverged());
  cluster.CheckHashes();
}

INSTANTIATE_TEST_SUITE_P(Member, Sizes, ::testing::Values(1, 2, 3, 5));

}  // namespace
}  // namespace tenure::member
