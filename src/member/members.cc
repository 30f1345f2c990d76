// Who takes part: what a leader does by itself about restarted members (BOOTSTRAP rules 7 to 12),
// and what a member does that is not one any more.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "member/actor.h"

namespace tenure::member {
namespace {

// A learner this close to the end of the log has caught up: what is left goes with the next append.
constexpr Index kClose = 64;
// Who does not answer is asked after once in so many heartbeat intervals.
constexpr int kAskEvery = 5;

const raft::Server* FindName(const std::vector<raft::Server>& servers, const std::string& name) {
  for (const raft::Server& server : servers) {
    if (server.id.name == name) return &server;
  }
  return nullptr;
}

bool Names(const raft::Configuration& configuration, const MemberId& id) {
  for (const auto* servers :
       {&configuration.voters, &configuration.voters_outgoing, &configuration.learners}) {
    for (const raft::Server& server : *servers) {
      if (server.id == id) return true;
    }
  }
  return false;
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
  }
  if (!MayConfigure()) return;
  // The exchange: in one joint change, and only once the loss is attested by name (rule 10).
  const raft::Configuration& now = core_->configuration();
  for (const raft::Server& learner : now.learners) {
    const raft::Server* voter = FindName(now.voters, learner.id.name);
    if (voter == nullptr || !core_->lost(voter->id) || !CaughtUp(learner.id)) continue;
    raft::Configuration next = now;
    EraseName(next.voters, learner.id.name);
    next.voters.push_back(learner);
    EraseName(next.learners, learner.id.name);
    Log(absl::StrCat("exchanges ", voter->id.ToString(), " for ", learner.id.ToString()));
    Configure(std::move(next));
    return;
  }
}

// ---- Restarted members

void Actor::OnStranger(const Bootstrap::Output::Stranger& stranger) {
  if (!leading() || core_->commit_index() < core_->term_start_index()) return;
  const raft::Configuration& now = core_->configuration();
  const raft::Server* earlier = nullptr;
  for (const auto* servers : {&now.learners, &now.voters_outgoing, &now.voters}) {
    if (const raft::Server* found = FindName(*servers, stranger.id.name)) earlier = found;
  }
  if (earlier == nullptr) {
    if (stranger.in && stranger.has_log) {
      TellRemoved(stranger.id, "it was removed from the cluster");
    }
    return;
  }
  if (!stranger.in) return DoBootstrap(bootstrap_.Invite(now_, stranger.id));
  if (!MayConfigure()) return;  // it says so again
  raft::Configuration next = now;
  EraseName(next.learners, stranger.id.name);
  next.learners.push_back({stranger.id, earlier->address});
  Log(absl::StrCat(stranger.id.ToString(), " joins as a learner, to replace ",
                   earlier->id.ToString()));
  Configure(std::move(next));
}

void Actor::OnLost(const MemberId& who) {
  if (!core_.has_value() || core_->lost(who) || !Names(core_->configuration(), who)) return;
  Log(absl::StrCat(who.ToString(), " is lost: a younger incarnation attests it"));
  Step(raft::AttestLost{who});
}

void Actor::AskForLosses() {
  const raft::Configuration& now = core_->configuration();
  for (const auto* servers : {&now.voters, &now.voters_outgoing}) {
    for (const raft::Server& server : *servers) {
      if (server.id.name == self_.name || core_->lost(server.id)) continue;
      const auto progress = core_->progress(server.id);
      if (progress.has_value() && progress->active) continue;
      transport_->Send({cluster_, self_, {server.id.name, 0}, Handshake(LostQuery{server.id})});
    }
  }
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
                        "operator must choose a survivor and start a new cluster");
  }
  return "";
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
  if (Names(*committed_, self_)) {
    named_once_ = true;
  } else if (named_once_ && !committed_->joint()) {
    removed_ = true;
  }
  if (before == nullptr || !leading() || committed_->joint()) return;
  for (const auto* servers : {&before->voters, &before->voters_outgoing, &before->learners}) {
    for (const raft::Server& server : *servers) {
      if (server.id != self_ && !Names(*committed_, server.id)) {
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
  for (const Peer& peer : members_) add(peer.name, peer.address);
  transport_->SetPeers(peers);
}

}  // namespace tenure::member
