#include "cli/inspect.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/connection.h"
#include "cli/exit_status.h"
#include "cli/json.h"
#include "cli/kept_output.h"
#include "cli/table.h"
#include "tenure/coordinator.h"
#include "tenure/election.h"
#include "tenure/idempotency.h"
#include "tenure/loop.h"
#include "tenure/mutex.h"

namespace tenure::cli {
namespace {

std::string Seconds(std::int64_t ns) {
  return absl::StrFormat("%.1f s", static_cast<double>(ns) / 1e9);
}

// Who has it; of several who share it, the first.
std::string HeldBy(const LockDescription& lock) {
  if (lock.holder.session == 0) return lock.delay == 0 ? "nobody" : "nobody, held back";
  std::string text = lock.holder.label;
  if (lock.shares > 1) absl::StrAppend(&text, " and ", lock.shares - 1, " more");
  if (lock.total > 0) absl::StrAppend(&text, ": ", lock.permits, " of ", lock.total, " permits");
  if (lock.total == 0 && lock.shares > 0) absl::StrAppend(&text, ", shared");
  return text;
}

std::string LockTable(const std::vector<LockDescription>& locks) {
  std::vector<std::vector<std::string>> rows = {
      {"LOCK", "HELD BY", "SESSION", "TOKEN", "FOR", "WAITING", "VALUE"}};
  for (const LockDescription& lock : locks) {
    const bool held = lock.holder.session != 0;
    rows.push_back({lock.name, HeldBy(lock), held ? absl::StrCat(lock.holder.session) : "-",
                    held ? absl::StrCat(lock.holder.token) : "-",
                    held ? Seconds(lock.holder.held_ns) : "-", absl::StrCat(lock.waiting),
                    lock.holder.value});
  }
  return Table(rows);
}

std::string WantedBy(const LockWaiter& waiter) {
  if (waiter.mode == LockMode::kPermits) return absl::StrCat(waiter.permits, " permits");
  return waiter.mode == LockMode::kShared ? "a share" : "all of it";
}

// Empty if there is none.
std::string BreakText(const BreakRecord& broken) {
  if (broken.revision == 0) return "";
  if (broken.session == 0) {
    return absl::StrCat("\nDELAY ENDED     ", Seconds(broken.ago_ns),
                        " ago: ", absl::Utf8SafeCEscape(broken.by), "\n");
  }
  return absl::StrCat("\nTAKEN FROM      ", absl::Utf8SafeCEscape(broken.label), ", token ",
                      broken.token, ", ", Seconds(broken.ago_ns),
                      " ago: ", absl::Utf8SafeCEscape(broken.by), "\n");
}

// Likewise.
std::string DelayText(const LockDescription& lock) {
  if (lock.delay == 0) return "";
  return absl::StrCat("\nHELD BACK       for another ", Seconds(lock.delay_left_ns),
                      ", as its holder was lost: `tenure break lock ",
                      absl::Utf8SafeCEscape(lock.name), " --delay` ends that\n");
}

std::string WaiterTable(const LockDescription& lock) {
  std::vector<std::vector<std::string>> rows = {{"WAITING", "SESSION", "FOR", "WANTS", "OWNER"}};
  for (const LockWaiter& waiter : lock.waiters) {
    rows.push_back({waiter.label, absl::StrCat(waiter.session), Seconds(waiter.waited_ns),
                    WantedBy(waiter), waiter.owner.empty() ? "-" : waiter.owner});
  }
  std::string text = absl::StrCat("\n", Table(rows));
  if (lock.waiting > lock.waiters.size()) {
    absl::StrAppend(&text, "and ", lock.waiting - lock.waiters.size(), " more\n");
  }
  return text;
}

std::string SharerTable(const LockDescription& lock) {
  std::vector<std::vector<std::string>> rows = {
      {"SHARED BY", "SESSION", "TOKEN", "FOR", lock.total > 0 ? "PERMITS" : "OWNER", "VALUE"}};
  for (const LockHolder& sharer : lock.sharers) {
    const std::string owner = sharer.owner.empty() ? "-" : sharer.owner;
    rows.push_back({sharer.label, absl::StrCat(sharer.session), absl::StrCat(sharer.token),
                    Seconds(sharer.held_ns), lock.total > 0 ? absl::StrCat(sharer.permits) : owner,
                    sharer.value});
  }
  std::string text = absl::StrCat("\n", Table(rows));
  if (lock.shares > lock.sharers.size()) {
    absl::StrAppend(&text, "and ", lock.shares - lock.sharers.size(), " more\n");
  }
  if (lock.total > 0) absl::StrAppend(&text, lock.permits, " of ", lock.total, " permits taken\n");
  return text;
}

std::string KeyTable(const std::vector<OperationDescription>& keys) {
  std::vector<std::vector<std::string>> rows = {
      {"KEY", "STATE", "ATTEMPTS", "BY", "ATTEMPT", "FOR", "EXPIRES IN", "WAITING"}};
  for (const OperationDescription& key : keys) {
    const bool attempted = key.holder.session != 0;
    rows.push_back({key.key, NameOf(key.state), absl::StrCat(key.attempts),
                    attempted ? key.holder.label : "-",
                    attempted ? absl::StrCat(key.holder.token) : "-",
                    attempted ? Seconds(key.holder.held_ns) : "-",
                    key.expires_in_ns == kWaitForever ? "-" : Seconds(key.expires_in_ns),
                    absl::StrCat(key.waiting)});
  }
  return Table(rows);
}

// What is stored of it, as text: what is no text is escaped.
std::string KeyText(const OperationDescription& key) {
  std::string text = KeyTable({key});
  if (!key.lock.empty()) {
    absl::StrAppend(&text, "\nWITH LOCK       ", absl::Utf8SafeCEscape(key.lock), "\n");
  }
  if (!key.fingerprint.empty()) {
    absl::StrAppend(&text, "\nFINGERPRINT     ", absl::Utf8SafeCEscape(key.fingerprint), "\n");
  }
  if (!key.point.empty()) {
    absl::StrAppend(&text, "\nRECOVERY POINT  ", absl::Utf8SafeCEscape(key.point), "\n");
  }
  if (const auto command = DecodeOutcome(key.response); command.ok()) {  // by `tenure once`
    absl::StrAppend(&text, "\nEXIT STATUS     ", command->exit_status, "\nOUTPUT          ",
                    command->written, " bytes", command->output.empty() ? "" : ": ",
                    absl::Utf8SafeCEscape(command->output), "\n");
  } else if (!key.response.empty()) {
    absl::StrAppend(&text, "\nRESPONSE        ", absl::Utf8SafeCEscape(key.response), "\n");
  }
  return text + BreakText(key.broken);
}

std::string ElectionTable(const std::vector<ElectionDescription>& elections) {
  std::vector<std::vector<std::string>> rows = {
      {"ELECTION", "LED BY", "SESSION", "TERM", "FOR", "CANDIDATES", "VALUE"}};
  for (const ElectionDescription& election : elections) {
    const bool led = election.leader.session != 0;
    rows.push_back({election.name, led ? election.leader.label : "nobody",
                    led ? absl::StrCat(election.leader.session) : "-",
                    led ? absl::StrCat(election.leader.token) : "-",
                    led ? Seconds(election.leader.held_ns) : "-", absl::StrCat(election.waiting),
                    election.leader.value});
  }
  return Table(rows);
}

std::string CandidateTable(const ElectionDescription& election) {
  std::vector<std::vector<std::string>> rows = {
      {"CANDIDATE", "SESSION", "PRIORITY", "FOR", "VALUE"}};
  for (const Candidate& candidate : election.candidates) {
    rows.push_back({candidate.label, absl::StrCat(candidate.session),
                    absl::StrCat(candidate.priority), Seconds(candidate.waited_ns),
                    candidate.value});
  }
  std::string text = absl::StrCat("\n", Table(rows));
  if (election.waiting > election.candidates.size()) {
    absl::StrAppend(&text, "and ", election.waiting - election.candidates.size(), " more\n");
  }
  return text;
}

std::string SessionTable(const std::vector<SessionDescription>& sessions) {
  std::vector<std::vector<std::string>> rows = {
      {"SESSION", "OWNER", "TTL", "EXPIRES IN", "LOCKS", "WAITS"}};
  for (const SessionDescription& session : sessions) {
    rows.push_back({absl::StrCat(session.session), session.label, Seconds(session.ttl_ns),
                    Seconds(session.expires_in_ns), absl::StrCat(session.locks),
                    absl::StrCat(session.waits)});
  }
  return Table(rows);
}

class Inspection {
 public:
  Inspection(Coordinator coordinator, const InspectFlags& flags)
      : coordinator_(std::move(coordinator)), flags_(flags) {}

