#include "tests/sim/members.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "machine/machine.h"
#include "raft/core.h"
#include "tests/sim/byte_disk.h"

namespace tenure::sim {

namespace {

// 2026-09: what the wall clocks say when a run begins.
constexpr std::int64_t kWallClock = 1'790'000'000;

}  // namespace

// One member: a machine, and the process on it.
class Member final : public member::NodeObserver {
 public:
  Member(Scene& scene, Members& all, std::string name, bool bytes)
      : scene_(scene), all_(all), name_(std::move(name)) {
    testing::NodeOptions options;
    options.disk.durable = scene.plan.durable;
    options.disk.latency_max = scene.plan.disk_latency_max;
    options.turn_cost = scene.plan.member_turn_cost;
    machine_ = &scene.world.AddNode(name_, options);
    if (!bytes) return;
    auto disk = NewByteDisk(scene.world.RandomBelow(std::uint64_t{1} << 62), scene.marks);
    bytes_ = disk.get();
    testing::SetMedium(machine_->disk(), std::move(disk));
  }
  ~Member() override { Destroy(); }

  void Start();
  void Kill();
  void Destroy() {
    node_.reset();
    transport_.reset();
    storage_.reset();
  }

  // ---- what crosses the seams
  void OnOpened(const MemberId& self, const Recovered& recovered);
  void OnWrite(const raft::WriteBatch& batch);
  void OnDurable(const raft::WriteBatch& batch);
  void OnSend(const Envelope& envelope);

  // ---- NodeObserver
  void OnStep(const ClusterId& cluster, const raft::Core& core,
              const raft::Output& output) override;
  void OnApplied(const ClusterId& cluster, const raft::Entry& entry,
                 absl::Span<const Command> commands, const machine::Applied& applied,
                 const machine::Machine& machine) override;

  testing::VirtualNode& machine() const { return *machine_; }
  ByteDisk* bytes() const { return bytes_; }  // null: it has none
  // The disk has lost the last transaction of the member that it is.
  void OnLostLast(const MemberId& id);
  member::Node* node() const { return node_.get(); }

  absl::Status stopped_;
  int kill_at_write_ = 0;  // 0: not
  bool kill_once_durable_ = false;
  std::size_t keep_ = 0;
  bool out_ = false;
  bool upgraded_ = false;
  bool led_since_copy_ = false;
  bool back_unjudged_ = false;  // it went back, and nobody has said what that means
  bool condemned_ = false;      // a fault that ends this process is on its way
  bool full_ = false;           // its disk
  // When what is durable became so: whether it led, and how many processes had ended.
  bool led_at_last_durable_ = false;
  std::uint64_t ended_at_last_durable_ = 0;

 private:
  class SeenTransport;
  class SeenStorage;

  bool alive() const { return machine_->alive(); }
  template <typename Tell>  // void(Invariant&, const Actor&)
  void TellAll(Tell tell) {
    // By its own clocks. Once for all: what they hear takes no time.
    const Actor self{facts_, machine_->loop().Now()};
    scene_.TellAll([&](Invariant& each) { tell(each, self); });
  }
  // Ends the process now, within its turn; its remains go when the turn is over.
  void KillWithin();
  absl::StatusOr<std::unique_ptr<member::Node>> Run();
  // What an operator does about it; a violation if nothing is to be done.
  void OnNoStart(const absl::Status& why);
  void Commit(ClusterFacts& cluster, const raft::Core& core, const raft::Output& output);

  Scene& scene_;
  Members& all_;
  const std::string name_;
  testing::VirtualNode* machine_ = nullptr;
  ByteDisk* bytes_ = nullptr;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Storage> storage_;
  std::unique_ptr<member::Node> node_;
  IncarnationFacts* facts_ = nullptr;
};

// ---- The seams
// ------------------------------------------------------------------------------------

class Member::SeenTransport final : public Transport {
 public:
  SeenTransport(Member& member, std::unique_ptr<Transport> under)
      : member_(member), under_(std::move(under)) {}
  Loop& loop() override { return under_->loop(); }
  absl::Status Start(const Identity& self, TransportSink* sink) override {
    return under_->Start(self, sink);
  }
  std::string bound_address() const override { return under_->bound_address(); }
  void SetPeers(absl::Span<const Peer> peers) override { under_->SetPeers(peers); }
  void Send(Envelope envelope) override {
    if (member_.alive()) member_.OnSend(envelope);
    under_->Send(std::move(envelope));
  }
  void SendToClient(ConnectionId connection, ServerMessage message) override {
    under_->SendToClient(connection, std::move(message));
  }
  void CloseClient(ConnectionId connection, absl::Status why) override {
    under_->CloseClient(connection, std::move(why));
  }
  void Stop() override { under_->Stop(); }

