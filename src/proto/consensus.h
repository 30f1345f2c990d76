// What consensus speaks of, to and from the schema: for the transports and the storages, which
// carry and keep it.
#ifndef TENURE_PROTO_CONSENSUS_H_
#define TENURE_PROTO_CONSENSUS_H_

#include <memory>

#include "tenure/raft_types.h"
#include "tenure/v1/log.pb.h"

namespace tenure {

void ToSchema(const raft::Configuration& from, v1::Configuration* to);
std::shared_ptr<const raft::Configuration> FromSchema(const v1::Configuration& from);

void ToSchema(const raft::SnapshotInfo& from, v1::SnapshotInfo* to);
raft::SnapshotInfo FromSchema(const v1::SnapshotInfo& from);

void ToSchema(const raft::Attested& from, v1::Attested* to);
raft::Attested FromSchema(const v1::Attested& from);

}  // namespace tenure

#endif  // TENURE_PROTO_CONSENSUS_H_
