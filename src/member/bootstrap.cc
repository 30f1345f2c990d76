#include "member/bootstrap.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tenure::member {
namespace {

// In steps of BootstrapOptions::step.
constexpr int kFreshSteps = 40;       // how long a Hello proves presence
constexpr int kQuickHellos = 20;      // at the pace of one or two steps, then of five to ten
constexpr int kProposalSendings = 6;  // of one proposal, before a fresh one
constexpr std::size_t kOwnKept = 64;

}  // namespace

Bootstrap::Bootstrap(BootstrapOptions options, Instant now)
    : options_(std::move(options)),
      step_ns_(absl::ToInt64Nanoseconds(options_.step)),
      prng_(options_.seed),
      hello_at_(now),
      now_(now) {}

void Bootstrap::Resume(ClusterId cluster, std::optional<raft::Entry> first) {
  state_ = State::kIn;
  cluster_ = cluster;
  first_ = std::move(first);
}

void Bootstrap::SetConfiguration(std::shared_ptr<const raft::Configuration> configuration) {
  configuration_ = std::move(configuration);
}

Bootstrap::Output Bootstrap::Timer(Instant now) {
  now_ = now;
  if (state_ == State::kIn && !Named(options_.self) && now_.Reached(hello_at_)) SayHello();
  if (state_ != State::kFree) return Finish();
  if (now_.Reached(hello_at_)) SayHello();
  if (proposing_.has_value() && now_.Reached(proposing_->resend_at)) {
    if (proposing_->sendings < kProposalSendings && EverybodyPresentAndFree()) {
      SendProposal();
    } else {  // abandoned for good: it is never completed after this
      proposing_.reset();
      accepted_.reset();
      propose_at_ = After(5, 15);
    }
  }
  MaybePropose();
  return Finish();
}

Bootstrap::Output Bootstrap::Received(Instant now, ClusterId cluster, const MemberId& from,
                                      const Handshake& body) {
  now_ = now;
  const bool listed = Known(from.name);
  // An unknown name, one's own, or a sender without an incarnation has nothing to say here.
  if (listed && from.name != options_.self.name && from.incarnation != 0) {
    std::visit([&](const auto& message) { On(from, cluster, message); }, body);
  }
  return Finish();
}

void Bootstrap::SayHello() {
  ++hellos_;
  hello_at_ = hellos_ < kQuickHellos ? After(1, 2) : After(5, 10);
  std::set<std::string> voters;
  if (configuration_ != nullptr) {
    for (const raft::Server& server : configuration_->voters) voters.insert(server.id.name);
  }
  for (const std::string& name : OthersAnd(std::move(voters)))
    SendHello({name, 0}, /*answer_wanted=*/true);
}

std::set<std::string> Bootstrap::OthersAnd(std::set<std::string> names) const {
  for (const Peer& peer : options_.members) names.insert(peer.name);
  names.erase(options_.self.name);
  return names;
}

bool Bootstrap::Known(const std::string& name) const {
  if (welcome_.contains(name)) return true;
  if (configuration_ != nullptr) {
    for (const auto* servers :
         {&configuration_->voters, &configuration_->voters_outgoing, &configuration_->learners}) {
      for (const raft::Server& server : *servers) {
        if (server.id.name == name) return true;
      }
    }
  }
  return std::any_of(options_.members.begin(), options_.members.end(),
                     [&](const Peer& peer) { return peer.name == name; });
}

Bootstrap::Output Bootstrap::Entered(Instant now) {
  now_ = now;
  state_ = State::kIn;
  hello_at_ = now;
  hellos_ = 0;
  if (configuration_ == nullptr && first_.has_value()) configuration_ = first_->configuration;
  if (configuration_ == nullptr) configuration_ = std::make_shared<const raft::Configuration>();
  for (const raft::Server& server : configuration_->voters) {
    const auto start = starts_.find(server.id.name);
    if (start != starts_.end()) Send(server.id, BootstrapStart{cluster_, start->second});
  }
  starts_.clear();
  out_.log.push_back(absl::StrCat("entered cluster ", cluster_.ToString()));
  return Finish();
}

// ---- Hello (rule 2)
// --------------------------------------------------------------------------------

