#include "tests/checker/lock_history.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tenure::checker {
namespace {

using Kind = LockOperation::Kind;

// Configurations of one lock's search. Past it the answer is "unknown", which is a failure.
constexpr std::uint64_t kBudget = 200'000;

std::int64_t Ns(absl::Duration time) { return absl::ToInt64Nanoseconds(time); }

// A call that fits nowhere, and those that touch it.
std::string Around(const std::vector<Call<LockOperation>>& calls, std::size_t stuck) {
  const auto show = [](const Call<LockOperation>& call) {
    static constexpr const char* kNames[] = {"granted",     "ends",   "read held by",
                                             "not held by", "shared", "downgraded"};
    return absl::StrCat(
        kNames[static_cast<int>(call.operation.kind)], " ", call.operation.token,
        absl::StrJoin(call.operation.shared, "+"), " [",
        absl::FormatDuration(absl::Nanoseconds(call.start)), " to ",
        call.optional ? "ever, perhaps" : absl::FormatDuration(absl::Nanoseconds(call.end)), "]");
  };
  std::string text = absl::StrCat("; it is stuck at: ", show(calls[stuck]), ", beside:");
  int shown = 0;
  for (const Call<LockOperation>& call : calls) {
    if (call.start > calls[stuck].end || call.end < calls[stuck].start - 200'000'000) continue;
    if (call.optional && call.operation.token != calls[stuck].operation.token) continue;
    if (++shown <= 30) absl::StrAppend(&text, " ", show(call), ",");
  }
  return text;
}

}  // namespace

LockHistory::Id LockHistory::Asked(const std::string& lock, SessionId session, absl::Duration now,
                                   bool to_share) {
  waits_.push_back({lock, session, Ns(now), 0, to_share});
  return waits_.size() - 1;
}

void LockHistory::Granted(Id wait, Revision token, bool shared, absl::Duration now) {
  Wait& asked = waits_[wait];
  asked.token = token;
  const Kind kind = shared ? Kind::kShare : Kind::kAcquire;
  of_[asked.lock].push_back({{kind, token}, asked.asked, Ns(now), false});
}

LockHistory::Id LockHistory::Changing(const std::string& lock, const LockOperation& operation,
                                      absl::Duration now) {
  open_.push_back({lock, operation.token, Ns(now)});
  of_[lock].push_back({operation, Ns(now), kNeverEnds, true});
  open_.back().place = of_[lock].size() - 1;
  return open_.size() - 1;
}

LockHistory::Id LockHistory::Unlocking(const std::string& lock, Revision token,
                                       absl::Duration now) {
  return Changing(lock, {Kind::kEnd, token}, now);
}

LockHistory::Id LockHistory::Downgrading(const std::string& lock, Revision token,
                                         absl::Duration now) {
  return Changing(lock, {Kind::kDowngrade, token}, now);
}

void LockHistory::Unlocked(Id unlock, bool held, absl::Duration now) {
  const Open& open = open_[unlock];
  Call<LockOperation>& call = of_[open.lock][open.place];
  if (held) {
    call.end = Ns(now);
    call.optional = false;
  } else if (Ns(now) > open.start) {
    // Otherwise no cluster was asked: its own lease was over, so it was not held, whatever the
    // cluster still thinks.
    of_[open.lock].push_back({{Kind::kNotHeld, open.token}, open.start, Ns(now), false});
  }
}

void LockHistory::MayEnd(const std::string& lock, Revision token, absl::Duration now) {
  of_[lock].push_back({{Kind::kEnd, token}, Ns(now), kNeverEnds, true});
}

void LockHistory::AllMayEnd(absl::Duration now) { wipes_.push_back(Ns(now)); }

LockHistory::Id LockHistory::Reading(const std::string& lock, absl::Duration now) {
  open_.push_back({lock, 0, Ns(now)});
  return open_.size() - 1;
}

void LockHistory::Read(Id read, Revision holder, SessionId session, absl::Duration now) {
  const Open& open = open_[read];
  of_[open.lock].push_back({{Kind::kRead, holder}, open.start, Ns(now), false});
  if (holder != 0) seen_[open.lock][holder].push_back({session, false, Ns(now)});
}

