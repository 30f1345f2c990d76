#include "cli/status.h"

#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/connection.h"
#include "cli/exit_status.h"
#include "cli/json.h"
#include "cli/outcome.h"
#include "cli/table.h"
#include "tenure/backend.h"
#include "tenure/command.h"
#include "tenure/coordinator.h"
#include "tenure/loop.h"

namespace tenure::cli {
namespace {

// How long the others may take once one has answered that does not lead.
constexpr absl::Duration kOthersPatience = absl::Milliseconds(500);

// Asks several members at once and takes the word of the leader, who alone knows whom it reaches;
// failing that, of whoever knows of a leader, or kept its memory. A member that is asked alone
// tells what it sees.
class Survey {
 public:
  Survey(const std::string& endpoints, absl::Duration timeout)
      : endpoints_(endpoints), timeout_(timeout), until_(ReadMonotonicClocks() + timeout) {}

  absl::StatusOr<ClusterStatus> Result() {
    for (const absl::string_view endpoint : absl::StrSplit(endpoints_, ',')) {
      if (absl::Status status = Ask(std::string(endpoint)); !status.ok()) return status;
    }
    const bool several = asked_.size() > 1;
    std::optional<ClusterStatus> best;
    absl::Status trouble = absl::UnavailableError("no answer");
    while (std::optional<absl::StatusOr<Reply>> answer = Next()) {
      ClusterStatus* const status =
          answer->ok() ? std::get_if<ClusterStatus>(&(*answer)->result) : nullptr;
      if (status == nullptr) {
        if (!answer->ok()) trouble = answer->status();
        continue;
      }
      if (status->leader == status->answered_by && !status->leader.empty()) return *status;
      if (!best.has_value() || Worth(*best) < Worth(*status)) best = std::move(*status);
      if (!several) break;
      until_ = Instant::Earlier(until_, ReadMonotonicClocks() + kOthersPatience);
      for (const MemberStatus& member : best->members) {
        if (member.id == best->leader) Ask(member.address).IgnoreError();
      }
    }
    if (best.has_value()) return *best;
    return trouble;
  }

 private:
  struct Asked {
    std::string endpoint;
    Coordinator coordinator;
    Outcome<absl::StatusOr<Reply>> answer;
    bool heard = false;
  };

  absl::Status Ask(const std::string& endpoint) {
    for (const Asked& asked : asked_) {
      if (asked.endpoint == endpoint) return absl::OkStatus();
    }
    absl::StatusOr<Coordinator> coordinator = ConnectTo(endpoint);
    if (!coordinator.ok()) return coordinator.status();
    Asked& asked = asked_.emplace_back(Asked{endpoint, *std::move(coordinator), {}});
    Command command;
    command.operation = GetStatus{};
    asked.coordinator.backend()->Call(std::move(command), {.timeout = timeout_},
                                      asked.answer.callback());
    return absl::OkStatus();
  }

  // Without a leader, one that kept its memory knows more than one that starts anew.
  static int Worth(const ClusterStatus& status) {
    if (!status.leader.empty()) return 2;
    for (const MemberStatus& member : status.members) {
      if (member.id == status.answered_by)
        return member.role == "follower" || member.role == "candidate" ? 1 : 0;
    }
    return 0;
  }

  // The next answer to come; nothing when all have answered or the time is over.
  std::optional<absl::StatusOr<Reply>> Next() {
    while (true) {
      std::vector<pollfd> ready;
      for (Asked& asked : asked_) {
        if (asked.heard) continue;
        if (std::optional<absl::StatusOr<Reply>> answer = asked.answer.Take(0)) {
          asked.heard = true;
          return answer;
        }
        ready.push_back({asked.answer.descriptor(), POLLIN, 0});
      }
      // A little longer than each call's own time, so that its error is heard.
      const absl::Duration left =
          absl::Nanoseconds(-ReadMonotonicClocks().LeaderElapsedNs(until_)) +
          absl::Milliseconds(100);
      if (ready.empty() || left <= absl::ZeroDuration()) return std::nullopt;
      const absl::Duration turn = std::min(left, absl::Seconds(1));
      poll(ready.data(), ready.size(), static_cast<int>(absl::ToInt64Milliseconds(turn)) + 1);
    }
  }

  const std::string& endpoints_;
  const absl::Duration timeout_;
  Instant until_;
  std::vector<Asked> asked_;
};

std::string WhetherToStopOne(const ClusterStatus& status) {
  if (status.may_stop_one) return "Another member may be stopped.\n";
  if (!status.leader.empty() && status.leader != status.answered_by) {
    return absl::StrCat("Whether a member may be stopped is for the leader to say: ask ",
                        status.leader.name, ".\n");
  }
  return "No member may be stopped without losing the quorum.\n";
}

std::string ForPeople(const ClusterStatus& status) {
  std::string text = absl::StrCat(
      "leader    ", status.leader.empty() ? "none" : status.leader.name, "\nterm      ",
      status.term, "\nrevision  ", status.revision, "\ncommit    ", status.commit, "\napplied   ",
      status.applied, "\nsessions  ", status.sessions, "\nlocks     ", status.locks, "\nlog       ",
      status.log_bytes, " bytes\ncluster   ",
      status.cluster.empty() ? "not begun" : status.cluster.ToString(), "\n");
  absl::StrAppend(&text, WhetherToStopOne(status));
  if (!status.message.empty()) absl::StrAppend(&text, status.message, "\n");
  return absl::StrCat(text, "\n", MemberTable(status), "as ", status.answered_by.name,
                      " sees it\n");
}

}  // namespace

std::string MemberTable(const ClusterStatus& status) {
  std::vector<std::vector<std::string>> rows = {
      {"MEMBER", "ADDRESS", "ROLE", "REACHABLE", "APPLIED"}};
  const bool leads = !status.leader.empty() && status.leader == status.answered_by;
  for (const MemberStatus& member : status.members) {
    // Only a leader knows how the others do; and before there is one, who is there.
    const bool known = member.role != "unknown";
    const bool seen = known || status.cluster.empty();
    // Of one that it has never heard, a leader knows nothing.
    const bool counted =
        (leads && (member.reachable || member.applied > 0)) || member.id == status.answered_by;
    rows.push_back({member.id.name, member.address, known ? member.role : "-",
                    !seen              ? "-"
                    : member.reachable ? "yes"
                                       : "no",
                    counted ? absl::StrCat(member.applied) : "-"});
  }
  return Table(rows);
}

absl::StatusOr<ClusterStatus> AskStatus(const std::string& endpoints, absl::Duration timeout) {
  return Survey(endpoints, timeout).Result();
}

int RunStatus(const StatusFlags& flags) {
  const absl::StatusOr<ClusterStatus> status = AskStatus(flags.endpoints, flags.timeout);
  if (!status.ok()) {
    if (status.status().code() == absl::StatusCode::kInvalidArgument) {
      Complain("status", status.status().message());
      return kExitUsage;
    }
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