void Bootstrap::On(const MemberId& from, const ClusterId& cluster, const Hello& hello) {
  Heard& known = known_[from.name];
  if (known.incarnation != from.incarnation) known = Heard{.incarnation = from.incarnation};
  known.heard = now_;
  known.in = hello.in;
  known.cluster = cluster;
  known.asserts_new = hello.asserts_new;
  known.has_log = hello.has_log;
  known.machine_version = std::max(hello.machine_version, std::uint32_t{1});
  known.same_list = hello.config_digest == options_.config_digest;
  if (hello.answer_wanted) {
    SendHello(from, /*answer_wanted=*/false, hello.number);
  } else if (hello.number >= known.answered) {
    known.answered = hello.number;
    known.holds_commands = hello.holds_commands;
    known.held_log = hello.has_log;
  }
  if (Disagrees(known) && !std::exchange(known.told, true)) {
    out_.log.push_back(absl::StrCat(from.name,
                                    " was started with another list of members than this one: give "
                                    "every member the same --cluster"));
  }
  if (state_ == State::kFree) {
    HelloWhileFree(from, known);
  } else if (state_ == State::kIn) {
    HelloWhileIn(from, known);
  }
}

// Only those who are to begin together need the same list; later ones come with their own.
bool Bootstrap::Disagrees(const Heard& heard) const {
  return state_ == State::kFree && !heard.in && !heard.same_list;
}

void Bootstrap::HelloWhileFree(const MemberId&, const Heard&) { MaybePropose(); }

void Bootstrap::HelloWhileIn(const MemberId& from, Heard& known) {
  const bool here = known.cluster == cluster_;
  const bool can_follow = known.machine_version >= required_version_;
  const auto needed = [&] {
    return absl::StrCat("cluster ", cluster_.ToString(), " needs machine version ",
                        required_version_, ", and the program of this one has ",
                        known.machine_version, ": start the newer one");
  };
  if (known.in && here) {
    if (Named(from)) return;
    if (can_follow) {
      out_.strangers.push_back({from, true, known.has_log});
    } else {
      Send(from, NotAMember{needed()});
    }
    return AskForLoss(from);
  }
  if (known.in) {
    if (!std::exchange(known.told, true)) {
      out_.log.push_back(
          absl::StrCat(from.ToString(), " belongs to another cluster, ", known.cluster.ToString()));
    }
    Send(from, NotAMember{absl::StrCat("cluster ", cluster_.ToString(), " is not yours")});
    return;
  }
  if (Named(from)) {  // it missed its Start (rule 7)
    const bool first = first_.has_value() && first_->configuration->Find(from) != nullptr;
    Send(from, BootstrapPropose{cluster_, first ? *first_ : raft::Entry(), /*invitation=*/true});
    return;
  }
  if (can_follow) out_.strangers.push_back({from, false, false});
  AskForLoss(from);
  std::string reason =
      absl::StrCat("cluster ", cluster_.ToString(), " does not name this incarnation");
  for (const raft::Server& server : configuration_->voters) {
    if (server.id.name != from.name) continue;
    reason = absl::StrCat(
        from.name, " restarted without its memory: cluster ", cluster_.ToString(),
        " counts its incarnation ", absl::Hex(server.id.incarnation, absl::kZeroPad16),
        " as lost, and this one not at all until it has caught up and taken its place");
  }
  if (!can_follow) reason = needed();
  if (!std::exchange(known.told, true)) {
    out_.log.push_back(absl::StrCat(from.ToString(), " is not counted: ", reason));
  }
  Send(from, NotAMember{std::move(reason)});
}

// The configuration names an earlier incarnation, as far as this member knows: which of the two is
// the younger only they can tell.
void Bootstrap::AskForLoss(const MemberId& from) {
  for (const auto* servers : {&configuration_->voters, &configuration_->voters_outgoing}) {
    for (const raft::Server& server : *servers) {
      if (server.id.name == from.name && server.id != from) Send(from, LostQuery{server.id});
    }
  }
}

void Bootstrap::SendHello(MemberId to, bool answer_wanted, std::uint64_t number) {
  Hello hello;
  hello.in = state_ == State::kIn;
  hello.asserts_new = options_.assert_new;
  hello.answer_wanted = answer_wanted;
  hello.accepted_number = accepted_number();
  hello.config_digest = options_.config_digest;
  hello.machine_version = options_.machine_version;
  hello.has_log = hello.in && configuration_ != nullptr && !configuration_->voters.empty();
  hello.number = number;
  hello.holds_commands = holds_commands_;
  Send(std::move(to), hello);
}

// ---- Proposing (rules 2, 3 and 5)
// --------------------------------------------------------------------

