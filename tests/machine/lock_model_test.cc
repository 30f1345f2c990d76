// Long random command sequences over all that locks can do, and attempts with and without them, the
// machine against the naive model.
#include "lock_model.h"

#include <algorithm>
#include <cstdint>
#include <map>
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
    for (std::size_t i = 0; i < 5; ++i) clients_.push_back(Opened(i));
  }
  std::uint64_t Below(std::uint64_t n) { return random_() % n; }
  bool Chance(std::uint64_t percent) { return Below(100) < percent; }
  // Never the same moment twice: then only one thing is due at a time.
  std::int64_t Soon(std::uint64_t ms) {
    return static_cast<std::int64_t>(1 + Below(ms)) * kMs + ++odd_;
  }

  Client Opened(std::size_t i) {
    Client client;
    client.key = {1, ++keys_};
    Command open;
    open.key = client.key;
    // Some end by themselves.
    const std::int64_t ttl = Chance(50) ? kTtl : 1000 * kMs + Soon(8000);
    if (ttl < kTtl) model_.dues[i] = model_.now + ttl;
    open.operation = OpenSession{ttl, ""};
    client.session = std::get<SessionOpened>(Apply(open).result).session;
    return client;
  }
  Reply Apply(const Command& command) {
    Applied applied = machine_.Apply(model_.now, {command});
    events_ = std::move(applied.events);
    ApplyTheRest();
    return std::move(applied.replies[0]);
  }
  // What is left of an ended session goes in the next entries.
  void ApplyTheRest() {
    while (machine_.HasBacklog()) {
      for (SessionEvent& event : machine_.Apply(model_.now, {}).events) {
        events_.push_back(std::move(event));
      }
    }
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
    std::vector<std::size_t> ended;
    for (const auto& [client, due] : model_.dues) {
      if (due <= time) ended.push_back(client);
    }
    model_.PassTo(time);
    ApplyTheRest();
    CompareEvents();
    for (const std::size_t client : ended) {
      if (!HasFatalFailure()) clients_[client] = Opened(client);
      ++shown_["expired"];
    }
  }

  std::size_t ClientOf(SessionId session) const {
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      if (clients_[i].session == session) return i;
    }
    return clients_.size();
  }
  void TakeToken(std::size_t client, Sequence sequence, Revision token) {
    ASSERT_GT(token, last_token_);
    last_token_ = token;
    model_.Take(client, sequence, token);
  }
  // One grant of the machine's: it has a token of its own, and what the model says it has.
  void TakeGrant(std::size_t client, Sequence sequence, const LockGranted& grant) {
    const auto expected = std::find_if(
        model_.granted.begin(), model_.granted.end(),
        [&](const auto& each) { return each.client == client && each.sequence == sequence; });
    ASSERT_NE(expected, model_.granted.end()) << client << " is granted " << sequence;
    TakeToken(client, sequence, grant.token);
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
      } else if (const auto* lost = std::get_if<LockLostEvent>(&event.body)) {
        told.insert(absl::StrCat("lost ", client, " ", lost->acquire));
      } else if (const auto* over = std::get_if<WaitEndedEvent>(&event.body)) {
        told.insert(absl::StrCat("over ", client, " ", over->acquire));
      } else if (const auto* outcome = std::get_if<OperationEndedEvent>(&event.body)) {
        told.insert(absl::StrCat("outcome ", client, " ", outcome->begin, " ", outcome->key));
      } else if (const auto* start = std::get_if<AttemptStartedEvent>(&event.body)) {
        told.insert(absl::StrCat(client, " ", start->begin, " ", start->key, " started ",
                                 start->attempts, " ", start->point));
        TakeToken(client, start->begin, start->token);
        attempts_.push_back({start->key, start->token, client});
      }
      if (HasFatalFailure()) return;
    }
    ASSERT_EQ(told, model_.told);
    ASSERT_TRUE(model_.granted.empty()) << "the model granted more";
    model_.told.clear();
    for (const std::string& name : Names()) {
      const auto seen = std::get<LockDescription>(machine_.Query(GetLock{name}).result);
      ASSERT_EQ(seen.waiting, model_.Waiting(name)) << name;
      const auto delay = model_.delays.find(name);
      ASSERT_EQ(seen.delay != 0, delay != model_.delays.end()) << name;
      if (seen.delay != 0) {
        ASSERT_EQ(seen.delay_left_ns, delay->second - model_.now) << name;
      }
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
    CompareRecords();
  }
  void CompareRecords() {
    ASSERT_EQ(machine_.key_count(), model_.records.size());
    for (const auto& [key, record] : model_.records) {
      const auto seen =
          std::get<OperationDescription>(machine_.Query(GetOperation{"", key}).result);
      const bool running = record.attempt && !model_.Overdue(record);
      ASSERT_EQ(seen.state, record.failed ? OperationState::kFailed
                            : record.done ? OperationState::kDone
                            : running     ? OperationState::kInProgress
                                          : OperationState::kClaimable)
          << key;
      ASSERT_EQ(seen.holder.session,
                record.attempt ? clients_[record.attempt->client].session : SessionId{0})
          << key;
      ASSERT_EQ(seen.holder.token, record.attempt ? record.attempt->token : Revision{0}) << key;
      ASSERT_EQ(seen.lock, record.attempt ? record.attempt->lock : "") << key;
      ASSERT_EQ(seen.waiting, record.queue.size() + record.awaiting.size()) << key;
      ASSERT_EQ(seen.attempts, record.attempts) << key;
      ASSERT_EQ(seen.fingerprint, record.fingerprint) << key;
      ASSERT_EQ(seen.point, record.point) << key;
      ASSERT_EQ(seen.response, record.response) << key;
      const std::int64_t expires = record.expires;
      ASSERT_EQ(seen.expires_in_ns, expires == kWaitForever ? expires : expires - model_.now)
          << key;
    }
  }
  static std::vector<std::string> Names() { return {"a", "b", "c", "s", "t"}; }
  static std::vector<std::string> Keys() { return {"k0", "k1", "k2"}; }
  std::string Show(const Reply& reply) const {
    if (reply.code == ReplyCode::kConflict) return "conflict";
    if (reply.code == ReplyCode::kMismatch) return "mismatch";
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
    if (const auto* started = std::get_if<AttemptStarted>(&reply.result)) {
      return absl::StrCat("started ", started->attempts, " ", started->point);
    }
    if (const auto* progress = std::get_if<AttemptInProgress>(&reply.result)) {
      const SessionId holder = progress->holder.session;
      return absl::StrCat("progress ", holder == 0 ? "-" : absl::StrCat(ClientOf(holder)), " ",
                          progress->ends_in_ns, " ", progress->ahead, " ", progress->held_back_ns);
    }
    if (const auto* done = std::get_if<OperationDone>(&reply.result)) {
      return absl::StrCat("done ", done->failed, " ", done->response, " ", done->expires_in_ns);
    }
    if (const auto* extended = std::get_if<AttemptExtended>(&reply.result)) {
      return absl::StrCat("extended ", extended->ends_in_ns);
    }
    if (std::holds_alternative<AttemptFinished>(reply.result)) return "finished";
    if (std::holds_alternative<OperationForgotten>(reply.result)) return "removed";
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
      acquire.reentrant = !acquire.owner.empty() && Chance(70);
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
  void Begin(std::size_t client) {
    const std::size_t key = Below(3);
    tenure::Begin begin{"", Keys()[key], Chance(95) ? "f" : "g"};
    if (Chance(60)) begin.deadline_ns = Soon(1500);
    begin.retention_ns = Soon(5000);
    if (!Chance(40)) begin.wait_ns = Chance(50) ? kWaitForever : Soon(3000);
    // All who may attempt a key are to name the same lock, and mostly do.
    if (!Chance(25)) begin.lock = Names()[Chance(80) ? key : Below(5)];
    const Reply reply = Do(client, begin);
    const std::string expected = model_.Ask(client, clients_[client].last, begin);
    if (const auto* started = std::get_if<AttemptStarted>(&reply.result)) {
      TakeToken(client, clients_[client].last, started->token);
      attempts_.push_back({begin.key, started->token, client});
    }
    Compare(client, reply, expected);
  }
  // Goes on with a recent attempt of this client, mostly the last one, or of anybody.
  void GoOn(std::size_t client) {
    for (std::size_t i = attempts_.size(), past = 0; i-- > 0 && past < 20; ++past) {
      const auto& [key, token, whose] = attempts_[i];
      if (whose != client ? !Chance(2) : Chance(10)) continue;
      switch (Below(8)) {
        case 0: {
          const Checkpoint checkpoint{"", key, token, absl::StrCat("p", Below(9))};
          return Compare(client, Do(client, checkpoint), model_.Store(client, checkpoint));
        }
        case 1: {
          const Extend extend{"", key, token, Chance(20) ? kWaitForever : Soon(1500)};
          return Compare(client, Do(client, extend), model_.Lengthen(client, extend));
        }
        case 2: {
          const BreakLock broken{ObjectKind::kOperation, "", key, token, ""};
          return Compare(client, Do(client, broken), model_.Break(key, token));
        }
        default: {
          const FinishAttempt finish{"", key, token, static_cast<Outcome>(Below(3)), "r"};
          return Compare(client, Do(client, finish), model_.Finish(client, finish));
        }
      }
    }
  }
  void AskOfKey(std::size_t client) {
    const std::string key = Keys()[Below(3)];
    if (Chance(50)) return Compare(client, Do(client, Forget{"", key}), model_.Remove(key));
    AwaitOperation await{"", key, Chance(30) ? 0 : Chance(50) ? kWaitForever : Soon(3000)};
    const Reply reply = Do(client, await);
    Compare(client, reply, model_.Await(client, clients_[client].last, await));
  }
  void BreakDelay(std::size_t client) {
    if (model_.delays.empty()) return;
    const std::string name = model_.delays.begin()->first;
    const auto seen = std::get<LockDescription>(machine_.Query(GetLock{name}).result);
    const BreakLock broken{ObjectKind::kLock, "", name, seen.delay, ""};
    Compare(client, Do(client, broken), model_.EndDelay(name));
    ++shown_["delay"];
  }
  void Close(std::size_t client) {
    Command close;
    close.session = clients_[client].session;
    close.key = clients_[client].key;
    close.operation = CloseSession{};
    ASSERT_TRUE(std::holds_alternative<SessionClosed>(Apply(close).result));
    model_.End(client, /*expired=*/false);
    ++shown_["closed"];
    CompareEvents();
    if (!HasFatalFailure()) clients_[client] = Opened(client);
  }

  Machine machine_;
  LockModel model_;
  std::mt19937 random_{static_cast<std::uint32_t>(GetParam())};
  std::vector<Client> clients_;
  std::vector<SessionEvent> events_;
  struct Attempted {
    std::string key;
    Revision token;
    std::size_t client;
  };
  std::vector<Attempted> attempts_;  // all that ever were
  std::uint64_t keys_ = 0;
  std::int64_t odd_ = 0;
  Revision last_token_ = 0;
  std::uint64_t grants_ = 0;
  std::map<std::string, int> shown_;
};

