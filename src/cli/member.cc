#include "cli/member.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/connection.h"
#include "cli/exit_status.h"
#include "cli/json.h"
#include "cli/status.h"
#include "tenure/coordinator.h"

namespace tenure::cli {
namespace {

constexpr absl::Duration kNotePatience = absl::Seconds(2);

// A removal may be repeated, so nothing is wrong then; but a name may have been mistyped.
void NoteIfAbsent(const MemberFlags& flags) {
  const absl::StatusOr<ClusterStatus> status =
      AskStatus(flags.endpoints, std::min(flags.timeout, kNotePatience));
  if (!status.ok() || status->leader.empty()) return;
  std::vector<std::string> names;
  for (const MemberStatus& member : status->members) names.push_back(member.id.name);
  if (std::find(names.begin(), names.end(), flags.name) != names.end()) return;
  Complain("member", absl::StrCat("no member is named ", flags.name,
                                  ", so there is nothing to remove; the members are ",
                                  absl::StrJoin(names, ", ")));
}

absl::StatusOr<ClusterStatus> Ask(Coordinator& coordinator, const MemberFlags& flags) {
  switch (flags.what) {
    case MemberFlags::What::kList:
      break;
    case MemberFlags::What::kAdd:
      return coordinator.AddMember(flags.name, flags.address, flags.timeout);
    case MemberFlags::What::kRemove:
      NoteIfAbsent(flags);
      return coordinator.RemoveMember(flags.name, flags.timeout);
    case MemberFlags::What::kPromote:
      return coordinator.PromoteMember(flags.name, flags.timeout);
    case MemberFlags::What::kTransfer:
      return coordinator.TransferLeadership(flags.name, flags.timeout);
  }
  return AskStatus(flags.endpoints, flags.timeout);
}

}  // namespace

int RunMember(const MemberFlags& flags) {
  absl::StatusOr<Coordinator> coordinator = ConnectTo(flags.endpoints);
  if (!coordinator.ok()) {
    Complain("member", coordinator.status().message());
    return ExitStatusFor(coordinator.status());
  }
  const absl::StatusOr<ClusterStatus> status = Ask(*coordinator, flags);
  if (!status.ok()) {
    std::string text(status.status().message());
    if (flags.what == MemberFlags::What::kAdd && !absl::IsInvalidArgument(status.status())) {
      absl::StrAppend(&text, "; ", flags.name, " has to run at ", flags.address,
                      ", with a --cluster that has it and the others");
    }
    Complain("member", text);
    return absl::IsInvalidArgument(status.status()) ? kExitUsage : kExitUnavailable;
  }
  const std::string text = flags.json ? StatusJson(*status) + "\n" : MemberTable(*status);
  std::fputs(text.c_str(), stdout);
  return kExitOk;
}

}  // namespace tenure::cli
