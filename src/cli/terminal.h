// Lends the terminal to COMMAND's process group.
//
// COMMAND starts in the background of `tenure`'s own group: ^C reaches whoever shares that group, a
// script or a pager, as without `tenure`, and is passed on. Only a COMMAND that wants to read the
// terminal, which the kernel answers with SIGTTIN or SIGTTOU, gets to be its foreground.
#ifndef CLI_TERMINAL_H_
#define CLI_TERMINAL_H_

#include <sys/types.h>

#include "cli/descriptor.h"

namespace tenure::cli {

class Terminal {
 public:
  explicit Terminal(pid_t group) : group_(group) {}
  ~Terminal() { TakeBack(); }

  // False if this process is not in the foreground itself: there is nothing to lend.
  bool Lend();
  void TakeBack();
  bool lent() const { return lent_; }

 private:
  pid_t group_;
  Descriptor tty_;
  bool lent_ = false;
};

}  // namespace tenure::cli

#endif  // CLI_TERMINAL_H_
