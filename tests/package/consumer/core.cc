// What a program can do with tenure::tenure alone: locks within one process.
#include <cstdio>

#include "tenure/local.h"

int main() {
  absl::StatusOr<tenure::Coordinator> coordinator = tenure::OpenLocal();
  if (!coordinator.ok()) {
    std::fprintf(stderr, "OpenLocal: %s\n", coordinator.status().ToString().c_str());
    return 1;
  }
  absl::StatusOr<tenure::LockGuard> guard =
      coordinator->mutex("invoices/42").Lock({.wait = absl::Seconds(5)});
  if (!guard.ok()) {
    std::fprintf(stderr, "Lock: %s\n", guard.status().ToString().c_str());
    return 1;
  }
  if (!guard->Valid() || guard->token() == 0) {
    std::fprintf(stderr, "a fresh guard is not valid\n");
    return 1;
  }
  // Held: another session is refused.
  absl::StatusOr<tenure::Session> other = coordinator->OpenSession();
  if (!other.ok() || other->mutex("invoices/42").TryLock().ok()) {
    std::fprintf(stderr, "the lock excludes nobody\n");
    return 1;
  }
  return guard->Unlock().ok() ? 0 : 1;
}
