#include "tests/raft/scenario.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "tests/raft/message_text.h"

namespace tenure::raft {
namespace {

std::uint64_t Number(const std::string& text) {
  std::uint64_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) ADD_FAILURE() << "not a number: " << text;
  return number;
}

absl::Duration Time(const std::string& text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration)) ADD_FAILURE() << "not a duration: " << text;
  return duration;
}

std::pair<std::string, std::string> Split(const std::string& text, const char* by) {
  return absl::StrSplit(text, absl::MaxSplits(by, 1));
}

Payload Bytes(std::string bytes) { return std::make_shared<const std::string>(std::move(bytes)); }

const char* RoleName(Role role) {
  switch (role) {
    case Role::kFollower:
      return "follower";
    case Role::kPreCandidate:
      return "pre-candidate";
    case Role::kCandidate:
      return "candidate";
    case Role::kLeader:
      return "leader";
    case Role::kStopped:
      return "stopped";
  }
  return "?";
}

std::string RoleText(Role role, Term term, const MemberId& leader) {
  std::string text = absl::StrCat(RoleName(role), " t=", term);
  if (role != Role::kLeader && !leader.empty()) absl::StrAppend(&text, " of ", ToText(leader));
  return text;
}

}  // namespace

Scenario::Scenario() {
  cluster_.on_step = [this](Cluster::Node& node, const Event&, const Output& out) {
    OnStep(node, out);
  };
  cluster_.on_send = [this](Cluster::Node&, Cluster::Flight& flight) {
    if (show_ == Show::kAll) {
      Print(
          absl::StrCat(ToText(flight.from), "->", ToText(flight.to), " ", ToText(flight.message)));
    }
    return true;
  };
}

std::string Scenario::Run(const std::string& text) {
  std::string result;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.rfind("  ", 0) == 0) continue;  // what it said the last time
    absl::StrAppend(&result, line, "\n");
    if (line.empty() || line[0] == '#') continue;
    output_.clear();
    Execute(absl::StrSplit(line, ' ', absl::SkipEmpty()));
    result += output_;
  }
  while (result.size() > 1 && result[result.size() - 2] == '\n') result.pop_back();
  return result;
}

void Scenario::Execute(const Words& words) {
  if (SetUp(words)) return;
  if (!started_) StartAll();
  if (!ActOnNetwork(words) && !ActOnMember(words) && !ActOnTime(words)) Inspect(words);
  if (apply_) ApplyEverywhere();
  if (auto_) Settle();
}

bool Scenario::SetUp(const Words& words) {
  const std::string& verb = words[0];
  if (verb == "cluster") {
    for (std::size_t i = 1; i < words.size(); ++i) voters_.push_back(IdFromText(words[i]));
    for (const MemberId& id : voters_) {
      Options options = options_;
      options.self = id;
      options.seed = static_cast<unsigned char>(id.name.back());
      Cluster::Node& node = cluster_.Add(options);
      node.hard_state.term = 1;
      node.disk.entries.push_back(FirstEntry(Voters(voters_)));
    }
  } else if (verb == "spare") {
    for (std::size_t i = 1; i < words.size(); ++i) {
      Options options = options_;
      options.self = IdFromText(words[i]);
      options.seed = static_cast<unsigned char>(options.self.name.back());
      Cluster::Node& node = cluster_.Add(options);
      node.spare = true;
      node.hard_state.term = 1;
    }
  } else if (verb == "options") {
    for (std::size_t i = 1; i < words.size(); ++i) {
      const auto [key, value] = Split(words[i], "=");
      SetOption(key, value);
    }
  } else if (verb == "member") {
    DescribeMember(words);
  } else if (verb == "show") {
    show_ = words[1] == "all"       ? Show::kAll
            : words[1] == "results" ? Show::kResults
                                    : Show::kNothing;
  } else if (verb == "auto") {
    auto_ = words[1] == "on";
  } else if (verb == "apply") {
    apply_ = words[1] == "on";
  } else {
    return false;
  }
  return true;
}

