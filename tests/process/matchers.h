// What tests of a program's words say again and again.
#ifndef TENURE_TESTS_PROCESS_MATCHERS_H_
#define TENURE_TESTS_PROCESS_MATCHERS_H_

#include "gmock/gmock.h"

namespace tenure::process {

// One line, for people: no stack trace, no library's chatter.
MATCHER(IsOneLine, "") { return arg.size() > 1 && arg.find('\n') == arg.size() - 1; }

}  // namespace tenure::process

#endif  // TENURE_TESTS_PROCESS_MATCHERS_H_