  absl::StatusOr<std::string> Text() {
    switch (flags_.what) {
      case InspectFlags::What::kLocks: {
        absl::StatusOr<std::vector<LockDescription>> locks = Locks();
        if (!locks.ok()) return locks.status();
        return flags_.json ? LocksJson(*locks) + "\n" : LockTable(*locks);
      }
      case InspectFlags::What::kLock: {
        absl::StatusOr<LockDescription> lock = Lock();
        if (!lock.ok()) return lock.status();
        lock->name = flags_.name;
        if (flags_.json) return LockJson(*lock) + "\n";
        return LockTable({*lock}) + (lock->shares > 0 ? SharerTable(*lock) : "") +
               (lock->waiting > 0 ? WaiterTable(*lock) : "") + DelayText(*lock) +
               BreakText(lock->broken);
      }
      case InspectFlags::What::kKeys: {
        absl::StatusOr<std::vector<OperationDescription>> keys = Keys();
        if (!keys.ok()) return keys.status();
        return flags_.json ? KeysJson(*keys) + "\n" : KeyTable(*keys);
      }
      case InspectFlags::What::kKey: {
        const absl::StatusOr<OperationDescription> key =
            coordinator_.idempotency(flags_.scope).Get(flags_.name, Left());
        if (!key.ok()) return key.status();
        return flags_.json ? KeyJson(*key) + "\n" : KeyText(*key);
      }
      case InspectFlags::What::kElections: {
        absl::StatusOr<std::vector<ElectionDescription>> elections = Elections();
        if (!elections.ok()) return elections.status();
        return flags_.json ? ElectionsJson(*elections) + "\n" : ElectionTable(*elections);
      }
      case InspectFlags::What::kElection: {
        absl::StatusOr<ElectionDescription> election =
            coordinator_.election(flags_.name).Describe(Left());
        if (!election.ok()) return election.status();
        election->name = flags_.name;
        if (flags_.json) return ElectionJson(*election) + "\n";
        return ElectionTable({*election}) +
               (election->waiting > 0 ? CandidateTable(*election) : "") +
               BreakText(election->broken);
      }
      case InspectFlags::What::kSessions: {
        absl::StatusOr<std::vector<SessionDescription>> sessions = Sessions();
        if (!sessions.ok()) return sessions.status();
        return flags_.json ? SessionsJson(*sessions) + "\n" : SessionTable(*sessions);
      }
    }
    return absl::InternalError("no such thing to inspect");
  }

