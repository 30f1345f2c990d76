// tenure lock: run COMMAND while holding a lock.
#ifndef CLI_LOCK_H_
#define CLI_LOCK_H_

#include "cli/flags.h"

namespace tenure::cli {

// Call before the process has threads. Returns the exit status.
int RunLock(const LockFlags& flags);

}  // namespace tenure::cli

#endif  // CLI_LOCK_H_
