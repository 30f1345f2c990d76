// `tenure once`: COMMAND completes at most once for its key.
#ifndef CLI_ONCE_H_
#define CLI_ONCE_H_

#include "cli/flags.h"

namespace tenure::cli {

int RunOnce(const OnceFlags& flags);

}  // namespace tenure::cli

#endif  // CLI_ONCE_H_