bool Bootstrap::Fresh(const Heard& known, Instant now) const {
  return now.HolderElapsedNs(known.heard) <= kFreshSteps * step_ns_;
}

bool Bootstrap::EverybodyPresentAndFree() const {
  for (const Peer& peer : options_.members) {
    if (peer.name == options_.self.name) continue;
    const auto it = known_.find(peer.name);
    if (it == known_.end() || it->second.in || !it->second.same_list || !Fresh(it->second, now_))
      return false;
  }
  return true;
}

void Bootstrap::MaybePropose() {
  if (state_ != State::kFree || proposing_.has_value() || !EverybodyPresentAndFree()) return;
  if (!propose_at_.has_value()) {
    const bool smallest = options_.self.name == options_.members.front().name;
    propose_at_ = smallest ? now_ : After(10, 30);
  }
  if (now_.Reached(*propose_at_)) Propose();
}

void Bootstrap::Propose() {
  bool all_new = options_.assert_new;
  std::uint32_t version = options_.machine_version;
  for (const auto& [name, known] : known_) all_new = all_new && known.asserts_new;
  for (const Peer& peer : options_.members) {
    if (peer.name != options_.self.name)
      version = std::min(version, known_[peer.name].machine_version);
  }
  absl::StatusOr<std::string> genesis = options_.make_genesis(all_new, version);
  if (!genesis.ok()) {
    if (refused_ != genesis.status().message()) {
      refused_ = std::string(genesis.status().message());
      out_.log.push_back(refused_);
    }
    propose_at_ = After(10, 30);
    return;
  }
  refused_.clear();

  auto configuration = std::make_shared<raft::Configuration>();
  for (const Peer& peer : options_.members) {
    const bool self = peer.name == options_.self.name;
    configuration->voters.push_back(
        {self ? options_.self : MemberId{peer.name, known_[peer.name].incarnation}, peer.address});
  }
  Proposing proposing;
  proposing.proposal = ClusterId{prng_.Next(), prng_.Next() | 1};
  proposing.first.index = 1;
  proposing.first.term = 1;
  proposing.first.kind = raft::EntryKind::kConfiguration;
  proposing.first.payload = std::make_shared<const std::string>(*std::move(genesis));
  proposing.first.configuration = std::move(configuration);
  if (own_.size() == kOwnKept) own_.erase(own_.begin());
  own_.push_back(proposing.proposal);
  // It accepts its own, which voids what it accepted before.
  accepted_ = Accepted{proposing.proposal, proposing.first, ++last_number_, false};
  proposing.accepts[options_.self.name] = last_number_;
  proposing_ = std::move(proposing);
  SendProposal();
  MaybeComplete();
}

void Bootstrap::SendProposal() {
  ++proposing_->sendings;
  proposing_->resend_at = After(2, 4);
  for (const raft::Server& server : proposing_->first.configuration->voters) {
    if (proposing_->accepts.contains(server.id.name)) continue;
    Send(server.id, BootstrapPropose{proposing_->proposal, proposing_->first, false});
  }
}

void Bootstrap::On(const MemberId& from, const ClusterId&, const BootstrapAccept& accept) {
  if (state_ == State::kIn) {
    // A living inviter that received this number: whom its configuration names is let in (rule 7).
    if (accept.proposal == cluster_ && (Named(from) || invited_.contains(from)))
      Send(from, BootstrapStart{cluster_, accept.number});
    return;
  }
  if (!proposing_.has_value() || accept.proposal != proposing_->proposal) return;
  for (const raft::Server& server : proposing_->first.configuration->voters) {
    if (server.id != from) continue;  // an earlier incarnation's word counts for nothing (T11)
    std::uint64_t& number = proposing_->accepts[from.name];
    number = std::max(number, accept.number);
  }
  MaybeComplete();
}

void Bootstrap::MaybeComplete() {
  // Its own acceptance is the latest: accepting another's proposal would have ended this one.
  if (state_ != State::kFree || !proposing_.has_value()) return;
  if (proposing_->accepts.size() < options_.members.size()) return;
  starts_ = std::move(proposing_->accepts);
  starts_.erase(options_.self.name);
  Enter(proposing_->proposal, std::move(proposing_->first), /*invited=*/false);
}

// ---- Accepting (rules 4, 6 and 7)
// ---------------------------------------------------------------------

