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

struct KeptEvent;
struct Lock;
struct SessionState;
struct Wait;

// Who wants to know what things were before they change: the reader of a snapshot.
class BeforeImages {
 public:
  virtual void Save(const SessionState& session) = 0;
  virtual void Save(const KeptEvent& event) = 0;
  virtual void Save(const Lock& lock) = 0;
  virtual void Save(const Wait& wait) = 0;

 protected:
  ~BeforeImages() = default;
};

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

  // Copy on first write. Whatever a snapshot keeps has an `epoch`: that of the snapshot that has it
  // already, or of the last one before it came to be. A table calls Touch() before it changes or
  // deletes such a thing, and sets `epoch` when it makes one.
  BeforeImages* frozen = nullptr;  // null: nobody reads a snapshot
  std::uint32_t epoch = 0;
  template <typename T>
  void Touch(T& object) {
    if (frozen == nullptr || object.epoch == epoch) return;
    object.epoch = epoch;
    frozen->Save(object);
  }

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
