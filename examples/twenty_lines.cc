// README's twenty lines, as a program: prints a page under a lock, leads an election, and charges
// an order once.
//
//   twenty_lines memory:
//   twenty_lines tenure://127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403
#include <cstdio>

#include "tenure/tenure.h"

namespace {

tenure::FencingGate gate;  // the printer's own: it refuses lower tokens than it has seen

absl::Status PrintPage(tenure::Revision token) {
  absl::Status admitted = gate.Admit(token);
  if (admitted.ok()) std::printf("printed a page\n");
  return admitted;
}

bool ScheduleOneRound(tenure::Revision /*term*/) {
  static int round = 0;
  std::printf("scheduled round %d of 3\n", ++round);
  return round == 3;
}

absl::StatusOr<std::string> Charge(absl::string_view order, tenure::Revision /*token*/) {
  std::printf("charged %s\n", std::string(order).c_str());
  return "receipt for " + std::string(order);
}

// In README from here:
absl::Status Work(absl::string_view where, const std::string& order) {
  // "tenure://127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403", or "memory:" within one process
  absl::StatusOr<tenure::Coordinator> coordinator = tenure::Open(where);
  if (!coordinator.ok()) return coordinator.status();

  // A lock. The printer refuses whoever comes with an outdated token.
  absl::StatusOr<tenure::LockGuard> guard =
      coordinator->mutex("printer/3").Lock({.wait = absl::Seconds(5)});
  if (!guard.ok()) return guard.status();  // "... printer/3 was held by host-3:71 ..."
  if (absl::Status s = PrintPage(guard->token()); !s.ok()) return s;

  // An election. Valid() asks this machine's clocks, not the network.
  absl::StatusOr<tenure::Leadership> lead =
      coordinator->election("scheduler").Campaign({.value = "host-7:9000"});
  if (!lead.ok()) return lead.status();
  while (lead->Valid() && !ScheduleOneRound(lead->term())) continue;

  // An operation that happens once, whoever retries it, and answers the same to all.
  absl::StatusOr<std::string> receipt = coordinator->idempotency("orders").Execute(
      order, tenure::Fingerprint("10 EUR"),
      [&](tenure::Attempt& attempt) { return Charge(order, attempt.token()); });
  if (!receipt.ok()) return receipt.status();
  std::printf("%s\n", receipt->c_str());
  return guard->Unlock();
}
// To here.

}  // namespace

int main(int argc, char** argv) {
  const absl::Status status = Work(argc > 1 ? argv[1] : "memory:", "order 4711");
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
