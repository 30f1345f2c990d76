#include "raft/log.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace tenure::raft {

Log::Log(Base base, std::vector<Entry> entries) : base_(std::move(base)) {
  if (base_.configuration == nullptr) base_.configuration = std::make_shared<Configuration>();
  configurations_.push_back({base_.index, base_.configuration});
  for (Entry& entry : entries) Append(std::move(entry));
}

std::optional<Term> Log::TermAt(Index index) const {
  if (index == base_.index) return base_.term;
  if (!Holds(index)) return std::nullopt;
  return At(index).term;
}

std::optional<std::int64_t> Log::StampAt(Index index) const {
  if (index == base_.index) return base_.stamp_ns;
  if (!Holds(index)) return std::nullopt;
  return At(index).stamp_ns;
}

Index Log::LastNotAfter(Index from, Term term) const {
  if (from <= base_.index) return base_.index;
  const Index held = std::min(from, last_index()) - base_.index;
  // Terms never fall along a log, so a binary search will do.
  auto end = slots_.begin() + static_cast<std::ptrdiff_t>(held);
  auto above = std::upper_bound(slots_.begin(), end, term,
                                [](Term t, const Slot& slot) { return t < slot.entry.term; });
  return base_.index + static_cast<Index>(above - slots_.begin());
}

std::vector<Entry> Log::Slice(Index first, std::size_t max_entries, std::size_t max_bytes) const {
  std::vector<Entry> slice;
  if (!Holds(first)) return slice;
  const std::size_t begin = first - base_.index - 1;
  std::size_t end = begin;
  std::size_t bytes = 0;
  while (end < slots_.size() && end - begin < max_entries) {
    bytes += Charge(slots_[end].entry);
    if (end > begin && bytes > max_bytes) break;
    ++end;
  }
  end = std::max(end, begin + 1);
  slice.reserve(end - begin);
  for (std::size_t i = begin; i < end; ++i) slice.push_back(slots_[i].entry);
  return slice;
}

void Log::Append(Entry entry) {
  if (entry.configuration != nullptr) {
    configurations_.push_back({entry.index, entry.configuration});
  }
  const std::size_t total = last_total() + Charge(entry);
  slots_.push_back({std::move(entry), total});
}

void Log::TruncateFrom(Index index) {
  while (last_index() >= index && !slots_.empty()) slots_.pop_back();
  while (configurations_.size() > 1 && configurations_.back().since >= index) {
    configurations_.pop_back();
  }
}

void Log::TrimThrough(Index index) {
  if (index <= base_.index) return;
  const Slot& last = slots_[index - base_.index - 1];
  const std::size_t total = last.total;
  auto in_force = std::upper_bound(configurations_.begin(), configurations_.end(), index,
                                   [](Index i, const InForce& c) { return i < c.since; });
  configurations_.erase(configurations_.begin(), std::prev(in_force));
  configurations_.front().since = index;
  const auto count = static_cast<std::ptrdiff_t>(index - base_.index);
  base_ = {index, last.entry.term, last.entry.stamp_ns, configurations_.front().configuration};
  slots_.erase(slots_.begin(), slots_.begin() + count);
  trimmed_bytes_ = total;
}

void Log::Reset(Base base) {
  trimmed_bytes_ = last_total();
  slots_.clear();
  base_ = std::move(base);
  configurations_.assign(1, {base_.index, base_.configuration});
}

const std::shared_ptr<const Configuration>& Log::ConfigurationAt(Index index) const {
  auto after = std::upper_bound(configurations_.begin(), configurations_.end(), index,
                                [](Index i, const InForce& c) { return i < c.since; });
  return std::prev(after)->configuration;
}

bool Log::NamesVoterSince(Index index, const MemberId& id) const {
  const auto names = [&id](const std::vector<Server>& servers) {
    return std::any_of(servers.begin(), servers.end(),
                       [&id](const Server& server) { return server.id == id; });
  };
  for (auto it = configurations_.rbegin(); it != configurations_.rend(); ++it) {
    if (names(it->configuration->voters) || names(it->configuration->voters_outgoing)) return true;
    if (it->since <= index) break;
  }
  return false;
}

std::size_t Log::BytesThrough(Index index) const {
  if (!Holds(index)) return 0;
  return slots_[index - base_.index - 1].total - trimmed_bytes_;
}

}  // namespace tenure::raft