 private:
  // The timeout is for all pages together.
  absl::Duration Left() const {
    const absl::Duration over = absl::Nanoseconds(ReadMonotonicClocks().HolderElapsedNs(started_));
    return std::max(flags_.timeout - over, absl::Milliseconds(1));
  }

  absl::StatusOr<std::vector<LockDescription>> Locks() {
    std::vector<LockDescription> all;
    while (true) {
      absl::StatusOr<LockList> page =
          coordinator_.ListLocks(all.empty() ? "" : all.back().name, 1000, Left());
      if (!page.ok()) return page.status();
      std::move(page->locks.begin(), page->locks.end(), std::back_inserter(all));
      if (!page->more) return all;
    }
  }

  absl::StatusOr<LockDescription> Lock() { return coordinator_.mutex(flags_.name).Inspect(Left()); }

  absl::StatusOr<std::vector<OperationDescription>> Keys() {
    std::vector<OperationDescription> all;
    while (true) {
      absl::StatusOr<OperationList> page =
          coordinator_.idempotency(flags_.scope)
              .List(all.empty() ? "" : all.back().key, 1000, Left());
      if (!page.ok()) return page.status();
      std::move(page->operations.begin(), page->operations.end(), std::back_inserter(all));
      if (!page->more) return all;
    }
  }

  absl::StatusOr<std::vector<ElectionDescription>> Elections() {
    std::vector<ElectionDescription> all;
    while (true) {
      absl::StatusOr<ElectionList> page =
          coordinator_.ListElections(all.empty() ? "" : all.back().name, 1000, Left());
      if (!page.ok()) return page.status();
      std::move(page->elections.begin(), page->elections.end(), std::back_inserter(all));
      if (!page->more) return all;
    }
  }

  absl::StatusOr<std::vector<SessionDescription>> Sessions() {
    std::vector<SessionDescription> all;
    while (true) {
      absl::StatusOr<SessionList> page =
          coordinator_.ListSessions(all.empty() ? 0 : all.back().session, 1000, Left());
      if (!page.ok()) return page.status();
      std::move(page->sessions.begin(), page->sessions.end(), std::back_inserter(all));
      if (!page->more) return all;
    }
  }

  Coordinator coordinator_;
  const InspectFlags& flags_;
  Instant started_ = ReadMonotonicClocks();
};

}  // namespace

int RunInspect(const InspectFlags& flags) {
  absl::StatusOr<Coordinator> coordinator = ConnectTo(flags.endpoints);
  if (!coordinator.ok()) {
    Complain("inspect", coordinator.status().message());
    return ExitStatusFor(coordinator.status());
  }
  const absl::StatusOr<std::string> text = Inspection(*std::move(coordinator), flags).Text();
  if (!text.ok()) {
    Complain("inspect", text.status().message());
    return text.status().code() == absl::StatusCode::kInvalidArgument ? kExitUsage
                                                                      : kExitUnavailable;
  }
  std::fputs(text->c_str(), stdout);
  return kExitOk;
}

}  // namespace tenure::cli
