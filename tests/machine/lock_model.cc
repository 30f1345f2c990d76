#include "lock_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tenure::machine {

// ---- What there is
// -------------------------------------------------------------------------------

LockModel::Request* LockModel::Holder(const std::string& name, std::optional<LockMode> mode) {
  for (Request& request : requests) {
    for (const Part& part : request.parts) {
      if (part.held && part.name == name && (!mode || part.mode == *mode)) return &request;
    }
  }
  return nullptr;
}

std::size_t LockModel::Waiting(const std::string& name, const Request* before) {
  std::size_t count = 0;
  for (const Request& request : requests) {
    if (&request == before) break;
    if (!request.waiting) continue;
    for (const Part& part : request.parts) count += part.name == name;
  }
  return count;
}

std::uint64_t LockModel::Taken(const std::string& name) {
  std::uint64_t taken = 0;
  for (const Request& request : requests) {
    for (const Part& part : request.parts) {
      if (part.held && part.name == name && part.mode == LockMode::kPermits) {
        taken += request.permits;
      }
    }
  }
  return taken;
}

bool LockModel::Sharing(std::size_t client, const std::string& owner, const std::string& name) {
  for (const Request& request : requests) {
    for (const Part& part : request.parts) {
      if (part.held && part.name == name && part.mode == LockMode::kShared &&
          request.client == client && request.owner == owner) {
        return true;
      }
    }
  }
  return false;
}

LockModel::Part* LockModel::Held(std::optional<std::size_t> client, const std::string& name,
                                 Revision token, Request** of) {
  for (Request& request : requests) {
    for (Part& part : request.parts) {
      if (part.held && part.name == name && request.token == token &&
          (!client || request.client == *client)) {
        *of = &request;
        return &part;
      }
    }
  }
  return nullptr;
}

// ---- Who can have what
// ---------------------------------------------------------------------------

// Nobody has it in a way that keeps this out; an attempt whose deadline has passed keeps nobody.
bool LockModel::Free(const Request& request, const Part& part) {
  if (delays.count(part.name) != 0) return false;
  if (const Request* holder = Holder(part.name, LockMode::kExclusive)) {
    return holder->begin && Overdue(records[holder->begin->key]);
  }
  if (part.mode == LockMode::kExclusive) return Holder(part.name, std::nullopt) == nullptr;
  if (part.mode == LockMode::kShared) return true;
  return Taken(part.name) + request.permits <= request.total;
}

bool LockModel::Ready(const Request& request) {
  return std::all_of(request.parts.begin(), request.parts.end(), [&](const Part& part) {
    return Waiting(part.name, &request) == 0 && Free(request, part);
  });
}

bool LockModel::IsOfAnotherKind(const Request& request, const Part& part) {
  const bool used =
      Holder(part.name, std::nullopt) || Waiting(part.name) || delays.count(part.name);
  std::uint64_t total = 0;
  for (const Request& other : requests) {
    for (const Part& one : other.parts) {
      if (one.name == part.name && (one.held || other.waiting)) total = other.total;
    }
  }
  return used && total != request.total;
}

void LockModel::Grant(Request& request) {
  Granted grant{request.client, request.sequence, {}, {}};
  request.waiting = false;
  for (Part& part : request.parts) {
    if (Request* late = Holder(part.name, LockMode::kExclusive)) {
      Overtake(records[late->begin->key]);
    }
    if (part.mode == LockMode::kPermits) {
      std::set<std::uint64_t> taken;
      for (const Request& other : requests) {
        for (const Part& seat : other.parts) {
          if (seat.held && seat.name == part.name) taken.insert(seat.seat);
        }
      }
      while (taken.count(part.seat) != 0) ++part.seat;
    }
    part.held = true;
    grant.seats.push_back(part.seat);
    grant.shared.push_back(part.mode == LockMode::kShared ? part.name : "");
  }
  if (!request.begin) granted.push_back(grant);
}

void LockModel::Drop(Request& request, Part& part, bool uncleanly) {
  part.held = false;
  if (uncleanly && part.mode == LockMode::kExclusive && request.delay > 0) {
    delays[part.name] = now + request.delay;
  }
  if (request.begin) EndAttempt(records[request.begin->key]);
}

void LockModel::Forget() {
  std::erase_if(requests, [](const Request& request) {
    return !request.waiting && std::none_of(request.parts.begin(), request.parts.end(),
                                            [](const Part& part) { return part.held; });
  });
  for (auto it = first.begin(); it != first.end();) {
    it = Holder(it->first, LockMode::kShared) ? std::next(it) : first.erase(it);
  }
}

