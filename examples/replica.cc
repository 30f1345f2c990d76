// A service that is its own cluster: each of its copies runs a member, and what only one of them
// may do at a time it does under a lock.
//
//   replica n1 n1=127.0.0.1:7401,n2=127.0.0.1:7402,n3=127.0.0.1:7403 new      (and n2, and n3)
#include <cstdio>
#include <memory>
#include <string>

#include "tenure/tenure.h"

namespace {

absl::Status Serve(const std::string& id, const std::string& cluster, bool all_new) {
  // In README from here:
  absl::StatusOr<std::unique_ptr<tenure::Member>> member = tenure::StartMember({
      .id = id,               // "n1"
      .cluster = cluster,     // "n1=10.0.0.1:7400,n2=10.0.0.2:7400,n3=10.0.0.3:7400"
      .assert_new = all_new,  // if not, it waits for holders of an earlier cluster: one minute
  });
  if (!member.ok()) return member.status();
  tenure::Coordinator coordinator = (*member)->coordinator();
  // To here.

  absl::StatusOr<tenure::LockGuard> guard =
      coordinator.mutex("nightly-report").Lock({.wait = absl::Minutes(2), .value = id});
  if (!guard.ok()) return guard.status();
  std::printf("%s writes the report, token %s\n", id.c_str(),
              std::to_string(guard->token()).c_str());
  std::fflush(stdout);
  absl::Status unlocked = guard->Unlock();
  if (!unlocked.ok()) return unlocked;
  // It serves until its standard input ends.
  while (std::getchar() != EOF) {
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: replica ID ID=HOST:PORT,... [new]\n");
    return 64;
  }
  const absl::Status status = Serve(argv[1], argv[2], /*all_new=*/argc > 3);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
