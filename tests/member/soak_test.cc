// Seeded random runs of whole clusters with clients that retry: no two holders, tokens rise, states
// agree, everything that was acknowledged survives, and all is well again after the faults.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "machine/codec.h"
#include "tests/member/cluster.h"
#include "tests/testing/sanitized.h"

namespace tenure::member {
namespace {

using testing::LinkOptions;
using testing::VirtualNode;
using testing::World;

constexpr absl::Duration kTtl = absl::Seconds(3);
constexpr int kRuns = testing::kSanitized ? 1 : 16;
constexpr int kRounds = testing::kSanitized ? 12 : 40;  // of a fault each

// Takes one lock again and again, over whoever leads; every command is sent until it is answered.
class LockClient {
 public:
  LockClient(Cluster& cluster, VirtualNode& machine, int number, std::string lock)
      : cluster_(cluster), machine_(machine), number_(number), lock_(std::move(lock)) {
    NewSession();
  }

  int cycles() const { return cycles_; }
  int lost() const { return lost_; }
  const std::string& lock() const { return lock_; }
  SessionId session() const { return session_.id; }

  // By its own clock, from when the acknowledged renewal was sent (rule 3).
  bool Holds() const {
    if (token_ == 0 || machine_.paused()) return false;
    const auto lease = static_cast<std::int64_t>(
        static_cast<double>(absl::ToInt64Nanoseconds(kTtl)) * 0.99 / 1.01);
    return machine_.loop().Now().HolderElapsedNs(lease_from_) < lease;
  }
  Revision token() const { return token_; }

  std::string Describe() const {
    return absl::StrCat(
        "session ", session_.id, " token ", token_, " waits for ", waiting_for_, " command ",
        command_.has_value() ? static_cast<int>(command_->operation.index()) : -1, " at ", next_,
        " lost ", lost_, " seen ", seen_, " caller ", caller_ != nullptr, " closed ",
        caller_ != nullptr && caller_->closed, " holds ", Holds());
  }

  void Tick() {
    if (machine_.paused()) return;
    TakeAnswers();
    const Instant now = machine_.loop().Now();
    if (token_ != 0 && !Holds()) return Lose();  // final, whatever comes later
    if (session_.id != 0 && now.Reached(renew_at_)) {
      renew_at_ = now + absl::Milliseconds(500);
      renewals_[++attempt_] = now;
      SendOn(session_.Renew(attempt_));
    }
    if (token_ != 0 && !command_.has_value() && now.Reached(release_at_)) {
      release_ = true;
      Do(session_.Release(lock_, token_));
      token_ = 0;  // from now on it does not act on it
    } else if (session_.id != 0 && !command_.has_value() && token_ == 0 && waiting_for_ == 0) {
      release_ = false;
      waiting_for_ = session_.last + 1;
      Do(session_.Acquire(lock_, absl::InfiniteDuration()));
    }
    if (command_.has_value() && now.Reached(resend_at_)) Resend();
    if (waiting_for_ != 0 && !command_.has_value() && now.Reached(listen_at_)) Relisten();
  }

 private:
  void NewSession() {
    session_ = Session{};
    session_.key = {static_cast<std::uint64_t>(number_), ++keys_};
    token_ = 0;
    waiting_for_ = 0;
    seen_ = 0;
    renewals_.clear();
    opened_at_ = machine_.loop().Now();
    Do(session_.Open(kTtl));
  }
  void Lose() {
    ++lost_;
    NewSession();
  }
  void Do(Command command) {
    command.events_seen_through = seen_;
    command_ = std::move(command);
    Resend();
  }
  void Resend() {
    resend_at_ = machine_.loop().Now() + absl::Milliseconds(400);
    if (sent_ >= 2) Move();
    ++sent_;
    command_id_ = SendOn(*command_);
    if (session_.id != 0) caller_->Listen(session_.id, seen_);
  }
  void Relisten() {
    listen_at_ = machine_.loop().Now() + absl::Milliseconds(1500);
    SendOn(session_.Renew(0));
    caller_->Listen(session_.id, seen_);
  }
  void Move() {
    sent_ = 0;
    caller_ = nullptr;
    next_ = (next_ + 1) % cluster_.size();
  }
  std::uint64_t SendOn(const Command& command) {
    if (caller_ == nullptr || caller_->closed) {
      caller_ = Caller::Connect(cluster_, machine_, next_);
      command_id_ = 0;
    }
    return caller_->Write(command);
  }