 private:
  Member& member_;
  const std::unique_ptr<Transport> under_;
};

class Member::SeenStorage final : public Storage {
 public:
  SeenStorage(Member& member, std::unique_ptr<Storage> under)
      : member_(member), under_(std::move(under)) {}
  absl::StatusOr<Recovered> Open(const MemberId& self) override {
    absl::StatusOr<Recovered> recovered = under_->Open(self);
    if (!recovered.ok()) return recovered;
    const ByteDisk* const bytes = member_.bytes();
    if (bytes != nullptr && bytes->lost_last()) member_.OnLostLast(recovered->self);
    member_.OnOpened(self, *recovered);
    return recovered;
  }
  void Write(raft::WriteBatch batch, absl::AnyInvocable<void(absl::Status) &&> done) override {
    if (!member_.alive()) return;
    member_.OnWrite(batch);
    const bool counts = member_.kill_at_write_ > 0 && --member_.kill_at_write_ == 0;
    const bool kill_now = counts && !member_.kill_once_durable_;
    const bool kill_then = counts && member_.kill_once_durable_;
    const auto written = std::make_shared<const raft::WriteBatch>(batch);
    under_->Write(std::move(batch), [&member = member_, written, kill_then,
                                     done = std::move(done)](absl::Status status) mutable {
      if (!member.alive()) return;
      if (status.ok()) member.OnDurable(*written);
      if (kill_then) {
        member.scene_.marks.Visit("killed once durable, before a word");
        return member.KillWithin();
      }
      std::move(done)(std::move(status));
    });
    if (!kill_now || !member_.alive()) return;
    member_.scene_.marks.Visit("killed with a write on its way");
    member_.machine_->disk().KeepAtNextCrash(member_.keep_);
    member_.KillWithin();
  }
  absl::StatusOr<std::vector<raft::Entry>> Read(Index first, Index last,
                                                std::size_t max_bytes) override {
    return under_->Read(first, last, max_bytes);
  }
  absl::StatusOr<raft::Payload> ReadSnapshot(Index index, std::uint64_t offset) override {
    return under_->ReadSnapshot(index, offset);
  }
  bool durable() const override { return under_->durable(); }

