// `tenure break`: for administrators.
#ifndef CLI_BREAK_H_
#define CLI_BREAK_H_

#include "cli/flags.h"

namespace tenure::cli {

int RunBreak(const BreakFlags& flags);

}  // namespace tenure::cli

#endif  // CLI_BREAK_H_