  void TakeAnswers() {
    if (caller_ == nullptr) return;
    bool move = !caller_->notices.empty();
    std::string hint;
    std::map<std::uint64_t, ClientReply> replies;
    replies.swap(caller_->replies);
    std::vector<SessionEvent> events;
    events.swap(caller_->events);
    caller_->notices.clear();
    for (auto& [id, reply] : replies) {
      if (reply.refusal == Refusal::kNotLeader) {
        move = true;
        if (!reply.leader_address.empty()) hint = reply.leader_address;
      }
      if (reply.refusal != Refusal::kNone || reply.reply.empty()) continue;
      const absl::StatusOr<Reply> decoded = machine::DecodeReply(reply.reply);
      ASSERT_TRUE(decoded.ok());
      if (decoded->code == ReplyCode::kSessionEnded) return Lose();
      if (const auto* renewed = std::get_if<SessionRenewed>(&decoded->result)) {
        const auto sent = renewals_.find(renewed->attempt);
        if (sent != renewals_.end()) lease_from_ = sent->second;
      } else if (id == command_id_ && command_.has_value()) {
        command_.reset();
        Answered(*decoded);
      }
    }
    for (const SessionEvent& event : events) {
      if (event.session != session_.id || event.revision <= seen_) continue;
      seen_ = event.revision;
      if (std::holds_alternative<SessionEndedEvent>(event.body)) return Lose();
      if (const auto* granted = std::get_if<LockGrantedEvent>(&event.body)) {
        EXPECT_EQ(granted->acquire, waiting_for_);
        if (granted->acquire == waiting_for_) Granted(granted->token);
      }
    }
    if (move) {
      Move();
      for (int i = 0; i < cluster_.size(); ++i) {
        if (cluster_.address(i) == hint) next_ = i;
      }
      if (command_.has_value()) resend_at_ = machine_.loop().Now() + absl::Milliseconds(30);
    }
  }
  void Answered(const Reply& reply) {
    EXPECT_EQ(reply.code, ReplyCode::kOk) << reply.message;
    sent_ = 0;
    if (const auto* opened = std::get_if<SessionOpened>(&reply.result)) {
      session_.id = opened->session;
      lease_from_ = opened_at_;
      renew_at_ = machine_.loop().Now() + absl::Milliseconds(300);
    } else if (const auto* granted = std::get_if<LockGranted>(&reply.result)) {
      Granted(granted->token);
    } else if (std::holds_alternative<LockReleased>(reply.result)) {
      ++cycles_;
    } else {
      listen_at_ = machine_.loop().Now() + absl::Milliseconds(500);
    }
  }
  void Granted(Revision token) {
    command_.reset();
    waiting_for_ = 0;
    token_ = token;
    release_at_ = machine_.loop().Now() + absl::Milliseconds(50);
  }

  Cluster& cluster_;
  VirtualNode& machine_;
  const int number_;
  const std::string lock_;
  std::unique_ptr<Caller> caller_;
  int next_ = 0;
  Session session_;
  std::uint64_t keys_ = 0;
  std::optional<Command> command_;
  std::uint64_t command_id_ = 0;
  int sent_ = 0;
  Instant opened_at_, resend_at_, renew_at_, release_at_, listen_at_;
  std::uint64_t attempt_ = 0;
  std::map<std::uint64_t, Instant> renewals_;
  Instant lease_from_;
  Revision token_ = 0;
  Sequence waiting_for_ = 0;
  Revision seen_ = 0;
  bool release_ = false;
  int cycles_ = 0;
  int lost_ = 0;
};

class Soak {
 public:
  Soak(std::uint64_t seed, bool durable)
      : world_(seed), durable_(durable), cluster_(world_, Options(world_, durable)) {
    LinkOptions link;
    link.latency_max = absl::Milliseconds(3);
    link.loss = world_.Chance(0.5) ? 0.05 : 0;
    link.duplication = world_.Chance(0.5) ? 0.05 : 0;
    link.reordering = world_.Chance(0.5) ? 0.1 : 0;
    world_.network().SetDefaults(link);
    world_.network().set_stream_timeout(absl::Seconds(1));
  }