void Scenario::SetOption(const std::string& key, const std::string& value) {
  EXPECT_TRUE(voters_.empty()) << "options come before the cluster";
  if (key == "entries") options_.append_entries_max = Number(value);
  if (key == "bytes") options_.append_bytes_max = Number(value);
  if (key == "inflight") options_.inflight_appends_max = Number(value);
  if (key == "inflight-bytes") options_.inflight_bytes_max = Number(value);
  if (key == "reads") options_.pending_reads_max = Number(value);
  if (key == "lease-reads") options_.lease_reads = value == "on";
  if (key == "trim-without-snapshot") options_.trim_without_snapshot = value == "on";
  if (key == "heartbeat") options_.heartbeat_interval = Time(value);
  if (key == "min") options_.election_timeout_min = Time(value);
  if (key == "max") options_.election_timeout_max = Time(value);
}

void Scenario::DescribeMember(const Words& words) {
  Cluster::Node& node = cluster_.node(words[1]);
  for (std::size_t i = 2; i < words.size(); ++i) {
    const auto [key, value] = Split(words[i], "=");
    if (key == "term") node.hard_state.term = Number(value);
    if (key == "priority") node.options.priority = static_cast<std::uint32_t>(Number(value));
    if (key == "vote") node.hard_state.vote = IdFromText(value);
    if (key == "may-vote") may_vote_[words[1]] = cluster_.now() + Time(value);
    if (key != "log") continue;
    node.disk.entries.resize(1);
    const std::vector<std::string> terms = absl::StrSplit(value, ',');
    for (std::size_t at = 1; at < terms.size(); ++at) {
      Entry entry;
      entry.index = at + 1;
      entry.term = Number(terms[at]);
      entry.kind = EntryKind::kCommands;
      entry.payload = Bytes(absl::StrCat("old", at + 1));
      node.disk.entries.push_back(std::move(entry));
    }
  }
}

void Scenario::StartAll() {
  started_ = true;
  for (auto& node : cluster_.nodes()) cluster_.Start(*node, may_vote_[node->id().name]);
}

bool Scenario::ActOnNetwork(const Words& words) {
  const std::string& verb = words[0];
  const std::string link = words.size() > 1 ? words[1] : "";
  if (verb == "settle") {
    Settle();
  } else if (verb == "deliver" || verb == "drop") {
    Move(link, verb == "deliver");
  } else if (verb == "stash") {
    auto& flights = cluster_.flights();
    auto it = std::find_if(flights.begin(), flights.end(), [&words](const Cluster::Flight& f) {
      return absl::StrCat(ToText(f.from), "->", ToText(f.to)) == words[2];
    });
    if (it == flights.end()) {
      Print("nothing there");
      return true;
    }
    Print(ToText(it->message));
    stash_.insert_or_assign(words[1], std::move(*it));
    flights.erase(it);
  } else if (verb == "replay") {
    cluster_.Deliver(stash_.at(words[1]));
  } else if (verb == "send") {
    const auto [from, to] = Split(words[1], "->");
    cluster_.Deliver({IdFromText(from), IdFromText(to),
                      MessageFromText(Words(words.begin() + 2, words.end())), 0});
  } else if (verb == "cut" && words.size() == 2) {
    cut_.insert(Split(link, "->"));
  } else if (verb == "cut") {
    cut_.insert({words[1], words[2]});
    cut_.insert({words[2], words[1]});
  } else if (verb == "isolate") {
    for (auto& node : cluster_.nodes()) {
      cut_.insert({words[1], node->id().name});
      cut_.insert({node->id().name, words[1]});
    }
  } else if (verb == "heal") {
    cut_.clear();
  } else {
    return false;
  }
  return true;
}

