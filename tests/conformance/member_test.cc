// The member backend: three members over the in-process transport, and coordinators that come out
// of them.
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/cluster.h"
#include "conformance/conformance.h"

namespace tenure::conformance {
namespace {

class MemberFixture : public BackendFixture {
 public:
  // `on_leader`: where clients are.
  MemberFixture(bool on_leader, Elections elections) : on_leader_(on_leader) {
    auto cluster = Cluster::Start({"a:1", "a:2", "a:3"}, elections,
                                  [this] { return network_->NewTransport(); });
    EXPECT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
    leader_ = cluster_->AwaitLeader();
  }

  Coordinator Connect(CoordinatorOptions options) override {
    return cluster_->member(NextMember()).coordinator(std::move(options));
  }
  void KillLeader() override { cluster_->Kill(leader_); }
  void DeposeLeader() override {
    Cut(leader_, true);
    const int deposed = leader_;
    leader_ = cluster_->AwaitLeader([deposed](int i) { return i != deposed; });
    Cut(deposed, false);
  }
  void TakeDown() override {
    for (int i = 0; i < Cluster::kSize; ++i) Cut(i, true);
  }
  // Its clients are of the members that were.
  bool Restart() override {
    const absl::Status restarted = cluster_->Restart();
    EXPECT_TRUE(restarted.ok()) << restarted;
    leader_ = cluster_->AwaitLeader();
    return false;
  }

 protected:
  // Followers by turns.
  int NextMember() {
    if (on_leader_) return leader_;
    do {
      next_ = (next_ + 1) % Cluster::kSize;
    } while (next_ == leader_);
    return next_;
  }
  void Cut(int i, bool cut) {
    const Cluster::Addresses& all = cluster_->addresses();
    for (const std::string& other : all) {
      const std::string& self = all[static_cast<std::size_t>(i)];
      if (other == self) continue;
      network_->SetLink(self, other, !cut);
      network_->SetLink(other, self, !cut);
    }
  }

  const bool on_leader_;
  const std::unique_ptr<InProcessNetwork> network_ = NewInProcessNetwork();
  std::unique_ptr<Cluster> cluster_;
  int leader_ = -1;
  int next_ = 0;
};

// The leader dies under the third command of each test.
class MemberLeaderDiesFixture final : public MemberFixture {
 public:
  explicit MemberLeaderDiesFixture(Elections elections)
      : MemberFixture(/*on_leader=*/false, elections) {}
  Coordinator Connect(CoordinatorOptions options) override {
    return tripwire_.Watch(MemberFixture::Connect({}), std::move(options));
  }

 private:
  Tripwire tripwire_{3, [this] { KillLeader(); }};
};

std::unique_ptr<BackendFixture> OnLeader(Elections elections) {
  return std::make_unique<MemberFixture>(true, elections);
}
std::unique_ptr<BackendFixture> OnFollower(Elections elections) {
  return std::make_unique<MemberFixture>(false, elections);
}
std::unique_ptr<BackendFixture> LeaderDies(Elections elections) {
  return std::make_unique<MemberLeaderDiesFixture>(elections);
}

// Its clients die with it.
const BackendCase kOnLeader{"on_leader", &OnLeader, {Capability::kLeaderKill}};
const BackendCase kOnFollower{"on_follower", &OnFollower, {}};
const BackendCase kLeaderDies{
    "leader_dies",
    &LeaderDies,
    {Capability::kLeaderKill, Capability::kLeaderCut, Capability::kRestart, Capability::kSteady}};

INSTANTIATE_TEST_SUITE_P(Member, Conformance, testing::Values(kOnLeader, kOnFollower, kLeaderDies),
                         BackendCase::Name);
INSTANTIATE_TEST_SUITE_P(Member, SteadyConformance, testing::Values(kOnLeader, kOnFollower),
                         BackendCase::Name);

// Beside the suite: what only a member can tell, and from any thread.
TEST(MemberLeadership, OneLeadsAndTheNextOneDoesWhenItIsGone) {
  const std::unique_ptr<InProcessNetwork> network = NewInProcessNetwork();
  auto started = Cluster::Start({"a:1", "a:2", "a:3"}, Elections::kQuick,
                                [&] { return network->NewTransport(); });
  ASSERT_TRUE(started.ok()) << started.status();
  Cluster& cluster = **started;
  std::vector<GroupLeadership> leads;
  for (int i = 0; i < Cluster::kSize; ++i) leads.push_back(cluster.member(i).leadership());
  const auto leader = [&] {
    int who = -1;
    for (int i = 0; i < Cluster::kSize; ++i) {
      if (leads[static_cast<std::size_t>(i)].IsLeader()) who = i;
    }
    return who;
  };
  while (leader() == -1) std::this_thread::yield();
  const int first = leader();
  const Term term = leads[static_cast<std::size_t>(first)].term();
  const std::stop_token lost = leads[static_cast<std::size_t>(first)].lost();
  EXPECT_FALSE(lost.stop_requested());
  cluster.Kill(first);
  EXPECT_TRUE(lost.stop_requested());
  EXPECT_FALSE(leads[static_cast<std::size_t>(first)].IsLeader()) << "it outlives its member";
  while (leader() == -1) std::this_thread::yield();
  EXPECT_GT(leads[static_cast<std::size_t>(leader())].term(), term);
  EXPECT_FALSE(GroupLeadership().IsLeader());
}

}  // namespace
}  // namespace tenure::conformance
