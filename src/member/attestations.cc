#include "member/attestations.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

namespace tenure::member {
namespace {

// A witness that does not answer while so many terms go by can tell less.
constexpr std::size_t kTermsMax = 64;

bool TakeTerm(raft::Attested& record, Term term) {
  if (term <= record.term) return false;
  // What was acknowledged before may rightly be overwritten from now on, but for what is applied.
  record = {.who = std::move(record.who), .term = term, .applied = record.applied};
  return true;
}

bool TakeVote(raft::Attested& record, Term term, const MemberId& vote) {
  const bool newer = TakeTerm(record, term);
  if (term != record.term || record.vote == vote) return newer;
  record.vote = vote;
  return true;
}

bool TakeAnswer(raft::Attested& record, const raft::AppendResponse& answer, TermOf term_of) {
  bool news = false;
  if (answer.applied > record.applied) {
    record.applied = answer.applied;
    news = true;
  }
  if (!answer.accepted) return news;
  news |= TakeTerm(record, answer.term);
  if (answer.term != record.term || answer.match_index <= record.match_index) return news;
  const Term term = term_of(answer.term, answer.match_index);
  if (term == 0) return news;
  record.match_index = answer.match_index;
  record.match_term = term;
  return true;
}

// A leader's log is its own: nothing in it is overwritten while it leads.
bool TakeLeader(raft::Attested& record, const raft::AppendRequest& request) {
  const bool newer = TakeTerm(record, request.term);
  if (request.term != record.term || request.durable <= record.match_index) return newer;
  record.match_index = request.durable;
  record.match_term = 0;
  return true;
}

}  // namespace

bool Witness(raft::Attested& record, const raft::Message& message, const MemberId& receiver,
             TermOf term_of) {
  if (const auto* answer = std::get_if<raft::AppendResponse>(&message))
    return TakeAnswer(record, *answer, term_of);
  if (const auto* request = std::get_if<raft::AppendRequest>(&message))
    return TakeLeader(record, *request);
  if (const auto* ask = std::get_if<raft::VoteRequest>(&message))
    return !ask->pre_vote && TakeVote(record, ask->term, record.who);
  if (const auto* vote = std::get_if<raft::VoteResponse>(&message))
    return vote->granted && !vote->pre_vote && TakeVote(record, vote->request_term, receiver);
  if (const auto* now = std::get_if<raft::TimeoutNow>(&message)) return TakeTerm(record, now->term);
  if (const auto* chunk = std::get_if<raft::SnapshotRequest>(&message))
    return TakeTerm(record, chunk->term);
  if (const auto* wants = std::get_if<raft::SnapshotResponse>(&message))
    return TakeTerm(record, wants->term);
  return false;
}

void Attestations::Heard(const MemberId& from, const raft::Message& message,
                         const MemberId& receiver, TermOf term_of) {
  auto record = std::find_if(records_.begin(), records_.end(),
                             [&](const raft::Attested& each) { return each.who == from; });
  if (record != records_.end()) {
    changed_ |= Witness(*record, message, receiver, term_of);
    return;
  }
  raft::Attested first{.who = from};
  if (!Witness(first, message, receiver, term_of)) return;
  records_.push_back(std::move(first));
  changed_ = true;
}

raft::Attested Attestations::Of(const MemberId& who) const {
  for (const raft::Attested& record : records_) {
    if (record.who == who) return record;
  }
  return {.who = who};
}

void Attestations::Keep(const raft::Configuration& configuration) {
  changed_ |= std::erase_if(records_, [&](const raft::Attested& record) {
                return configuration.Find(record.who) == nullptr;
              }) > 0;
}

std::optional<std::vector<raft::Attested>> Attestations::TakeChanged() {
  if (!std::exchange(changed_, false)) return std::nullopt;
  return records_;
}

void Said::Note(const MemberId& self, const MemberId& to, const raft::Message& message) {
  const auto own = [](Term, Index) { return Term{1}; };
  raft::Attested alone{.who = self};
  if (!Witness(alone, message, to, own)) return;
  applied_ = std::max(applied_, alone.applied);
  if (alone.term <= forgotten_through_) return;
  Witness(terms_.try_emplace(alone.term, raft::Attested{.who = self}).first->second, message, to,
          own);
  if (terms_.size() <= kTermsMax) return;
  forgotten_through_ = terms_.begin()->first;
  terms_.erase(terms_.begin());
}

const raft::Attested* Said::In(Term term) const {
  const auto found = terms_.find(term);
  return found == terms_.end() ? nullptr : &found->second;
}

Recollection::Recollection(const Recovered& recovered)
    : hard_state_(recovered.hard_state),
      trimmed_through_(recovered.trimmed_through),
      last_index_(recovered.trimmed_through + recovered.entries.size()) {
  for (const raft::Entry& entry : recovered.entries) {
    if (runs_.empty() || runs_.back().term != entry.term)
      runs_.push_back({entry.index, entry.term});
  }
}

// What was trimmed is committed, and so was not another one.
bool Recollection::Holds(Index index, Term term) const {
  if (index <= trimmed_through_) return true;
  if (index > last_index_) return false;
  const auto after = std::upper_bound(runs_.begin(), runs_.end(), index,
                                      [](Index i, const Run& run) { return i < run.first; });
  return term == 0 || (after != runs_.begin() && std::prev(after)->term == term);
}

std::string Recollection::Missing(const raft::Attested& attested, const Said& said) const {
  const bool found_term = attested.term == hard_state_.term;
  const raft::Attested* const since = said.In(attested.term);
  if (attested.term >= hard_state_.term && !said.Forgotten(attested.term)) {
    if (!found_term && since == nullptr) {
      return absl::StrCat("term ", attested.term, ", where it holds ", hard_state_.term);
    }
    if (!attested.vote.empty() && !(found_term && hard_state_.vote == attested.vote) &&
        !(since != nullptr && since->vote == attested.vote)) {
      return absl::StrCat("its vote for ", attested.vote.ToString(), " in term ", attested.term);
    }
    if (attested.match_index != 0 &&
        !(found_term && Holds(attested.match_index, attested.match_term)) &&
        !(since != nullptr && since->match_index >= attested.match_index)) {
      return absl::StrCat("entry ", attested.match_index, " in term ", attested.term,
                          ", where its log ends at ", last_index_);
    }
  }
  if (last_index_ < attested.applied && said.applied() < attested.applied) {
    return absl::StrCat("entry ", attested.applied,
                        ", which it had applied, where its log ends at ", last_index_);
  }
  return "";
}

}  // namespace tenure::member
