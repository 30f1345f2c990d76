#include "tests/raft/cluster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

namespace tenure::raft {
namespace {

constexpr std::size_t kChunk = 12;  // small, so that a snapshot takes several

}  // namespace

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
  if (batch.chunk.has_value()) {
    if (batch.chunk->offset == 0) {
      making = batch.chunk->index;
      making_bytes.clear();
    }
    EXPECT_EQ(batch.chunk->index, making);
    EXPECT_EQ(batch.chunk->offset, making_bytes.size());
    making_bytes += *batch.chunk->data;
  }
  if (batch.snapshot.has_value()) {
    EXPECT_EQ(batch.snapshot->index, making);
    EXPECT_EQ(batch.snapshot->bytes, making_bytes.size());
    snapshot = *batch.snapshot;
    snapshot_bytes = std::exchange(making_bytes, "");
    if (TermAt(snapshot.index) != snapshot.term) {
      entries.clear();
      trimmed_through = snapshot.index;
      trimmed_term = snapshot.term;
      trimmed_stamp_ns = snapshot.stamp_ns;
      trimmed_configuration = snapshot.configuration;
    }
  }
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
  initial.applied =
      std::max({node.applied_at_start, node.disk.trimmed_through, node.disk.snapshot.index});
  initial.snapshot = node.disk.snapshot;
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
  node.incoming.clear();
  node.disk.making = 0;
  node.disk.making_bytes.clear();
  node.deadline = Instant::InfiniteFuture();
}

Output Cluster::Step(Node& node, const Event& event) {
  Output out = node.core->Step(now(), event);
  node.deadline = out.deadline;
  if (out.write.has_value()) node.memory.Apply(*out.write);
  if (on_step) on_step(node, event, out);
  if (out.install.has_value()) {
    if (out.install->offset == 0) node.incoming.clear();
    EXPECT_EQ(out.install->offset, node.incoming.size());
    node.incoming += *out.install->data;
    if (out.install->last) {
      const Index index = out.install->snapshot.index;
      EXPECT_EQ(node.incoming, states_[index]) << node.id().name << " installs another state";
      node.committed = node.applied = index;
    }
  }
  for (const Entry& entry : out.committed) {
    EXPECT_EQ(entry.index, node.committed + 1) << node.id().name << ": commits are not contiguous";
    node.committed = entry.index;
    std::string& state = states_[entry.index];
    if (state.empty()) {
      const std::string& before = states_[entry.index - 1];
      const std::size_t payload =
          entry.payload == nullptr ? 0 : std::hash<std::string>()(*entry.payload);
      state = absl::StrCat("state ", entry.index, " ", entry.term, " ",
                           std::hash<std::string>()(absl::StrCat(before, payload)));
    }
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

void Cluster::TakeSnapshot(Node& node) {
  ApplyAll(node);
  const std::string state = states_[node.applied];
  for (std::size_t at = 0; at < state.size(); at += kChunk) {
    SnapshotPiece piece;
    piece.through = node.applied;
    piece.offset = at;
    piece.data = std::make_shared<const std::string>(state.substr(at, kChunk));
    piece.last = at + kChunk >= state.size();
    Step(node, piece);
  }
}

void Cluster::Deliver(Flight flight) {
  Node* node = Find(flight.to);
  if (node == nullptr || !node->core.has_value()) return;
  Step(*node, Received{flight.from, std::move(flight.message)});
}

void Cluster::Release(Node& node, Outgoing outgoing) {
  Flight flight{node.id(), std::move(outgoing.to), std::move(outgoing.message)};
  if (auto* request = std::get_if<SnapshotRequest>(&flight.message)) {
    if (node.memory.snapshot.index != request->snapshot.index) return;  // replaced meanwhile
    EXPECT_LT(request->offset, node.memory.snapshot_bytes.size());
    request->data = std::make_shared<const std::string>(
        node.memory.snapshot_bytes.substr(request->offset, kChunk));
  }
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
