#include "raft/peers.h"

#include <algorithm>
#include <utility>

namespace tenure::raft {

void Peers::Follow(std::shared_ptr<const Configuration> configuration, const Progress& fresh) {
  configuration_ = std::move(configuration);
  std::vector<Peer> previous = std::exchange(peers_, {});
  for (const Server& s : configuration_->voters) Add(s, previous, fresh).incoming = true;
  for (const Server& s : configuration_->voters_outgoing) Add(s, previous, fresh).outgoing = true;
  for (const Server& s : configuration_->learners) Add(s, previous, fresh);
  std::sort(peers_.begin(), peers_.end(), [](const Peer& a, const Peer& b) { return a.id < b.id; });
}

Peer& Peers::Add(const Server& server, std::vector<Peer>& previous, const Progress& fresh) {
  if (Peer* known = Find(server.id)) return *known;
  Peer& peer = peers_.emplace_back();
  peer.id = server.id;
  peer.self = server.id == self_;
  peer.lost = Lost(server.id);
  peer.progress = fresh;
  for (Peer& old : previous) {
    if (old.id != server.id) continue;
    peer.ballot = old.ballot;
    peer.progress = std::move(old.progress);
  }
  return peer;
}

Peer* Peers::Find(const MemberId& id) {
  for (Peer& peer : peers_) {
    if (peer.id.incarnation == id.incarnation && peer.id.name == id.name) return &peer;
  }
  return nullptr;
}

const Peer* Peers::Find(const MemberId& id) const { return const_cast<Peers*>(this)->Find(id); }

bool Peers::SelfVotes() const {
  const Peer* peer = Find(self_);
  return peer != nullptr && peer->voter();
}

bool Peers::SelfAlone() const {
  return SelfVotes() && std::count_if(peers_.begin(), peers_.end(),
                                      [](const Peer& peer) { return peer.voter(); }) == 1;
}

void Peers::ClearBallots() {
  for (Peer& peer : peers_) peer.ballot = Ballot::kNone;
}

void Peers::AttestLost(const MemberId& id) {
  if (id == self_ || Lost(id)) return;
  lost_.push_back(id);
  if (Peer* peer = Find(id)) peer->lost = true;
}

bool Peers::Lost(const MemberId& id) const {
  return std::find(lost_.begin(), lost_.end(), id) != lost_.end();
}

bool Peers::ShortHanded() const {
  const auto half = [this](bool Peer::*in_half) {
    std::size_t all = 0;
    std::size_t left = 0;
    for (const Peer& peer : peers_) {
      if (!(peer.*in_half)) continue;
      ++all;
      if (!peer.lost) ++left;
    }
    return all > 0 && left < QuorumSize(all);
  };
  return half(&Peer::incoming) || half(&Peer::outgoing);
}

VoteResult Peers::HalfVotes(bool Peer::*half) const {
  absl::InlinedVector<Ballot, 8> all;
  absl::InlinedVector<Ballot, 8> left;
  for (const Peer& peer : peers_) {
    if (!(peer.*half)) continue;
    all.push_back(peer.ballot);
    if (!peer.lost) left.push_back(peer.ballot);
  }
  return CountVotes(all, left);
}

VoteResult Peers::Votes() const {
  const VoteResult incoming = HalfVotes(&Peer::incoming);
  return configuration_->joint() ? Both(incoming, HalfVotes(&Peer::outgoing)) : incoming;
}

}  // namespace tenure::raft
