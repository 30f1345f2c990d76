// Long random command sequences: the machine against the naive model, and machines against each
// other.
#include "model.h"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "machine/machine.h"
#include "tests/testing/sanitized.h"
#include "workload.h"

namespace tenure::machine {
namespace {

class ModelTest : public ::testing::TestWithParam<int> {
 protected:
  static Genesis MakeGenesis(int seed) {
    Genesis genesis;
    genesis.grants_from_ns = seed % 2 == 0 ? 0 : 5'000 * kMillisecond;
    genesis.limits.window = 16;
    genesis.limits.cleanup_per_entry = 1'000'000;
    return genesis;
  }

  // Tokens are strictly rising over everything; each belongs to one grant.
  void Grant(Model& model, Workload& workload, Revision token, Model::GrantId who,
             const std::string& name) {
    EXPECT_TRUE(model.grants.emplace(token, who).second) << "one token, two grants";
    EXPECT_GT(token, last_token_);
    last_token_ = token;
    workload.names_[token] = name;
    ++granted_;
  }

  void ExpectSameLocks(const Machine& machine, const Model& model) {
    const auto list = std::get<LockList>(machine.Query(ListLocks{}).result);
    std::vector<LockDescription> held;
    for (const LockDescription& lock : list.locks) {
      // Idle ones that still stand in the list of hand-overs to come are nobody's business.
      if (lock.holder.session != 0 || lock.waiting != 0) held.push_back(lock);
    }
    auto it = model.locks.begin();
    for (const LockDescription& lock : held) {
      while (it != model.locks.end() && it->second.election) ++it;
      ASSERT_NE(it, model.locks.end());
      EXPECT_EQ(lock.name, it->first);
      EXPECT_EQ(lock.holder.session, it->second.holder.first);
      EXPECT_EQ(lock.waiting, it->second.queue.size());
      const auto whole = std::get<LockDescription>(machine.Query(GetLock{lock.name}).result);
      auto waiter = it->second.queue.begin();
      for (const LockWaiter& shown : whole.waiters) {
        EXPECT_EQ(shown.session, (waiter++)->who.first) << "not FIFO";
      }
      ++it;
    }
    while (it != model.locks.end() && it->second.election) ++it;
    EXPECT_EQ(it, model.locks.end());
  }

  static void ExpectSameOperations(const Machine& machine, const Model& model) {
    ASSERT_EQ(machine.key_count(), model.operations.size());
    for (const auto& [key, record] : model.operations) {
      const auto seen = std::get<OperationDescription>(machine.Query(GetOperation{"", key}).result);
      ASSERT_EQ(seen.holder.session, record.holder.first);
      ASSERT_EQ(seen.attempts, record.attempts);
      ASSERT_EQ(seen.waiting, record.queue.size() + record.awaiting.size());
      ASSERT_EQ(seen.fingerprint, record.fingerprint);
      ASSERT_EQ(seen.point, record.point);
      ASSERT_EQ(seen.response, record.response);
      const bool running = record.holder.first != 0 && !record.overdue;
      ASSERT_EQ(seen.state, record.failed ? OperationState::kFailed
                            : record.done ? OperationState::kDone
                            : running     ? OperationState::kInProgress
                                          : OperationState::kClaimable);
    }
  }

  // And tells the model the revisions of its changes.
  static void ExpectSameElections(const Machine& machine, Model& model) {
    for (auto& [name, election] : model.locks) {
      if (!election.election) continue;
      const auto seen = std::get<ElectionDescription>(machine.Query(GetElection{name, 0}).result);
      ASSERT_EQ(seen.leader.session, election.holder.first);
      ASSERT_EQ(seen.waiting, election.queue.size());
      auto waiter = election.queue.begin();
      for (const Candidate& candidate : seen.candidates) {
        ASSERT_EQ(Model::GrantId(candidate.session, candidate.campaign), waiter->who);
        ASSERT_EQ(candidate.priority, (waiter++)->priority);
      }
      ASSERT_EQ(seen.changes.size(), std::min<std::size_t>(32, election.changes.size()));
      for (std::size_t i = 1; i <= seen.changes.size(); ++i) {
        const Change& change = seen.changes[seen.changes.size() - i];
        Model::Happened& happened = election.changes[election.changes.size() - i];
        ASSERT_EQ(change.kind, happened.kind);
        ASSERT_EQ(change.session, happened.session);
        ASSERT_TRUE(happened.revision == 0 || happened.revision == change.revision);
        happened.revision = change.revision;
      }
    }
  }

