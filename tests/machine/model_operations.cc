// The naive model's operations.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "model.h"

namespace tenure::machine {

std::string Model::Operate(const Command& command) {
  if (const auto* begin = std::get_if<Begin>(&command.operation)) return Ask(command, *begin);
  if (const auto* point = std::get_if<Checkpoint>(&command.operation)) {
    Record* record = Attempted(command, point->key, point->token);
    if (record == nullptr) return "not held";
    record->point = point->point;
    record->overdue = false;
    record->deadline = record->attempt == kWaitForever ? kWaitForever : now_ + record->attempt;
    return absl::StrCat("extended ", record->attempt);
  }
  if (const auto* extend = std::get_if<Extend>(&command.operation)) {
    Record* record = Attempted(command, extend->key, extend->token);
    if (record == nullptr) return "not held";
    record->attempt = extend->deadline_ns;
    record->overdue = false;
    record->deadline = record->attempt == kWaitForever ? kWaitForever : now_ + record->attempt;
    return absl::StrCat("extended ", record->attempt);
  }
  if (const auto* finish = std::get_if<FinishAttempt>(&command.operation)) {
    return Finish(command, *finish);
  }
  if (const auto* await = std::get_if<AwaitOperation>(&command.operation)) {
    if (await->wait_ns < 0) return "invalid";
    const auto it = operations.find(await->key);
    if (it == operations.end()) return "absent";
    if (it->second.done) return Outcome(it->second);
    if (await->wait_ns > 0) {
      const bool forever = await->wait_ns == kWaitForever;
      it->second.awaiting.push_back({{command.session, command.sequence},
                                     forever ? kWaitForever : now_ + await->wait_ns,
                                     ++order_,
                                     0});
    }
    std::string progress = Progress(&it->second);
    return progress.substr(0, progress.rfind(' ')) + " 0";  // who only awaits is not held back
  }
  return Remove(std::get<Forget>(command.operation).key);
}

std::string Model::Ask(const Command& command, const Begin& begin) {
  const GrantId who{command.session, command.sequence};
  if (begin.wait_ns < 0) return "invalid";
  const auto it = operations.find(begin.key);
  Record* record = it == operations.end() ? nullptr : &it->second;
  if (record != nullptr && record->fingerprint != begin.fingerprint) return "mismatch";
  if (record != nullptr && record->done) return Outcome(*record);
  const bool claimable = now_ >= grants_from_ &&
                         (record == nullptr || (record->queue.empty() &&
                                                (record->holder.first == 0 || record->overdue)));
  if (!claimable && begin.wait_ns == 0) return Progress(record);
  if (record == nullptr) {
    record = &operations[begin.key];
    record->fingerprint = begin.fingerprint;
  }
  // Who waits keeps it no shorter.
  if (claimable || begin.retention_ns > record->retention) record->retention = begin.retention_ns;
  if (claimable) {
    Overtake(begin.key, *record);
    Start(*record, who, begin.deadline_ns);
    return absl::StrCat("started ", record->attempts, " ", record->point);
  }
  if (record->holder.first == 0 && record->expires == kWaitForever) {
    record->expires = now_ + record->retention;
    record->expiry_order = ++order_;
  }
  std::string reply = Progress(record);
  const bool forever = begin.wait_ns == kWaitForever;
  record->queue.push_back(
      {who, forever ? kWaitForever : now_ + begin.wait_ns, ++order_, begin.deadline_ns});
  const bool listed = std::count(held_back_.begin(), held_back_.end(), begin.key) != 0;
  if (now_ < grants_from_ && !listed) held_back_.push_back(begin.key);
  return reply;
}

std::string Model::Finish(const Command& command, const FinishAttempt& finish) {
  Record* record = Attempted(command, finish.key, finish.token);
  if (record == nullptr) return "not held";
  if (finish.outcome != tenure::Outcome::kAbandoned) {
    record->done = true;
    record->failed = finish.outcome == tenure::Outcome::kFailed;
    record->response = finish.response;
    if (!record->queue.empty() || !record->awaiting.empty()) untold_.push_back(finish.key);
  }
  Vacate(*record);
  SettleRecord(finish.key);
  return "finished";
}

std::string Model::Remove(const std::string& key) {
  const auto it = operations.find(key);
  if (it == operations.end()) return "removed";
  const bool running = it->second.holder.first != 0 && !it->second.overdue;
  if (running || Awaited(key)) return "conflict";
  Overtake(key, it->second);
  operations.erase(it);
  return "removed";
}

Model::Record* Model::Attempted(const Command& command, const std::string& key, Revision token) {
  const auto record = operations.find(key);
  const auto grant = grants.find(token);
  if (record == operations.end() || grant == grants.end()) return nullptr;
  if (record->second.holder != grant->second || grant->second.first != command.session) {
    return nullptr;
  }
  return &record->second;
}

void Model::Start(Record& record, GrantId who, std::int64_t attempt) {
  record.holder = who;
  record.deadline_order = ++order_;
  ++record.attempts;
  record.expires = kWaitForever;
  record.attempt = attempt;
  record.deadline = attempt == kWaitForever ? kWaitForever : now_ + attempt;
}

// Whoever attempts it and is late is told so.
void Model::Overtake(const std::string& key, Record& record) {
  if (record.holder.first == 0) return;
  told.push_back(absl::StrCat(record.holder.first, ": lost ", record.holder.second, " ", key));
  Vacate(record);
}

void Model::Vacate(Record& record) {
  record.holder = {};
  record.overdue = false;
  record.deadline = kWaitForever;
  record.expires = now_ + record.retention;
  record.expiry_order = ++order_;
}

void Model::SettleRecord(const std::string& key) {
  Record& record = operations[key];
  if (record.holder.first != 0) {
    const bool alive = sessions[record.holder.first].alive;
    if (alive && !record.overdue) return;
    if (!alive) Vacate(record);
  }
  if (now_ < grants_from_ || record.done || record.queue.empty()) return;
  Overtake(key, record);
  const Attempter next = record.queue.front();
  record.queue.pop_front();
  Start(record, next.who, next.attempt);
  told.push_back(absl::StrCat(next.who.first, ": started ", next.who.second, " ", key, " ",
                              record.attempts, " ", record.point));
}

bool Model::Awaited(const std::string& key) {
  const Record& record = operations[key];
  return !record.queue.empty() || !record.awaiting.empty() ||
         std::count(held_back_.begin(), held_back_.end(), key) != 0 ||
         std::count(untold_.begin(), untold_.end(), key) != 0;
}

void Model::Expire(const std::string& key) {
  Record& record = operations[key];
  if (!Awaited(key)) {
    operations.erase(key);
    return;
  }
  record.expires = now_ + record.retention;
  record.expiry_order = ++order_;
}

std::string Model::Progress(const Record* record) const {
  const std::int64_t back = now_ < grants_from_ ? grants_from_ - now_ : 0;
  if (record == nullptr) return absl::StrCat("progress 0 ", kWaitForever, " 0 ", back);
  const std::int64_t ends = record->overdue                    ? 0
                            : record->deadline == kWaitForever ? kWaitForever
                                                               : record->deadline - now_;
  return absl::StrCat("progress ", record->holder.first, " ", ends, " ", record->queue.size(), " ",
                      back);
}

std::string Model::Outcome(const Record& record) const {
  return absl::StrCat("done ", record.failed, " ", record.response, " ", record.expires - now_);
}

}  // namespace tenure::machine
