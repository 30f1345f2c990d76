#include "member/cluster_list.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tenure/member_options.h"

namespace tenure {
namespace member {
namespace {

constexpr std::size_t kMembersMax = 7;
constexpr std::size_t kNameMax = 64;

bool IsName(absl::string_view name) {
  return !name.empty() && name.size() <= kNameMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' ||
                  c == '.';
         });
}

// A name or a number; of version 6 in brackets.
bool IsHost(absl::string_view host) {
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  return !host.empty() && std::all_of(host.begin(), host.end(), [bracketed](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' ||
           (bracketed && (c == ':' || c == '%'));
  });
}

}  // namespace

bool IsAddress(absl::string_view address) {
  const std::size_t colon = address.rfind(':');
  int port = 0;
  return colon != absl::string_view::npos && IsHost(address.substr(0, colon)) &&
         absl::SimpleAtoi(address.substr(colon + 1), &port) && port >= 1 && port <= 65535;
}

absl::StatusOr<std::vector<Peer>> ParseClusterList(absl::string_view text) {
  constexpr absl::string_view kShape = "write it as n1=host:port,n2=host:port,n3=host:port";
  std::vector<Peer> members;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    part = absl::StripAsciiWhitespace(part);
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    if (!absl::StrContains(part, '=')) {
      return absl::InvalidArgumentError(
          absl::StrCat("the cluster's list has \"", part, "\" in it; ", kShape));
    }
    if (!IsName(pair.first)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", pair.first,
          "\" is no name for a member: use 1 to 64 letters, digits, '-', '_' or '.'; ", kShape));
    }
    if (!IsAddress(pair.second)) {
      return absl::InvalidArgumentError(
          absl::StrCat("member ", pair.first, " has the address \"", pair.second,
                       "\", which is not host:port with a port from 1 to 65535; ", kShape));
    }
    members.push_back({std::string(pair.first), std::string(pair.second)});
  }
  if (members.size() > kMembersMax) {
    return absl::InvalidArgumentError(absl::StrCat("the cluster's list has ", members.size(),
                                                   " members; at most ", kMembersMax,
                                                   " are supported"));
  }
  std::sort(members.begin(), members.end(),
            [](const Peer& a, const Peer& b) { return a.name < b.name; });
  for (std::size_t i = 0; i < members.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (members[i].name == members[j].name) {
        return absl::InvalidArgumentError(
            absl::StrCat("the cluster's list names ", members[i].name,
                         " twice: give each member a name of its own"));
      }
      if (members[i].address == members[j].address) {
        return absl::InvalidArgumentError(absl::StrCat(
            "the cluster's list gives ", members[j].name, " and ", members[i].name,
            " the same address ", members[i].address, ": give each an address of its own"));
      }
    }
  }
  return members;
}

std::uint64_t ClusterListDigest(absl::Span<const Peer> sorted) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto mix = [&hash](absl::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    hash = (hash ^ 0xff) * 0x100000001b3;
  };
  for (const Peer& peer : sorted) {
    mix(peer.name);
    mix(peer.address);
  }
  return hash;
}

}  // namespace member

absl::Status ValidateMemberOptions(const MemberOptions& options) {
  const absl::StatusOr<std::vector<Peer>> members = member::ParseClusterList(options.cluster);
  if (!members.ok()) return members.status();
  if (std::none_of(members->begin(), members->end(),
                   [&](const Peer& peer) { return peer.name == options.id; })) {
    return absl::InvalidArgumentError(
        absl::StrCat("this member's id is \"", options.id, "\", which the cluster's list \"",
                     options.cluster, "\" does not name: give it one of those, or name it there"));
  }
  if (options.heartbeat_interval <= absl::ZeroDuration() ||
      options.election_timeout_min < 2 * options.heartbeat_interval ||
      options.election_timeout_max <= options.election_timeout_min ||
      options.election_timeout_max > absl::Minutes(10)) {
    return absl::InvalidArgumentError(
        "the election timeout's minimum must be at least two heartbeat intervals, and below its "
        "maximum, which is ten minutes at most");
  }
  if (options.ttl_max < absl::Seconds(1) || options.ttl_max > absl::Hours(24)) {
    return absl::InvalidArgumentError("ttl_max must be between one second and one day");
  }
  if (!(options.clock_drift_max >= 0 && options.clock_drift_max <= 0.2)) {
    return absl::InvalidArgumentError("clock_drift_max must be between 0 and 0.2");
  }
  if (options.commands_pending_max < 10 || options.log_bytes_max < (1 << 16)) {
    return absl::InvalidArgumentError(
        "commands_pending_max must be at least 10, log_bytes_max at least 65536");
  }
  return absl::OkStatus();
}

}  // namespace tenure
