// A consumer of messages that are delivered at least once: each is worked on to its end once, over
// all consumers, however often it is delivered.
//
//   consumer tenure://127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403 NAME < MESSAGES
//
// A message is a line: its id, a blank, and its body. A consumer that dies in the middle of one
// leaves it to the next delivery, which goes on where that one was. For the tests, the body "crash"
// ends the process there, once.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "tenure/tenure.h"

namespace {

// Two steps, of which the first must not be done twice: how far it came stands in the record.
absl::StatusOr<std::string> Work(const std::string& name, const std::string& id,
                                 const std::string& body, tenure::Attempt& attempt) {
  if (attempt.recovery_point().empty()) {
    std::printf("%s reserves for %s\n", name.c_str(), id.c_str());
    std::fflush(stdout);
    if (absl::Status kept = attempt.Checkpoint("reserved"); !kept.ok()) return kept;
    if (body == "crash") std::_Exit(1);
  }
  std::printf("%s ships %s\n", name.c_str(), id.c_str());
  std::fflush(stdout);
  return absl::StrCat("shipped by ", name);
}

}  // namespace

int main(int argc, char** argv) {
  absl::StatusOr<tenure::Coordinator> coordinator =
      tenure::Open(argc > 1 ? argv[1] : "memory:", {.session = {.ttl = absl::Seconds(2)}});
  if (!coordinator.ok()) {
    std::fprintf(stderr, "%s\n", coordinator.status().ToString().c_str());
    return 64;
  }
  const std::string name = argc > 2 ? argv[2] : "consumer";
  tenure::IdempotencyStore messages = coordinator->idempotency("orders");
  for (std::string line; std::getline(std::cin, line);) {
    const std::string id = line.substr(0, line.find(' '));
    const std::string body = line.substr(std::min(line.size(), id.size() + 1));
    const absl::StatusOr<std::string> done =
        messages.Execute(id, tenure::Fingerprint(body),
                         [&](tenure::Attempt& attempt) { return Work(name, id, body, attempt); });
    if (!done.ok()) {
      // Not acknowledged: it is delivered again.
      std::fprintf(stderr, "%s: %s\n", id.c_str(), done.status().ToString().c_str());
      return 1;
    }
    std::printf("%s acknowledges %s, %s\n", name.c_str(), id.c_str(), done->c_str());
    std::fflush(stdout);
  }
  return 0;
}
