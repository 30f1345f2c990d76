// Random logs, for whoever compares machines.
#ifndef TENURE_TESTS_MACHINE_WORKLOAD_H_
#define TENURE_TESTS_MACHINE_WORKLOAD_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "machine/machine.h"
#include "model.h"

namespace tenure::machine {

inline constexpr std::int64_t kMillisecond = 1'000'000;

struct Entry {
  std::int64_t stamp = 0;
  std::vector<Command> commands;
};

// Draws commands as clients would send them over a bad network: new ones, retries, strays.
class Workload {
 public:
  // `shares`: also draw what the naive model does not have.
  Workload(std::uint32_t seed, const std::map<Revision, Model::GrantId>* grants,
           bool shares = false)
      : random_(seed), grants_(grants), shares_(shares) {}

  Entry Next() {
    Entry entry;
    now_ += Chance(5) ? Below(4'000) * kMillisecond : Below(40) * kMillisecond;
    entry.stamp = now_;
    for (std::uint64_t n = Below(5); n > 0; --n) entry.commands.push_back(Draw());
    for (const Command& command : entry.commands) sent_.push_back(command);
    return entry;
  }
  // What an AcquireLock, a Campaign or a Begin asks for; null for anything else.
  static const std::string* NameOf(const Command& command) {
    if (const auto* acquire = std::get_if<AcquireLock>(&command.operation)) return &acquire->name;
    if (const auto* campaign = std::get_if<Campaign>(&command.operation)) return &campaign->name;
    if (const auto* begin = std::get_if<Begin>(&command.operation)) return &begin->key;
    const auto* all = std::get_if<AcquireAll>(&command.operation);
    if (all != nullptr && !all->locks.empty()) return &all->locks[0].name;
    return nullptr;
  }
  // The token that a reply or an event gives; 0 if it gives none.
  static Revision TokenOf(const Reply& reply) {
    if (const auto* granted = std::get_if<LockGranted>(&reply.result)) return granted->token;
    if (const auto* started = std::get_if<AttemptStarted>(&reply.result)) return started->token;
    return 0;
  }
  struct Given {
    Revision token = 0;
    Sequence asked = 0;
    std::string name;
  };
  static Given TokenOf(const SessionEvent& event) {
    if (const auto* granted = std::get_if<LockGrantedEvent>(&event.body)) {
      return {granted->token, granted->acquire, granted->name};
    }
    if (const auto* started = std::get_if<AttemptStartedEvent>(&event.body)) {
      return {started->token, started->begin, started->key};
    }
    return {};
  }
  void Opened(const Command& command, SessionId id) {
    for (const Client& client : clients_) {
      if (client.id == id) return;
    }
    clients_.push_back({id, command.key, 0, 0});
    if (clients_.size() > 8) clients_.erase(clients_.begin());
  }

 private:
  struct Client {
    SessionId id;
    InstanceKey key;
    Sequence last;
    Sequence floor;
  };

  std::uint64_t Below(std::uint64_t n) { return random_() % n; }
  bool Chance(int percent) { return Below(100) < static_cast<std::uint64_t>(percent); }

  Command Draw() {
    Command command;
    if (!sent_.empty() && Chance(15))
      return sent_[sent_.size() - 1 -
                   Below(std::min<std::size_t>(sent_.size(), Chance(80) ? 10 : 500))];
    if (clients_.size() < 3 || Chance(4)) {
      command.key = {1, ++keys_};
      command.operation =
          OpenSession{static_cast<std::int64_t>(1 + Below(shares_ ? 40 : 9)) * 1000 * kMillisecond,
                      absl::StrCat("c", keys_)};
      return command;
    }
    Client& client = clients_[Below(clients_.size())];
    command.session = client.id;
    command.key = client.key;
    if (Chance(1)) command.key.low ^= 1;
    if (Chance(50)) Acknowledge(client, command);
    if (Chance(20)) {
      command.operation = RenewSession{Below(100)};
    } else if (Chance(2)) {
      command.operation = CloseSession{};
    } else {
      command.sequence = ++client.last;
      if (Chance(3)) command.sequence += Below(30);  // sent out of order, or beyond the window
      command.operation = DrawOperation(client, command.sequence);
    }
    return command;
  }

  void Acknowledge(Client& client, Command& command) {
    if (client.last > client.floor && Chance(60)) {
      client.floor += 1 + Below(client.last - client.floor);
    }
    command.acknowledged_through = client.floor;
    for (std::uint64_t n = Below(3); n > 0; --n) {
      command.acknowledged.push_back(client.floor + Below(12));
    }
    if (Chance(30) && !grants_->empty()) {
      command.events_seen_through = grants_->rbegin()->first - std::min<Revision>(1, Below(9));
    }
  }

  Operation DrawOperation(const Client& client, Sequence sequence) {
    if (shares_ && Chance(25)) return DrawShares();
    const std::string name = absl::StrCat("lock", Below(4));
    const std::uint64_t what = Below(100);
    if (what < 26) return AcquireLock{name, DrawWait(), "v"};
    if (what < 37) {
      const Sequence around = sequence + 3;
      return CancelWait{around - std::min<Sequence>(around, Below(12))};
    }
    const std::string election = absl::StrCat("vote", Below(2));
    const std::string key = absl::StrCat("op", Below(3));
    if (what < 46) {
      Begin begin{"", key, Chance(95) ? "f" : "g", kWaitForever, 0, DrawWait()};
      if (Chance(60)) begin.deadline_ns = static_cast<std::int64_t>(1 + Below(3000)) * kMillisecond;
      begin.retention_ns =
          static_cast<std::int64_t>(1 + Below(shares_ ? 60'000 : 4000)) * kMillisecond;
      if (shares_ && Chance(60)) begin.lock = absl::StrCat(Chance(50) ? "sh" : "lock", Below(2));
      return begin;
    }
    if (what < 50) return AwaitOperation{"", key, DrawWait()};
    if (what < 53) return Forget{"", key};
    if (what < 60) {
      return Campaign{election, DrawWait(), "v", static_cast<std::uint32_t>(Below(3))};
    }
    if (what < 66) return Observe{ObjectKind::kElection, election, DrawAfter()};
    if (grants_->empty()) return ReleaseLock{name, 1};
    // A recent token of this client, or of anyone.
    auto it = grants_->end();
    for (std::uint64_t n = 1 + Below(6); n > 0 && it != grants_->begin();) {
      --it;
      if (it->second.first == client.id || Chance(5)) --n;
    }
    const std::string held = names_.count(it->first) ? names_.at(it->first) : name;
    if (held[0] == 'o' && !Chance(2)) return DrawAttempts(held, it->first);
    if ((held[0] == 'v') != Chance(2)) return DrawLeaders(held, it->first);
    return ReleaseLock{held, it->first};
  }

  Operation DrawShares() {
    const std::uint64_t what = Below(10);
    if (what < 2) {
      AcquireAll all{{}, DrawWait(), "v", Chance(50) ? "o" : ""};
      for (std::uint64_t n = 1 + Below(3); n > 0; --n) {
        all.locks.push_back(
            {absl::StrCat(Chance(50) ? "sh" : "lock", Below(2)), static_cast<LockMode>(Below(2))});
      }
      return all;
    }
    if (what < 6) {
      AcquireLock acquire{absl::StrCat("sh", Below(3)), DrawWait(), "v"};
      acquire.owner = Chance(50) ? "o" : "";
      acquire.reentrant = !acquire.owner.empty() && acquire.name != "sh2" && Chance(60);
      acquire.detect_deadlock = !acquire.owner.empty() && Chance(60);
      acquire.mode = Chance(70) ? LockMode::kShared : LockMode::kExclusive;
      if (acquire.name == "sh2") acquire.mode = LockMode::kPermits;
      if (acquire.mode == LockMode::kPermits) {
        acquire.total = 5;
        acquire.permits = 1 + Below(3);
      } else if (acquire.mode == LockMode::kExclusive && Chance(50)) {
        acquire.delay_ns = static_cast<std::int64_t>(Below(2000)) * kMillisecond;
      }
      return acquire;
    }
    if (what == 6) return Observe{ObjectKind::kLock, absl::StrCat("sh", Below(3)), DrawAfter()};
    if (grants_->empty()) return Forget{"", "op0"};
    auto it = grants_->end();
    for (std::uint64_t n = 1 + Below(5); n > 0 && it != grants_->begin(); --n) --it;
    const std::string held = names_.count(it->first) ? names_.at(it->first) : "sh0";
    if (what == 7) return Downgrade{held, it->first};
    if (what == 8) {
      const ObjectKind kind = held[0] == 'o'   ? ObjectKind::kOperation
                              : held[0] == 'v' ? ObjectKind::kElection
                                               : ObjectKind::kLock;
      return BreakLock{kind, "", held, it->first, "stuck"};
    }
    return ReleaseLock{held, it->first};
  }
  std::int64_t DrawWait() {
    const std::int64_t waits[] = {0, kWaitForever, kWaitForever,
                                  static_cast<std::int64_t>(Below(5000)) * kMillisecond, -1};
    return waits[Chance(2) ? 4 : Below(4)];
  }
  Revision DrawAfter() {
    if (grants_->empty() || Chance(10)) return 0;
    if (Chance(50)) return 1'000'000'000;  // only what is to come
    auto it = grants_->end();
    for (std::uint64_t n = 1 + Below(9); n > 0 && it != grants_->begin(); --n) --it;
    return it->first;
  }
  Operation DrawAttempts(const std::string& key, Revision token) {
    const std::uint64_t what = Below(10);
    if (what < 3) return Checkpoint{"", key, token, absl::StrCat("p", Below(9))};
    if (what < 4) {
      const auto deadline = static_cast<std::int64_t>(1 + Below(3000)) * kMillisecond;
      return Extend{"", key, token, Chance(20) ? kWaitForever : deadline};
    }
    return FinishAttempt{"", key, token, static_cast<Outcome>(Below(3)), absl::StrCat("r", token)};
  }
  Operation DrawLeaders(const std::string& name, Revision term) {
    if (Chance(30)) return Proclaim{name, term, absl::StrCat("v", Below(9))};
    if (Chance(60)) return Resign{name, term};
    const Client& candidate = clients_[Below(clients_.size())];
    return HandOver{name, term, candidate.id,
                    candidate.last - std::min<Sequence>(candidate.last, Below(8))};
  }

 public:
  std::map<Revision, std::string> names_;  // of each token's lock

 private:
  std::mt19937 random_;
  const std::map<Revision, Model::GrantId>* grants_;
  bool shares_;
  std::int64_t now_ = 0;
  std::uint64_t keys_ = 0;
  std::vector<Client> clients_;
  std::vector<Command> sent_;
};

// A small window and a tight budget: other interleavings, the same promises.
inline Genesis TightGenesis(std::uint64_t budget) {
  Genesis genesis;
  genesis.limits.window = 16;
  genesis.limits.cleanup_per_entry = budget;
  return genesis;
}

// A log, with what a machine made of each of its entries.
inline std::vector<Entry> RandomLog(int seed, const Genesis& genesis, int entries,
                                    std::vector<Applied>* applied,
                                    std::vector<std::uint64_t>* hashes) {
  Machine machine;
  EXPECT_TRUE(machine.Start(genesis, 0).ok());
  std::map<Revision, Model::GrantId> grants;
  Workload workload(static_cast<std::uint32_t>(seed), &grants, /*shares=*/true);
  std::vector<Entry> log;
  for (int i = 0; i < entries; ++i) {
    log.push_back(workload.Next());
    applied->push_back(machine.Apply(log.back().stamp, log.back().commands));
    hashes->push_back(machine.StateHash());
    for (std::size_t c = 0; c < log.back().commands.size(); ++c) {
      const Command& command = log.back().commands[c];
      const Reply& reply = applied->back().replies[c];
      if (const auto* opened = std::get_if<SessionOpened>(&reply.result)) {
        workload.Opened(command, opened->session);
      }
      if (const Revision token = Workload::TokenOf(reply); token != 0) {
        grants[token] = {command.session, command.sequence};
        const std::string* name = Workload::NameOf(command);
        if (name != nullptr) workload.names_[token] = *name;
      }
    }
    for (const SessionEvent& event : applied->back().events) {
      if (const Workload::Given given = Workload::TokenOf(event); given.token != 0) {
        grants[given.token] = {event.session, given.asked};
        workload.names_[given.token] = given.name;
      }
    }
    // Whose token breaks it, too.
    for (const char* name : {"sh0", "sh1", "sh2"}) {
      const Reply seen = machine.Query(GetLock{name});
      const auto* lock = std::get_if<LockDescription>(&seen.result);
      if (lock == nullptr || lock->delay == 0) continue;
      grants[lock->delay] = {};
      workload.names_[lock->delay] = name;
    }
  }
  return log;
}

}  // namespace tenure::machine

#endif  // TENURE_TESTS_MACHINE_WORKLOAD_H_
