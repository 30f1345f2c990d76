// First start: how free members become a cluster. A pure state machine over the rules of the
// design's bootstrap protocol, named here by their numbers. An exhaustive search found each looser
// variant to lose data or to split the cluster, so nothing here is a matter of taste.
//
//   1 a start without cluster data makes a new incarnation, free
//   2 Hello tells name, incarnation, free or in. All listed members present and free: the smallest
//     name proposes; others, and retries, after random delays of several round trips
//   3 a proposal is a fresh random cluster id and entry 1, which names everybody's incarnation
//   4 a free member that it names stores it under a new number: all it accepted before is void, and
//   so
//     is its own proposal
//   5 the proposer alone counts: with all acceptances, and its own still the latest, it is in
//   6 others become in on a Start that quotes the newest number that they hold
//   7 who missed it is invited by those that are in, and answers as in 4; a leader invites others
//   as
//     learners, without an entry 1
//   8 that an incarnation is lost is said by a younger one of its name, and only when it is asked
//     about that incarnation
//  13 every message carries both incarnations, and the cluster
#ifndef TENURE_MEMBER_BOOTSTRAP_H_
#define TENURE_MEMBER_BOOTSTRAP_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "raft/prng.h"
#include "tenure/raft_types.h"
#include "tenure/transport.h"
#include "tenure/types.h"

namespace tenure::member {

struct BootstrapOptions {
  MemberId self;
  std::vector<Peer> members;  // the static list, sorted by name, this member among them
  std::uint64_t config_digest = 0;
  bool assert_new = false;
  std::uint64_t seed = 0;
  absl::Duration step = absl::Milliseconds(100);  // a few round trips
  // The newest version of the machine's rules that this program has.
  std::uint32_t machine_version = 0;
  // The payload of entry 1. `all_new`: every voter asserts that no earlier holder lives; and all of
  // them have that version of the machine's rules.
  absl::AnyInvocable<absl::StatusOr<std::string>(bool all_new, std::uint32_t machine_version)>
      make_genesis;
  // Whether this member could run a machine that begins so.
  absl::AnyInvocable<absl::Status(absl::string_view genesis)> check_genesis;
};

// Not thread-safe. Each call returns what follows from it.
class Bootstrap {
 public:
  enum class State : std::uint8_t { kFree, kEntering, kIn };
  struct Message {
    ClusterId cluster;  // the sender's: empty while it is free
    MemberId to;        // incarnation 0: whoever has that name
    Handshake body;
  };
  // Make this durable, then call Entered().
  struct Entering {
    ClusterId cluster;
    raft::Entry first;
    bool invited = false;  // the cluster may have run for a while already
  };
  struct Output {
    std::vector<Message> messages;
    std::optional<Entering> entering;
    std::vector<std::string> log;  // for people; rare
    // An incarnation that the configuration does not name says that it is there. The leader
    // decides: Invite() it, if it is free, or name it, if it is in this cluster.
    struct Stranger {
      MemberId id;
      bool in = false;
      bool has_log = false;
    };
    std::vector<Stranger> strangers;
    std::vector<MemberId> lost;  // attested by a younger incarnation (rule 8)
    std::string told_to_stop;    // this incarnation was removed, or counts as lost
    Instant deadline = Instant::InfiniteFuture();
  };

  Bootstrap(BootstrapOptions options, Instant now);

  // For a member that recovered what it had: it is in from the start. `first`: entry 1 if it still
  // holds it, without which it invites nobody.
  void Resume(ClusterId cluster, std::optional<raft::Entry> first);

  // The first call, and whenever the deadline has come; harmless at any other time.
  Output Timer(Instant now);
  // `cluster` and `from` are the envelope's, whose `to` was checked to mean this incarnation or
  // this name.
  Output Received(Instant now, ClusterId cluster, const MemberId& from, const Handshake& body);
  // What `entering` said is durable.
  Output Entered(Instant now);
  // Asks whoever runs under that name to say who it is.
  Output Greet(Instant now, const std::string& name);
  // Invites a free incarnation as a learner (rule 7). For a leader alone.
  Output Invite(Instant now, const MemberId& id);
  // A name that the static list need not have, because an operator adds it.
  void Welcome(const std::string& name) { welcome_.insert(name); }
  // Whom this member's cluster consists of, when it is in.
  void SetConfiguration(std::shared_ptr<const raft::Configuration> configuration);

  // What a member's program must have to be let in, from now on.
  void RequireVersion(std::uint32_t machine_version) { required_version_ = machine_version; }