 private:
  Member& member_;
  const std::unique_ptr<Storage> under_;
};

void Member::OnOpened(const MemberId& self, const Recovered& recovered) {
  const bool had = !recovered.cluster.empty();
  const MemberId id = had ? recovered.self : self;
  IncarnationFacts& facts = scene_.facts.incarnations[id];
  facts.id = id;
  facts.cluster = recovered.cluster;
  facts_ = &facts;
  scene_.facts.youngest[id.name] = id;
  if (had) {
    TellAll([&](Invariant& each, const Actor& who) { each.OnRecovered(who, recovered); });
  }
  facts.written.Recover(recovered);
  facts.durable.Recover(recovered);
  facts.term = recovered.hard_state.term;
  // What the snapshot stands for was applied.
  facts.commit = recovered.snapshot.index;
  facts.applied = recovered.snapshot.index;
  facts.leads = false;
  facts.recovered = had;
  facts.started = scene_.world.now();
  facts.started_by_own_clock = machine_->loop().Now();
}

void Member::OnWrite(const raft::WriteBatch& batch) {
  if (batch.entered.has_value()) facts_->cluster = *batch.entered;
  TellAll([&](Invariant& each, const Actor& self) { each.OnWrite(self, batch); });
  facts_->written.Apply(batch);
}

void Member::OnDurable(const raft::WriteBatch& batch) {
  facts_->durable.Apply(batch);
  led_at_last_durable_ = facts_->leads;
  ended_at_last_durable_ = all_.ended_;
}

void Member::OnLostLast(const MemberId& id) {
  IncarnationFacts& facts = scene_.facts.incarnations[id];
  facts.before_it_went_back = facts.durable;
  back_unjudged_ = true;
  all_.WentBack(*this);
}

void Member::OnSend(const Envelope& envelope) {
  TellAll([&](Invariant& each, const Actor& self) { each.OnSend(self, envelope); });
}

void Member::OnStep(const ClusterId& cluster, const raft::Core& core, const raft::Output& output) {
  if (!alive()) return;
  ClusterFacts& facts = scene_.facts.clusters[cluster];
  TellAll([&](Invariant& each, const Actor& self) { each.OnStep(self, cluster, core, output); });
  const bool led = facts_->leads;
  facts_->term = core.term();
  facts_->commit = core.commit_index();
  facts_->leads = core.role() == raft::Role::kLeader;
  led_since_copy_ |= facts_->leads;
  if (core.transferring() && scene_.partitioned) scene_.marks.Visit("transfer during a partition");
  if (core.configuration().joint() && core.sending_snapshot())
    scene_.marks.Visit("snapshot sent during a joint configuration");
  if (output.install.has_value() && output.install->last) {
    facts_->applied = output.install->snapshot.index;
    scene_.marks.Visit("snapshot installed");
  }
  if (output.role_change.has_value()) {
    if (facts_->leads && facts.leaders.try_emplace(core.term(), facts_->id).second) {
      facts.last_term = std::max(facts.last_term, core.term());
      ++scene_.facts.leader_changes;
      scene_.marks.Visit("elections won");
    } else if (led && !facts_->leads) {
      scene_.marks.Visit("leaders deposed");
    }
  }
  if (!output.reads_refused.empty()) scene_.marks.Visit("reads refused by a deposed leader");
  Commit(facts, core, output);
}

void Member::Commit(ClusterFacts& cluster, const raft::Core& core, const raft::Output& output) {
  for (const raft::Entry& entry : output.committed) {
    if (entry.index != cluster.last_committed() + 1) continue;
    cluster.committed.push_back({FactOf(entry), core.term(), scene_.world.now()});
    if (entry.configuration != nullptr) {
      cluster.configurations.emplace_back(entry.index, entry.configuration);
      if (entry.index > 1)
        scene_.marks.Visit(entry.configuration->joint() ? "joint configurations"
                                                        : "configurations");
    }
    scene_.facts.last_commit_at = scene_.world.now();
    if (entry.term < core.term()) scene_.marks.Visit("committed by a later term's entry");
  }
}

void Member::OnApplied(const ClusterId& cluster, const raft::Entry& entry,
                       absl::Span<const Command> commands, const machine::Applied& applied,
                       const machine::Machine& machine) {
  if (!alive()) return;
  ClusterFacts& facts = scene_.facts.clusters[cluster];
  const bool first = entry.index == facts.applied.size() + 1;
  TellAll([&](Invariant& each, const Actor& self) {
    each.OnApplied(self, {cluster, entry, commands, applied, machine, first});
  });
  facts_->applied = entry.index;
  if (!first) return;
  facts.applied.push_back({machine.StateHash(), machine.revision()});
  scene_.facts.revision = std::max(scene_.facts.revision, machine.revision());
  scene_.world.MixIntoTrace(machine.StateHash());
  for (const SessionEvent& event : applied.events) {
    if (std::holds_alternative<SessionEndedEvent>(event.body))
      scene_.facts.ended.emplace(event.session, scene_.world.now());
  }
}

// ---- The process
// ----------------------------------------------------------------------------------

void Member::Start() {
  // Now and then the power does not last.
  const bool cut = bytes_ != nullptr && scene_.faulty && scene_.plan.On(Fault::kKill) &&
                   scene_.world.Chance(0.1);
  if (cut) bytes_->CutNextOpen();
  absl::StatusOr<std::unique_ptr<member::Node>> node = Run();
  if (!node.ok()) return OnNoStart(node.status());
  node_ = *std::move(node);
}

void Member::OnNoStart(const absl::Status& why) {
  const bool damaged = bytes_ != nullptr && bytes_->reported_damage();
  const std::string fault = bytes_ == nullptr ? "" : bytes_->fault();
  if (!damaged && fault.empty()) {
    return scene_.Violated("start", absl::StrCat(name_, " does not start: ", why.message()));
  }
  scene_.line.Say(absl::StrCat(name_, " does not start: ", why.message()));
  Kill();
  if (full_) return;  // until there is room
  if (damaged) {
    scene_.marks.Visit("damage reported");
    machine_->disk().Wipe();
  }
  Start();
}

absl::StatusOr<std::unique_ptr<member::Node>> Member::Run() {
  Destroy();  // of one that was killed within its turn
  machine_->Restart();
  stopped_ = absl::OkStatus();
  kill_at_write_ = 0;
  condemned_ = false;
  const bool no_room = full_ && bytes_ == nullptr;
  machine_->disk().FailNextWrite(no_room ? absl::UnavailableError("full") : absl::OkStatus());
  transport_ = std::make_unique<SeenTransport>(*this, machine_->NewTransport());
  storage_ = std::make_unique<SeenStorage>(*this, machine_->NewStorage());
  const Plan& plan = scene_.plan;
  MemberOptions options;
  options.id = name_;
  for (int i = 0; i < all_.size(); ++i)
    absl::StrAppend(&options.cluster, i == 0 ? "" : ",", all_.name(i), "=", all_.address(i));
  options.assert_new = all_.assert_new_;
  options.heartbeat_interval = plan.heartbeat;
  options.election_timeout_min = plan.election_min;
  options.election_timeout_max = plan.election_max;
  options.ttl_max = plan.ttl_max;
  options.snapshot_log_bytes = plan.snapshot_log_bytes;
  options.clock_drift_max = plan.drift_max;
  options.seed = 1 + scene_.world.RandomBelow(std::uint64_t{1} << 62);
  options.incarnation = 1 + scene_.world.RandomBelow(std::uint64_t{1} << 62);
  if (plan.priorities) options.priority = all_.Priority(name_);
  options.lease_reads = plan.lease_reads;
  options.strict_restart = plan.durable && (plan.On(Fault::kDiskOlder) || plan.On(Fault::kDiskRot));
  options.log = [this](absl::string_view text) {
    if (absl::EndsWith(text, "it may vote")) {
      back_unjudged_ = false;
      facts_->before_it_went_back.reset();  // nothing that anybody heard is missing
    }
    scene_.line.Say(text);
  };
  options.on_stopped = [this](absl::Status why) {
    if (absl::IsAborted(why)) back_unjudged_ = false;
    if (absl::IsUnimplemented(why))
      scene_.Violated("upgrade", absl::StrCat(name_, " cannot go on: ", why.message()));
    stopped_ = std::move(why);
  };
  member::NodeEnvironment environment;
  environment.wall_clock = [this] {
    return absl::FromUnixSeconds(kWallClock) + scene_.world.now();
  };
  environment.observer = this;
  environment.machine_version = kMachineVersion + (upgraded_ ? 1 : 0);
  return member::Node::Start(std::move(options), transport_.get(), storage_.get(),
                             std::move(environment));
}

void Member::Kill() {
  ++all_.ended_;
  machine_->Resume();
  machine_->Kill();
  Destroy();
}

void Member::KillWithin() {
  ++all_.ended_;
  scene_.line.Say(absl::StrCat(name_, " is killed at a write"));
  machine_->Kill();
  scene_.world.After(absl::ZeroDuration(), [this] {
    if (!alive()) Destroy();
  });
}

// ---- All of them
// ----------------------------------------------------------------------------------

Members::Members(Scene& scene) : scene_(scene), assert_new_(scene.plan.assert_new) {
  for (int i = 0; i < scene.plan.members; ++i)
    members_.push_back(std::make_unique<Member>(scene, *this, name(i), i < scene.plan.byte_disks));
}
Members::~Members() = default;

std::uint32_t Members::Priority(absl::string_view name) const {
  std::uint32_t priority = 0;
  for (int i = 0; i < size(); ++i) priority = name == this->name(i) ? i % 3 : priority;
  return priority;
}
std::string Members::name(int i) const { return absl::StrCat("n", i + 1); }
std::string Members::address(int i) const { return absl::StrCat(name(i), ":1"); }
testing::VirtualNode& Members::machine(int i) { return members_[i]->machine(); }

void Members::StartAll() {
  for (int i = 0; i < size(); ++i) Start(i);
}
void Members::Start(int i) {
  if (running(i)) Kill(i);
  members_[i]->Start();
}
void Members::Kill(int i) { members_[i]->Kill(); }
void Members::KillAtWrite(int i, int writes, bool once_durable, std::size_t keep) {
  members_[i]->kill_at_write_ = writes;
  members_[i]->kill_once_durable_ = once_durable;
  // Of bytes the first that is not kept is cut short: mostly that is the one that is on its way.
  members_[i]->keep_ = members_[i]->bytes() == nullptr ? keep : keep / 2;
  members_[i]->condemned_ = writes > 0;
}
void Members::FailNextWrite(int i, absl::Status why) {
  Member& member = *members_[i];
  member.condemned_ = !why.ok();
  if (member.bytes() == nullptr) return machine(i).disk().FailNextWrite(std::move(why));
  if (why.ok()) return member.bytes()->FailNothing();
  member.bytes()->FailNextWrite();
}
void Members::FailNextSync(int i) {
  if (members_[i]->bytes() == nullptr) return FailNextWrite(i, absl::UnavailableError("no sync"));
  members_[i]->condemned_ = true;
  members_[i]->bytes()->FailNextSync();
}
void Members::SetFull(int i, bool full) {
  Member& member = *members_[i];
  member.full_ = full;
  if (member.bytes() != nullptr) {
    member.bytes()->set_full(full);
  } else {
    FailNextWrite(i, full ? absl::UnavailableError("full") : absl::OkStatus());
  }
}

void Members::TakeOut(int i) {
  Kill(i);
  members_[i]->out_ = true;
  machine(i).disk().Wipe();
}
void Members::BringIn(int i) {
  members_[i]->out_ = false;
  // The cluster may have raised its version meanwhile.
  if (scene_.plan.On(Fault::kUpgrade)) Upgrade(i);
  Start(i);
}
bool Members::out(int i) const { return members_[i]->out_; }

bool Members::upgraded(int i) const { return members_[i]->upgraded_; }
void Members::Upgrade(int i) { members_[i]->upgraded_ = true; }
bool Members::Active(std::uint32_t machine_version) const {
  for (int i = 0; i < size(); ++i) {
    if (!running(i)) continue;
    const ClusterStatus status = Status(i);
    if (!status.cluster.empty() && status.machine_version != machine_version) return false;
  }
  return true;
}

bool Members::running(int i) const {
  return members_[i]->node() != nullptr && members_[i]->machine().alive();
}
bool Members::well(int i) const {
  return running(i) && !members_[i]->machine().paused() && members_[i]->stopped_.ok();
}
absl::Status Members::stopped(int i) const { return members_[i]->stopped_; }
ClusterStatus Members::Status(int i) const { return members_[i]->node()->Status(); }
MemberId Members::id(int i) const { return members_[i]->node()->id(); }

int Members::Leader() const {
  int leader = -1;
  Term term = 0;
  for (int i = 0; i < size(); ++i) {
    if (!well(i)) continue;
    const IncarnationFacts& facts = scene_.facts.incarnations[id(i)];
    if (!facts.leads || facts.term <= term) continue;
    leader = i;
    term = facts.term;
  }
  return leader;
}

bool Members::Converged() const {
  const int leader = Leader();
  if (leader < 0) return false;
  const ClusterStatus first = Status(leader);
  if (first.applied != first.commit || first.applied < 2) return false;
  for (const MemberStatus& member : first.members) {
    for (int i = 0; i < size(); ++i) {
      if (!running(i) || member.id != id(i)) continue;
      if (!stopped(i).ok()) return false;
      const ClusterStatus status = Status(i);
      // A follower hears of a commit by the next message.
      if (status.leader != first.leader || status.applied + 3 < first.applied) return false;
    }
  }
  return true;
}

bool Members::AllIn() const {
  const int leader = Leader();
  if (leader < 0) return false;
  const ClusterStatus first = Status(leader);
  for (int i = 0; i < size(); ++i) {
    if (out(i)) continue;
    if (!running(i) || !stopped(i).ok()) return false;
    bool in = false;
    for (const MemberStatus& member : first.members)
      in = in || (member.id == id(i) && (member.role == "leader" || member.role == "follower"));
    if (!in) return false;
  }
  return true;
}

// Whoever forgets is lost for good, until the change is committed that puts its next incarnation in
// its place. By what is committed, then: in each half enough are left for BOOTSTRAP rule 9. By its
// second clause, in a half of an even number, they may be fewer than a majority: so nothing else
// may be on its way there, for which one of them may be needed.
bool Members::MayForget(int i) const {
  if (scene_.plan.durable) return !going_back();
  if (size() < 3) return AllRemember(i);
  const raft::Configuration* const now = changing_ ? nullptr : Committed(i);
  if (now == nullptr) return false;
  for (const auto* half : {&now->voters, &now->voters_outgoing}) {
    if (half->empty()) continue;
    std::size_t lost = 0;
    for (const raft::Server& voter : *half) lost += voter.id == id(i) || !Remembers(voter.id);
    const bool even = half->size() % 2 == 0;
    if (even && (now->joint() || !now->learners.empty())) return false;
    if (lost > (even ? half->size() / 2 : half->size() - (half->size() / 2 + 1))) return false;
    if (lost > 1) scene_.marks.Visit("several lost at once");
  }
  return true;
}

bool Members::going_back() const { return back_ >= 0 && members_[back_]->back_unjudged_; }

void Members::CopyDisk(int i) {
  machine(i).disk().Copy();
  members_[i]->led_since_copy_ = false;
}
bool Members::FollowedSinceCopy(int i) const { return !members_[i]->led_since_copy_; }

void Members::GoBack(int i) {
  back_ = i;
  IncarnationFacts& facts = scene_.facts.incarnations[id(i)];
  facts.before_it_went_back = facts.durable;
  Kill(i);
  machine(i).disk().GoBack();
  members_[i]->back_unjudged_ = true;
  Start(i);
}

void Members::WentBack(const Member& member) {
  for (int i = 0; i < size(); ++i) {
    if (members_[i].get() == &member) back_ = i;
  }
}

bool Members::MayDamage(int i) const {
  const Member& member = *members_[i];
  return member.bytes() != nullptr && running(i) && !going_back() && AllRemember(i) &&
         !scene_.facts.incarnations[id(i)].leads && !member.led_at_last_durable_ &&
         member.ended_at_last_durable_ == ended_;
}

void Members::Damage(int i) {
  Kill(i);
  scene_.line.Say(absl::StrCat(name(i), " is killed: ", members_[i]->bytes()->Damage()));
  Start(i);
}

const raft::Configuration* Members::Committed(int i) const {
  if (!running(i)) return nullptr;
  const auto cluster = scene_.facts.clusters.find(Status(i).cluster);
  if (cluster == scene_.facts.clusters.end() || cluster->second.configurations.empty())
    return nullptr;
  return cluster->second.configurations.back().second.get();
}

bool Members::Remembers(const MemberId& voter) const {
  for (int j = 0; j < size(); ++j) {
    if (running(j) && id(j) == voter && members_[j]->stopped_.ok() && !members_[j]->condemned_ &&
        !members_[j]->full_)
      return true;
  }
  return false;
}

bool Members::AllRemember(int i) const {
  const raft::Configuration* const now = changing_ ? nullptr : Committed(i);
  if (now == nullptr || now->joint() || !now->learners.empty() || now->voters.size() == 1)
    return false;
  for (const raft::Server& voter : now->voters) {
    if (!Remembers(voter.id)) return false;
  }
  return true;
}

}  // namespace tenure::sim