std::string Bootstrap::WhatIsWrong(const BootstrapPropose& propose) {
  const raft::Entry& first = propose.first;
  if (propose.invitation && !propose.proposal.empty() && first.index == 0) return "";
  if (propose.proposal.empty() || first.index != 1 || first.term != 1 || first.stamp_ns != 0 ||
      first.kind != raft::EntryKind::kConfiguration || first.configuration == nullptr ||
      first.payload == nullptr || first.configuration->joint() ||
      !first.configuration->learners.empty()) {
    return "is malformed";
  }
  const std::vector<raft::Server>& voters = first.configuration->voters;
  bool same = voters.size() == options_.members.size();
  for (std::size_t i = 0; same && i < voters.size(); ++i) {
    same = voters[i].id.name == options_.members[i].name &&
           voters[i].address == options_.members[i].address && voters[i].id.incarnation != 0;
  }
  if (!same) return "lists other members than this one's --cluster";
  if (absl::Status status = options_.check_genesis(*first.payload); !status.ok()) {
    return absl::StrCat("cannot be followed: ", status.message());
  }
  return "";
}

void Bootstrap::On(const MemberId& from, const ClusterId& cluster,
                   const BootstrapPropose& propose) {
  if (state_ != State::kFree) return;  // in never changes cluster
  if (propose.invitation && cluster != propose.proposal) return;
  if (std::find(own_.begin(), own_.end(), propose.proposal) != own_.end()) return;
  if (std::string wrong = WhatIsWrong(propose); !wrong.empty()) {
    wrong = absl::StrCat(from.name, "'s proposal ", wrong);
    if (refused_ != wrong) out_.log.push_back(wrong);
    refused_ = std::move(wrong);
    return;
  }
  if (propose.first.index != 0 && propose.first.configuration->Find(options_.self) == nullptr) {
    return;  // meant for an earlier incarnation
  }
  proposing_.reset();
  accepted_ = Accepted{propose.proposal, propose.first, ++last_number_, propose.invitation};
  propose_at_ = After(10, 30);
  Send(from, BootstrapAccept{propose.proposal, accepted_->number});
}

void Bootstrap::On(const MemberId&, const ClusterId& cluster, const BootstrapStart& start) {
  if (state_ != State::kFree || !accepted_.has_value() || proposing_.has_value()) return;
  if (cluster != start.proposal || start.proposal != accepted_->proposal) return;
  if (start.number != accepted_->number) return;  // of an acceptance that was voided since
  Enter(accepted_->proposal, std::move(accepted_->first), accepted_->invitation);
}

void Bootstrap::Enter(ClusterId cluster, raft::Entry first, bool invited) {
  state_ = State::kEntering;
  cluster_ = cluster;
  if (first.index != 0) first_ = first;
  configuration_ = first.configuration;
  out_.entering = Entering{cluster, std::move(first), invited};
  proposing_.reset();
  accepted_.reset();
  not_a_member_.clear();
  refused_.clear();
}

// ---- Replacement (rules 7 and 8)
// ----------------------------------------------------------------------

Bootstrap::Output Bootstrap::Greet(Instant now, const std::string& name) {
  now_ = now;
  if (state_ == State::kIn) SendHello({name, 0}, /*answer_wanted=*/true);
  return Finish();
}

// A question and not what others say by themselves: that may be old, or on its way for long.
Bootstrap::Output Bootstrap::AskWhoHolds(Instant now, std::uint64_t number,
                                         const std::set<std::string>& names) {
  now_ = now;
  for (const std::string& name : OthersAnd(names))
    SendHello({name, 0}, /*answer_wanted=*/true, number);
  return Finish();
}

bool Bootstrap::NobodyHolds(What what, std::uint64_t number,
                            const std::set<std::string>& names) const {
  const std::set<std::string> others = OthersAnd(names);
  return std::all_of(others.begin(), others.end(), [&](const std::string& name) {
    const auto it = known_.find(name);
    if (it == known_.end() || it->second.answered != number) return false;
    return what == What::kALog ? !it->second.held_log : !it->second.holds_commands;
  });
}

Bootstrap::Output Bootstrap::Invite(Instant now, const MemberId& id) {
  now_ = now;
  if (state_ == State::kIn) {
    std::erase_if(invited_, [&id](const MemberId& earlier) { return earlier.name == id.name; });
    invited_.insert(id);
    Send(id, BootstrapPropose{cluster_, raft::Entry(), /*invitation=*/true});
  }
  return Finish();
}

