// If two logs have an entry of the same index and term, they are the same up to there. Ongaro's
// dissertation, figure 3.2, "Log Matching". Checked by induction: an index and a term determine an
// entry and the term of the one before it.
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/invariants/all.h"
#include "tests/sim/scene.h"

namespace tenure::sim {
namespace {

class LogMatching final : public Invariant {
 public:
  explicit LogMatching(Scene& scene) : Invariant(scene, "log matching") {}

  void OnWrite(const Actor& actor, const raft::WriteBatch& batch) override {
    if (batch.entries.empty()) return;
    Seen& seen = seen_[actor.facts->cluster];
    Index last = batch.entries.front().index - 1;
    std::optional<Term> prev;
    if (const auto place = actor.facts->written.PlaceAt(last)) prev = place->term;
    if (batch.snapshot.has_value() && batch.snapshot->index == last) prev = batch.snapshot->term;
    if (!prev.has_value()) {
      return Fail(absl::StrCat(actor.facts->id.ToString(), " writes entry ", last + 1,
                               " where its log goes from ", actor.facts->written.first_index(),
                               " to ", actor.facts->written.last_index()));
    }
    for (const raft::Entry& entry : batch.entries) {
      if (entry.index != ++last) {
        return Fail(absl::StrCat(actor.facts->id.ToString(), " writes entry ", entry.index,
                                 " where ", last, " is next"));
      }
      const EntryFact fact = FactOf(entry);
      const auto [it, fresh] = seen.try_emplace({entry.index, entry.term}, fact, *prev);
      if (!fresh && it->second.first != fact) {
        return Fail(absl::StrCat(actor.facts->id.ToString(), " has another entry ", entry.index,
                                 " of term ", entry.term, " than was written before"));
      }
      if (!fresh && it->second.second != *prev) {
        return Fail(absl::StrCat("before entry ", entry.index, " of term ", entry.term, " ",
                                 actor.facts->id.ToString(), " has one of term ", *prev,
                                 ", others have one of term ", it->second.second));
      }
      prev = entry.term;
    }
  }

 private:
  using Seen = std::map<std::pair<Index, Term>, std::pair<EntryFact, Term>>;
  std::map<ClusterId, Seen> seen_;
};

}  // namespace

std::unique_ptr<Invariant> NewLogMatching(Scene& scene) {
  return std::make_unique<LogMatching>(scene);
}

}  // namespace tenure::sim
