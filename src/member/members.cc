// Who takes part: what a leader does by itself about restarted members (BOOTSTRAP rules 7 to 12),
// and what a member does that is not one any more.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "machine/codec.h"
#include "member/actor.h"
#include "member/cluster_list.h"

namespace tenure::member {
namespace {

// A learner this close to the end of the log has caught up: what is left goes with the next append.
constexpr Index kClose = 64;
// Who does not answer is asked after once in so many heartbeat intervals.
constexpr int kAskEvery = 5;
constexpr std::size_t kChangesMax = 64;
constexpr std::size_t kMembersMax = 7;
// An operator's change that cannot be done within this is given up.
constexpr absl::Duration kChangeLimit = absl::Minutes(2);

const raft::Server* FindName(const std::vector<raft::Server>& servers, const std::string& name) {
  for (const raft::Server& server : servers) {
    if (server.id.name == name) return &server;
  }
  return nullptr;
}

void EraseName(std::vector<raft::Server>& servers, const std::string& name) {
  std::erase_if(servers, [&name](const raft::Server& s) { return s.id.name == name; });
}

}  // namespace

// ---- Changes

bool Actor::MayConfigure() const {
  return leading() && failed_.ok() && core_->commit_index() >= core_->term_start_index() &&
         core_->configuration_index() <= core_->commit_index() && !core_->configuration().joint() &&
         !core_->transferring();
}

bool Actor::CaughtUp(const MemberId& id) const {
  const auto progress = core_->progress(id);
  return progress.has_value() && progress->active && !progress->snapshot &&
         progress->match_index + kClose >= core_->last_index();
}

bool Actor::Configure(raft::Configuration configuration) {
  raft::Output output = core_->Step(
      now_, raft::Configure{std::move(configuration.voters), std::move(configuration.learners)});
  const bool taken = output.proposed.has_value();
  if (!output.refused.ok()) Log(absl::StrCat("no change of members: ", output.refused.message()));
  Execute(std::move(output));
  return taken;
}

void Actor::TendMembers() {
  if (!core_.has_value() || !failed_.ok() || !now_.Reached(tend_at_)) return;
  tend_at_ = now_ + options_.heartbeat_interval;
  if ((leading() || leader_.empty()) && now_.Reached(ask_at_)) {
    ask_at_ = now_ + kAskEvery * options_.heartbeat_interval;
    AskForLosses();
    GreetTheAdded();
    AskForVersions();
    AskWhetherRemoved();
    AskWhoHolds();
  }
  KeepAttestations();
  GoOnWithChanges();
  MaybeStartAnew();
  if (!MayConfigure()) return;
  MaybeProposeVersion();
  // The exchange: in one joint change, and only once the loss is attested by name (rule 10).
  const raft::Configuration& now = core_->configuration();
  for (const raft::Server& learner : now.learners) {
    const raft::Server* voter = FindName(now.voters, learner.id.name);
    if (voter != nullptr && core_->lost(learner.id)) {
      Log(absl::StrCat(learner.id.ToString(), ", a learner, is lost, and no member any more"));
      raft::Configuration next = now;
      std::erase(next.learners, learner);
      Configure(std::move(next));
      return;
    }
    if (voter == nullptr || !core_->lost(voter->id) || !CaughtUp(learner.id)) continue;
    Log(absl::StrCat("exchanges ", voter->id.ToString(), " for ", learner.id.ToString()));
    Promote(learner);
    return;
  }
}

// In place of a voter of its name, if there is one.
bool Actor::Promote(const raft::Server& learner) {
  raft::Configuration next = core_->configuration();
  EraseName(next.voters, learner.id.name);
  next.voters.push_back(learner);
  EraseName(next.learners, learner.id.name);
  return Configure(std::move(next));
}

// ---- What operators ask

void Actor::AdmitChange(AskerRef ref, std::uint64_t id, ChangeMembers change) {
  PendingChange pending{{ref, id}, std::move(change), now_};
  const std::string& name = pending.change.name;
  if (pending.change.action > MemberAction::kTransfer) {
    Fail(pending, "this member does not know such a change; upgrade it");
    return;
  }
  if (name.empty() && pending.change.action != MemberAction::kTransfer) {
    Fail(pending, "which member?");
    return;
  }
  if (changes_.size() >= kChangesMax) {
    return Refuse(pending.asked, Refusal::kOverloaded, "too many changes of members at once");
  }
  if (pending.change.action == MemberAction::kAdd) {
    if (pending.change.address.empty()) {
      Fail(pending, absl::StrCat("at which address is ", name, "?"));
      return;
    }
    const std::string& address = pending.change.address;
    const auto list = ParseClusterList(absl::StrCat(name, "=", address));
    if (!list.ok() || list->size() != 1) {
      Fail(pending,
           list.ok() ? absl::StrCat("'", address, "' is not one host:port")
                     : std::string(list.status().message()),
           ReplyCode::kInvalid);
      return;
    }
    if (core_.has_value()) {
      for (const auto* servers :
           {&core_->configuration().voters, &core_->configuration().learners}) {
        for (const raft::Server& server : *servers) {
          if (server.id.name == name || server.address != address) continue;
          Fail(pending, absl::StrCat(server.id.name, " is the member at ", address));
          return;
        }
      }
    }
    bootstrap_.Welcome(name);
  }
  changes_.push_back(std::move(pending));
  GoOnWithChanges();
  UpdatePeers();  // whoever is to come is spoken to
}

void Actor::GoOnWithChanges() {
  if (changes_.empty() || !leading() || !failed_.ok()) return;
  std::deque<PendingChange> waiting = std::exchange(changes_, {});
  while (!waiting.empty()) {
    PendingChange change = std::move(waiting.front());
    waiting.pop_front();
    if (askers_.Find(change.asked.asker) == nullptr) continue;  // nobody waits for it any more
    if (!leading()) {
      Refuse(change.asked, Refusal::kNotLeader, NotLeaderMessage());
    } else if (!GoOn(change)) {
      changes_.push_back(std::move(change));
    }
  }
}

bool Actor::Done(const PendingChange& change) {
  Answer(change.asked, machine::EncodeReply(StatusReply()));
  return true;
}

bool Actor::Fail(const PendingChange& change, std::string why, ReplyCode code) {
  Reply reply;
  reply.code = code;
  reply.message = std::move(why);
  Answer(change.asked, machine::EncodeReply(reply));
  return true;
}

bool Actor::GoOn(const PendingChange& change) {
  if (now_.HolderElapsedNs(change.since) > absl::ToInt64Nanoseconds(kChangeLimit)) {
    return Fail(
        change,
        absl::StrCat("gave up after ", absl::FormatDuration(kChangeLimit), ": ", Advice(Status())),
        ReplyCode::kLimit);
  }
  switch (change.change.action) {
    case MemberAction::kAdd:
    case MemberAction::kPromote:
      return GoOnAdding(change);
    case MemberAction::kRemove:
      return GoOnRemoving(change);
    case MemberAction::kTransfer:
      return GoOnTransferring(change);
  }
  return Fail(change, "this member does not know such a change");
}

bool Actor::GoOnAdding(const PendingChange& change) {
  if (!MayConfigure()) return false;
  const std::string& name = change.change.name;
  const bool add = change.change.action == MemberAction::kAdd;
  const raft::Configuration& now = core_->configuration();
  const raft::Server* learner = FindName(now.learners, name);
  if (const raft::Server* voter = FindName(now.voters, name); voter != nullptr) {
    if (add && voter->address != change.change.address) {
      return Fail(change, absl::StrCat(name, " is a member at ", voter->address,
                                       "; remove it before it is added at another address"));
    }
    // A restarted one takes its place by itself, which is not what was asked.
    return Done(change);
  }
  if (learner == nullptr) {
    if (!add) return Fail(change, absl::StrCat(name, " is not a learner of this cluster"));
    if (now.voters.size() + now.learners.size() >= kMembersMax) {
      return Fail(change, absl::StrCat("a cluster has ", kMembersMax, " members at most"));
    }
    return false;  // until it says that it is there: OnStranger
  }
  if (CaughtUp(learner->id)) Promote(raft::Server(*learner));
  return false;
}

bool Actor::GoOnRemoving(const PendingChange& change) {
  if (!MayConfigure()) return false;
  const std::string& name = change.change.name;
  raft::Configuration next = core_->configuration();
  if (FindName(next.voters, name) == nullptr && FindName(next.learners, name) == nullptr) {
    return Done(change);
  }
  EraseName(next.voters, name);
  EraseName(next.learners, name);
  if (next.voters.empty()) return Fail(change, "a cluster needs a voter: this is the last");
  if (name == self_.name) {  // whoever leads next removes this one
    if (absl::Status status = BeginTransfer({}); !status.ok()) {
      return Fail(change,
                  absl::StrCat("cannot hand over before it is removed: ", status.message()));
    }
    return false;
  }
  Log(absl::StrCat("removes ", name));
  Configure(std::move(next));
  return false;
}

bool Actor::GoOnTransferring(const PendingChange& change) {
  if (core_->transferring()) return false;
  const std::string& name = change.change.name;
  if (name == self_.name) return Done(change);
  MemberId target;
  if (!name.empty()) {
    const raft::Server* voter = FindName(core_->configuration().voters, name);
    if (voter == nullptr)
      return Fail(change, absl::StrCat(name, " is not a voter of this cluster"));
    target = voter->id;
  }
  if (absl::Status status = BeginTransfer(target); !status.ok()) {
    return Fail(change, std::string(status.message()), ReplyCode::kLimit);
  }
  return false;
}

absl::Status Actor::BeginTransfer(const MemberId& target) {
  // Time goes on up to here, so that a leader change puts no take-over off (PITFALLS T6).
  if (!core_->transferring() && machine_.HasDeadline()) {
    const std::int64_t stamp = clock_.Advance(now_, core_->committed_stamp_ns());
    if (stamp > core_->last_stamp_ns()) ProposeEntry(stamp, {}, {});
  }
  raft::Output output = core_->Step(now_, raft::Transfer{target});
  absl::Status refused = output.refused;
  Execute(std::move(output));
  return refused;
}

void Actor::OnTransferEnded(bool leads_on) {
  for (auto& done : std::exchange(handovers_, {})) {
    std::move(done)(leads_on ? absl::UnavailableError("nobody took leadership in time")
                             : absl::OkStatus());
  }
  std::deque<PendingChange> changes = std::exchange(changes_, {});
  for (PendingChange& change : changes) {
    const bool transfer = change.change.action == MemberAction::kTransfer;
    if (transfer && leads_on) {
      Fail(change,
           "leadership was not taken in time: the target does not answer, lags, or has started "
           "only now; try again",
           ReplyCode::kLimit);
    } else if (leads_on || transfer) {
      changes_.push_back(std::move(change));  // a transfer is done when somebody leads
    } else {
      Refuse(change.asked, Refusal::kNotLeader, NotLeaderMessage());
    }
  }
}

void Actor::OnLeader() {
  std::deque<PendingChange> changes = std::exchange(changes_, {});
  for (PendingChange& change : changes) {
    if (change.change.action == MemberAction::kTransfer) {
      Done(change);
    } else {
      changes_.push_back(std::move(change));
    }
  }
}

void Actor::HandOver(absl::AnyInvocable<void(absl::Status) &&> done) {
  const std::lock_guard<std::recursive_mutex> lock(anchor_->mutex);
  if (closed_ || !leading() || !failed_.ok()) return std::move(done)(absl::OkStatus());
  now_ = loop_.Now();
  if (core_->configuration().voters.size() == 1 && !core_->configuration().joint()) {
    return std::move(done)(absl::OkStatus());  // there is nobody who would miss it
  }
  if (!core_->transferring()) {
    if (absl::Status status = BeginTransfer({}); !status.ok()) {
      return std::move(done)(absl::UnavailableError(
          absl::StrCat("leadership cannot be handed over: ", status.message())));
    }
  }
  handovers_.push_back(std::move(done));
  Schedule();
}

// ---- Restarted members

void Actor::OnStranger(const Bootstrap::Output::Stranger& stranger) {
  if (!leading() || core_->commit_index() < core_->term_start_index()) return;
  // What it said may be old, and on its way for long.
  if (core_->lost(stranger.id)) return TellLost(stranger.id);
  const raft::Configuration& now = core_->configuration();
  const raft::Server* earlier = nullptr;
  for (const auto* servers : {&now.learners, &now.voters_outgoing, &now.voters}) {
    if (const raft::Server* found = FindName(*servers, stranger.id.name)) earlier = found;
  }
  std::string address = earlier == nullptr ? "" : earlier->address;
  for (const PendingChange& pending : changes_) {
    if (pending.change.action == MemberAction::kAdd && pending.change.name == stranger.id.name) {
      address = pending.change.address;
    }
  }
  if (address.empty()) {
    if (stranger.in && stranger.has_log) {
      TellRemoved(stranger.id, "it was removed from the cluster");
    }
    return;
  }
  if (!stranger.in) return DoBootstrap(bootstrap_.Invite(now_, stranger.id));
  if (!MayConfigure()) return;  // it says so again
  raft::Configuration next = now;
  EraseName(next.learners, stranger.id.name);
  next.learners.push_back({stranger.id, std::move(address)});
  Log(absl::StrCat(
      stranger.id.ToString(), " joins as a learner",
      earlier == nullptr ? std::string() : absl::StrCat(", to replace ", earlier->id.ToString())));
  Configure(std::move(next));
}

void Actor::OnLost(const MemberId& who) {
  if (!InConfiguration(who) || core_->lost(who)) return;
  Log(absl::StrCat(who.ToString(), " is lost: a younger incarnation attests it"));
  Step(raft::AttestLost{who});
}

void Actor::AskForLosses() {
  const raft::Configuration now = core_->configuration();  // a loss may change it
  // Whom this member takes the place of is lost: the leader that began the exchange had heard so
  // (BOOTSTRAP rule 10), and nobody else may be left who has.
  const raft::Server* const before = FindName(now.voters_outgoing, self_.name);
  const raft::Server* const after = FindName(now.voters, self_.name);
  if (before != nullptr && after != nullptr && before->id != self_ && after->id == self_)
    OnLost(MemberId(before->id));
  // Whoever is a learner beside a voter of its own name has come after it.
  const raft::Server* const learner = FindName(now.learners, self_.name);
  if (learner != nullptr && learner->id == self_) {
    for (const raft::Server* earlier : {before, after}) {
      if (earlier != nullptr) OnLost(MemberId(earlier->id));
    }
  }
  for (const auto* servers : {&now.voters, &now.voters_outgoing, &now.learners}) {
    for (const raft::Server& server : *servers) {
      if (server.id.name == self_.name || core_->lost(server.id)) continue;
      const auto progress = core_->progress(server.id);
      if (progress.has_value() && progress->active) continue;
      transport_->Send({cluster_, self_, {server.id.name, 0}, Handshake(LostQuery{server.id})});
    }
  }
}

bool Actor::IsToBeAdded(const std::string& name) const {
  return std::any_of(changes_.begin(), changes_.end(), [&name](const PendingChange& pending) {
    return pending.change.action == MemberAction::kAdd && pending.change.name == name;
  });
}

bool Actor::ForgottenLearner() const {
  return core_.has_value() && failed_.ok() && leader_.empty() &&
         FindName(core_->configuration().learners, self_.name) != nullptr;
}

void Actor::AskWhetherRemoved() {
  if (!ForgottenLearner()) return;
  std::vector<std::string> names;
  for (const raft::Server& voter : core_->configuration().voters) names.push_back(voter.id.name);
  for (const std::string& name : names) DoBootstrap(bootstrap_.Greet(now_, name));
}

// One whose own log names it says nothing by itself: the change that named it may have been undone.
void Actor::GreetTheAdded() {
  if (!leading()) return;
  std::vector<std::string> names;
  for (const PendingChange& pending : changes_) {
    const std::string& name = pending.change.name;
    const raft::Configuration& now = core_->configuration();
    if (pending.change.action == MemberAction::kAdd && FindName(now.voters, name) == nullptr &&
        FindName(now.learners, name) == nullptr) {
      names.push_back(name);
    }
  }
  for (const std::string& name : names) DoBootstrap(bootstrap_.Greet(now_, name));
}

std::string Actor::MajorityLost() const {
  const raft::Configuration& now = core_->configuration();
  for (const auto* half : {&now.voters, &now.voters_outgoing}) {
    const std::size_t all = half->size();
    const auto left = static_cast<std::size_t>(std::count_if(
        half->begin(), half->end(), [this](const raft::Server& s) { return !core_->lost(s.id); }));
    if (all == 0 || left >= all - (all / 2 + 1) + 1) continue;
    return absl::StrCat("only ", left, " of ", all,
                        " voters kept their memory, so what was acknowledged may be gone: an "
                        "operator must stop all members and start a new cluster");
  }
  return "";
}

// It can elect nobody, as far as this member knows, or never told it what it consists of; and this
// member holds nothing of clients'.
bool Actor::MayStartAnew() const {
  return leader_.empty() && (core_->configuration().voters.empty() || !MajorityLost().empty()) &&
         !HoldsCommands();
}

// Each question is a new one, so that all answers are of now.
void Actor::AskWhoHolds() {
  who_holds_ = MayStartAnew() ? ++last_question_ : 0;
  if (who_holds_ != 0) DoBootstrap(bootstrap_.AskWhoHolds(now_, who_holds_, NamesInLog()));
}

// BOOTSTRAP rule 12. This member's log may be old, and those that it counts as lost may have been
// exchanged long ago: so it asks all that it knows of. If none of them holds a client's command,
// then none is lost by it: one that was committed before is not there any more, and one that is
// committed later is, without this member, with a quorum.
void Actor::MaybeStartAnew() {
  using What = Bootstrap::What;
  if (who_holds_ == 0 || !MayStartAnew()) return;
  const bool untold = core_->configuration().voters.empty();
  const auto nobody_holds = [this](What what) {
    return bootstrap_.NobodyHolds(what, who_holds_, NamesInLog());
  };
  if (!nobody_holds(What::kCommands)) return;
  if (untold && !nobody_holds(What::kALog)) return;  // who was told may still lead
  const absl::string_view why =
      untold ? "the cluster that let it in is gone, and had told it nothing yet: it must start "
               "anew, as a free member"
             : "a majority lost its memory before the cluster held anything: it must start anew, "
               "as a free member";
  if (storage_->durable()) return ForgetAll(why);
  FailForGood(absl::AbortedError(why));
}

bool Actor::HoldsCommands() const {
  return held_commands_ || (core_.has_value() && core_->HoldsCommands());
}

std::set<std::string> Actor::NamesInLog() const {
  std::set<std::string> names;
  const raft::Configuration& now = core_->configuration();
  for (const auto* servers : {&now.voters, &now.voters_outgoing, &now.learners}) {
    for (const raft::Server& server : *servers) names.insert(server.id.name);
  }
  return names;
}

// ---- Clients of a short-handed leader

void Actor::BecomeSilent() {
  silent_ = Silent();
  if (!silent_) return Log("an ordinary majority holds again: answers clients");
  Log("too few members are left for an ordinary majority: clients wait until the lost are "
      "replaced");
  DropListeners("a lost member is being replaced");
}

// ---- Removed members

void Actor::OnConfiguration(std::shared_ptr<const raft::Configuration> configuration) {
  const std::shared_ptr<const raft::Configuration> before =
      std::exchange(committed_, std::move(configuration));
  bootstrap_.SetConfiguration(committed_);
  // Not while an old log is applied anew: the newest that it has may name others.
  if (core_.has_value() && *committed_ == core_->configuration()) attestations_.Keep(*committed_);
  if (committed_->Find(self_) != nullptr) {
    named_once_ = true;
    removed_ = false;
  } else if (named_once_ && !committed_->joint()) {
    removed_ = true;
  }
  if (before == nullptr || !leading() || committed_->joint()) return;
  // While an old log is applied anew: who is left out here may long have been added again.
  const raft::Configuration& newest = core_->configuration();
  for (const auto* servers : {&before->voters, &before->voters_outgoing, &before->learners}) {
    for (const raft::Server& server : *servers) {
      if (server.id != self_ && committed_->Find(server.id) == nullptr &&
          newest.Find(server.id) == nullptr) {
        std::erase_if(departed_, [&](const Peer& peer) { return peer.name == server.id.name; });
        if (departed_.size() == kMembersMax) departed_.erase(departed_.begin());
        departed_.push_back({server.id.name, server.address});
        UpdatePeers();
        TellRemoved(server.id, "it was removed from the cluster");
      }
    }
  }
}

void Actor::TellRemoved(const MemberId& id, std::string reason) {
  transport_->Send({cluster_, self_, id, Handshake(NotAMember{std::move(reason), true})});
}

void Actor::UpdatePeers() {
  std::vector<Peer> peers;
  const auto add = [&](const std::string& name, const std::string& address) {
    if (name == self_.name) return;
    for (Peer& peer : peers) {
      if (peer.name == name) return;
    }
    peers.push_back({name, address});
  };
  if (core_.has_value()) {
    peers_since_ = core_->configuration_index();
    const raft::Configuration& now = core_->configuration();
    for (const auto* servers : {&now.voters, &now.voters_outgoing, &now.learners}) {
      for (const raft::Server& server : *servers) add(server.id.name, server.address);
    }
  }
  // Nor is anybody let go before the change that removes it is committed.
  if (committed_ != nullptr) {
    for (const auto* servers :
         {&committed_->voters, &committed_->voters_outgoing, &committed_->learners}) {
      for (const raft::Server& server : *servers) add(server.id.name, server.address);
    }
  }
  for (const Peer& peer : departed_) add(peer.name, peer.address);
  for (const Peer& peer : members_) add(peer.name, peer.address);
  for (const PendingChange& pending : changes_) {
    if (pending.change.action == MemberAction::kAdd) {
      add(pending.change.name, pending.change.address);
    }
  }
  transport_->SetPeers(peers);
}

}  // namespace tenure::member
