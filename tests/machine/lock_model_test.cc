// Long random command sequences over all that locks can do, the machine against a second one that
// is written for obviousness: one list of requests in the order in which they came, searched from
// its beginning for whatever there is to know.
#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "machine/machine.h"
#include "tenure/command.h"
#include "tests/testing/sanitized.h"

namespace tenure::machine {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kTtl = 1'000'000'000 * kMs;

class LockModel {
 public:
  struct Part {
    std::string name;
    LockMode mode;
    bool held = false;
    std::uint64_t seat = 0;
    std::uint64_t holds = 1;
  };
  struct Request {
    std::size_t client;
    Sequence sequence;
    std::vector<Part> parts;
    std::uint64_t permits, total;
    std::int64_t delay;
    std::string owner;
    std::int64_t deadline;
    bool waiting = true;
    Revision token = 0;  // as the machine had it
  };
  struct Granted {
    std::size_t client;
    Sequence sequence;
    std::vector<std::uint64_t> seats;
    std::vector<std::string> shared;  // whose fences are to be those of their first sharers
  };

  std::int64_t now = 0;
  std::list<Request> requests;
  std::map<std::string, std::int64_t> delays;  // until when
  std::map<std::string, Revision> first;       // the token of the first who shares
  // What the last step told.
  std::vector<Granted> granted;
  std::set<std::string> told;

