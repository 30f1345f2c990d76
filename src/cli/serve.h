// tenure serve: run a member.
#ifndef CLI_SERVE_H_
#define CLI_SERVE_H_

#include "cli/flags.h"

namespace tenure::cli {

// Returns the exit status, once a signal or the member itself ended it.
int RunServe(const ServeFlags& flags);

}  // namespace tenure::cli

#endif  // CLI_SERVE_H_
