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
  Workload(std::uint32_t seed, const std::map<Revision, Model::GrantId>* grants)
      : random_(seed), grants_(grants) {}

  Entry Next() {
    Entry entry;
    now_ += Chance(5) ? Below(4'000) * kMillisecond : Below(40) * kMillisecond;
    entry.stamp = now_;
    for (std::uint64_t n = Below(5); n > 0; --n) entry.commands.push_back(Draw());
    for (const Command& command : entry.commands) sent_.push_back(command);
    return entry;
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
      command.operation = OpenSession{static_cast<std::int64_t>(1 + Below(9)) * 1000 * kMillisecond,
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
    const std::string name = absl::StrCat("lock", Below(4));
    const std::uint64_t what = Below(100);
    if (what < 45) {
      const std::int64_t waits[] = {0, kWaitForever, kWaitForever,
                                    static_cast<std::int64_t>(Below(5000)) * kMillisecond, -1};
      return AcquireLock{name, waits[Chance(2) ? 4 : Below(4)], "v"};
    }
    if (what < 57) {
      const Sequence around = sequence + 3;
      return CancelWait{around - std::min<Sequence>(around, Below(12))};
    }
    if (grants_->empty()) return ReleaseLock{name, 1};
    // A recent token of this client, or of anyone.
    auto it = grants_->end();
    for (std::uint64_t n = 1 + Below(6); n > 0 && it != grants_->begin();) {
      --it;
      if (it->second.first == client.id || Chance(5)) --n;
    }
    return ReleaseLock{names_.count(it->first) ? names_.at(it->first) : name, it->first};
  }

 public:
  std::map<Revision, std::string> names_;  // of each token's lock

 private:
  std::mt19937 random_;
  const std::map<Revision, Model::GrantId>* grants_;
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
  Workload workload(static_cast<std::uint32_t>(seed), &grants);
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
      if (const auto* granted = std::get_if<LockGranted>(&reply.result)) {
        grants[granted->token] = {command.session, command.sequence};
        if (const auto* acquire = std::get_if<AcquireLock>(&command.operation)) {
          workload.names_[granted->token] = acquire->name;
        }
      }
    }
    for (const SessionEvent& event : applied->back().events) {
      if (const auto* granted = std::get_if<LockGrantedEvent>(&event.body)) {
        grants[granted->token] = {event.session, granted->acquire};
        workload.names_[granted->token] = granted->name;
      }
    }
  }
  return log;
}

}  // namespace tenure::machine

#endif  // TENURE_TESTS_MACHINE_WORKLOAD_H_