  // Applies one entry to both. The machine's events of an entry come before its replies can be told
  // apart from them, so the model learns the tokens first: each command in an entry of its own.
  void Step(Machine& machine, Model& model, Workload& workload, const Entry& entry) {
    std::vector<Command> none;
    Compare(machine.Apply(entry.stamp, {}), {}, entry.stamp, model, workload);
    ExpectSameElections(machine, model);
    for (const Command& command : entry.commands) {
      Compare(machine.Apply(entry.stamp, {command}), {command}, entry.stamp, model, workload);
      ExpectSameElections(machine, model);
    }
    ExpectSameLocks(machine, model);
    ExpectSameOperations(machine, model);
  }

  void Compare(const Applied& applied, const std::vector<Command>& commands, std::int64_t stamp,
               Model& model, Workload& workload) {
    model.told.clear();
    model.PassTime(stamp);
    for (std::size_t i = 0; i < commands.size(); ++i) {
      const Command& command = commands[i];
      const Reply& reply = applied.replies[i];
      const auto* opened = std::get_if<SessionOpened>(&reply.result);
      const SessionId id = opened == nullptr ? 0 : opened->session;
      const std::string expected = model.Run(command, id);
      ASSERT_EQ(Model::Show(reply), expected)
          << "session " << command.session << " sequence " << command.sequence << " operation "
          << command.operation.index();
      ++shown_[expected.substr(0, expected.find(' '))];
      if (opened != nullptr) workload.Opened(command, id);
      const Revision token = Workload::TokenOf(reply);
      // A cancel, or a kept reply that another command's retry meets, tells of a known grant.
      if (token != 0 && model.grants.count(token) == 0) {
        const std::string* name = Workload::NameOf(command);
        ASSERT_NE(name, nullptr);
        Grant(model, workload, token, {command.session, command.sequence}, *name);
      }
    }
    std::vector<std::string> told;
    Revision last = 0;
    for (const SessionEvent& event : applied.events) {
      EXPECT_GT(event.revision, last);
      last = event.revision;
      told.push_back(Model::Show(event));
      const Workload::Given given = Workload::TokenOf(event);
      if (given.token != 0) {
        Grant(model, workload, given.token, {event.session, given.asked}, given.name);
      }
    }
    ASSERT_EQ(told, model.told);
  }

