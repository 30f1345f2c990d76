// README's twenty lines, as a program: prints a page while it holds the lock.
//
//   print_under_lock memory:
//   print_under_lock tenure://127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403
#include <cstdio>

#include "tenure/tenure.h"

namespace {

// One of the three pages; true after the last.
bool PrintOnePage() {
  static int page = 0;
  std::printf("page %d of 3\n", ++page);
  return page == 3;
}

// In README from here:
absl::Status PrintAll(absl::string_view where, tenure::FencingGate& printer) {
  // "tenure://127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403", or "memory:" within one process
  absl::StatusOr<tenure::Coordinator> coordinator = tenure::Open(where);
  if (!coordinator.ok()) return coordinator.status();

  absl::StatusOr<tenure::LockGuard> guard =
      coordinator->mutex("printer/3").Lock({.wait = absl::Seconds(5), .value = "page 42"});
  if (!guard.ok()) return guard.status();  // "printer/3 is held by host-3:71 ... for 2.1 s"

  while (guard->Valid()) {  // this machine's clocks, no network
    // The printer refuses whoever is outdated.
    if (absl::Status s = printer.Admit(guard->token()); !s.ok()) return s;
    if (PrintOnePage()) break;
  }
  return guard->Unlock();
}
// To here.

}  // namespace

int main(int argc, char** argv) {
  tenure::FencingGate printer;  // the printer's own: it refuses lower tokens than it has seen
  const absl::Status status = PrintAll(argc > 1 ? argv[1] : "memory:", printer);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
