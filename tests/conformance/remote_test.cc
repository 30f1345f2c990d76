// The remote backend: three members over gRPC on loopback, and clients by tenure::Open and
// tenure::grpc::Connect.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "conformance/cluster.h"
#include "conformance/conformance.h"
#include "tenure/grpc/connect.h"
#include "tenure/grpc/transport.h"
#include "tenure/tenure.h"

namespace tenure::conformance {
namespace {

// Ports that are free now: all are held until all are known. Somebody may take one before its
// member binds it.
Cluster::Addresses FreeAddresses() {
  Cluster::Addresses addresses;
  std::array<int, Cluster::kSize> sockets;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    sockets[i] = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in name = {};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof name;
    EXPECT_EQ(bind(sockets[i], reinterpret_cast<const sockaddr*>(&name), size), 0);
    EXPECT_EQ(getsockname(sockets[i], reinterpret_cast<sockaddr*>(&name), &size), 0);
    addresses[i] = absl::StrCat("127.0.0.1:", ntohs(name.sin_port));
  }
  for (const int socket : sockets) close(socket);
  return addresses;
}

class RemoteFixture : public BackendFixture {
 public:
  explicit RemoteFixture(Elections elections) {
    absl::StatusOr<std::unique_ptr<Cluster>> cluster = absl::UnavailableError("not tried");
    for (int i = 0; i < 10 && absl::IsUnavailable(cluster.status()); ++i) {
      cluster = Cluster::Start(FreeAddresses(), elections, [] { return grpc::NewTransport(); });
    }
    EXPECT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
    leader_ = cluster_->AwaitLeader();
  }

  // By the two ways in, by turns.
  Coordinator Connect(CoordinatorOptions options) override {
    by_uri_ = !by_uri_;
    const Cluster::Addresses& all = cluster_->addresses();
    absl::StatusOr<Coordinator> coordinator =
        by_uri_ ? Open(absl::StrCat("tenure://", absl::StrJoin(all, ",")), std::move(options))
                : grpc::Connect(std::vector<std::string>(all.begin(), all.end()),
                                {.coordinator = std::move(options)});
    EXPECT_TRUE(coordinator.ok()) << coordinator.status();
    return *std::move(coordinator);
  }
  void KillLeader() override { cluster_->Kill(leader_); }
  void TakeDown() override {
    for (int i = 0; i < Cluster::kSize; ++i) cluster_->Kill(i);
  }
  bool Restart() override {
    const absl::Status restarted = cluster_->Restart();
    EXPECT_TRUE(restarted.ok()) << restarted;
    leader_ = cluster_->AwaitLeader();
    return true;
  }
  // gRPC's own.
  int ThreadSlack() const override { return 4; }

 private:
  std::unique_ptr<Cluster> cluster_;
  int leader_ = -1;
  bool by_uri_ = false;
};

// The leader dies under the third command of each test.
class RemoteLeaderDiesFixture final : public RemoteFixture {
 public:
  explicit RemoteLeaderDiesFixture(Elections elections) : RemoteFixture(elections) {}
  Coordinator Connect(CoordinatorOptions options) override {
    return tripwire_.Watch(RemoteFixture::Connect({}), std::move(options));
  }

 private:
  Tripwire tripwire_{3, [this] { KillLeader(); }};
};

std::unique_ptr<BackendFixture> NewRemote(Elections elections) {
  return std::make_unique<RemoteFixture>(elections);
}
std::unique_ptr<BackendFixture> LeaderDies(Elections elections) {
  return std::make_unique<RemoteLeaderDiesFixture>(elections);
}

// Sockets cannot be cut from inside; processes that are stopped are another test's.
const BackendCase kRemote{"remote", &NewRemote, {Capability::kLeaderCut}};
const BackendCase kLeaderDies{
    "leader_dies",
    &LeaderDies,
    {Capability::kLeaderKill, Capability::kLeaderCut, Capability::kRestart, Capability::kSteady}};

INSTANTIATE_TEST_SUITE_P(Remote, Conformance, testing::Values(kRemote, kLeaderDies),
                         BackendCase::Name);
INSTANTIATE_TEST_SUITE_P(Remote, SteadyConformance, testing::Values(kRemote), BackendCase::Name);

}  // namespace
}  // namespace tenure::conformance
