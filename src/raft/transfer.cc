// Handing leadership over (section 3.10), and when a leader does so by itself.
#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "raft/impl.h"

namespace tenure::raft {
namespace {

// How long, in greatest election timeouts, a leader waits before it offers leadership again to a
// voter of greater priority that did not take it.
constexpr std::int64_t kPreferAgain = 10;

}  // namespace

void Core::Impl::On(const Transfer& transfer) {
  if (role_ != Role::kLeader) {
    out_.refused = absl::UnavailableError("this member does not lead");
    return;
  }
  if (transfer_.has_value() && (transfer.target.empty() || transfer_->target == transfer.target)) {
    return;  // it is being done
  }
  if (transfer_.has_value()) {
    out_.refused = absl::FailedPreconditionError(
        absl::StrCat("leadership is being handed over to ", transfer_->target.name));
    return;
  }
  const Peer* target = transfer.target.empty() ? BestSuccessor() : peers_.Find(transfer.target);
  if (target == nullptr && transfer.target.empty()) {
    out_.refused = absl::FailedPreconditionError("no other voter answers");
  } else if (target == nullptr || !target->incoming || target->lost) {
    out_.refused = absl::InvalidArgumentError(
        absl::StrCat(transfer.target.ToString(), " is not a voter of this cluster"));
  } else if (!target->self) {
    BeginTransfer(target->id);
  }
}

const Peer* Core::Impl::BestSuccessor() const {
  const Peer* best = nullptr;
  for (const Peer& peer : peers_) {
    if (peer.self || !peer.incoming || peer.lost || peer.progress.answered_round() == 0) continue;
    if (now_.HolderElapsedNs(peer.progress.contact()) >= timeout_min_ns_) continue;
    if (best == nullptr || peer.progress.match() > best->progress.match()) best = &peer;
  }
  return best;
}

void Core::Impl::BeginTransfer(const MemberId& target) {
  transfer_ = Handover{target, now_, false};
  ++transfer_number_;
  // It must know of this hand-over before it is asked: then no late TimeoutNow of an earlier one
  // will move it.
  if (Peer* peer = peers_.Find(target)) SendHeartbeat(*peer);
}

void Core::Impl::GoOnWithTransfer() {
  Peer* target = peers_.Find(transfer_->target);
  if (target == nullptr) return AbortTransfer();
  if (transfer_->sent || target->progress.match() < log_.last_index() ||
      target->progress.transfer() < transfer_number_) {
    return;
  }
  transfer_->sent = true;
  // The lease ends here: what this message brings about asks no follower to wait (etcd#12704).
  loose_.push_back({target->id, transfer_number_});
  Send(target->id, TimeoutNow{term_, transfer_number_});
  if (!peers_.SelfVotes()) BecomeFollower(term_, {});  // it led only to see this done
}

void Core::Impl::AbortTransfer() {
  transfer_.reset();
  ++transfer_number_;  // whoever hears of it obeys no TimeoutNow of before
  out_.transfer_failed = true;
  // It need not stay where it cannot serve.
  if (!peers_.SelfVotes() || DiskStalls()) return BecomeFollower(term_, {});
  StartRound(/*everybody=*/true);
  SendToAll();
}

bool Core::Impl::DiskStalls() const {
  return durable_.waiting() && now_.LeaderElapsedNs(disk_moved_) >=
                                   absl::ToInt64Nanoseconds(options_.election_timeout_max);
}

void Core::Impl::MaybeTransfer() {
  if (transfer_.has_value() || commit_ < term_start_) return;
  if (DiskStalls()) {  // its heartbeats would keep everybody waiting (hashicorp/raft#503)
    if (const Peer* successor = BestSuccessor()) BeginTransfer(successor->id);
    return;
  }
  if (log_.configuration()->joint()) return;
  if (preferred_at_.has_value() &&
      now_.HolderElapsedNs(*preferred_at_) <
          kPreferAgain * absl::ToInt64Nanoseconds(options_.election_timeout_max)) {
    return;
  }
  const Peer* preferred = nullptr;
  for (const Peer& peer : peers_) {
    if (peer.self || !peer.incoming || peer.lost || peer.progress.match() < commit_) continue;
    if (now_.HolderElapsedNs(peer.progress.contact()) >= timeout_min_ns_) continue;
    const std::uint32_t least = preferred ? preferred->progress.priority() : options_.priority;
    if (peer.progress.priority() > least) preferred = &peer;
  }
  if (preferred == nullptr) return;
  preferred_at_ = now_;
  BeginTransfer(preferred->id);
}

void Core::Impl::On(const MemberId& from, const TimeoutNow& now) {
  if (now.term != term_ || role_ != Role::kFollower || leader_ != from) return;
  // Only the newest hand-over that this leader told of: a withdrawn one is void.
  if (now.transfer == 0 || now.transfer != transfer_heard_) return;
  if (!MayCampaign() || !MayVote()) return;
  StartElection(/*transfer=*/true);
}

}  // namespace tenure::raft
