#include "cli/json.h"

#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "cli/kept_output.h"
#include "nlohmann/json.hpp"

namespace tenure::cli {
namespace {

using Json = nlohmann::ordered_json;

double Seconds(std::int64_t ns) { return static_cast<double>(ns) / 1e9; }

// Names and values are bytes; what is not UTF-8 in them is shown as U+FFFD.
std::string Text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json HolderObject(const LockHolder& holder) {
  return {{"session", holder.session},
          {"token", holder.token},
          {"label", holder.label},
          {"value", holder.value},
          {"held_seconds", Seconds(holder.held_ns)},
          {"owner", holder.owner},
          {"permits", holder.permits}};
}

Json ChangeObject(const char* event, const Change& change) {
  return {{"event", event},
          {"revision", change.revision},
          {"token", change.token},
          {"session", change.session},
          {"label", change.label},
          {"value", change.value},
          {"cluster_time_seconds", Seconds(change.at_ns)}};
}

Json BrokenObject(const BreakRecord& broken) {
  if (broken.revision == 0) return nullptr;
  return {{"revision", broken.revision},
          {"token", broken.token},
          {"session", broken.session},
          {"label", broken.label},
          {"by", broken.by},
          {"seconds_ago", Seconds(broken.ago_ns)}};
}

const char* ModeName(LockMode mode) {
  switch (mode) {
    case LockMode::kExclusive:
      return "exclusive";
    case LockMode::kShared:
      return "shared";
    case LockMode::kPermits:
      return "permits";
  }
  return "unknown";
}

const char* EventOf(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kGranted:
      return "granted";
    case ChangeKind::kValue:
      return "value";
    case ChangeKind::kReleased:
      return "released";
    case ChangeKind::kHandedOver:
      return "handed_over";
    case ChangeKind::kLost:
      return "lost";
    case ChangeKind::kBroken:
      return "broken";
  }
  return "unknown";
}

Json KeyObject(const OperationDescription& key) {
  const bool attempted = key.holder.session != 0;
  const auto seconds = [](std::int64_t ns) {
    return ns == kWaitForever ? Json(nullptr) : Json(Seconds(ns));
  };
  return {{"scope", key.scope},
          {"key", key.key},
          {"state", NameOf(key.state)},
          {"holder", attempted ? HolderObject(key.holder) : Json(nullptr)},
          {"attempts", key.attempts},
          {"attempt_ends_in_seconds", seconds(key.ends_in_ns)},
          {"expires_in_seconds", seconds(key.expires_in_ns)},
          {"waiting", key.waiting},
          {"lock", key.lock}};
}

// As a list has it: how many share it or wait, not who.
Json LockObject(const LockDescription& lock) {
  return {{"name", lock.name},
          {"held", lock.holder.session != 0},
          {"holder", lock.holder.session != 0 ? HolderObject(lock.holder) : Json(nullptr)},
          {"shares", lock.shares},
          {"permits", lock.permits},
          {"total", lock.total},
          {"waiting", lock.waiting},
          {"held_back_seconds", Seconds(lock.delay_left_ns)}};
}

Json WholeLockObject(const LockDescription& lock) {
  Json object = LockObject(lock);
  object["sharers"] = Json::array();
  for (const LockHolder& sharer : lock.sharers) object["sharers"].push_back(HolderObject(sharer));
  object["waiters"] = Json::array();
  for (const LockWaiter& waiter : lock.waiters) {
    object["waiters"].push_back({{"session", waiter.session},
                                 {"label", waiter.label},
                                 {"waited_seconds", Seconds(waiter.waited_ns)},
                                 {"mode", ModeName(waiter.mode)},
                                 {"permits", waiter.permits},
                                 {"owner", waiter.owner}});
  }
  object["broken"] = BrokenObject(lock.broken);
  return object;
}

Json ElectionObject(const ElectionDescription& election) {
  const bool led = election.leader.session != 0;
  return {{"name", election.name},
          {"led", led},
          {"leader", led ? HolderObject(election.leader) : Json(nullptr)},
          {"waiting", election.waiting}};
}

}  // namespace

