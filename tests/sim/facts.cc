#include "tests/sim/facts.h"

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
  return {entry.index, entry.term, entry.stamp_ns, hash.value()};
}

void LogFact::Recover(const Recovered& recovered) {
  *this = {};
  trimmed_through_ = recovered.trimmed_through;
  trimmed_term_ = recovered.trimmed_term;
  snapshot_through_ = recovered.snapshot.index;
  hard_state_ = recovered.hard_state;
  for (const raft::Entry& entry : recovered.entries) entries_.push_back(FactOf(entry));
}

void LogFact::Apply(const raft::WriteBatch& batch) {
  if (batch.hard_state.has_value()) hard_state_ = *batch.hard_state;
  if (batch.snapshot.has_value()) snapshot_through_ = batch.snapshot->index;
  if (batch.snapshot.has_value() && TermAt(batch.snapshot->index) != batch.snapshot->term) {
    // Installed: the log did not hold its entry, and is replaced by it.
    entries_.clear();
    trimmed_through_ = batch.snapshot->index;
    trimmed_term_ = batch.snapshot->term;
  }
  if (batch.truncate_from > 0) {
    while (!entries_.empty() && entries_.back().index >= batch.truncate_from) entries_.pop_back();
  }
  for (const raft::Entry& entry : batch.entries) {
    entries_.push_back(FactOf(entry));
  }
  while (!entries_.empty() && entries_.front().index <= batch.trim_through) {
    trimmed_through_ = entries_.front().index;
    trimmed_term_ = entries_.front().term;
    entries_.pop_front();
  }
}

std::optional<Term> LogFact::TermAt(Index index) const {
  if (const EntryFact* entry = At(index)) return entry->term;
  if (index == trimmed_through_) return trimmed_term_;
  return std::nullopt;
}

}  // namespace tenure::sim
