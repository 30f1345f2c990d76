// The actor behind Node: its state, and its parts by what they do. node.cc starts and stops it and
// takes what its seams bring; turn.cc runs a turn; output.cc does what the core says; requests.cc
// admits and answers; forward.cc passes on; snapshots.cc takes, sends and installs snapshots;
// members.cc tends who takes part; recall.cc asks whether the storage went back; status.cc tells
// people.
#ifndef TENURE_MEMBER_ACTOR_H_
#define TENURE_MEMBER_ACTOR_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "machine/machine.h"
#include "machine/snapshot.h"
#include "member/askers.h"
#include "member/attestations.h"
#include "member/bootstrap.h"
#include "member/cluster_clock.h"
#include "member/lead_board.h"
#include "member/node.h"
#include "raft/core.h"
#include "tenure/command.h"
#include "tenure/loop.h"
#include "tenure/member_options.h"
#include "tenure/storage.h"
#include "tenure/transport.h"

namespace tenure::member {

// What a node was found to start with.
struct Beginning {
  MemberOptions options;
  NodeEnvironment environment;
  std::vector<Peer> members;  // sorted by name
  MemberId self;
  std::string address;
  std::uint64_t seed = 0;
  Recovered recovered;
};

class Actor final : public Node, public TransportSink {
 public:
  Actor(Beginning beginning, Transport* transport, Storage* storage);
  ~Actor() override;

  absl::Status Start();

  PortId OpenPort(PortSink* sink) override;
  void SendOnPort(PortId port, std::vector<ClientRequest> requests) override;
  void ClosePort(PortId port) override;
  ClusterStatus Status() const override;
  void HandOver(absl::AnyInvocable<void(absl::Status) &&> done) override;
  MemberId id() const override { return self_; }
  const std::shared_ptr<LeadBoard>& lead() const override { return lead_; }
  void WatchLead() override;
  void Stop() override;

  void OnPeer(Envelope envelope) override;
  void OnClientRequests(ConnectionId connection, std::vector<ClientRequest> requests) override;
  void OnClientClosed(ConnectionId connection) override;

 private:
  // What posted work holds instead of the actor, which may be gone when it runs. The lock is taken
  // by whatever enters the actor, and is free but for the moment of stopping. Recursive: a sink
  // that the actor calls may call back.
  struct Anchor {
    std::recursive_mutex mutex;
    Actor* actor = nullptr;
  };
  // A request that waits for its answer.
  struct Asked {
    AskerRef asker;
    std::uint64_t id = 0;
  };
  // An entry that this member proposed in its present reign.
  struct PendingEntry {
    Index index = 0;
    Term term = 0;
    std::vector<Asked> asked;
    std::vector<Command> commands;  // as decoded when they were admitted
  };
  struct PendingRead {
    Asked asked;
    bool listen = false;
    Operation operation;    // unless `listen`
    SessionId session = 0;  // of `listen`
    Revision after = 0;
  };
  struct PendingChange {
    Asked asked;
    ChangeMembers change;
    Instant since;
  };
  struct Arrived {
    AskerRef asker;
    ClientRequest request;
  };

  // ---- node.cc
  template <typename Work>
  static void Enter(const std::shared_ptr<Anchor>& anchor, Work work);
  void Schedule();
  void Close();
  void FailForGood(absl::Status why);
  // The first half of it, and the second.
  void Retire(absl::Status why);
  void TellStopped();
  void Log(absl::string_view line) const;
  // The raft core begins, from what was recovered or bootstrapped.
  void StartCore(raft::Initial initial);

  // ---- turn.cc
  void Begin();
  void Turn();
  void TakePeers();
  void TakeFromPeer(Envelope& envelope);
  void TakeTimers();
  void TakeRequests();
  void ProposeTurn();
  void ProposeEntry(std::int64_t stamp_ns, const std::vector<absl::string_view>& bytes,
                    PendingEntry entry);
  void Settle();
  void Arm();
  void DoBootstrap(Bootstrap::Output output);
  // Logs what keeps it from entering a cluster: once it has for a while, and when that changes.
  void SayTrouble();
  void OnEntered(Bootstrap::Entering entering, absl::Status status);

