// What members attest by what they say, and whether a storage still holds it. Nobody can say
// anything of term, vote or log before it is durable (section 3.8 of Ongaro's dissertation), so
// what others heard is the least that a member must find when it starts again. A storage that went
// back — a restored copy, a disk that acknowledged what it then lost — is told from an honest one
// by nothing else: consensus itself would take its second vote in a term for its first.
#ifndef TENURE_MEMBER_ATTESTATIONS_H_
#define TENURE_MEMBER_ATTESTATIONS_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "tenure/raft_types.h"
#include "tenure/storage.h"
#include "tenure/types.h"

namespace tenure::member {

// The term of the entry that was acknowledged at that index in that term; 0 if it cannot be told.
using TermOf = absl::FunctionRef<Term(Term term, Index index)>;

// Takes into `record` what `message`, which record.who sent to `receiver`, attests. True if that
// was new.
bool Witness(raft::Attested& record, const raft::Message& message, const MemberId& receiver,
             TermOf term_of);

// One record for each member that was heard. Not thread-safe.
class Attestations {
 public:
  Attestations() = default;
  explicit Attestations(std::vector<raft::Attested> records) : records_(std::move(records)) {}

  void Heard(const MemberId& from, const raft::Message& message, const MemberId& receiver,
             TermOf term_of);
  // Nothing but its name, if it was never heard.
  raft::Attested Of(const MemberId& who) const;
  // Drops whom a committed configuration names no more: the table is no longer than it.
  void Keep(const raft::Configuration& configuration);

  // All records, if there is anything that was not taken yet.
  std::optional<std::vector<raft::Attested>> TakeChanged();
  bool changed() const { return changed_; }

 private:
  std::vector<raft::Attested> records_;
  bool changed_ = false;
};

// What a member has said to one witness since it started, term by term.
class Said {
 public:
  void Note(const MemberId& self, const MemberId& to, const raft::Message& message);
  // Null if it said nothing in that term.
  const raft::Attested* In(Term term) const;
  // True of terms so old that they are not kept any more.
  bool Forgotten(Term term) const { return term <= forgotten_through_; }
  Index applied() const { return applied_; }

 private:
  std::map<Term, raft::Attested> terms_;
  Term forgotten_through_ = 0;
  Index applied_ = 0;
};

// What a member found when it started.
class Recollection {
 public:
  explicit Recollection(const Recovered& recovered);

  // What of `attested` was not found, for people; empty if nothing is missing. `said` is what this
  // member has said to the same witness since it started. Whatever was attested in a later term
  // than the one that was found was said since, or is lost; in that very term it was found, or said
  // since, or is lost; and what earlier terms had may rightly be overwritten.
  std::string Missing(const raft::Attested& attested, const Said& said) const;

 private:
  bool Holds(Index index, Term term) const;

  raft::HardState hard_state_;
  Index trimmed_through_ = 0;
  Index last_index_ = 0;
  struct Run {
    Index first = 0;
    Term term = 0;
  };
  std::vector<Run> runs_;  // of entries of one term, in order
};

}  // namespace tenure::member

#endif  // TENURE_MEMBER_ATTESTATIONS_H_