// True if somebody got something, or was told that there is nothing to get.
bool LockModel::SettleLock(const std::string& name) {
  Forget();
  for (auto it = requests.begin(); it != requests.end(); ++it) {
    const bool wants_it = std::any_of(it->parts.begin(), it->parts.end(),
                                      [&](const Part& part) { return part.name == name; });
    if (!it->waiting || !wants_it) continue;
    if (!Ready(*it)) return false;
    const Request request = *it;
    if (!request.begin) {
      Grant(*it);
    } else if (ChanceOf(*request.begin) == Chance::kFree) {
      Grant(*it);
      const std::string started = Start(request.client, request.sequence, *request.begin);
      told.insert(absl::StrCat(request.client, " ", request.sequence, " ", request.begin->key, " ",
                               started));
    } else {
      told.insert(
          absl::StrCat("outcome ", request.client, " ", request.sequence, " ", request.begin->key));
      requests.erase(it);
    }
    return true;
  }
  return false;
}

void LockModel::Settle(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    while (records.count(name) != 0 ? SettleKey(name) : SettleLock(name)) {
    }
  }
  for (bool more = true; more;) {
    more = false;
    std::set<std::string> all;
    for (const Request& request : requests) {
      for (const Part& part : request.parts) all.insert(part.name);
    }
    for (const std::string& name : all) more = SettleLock(name) || more;
    for (const auto& [key, record] : records) more = SettleKey(key) || more;
  }
  Forget();
}

// ---- Commands
// ------------------------------------------------------------------------------------

std::string LockModel::Acquire(Request request, std::int64_t wait, bool reentrant) {
  for (const Part& part : request.parts) {
    if (IsOfAnotherKind(request, part)) return "conflict";
    Request* holder = Holder(part.name, LockMode::kExclusive);
    const bool own = holder && holder->client == request.client && holder->owner == request.owner;
    if (reentrant && own && part.mode == LockMode::kShared) return "conflict";
    const bool shares = Sharing(request.client, request.owner, part.name);
    if (shares && part.mode == LockMode::kExclusive) return "conflict";
    if (reentrant && shares && part.mode == LockMode::kShared && Waiting(part.name)) {
      return "conflict";
    }
    if (reentrant && own) {
      for (Part& held : holder->parts) {
        if (held.name == part.name) return absl::StrCat("again ", ++held.holds);
      }
    }
  }
  const Request& added = requests.emplace_back(std::move(request));
  if (Ready(added)) {
    Grant(requests.back());
    Settle({});
    return "granted";
  }
  // The first of its names that is not to be had at once.
  std::string blocked = added.parts[0].name;
  for (std::size_t i = added.parts.size(); i-- > 0;) {
    const Part& part = added.parts[i];
    if (Waiting(part.name, &added) > 0 || !Free(added, part)) blocked = part.name;
  }
  const std::size_t ahead = Waiting(blocked, &added);
  if (wait == 0) {
    requests.pop_back();
    return absl::StrCat("held ", ahead);
  }
  return absl::StrCat("queued ", ahead);
}

std::string LockModel::Release(std::size_t client, const std::string& name, Revision token) {
  Request* of = nullptr;
  Part* const part = Held(client, name, token, &of);
  if (part == nullptr) return "not held";
  if (part->holds > 1) return absl::StrCat("released ", --part->holds);
  Drop(*of, *part, /*uncleanly=*/false);
  Settle({name});
  return "released 0";
}

std::string LockModel::Downgrade(std::size_t client, const std::string& name, Revision token) {
  Request* of = nullptr;
  Part* const part = Held(client, name, token, &of);
  if (part == nullptr || part->mode != LockMode::kExclusive) return "not held";
  if (part->holds > 1 || of->begin) return "conflict";
  part->mode = LockMode::kShared;
  first[name] = token;
  Settle({name});
  return "granted";
}

// Of a lock, or of an attempt at a key.
std::string LockModel::Break(const std::string& name, Revision token) {
  Request* of = nullptr;
  Part* const part = Held(std::nullopt, name, token, &of);
  const auto record = records.find(name);
  if (part != nullptr) {
    told.insert(absl::StrCat("lost ", of->client, " ", of->sequence));
    Drop(*of, *part, /*uncleanly=*/true);
  } else if (record != records.end() && record->second.attempt &&
             record->second.attempt->token == token) {
    const Attempt& attempt = *record->second.attempt;
    told.insert(absl::StrCat("lost ", attempt.client, " ", attempt.sequence));
    EndAttempt(record->second);
  } else {
    return "absent";
  }
  Settle({name});
  return "broken";
}

std::string LockModel::EndDelay(const std::string& name) {
  if (delays.erase(name) == 0) return "absent";
  Settle({name});
  return "broken";
}

