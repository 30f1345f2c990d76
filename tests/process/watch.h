// What tests see of other processes, which tell nobody what happens in them: they look again and
// again until it has.
#ifndef TENURE_TESTS_PROCESS_WATCH_H_
#define TENURE_TESTS_PROCESS_WATCH_H_

#include <poll.h>
#include <sys/types.h>

#include <fstream>
#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tenure/loop.h"

namespace tenure::process {

// False if it does not come true within `limit`: only then does it take long.
[[nodiscard]] inline bool Eventually(const std::function<bool()>& condition,
                                     absl::Duration limit = absl::Seconds(30)) {
  const Instant until = ReadMonotonicClocks() + limit;
  while (!condition()) {
    if (ReadMonotonicClocks().Reached(until)) return false;
    poll(nullptr, 0, 5);
  }
  return true;
}

// A letter as in ps: R, S, T (stopped), Z (over, not yet reaped), ...; 0 if there is none.
inline char StateOf(pid_t pid) {
  std::ifstream stat(absl::StrCat("/proc/", pid, "/stat"));
  std::string line;
  if (!std::getline(stat, line)) return 0;
  const size_t name_end = line.rfind(')');
  return name_end == std::string::npos || name_end + 2 >= line.size() ? '\0' : line[name_end + 2];
}

inline bool Alive(pid_t pid) {
  const char state = StateOf(pid);
  return state != 0 && state != 'Z' && state != 'X';
}

}  // namespace tenure::process

#endif  // TENURE_TESTS_PROCESS_WATCH_H_
