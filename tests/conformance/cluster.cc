#include "conformance/cluster.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace tenure::conformance {
namespace {

constexpr absl::Duration kHeartbeat = absl::Milliseconds(50);
constexpr absl::Duration kQuickMin = absl::Milliseconds(150);
// Longer than a thousand commands of one turn take under a sanitizer on a busy host.
constexpr absl::Duration kPatientMin = absl::Seconds(2);

}  // namespace

absl::StatusOr<std::unique_ptr<Cluster>> Cluster::Start(
    Addresses addresses, Elections elections,
    std::function<std::unique_ptr<Transport>()> new_transport) {
  std::unique_ptr<Cluster> cluster(
      new Cluster(std::move(addresses), elections, std::move(new_transport)));
  if (absl::Status started = cluster->StartMembers(); !started.ok()) return started;
  return cluster;
}

absl::Status Cluster::StartMembers() {
  const absl::Duration timeout = elections_ == Elections::kPatient ? kPatientMin : kQuickMin;
  std::string list;
  for (int i = 0; i < kSize; ++i) {
    absl::StrAppend(&list, i == 0 ? "" : ",", "n", i + 1, "=",
                    addresses_[static_cast<std::size_t>(i)]);
  }
  for (int i = 0; i < kSize; ++i) {
    MemberOptions options;
    options.id = absl::StrCat("n", i + 1);
    options.cluster = list;
    options.assert_new = true;
    options.heartbeat_interval = kHeartbeat;
    options.election_timeout_min = timeout;
    options.election_timeout_max = 2 * timeout;
    absl::StatusOr<std::unique_ptr<Member>> member =
        Member::Start(std::move(options), new_transport_(), NewMemoryStorage());
    if (!member.ok()) return member.status();
    members_[static_cast<std::size_t>(i)] = *std::move(member);
  }
  return absl::OkStatus();
}

absl::Status Cluster::Restart() {
  for (int i = 0; i < kSize; ++i) Kill(i);
  return StartMembers();
}

void Cluster::Kill(int i) {
  const std::lock_guard<std::mutex> lock(killing_);
  members_[static_cast<std::size_t>(i)] = nullptr;
}

int Cluster::AwaitLeader(const std::function<bool(int)>& can_lead) {
  for (;;) {
    for (int i = 0; i < kSize; ++i) {
      if (!running(i) || (can_lead && !can_lead(i))) continue;
      // A linearizable read waits for a leader that can serve.
      const absl::StatusOr<SessionList> read =
          member(i).coordinator().ListSessions(0, 1, absl::Seconds(30));
      EXPECT_TRUE(read.ok()) << read.status();
      if (!read.ok()) std::abort();
      Awaited<ClusterStatus> status;
      member(i).GetStatus(status.Callback());
      if (status.Get().leader == member(i).id()) return i;
    }
  }
}

class Tripwire::WatchedBackend final : public Backend {
 public:
  WatchedBackend(std::shared_ptr<Backend> below, std::shared_ptr<Wire> wire)
      : below_(std::move(below)), wire_(std::move(wire)) {}

  void Call(Command command, CallOptions options, Done done) override {
    below_->Call(std::move(command), options, std::move(done));
    if (++wire_->sent == wire_->at) wire_->Trip();
  }
  void Listen(SessionId session, Revision after, std::shared_ptr<EventSink> sink) override {
    below_->Listen(session, after, std::move(sink));
  }
  void Unlisten(SessionId session) override { below_->Unlisten(session); }
  Loop& loop() override { return below_->loop(); }
  void Shutdown() override { below_->Shutdown(); }

 private:
  const std::shared_ptr<Backend> below_;
  const std::shared_ptr<Wire> wire_;
};

Tripwire::Tripwire(int at, std::function<void()> action)
    : wire_(new Wire{at}), thread_([this, action = std::move(action)] {
        wire_->tripped.wait(false);
        if (!ended_) action();
      }) {}

Tripwire::~Tripwire() {
  if (!wire_->tripped) ended_ = true;
  wire_->Trip();
  thread_.join();
}

Coordinator Tripwire::Watch(const Coordinator& coordinator, CoordinatorOptions options) {
  return Coordinator(std::make_shared<WatchedBackend>(coordinator.backend(), wire_),
                     std::move(options));
}

}  // namespace tenure::conformance
