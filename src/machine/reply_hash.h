// What the state hash takes in of replies and events.
#ifndef TENURE_MACHINE_REPLY_HASH_H_
#define TENURE_MACHINE_REPLY_HASH_H_

#include "machine/machine.h"
#include "machine/state_hash.h"
#include "tenure/command.h"

namespace tenure::machine {

void AddReply(const Reply& reply, StateHash& hash);
void AddEvent(const SessionEvent& event, StateHash& hash);

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_REPLY_HASH_H_
