// The members of the configuration in force, by position, with what the core knows of each.
#ifndef TENURE_RAFT_PEERS_H_
#define TENURE_RAFT_PEERS_H_

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "raft/progress.h"
#include "raft/quorum.h"
#include "tenure/raft_types.h"
#include "tenure/types.h"

namespace tenure::raft {

struct Peer {
  MemberId id;
  bool self = false;
  bool incoming = false;  // a voter of the configuration, or of its newer half
  bool outgoing = false;  // a voter of its older half, if it is joint
  bool lost = false;      // attested by a younger incarnation
  Ballot ballot = Ballot::kNone;
  Progress progress;  // of a leader's peers alone

  bool voter() const { return incoming || outgoing; }
};

// Sorted by id, so that every member walks them in one order. Not thread-safe.
class Peers {
 public:
  explicit Peers(MemberId self) : self_(std::move(self)) {}

  // Takes up a configuration; who stays keeps its progress, who comes starts with `fresh`.
  void Follow(std::shared_ptr<const Configuration> configuration, const Progress& fresh);
  const Configuration& configuration() const { return *configuration_; }
  bool Follows(const std::shared_ptr<const Configuration>& c) const { return configuration_ == c; }

  // Null unless the configuration names this very incarnation.
  Peer* Find(const MemberId& id);
  const Peer* Find(const MemberId& id) const;
  Peer* self() { return Find(self_); }
  // Whether this member votes, and whether it does so alone.
  bool SelfVotes() const;
  bool SelfAlone() const;

  // An incarnation is lost for ever. It stays a voter, as its last vote or acknowledgement may have
  // gone to anybody; but where too few others are left for a majority, see RestIsQuorum.
  void AttestLost(const MemberId& id);
  bool Lost(const MemberId& id) const;
  // Whether a half has fewer voters left than its ordinary quorum.
  bool ShortHanded() const;

  std::vector<Peer>::iterator begin() { return peers_.begin(); }
  std::vector<Peer>::iterator end() { return peers_.end(); }
  std::vector<Peer>::const_iterator begin() const { return peers_.begin(); }
  std::vector<Peer>::const_iterator end() const { return peers_.end(); }

  void ClearBallots();
  VoteResult Votes() const;

  // The greatest value that a quorum of the voters has reached, by what `value` says of each.
  template <typename F>
  auto QuorumOf(F value) const {
    const auto reached = HalfOf(&Peer::incoming, value);
    if (!configuration_->joint()) return reached;
    return std::min(reached, HalfOf(&Peer::outgoing, value));
  }

 private:
  template <typename F>
  auto HalfOf(bool Peer::*half, F& value) const {
    using T = decltype(value(peers_.front()));
    absl::InlinedVector<T, 8> all;
    absl::InlinedVector<T, 8> left;
    for (const Peer& peer : peers_) {
      if (!(peer.*half)) continue;
      const T v = value(peer);
      all.push_back(v);
      if (!peer.lost) left.push_back(v);
    }
    return HalfValue(absl::MakeSpan(all), absl::MakeSpan(left));
  }
  VoteResult HalfVotes(bool Peer::*half) const;
  Peer& Add(const Server& server, std::vector<Peer>& previous, const Progress& fresh);

  MemberId self_;
  std::shared_ptr<const Configuration> configuration_;
  std::vector<Peer> peers_;
  std::vector<MemberId> lost_;  // of this name and that, few
};

}  // namespace tenure::raft

#endif  // TENURE_RAFT_PEERS_H_