void Bootstrap::On(const MemberId& from, const ClusterId& cluster, const LostQuery& query) {
  // Whoever asks knows of that incarnation, so it was started before the question was; this one is
  // alive after it: the younger.
  if (query.who.name != options_.self.name || query.who.incarnation == 0 ||
      query.who == options_.self || cluster.empty()) {
    return;
  }
  out_.messages.push_back({cluster, from, Lost{query.who}});
}

void Bootstrap::On(const MemberId& from, const ClusterId& cluster, const Lost& lost) {
  if (state_ != State::kIn || cluster != cluster_) return;
  if (lost.who.name == from.name && lost.who != from) out_.lost.push_back(lost.who);
}

void Bootstrap::On(const MemberId& from, const ClusterId& cluster, const NotAMember& told) {
  if (state_ == State::kEntering || (state_ == State::kIn && cluster != cluster_)) return;
  if (state_ == State::kIn && told.removed) {
    out_.told_to_stop = told.reason;
    return;
  }
  std::string& said = not_a_member_[from.name];
  last_told_ = told.reason;
  if (said == told.reason) return;
  said = told.reason;
  out_.log.push_back(absl::StrCat(from.name, " says: ", told.reason));
}

// ---- What people see
// ---------------------------------------------------------------------------------

std::string Bootstrap::Trouble(Instant now) const {
  std::vector<std::string> troubles;
  std::vector<std::string> missing;
  for (const Peer& peer : options_.members) {
    if (peer.name == options_.self.name) continue;
    const auto it = known_.find(peer.name);
    const bool present = it != known_.end() && Fresh(it->second, now);
    if (state_ == State::kFree && !present) missing.push_back(peer.name);
    if (present && Disagrees(it->second)) {
      troubles.push_back(absl::StrCat(peer.name, " was started with another --cluster list than ",
                                      options_.self.name));
    }
  }
  if (state_ == State::kFree) {
    if (!refused_.empty()) troubles.push_back(refused_);
    if (!not_a_member_.empty()) {
      troubles.push_back(last_told_);
    } else if (!missing.empty()) {
      // It may be one that is to be added: those answer it when it is.
      const bool nobody = missing.size() + 1 == options_.members.size();
      troubles.push_back(
          absl::StrCat("waiting for ", absl::StrJoin(missing, ", "), " to start",
                       nobody ? absl::StrCat(", or to let ", options_.self.name, " in") : ""));
    }
  }
  return absl::StrJoin(troubles, "; ");
}

std::uint64_t Bootstrap::HeardIncarnation(const std::string& name) const {
  const auto it = known_.find(name);
  return it == known_.end() ? 0 : it->second.incarnation;
}

bool Bootstrap::Present(const std::string& name, Instant now) const {
  const auto it = known_.find(name);
  return it != known_.end() && Fresh(it->second, now);
}

bool Bootstrap::IsFree(const std::string& name, Instant now) const {
  const auto it = known_.find(name);
  return it != known_.end() && !it->second.in && Fresh(it->second, now);
}

std::uint32_t Bootstrap::MachineVersionOf(const MemberId& id, Instant now) const {
  const auto it = known_.find(id.name);
  return it == known_.end() || it->second.incarnation != id.incarnation || !Fresh(it->second, now)
             ? 0
             : it->second.machine_version;
}

bool Bootstrap::Named(const MemberId& id) const {
  return configuration_ != nullptr && configuration_->Find(id) != nullptr;
}

void Bootstrap::Send(MemberId to, Handshake body) {
  out_.messages.push_back(
      {state_ == State::kIn ? cluster_ : ClusterId{}, std::move(to), std::move(body)});
}

Instant Bootstrap::After(int least_steps, int most_steps) {
  const auto spread =
      static_cast<std::uint64_t>(step_ns_) * static_cast<std::uint64_t>(most_steps - least_steps);
  return now_.PlusNs(least_steps * step_ns_ + static_cast<std::int64_t>(prng_.Below(spread + 1)));
}

Bootstrap::Output Bootstrap::Finish() {
  if (state_ == State::kFree) {
    out_.deadline = hello_at_;
    if (proposing_.has_value()) {
      out_.deadline = Instant::Earlier(out_.deadline, proposing_->resend_at);
    } else if (propose_at_.has_value() && EverybodyPresentAndFree()) {
      out_.deadline = Instant::Earlier(out_.deadline, *propose_at_);
    }
  } else {
    out_.deadline =
        state_ == State::kIn && !Named(options_.self) ? hello_at_ : Instant::InfiniteFuture();
  }
  return std::exchange(out_, {});
}

}  // namespace tenure::member