  Revision last_token_ = 0;
  std::uint64_t granted_ = 0;
  std::map<std::string, int> shown_;
};

TEST_P(ModelTest, AgreesWithTheNaiveModel) {
  const Genesis genesis = MakeGenesis(GetParam());
  Machine machine;
  ASSERT_TRUE(machine.Start(genesis, 0).ok());
  Model model(genesis.grants_from_ns, genesis.limits.window);
  Workload workload(static_cast<std::uint32_t>(GetParam()), &model.grants);
  Entry entry;
  for (int i = 0; i < 6000; ++i) {
    entry = workload.Next();
    Step(machine, model, workload, entry);
    if (HasFatalFailure() || HasNonfatalFailure())
      FAIL() << "seed " << GetParam() << " entry " << i;
  }
  for (const char* word :
       {"granted",    "queued",    "held",      "released", "cancelled", "ended",    "renewed",
        "closed",     "forgotten", "limit",     "not",      "wrong",     "invalid",  "opened",
        "proclaimed", "observed",  "observing", "absent",   "started",   "progress", "done",
        "extended",   "finished",  "removed",   "conflict", "mismatch"}) {
    EXPECT_GT(shown_[word], 0) << "the workload never came to: " << word;
  }
  EXPECT_GT(granted_, 250u);
  // Everything ends: no ghost holds anything, nobody waits for ever.
  entry.commands.clear();
  entry.stamp += 100'000 * kMillisecond;
  Step(machine, model, workload, entry);
  entry.stamp += 100'000 * kMillisecond;
  Step(machine, model, workload, entry);
  EXPECT_EQ(machine.session_count(), 0u);
  EXPECT_EQ(machine.key_count(), 0u);
  EXPECT_EQ(machine.lock_count(), 0u);
  EXPECT_FALSE(machine.HasDeadline());
}

TEST_P(ModelTest, KeepsItsPromisesOnATightBudget) {
  std::vector<Applied> applied;
  std::vector<std::uint64_t> hashes;
  const std::vector<Entry> log = RandomLog(GetParam(), TightGenesis(1), 2000, &applied, &hashes);
  Revision last = 0;
  std::map<SessionId, bool> dead;
  for (const Applied& one : applied) {
    for (const SessionEvent& event : one.events) {
      EXPECT_GT(event.revision, last);
      last = event.revision;
      EXPECT_FALSE(dead[event.session]) << "an event after the last";
      dead[event.session] = std::holds_alternative<SessionEndedEvent>(event.body);
    }
  }
  Machine machine;
  ASSERT_TRUE(machine.Start(TightGenesis(1), 0).ok());
  for (const Entry& entry : log) machine.Apply(entry.stamp, entry.commands);
  // Left alone, it comes to rest with nothing held and nobody waiting.
  std::int64_t stamp = log.back().stamp + 100'000 * kMillisecond;
  machine.Apply(stamp, {});
  for (int i = 0; i < 10'000 && machine.HasBacklog(); ++i) machine.Apply(stamp, {});
  // What the attempts of the dead have left expires in its turn.
  stamp += 100'000 * kMillisecond;
  machine.Apply(stamp, {});
  for (int i = 0; i < 10'000 && machine.HasBacklog(); ++i) machine.Apply(stamp, {});
  EXPECT_FALSE(machine.HasBacklog());
  EXPECT_EQ(machine.lock_count(), 0u);
  EXPECT_FALSE(machine.HasDeadline());
}

TEST_P(ModelTest, T9_EqualLogsMakeEqualMachinesAtEachIndex) {
  std::vector<Applied> applied;
  std::vector<std::uint64_t> hashes;
  const std::vector<Entry> log = RandomLog(GetParam(), TightGenesis(3), 2000, &applied, &hashes);
  Machine machine;
  ASSERT_TRUE(machine.Start(TightGenesis(3), 0).ok());
  // Reads in between change nothing. Abseil seeds each hash table anew, so that any iteration over
  // one would show.
  for (std::size_t i = 0; i < log.size(); ++i) {
    const Applied again = machine.Apply(log[i].stamp, log[i].commands);
    machine.Query(ListLocks{});
    ASSERT_EQ(machine.StateHash(), hashes[i]) << "entry " << i;
    ASSERT_EQ(again.events.size(), applied[i].events.size());
    for (std::size_t c = 0; c < again.replies.size(); ++c) {
      ASSERT_EQ(Model::Show(again.replies[c]), Model::Show(applied[i].replies[c]));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, ::testing::Range(1, testing::kSanitized ? 4 : 11));

TEST(StateHashTest, T9_AnotherOrderOrStampOrValueIsAnotherHash) {
  const auto hash = [](auto change) {
    Machine machine;
    EXPECT_TRUE(machine.Start({}, 0).ok());
    std::vector<Command> commands;
    for (const std::uint64_t key : {1, 2}) {
      Command open;
      open.key = {1, key};
      open.operation = OpenSession{10'000 * kMillisecond, ""};
      commands.push_back(open);
    }
    for (const std::uint64_t id : {1, 2}) {
      Command acquire;
      acquire.session = id;
      acquire.key = {1, id};
      acquire.sequence = 1;
      acquire.operation = AcquireLock{absl::StrCat("l", id), 0, "v"};
      commands.push_back(acquire);
    }
    std::int64_t stamp = 5;
    change(commands, stamp);
    machine.Apply(stamp, commands);
    return machine.StateHash();
  };
  const std::uint64_t base = hash([](auto&, auto&) {});
  EXPECT_EQ(hash([](auto&, auto&) {}), base);
  EXPECT_NE(hash([](auto& c, auto&) { std::swap(c[2], c[3]); }), base);
  EXPECT_NE(hash([](auto&, auto& stamp) { ++stamp; }), base);
  EXPECT_NE(hash([](auto& c, auto&) { std::get<AcquireLock>(c[3].operation).value = "w"; }), base);
  EXPECT_NE(hash([](auto& c, auto&) { std::get<AcquireLock>(c[3].operation).name = "m"; }), base);
  EXPECT_NE(hash([](auto& c, auto&) { std::get<OpenSession>(c[0].operation).ttl_ns++; }), base);
}

}  // namespace
}  // namespace tenure::machine
