#include "tests/raft/cluster.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace tenure::raft {

const Entry* DiskLog::Find(Index index) const {
  if (index <= trimmed_through || index > last_index()) return nullptr;
  return &entries[index - trimmed_through - 1];
}

Term DiskLog::TermAt(Index index) const {
  if (index == trimmed_through) return trimmed_term;
  const Entry* entry = Find(index);
  return entry == nullptr ? 0 : entry->term;
}

void DiskLog::Apply(const WriteBatch& batch) {
  if (batch.truncate_from != 0) {
    EXPECT_GT(batch.truncate_from, trimmed_through);
    while (last_index() >= batch.truncate_from) entries.pop_back();
  }
  for (const Entry& entry : batch.entries) {
    EXPECT_EQ(entry.index, last_index() + 1) << "a write that is not contiguous";
    entries.push_back(entry);
  }
  while (trimmed_through < batch.trim_through) {
    const Entry& first = entries.front();
    trimmed_through = first.index;
    trimmed_term = first.term;
    trimmed_stamp_ns = first.stamp_ns;
    if (first.configuration != nullptr) trimmed_configuration = first.configuration;
    entries.pop_front();
  }
}

Cluster::Node& Cluster::Add(Options options) {
  nodes_.push_back(std::make_unique<Node>());
  nodes_.back()->options = std::move(options);
  return *nodes_.back();
}

Cluster::Node& Cluster::node(const std::string& name) {
  for (auto& node : nodes_) {
    if (node->id().name == name) return *node;
  }
  ADD_FAILURE() << "no member " << name;
  return *nodes_.front();
}

Cluster::Node* Cluster::Find(const MemberId& id) {
  for (auto& node : nodes_) {
    if (node->id() == id) return node.get();
  }
  return nullptr;
}

void Cluster::Start(Node& node, Instant may_vote_from) {
  Initial initial;
  initial.hard_state = node.hard_state;
  initial.trimmed_through = node.disk.trimmed_through;
  initial.trimmed_term = node.disk.trimmed_term;
  initial.trimmed_stamp_ns = node.disk.trimmed_stamp_ns;
  initial.trimmed_configuration = node.disk.trimmed_configuration;
  initial.entries.assign(node.disk.entries.begin(), node.disk.entries.end());
  initial.applied = std::max(node.applied_at_start, node.disk.trimmed_through);
  initial.may_vote_from = may_vote_from;
  node.memory = node.disk;
  node.committed = node.applied = initial.applied;
  node.core.emplace(node.options, std::move(initial), now());
  Step(node, Timer{});
}

void Cluster::Crash(Node& node) {
  node.core.reset();
  node.writes.clear();
  node.gated.clear();
  node.deadline = Instant::InfiniteFuture();
}

Output Cluster::Step(Node& node, Event event) {
  Output out = node.core->Step(now(), event);
  node.deadline = out.deadline;
  if (out.write.has_value()) node.memory.Apply(*out.write);
  if (on_step) on_step(node, event, out);
  for (const Entry& entry : out.committed) {
    EXPECT_EQ(entry.index, node.committed + 1) << node.id().name << ": commits are not contiguous";
    node.committed = entry.index;
  }
  if (out.write.has_value()) node.writes.push_back(*out.write);
  for (Outgoing& outgoing : out.messages) Release(node, outgoing);
  for (GatedOutgoing& gated : out.after_write) node.gated.push_back(gated);
  return out;
}

void Cluster::CompleteWrite(Node& node) {
  if (node.writes.empty()) return;
  WriteBatch batch = std::move(node.writes.front());
  node.writes.pop_front();
  if (batch.hard_state.has_value()) node.hard_state = *batch.hard_state;
  node.disk.Apply(batch);
  Step(node, WriteDurable{batch.id});
  std::deque<GatedOutgoing> gated = std::exchange(node.gated, {});
  for (GatedOutgoing& g : gated) {
    if (g.after <= batch.id) {
      Release(node, std::move(g.outgoing));
    } else {
      node.gated.push_back(std::move(g));
    }
  }
}

void Cluster::ApplyAll(Node& node) {
  if (!node.core.has_value() || node.applied == node.committed) return;
  node.applied = node.committed;
  Step(node, Applied{node.applied});
}

void Cluster::Deliver(Flight flight) {
  Node* node = Find(flight.to);
  if (node == nullptr || !node->core.has_value()) return;
  Step(*node, Received{flight.from, std::move(flight.message)});
}

void Cluster::Release(Node& node, Outgoing outgoing) {
  Flight flight{node.id(), std::move(outgoing.to), std::move(outgoing.message)};
  if (on_send && !on_send(node, flight)) return;
  flights_.push_back(std::move(flight));
}

std::shared_ptr<const Configuration> Voters(const std::vector<MemberId>& ids) {
  auto configuration = std::make_shared<Configuration>();
  for (const MemberId& id : ids) configuration->voters.push_back({id, id.name + ":7400"});
  std::sort(configuration->voters.begin(), configuration->voters.end(),
            [](const Server& a, const Server& b) { return a.id < b.id; });
  return configuration;
}

Entry FirstEntry(std::shared_ptr<const Configuration> configuration) {
  Entry entry;
  entry.index = 1;
  entry.term = 1;
  entry.kind = EntryKind::kConfiguration;
  entry.configuration = std::move(configuration);
  return entry;
}

}  // namespace tenure::raft
