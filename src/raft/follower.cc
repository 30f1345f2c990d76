// Taking a leader's appends (sections 3.5 and 3.6).
#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "raft/impl.h"
#include "raft/validate.h"

namespace tenure::raft {

// The sender need not be in the configuration: a member that lags behind an exchange learns of it
// from a leader that it does not know yet (section 4.1). What makes it a leader is its term.
void Core::Impl::On(const MemberId& from, AppendRequest& request) {
  if (!WellFormed(request)) return;
  if (request.term < term_) {
    RefuseAppend(from, request);  // tells a deposed leader, or one that cannot know of this term
    return;
  }
  if (request.term == term_) {
    // Two leaders in one term cannot be; whichever message is wrong is not believed.
    if (role_ == Role::kLeader || (!leader_.empty() && leader_ != from)) return;
  }
  if (ContradictsCommitted(request)) return;
  HearLeader(request.term, from);
  transfer_heard_ = std::max(transfer_heard_, request.transfer);

  // What is committed here agrees with any leader's log (section 3.6.3), so an append that begins
  // below is taken up where the commit index stands, and nothing below is ever compared away or
  // rolled back.
  const Index last_sent = request.prev_index + request.entries.size();
  const Index agreed = std::max(request.prev_index, commit_);
  if (request.prev_index > commit_ && log_.TermAt(request.prev_index) != request.prev_term) {
    RefuseAppend(from, request);
    return;
  }
  TakeEntries(request.entries, agreed - request.prev_index);

  const Index match = std::max(last_sent, commit_);
  CommitThrough(std::max(commit_, std::min(request.commit, match)));
  TrimLog(request.trim_through);

  AppendResponse response;
  response.term = term_;
  response.accepted = true;
  response.round = request.round;
  response.transfer = transfer_heard_;
  response.priority = Priority();
  // Entries that are only in memory here may be needed again after a crash.
  response.applied = std::min(applied_, durable_.index());
  const bool wrote = out_.write.has_value() && !out_.write->entries.empty();
  // A heartbeat is answered at once with what is durable; new entries are answered when they are.
  response.match_index = wrote ? match : std::min(match, durable_.index());
  const WriteId after = durable_.WriteFor(response.match_index);
  Send(from, std::move(response), after);
}

void Core::Impl::HearLeader(Term term, const MemberId& leader) {
  BecomeFollower(term, leader);
  heard_ = now_;
  ResetElectionTimer();
}

bool Core::Impl::ContradictsCommitted(const AppendRequest& request) const {
  const auto differs = [this](Index index, Term term) {
    return index <= commit_ && log_.TermAt(index).value_or(term) != term;
  };
  if (differs(request.prev_index, request.prev_term)) return true;
  for (const Entry& entry : request.entries) {
    if (entry.index > commit_) break;
    if (differs(entry.index, entry.term)) return true;
  }
  return false;
}

void Core::Impl::TakeEntries(std::vector<Entry>& entries, std::size_t first) {
  for (std::size_t i = first; i < entries.size(); ++i) {
    Entry& entry = entries[i];
    if (entry.index <= log_.last_index()) {
      if (log_.TermAt(entry.index) == entry.term) continue;  // a duplicate (section 3.5)
      TruncateLog(entry.index);
    }
    AppendToLog(std::move(entry));
  }
}

void Core::Impl::RefuseAppend(const MemberId& from, const AppendRequest& request) {
  AppendResponse response;
  response.term = term_;
  response.accepted = false;
  response.round = request.round;
  response.rejected_prev = request.prev_index;
  if (request.term == term_) response.transfer = transfer_heard_;
  response.priority = Priority();
  response.applied = std::min(applied_, durable_.index());
  response.match_index = log_.LastNotAfter(request.prev_index, request.prev_term);
  response.hint_term = log_.TermAt(response.match_index).value_or(0);
  Send(from, std::move(response));
}

}  // namespace tenure::raft