  // ---- output.cc
  void Step(raft::Event event);
  void Execute(raft::Output output);
  // To whom it is known here that this member leads: before anybody else can know better.
  void PublishLead();
  void SendRaft(raft::Outgoing outgoing);
  void Write(raft::WriteBatch batch);
  void OnWritten(raft::WriteId id, absl::Status status);
  bool TakeDurable();
  void Apply(std::vector<raft::Entry>& entries);
  absl::Status ApplyEntry(const raft::Entry& entry);
  void OnRoleChange(const raft::RoleChange& change);
  void OnNotLeadingAnyMore();
  void DropListeners(const std::string& message);

  // ---- snapshots.cc
  // The machine that the storage's snapshot holds, or why there is none.
  absl::Status Restore(const raft::SnapshotInfo& snapshot);
  bool WantsSnapshot() const;
  // Begins one when it is due, and hands over its next chunk.
  void GoOnWithSnapshot();
  bool SnapshotWaits() const { return reader_ != nullptr && durable_ >= piece_write_; }
  bool FillChunk(raft::SnapshotRequest& request);
  void Install(const raft::InstallPiece& piece);
  void BecomeMachine(machine::Machine machine, Index applied);

  // ---- members.cc
  // What an operator asks. Each waits until it is done, or its asker is gone.
  void AdmitChange(AskerRef ref, std::uint64_t id, ChangeMembers change);
  void GoOnWithChanges();
  // True if it is over: answered or refused.
  bool GoOn(const PendingChange& change);
  bool GoOnAdding(const PendingChange& change);
  bool GoOnRemoving(const PendingChange& change);
  bool GoOnTransferring(const PendingChange& change);
  bool Done(const PendingChange& change);
  bool Fail(const PendingChange& change, std::string why, ReplyCode code = ReplyCode::kInvalid);
  bool Promote(const raft::Server& learner);
  // Begins to hand over; not OK if it cannot.
  absl::Status BeginTransfer(const MemberId& target);
  void OnTransferEnded(bool leads_on);
  void OnLeader();  // another one, that is known
  void OnStranger(const Bootstrap::Output::Stranger& stranger);
  void OnLost(const MemberId& who);
  // A configuration is committed.
  void OnConfiguration(std::shared_ptr<const raft::Configuration> configuration);
  // What a leader does about learners that have caught up, once a heartbeat, and whom it asks
  // after.
  void TendMembers();
  bool MayConfigure() const;
  bool CaughtUp(const MemberId& id) const;
  bool Configure(raft::Configuration configuration);
  void AskForLosses();
  void GreetTheAdded();
  // It does not campaign, so nobody hears that it is still there, and would tell it.
  bool ForgottenLearner() const;
  void AskWhetherRemoved();
  bool IsToBeAdded(const std::string& name) const;
  void TellRemoved(const MemberId& id, std::string reason);
  void TellLost(const MemberId& id) {
    TellRemoved(id, "a younger incarnation attested that this one is lost");
  }
  void UpdatePeers();
  // Clients hear nothing from a leader that commits without an ordinary majority (BOOTSTRAP rule
  // 11).
  bool Silent() const { return core_->short_handed(); }
  void BecomeSilent();
  // Which half has lost too many voters for any quorum (BOOTSTRAP rule 12); empty: neither.
  std::string MajorityLost() const;
  std::int64_t HeldBackNs() const {
    return std::max<std::int64_t>(machine_.grants_from_ns() - machine_.now_ns(), 0);
  }
  // Empty if this cluster may grant.
  std::string HeldBack() const;
  // Then a cluster that never held anything is given up for another one, by itself.
  void MaybeStartAnew();
  bool MayStartAnew() const;
  void AskWhoHolds();
  // What a client asked for, in the log or in the state.
  bool HoldsCommands() const;
  std::set<std::string> NamesInLog() const;