bool Scenario::ActOnMember(const Words& words) {
  static const std::set<std::string> kVerbs = {
      "timer",     "durable",  "fail",  "propose",      "read",         "applied",
      "crash",     "restart",  "elect", "propose-many", "restart-free", "campaign",
      "configure", "snapshot", "lost",  "transfer"};
  const std::string& verb = words[0];
  if (kVerbs.count(verb) == 0) return false;
  Cluster::Node& node = cluster_.node(words[1]);
  if (verb == "timer") {
    cluster_.Step(node, Timer{});
  } else if (verb == "durable") {
    std::size_t count = words.size() > 2 ? Number(words[2]) : node.writes.size();
    for (; count > 0; --count) cluster_.CompleteWrite(node);
  } else if (verb == "fail") {
    cluster_.Step(node, WriteFailed{node.writes.empty() ? 0 : node.writes.front().id});
  } else if (verb == "propose") {
    const auto stamp = static_cast<std::int64_t>(words.size() > 3 ? Number(words[3]) : 0);
    const Output out = cluster_.Step(node, Propose{Bytes(words[2]), stamp});
    if (!out.proposed.has_value()) Print(absl::StrCat(words[1], " refuses ", words[2]));
  } else if (verb == "propose-many") {
    for (std::uint64_t i = Number(words[2]); i > 0; --i) {
      cluster_.Step(node, Propose{Bytes(std::string(Number(words[3]), 'x')), 0});
    }
  } else if (verb == "read") {
    cluster_.Step(node, Read{Number(words[2])});
  } else if (verb == "configure") {
    Configure configure;
    const auto servers = [](const std::string& text) {
      std::vector<Server> out;
      for (absl::string_view name : absl::StrSplit(text, ',', absl::SkipEmpty())) {
        const MemberId id = IdFromText(name);
        out.push_back({id, id.name + ":7400"});
      }
      return out;
    };
    configure.voters = servers(words[2]);
    if (words.size() > 3) configure.learners = servers(words[3]);
    cluster_.Step(node, configure);
  } else if (verb == "lost") {
    cluster_.Step(node, AttestLost{IdFromText(words[2])});
  } else if (verb == "snapshot") {
    cluster_.TakeSnapshot(node);
  } else if (verb == "transfer") {
    cluster_.Step(node, Transfer{words.size() > 2 ? IdFromText(words[2]) : MemberId{}});
  } else if (verb == "applied") {
    node.applied = words.size() > 2 ? Number(words[2]) : node.committed;
    cluster_.Step(node, Applied{node.applied});
  } else if (verb == "crash") {
    cluster_.Crash(node);
  } else if (verb == "restart") {
    cluster_.Start(node, cluster_.now() + options_.election_timeout_max);
  } else if (verb == "restart-free") {
    cluster_.Start(node, Instant{});
  } else {
    cluster_.set_now_ns(cluster_.now_ns() +
                        absl::ToInt64Nanoseconds(options_.election_timeout_max));
    cluster_.Step(node, Timer{});
    Settle(verb == "campaign" ? &node : nullptr);
  }
  return true;
}

bool Scenario::ActOnTime(const Words& words) {
  if (words[0] == "advance") {
    Advance(absl::ToInt64Nanoseconds(Time(words[1])));
  } else if (words[0] == "skip") {
    cluster_.set_now_ns(cluster_.now_ns() + absl::ToInt64Nanoseconds(Time(words[1])));
  } else {
    return false;
  }
  return true;
}

void Scenario::Inspect(const Words& words) {
  if (words[0] == "status") {
    for (auto& node : cluster_.nodes()) PrintStatus(*node);
  } else if (words[0] == "progress") {
    PrintProgress(cluster_.node(words[1]));
  } else if (words[0] == "members") {
    const Core& core = *cluster_.node(words[1]).core;
    Print(absl::StrCat(ToText(core.configuration()), " since ", core.configuration_index(),
                       core.short_handed() ? ", short-handed" : ""));
  } else if (words[0] == "snapshots") {
    const Core& core = *cluster_.node(words[1]).core;
    Print(absl::StrCat("through ", core.snapshot().index, ", log from ",
                       cluster_.node(words[1]).memory.trimmed_through + 1,
                       core.snapshot_wanted() ? ", another is wanted" : "",
                       core.sending_snapshot() ? ", being sent" : ""));
  } else if (words[0] == "lease") {
    Print(cluster_.node(words[1]).core->HasLease(cluster_.now()) ? "held" : "none");
  } else if (words[0] == "log") {
    const Cluster::Node& node = cluster_.node(words[1]);
    Print(ToText(std::vector<Entry>(node.memory.entries.begin(), node.memory.entries.end())));
  } else {
    ADD_FAILURE() << "no such command: " << words[0];
  }
}

void Scenario::Settle(const Cluster::Node* until_it_leads) {
  for (int i = 0; i < 10000; ++i) {
    if (until_it_leads != nullptr && until_it_leads->core->role() == Role::kLeader) return;
    bool idle = cluster_.flights().empty();
    for (auto& node : cluster_.nodes()) {
      while (node->core.has_value() && !node->writes.empty()) {
        cluster_.CompleteWrite(*node);
        idle = false;
      }
    }
    if (apply_) ApplyEverywhere();
    if (idle) return;
    if (cluster_.flights().empty()) continue;
    Cluster::Flight flight = std::move(cluster_.flights().front());
    cluster_.flights().pop_front();
    Deliver(std::move(flight));
  }
  ADD_FAILURE() << "it never settles";
}