  // The request that holds `name` exclusively, or any that has something of it.
  Request* Holder(const std::string& name, std::optional<LockMode> mode) {
    for (Request& request : requests) {
      for (const Part& part : request.parts) {
        if (part.held && part.name == name && (!mode || part.mode == *mode)) return &request;
      }
    }
    return nullptr;
  }
  std::size_t Waiting(const std::string& name, const Request* before = nullptr) {
    std::size_t count = 0;
    for (const Request& request : requests) {
      if (&request == before) break;
      if (!request.waiting) continue;
      for (const Part& part : request.parts) count += part.name == name;
    }
    return count;
  }
  std::uint64_t Taken(const std::string& name) {
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
  bool Sharing(std::size_t client, const std::string& owner, const std::string& name) {
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
  // Nobody has it in a way that keeps this out.
  bool Free(const Request& request, const Part& part) {
    if (delays.count(part.name) != 0 || Holder(part.name, LockMode::kExclusive)) return false;
    if (part.mode == LockMode::kExclusive) return Holder(part.name, std::nullopt) == nullptr;
    if (part.mode == LockMode::kShared) return true;
    return Taken(part.name) + request.permits <= request.total;
  }
  bool Ready(const Request& request) {
    return std::all_of(request.parts.begin(), request.parts.end(), [&](const Part& part) {
      return Waiting(part.name, &request) == 0 && Free(request, part);
    });
  }
  void Grant(Request& request) {
    Granted grant{request.client, request.sequence, {}, {}};
    request.waiting = false;
    for (Part& part : request.parts) {
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
    granted.push_back(grant);
  }
  void Settle() {
    std::erase_if(requests, [](const Request& request) {
      return !request.waiting && std::none_of(request.parts.begin(), request.parts.end(),
                                              [](const Part& part) { return part.held; });
    });
    for (auto it = first.begin(); it != first.end();) {
      it = Holder(it->first, LockMode::kShared) ? std::next(it) : first.erase(it);
    }
    for (Request& request : requests) {
      if (request.waiting && Ready(request)) return Grant(request), Settle();
    }
  }

  std::string Acquire(Request request, std::int64_t wait, bool reentrant) {
    for (const Part& part : request.parts) {
      bool used = Holder(part.name, std::nullopt) || Waiting(part.name) || delays.count(part.name);
      std::uint64_t total = 0;
      for (const Request& other : requests) {
        for (const Part& one : other.parts) {
          if (one.name == part.name && (one.held || other.waiting)) total = other.total;
        }
      }
      if (used && total != request.total) return "conflict";
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
  Part* Held(std::optional<std::size_t> client, const std::string& name, Revision token,
             Request** of) {
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
  std::string Release(std::size_t client, const std::string& name, Revision token) {
    Request* of = nullptr;
    Part* const part = Held(client, name, token, &of);
    if (part == nullptr) return "not held";
    if (part->holds > 1) return absl::StrCat("released ", --part->holds);
    part->held = false;
    Settle();
    return "released 0";
  }
  std::string Downgrade(std::size_t client, const std::string& name, Revision token) {
    Request* of = nullptr;
    Part* const part = Held(client, name, token, &of);
    if (part == nullptr || part->mode != LockMode::kExclusive) return "not held";
    if (part->holds > 1) return "conflict";
    part->mode = LockMode::kShared;
    first[name] = token;
    Settle();
    return "granted";
  }
  std::string Break(const std::string& name, Revision token) {
    Request* of = nullptr;
    Part* const part = Held(std::nullopt, name, token, &of);
    if (part == nullptr) return "absent";
    told.insert(absl::StrCat("lost ", of->client, " ", of->sequence));
    Drop(*of, *part, /*uncleanly=*/true);
    Settle();
    return "broken";
  }
  std::string Cancel(std::size_t client, Sequence sequence) {
    for (auto it = requests.begin(); it != requests.end(); ++it) {
      if (it->client != client || it->sequence != sequence) continue;
      if (!it->waiting) return "granted";
      requests.erase(it);
      Settle();
      return "cancelled";
    }
    return "cancelled";
  }
  void End(std::size_t client, bool expired) {
    std::erase_if(requests, [client](const Request& request) {
      return request.waiting && request.client == client;
    });
    for (Request& request : requests) {
      if (request.client != client) continue;
      for (Part& part : request.parts) {
        if (part.held) Drop(request, part, expired);
      }
    }
    Settle();
  }
  // The first thing that time brings, if any.
  std::int64_t NextDue() const {
    std::int64_t due = kWaitForever;
    for (const Request& request : requests) {
      if (request.waiting) due = std::min(due, request.deadline);
    }
    for (const auto& [name, until] : delays) due = std::min(due, until);
    return due;
  }
  void PassTo(std::int64_t time) {
    now = time;
    std::erase_if(delays, [time](const auto& delay) { return delay.second <= time; });
    std::erase_if(requests, [&](const Request& request) {
      if (!request.waiting || request.deadline > time) return false;
      told.insert(absl::StrCat("over ", request.client, " ", request.sequence));
      return true;
    });
    Settle();
  }

 private:
  void Drop(Request& request, Part& part, bool uncleanly) {
    part.held = false;
    if (uncleanly && part.mode == LockMode::kExclusive && request.delay > 0) {
      delays[part.name] = now + request.delay;
    }
  }
};

class LockModelTest : public ::testing::TestWithParam<int> {
 protected:
  struct Client {
    SessionId session = 0;
    InstanceKey key;
    Sequence last = 0;
  };

  void SetUp() override {
    Genesis genesis;
    genesis.limits.cleanup_per_entry = 1'000'000;
    genesis.limits.ttl_max_ns = kTtl;
    ASSERT_TRUE(machine_.Start(genesis, 0).ok());
    for (int i = 0; i < 5; ++i) clients_.push_back(Opened());
  }
  std::uint64_t Below(std::uint64_t n) { return random_() % n; }
  bool Chance(std::uint64_t percent) { return Below(100) < percent; }
  // Never the same moment twice: then only one thing is due at a time.
  std::int64_t Soon(std::uint64_t ms) {
    return static_cast<std::int64_t>(1 + Below(ms)) * kMs + ++odd_;
  }

  Client Opened() {
    Client client;
    client.key = {1, ++keys_};
    Command open;
    open.key = client.key;
    open.operation = OpenSession{kTtl, ""};  // it ends when it is closed
    client.session = std::get<SessionOpened>(Apply(open).result).session;
    return client;
  }
  Reply Apply(const Command& command) {
    Applied applied = machine_.Apply(model_.now, {command});
    events_ = std::move(applied.events);
    return std::move(applied.replies[0]);
  }
  Reply Do(std::size_t client, Operation operation) {
    Command command;
    command.session = clients_[client].session;
    command.key = clients_[client].key;
    command.sequence = ++clients_[client].last;
    command.acknowledged_through = command.sequence - 1;
    command.events_seen_through = machine_.revision();
    command.operation = std::move(operation);
    return Apply(command);
  }
  // Time passes, stopping wherever something is due.
  void Pass(std::int64_t ns) {
    const std::int64_t end = model_.now + ns;
    while (!HasFatalFailure() && model_.NextDue() <= end) PassTo(model_.NextDue());
    if (!HasFatalFailure()) PassTo(end);
  }
  void PassTo(std::int64_t time) {
    events_ = machine_.Apply(time, {}).events;
    model_.PassTo(time);
    CompareEvents();
  }

  std::size_t ClientOf(SessionId session) const {
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      if (clients_[i].session == session) return i;
    }
    return clients_.size();
  }
  // One grant of the machine's: it has a token of its own, and what the model says it has.
  void TakeGrant(std::size_t client, Sequence sequence, const LockGranted& grant) {
    const auto expected = std::find_if(
        model_.granted.begin(), model_.granted.end(),
        [&](const auto& each) { return each.client == client && each.sequence == sequence; });
    ASSERT_NE(expected, model_.granted.end()) << client << " is granted " << sequence;
    ASSERT_GT(grant.token, last_token_);
    last_token_ = grant.token;
    for (LockModel::Request& request : model_.requests) {
      if (request.client == client && request.sequence == sequence) request.token = grant.token;
    }
    for (std::size_t i = 0; i < expected->shared.size(); ++i) {
      const std::string& name = expected->shared[i];
      if (!name.empty()) model_.first.emplace(name, grant.token);
      const Revision fence = name.empty() ? 0 : model_.first.at(name);
      const std::vector<Revision>& fences = grant.fences;
      ASSERT_EQ(fences.empty() ? grant.fence : fences.at(i), fence) << "of " << name;
    }
    ASSERT_EQ(grant.seat, expected->seats[0]);
    model_.granted.erase(expected);
    ++grants_;
  }
  void CompareEvents() {
    std::set<std::string> told;
    for (const SessionEvent& event : events_) {
      const std::size_t client = ClientOf(event.session);
      if (const auto* grant = std::get_if<LockGrantedEvent>(&event.body)) {
        TakeGrant(client, grant->acquire,
                  {grant->token, grant->fence, grant->seat, 1, grant->fences});
        if (HasFatalFailure()) return;
      } else if (const auto* lost = std::get_if<LockLostEvent>(&event.body)) {
        told.insert(absl::StrCat("lost ", client, " ", lost->acquire));
      } else if (const auto* over = std::get_if<WaitEndedEvent>(&event.body)) {
        told.insert(absl::StrCat("over ", client, " ", over->acquire));
      }
    }
    ASSERT_EQ(told, model_.told);
    ASSERT_TRUE(model_.granted.empty()) << "the model granted more";
    model_.told.clear();
    for (const std::string& name : Names()) {
      const auto seen = std::get<LockDescription>(machine_.Query(GetLock{name}).result);
      ASSERT_EQ(seen.waiting, model_.Waiting(name)) << name;
      const LockModel::Request* holder = model_.Holder(name, std::nullopt);
      ASSERT_EQ(seen.holder.session == 0, holder == nullptr) << name;
      if (holder == nullptr) continue;
      const LockModel::Request* exclusive = model_.Holder(name, LockMode::kExclusive);
      ASSERT_EQ(seen.shares == 0, exclusive != nullptr) << name;
      ASSERT_EQ(seen.permits, model_.Taken(name));
      if (exclusive == nullptr) continue;
      ASSERT_EQ(seen.holder.token, exclusive->token);
      const auto part =
          std::find_if(exclusive->parts.begin(), exclusive->parts.end(),
                       [&name = name](const LockModel::Part& each) { return each.name == name; });
      ASSERT_EQ(std::max<std::uint64_t>(1, seen.holds), part->holds);
    }
  }
  static std::vector<std::string> Names() { return {"a", "b", "c", "s", "t"}; }
  static std::string Show(const Reply& reply) {
    if (reply.code == ReplyCode::kConflict) return "conflict";
    if (reply.code == ReplyCode::kNotHeld) return "not held";
    if (reply.code == ReplyCode::kAbsent) return "absent";
    if (reply.code != ReplyCode::kOk) return reply.message;
    if (const auto* granted = std::get_if<LockGranted>(&reply.result)) {
      return granted->holds > 1 ? absl::StrCat("again ", granted->holds) : "granted";
    }
    if (const auto* held = std::get_if<LockHeld>(&reply.result)) {
      return absl::StrCat("held ", held->waiting);
    }
    if (const auto* queued = std::get_if<LockQueued>(&reply.result)) {
      return absl::StrCat("queued ", queued->ahead);
    }
    if (const auto* released = std::get_if<LockReleased>(&reply.result)) {
      return absl::StrCat("released ", released->holds);
    }
    if (std::holds_alternative<WaitCancelled>(reply.result)) return "cancelled";
    if (std::holds_alternative<LockBroken>(reply.result)) return "broken";
    return "something else";
  }
  void Compare(std::size_t client, const Reply& reply, const std::string& expected,
               bool takes = false) {
    ASSERT_EQ(Show(reply), expected);
    ++shown_[expected.substr(0, expected.find(' '))];
    if (takes && expected == "granted") {
      TakeGrant(client, clients_[client].last, std::get<LockGranted>(reply.result));
    }
    if (!HasFatalFailure()) CompareEvents();
  }

  void AskOne(std::size_t client) {
    AcquireLock acquire{Names()[Below(5)], 0, ""};
    const bool semaphore = acquire.name == "s" || (acquire.name == "t" && Chance(50));
    if (!Chance(30)) acquire.wait_ns = Chance(50) ? kWaitForever : Soon(3000);
    acquire.owner = Chance(50) ? "o" : "";
    if (semaphore) {
      acquire.mode = LockMode::kPermits;
      acquire.total = 4;
      acquire.permits = 1 + Below(4);
    } else {
      acquire.mode = Chance(50) ? LockMode::kShared : LockMode::kExclusive;
      acquire.reentrant = !acquire.owner.empty() && Chance(50);
      if (acquire.mode == LockMode::kExclusive && Chance(50)) acquire.delay_ns = Soon(800);
    }
    const Reply reply = Do(client, acquire);
    const bool forever = acquire.wait_ns == kWaitForever;
    const std::string expected =
        model_.Acquire({client,
                        clients_[client].last,
                        {{acquire.name, acquire.mode}},
                        acquire.permits,
                        acquire.total,
                        acquire.delay_ns,
                        acquire.owner,
                        forever ? kWaitForever : model_.now + acquire.wait_ns},
                       acquire.wait_ns, acquire.reentrant);
    Compare(client, reply, expected, /*takes=*/true);
  }
  void AskForAll(std::size_t client) {
    AcquireAll all{{}, 0, "", Chance(50) ? "o" : ""};
    if (!Chance(30)) all.wait_ns = Chance(50) ? kWaitForever : Soon(3000);
    std::vector<LockModel::Part> parts;
    for (const char* name : {"a", "b", "c", "t"}) {
      if (Chance(50)) continue;
      const LockMode mode = Chance(50) ? LockMode::kShared : LockMode::kExclusive;
      all.locks.push_back({name, mode});
      parts.push_back({name, mode});
    }
    if (parts.empty()) return;
    const auto exclusive = [](const auto& part) { return part.mode == LockMode::kExclusive; };
    if (Chance(50) && std::any_of(parts.begin(), parts.end(), exclusive)) all.delay_ns = Soon(800);
    const Reply reply = Do(client, all);
    const bool forever = all.wait_ns == kWaitForever;
    const std::string expected =
        model_.Acquire({client, clients_[client].last, parts, 0, 0, all.delay_ns, all.owner,
                        forever ? kWaitForever : model_.now + all.wait_ns},
                       all.wait_ns, false);
    Compare(client, reply, expected, /*takes=*/true);
  }
  void GiveBack(std::size_t client) {
    // Of this client mostly, of anybody else sometimes: that is refused.
    std::vector<std::pair<std::string, Revision>> held;
    for (const LockModel::Request& request : model_.requests) {
      for (const LockModel::Part& part : request.parts) {
        if (part.held && (request.client == client || Chance(5))) {
          held.emplace_back(part.name, request.token);
        }
      }
    }
    if (held.empty()) return;
    const auto [name, token] = held[Below(held.size())];
    switch (Below(8)) {
      case 0:
        return Compare(client, Do(client, Downgrade{name, token}),
                       model_.Downgrade(client, name, token));
      case 1:
        return Compare(client, Do(client, BreakLock{ObjectKind::kLock, "", name, token, ""}),
                       model_.Break(name, token));
      default:
        return Compare(client, Do(client, ReleaseLock{name, token}),
                       model_.Release(client, name, token));
    }
  }
  void Close(std::size_t client) {
    Command close;
    close.session = clients_[client].session;
    close.key = clients_[client].key;
    close.operation = CloseSession{};
    ASSERT_TRUE(std::holds_alternative<SessionClosed>(Apply(close).result));
    model_.End(client, /*expired=*/false);
    ++shown_["closed"];
    std::vector<SessionEvent> first = std::move(events_);
    // What is left of it goes in the next entry.
    events_ = machine_.Apply(model_.now, {}).events;
    events_.insert(events_.begin(), first.begin(), first.end());
    CompareEvents();
    if (!HasFatalFailure()) clients_[client] = Opened();
  }

  Machine machine_;
  LockModel model_;
  std::mt19937 random_{static_cast<std::uint32_t>(GetParam())};
  std::vector<Client> clients_;
  std::vector<SessionEvent> events_;
  std::uint64_t keys_ = 0;
  std::int64_t odd_ = 0;
  Revision last_token_ = 0;
  std::uint64_t grants_ = 0;
  std::map<std::string, int> shown_;
};

TEST_P(LockModelTest, AgreesWithTheNaiveModel) {
  for (int turn = 0; turn < 4'000; ++turn) {
    const std::size_t client = Below(clients_.size());
    const std::uint64_t what = Below(100);
    if (what < 25) Pass(Soon(Chance(20) ? 2000 : 100));
    if (!HasFatalFailure()) {
      if (what < 50) {
        AskOne(client);
      } else if (what < 60) {
        AskForAll(client);
      } else if (what < 65) {
        if (clients_[client].last == 0) continue;
        const Sequence sequence =
            clients_[client].last - Below(std::min<Sequence>(clients_[client].last, 9));
        Compare(client, Do(client, CancelWait{sequence}), model_.Cancel(client, sequence));
      } else if (what < 67) {
        Close(client);
      } else {
        GiveBack(client);
      }
    }
    if (HasFatalFailure()) FAIL() << "seed " << GetParam() << ", turn " << turn;
  }
  for (const char* word : {"granted", "queued", "held", "again", "released", "conflict", "not",
                           "cancelled", "broken", "closed"}) {
    EXPECT_GT(shown_[word], 0) << "the workload never came to: " << word;
  }
  EXPECT_GT(grants_, 200u);
  for (std::size_t client = 0; client < clients_.size() && !HasFatalFailure(); ++client) {
    Close(client);
  }
  Pass(100'000 * kMs);
  EXPECT_EQ(machine_.lock_count(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, LockModelTest, ::testing::Range(1, testing::kSanitized ? 4 : 11));

}  // namespace
}  // namespace tenure::machine