  void Run() {
    cluster_.StartAll();
    ASSERT_TRUE(cluster_.AwaitLeader(absl::Seconds(60)));
    for (int i = 0; i < 4; ++i) {
      VirtualNode& machine = world_.AddNode(absl::StrCat("c", i));
      machine.SetClockDrift(testing::Clock::kBoottime, i % 2 == 0 ? -0.008 : 0.008);
      machine.SetClockDrift(testing::Clock::kMonotonicRaw, i % 2 == 0 ? -0.008 : 0.008);
      machines_.push_back(&machine);
      clients_.push_back(
          std::make_unique<LockClient>(cluster_, machine, i, i < 3 ? "hot" : "cold"));
    }
    for (int round = 0; round < kRounds; ++round) {
      Fault();
      Live(world_.RandomDuration(absl::Milliseconds(50), absl::Seconds(1)));
      if (::testing::Test::HasFatalFailure()) return;
    }
    Heal();
  }

  static ClusterOptions Options(World& world, bool durable) {
    ClusterOptions options;
    options.size = world.Chance(0.3) ? 5 : 3;
    options.durable = durable;
    if (durable) options.disk_latency_max = absl::Milliseconds(5);
    const std::size_t bytes = world.Chance(0.5) ? 20'000 : std::size_t{64} << 20;
    options.change = [bytes](MemberOptions& member) { member.snapshot_log_bytes = bytes; };
    return options;
  }

  void Fault() {
    const int i = static_cast<int>(world_.RandomBelow(static_cast<std::uint64_t>(cluster_.size())));
    const int j = static_cast<int>(world_.RandomBelow(static_cast<std::uint64_t>(cluster_.size())));
    switch (world_.RandomBelow(9)) {
      case 0:
        if (cluster_.running(i)) cluster_.machine(i).Pause();
        break;
      case 1:
        for (int k = 0; k < cluster_.size(); ++k) {
          if (cluster_.running(k)) cluster_.machine(k).Resume();
        }
        break;
      case 2:
        cluster_.Isolate(i, true);
        break;
      case 3:
        world_.network().MendAll();
        break;
      case 4:
        if (i != j) world_.network().SetLink(cluster_.address(i), cluster_.address(j), false);
        break;
      case 5:
        if (durable_ && cluster_.running(i)) {
          cluster_.machine(i).disk().KeepAtNextCrash(world_.RandomBelow(3));
          cluster_.Kill(i);
        }
        if (!durable_) Forget(i);
        break;
      case 8:
        if (const int leader = cluster_.Leader(); leader >= 0) {
          cluster_.machine(leader).loop().Post([this, leader] {
            if (!cluster_.running(leader)) return;
            cluster_.node(leader).HandOver([this](const absl::Status&) { ++hand_overs; });
          });
        }
        break;
      case 6:
        if (!cluster_.running(i)) cluster_.Start(i);
        break;
      case 7:
        machines_[world_.RandomBelow(machines_.size())]->Pause();
        break;
    }
  }

  // Restarts a member without its memory, one at a time: the next one only when the last has taken
  // its place. More is not survived, and not promised.
  void Forget(int i) {
    const int leader = cluster_.Leader();
    if (leader < 0 || !cluster_.running(i)) return;
    const ClusterStatus status = cluster_.Status(leader);
    if (!status.may_stop_one) return;
    for (int k = 0; k < cluster_.size(); ++k) {
      bool voter = false;
      for (const MemberStatus& member : status.members) {
        voter |= member.id == cluster_.node(k).id() && member.role != "learner";
      }
      if (!voter) return;
    }
    ++forgotten;
    cluster_.Restart(i);
  }

