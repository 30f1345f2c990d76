// What a program can do with tenure::all: open by URI, run a member, and reach the parts that were
// built.
#include <cstdio>
#include <memory>

#include "tenure/tenure.h"

namespace {

bool Failed(const char* what, const absl::Status& status) {
  if (!status.ok()) std::fprintf(stderr, "%s: %s\n", what, status.ToString().c_str());
  return !status.ok();
}

bool TakesALock(tenure::Coordinator& coordinator) {
  absl::StatusOr<tenure::LockGuard> guard =
      coordinator.mutex("invoices/42").Lock({.wait = absl::Seconds(30)});
  return !Failed("Lock", guard.status()) && !Failed("Unlock", guard->Unlock());
}

}  // namespace

int main() {
  absl::StatusOr<tenure::Coordinator> memory = tenure::Open("memory:");
  if (Failed("Open(memory:)", memory.status()) || !TakesALock(*memory)) return 1;

  // A cluster of one, over gRPC, on a port that the system chooses.
  absl::StatusOr<std::unique_ptr<tenure::Member>> member = tenure::StartMember(
      {.id = "n1", .cluster = "n1=127.0.0.1:7400", .listen = "127.0.0.1:0", .assert_new = true});
  if (Failed("StartMember", member.status())) return 1;
  tenure::Coordinator inside = (*member)->coordinator();
  if (!TakesALock(inside)) return 1;
  absl::StatusOr<tenure::Coordinator> remote = tenure::Open("tenure://" + (*member)->address());
  if (Failed("Open(tenure://...)", remote.status()) || !TakesALock(*remote)) return 1;
  return 0;
}
