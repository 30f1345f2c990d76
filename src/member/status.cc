// What people ask of a member.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "member/actor.h"

namespace tenure::member {

bool Actor::InConfiguration(const MemberId& id) const {
  return core_.has_value() && core_->configuration().Find(id) != nullptr;
}

std::string Actor::AddressOf(const MemberId& id) const {
  const raft::Server* server = core_.has_value() ? core_->configuration().Find(id) : nullptr;
  return server == nullptr ? "" : server->address;
}

std::string Actor::LeaderAddress() const { return leader_.empty() ? "" : AddressOf(leader_); }

std::string Actor::NotLeaderMessage() const {
  if (!failed_.ok()) return absl::StrCat(self_.name, " has stopped: ", failed_.message());
  if (!core_.has_value()) {
    const std::string trouble = bootstrap_.Trouble(now_);
    return trouble.empty() ? absl::StrCat(self_.name, " is not in a cluster yet") : trouble;
  }
  if (leader_.empty()) return "no leader is known at the moment";
  return absl::StrCat(leader_.name, " leads, not ", self_.name);
}

ClusterStatus Actor::Status() const {
  ClusterStatus status;
  status.cluster = cluster_;
  status.answered_by = self_;
  status.newest_machine_version = newest_version_;
  if (!core_.has_value()) {
    for (const Peer& peer : members_) {
      const bool self = peer.name == self_.name;
      const std::uint64_t heard = self ? self_.incarnation : bootstrap_.HeardIncarnation(peer.name);
      status.members.push_back({.id = {peer.name, heard},
                                .address = peer.address,
                                .role = self ? "free" : "unknown",
                                .reachable = self || bootstrap_.Present(peer.name, loop_.Now()),
                                .applied = 0});
    }
    status.message = Advice(status);
    return status;
  }
  status.leader = leader_;
  status.term = core_->term();
  status.revision = machine_.revision();
  status.commit = core_->commit_index();
  status.applied = applied_;
  status.log_bytes = core_->log_bytes();
  status.cluster_time_ns = machine_.now_ns();
  status.held_back_ns = HeldBackNs();
  status.sessions = machine_.session_count();
  status.locks = machine_.lock_count();
  status.state_hash = machine_.StateHash();
  status.machine_version = machine_version_;

  const raft::Configuration& configuration = core_->configuration();
  std::size_t reachable_voters = 0;
  for (const raft::Server& server : configuration.voters) {
    MemberStatus member = StatusOf(server);
    if (member.reachable) ++reachable_voters;
    status.members.push_back(std::move(member));
  }
  for (const raft::Server& server : configuration.learners) {
    status.members.push_back(StatusOf(server));
    if (status.members.back().role != "lost") status.members.back().role = "learner";
  }
  const std::size_t quorum = configuration.voters.size() / 2 + 1;
  // In the midst of a change the earlier voters count as well.
  status.may_stop_one = leading() && failed_.ok() && MayConfigure() && reachable_voters > quorum;
  status.message = Advice(status);
  return status;
}

bool Actor::HeardAnother(const MemberId& id) const {
  const std::uint64_t heard = bootstrap_.HeardIncarnation(id.name);
  return id != self_ && heard != 0 && heard != id.incarnation;
}

MemberStatus Actor::StatusOf(const raft::Server& server) const {
  MemberStatus member;
  member.id = server.id;
  member.address = server.address;
  if (server.id == self_) {
    member.reachable = failed_.ok();
    member.applied = applied_;
    member.role = leading()                                ? "leader"
                  : core_->role() == raft::Role::kFollower ? "follower"
                                                           : "candidate";
    return member;
  }
  const auto progress = core_->progress(server.id);
  const bool answers = progress.has_value() && progress->active;
  if (core_->lost(server.id) || (HeardAnother(server.id) && !answers)) {
    member.role = "lost";  // another incarnation of that name is about, and this one is not
    return member;
  }
  if (progress.has_value()) {
    member.role = "follower";
    member.reachable = progress->active;
    member.applied = progress->applied;
    return member;
  }
  member.role = server.id == leader_ ? "leader" : "unknown";
  member.reachable = server.id == leader_;
  return member;
}

std::string Actor::HeldBack() const {
  const std::int64_t ns = HeldBackNs();
  if (ns == 0) return "";
  return absl::StrCat(
      "a new cluster grants nothing for another ",
      absl::FormatDuration(absl::Ceil(absl::Nanoseconds(ns), absl::Seconds(1))),
      ", in case an earlier one's holders still live (--new asserts that none does)");
}

std::string Actor::Advice(const ClusterStatus& status) const {
  std::vector<std::string> advice;
  if (!failed_.ok())
    advice.push_back(absl::StrCat(self_.name, " has stopped: ", failed_.message()));
  if (const std::string trouble = bootstrap_.Trouble(loop_.Now()); !trouble.empty())
    advice.push_back(trouble);
  if (!core_.has_value()) return absl::StrJoin(advice, "; ");
  if (leader_.empty() && failed_.ok()) advice.push_back("no leader is known at the moment");
  for (const MemberStatus& member : status.members) {
    if (member.role == "lost") {
      advice.push_back(absl::StrCat(member.id.name,
                                    " restarted without its memory: its incarnation ",
                                    absl::Hex(member.id.incarnation, absl::kZeroPad16),
                                    " is lost, and the new one is not counted before it has "
                                    "caught up and taken its place"));
    } else if (leading() && !member.reachable) {
      advice.push_back(absl::StrCat(member.id.name, " does not answer"));
    } else if (leading() && HeardAnother(member.id) &&
               bootstrap_.Present(member.id.name, loop_.Now())) {
      advice.push_back(absl::StrCat("another process says that it is ", member.id.name,
                                    ", which answers: it counts for nothing, and is to be stopped "
                                    "if it stays"));
    }
  }
  if (const std::string lost = MajorityLost(); !lost.empty()) advice.push_back(lost);
  if (leading() &&
      (core_->configuration().joint() || core_->configuration_index() > core_->commit_index())) {
    advice.push_back("a change of members is under way: stop none now");
  }
  if (leading() && Silent()) advice.push_back("clients wait until a lost member is replaced");
  if (std::string why = HeldBack(); !why.empty()) advice.push_back(std::move(why));
  if (std::string why = VersionHeldBack(); !why.empty()) advice.push_back(std::move(why));
  if (status.log_bytes >= options_.log_bytes_max - options_.log_bytes_max / 10) {
    advice.push_back("the log is nearly full: new commands are refused");
  }
  return absl::StrJoin(advice, "; ");
}

Reply Actor::StatusReply() const {
  Reply reply;
  reply.revision = machine_version_ == 0 ? 0 : machine_.revision();
  reply.result = Status();
  return reply;
}

}  // namespace tenure::member