std::string LockModel::Cancel(std::size_t client, Sequence sequence) {
  for (const auto& [key, record] : records) {
    const auto& attempt = record.attempt;
    if (attempt && attempt->client == client && attempt->sequence == sequence) {
      return absl::StrCat("started ", record.attempts, " ", record.point);
    }
  }
  std::vector<std::string> left;
  for (auto it = requests.begin(); it != requests.end(); ++it) {
    if (it->client != client || it->sequence != sequence) continue;
    if (!it->waiting) return "granted";
    for (const Part& part : it->parts) left.push_back(part.name);
    requests.erase(it);
    break;
  }
  const auto asked = [&](const KeyWait& wait) {
    return wait.client == client && wait.sequence == sequence;
  };
  for (auto& [key, record] : records) {
    record.queue.remove_if(asked);
    record.awaiting.remove_if(asked);
  }
  Settle(left);
  return "cancelled";
}

void LockModel::End(std::size_t client, bool expired) {
  dues.erase(client);
  // All of it is anybody's at once, and given away in the order in which it was asked for.
  std::map<Sequence, std::vector<std::string>> left;
  const auto its = [client](const auto& one) { return one.client == client; };
  for (Request& request : requests) {
    if (!its(request)) continue;
    for (Part& part : request.parts) {
      if (request.waiting || part.held) left[request.sequence].push_back(part.name);
      if (part.held) Drop(request, part, expired);
    }
  }
  std::erase_if(requests, [&](const Request& request) { return request.waiting && its(request); });
  for (auto& [key, record] : records) {
    record.queue.remove_if(its);
    record.awaiting.remove_if(its);
    if (!record.attempt || !its(*record.attempt)) continue;
    left[record.attempt->sequence].push_back(key);
    EndAttempt(record);
  }
  std::vector<std::string> names;
  for (const auto& [sequence, each] : left) names.insert(names.end(), each.begin(), each.end());
  Settle(names);
}

// ---- Time
// ----------------------------------------------------------------------------------------

std::int64_t LockModel::NextDue() const {
  std::int64_t due = kWaitForever;
  for (const Request& request : requests) {
    if (request.waiting) due = std::min(due, request.deadline);
  }
  for (const auto& [name, until] : delays) due = std::min(due, until);
  for (const auto& [client, end] : dues) due = std::min(due, end);
  for (const auto& [key, record] : records) {
    due = std::min(due, record.expires);
    if (record.attempt && !Overdue(record)) due = std::min(due, record.attempt->deadline);
    for (const auto* waits : {&record.queue, &record.awaiting}) {
      for (const KeyWait& wait : *waits) due = std::min(due, wait.deadline);
    }
  }
  return due;
}

// Whoever calls stops wherever something is due, which is one thing at a time.
void LockModel::PassTo(std::int64_t time) {
  now = time;
  const auto ends = std::find_if(dues.begin(), dues.end(),
                                 [time](const auto& due) { return due.second <= time; });
  if (ends != dues.end()) End(ends->first, /*expired=*/true);
  std::vector<std::string> names;
  std::erase_if(delays, [time](const auto& delay) { return delay.second <= time; });
  std::erase_if(requests, [&](const Request& request) {
    if (!request.waiting || request.deadline > time) return false;
    told.insert(absl::StrCat("over ", request.client, " ", request.sequence));
    for (const Part& part : request.parts) names.push_back(part.name);
    return true;
  });
  for (auto& [key, record] : records) {
    if (record.attempt && record.attempt->deadline == time) names.push_back(key);
    for (auto* waits : {&record.queue, &record.awaiting}) {
      waits->remove_if([&](const KeyWait& wait) {
        if (wait.deadline > time) return false;
        told.insert(absl::StrCat("over ", wait.client, " ", wait.sequence));
        return true;
      });
    }
  }
  for (auto it = records.begin(); it != records.end();) {
    Record& record = it->second;
    const bool expires = record.expires <= time;
    if (expires && record.queue.empty() && record.awaiting.empty()) {
      it = records.erase(it);
      continue;
    }
    // Who waits keeps it.
    if (expires) record.expires = now + record.retention;
    ++it;
  }
  Settle(names);
}

void LockModel::Take(std::size_t client, Sequence sequence, Revision token) {
  for (Request& request : requests) {
    if (request.client == client && request.sequence == sequence) request.token = token;
  }
  for (auto& [key, record] : records) {
    auto& attempt = record.attempt;
    if (attempt && attempt->client == client && attempt->sequence == sequence) {
      attempt->token = token;
    }
  }
}

}  // namespace tenure::machine
