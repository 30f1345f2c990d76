// What all tables of the machine share: the limits, the time, the revision, the hash, and the entry
// that is being applied. A table gets a pointer to it and owns the rest of its state.
#ifndef TENURE_MACHINE_CORE_H_
#define TENURE_MACHINE_CORE_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "machine/machine.h"
#include "machine/state_hash.h"
#include "tenure/command.h"

namespace tenure::machine {

struct Core {
  Limits limits;
  std::uint32_t version = 0;  // the machine's active version; 0: not started
  std::int64_t now_ns = 0;    // cluster time: the last stamp
  std::int64_t grants_from_ns = 0;
  Revision revision = 0;
  StateHash hash;

  // Of the entry being applied.
  std::vector<SessionEvent>* events = nullptr;
  std::uint64_t budget = 0;  // steps of clean-up that this entry may still take

  // Each change has a revision of its own; a grant's is its fencing token.
  Revision Raise() { return ++revision; }
  // How long from now nothing is granted yet: only in a new cluster (PITFALLS T10).
  std::int64_t HeldBackNs() const { return std::max<std::int64_t>(0, grants_from_ns - now_ns); }
};

// Makes `reply` a refusal. The message is for people; callers act on the code.
inline void Refuse(Reply& reply, ReplyCode code, std::string message) {
  reply.code = code;
  reply.message = std::move(message);
}

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_CORE_H_
