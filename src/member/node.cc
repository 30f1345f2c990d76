// How a member's actor starts and stops, and what its seams bring it.
#include "member/node.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "machine/codec.h"
#include "member/actor.h"
#include "member/cluster_list.h"
#include "member/genesis.h"
#include "raft/prng.h"

namespace tenure::member {
namespace {

// Past this, a peer's messages are dropped until the next turn: a transport may lose them anyway.
constexpr std::size_t kPeerInboxMax = 65536;

std::uint64_t DrawRandom() {
  std::random_device device;
  return (std::uint64_t{device()} << 32 | device()) | 1;  // never 0, which means "unknown"
}

// A seed of its own for each incarnation of each member, also when all are given the same.
std::uint64_t MixSeed(std::uint64_t seed, const MemberId& self) {
  std::uint64_t mixed = raft::Prng(seed ^ self.incarnation).Next();
  for (const char c : self.name) mixed = raft::Prng(mixed ^ static_cast<unsigned char>(c)).Next();
  return mixed;
}

BootstrapOptions BootstrapOptionsOf(Beginning& beginning) {
  BootstrapOptions options;
  options.self = beginning.self;
  options.members = beginning.members;
  options.config_digest = ClusterListDigest(beginning.members);
  options.assert_new = beginning.options.assert_new;
  options.seed = MixSeed(beginning.seed, beginning.self);
  options.step = beginning.options.heartbeat_interval;
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Node>> Node::Start(MemberOptions options, Transport* transport,
                                                  Storage* storage, NodeEnvironment environment) {
  if (absl::Status valid = ValidateMemberOptions(options); !valid.ok()) return valid;
  Beginning beginning;
  beginning.members = *ParseClusterList(options.cluster);
  beginning.self = {options.id, options.incarnation != 0 ? options.incarnation : DrawRandom()};
  beginning.seed = options.seed != 0 ? options.seed : DrawRandom();
  beginning.environment = std::move(environment);
  for (const Peer& peer : beginning.members) {
    if (peer.name == options.id) beginning.address = peer.address;
  }
  beginning.options = std::move(options);

  absl::StatusOr<Recovered> recovered = storage->Open(beginning.self);
  if (!recovered.ok()) return recovered.status();
  if (!recovered->cluster.empty()) {
    if (recovered->trimmed_through > recovered->snapshot.index) {
      return absl::DataLossError(absl::StrCat(
          "the log of ", recovered->self.ToString(), " begins after entry ",
          recovered->trimmed_through, ": what came before cannot be restored without a snapshot"));
    }
    beginning.self = recovered->self;
  }
  beginning.recovered = *std::move(recovered);

  auto actor = std::make_unique<Actor>(std::move(beginning), transport, storage);
  if (absl::Status started = actor->Start(); !started.ok()) return started;
  return actor;
}

Actor::Actor(Beginning beginning, Transport* transport, Storage* storage)
    : anchor_(std::make_shared<Anchor>()),
      options_(std::move(beginning.options)),
      environment_(std::move(beginning.environment)),
      newest_version_(environment_.machine_version),
      members_(beginning.members),
      self_(beginning.self),
      address_(beginning.address),
      seed_(MixSeed(beginning.seed + 1, self_)),
      recovered_(std::move(beginning.recovered)),
      transport_(transport),
      storage_(storage),
      loop_(transport->loop()),
      bootstrap_(
          [this, &beginning] {
            beginning.options.assert_new = options_.assert_new;
            beginning.options.heartbeat_interval = options_.heartbeat_interval;
            BootstrapOptions options = BootstrapOptionsOf(beginning);
            options.machine_version = newest_version_;
            options.check_genesis = [this](absl::string_view bytes) {
              return machine::DecodeGenesis(bytes, newest_version_).status();
            };
            options.make_genesis = [this](bool all_new,
                                          std::uint32_t version) -> absl::StatusOr<std::string> {
              // wall-clock: a new cluster's first revision rises above an earlier one's
              const auto now = [] { return absl::Now(); };
              const absl::Time wall = environment_.wall_clock ? environment_.wall_clock() : now();
              absl::StatusOr<machine::Genesis> genesis =
                  MakeGenesis({options_.ttl_max, options_.clock_drift_max, all_new}, wall);
              if (!genesis.ok()) return genesis.status();
              genesis->machine_version = version;
              return machine::EncodeGenesis(*genesis);
            };
            return options;
          }(),
          loop_.Now()),
      clock_(absl::ToInt64Nanoseconds(options_.election_timeout_min)),
      lead_(std::make_shared<LeadBoard>(&loop_)),
      askers_(raft::Prng(seed_ ^ static_cast<std::uint64_t>(loop_.Now().boottime_ns())).Next()) {
  anchor_->actor = this;
}

Actor::~Actor() { Stop(); }

absl::Status Actor::Start() {
  absl::Status started = transport_->Start({self_, address_, options_.listen}, this);
  if (!started.ok()) return started;
  loop_.Post([anchor = anchor_] { Enter(anchor, [](Actor& actor) { actor.Turn(); }); });
  return absl::OkStatus();
}

// What was posted before the transport stops has run when it has, or never will; either way nothing
// enters the actor after Close.
void Actor::Stop() {
  {
    const std::lock_guard<std::recursive_mutex> lock(anchor_->mutex);
    if (closed_) return;
    if (loop_.OnLoop()) Close();
  }
  if (!closed_) {
    loop_.Post([anchor = anchor_] { Enter(anchor, [](Actor& actor) { actor.Close(); }); });
  }
  transport_->Stop();
  const std::lock_guard<std::recursive_mutex> lock(anchor_->mutex);
  Close();
}

void Actor::Close() {
  if (std::exchange(closed_, true)) return;
  lead_->Withdraw();
  anchor_->actor = nullptr;
  timer_.Cancel();
}

void Actor::FailForGood(absl::Status why) {
  if (!failed_.ok() || closed_) return;
  Retire(std::move(why));
  TellStopped();
}

void Actor::Retire(absl::Status why) {
  failed_ = std::move(why);
  Log(absl::StrCat("stops: ", failed_.message()));
  gated_.clear();
  if (core_.has_value()) Step(raft::WriteFailed{});
  leader_ = {};
  FailForwards();
  core_deadline_ = bootstrap_deadline_ = Instant::InfiniteFuture();
}

void Actor::TellStopped() {
  if (options_.on_stopped) std::exchange(options_.on_stopped, nullptr)(failed_);
}

void Actor::Log(absl::string_view line) const {
  if (options_.log) options_.log(absl::StrCat(self_.name, ": ", line));
}

void Actor::Schedule() {
  if (in_turn_ || std::exchange(scheduled_, true)) return;
  loop_.Post([anchor = anchor_] { Enter(anchor, [](Actor& actor) { actor.Turn(); }); });
}

// ---- What the seams bring, on the Loop
// -----------------------------------------------------------------

void Actor::OnPeer(Envelope envelope) {
  const std::lock_guard<std::recursive_mutex> lock(anchor_->mutex);
  if (closed_ || !failed_.ok() || peers_in_.size() >= kPeerInboxMax) return;
  // Meant for this incarnation, or, in a handshake, for whoever has this name (BOOTSTRAP rule 13).
  const bool handshake = std::holds_alternative<Handshake>(envelope.body);
  if (envelope.to.name != self_.name) return;
  if (envelope.to.incarnation != self_.incarnation && !(handshake && envelope.to.incarnation == 0))
    return;
  if (envelope.from.incarnation == 0 || envelope.from.name == self_.name) return;
  peers_in_.push_back(std::move(envelope));
  Schedule();
}

void Actor::OnClientRequests(ConnectionId connection, std::vector<ClientRequest> requests) {
  const std::lock_guard<std::recursive_mutex> lock(anchor_->mutex);
  if (closed_) return;
  const AskerRef ref = askers_.Connection(connection);
  for (ClientRequest& request : requests) requests_in_.push_back({ref, std::move(request)});
  Schedule();
}

void Actor::OnClientClosed(ConnectionId connection) {
  const std::lock_guard<std::recursive_mutex> lock(anchor_->mutex);
  if (!closed_) askers_.RemoveConnection(connection);
}

PortId Actor::OpenPort(PortSink* sink) {
  const std::lock_guard<std::recursive_mutex> lock(anchor_->mutex);
  const AskerRef ref = askers_.AddPort(sink);
  return askers_.Find(ref)->id;
}

void Actor::SendOnPort(PortId port, std::vector<ClientRequest> requests) {
  const std::lock_guard<std::recursive_mutex> lock(anchor_->mutex);
  AskerRef ref;
  if (closed_ || askers_.Port(port, &ref) == nullptr) return;
  for (ClientRequest& request : requests) requests_in_.push_back({ref, std::move(request)});
  Schedule();
}

void Actor::ClosePort(PortId port) {
  const std::lock_guard<std::recursive_mutex> lock(anchor_->mutex);
  AskerRef ref;
  const Asker* asker = askers_.Port(port, &ref);
  if (closed_ || asker == nullptr) return;
  const bool forwards = asker->listened || !asker->forwarded.empty() || asker->answers != 0;
  if (forwards && !leading() && !leader_.empty()) SendForward(leader_, ForwardClosed{port});
  askers_.RemovePort(port);
}

}  // namespace tenure::member