  // ---- versions.cc
  void OnMachineVersion();
  absl::Status RaiseVersion(const raft::Entry& entry);
  // What its program said lately that it has; 0: nothing.
  std::uint32_t VersionOf(const MemberId& id) const;
  void AskForVersions();
  void MaybeProposeVersion();
  // Empty if nothing holds a newer version back.
  std::string VersionHeldBack() const;

  // ---- recall.cc
  // What a peer attests by this message.
  void Witness(const MemberId& from, const raft::Message& message);
  void KeepAttestations();
  void BeginRecall(const Recovered& recovered);
  // Before it is said.
  void NoteSaid(const MemberId& to, const raft::Message& message);
  // The voters' names of whom it is not known yet what they heard of this member.
  std::vector<std::string> NotYetAnswered() const;
  void GoOnWithRecall();
  // True if it was a question or an answer of that kind.
  bool TakeAttestation(const Envelope& envelope, const Handshake& handshake);
  void OnAttestation(const MemberId& from, const Attestation& attestation);
  // Stops taking part, empties the storage, and then stops with kAborted.
  void ForgetAll(absl::string_view why);

  // ---- requests.cc
  void Admit(AskerRef ref, ClientRequest& request);
  void AdmitWrite(AskerRef ref, ClientRequest& request);
  void AdmitRead(AskerRef ref, ClientRequest& request);
  bool HasRoom(bool reserved, std::string* why) const;
  void ServeReads(absl::Span<const raft::ReadReady> ready);
  void ServeRead(PendingRead& read);
  void RefuseReads(const std::vector<raft::ReadId>& ids);
  void Answer(const Asked& asked, std::string reply);
  void Refuse(const Asked& asked, Refusal refusal, std::string message);
  void Deliver(const std::vector<SessionEvent>& events);
  void Deliver(const std::vector<SessionEvent>& events, AskerRef ref);
  void FlushAskers();

  // ---- forward.cc
  bool MayForward(const Asker& asker) const;
  void ForwardLater(AskerRef ref, Asker& asker, ClientRequest request);
  void FlushForwards(Asker& asker);
  void GiveUpLostForwards();
  void TakeForward(const MemberId& from, Forward& forward);
  bool MayServe(const MemberId& from, std::uint64_t origin);
  void TakeForwardedRequests(const MemberId& from, ForwardedRequests& forward);
  void TakeForwardedReplies(const MemberId& from, ForwardedReplies& forward);
  void SendForward(const MemberId& to, Forward forward);
  void SendInParts(Asker& to, ServerMessage message);
  // The leader that requests were passed on to leads no more.
  void FailForwards();

  // ---- status.cc
  std::string LeaderAddress() const;
  std::string NotLeaderMessage() const;
  // Whether another incarnation of that name was heard last: a second process by mistake, or a
  // member that was restarted.
  bool HeardAnother(const MemberId& id) const;
  MemberStatus StatusOf(const raft::Server& server) const;
  std::string Advice(const ClusterStatus& status) const;
  Reply StatusReply() const;

  bool leading() const { return core_.has_value() && core_->role() == raft::Role::kLeader; }
  bool InConfiguration(const MemberId& id) const;
  std::string AddressOf(const MemberId& id) const;

  const std::shared_ptr<Anchor> anchor_;
  mutable MemberOptions options_;  // mutable for `log`, which is called from const methods
  NodeEnvironment environment_;
  const std::uint32_t newest_version_;  // of the machine's rules that this program has
  const std::vector<Peer> members_;
  const MemberId self_;
  const std::string address_;
  const std::uint64_t seed_;
  Recovered recovered_;  // until the first turn
  Transport* const transport_;
  Storage* const storage_;
  Loop& loop_;

  bool begun_ = false;
  bool closed_ = false;
  absl::Status failed_;  // the member stopped by itself

