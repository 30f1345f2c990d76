// Which version of the machine's rules is active, and when it rises: members of two versions of the
// program live together for as long as an upgrade takes, by the older one's rules.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "machine/codec.h"
#include "member/actor.h"

namespace tenure::member {
namespace {

template <typename Visit>
void ForEachServer(const raft::Configuration& configuration, Visit visit) {
  for (const auto* servers : {&configuration.voters, &configuration.learners}) {
    for (const raft::Server& server : *servers) visit(server.id);
  }
}

}  // namespace

void Actor::OnMachineVersion() {
  machine_version_ = machine_.version();
  bootstrap_.RequireVersion(std::max(machine_version_, proposed_version_));
}

absl::Status Actor::RaiseVersion(const raft::Entry& entry) {
  if (entry.payload == nullptr) return absl::DataLossError("it raises no version");
  const absl::StatusOr<std::uint32_t> version =
      machine::DecodeVersionRaise(*entry.payload, newest_version_);
  if (!version.ok()) return version.status();
  if (*version > machine_version_)
    Log(absl::StrCat("machine version ", *version, " is active: all members' programs have it"));
  machine_.RaiseVersion(*version);
  OnMachineVersion();
  return absl::OkStatus();
}

// A member that was started again may have another program, so all are asked again and again.
void Actor::AskForVersions() {
  if (!leading() || machine_version_ >= newest_version_) return;
  std::vector<std::string> names;
  ForEachServer(core_->configuration(), [&](const MemberId& id) {
    if (id != self_) names.push_back(id.name);
  });
  for (const std::string& name : names) DoBootstrap(bootstrap_.Greet(now_, name));
}

std::uint32_t Actor::VersionOf(const MemberId& id) const {
  return id == self_ ? newest_version_ : bootstrap_.MachineVersionOf(id, now_);
}

// In the log like a change of members, and never beside one: whoever joins later is measured by it.
void Actor::MaybeProposeVersion() {
  if (machine_version_ == 0 || machine_version_ >= newest_version_) return;
  std::uint32_t least = newest_version_;
  ForEachServer(core_->configuration(),
                [&](const MemberId& id) { least = std::min(least, VersionOf(id)); });
  if (least <= machine_version_) return;
  proposed_version_ = least;
  OnMachineVersion();
  raft::Propose propose;
  propose.kind = raft::EntryKind::kVersion;
  propose.payload = std::make_shared<const std::string>(machine::EncodeVersionRaise(least));
  propose.stamp_ns = core_->last_stamp_ns();
  Step(std::move(propose));
}

std::string Actor::VersionHeldBack() const {
  if (!leading() || machine_version_ == 0 || machine_version_ >= newest_version_) return "";
  std::vector<std::string> older;
  ForEachServer(core_->configuration(), [&](const MemberId& id) {
    if (VersionOf(id) < newest_version_) older.push_back(id.name);
  });
  if (older.empty()) return "";
  return absl::StrCat("machine version ", machine_version_, " stays active until the programs of ",
                      absl::StrJoin(older, ", "), " have version ", newest_version_, ", too");
}

}  // namespace tenure::member
