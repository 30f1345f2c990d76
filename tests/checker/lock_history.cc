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
    static constexpr const char* kNames[] = {"granted", "ends", "read held by", "not held by"};
    return absl::StrCat(
        kNames[static_cast<int>(call.operation.kind)], " ", call.operation.token, " [",
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

void LockHistory::Granted(Id wait, Revision token, absl::Duration now) {
  Wait& asked = waits_[wait];
  asked.token = token;
  of_[asked.lock].push_back({{Kind::kAcquire, token}, asked.asked, Ns(now), false});
}

LockHistory::Id LockHistory::Unlocking(const std::string& lock, Revision token,
                                       absl::Duration now) {
  open_.push_back({lock, token, Ns(now)});
  of_[lock].push_back({{Kind::kEnd, token}, Ns(now), kNeverEnds, true});
  open_.back().place = of_[lock].size() - 1;
  return open_.size() - 1;
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
  if (holder != 0) seen_[open.lock].emplace(holder, session);
}

std::string LockHistory::Check(std::uint64_t* operations, std::uint64_t* slow) const {
  for (const auto& [lock, recorded] : of_) {
    std::vector<Call<LockOperation>> calls = recorded;
    std::set<Revision> granted;
    for (const Wait& wait : waits_) {
      if (wait.lock != lock || wait.token == 0) continue;
      granted.insert(wait.token);
      for (const std::int64_t wipe : wipes_) {
        if (wait.asked < wipe) calls.push_back({{Kind::kEnd, wait.token}, wipe, kNeverEnds, true});
      }
    }
    // A holder that no client knows of: its wait was given up, or its process died.
    const auto seen = seen_.find(lock);
    if (seen != seen_.end()) {
      for (const auto& [token, session] : seen->second) {
        if (granted.contains(token)) continue;
        std::int64_t asked = kNeverEnds;
        for (const Wait& wait : waits_) {
          if (wait.lock == lock && wait.session == session && wait.token == 0)
            asked = std::min(asked, wait.asked);
        }
        if (asked == kNeverEnds) {
          return absl::StrCat("session ", session, " was seen to hold ", lock, " with token ",
                              token, ", and had not asked for it");
        }
        calls.push_back({{Kind::kAcquire, token}, asked, kNeverEnds, true});
        calls.push_back({{Kind::kEnd, token}, asked, kNeverEnds, true});
      }
    }
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
