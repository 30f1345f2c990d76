// tenure member: who takes part.
#ifndef CLI_MEMBER_H_
#define CLI_MEMBER_H_

#include "cli/flags.h"

namespace tenure::cli {

// Returns the exit status.
int RunMember(const MemberFlags& flags);

}  // namespace tenure::cli

#endif  // CLI_MEMBER_H_
