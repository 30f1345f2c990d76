#include "cli/member.h"

#include <cstdio>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/connection.h"
#include "cli/exit_status.h"
#include "cli/json.h"
#include "cli/status.h"
#include "tenure/coordinator.h"

namespace tenure::cli {
namespace {

absl::StatusOr<ClusterStatus> Ask(Coordinator& coordinator, const MemberFlags& flags) {
  switch (flags.what) {
    case MemberFlags::What::kList:
      break;
    case MemberFlags::What::kAdd:
      return coordinator.AddMember(flags.name, flags.address, flags.timeout);
    case MemberFlags::What::kRemove:
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
    Complain("member", status.status().message());
    return absl::IsInvalidArgument(status.status()) ? kExitUsage : kExitUnavailable;
  }
  const std::string text = flags.json ? StatusJson(*status) + "\n" : MemberTable(*status);
  std::fputs(text.c_str(), stdout);
  return kExitOk;
}

}  // namespace tenure::cli
