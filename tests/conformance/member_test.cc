// The member backend: three members over the in-process transport, and coordinators that come out
// of them.
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "conformance/cluster.h"
#include "conformance/conformance.h"

namespace tenure::conformance {
namespace {

class MemberFixture : public BackendFixture {
 public:
  // `on_leader`: where clients are.
  explicit MemberFixture(bool on_leader) : on_leader_(on_leader) {
    auto cluster =
        Cluster::Start({"a:1", "a:2", "a:3"}, [this] { return network_->NewTransport(); });
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
  MemberLeaderDiesFixture() : MemberFixture(/*on_leader=*/false) {}
  Coordinator Connect(CoordinatorOptions options) override {
    return tripwire_.Watch(MemberFixture::Connect({}), std::move(options));
  }

 private:
  Tripwire tripwire_{3, [this] { KillLeader(); }};
};

std::unique_ptr<BackendFixture> OnLeader() { return std::make_unique<MemberFixture>(true); }
std::unique_ptr<BackendFixture> OnFollower() { return std::make_unique<MemberFixture>(false); }
std::unique_ptr<BackendFixture> LeaderDies() { return std::make_unique<MemberLeaderDiesFixture>(); }

INSTANTIATE_TEST_SUITE_P(Member, Conformance,
                         testing::Values(
                             // Its clients die with it.
                             BackendCase{"on_leader", &OnLeader, {Capability::kLeaderKill}},
                             BackendCase{"on_follower", &OnFollower, {}},
                             BackendCase{"leader_dies",
                                         &LeaderDies,
                                         {Capability::kLeaderKill, Capability::kLeaderCut,
                                          Capability::kSteady}}),
                         BackendCase::Name);

}  // namespace
}  // namespace tenure::conformance