  Bootstrap bootstrap_;
  Instant bootstrap_deadline_ = Instant::InfiniteFuture();
  std::string trouble_said_;
  Instant trouble_due_;
  std::optional<raft::Core> core_;
  Instant core_deadline_ = Instant::InfiniteFuture();
  machine::Machine machine_;
  std::uint32_t machine_version_ = 0;   // active; 0: entry 1 is not applied yet
  std::uint32_t proposed_version_ = 0;  // as a leader, the last time
  ClusterClock clock_;
  ClusterId cluster_;

  // The turn.
  Instant now_;
  bool scheduled_ = false;
  bool in_turn_ = false;
  TimerHandle timer_;
  Instant armed_ = Instant::InfiniteFuture();
  std::vector<Envelope> peers_in_;
  std::deque<Arrived> requests_in_;
  // The turn's commands: their bytes, and what becomes of them.
  std::vector<std::string> turn_bytes_;
  PendingEntry turn_entry_;
  std::vector<PendingRead> turn_reads_;

  // What waits.
  raft::WriteId written_ = 0;  // durable, as storage said
  absl::Status write_status_;
  raft::WriteId durable_ = 0;  // durable, as the core knows
  std::deque<raft::GatedOutgoing> gated_;
  std::deque<PendingEntry> pending_;
  raft::ReadId last_read_ = 0;
  absl::flat_hash_map<raft::ReadId, std::vector<PendingRead>> reads_;
  std::size_t taken_ = 0;  // commands and reads admitted and not answered

  // Who takes part.
  std::shared_ptr<const raft::Configuration> committed_;  // the last configuration that is
  bool named_once_ = false;                               // this incarnation, by a committed one
  bool removed_ = false;  // the last configuration that is committed leaves it out
  bool silent_ = false;
  bool held_commands_ = false;  // a client's command was applied, or is in a snapshot
  std::uint64_t last_question_ = 0;
  std::uint64_t who_holds_ = 0;  // the question who does, while it matters; 0: it does not
  std::vector<Peer> departed_;   // removed members, the last few, which may still have to be told
  Index peers_since_ = 0;        // the configuration whose members the transport knows
  Instant tend_at_;
  Instant look_for_lost_;  // when forwards that are not answered are looked through next
  Instant look_for_idle_;  // when, at the earliest, ports of others that ask nothing are
  Instant ask_at_;
  std::deque<PendingChange> changes_;
  std::vector<absl::AnyInvocable<void(absl::Status) &&>> handovers_;

  // What others attested, and, after a start from what a storage held, whether that is all that
  // this member attested itself.
  struct Recall {
    explicit Recall(const Recovered& recovered) : found(recovered) {}
    Recollection found;
    std::map<std::string, Said> said;  // to each name, since the start
    std::set<std::string> answered;    // names, whatever their incarnation
    Instant ask_at;
    int asked = 0;
  };
  Attestations attestations_;
  std::optional<Recall> recall_;

  // A snapshot that is being taken, and one that is being installed.
  std::unique_ptr<machine::SnapshotReader> reader_;
  Index reading_ = 0;
  std::uint64_t read_bytes_ = 0;
  std::string read_ahead_;         // the next chunk: only the one after it tells the last
  raft::WriteId piece_write_ = 0;  // that carries the last chunk
  raft::WriteId last_write_ = 0;
  std::optional<machine::SnapshotWriter> writer_;

  Index applied_ = 0;
  Index applied_told_ = 0;  // to the core
  Instant last_entry_at_;   // of this reign

  const std::shared_ptr<LeadBoard> lead_;
  Askers askers_;
  Listeners listeners_;
  MemberId leader_;  // as last told by the core
  Term leader_term_ = 0;
};

template <typename Work>
void Actor::Enter(const std::shared_ptr<Anchor>& anchor, Work work) {
  const std::lock_guard<std::recursive_mutex> lock(anchor->mutex);
  if (anchor->actor != nullptr) work(*anchor->actor);
}

}  // namespace tenure::member

#endif  // TENURE_MEMBER_ACTOR_H_
