#include "tests/sim/facts.h"

#include <algorithm>

#include "machine/state_hash.h"

namespace tenure::sim {

EntryFact FactOf(const raft::Entry& entry) {
  machine::StateHash hash;
  hash.Add(entry.index);
  hash.Add(entry.term);
  hash.Add(static_cast<std::uint64_t>(entry.kind));
  hash.AddSigned(entry.stamp_ns);
  if (entry.payload != nullptr) hash.AddBytes(*entry.payload);
  if (entry.configuration != nullptr) {
    for (const auto* half : {&entry.configuration->voters, &entry.configuration->voters_outgoing,
                             &entry.configuration->learners}) {
      hash.Add(half->size());
      for (const raft::Server& server : *half) {
        hash.AddBytes(server.id.name);
        hash.Add(server.id.incarnation);
      }
    }
  }
  return {entry.index, entry.term, entry.kind, entry.stamp_ns, hash.value()};
}

void LogFact::Recover(const Recovered& recovered) {
  *this = {};
  base_ = {recovered.trimmed_through, recovered.trimmed_term, recovered.trimmed_stamp_ns};
  snapshot_index_ = recovered.snapshot.index;
  hard_state_ = recovered.hard_state;
  for (const raft::Entry& entry : recovered.entries) entries_.push_back(FactOf(entry));
}

void LogFact::Apply(const raft::WriteBatch& batch) {
  if (batch.hard_state.has_value()) hard_state_ = *batch.hard_state;
  if (batch.chunk.has_value() && batch.chunk->data != nullptr) {
    std::uint64_t& bytes = chunks_[batch.chunk->index];
    bytes = std::max(bytes, batch.chunk->offset + batch.chunk->data->size());
  }
  if (batch.snapshot.has_value()) {
    if (ReplacedBy(*batch.snapshot)) {
      entries_.clear();
      base_ = {batch.snapshot->index, batch.snapshot->term, batch.snapshot->stamp_ns};
    }
    snapshot_index_ = batch.snapshot->index;
  }
  if (batch.truncate_from > 0) {
    while (!entries_.empty() && entries_.back().index >= batch.truncate_from) entries_.pop_back();
  }
  for (const raft::Entry& entry : batch.entries) entries_.push_back(FactOf(entry));
  while (!entries_.empty() && entries_.front().index <= batch.trim_through) {
    base_ = {entries_.front().index, entries_.front().term, entries_.front().stamp_ns};
    entries_.pop_front();
  }
}

std::optional<LogFact::Place> LogFact::PlaceAt(Index index) const {
  if (const EntryFact* entry = At(index)) return Place{entry->index, entry->term, entry->stamp_ns};
  if (index == base_.index) return base_;
  return std::nullopt;
}

bool LogFact::ReplacedBy(const raft::SnapshotInfo& snapshot) const {
  const std::optional<Place> own = PlaceAt(snapshot.index);
  return !own.has_value() || own->term != snapshot.term;
}

std::uint64_t LogFact::BytesOf(Index snapshot) const {
  const auto it = chunks_.find(snapshot);
  return it == chunks_.end() ? 0 : it->second;
}

std::shared_ptr<const raft::Configuration> ClusterFacts::ConfigurationAt(Index index) const {
  std::shared_ptr<const raft::Configuration> found;
  for (const auto& [since, configuration] : configurations) {
    if (since <= index) found = configuration;
  }
  return found;
}

bool Facts::Lost(const MemberId& id) const {
  const auto it = youngest.find(id.name);
  return it != youngest.end() && it->second != id;
}

}  // namespace tenure::sim
