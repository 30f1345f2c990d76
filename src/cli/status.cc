#include "cli/status.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/connection.h"
#include "cli/exit_status.h"
#include "cli/json.h"
#include "cli/table.h"
#include "tenure/coordinator.h"

namespace tenure::cli {
namespace {

constexpr absl::Duration kLeaderAnswers = absl::Seconds(1);

std::string ForPeople(const ClusterStatus& status) {
  std::string text = absl::StrCat(
      "leader    ", status.leader.empty() ? "none" : status.leader.name, "\nterm      ",
      status.term, "\nrevision  ", status.revision, "\ncommit    ", status.commit, "\napplied   ",
      status.applied, "\nsessions  ", status.sessions, "\nlocks     ", status.locks, "\nlog       ",
      status.log_bytes, " bytes\ncluster   ",
      status.cluster.empty() ? "not begun" : status.cluster.ToString(), "\n");
  absl::StrAppend(&text, status.may_stop_one
                             ? "Another member may be stopped.\n"
                             : "No member may be stopped without losing the quorum.\n");
  if (status.held_back_ns > 0) {
    absl::StrAppend(&text, "A new cluster: it grants nothing for another ",
                    absl::FormatDuration(absl::Nanoseconds(status.held_back_ns)), ".\n");
  }
  if (!status.message.empty()) absl::StrAppend(&text, status.message, "\n");
  return absl::StrCat(text, "\n", MemberTable(status), "as ", status.answered_by.name,
                      " sees it\n");
}

}  // namespace

std::string MemberTable(const ClusterStatus& status) {
  std::vector<std::vector<std::string>> rows = {
      {"MEMBER", "ADDRESS", "ROLE", "REACHABLE", "APPLIED"}};
  for (const MemberStatus& member : status.members) {
    rows.push_back({member.id.name, member.address, member.role, member.reachable ? "yes" : "no",
                    absl::StrCat(member.applied)});
  }
  return Table(rows);
}

absl::StatusOr<ClusterStatus> AskStatus(Coordinator& coordinator, absl::Duration timeout) {
  absl::StatusOr<ClusterStatus> status = coordinator.Status(timeout);
  if (!status.ok() || status->leader.empty() || status->answered_by == status->leader)
    return status;
  for (const MemberStatus& member : status->members) {
    if (member.id != status->leader) continue;
    absl::StatusOr<Coordinator> leader = ConnectTo(member.address);
    if (!leader.ok()) break;
    absl::StatusOr<ClusterStatus> better = leader->Status(std::min(timeout / 2, kLeaderAnswers));
    if (better.ok()) return better;
  }
  return status;
}

int RunStatus(const StatusFlags& flags) {
  absl::StatusOr<Coordinator> coordinator = ConnectTo(flags.endpoints);
  if (!coordinator.ok()) {
    Complain("status", coordinator.status().message());
    return ExitStatusFor(coordinator.status());
  }
  const absl::StatusOr<ClusterStatus> status = AskStatus(*coordinator, flags.timeout);
  if (!status.ok()) {
    Complain("status",
             absl::StrCat("no answer from ", flags.endpoints, " within ",
                          absl::FormatDuration(flags.timeout), ": ", status.status().message()));
    return kExitUnavailable;
  }
  const std::string text = flags.json ? StatusJson(*status) + "\n" : ForPeople(*status);
  std::fputs(text.c_str(), stdout);
  return kExitOk;
}

}  // namespace tenure::cli