void Scenario::Move(const std::string& link, bool deliver) {
  std::deque<Cluster::Flight> moving;
  std::deque<Cluster::Flight> staying;
  for (Cluster::Flight& flight : cluster_.flights()) {
    const bool here =
        link.empty() || link == absl::StrCat(ToText(flight.from), "->", ToText(flight.to));
    (here ? moving : staying).push_back(std::move(flight));
  }
  cluster_.flights() = std::move(staying);
  if (!deliver) return;
  for (Cluster::Flight& flight : moving) Deliver(std::move(flight));
}

void Scenario::Deliver(Cluster::Flight flight) {
  if (cut_.count({flight.from.name, flight.to.name}) != 0) return;
  cluster_.Deliver(std::move(flight));
}

void Scenario::Advance(std::int64_t ns) {
  const std::int64_t end = cluster_.now_ns() + ns;
  for (int guard = 0; guard < 100000; ++guard) {
    Cluster::Node* next = nullptr;
    for (auto& node : cluster_.nodes()) {
      if (next == nullptr || node->deadline.boottime_ns() < next->deadline.boottime_ns()) {
        next = node.get();
      }
    }
    if (next->deadline.boottime_ns() > end) break;
    cluster_.set_now_ns(std::max(cluster_.now_ns(), next->deadline.boottime_ns()));
    cluster_.Step(*next, Timer{});
    if (apply_) ApplyEverywhere();
    if (auto_) Settle();
  }
  cluster_.set_now_ns(end);
}

void Scenario::ApplyEverywhere() {
  for (auto& node : cluster_.nodes()) cluster_.ApplyAll(*node);
}

void Scenario::OnStep(const Cluster::Node& node, const Output& out) {
  if (show_ == Show::kNothing) return;
  const std::string name = ToText(node.id());
  if (out.role_change.has_value()) {
    Print(absl::StrCat(
        name, " is ",
        RoleText(out.role_change->role, out.role_change->term, out.role_change->leader)));
  }
  if (out.write.has_value() && show_ == Show::kAll) {
    Print(absl::StrCat(name, " writes ", ToText(*out.write)));
  }
  if (out.write.has_value() && out.write->trim_through != 0 && show_ == Show::kResults) {
    Print(absl::StrCat(name, " trims through ", out.write->trim_through));
  }
  if (!out.refused.ok()) Print(absl::StrCat(name, " refuses: ", out.refused.message()));
  if (out.transfer_failed) Print(absl::StrCat(name, " gives the transfer up"));
  if (out.install.has_value() && out.install->last) {
    const SnapshotInfo& snapshot = out.install->snapshot;
    Print(absl::StrCat(name, " installs ", snapshot.index, "/", snapshot.term, " ",
                       ToText(*snapshot.configuration)));
  }
  if (!out.committed.empty()) Print(absl::StrCat(name, " commits ", ToText(out.committed)));
  for (const ReadReady& read : out.reads_ready) {
    Print(absl::StrCat(name, " serves read ", read.id, " at ", read.index));
  }
  for (ReadId read : out.reads_refused) Print(absl::StrCat(name, " refuses read ", read));
}

void Scenario::PrintStatus(Cluster::Node& node) {
  const std::string name = ToText(node.id());
  if (!node.core.has_value()) {
    Print(absl::StrCat(name, " is down"));
    return;
  }
  const Core& core = *node.core;
  Print(absl::StrCat(name, " is ", RoleText(core.role(), core.term(), core.leader()),
                     " last=", core.last_index(), "/", node.memory.TermAt(core.last_index()),
                     " commit=", core.commit_index(), " durable=", node.disk.last_index(), "/t",
                     node.hard_state.term, "/", ToText(node.hard_state.vote)));
}

void Scenario::PrintProgress(Cluster::Node& node) {
  for (auto& other : cluster_.nodes()) {
    const std::optional<Core::Progress> p = node.core->progress(other->id());
    if (!p.has_value()) continue;
    Print(absl::StrCat(ToText(other->id()), " match=", p->match_index, " applied=", p->applied,
                       p->active ? " active" : " silent", p->snapshot ? " snapshot" : ""));
  }
}

}  // namespace tenure::raft
