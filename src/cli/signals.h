// Signals as something to poll for. Made before the process has threads, so that all of them leave
// these signals to it.
#ifndef CLI_SIGNALS_H_
#define CLI_SIGNALS_H_

#include <signal.h>
#include <sys/signalfd.h>

#include <initializer_list>

#include "cli/descriptor.h"

namespace tenure::cli {

class Signals {
 public:
  explicit Signals(std::initializer_list<int> signals) {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : signals) {
      // What nohup, or a shell's `trap ''`, told this process to ignore stays ignored: blocked, it
      // would be queued all the same.
      struct sigaction action = {};
      const bool ignored = sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
      if (signal == SIGCHLD || !ignored) sigaddset(&set, signal);
    }
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    descriptor_ = Descriptor(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  }

  int descriptor() const { return descriptor_.get(); }
  // The next signal that came, or 0.
  int Next() {
    signalfd_siginfo info;
    return read(descriptor_.get(), &info, sizeof(info)) == sizeof(info)
               ? static_cast<int>(info.ssi_signo)
               : 0;
  }

 private:
  Descriptor descriptor_;
};

}  // namespace tenure::cli

#endif  // CLI_SIGNALS_H_