  State state() const { return state_; }
  // By the configuration that it was given.
  bool Named(const MemberId& id) const;
  const ClusterId& cluster() const { return cluster_; }
  // The newest number under which this member accepted a proposal; 0: none.
  std::uint64_t accepted_number() const { return accepted_.has_value() ? accepted_->number : 0; }
  // What an operator should know; empty when all is well.
  std::string Trouble(Instant now) const;
  // Whether it was heard lately.
  bool Present(const std::string& name, Instant now) const;
  // Whether it was, and said that it belongs to no cluster.
  bool IsFree(const std::string& name, Instant now) const;
  // Whether this member holds what a client asked for, which it says when it is asked.
  void SetHoldsCommands(bool holds) { holds_commands_ = holds; }
  // Asks those of `names` and all others of the static list what they hold; and whether all of them
  // answered that very question, as whoever has each name now, and none holds that. `number`: above
  // 0, and another for each question; asking again repeats it.
  Output AskWhoHolds(Instant now, std::uint64_t number, const std::set<std::string>& names);
  enum class What : std::uint8_t {
    kCommands,  // what a client asked for
    kALog,      // the log of a cluster, which says what that consists of
  };
  bool NobodyHolds(What what, std::uint64_t number, const std::set<std::string>& names) const;
  // The incarnation in which a member of that name was last heard; 0: never.
  std::uint64_t HeardIncarnation(const std::string& name) const;
  // The newest version of the machine's rules that it said lately its program has; 0: it did not.
  std::uint32_t MachineVersionOf(const MemberId& id, Instant now) const;

 private:
  struct Heard {
    std::uint64_t incarnation = 0;
    Instant heard;
    bool in = false;
    ClusterId cluster;
    bool asserts_new = false;
    bool same_list = true;
    bool has_log = false;
    std::uint32_t machine_version = 0;
    std::uint64_t answered = 0;   // the newest question of this member's
    bool holds_commands = false;  // by that answer
    bool held_log = false;        // likewise
    bool told = false;            // what is odd about it was said to people
  };
  struct Accepted {
    ClusterId proposal;
    raft::Entry first;
    std::uint64_t number = 0;
    bool invitation = false;
  };
  struct Proposing {
    ClusterId proposal;
    raft::Entry first;
    std::map<std::string, std::uint64_t> accepts;  // by name: the greatest number
    Instant resend_at;
    int sendings = 0;
  };

  void On(const MemberId& from, const ClusterId& cluster, const Hello& hello);
  void On(const MemberId& from, const ClusterId& cluster, const BootstrapPropose& propose);
  void On(const MemberId& from, const ClusterId& cluster, const BootstrapAccept& accept);
  void On(const MemberId& from, const ClusterId& cluster, const BootstrapStart& start);
  void On(const MemberId& from, const ClusterId& cluster, const LostQuery& query);
  void On(const MemberId& from, const ClusterId& cluster, const Lost& lost);
  void On(const MemberId& from, const ClusterId& cluster, const NotAMember& told);
  // The member's own business.
  void On(const MemberId&, const ClusterId&, const AttestationQuery&) {}
  void On(const MemberId&, const ClusterId&, const Attestation&) {}

  bool Disagrees(const Heard& heard) const;
  void HelloWhileFree(const MemberId& from, const Heard& known);
  void HelloWhileIn(const MemberId& from, Heard& known);
  bool EverybodyPresentAndFree() const;
  void MaybePropose();
  void Propose();
  void SendProposal();
  void MaybeComplete();
  void Enter(ClusterId cluster, raft::Entry first, bool invited);
  // Empty if a free member may accept it.
  std::string WhatIsWrong(const BootstrapPropose& propose);
  bool Known(const std::string& name) const;
  void AskForLoss(const MemberId& from);
  void SayHello();
  bool Fresh(const Heard& known, Instant now) const;
  void SendHello(MemberId to, bool answer_wanted, std::uint64_t number = 0);
  // And those of the static list, without this one's.
  std::set<std::string> OthersAnd(std::set<std::string> names) const;
  void Send(MemberId to, Handshake body);
  Instant After(int least_steps, int most_steps);
  Output Finish();

  BootstrapOptions options_;
  const std::int64_t step_ns_;
  raft::Prng prng_;
  State state_ = State::kFree;
  std::map<std::string, Heard> known_;  // by name, others only

  // Free.
  std::uint64_t last_number_ = 0;
  std::optional<Accepted> accepted_;
  std::optional<Proposing> proposing_;
  std::vector<ClusterId> own_;  // proposals of this member's, newest last
  Instant hello_at_;
  int hellos_ = 0;
  std::optional<Instant> propose_at_;
  // What others told this incarnation last, by name.
  std::map<std::string, std::string> not_a_member_;
  std::string last_told_;  // the last of these
  std::string refused_;    // why this member cannot propose, or be in, said once

  // Entering and in.
  ClusterId cluster_;
  std::optional<raft::Entry> first_;
  std::shared_ptr<const raft::Configuration> configuration_;
  std::map<std::string, std::uint64_t> starts_;  // to send once in
  std::set<MemberId> invited_;                   // as learners
  std::set<std::string> welcome_;
  std::uint32_t required_version_ = 0;
  bool holds_commands_ = false;

  Instant now_;
  Output out_;
};

}  // namespace tenure::member

#endif  // TENURE_MEMBER_BOOTSTRAP_H_