TEST_P(LockModelTest, AgreesWithTheNaiveModel) {
  for (int turn = 0; turn < 5'000; ++turn) {
    const std::size_t client = Below(clients_.size());
    const std::uint64_t what = Below(100);
    if (what < 25) Pass(Soon(Chance(20) ? 2000 : 100));
    if (!HasFatalFailure()) {
      if (what < 35) {
        AskOne(client);
      } else if (what < 42) {
        AskForAll(client);
      } else if (what < 58) {
        Begin(client);
      } else if (what < 62) {
        AskOfKey(client);
      } else if (what < 65) {
        if (clients_[client].last == 0) continue;
        const Sequence sequence =
            clients_[client].last - Below(std::min<Sequence>(clients_[client].last, 9));
        Compare(client, Do(client, CancelWait{sequence}), model_.Cancel(client, sequence));
      } else if (what < 67) {
        Close(client);
      } else if (what < 71) {
        BreakDelay(client);
      } else if (what < 79) {
        GoOn(client);
      } else {
        GiveBack(client);
      }
    }
    if (HasFatalFailure()) FAIL() << "seed " << GetParam() << ", turn " << turn;
  }
  for (const char* word :
       {"granted",   "queued",   "held",    "again",    "released", "conflict", "not",
        "cancelled", "broken",   "closed",  "expired",  "started",  "progress", "done",
        "extended",  "finished", "removed", "mismatch", "absent",   "delay"}) {
    EXPECT_GT(shown_[word], 0) << "the workload never came to: " << word;
  }
  EXPECT_GT(grants_, 200u);
  for (std::size_t client = 0; client < clients_.size() && !HasFatalFailure(); ++client) {
    Close(client);
  }
  Pass(100'000 * kMs);
  EXPECT_EQ(machine_.lock_count(), 0u);
  EXPECT_EQ(machine_.key_count(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, LockModelTest, ::testing::Range(1, testing::kSanitized ? 4 : 11));

}  // namespace
}  // namespace tenure::machine
