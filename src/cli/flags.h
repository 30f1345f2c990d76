// What the command line says. Parsing touches nothing outside: no clock, no network, no output.
#ifndef CLI_FLAGS_H_
#define CLI_FLAGS_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"

namespace tenure::cli {

inline constexpr char kDefaultEndpoint[] = "127.0.0.1:7400";

struct ServeFlags {
  std::string id;
  std::string cluster;
  std::string listen;
  std::string data;  // a directory; empty: in memory
  bool strict_restart = false;
  bool assert_new = false;
  // No cluster was configured: one member, for development.
  bool development = false;
  absl::Duration election_timeout = absl::Milliseconds(300);  // the least; the most is twice that
  absl::Duration ttl_max = absl::Seconds(60);
};

// Of whatever runs COMMAND under a lease.
struct LeaseFlags {
  std::string endpoints;
  std::string name;
  absl::Duration wait = absl::Seconds(30);  // zero: try once
  absl::Duration ttl = absl::Seconds(10);
  absl::Duration grace = absl::Seconds(5);
  std::vector<std::string> command;
};

struct LockFlags : LeaseFlags {
  std::string value;
  bool shared = false;
  std::uint64_t permits = 0;  // of `total`; 0: it is a lock
  std::uint64_t total = 0;
};

struct OnceFlags : LeaseFlags {  // `name` is the key
  std::string scope;
  std::string fingerprint;
  absl::Duration retention = absl::Hours(24);
};

struct BreakFlags {
  enum class What { kLock, kElection, kKey };
  What what = What::kLock;
  std::string name;         // the key of kKey
  std::string scope;        // of kKey
  std::uint64_t token = 0;  // 0: whoever holds it
  bool delay = false;       // not a holder, but what a lock_delay holds back, of kLock
  std::string reason;
  std::string endpoints;
  absl::Duration timeout = absl::Seconds(5);
};

struct ElectFlags : LeaseFlags {
  ElectFlags() { wait = absl::InfiniteDuration(); }
  std::string value;
  std::uint32_t priority = 0;
};

struct WatchFlags {
  enum class What { kLock, kElection };
  What what = What::kLock;
  std::string name;
  std::uint64_t after = 0;  // a revision; 0: how things stand comes first
  std::string endpoints;
  absl::Duration timeout = absl::Seconds(5);  // of the first answer
};

struct StatusFlags {
  std::string endpoints;
  bool json = false;
  absl::Duration timeout = absl::Seconds(5);
};

struct InspectFlags {
  enum class What { kLocks, kLock, kSessions, kKeys, kKey, kElections, kElection };
  What what = What::kLocks;
  std::string name;   // of kLock and kElection; the key of kKey
  std::string scope;  // of kKeys and kKey
  std::string endpoints;
  bool json = false;
  absl::Duration timeout = absl::Seconds(5);
};

struct MemberFlags {
  enum class What { kList, kAdd, kRemove, kPromote, kTransfer };
  What what = What::kList;
  std::string name;     // of kTransfer: empty, the best
  std::string address;  // of kAdd
  std::string endpoints;
  bool json = false;
  absl::Duration timeout = absl::Seconds(30);
};

// There is nothing to do but to print `text`, to standard output if `status` is 0, and to end.
struct Ending {
  int status = 0;
  std::string text;
};

using Invocation = std::variant<Ending, ServeFlags, LockFlags, OnceFlags, ElectFlags, WatchFlags,
                                BreakFlags, StatusFlags, InspectFlags, MemberFlags>;

// `arguments` without the program's own name; `environment_endpoints` is what TENURE_ENDPOINTS
// says.
Invocation ParseArguments(const std::vector<std::string>& arguments,
                          const std::string& environment_endpoints);

}  // namespace tenure::cli

#endif  // CLI_FLAGS_H_
