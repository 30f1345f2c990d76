// What a program can do with tenure::tenure alone: locks within one process, and members that reach
// each other in it.
#include <cstdio>
#include <memory>

#include "tenure/fencing.h"
#include "tenure/local.h"
#include "tenure/member.h"

namespace {

bool Failed(const char* what, const absl::Status& status) {
  if (!status.ok()) std::fprintf(stderr, "%s: %s\n", what, status.ToString().c_str());
  return !status.ok();
}

bool LocksExclude(tenure::Coordinator& coordinator) {
  absl::StatusOr<tenure::LockGuard> guard =
      coordinator.mutex("invoices/42").Lock({.wait = absl::Seconds(30)});
  if (Failed("Lock", guard.status())) return false;
  tenure::FencingGate gate;
  if (!guard->Valid() || Failed("Admit", gate.Admit(guard->token()))) return false;
  // Held: another session is refused.
  absl::StatusOr<tenure::Session> other = coordinator.OpenSession();
  if (Failed("OpenSession", other.status())) return false;
  if (other->mutex("invoices/42").TryLock().ok()) {
    std::fprintf(stderr, "the lock excludes nobody\n");
    return false;
  }
  return !Failed("Unlock", guard->Unlock());
}

}  // namespace

int main() {
  absl::StatusOr<tenure::Coordinator> local = tenure::OpenLocal();
  if (Failed("OpenLocal", local.status()) || !LocksExclude(*local)) return 1;

  const std::unique_ptr<tenure::InProcessNetwork> network = tenure::NewInProcessNetwork();
  absl::StatusOr<std::unique_ptr<tenure::Member>> member =
      tenure::Member::Start({.id = "n1", .cluster = "n1=a:1", .assert_new = true},
                            network->NewTransport(), tenure::NewMemoryStorage());
  if (Failed("Member::Start", member.status())) return 1;
  tenure::Coordinator replicated = (*member)->coordinator();
  return LocksExclude(replicated) ? 0 : 1;
}