void LockHistory::ReadShared(Id read, const std::vector<Sharer>& sharers, absl::Duration now) {
  const Open& open = open_[read];
  LockOperation operation{Kind::kRead};
  for (const Sharer& sharer : sharers) {
    operation.shared.push_back(sharer.token);
    seen_[open.lock][sharer.token].push_back({sharer.session, true, Ns(now)});
  }
  std::sort(operation.shared.begin(), operation.shared.end());
  of_[open.lock].push_back({std::move(operation), open.start, Ns(now), false});
}

// Who was told of a token is who was seen to hold it. A holder that no client knows of has given
// its wait up, or its process died: nobody was there to downgrade it, so it had from the start what
// it was seen to have, and each wait that nobody was told of explains one such token, seen after
// it.
std::string LockHistory::AddUntold(const std::string& lock, Calls* calls) const {
  std::map<Revision, SessionId> told;
  std::map<Asker, std::vector<std::int64_t>> asked;  // of waits without an answer
  for (const Wait& wait : waits_) {
    if (wait.lock != lock) continue;
    if (wait.token == 0) {
      asked[{wait.session, wait.to_share}].push_back(wait.asked);
      continue;
    }
    told.emplace(wait.token, wait.session);
    for (const std::int64_t wipe : wipes_) {
      if (wait.asked < wipe) calls->push_back({{Kind::kEnd, wait.token}, wipe, kNeverEnds, true});
    }
  }
  const auto seen = seen_.find(lock);
  if (seen == seen_.end()) return "";
  std::map<Asker, std::vector<std::int64_t>> untold;  // when each such token was first seen
  for (const auto& [token, sights] : seen->second) {
    const auto known = told.find(token);
    const Seen& first = sights.front();
    for (const Seen& sight : sights) {
      if (sight.session != (known == told.end() ? first.session : known->second))
        return absl::StrCat("session ", sight.session, " was seen to hold ", lock, " with token ",
                            token, ", which is another's");
    }
    if (known != told.end()) continue;
    const Asker asker{first.session, first.shares};
    const std::vector<std::int64_t>& waits = asked[asker];
    std::int64_t by = kNeverEnds;
    for (const Seen& sight : sights) by = std::min(by, sight.end);
    untold[asker].push_back(by);
    const Kind kind = first.shares ? Kind::kShare : Kind::kAcquire;
    const std::int64_t since =
        waits.empty() ? kNeverEnds : *std::min_element(waits.begin(), waits.end());
    calls->push_back({{kind, token}, since, kNeverEnds, true});
    calls->push_back({{Kind::kEnd, token}, since, kNeverEnds, true});
  }
  for (auto& [asker, sights] : untold) {
    std::vector<std::int64_t>& waits = asked[asker];
    std::sort(sights.begin(), sights.end());
    std::sort(waits.begin(), waits.end());
    for (std::size_t i = 0; i < sights.size(); ++i) {
      if (i < waits.size() && waits[i] <= sights[i]) continue;
      return absl::StrCat("session ", asker.first, " was seen to ",
                          asker.second ? "share " : "hold ", lock, " by ", i + 1,
                          " tokens that it was not told of, and had not asked for so many");
    }
  }
  return "";
}

std::string LockHistory::Check(std::uint64_t* operations, std::uint64_t* slow) const {
  for (const auto& [lock, recorded] : of_) {
    Calls calls = recorded;
    if (std::string wrong = AddUntold(lock, &calls); !wrong.empty()) return wrong;
    const Result result = CheckLock(calls, kBudget);
    *operations += calls.size();
    *slow += result.fast ? 0 : 1;
    if (result.verdict == Verdict::kLinearizable) continue;
    return absl::StrCat(
        "the history of ", lock, ", of ", calls.size(), " calls, is ",
        result.verdict == Verdict::kViolated ? "not linearizable" : "not decided within the budget",
        " (", result.configurations, " configurations)",
        result.verdict == Verdict::kViolated ? Around(calls, result.stuck) : "");
  }
  return "";
}

}  // namespace tenure::checker
