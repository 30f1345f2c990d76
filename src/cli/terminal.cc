#include "cli/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

namespace tenure::cli {

bool Terminal::Lend() {
  if (!tty_.open()) tty_ = Descriptor(open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!tty_.open() || tcgetpgrp(tty_.get()) != getpgrp()) return false;
  lent_ = tcsetpgrp(tty_.get(), group_) == 0;
  return lent_;
}

void Terminal::TakeBack() {
  if (!lent_) return;
  lent_ = false;
  // From the background, this would stop us.
  sigset_t ttou;
  sigset_t before;
  sigemptyset(&ttou);
  sigaddset(&ttou, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &ttou, &before);
  if (tcgetpgrp(tty_.get()) == group_) tcsetpgrp(tty_.get(), getpgrp());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace tenure::cli
