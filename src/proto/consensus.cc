#include "proto/consensus.h"

#include <cstddef>
#include <vector>

namespace tenure {
namespace {

using Servers = google::protobuf::RepeatedPtrField<v1::Server>;

void ServersToSchema(const std::vector<raft::Server>& from, Servers* to) {
  for (const raft::Server& server : from) {
    v1::Server* const out = to->Add();
    out->set_name(server.id.name);
    out->set_incarnation(server.id.incarnation);
    out->set_address(server.address);
  }
}

std::vector<raft::Server> ServersFromSchema(const Servers& from) {
  std::vector<raft::Server> servers;
  servers.reserve(static_cast<std::size_t>(from.size()));
  for (const v1::Server& server : from) {
    servers.push_back({{server.name(), server.incarnation()}, server.address()});
  }
  return servers;
}

}  // namespace

void ToSchema(const raft::Configuration& from, v1::Configuration* to) {
  ServersToSchema(from.voters, to->mutable_voters());
  ServersToSchema(from.voters_outgoing, to->mutable_voters_outgoing());
  ServersToSchema(from.learners, to->mutable_learners());
}

std::shared_ptr<const raft::Configuration> FromSchema(const v1::Configuration& from) {
  return std::make_shared<const raft::Configuration>(
      raft::Configuration{.voters = ServersFromSchema(from.voters()),
                          .voters_outgoing = ServersFromSchema(from.voters_outgoing()),
                          .learners = ServersFromSchema(from.learners())});
}

void ToSchema(const raft::SnapshotInfo& from, v1::SnapshotInfo* to) {
  to->set_index(from.index);
  to->set_term(from.term);
  to->set_stamp_ns(from.stamp_ns);
  if (from.configuration != nullptr) ToSchema(*from.configuration, to->mutable_configuration());
  to->set_bytes(from.bytes);
}

raft::SnapshotInfo FromSchema(const v1::SnapshotInfo& from) {
  return {.index = from.index(),
          .term = from.term(),
          .stamp_ns = from.stamp_ns(),
          .configuration = from.has_configuration() ? FromSchema(from.configuration()) : nullptr,
          .bytes = from.bytes()};
}

void ToSchema(const raft::Attested& from, v1::Attested* to) {
  to->set_name(from.who.name);
  to->set_incarnation(from.who.incarnation);
  to->set_term(from.term);
  to->set_vote_name(from.vote.name);
  to->set_vote_incarnation(from.vote.incarnation);
  to->set_match_index(from.match_index);
  to->set_match_term(from.match_term);
  to->set_applied(from.applied);
}

raft::Attested FromSchema(const v1::Attested& from) {
  return {.who = {from.name(), from.incarnation()},
          .term = from.term(),
          .vote = {from.vote_name(), from.vote_incarnation()},
          .match_index = from.match_index(),
          .match_term = from.match_term(),
          .applied = from.applied()};
}

}  // namespace tenure