std::string StatusJson(const ClusterStatus& status) {
  Json members = Json::array();
  for (const MemberStatus& member : status.members) {
    members.push_back({{"id", member.id.name},
                       {"address", member.address},
                       {"role", member.role},
                       {"reachable", member.reachable},
                       {"applied", member.applied},
                       {"incarnation", absl::StrFormat("%016x", member.id.incarnation)}});
  }
  return Text({{"leader", status.leader.name},
               {"term", status.term},
               {"revision", status.revision},
               {"members", std::move(members)},
               {"sessions", status.sessions},
               {"locks", status.locks},
               {"cluster", status.cluster.empty() ? "" : status.cluster.ToString()},
               {"answered_by", status.answered_by.name},
               {"commit", status.commit},
               {"applied", status.applied},
               {"log_bytes", status.log_bytes},
               {"cluster_time_seconds", Seconds(status.cluster_time_ns)},
               {"held_back_seconds", Seconds(status.held_back_ns)},
               {"state_hash", absl::StrFormat("%016x", status.state_hash)},
               {"machine_version", status.machine_version},
               {"newest_machine_version", status.newest_machine_version},
               {"may_stop_one", status.may_stop_one},
               {"message", status.message}});
}

std::string LocksJson(const std::vector<LockDescription>& locks) {
  Json list = Json::array();
  for (const LockDescription& lock : locks) list.push_back(LockObject(lock));
  return Text({{"locks", std::move(list)}});
}

std::string LockJson(const LockDescription& lock) { return Text(WholeLockObject(lock)); }

const char* NameOf(OperationState state) {
  switch (state) {
    case OperationState::kAbsent:
      return "absent";
    case OperationState::kInProgress:
      return "in progress";
    case OperationState::kClaimable:
      return "claimable";
    case OperationState::kDone:
      return "done";
    case OperationState::kFailed:
      return "failed";
  }
  return "unknown";
}

std::string KeysJson(const std::vector<OperationDescription>& keys) {
  Json list = Json::array();
  for (const OperationDescription& key : keys) list.push_back(KeyObject(key));
  return Text({{"keys", std::move(list)}});
}

std::string KeyJson(const OperationDescription& key) {
  Json object = KeyObject(key);
  object["fingerprint"] = key.fingerprint;
  object["recovery_point"] = key.point;
  object["response"] = key.response;
  object["response_base64"] = absl::Base64Escape(key.response);
  const auto command = DecodeOutcome(key.response);  // by `tenure once`, or not
  object["exit_status"] = command.ok() ? Json(command->exit_status) : Json(nullptr);
  object["output"] = command.ok() ? Json(command->output) : Json(nullptr);
  object["output_bytes"] = command.ok() ? Json(command->written) : Json(nullptr);
  object["broken"] = BrokenObject(key.broken);
  return Text(object);
}

std::string ElectionsJson(const std::vector<ElectionDescription>& elections) {
  Json list = Json::array();
  for (const ElectionDescription& election : elections) {
    list.push_back(ElectionObject(election));
  }
  return Text({{"elections", std::move(list)}});
}

std::string ElectionJson(const ElectionDescription& election) {
  Json object = ElectionObject(election);
  object["candidates"] = Json::array();
  for (const Candidate& candidate : election.candidates) {
    object["candidates"].push_back({{"session", candidate.session},
                                    {"label", candidate.label},
                                    {"value", candidate.value},
                                    {"priority", candidate.priority},
                                    {"waited_seconds", Seconds(candidate.waited_ns)}});
  }
  object["changes"] = Json::array();
  for (const Change& change : election.changes) {
    object["changes"].push_back(ChangeObject(EventOf(change.kind), change));
  }
  object["broken"] = BrokenObject(election.broken);
  return Text(object);
}

std::string NewsJson(absl::string_view kind, absl::string_view name, const News& news) {
  const auto line = [&](const char* event, const Change& change, Json holder) {
    Json object = {{"kind", std::string(kind)}, {"name", std::string(name)}};
    object.update(ChangeObject(event, change));
    object["holder"] = std::move(holder);
    return Text(object) + "\n";
  };
  std::string lines;
  if (news.gap) lines = line("gap", Change(), nullptr);
  Json holder = nullptr;
  if (news.holder.session != 0) {
    holder = {{"session", news.holder.session},
              {"token", news.holder.token},
              {"label", news.holder.label},
              {"value", news.holder.value}};
  }
  // After a gap there may be nothing to tell but how things stand.
  const bool state = news.initial || news.change.token == 0;
  return lines + line(state ? "state" : EventOf(news.change.kind), news.change, std::move(holder));
}

std::string SessionsJson(const std::vector<SessionDescription>& sessions) {
  Json list = Json::array();
  for (const SessionDescription& session : sessions) {
    list.push_back({{"session", session.session},
                    {"label", session.label},
                    {"ttl_seconds", Seconds(session.ttl_ns)},
                    {"expires_in_seconds", Seconds(session.expires_in_ns)},
                    {"locks", session.locks},
                    {"waits", session.waits}});
  }
  return Text({{"sessions", std::move(list)}});
}

}  // namespace tenure::cli