  void Live(absl::Duration duration) {
    const absl::Duration until = world_.now() + duration;
    while (world_.now() < until) {
      world_.RunFor(absl::Milliseconds(5));
      if (world_.Chance(0.01)) {
        for (VirtualNode* machine : machines_) machine->Resume();
      }
      for (const auto& client : clients_) client->Tick();
      Check();
      if (::testing::Test::HasFatalFailure()) return;
    }
  }

  void Check() {
    cluster_.CheckHashes();
    std::map<std::string, int> holders;
    for (const auto& client : clients_) {
      if (!client->Holds()) continue;
      ASSERT_EQ(++holders[client->lock()], 1) << "two hold " << client->lock();
      Revision& last = tokens_[client->lock()];
      ASSERT_GE(client->token(), last) << "tokens fell";
      last = client->token();
    }
  }

  void Heal() {
    world_.network().MendAll();
    world_.network().SetDefaults({});
    for (VirtualNode* machine : machines_) machine->Resume();
    for (int i = 0; i < cluster_.size(); ++i) {
      if (!cluster_.running(i)) {
        cluster_.Start(i);
      } else {
        cluster_.machine(i).Resume();
      }
    }
    std::vector<int> before;
    for (const auto& client : clients_) before.push_back(client->cycles());
    Live(absl::Seconds(20));
    ASSERT_TRUE(cluster_.AwaitConverged());
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      EXPECT_GT(clients_[i]->cycles(), before[i])
          << "client " << i << " is stuck: " << clients_[i]->Describe();
      cycles += clients_[i]->cycles();
    }
    compared += cluster_.hashes_compared();
    for (int i = 0; i < cluster_.size(); ++i)
      EXPECT_TRUE(cluster_.stopped(i).ok()) << cluster_.stopped(i);
    // What was acknowledged is there, on whoever leads.
    auto port = Caller::Port(cluster_, cluster_.Leader());
    for (const auto& client : clients_) {
      if (!client->Holds()) continue;
      const Reply reply = port->AwaitReply(port->Read(GetLock{client->lock()}));
      ASSERT_TRUE(std::holds_alternative<LockDescription>(reply.result));
      EXPECT_EQ(std::get<LockDescription>(reply.result).holder.token, client->token());
    }
  }

  int cycles = 0;
  int compared = 0;
  int forgotten = 0;
  int hand_overs = 0;
  std::uint64_t trace() const { return world_.trace_hash(); }

 private:
  World world_;
  const bool durable_;
  Cluster cluster_;
  std::vector<VirtualNode*> machines_;
  std::vector<std::unique_ptr<LockClient>> clients_;
  std::map<std::string, Revision> tokens_;
};

class SoakTest : public ::testing::TestWithParam<bool> {};

// PITFALLS T9 and L9 over faults of all kinds.
TEST_P(SoakTest, T9NoTwoHoldersAndEqualStatesWhateverHappens) {
  int cycles = 0;
  int compared = 0;
  int forgotten = 0;
  int hand_overs = 0;
  for (std::uint64_t seed = 1; seed <= kRuns; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Soak soak(seed + (GetParam() ? 1000 : 0), GetParam());
    soak.Run();
    if (HasFatalFailure()) return;
    cycles += soak.cycles;
    compared += soak.compared;
    forgotten += soak.forgotten;
    hand_overs += soak.hand_overs;
  }
  EXPECT_GT(cycles, kRuns * kRounds * 3 / 2);
  EXPECT_GT(compared, kRuns * kRounds * 15) << "states were hardly ever compared";
  EXPECT_GE(hand_overs, kRuns / 2);
  if (!GetParam()) {
    EXPECT_GE(forgotten, kRuns / 4);
  }
}

TEST(SoakDeterminism, ASeedReplaysARun) {
  if (testing::kSanitized) GTEST_SKIP() << "takes a minute under a sanitizer";
  const auto run = [] {
    Soak soak(4242, true);
    soak.Run();
    return soak.trace();
  };
  EXPECT_EQ(run(), run());
}

INSTANTIATE_TEST_SUITE_P(Member, SoakTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "Durable" : "InMemory"; });

}  // namespace
}  // namespace tenure::member
