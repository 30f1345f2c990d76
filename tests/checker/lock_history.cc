#include "tests/checker/lock_history.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

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
        call.operation.sharers > 0 ? absl::StrCat(" of ", call.operation.sharers) : "", " [",
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

LockHistory::Id LockHistory::Asked(const std::string& lock, SessionId session, absl::Duration now) {
  waits_.push_back({lock, session, Ns(now)});
  return waits_.size() - 1;
}

void LockHistory::Granted(Id wait, Revision token, bool shared, absl::Duration now) {
  Wait& asked = waits_[wait];
  asked.token = token;
  const Kind kind = shared ? Kind::kShare : Kind::kAcquire;
  of_[asked.lock].push_back({{kind, token}, asked.asked, Ns(now), false});
}

LockHistory::Id LockHistory::Changing(const std::string& lock, LockOperation operation,
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
  if (holder != 0) seen_[open.lock].emplace(holder, Seen{session, false});
}

void LockHistory::ReadShared(Id read, const std::vector<Sharer>& sharers, absl::Duration now) {
  const Open& open = open_[read];
  const LockOperation operation{Kind::kRead, sharers.front().token, sharers.size()};
  of_[open.lock].push_back({operation, open.start, Ns(now), false});
  for (const Sharer& sharer : sharers)
    seen_[open.lock].emplace(sharer.token, Seen{sharer.session, true});
}

// A holder that no client knows of: its wait was given up, or its process died. Nobody was there to
// downgrade it, so it had from the start what it was seen to have.
std::string LockHistory::AddUntold(const std::string& lock, Calls* calls) const {
  std::set<Revision> granted;
  for (const Wait& wait : waits_) {
    if (wait.lock != lock || wait.token == 0) continue;
    granted.insert(wait.token);
    for (const std::int64_t wipe : wipes_) {
      if (wait.asked < wipe) calls->push_back({{Kind::kEnd, wait.token}, wipe, kNeverEnds, true});
    }
  }
  const auto seen = seen_.find(lock);
  if (seen == seen_.end()) return "";
  for (const auto& [token, holder] : seen->second) {
    if (granted.contains(token)) continue;
    std::int64_t asked = kNeverEnds;
    for (const Wait& wait : waits_) {
      if (wait.lock == lock && wait.session == holder.session && wait.token == 0)
        asked = std::min(asked, wait.asked);
    }
    if (asked == kNeverEnds) {
      return absl::StrCat("session ", holder.session, " was seen to hold ", lock, " with token ",
                          token, ", and had not asked for it");
    }
    const Kind kind = holder.shares ? Kind::kShare : Kind::kAcquire;
    calls->push_back({{kind, token}, asked, kNeverEnds, true});
    calls->push_back({{Kind::kEnd, token}, asked, kNeverEnds, true});
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
