// The naive model's attempts at operations, with and without locks: what command.h says of Begin,
// line by line.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lock_model.h"

namespace tenure::machine {

// ---- Who may attempt
// -----------------------------------------------------------------------------

LockModel::Chance LockModel::ChanceOf(const Begin& begin) {
  const auto it = records.find(begin.key);
  if (it == records.end()) return Chance::kFree;
  const Record& record = it->second;
  if (record.fingerprint != begin.fingerprint) return Chance::kMismatch;
  if (record.done) return Chance::kDone;
  if (!record.attempt) return Chance::kFree;
  // Who attempts it with the same lock keeps others out by that.
  if (record.attempt->lock == begin.lock) return Chance::kFree;
  // Late, and with no lock that others had to name.
  if (record.attempt->lock.empty() && Overdue(record)) return Chance::kFree;
  return Chance::kElsewhere;
}

// ---- Steps
// ---------------------------------------------------------------------------------------

void LockModel::StartAnew(Record& record, Attempt attempt) {
  Overtake(record);
  ++record.attempts;
  record.expires = kWaitForever;
  record.attempt = std::move(attempt);
}

std::string LockModel::Start(std::size_t client, Sequence sequence, const Begin& begin) {
  Record& record = records[begin.key];
  record.fingerprint = begin.fingerprint;
  record.retention = begin.retention_ns;
  StartAnew(record, {client, sequence, begin.lock, begin.deadline_ns, After(begin.deadline_ns)});
  return absl::StrCat("started ", record.attempts, " ", record.point);
}

std::string LockModel::Start(const std::string& key, const KeyWait& wait) {
  Record& record = records[key];
  StartAnew(record,
            {wait.client, wait.sequence, "", wait.attempt_lasts, After(wait.attempt_lasts)});
  return absl::StrCat("started ", record.attempts, " ", record.point);
}

// Who is late is told so.
void LockModel::Overtake(Record& record) {
  if (!record.attempt) return;
  told.insert(absl::StrCat("lost ", record.attempt->client, " ", record.attempt->sequence));
  EndAttempt(record);
}

void LockModel::EndAttempt(Record& record) {
  if (!record.attempt) return;
  const Attempt ended = *std::exchange(record.attempt, std::nullopt);
  record.expires = now + record.retention;
  if (ended.lock.empty()) return;
  for (Request& request : requests) {
    if (request.client != ended.client || request.sequence != ended.sequence) continue;
    for (Part& part : request.parts) part.held = false;
  }
}

bool LockModel::SettleKey(const std::string& key) {
  Record& record = records[key];
  const bool taken = record.attempt && !Overdue(record);
  if (record.done || record.queue.empty() || taken) return false;
  const KeyWait next = record.queue.front();
  record.queue.pop_front();
  told.insert(absl::StrCat(next.client, " ", next.sequence, " ", key, " ", Start(key, next)));
  return true;
}

LockModel::Record* LockModel::Attempted(std::size_t client, const std::string& key,
                                        Revision token) {
  const auto it = records.find(key);
  if (it == records.end() || !it->second.attempt) return nullptr;
  const Attempt& attempt = *it->second.attempt;
  return attempt.client == client && attempt.token == token ? &it->second : nullptr;
}

// ---- Commands
// ------------------------------------------------------------------------------------

std::string LockModel::Ask(std::size_t client, Sequence sequence, const Begin& begin) {
  const auto it = records.find(begin.key);
  Record* record = it == records.end() ? nullptr : &it->second;
  if (!begin.lock.empty()) {
    switch (ChanceOf(begin)) {
      case Chance::kFree:
        break;
      case Chance::kDone:
        return Outcome(*record);
      case Chance::kMismatch:
        return "mismatch";
      case Chance::kElsewhere:
        return "conflict";
    }
    Request request{client, sequence, {{begin.lock, LockMode::kExclusive}}, 0, 0, 0, ""};
    request.deadline = After(begin.wait_ns);
    request.begin = begin;
    if (IsOfAnotherKind(request, request.parts[0])) return "conflict";
    if (Sharing(client, "", begin.lock)) return "conflict";
    std::string progress = ProgressUnder(begin.lock);
    const Request& added = requests.emplace_back(request);
    if (Ready(added)) {
      Grant(requests.back());
      std::string started = Start(client, sequence, begin);
      Settle({});
      return started;
    }
    if (begin.wait_ns == 0) requests.pop_back();
    return progress;
  }

  if (record != nullptr && record->fingerprint != begin.fingerprint) return "mismatch";
  if (record != nullptr && record->done) return Outcome(*record);
  if (record == nullptr || (record->queue.empty() && (!record->attempt || Overdue(*record)))) {
    std::string started = Start(client, sequence, begin);
    Settle({});
    return started;
  }
  std::string progress = Progress(record);
  if (begin.wait_ns == 0) return progress;
  record->retention = std::max(record->retention, begin.retention_ns);
  record->queue.push_back({client, sequence, After(begin.wait_ns), begin.deadline_ns});
  return progress;
}

std::string LockModel::Store(std::size_t client, const Checkpoint& checkpoint) {
  Record* record = Attempted(client, checkpoint.key, checkpoint.token);
  if (record == nullptr) return "not held";
  record->point = checkpoint.point;
  record->attempt->deadline = After(record->attempt->lasts);
  return absl::StrCat("extended ", record->attempt->lasts);
}

std::string LockModel::Lengthen(std::size_t client, const Extend& extend) {
  Record* record = Attempted(client, extend.key, extend.token);
  if (record == nullptr) return "not held";
  record->attempt->lasts = extend.deadline_ns;
  record->attempt->deadline = After(extend.deadline_ns);
  return absl::StrCat("extended ", extend.deadline_ns);
}

std::string LockModel::Finish(std::size_t client, const FinishAttempt& finish) {
  Record* record = Attempted(client, finish.key, finish.token);
  if (record == nullptr) return "not held";
  EndAttempt(*record);
  if (finish.outcome != tenure::Outcome::kAbandoned) {
    record->done = true;
    record->failed = finish.outcome == tenure::Outcome::kFailed;
    record->response = finish.response;
    for (auto* waits : {&record->queue, &record->awaiting}) {
      for (const KeyWait& wait : *waits) {
        told.insert(absl::StrCat("outcome ", wait.client, " ", wait.sequence, " ", finish.key));
      }
      waits->clear();
    }
  }
  Settle({finish.key});
  return "finished";
}

std::string LockModel::Await(std::size_t client, Sequence sequence, const AwaitOperation& await) {
  const auto it = records.find(await.key);
  if (it == records.end()) return "absent";
  if (it->second.done) return Outcome(it->second);
  if (await.wait_ns > 0) {
    it->second.awaiting.push_back({client, sequence, After(await.wait_ns), 0});
  }
  return Progress(&it->second);
}

std::string LockModel::Remove(const std::string& key) {
  const auto it = records.find(key);
  if (it == records.end()) return "removed";
  Record& record = it->second;
  const bool running = record.attempt && !Overdue(record);
  if (running || !record.queue.empty() || !record.awaiting.empty()) return "conflict";
  Overtake(record);
  records.erase(it);
  Settle({});
  return "removed";
}

// ---- Shown
// ---------------------------------------------------------------------------------------

std::string LockModel::Progress(const Record* record) const {
  if (!record->attempt)
    return absl::StrCat("progress - ", kWaitForever, " ", record->queue.size(), " 0");
  const std::int64_t deadline = record->attempt->deadline;
  const std::int64_t left =
      deadline == kWaitForever ? kWaitForever : std::max<std::int64_t>(0, deadline - now);
  return absl::StrCat("progress ", record->attempt->client, " ", left, " ", record->queue.size(),
                      " 0");
}

std::string LockModel::ProgressUnder(const std::string& lock) {
  // Of those who share it, the first.
  const Request* holder = nullptr;
  for (const Request& request : requests) {
    for (const Part& part : request.parts) {
      if (part.held && part.name == lock && (!holder || request.token < holder->token)) {
        holder = &request;
      }
    }
  }
  std::int64_t left = kWaitForever;
  if (holder != nullptr && holder->begin) {
    const std::int64_t deadline = records[holder->begin->key].attempt->deadline;
    if (deadline != kWaitForever) left = std::max<std::int64_t>(0, deadline - now);
  }
  return absl::StrCat("progress ", holder ? absl::StrCat(holder->client) : "-", " ", left, " ",
                      Waiting(lock), " ", delays.count(lock) != 0 ? delays[lock] - now : 0);
}

std::string LockModel::Outcome(const Record& record) const {
  return absl::StrCat("done ", record.failed, " ", record.response, " ", record.expires - now);
}

}  // namespace tenure::machine
