// What a program can do with tenure::all: open by URI, and reach the parts that were built.
#include <cstdio>

#include "tenure/tenure.h"

int main() {
  absl::StatusOr<tenure::Coordinator> coordinator = tenure::Open("memory:");
  if (!coordinator.ok()) {
    std::fprintf(stderr, "Open: %s\n", coordinator.status().ToString().c_str());
    return 1;
  }
  absl::StatusOr<tenure::LockGuard> guard = coordinator->mutex("invoices/42").TryLock();
  if (!guard.ok()) {
    std::fprintf(stderr, "TryLock: %s\n", guard.status().ToString().c_str());
    return 1;
  }
  // Opening waits for nobody, so that no cluster needs to be there; the remote backend must be.
  absl::StatusOr<tenure::Coordinator> remote = tenure::Open("tenure://127.0.0.1:9");
  if (!remote.ok()) {
    std::fprintf(stderr, "Open of a remote cluster: %s\n", remote.status().ToString().c_str());
    return 1;
  }
  return guard->Unlock().ok() ? 0 : 1;
}
