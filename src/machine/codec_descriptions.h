// What reads answer, and who holds what, in bytes: a part of codec.h.
#ifndef TENURE_MACHINE_CODEC_DESCRIPTIONS_H_
#define TENURE_MACHINE_CODEC_DESCRIPTIONS_H_

#include "tenure/command.h"
#include "tenure/v1/command.pb.h"

namespace tenure::machine {

void Write(const LockHolder& in, v1::LockHolder* out);
void Write(const LockDescription& in, v1::LockDescription* out);
void Write(const LockList& in, v1::LockList* out);
void Write(const ElectionDescription& in, v1::ElectionDescription* out);
void Write(const ElectionList& in, v1::ElectionList* out);
void Write(const OperationDescription& in, v1::OperationDescription* out);
void Write(const OperationList& in, v1::OperationList* out);
void Write(const SessionList& in, v1::SessionList* out);
void Write(const ClusterStatus& in, v1::ClusterStatus* out);
void Write(const Observed& in, v1::Observed* out);

LockHolder Read(const v1::LockHolder& in);
LockDescription Read(const v1::LockDescription& in);
LockList Read(const v1::LockList& in);
ElectionDescription Read(const v1::ElectionDescription& in);
ElectionList Read(const v1::ElectionList& in);
OperationDescription Read(const v1::OperationDescription& in);
OperationList Read(const v1::OperationList& in);
SessionList Read(const v1::SessionList& in);
ClusterStatus Read(const v1::ClusterStatus& in);
Observed Read(const v1::Observed& in);

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_CODEC_DESCRIPTIONS_H_
