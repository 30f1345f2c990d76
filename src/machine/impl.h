// The inside of Machine: for machine.cc, and for snapshots.
#ifndef TENURE_MACHINE_IMPL_H_
#define TENURE_MACHINE_IMPL_H_

#include <cstdint>

#include "machine/core.h"
#include "machine/locks.h"
#include "machine/machine.h"
#include "machine/sessions.h"

namespace tenure::machine {

// Dispatches commands to the tables and sees to what all commands have in common. A new table is
// one more member here, which hangs what it keeps for a session on that session.
class Machine::Impl {
 public:
  Impl() : sessions(&core), locks(&core, &sessions) {}
  ~Impl();

  void PassTime(std::int64_t stamp_ns);
  void Run(const Command& command, Reply& reply);

  Core core;
  Sessions sessions;
  Locks locks;
  SnapshotReader* reader = nullptr;  // the one that is frozen; never more than one

 private:
  void RunInSession(const Command& command, Reply& reply);
  void RunOnce(Session& session, const Command& command, Reply& reply);
  void Execute(Session& session, const Command& command, Reply& reply);
  void Cancel(Session& session, const CancelWait& cancel, Reply& reply);
  void AnswerForDead(const Session& session, const Command& command, Reply& reply) const;
  void CleanUp();
};

}  // namespace tenure::machine

#endif  // TENURE_MACHINE_IMPL_H_
