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

VoteResult Peers::Votes() const {
  absl::InlinedVector<Ballot, 8> incoming;
  absl::InlinedVector<Ballot, 8> outgoing;
  for (const Peer& peer : peers_) {
    if (peer.incoming) incoming.push_back(peer.ballot);
    if (peer.outgoing) outgoing.push_back(peer.ballot);
  }
  return CountJointVotes(incoming, outgoing);
}

}  // namespace tenure::raft
