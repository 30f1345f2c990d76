#include "cli/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "cli/exit_status.h"

namespace tenure::cli {

void ReserveStandardStreams() {
  for (int fd = 0; fd < 3; ++fd) {
    if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    // The lowest number that is free, which is this one. The wrong way round: input cannot be
    // read, and output not written.
    const int flags = (fd == 0 ? O_WRONLY : O_RDONLY) | O_CLOEXEC;
    if (open("/dev/null", flags) != fd) _exit(kExitCannotRun);
  }
}

}  // namespace tenure::cli
