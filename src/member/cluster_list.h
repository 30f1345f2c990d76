// The static list of members that each of them is started with.
#ifndef TENURE_MEMBER_CLUSTER_LIST_H_
#define TENURE_MEMBER_CLUSTER_LIST_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tenure/transport.h"

namespace tenure::member {

// Whether it is host:port: a name, a number, or one of version 6 in brackets, and 1 to 65535.
bool IsAddress(absl::string_view address);

// Parses "n1=10.0.0.1:7400,n2=10.0.0.2:7400": one to seven members, sorted by name. Errors say what
// to do.
absl::StatusOr<std::vector<Peer>> ParseClusterList(absl::string_view text);

// Equal on members that were given the same list, in whatever order. Not a secret, not for
// security.
std::uint64_t ClusterListDigest(absl::Span<const Peer> sorted);

}  // namespace tenure::member

#endif  // TENURE_MEMBER_CLUSTER_LIST_H_
