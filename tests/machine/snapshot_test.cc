// Snapshots: taken at any moment, read while the machine goes on, put together into its equal.
#include "machine/snapshot.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "allocations.h"
#include "fixture.h"
#include "machine/codec.h"
#include "machine/state_hash.h"
#include "tenure/v1/snapshot.pb.h"
#include "tests/testing/sanitized.h"
#include "workload.h"

namespace tenure::machine {
namespace {

std::string ReadAll(SnapshotReader& reader) {
  std::string bytes, chunk;
  while (reader.Next(100'000, &chunk)) bytes += chunk;
  EXPECT_TRUE(reader.status().ok());
  return bytes;
}

std::string Snapshot(Machine& machine) {
  const std::unique_ptr<SnapshotReader> reader = machine.Freeze();
  EXPECT_NE(reader, nullptr);
  return ReadAll(*reader);
}

absl::StatusOr<Machine> Restore(absl::string_view bytes, std::size_t chunk = 1000) {
  SnapshotWriter writer;
  for (std::size_t at = 0; at < bytes.size(); at += chunk) {
    if (absl::Status status = writer.Add(bytes.substr(at, chunk)); !status.ok()) return status;
  }
  return writer.Finish();
}

void ExpectSame(const Applied& a, const Applied& b) {
  ASSERT_EQ(a.replies.size(), b.replies.size());
  for (std::size_t i = 0; i < a.replies.size(); ++i) {
    ASSERT_EQ(EncodeReply(a.replies[i]), EncodeReply(b.replies[i]));
  }
  ASSERT_EQ(a.events.size(), b.events.size());
  for (std::size_t i = 0; i < a.events.size(); ++i) {
    ASSERT_EQ(EncodeEvent(a.events[i]), EncodeEvent(b.events[i]));
  }
}

constexpr int kEntries = 1000;
constexpr int kRestoredEntries = testing::kSanitized ? 200 : kEntries;

Genesis LogGenesis(int seed) {
  Genesis genesis = TightGenesis(seed % 2 == 0 ? 1 : 3);
  if (seed % 3 == 0) genesis.grants_from_ns = 2'000 * kMillisecond;
  return genesis;
}

class RandomSnapshotTest : public ::testing::TestWithParam<int> {};

// At every point of a random log: the frozen machine goes on while it is read in chunks of random
// sizes, and what comes of them has the very state of a machine that was never frozen, answers the
// rest of the log like it, and is the one that is frozen next.
TEST_P(RandomSnapshotTest, RestoredAtEveryPointItIsTheOriginal) {
  const Genesis genesis = LogGenesis(GetParam());
  std::vector<Applied> applied;
  std::vector<std::uint64_t> hashes;
  const std::vector<Entry> log =
      RandomLog(GetParam(), genesis, kRestoredEntries, &applied, &hashes);
  std::mt19937 random(static_cast<std::uint32_t>(GetParam()));
  Machine original, machine;
  ASSERT_TRUE(original.Start(genesis, 0).ok());
  ASSERT_TRUE(machine.Start(genesis, 0).ok());
  int interleaved = 0;
  for (std::size_t i = 0; i + 1 < log.size(); ++i) {
    original.Apply(log[i].stamp, log[i].commands);
    machine.Apply(log[i].stamp, log[i].commands);
    const std::string expected = Snapshot(original);
    // Whole at times, and else in bits: many entries are applied between its beginning and end.
    const std::size_t most =
        random() % 8 == 0 ? 1'000'000 : 1 + expected.size() / (1 + random() % 20);
    std::unique_ptr<SnapshotReader> reader = machine.Freeze();
    std::size_t ahead = i + 1;
    std::string bytes, chunk;
    while (reader->Next(1 + random() % most, &chunk)) {
      bytes += chunk;
      for (std::uint32_t n = random() % 3; n > 0 && ahead < log.size(); --n, ++ahead) {
        machine.Apply(log[ahead].stamp, log[ahead].commands);
        ASSERT_EQ(machine.StateHash(), hashes[ahead]) << "being read changed it";
        ++interleaved;
      }
    }
    reader = nullptr;
    absl::StatusOr<Machine> restored = Restore(bytes, 1 + random() % 3000);
    ASSERT_TRUE(restored.ok()) << restored.status() << " entry " << i;
    ASSERT_EQ(restored->StateHash(), hashes[i]);
    ASSERT_TRUE(Snapshot(*restored) == expected) << "entry " << i;
    const std::size_t last = i % 100 == 0 ? log.size() : std::min(log.size(), i + 5);
    for (std::size_t k = i + 1; k < last; ++k) {
      ExpectSame(restored->Apply(log[k].stamp, log[k].commands), applied[k]);
      ASSERT_EQ(restored->StateHash(), hashes[k]) << "entry " << k << " after a snapshot at " << i;
      ASSERT_FALSE(HasFatalFailure());
    }
    machine = *Restore(bytes);
  }
  EXPECT_GT(interleaved, kRestoredEntries);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomSnapshotTest,
                         ::testing::Range(1, testing::kSanitized ? 3 : 7));

TEST(SnapshotCoverageTest, TheRandomLogsHaveAllThatASnapshotMayHaveToKeep) {
  std::set<std::size_t> results, told;
  bool shared = false, seated = false;
  // Compilers draw arguments in different orders: no few seeds reach everything with all of them.
  for (int seed = 1; seed < 25; ++seed) {
    std::vector<Applied> applied;
    std::vector<std::uint64_t> hashes;
    RandomLog(seed, LogGenesis(seed), kEntries, &applied, &hashes);
    for (const Applied& one : applied) {
      for (const Reply& reply : one.replies) {
        results.insert(reply.result.index());
        const auto* granted = std::get_if<LockGranted>(&reply.result);
        shared |= granted != nullptr && granted->fence != 0;
        seated |= granted != nullptr && granted->seat != 0;
      }
      for (const SessionEvent& event : one.events) told.insert(event.body.index());
    }
  }
  EXPECT_TRUE(shared);
  EXPECT_TRUE(seated);
  EXPECT_EQ(told.size(), std::variant_size_v<EventBody::variant>);
  // All results but those of reads, which stand behind the others.
  Reply broken;
  broken.result = LockBroken{};
  for (std::size_t kind = 0; kind <= broken.result.index(); ++kind) {
    EXPECT_EQ(results.count(kind), 1u) << "no result of kind " << kind;
  }
}

class SnapshotTest : public MachineTest {
 protected:
  // Sessions in all states, events, waits with and without deadlines, kept replies.
  void Fill() {
    Client holder = Open(10, "holder"), waiter = Open(20, "waiter"), doomed = Open(5, "doomed");
    Acquire(holder, "a", 0, "value");
    Acquire(waiter, "a", kWaitForever, "w");
    Acquire(waiter, "a", 3 * kSecond);
    Acquire(doomed, "b");
    Acquire(waiter, "b", kWaitForever);
    Acquire(holder, "b", 0);
    Client closed = Open(10);
    Acquire(closed, "c");
    Close(closed);
    Pass(6);
  }
  void AcquireMany(int count) {
    Client client = Open(60);
    for (int i = 0; i < count; ++i) {
      client.acknowledged_through = client.last;
      machine.Apply(now, {client.Next(AcquireLock{"lock" + std::to_string(i), 0, "v"})});
    }
  }
};

TEST_F(SnapshotTest, AMachineThatWasNotStartedIsRestoredAsSuch) {
  machine = Machine();
  absl::StatusOr<Machine> restored = Restore(Snapshot(machine));
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_TRUE(restored->Start({}, 0).ok());
}

TEST_F(SnapshotTest, OneReaderAtATimeWhichMayBeDropped) {
  Fill();
  std::unique_ptr<SnapshotReader> reader = machine.Freeze();
  EXPECT_EQ(machine.Freeze(), nullptr);
  std::string chunk;
  ASSERT_TRUE(reader->Next(10, &chunk));
  Pass(1);
  reader = nullptr;
  Pass(20);
  const std::string whole = Snapshot(machine);
  ASSERT_TRUE(Restore(whole).ok());
  EXPECT_EQ(Restore(whole)->StateHash(), machine.StateHash());
  // One that is at its end stands in nobody's way.
  reader = machine.Freeze();
  EXPECT_EQ(ReadAll(*reader), whole);
  EXPECT_FALSE(reader->Next(10, &chunk));
  EXPECT_NE(machine.Freeze(), nullptr);
}

TEST_F(SnapshotTest, AReaderWhoseMachineIsGoneSaysSo) {
  Fill();
  std::unique_ptr<SnapshotReader> reader = machine.Freeze();
  std::string chunk;
  ASSERT_TRUE(reader->Next(10, &chunk));
  Machine moved = std::move(machine);
  EXPECT_TRUE(reader->Next(10, &chunk)) << "a machine may move";
  moved = Machine();
  EXPECT_FALSE(reader->Next(10, &chunk));
  EXPECT_TRUE(chunk.empty());
  EXPECT_EQ(reader->status().code(), absl::StatusCode::kAborted);
}

TEST_F(SnapshotTest, CutShortAnywhereItIsRefused) {
  Fill();
  const std::string whole = Snapshot(machine);
  ASSERT_TRUE(Restore(whole, 1).ok());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const absl::Status status = Restore(whole.substr(0, size)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << size << ": " << status;
  }
  EXPECT_EQ(Restore(whole + "x").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(Restore(whole + whole).ok());
}

TEST_F(SnapshotTest, AnyBitThatTurnedIsNoticed) {
  Fill();
  const std::string whole = Snapshot(machine);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string bytes = whole;
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << i % 8));
    const absl::StatusOr<Machine> restored = Restore(bytes);
    EXPECT_FALSE(restored.ok()) << "byte " << i;
  }
}

// Damage that the trailer's hash cannot tell, because whoever wrote the snapshot hashed it.
TEST_F(SnapshotTest, RecordsThatDoNotFitTogetherAreRefused) {
  Fill();
  v1::Snapshot whole;
  ASSERT_TRUE(whole.ParseFromString(Snapshot(machine)));
  whole.mutable_records()->RemoveLast();
  const auto restore = [](v1::Snapshot snapshot) {
    StateHash hash;
    for (const v1::SnapshotRecord& record : snapshot.records()) {
      hash.AddBytes(record.SerializeAsString());
    }
    const int records = snapshot.records_size();
    v1::SnapshotTrailer* trailer = snapshot.add_records()->mutable_trailer();
    trailer->set_records(static_cast<std::uint64_t>(records));
    trailer->set_hash(hash.value());
    return Restore(snapshot.SerializeAsString()).status();
  };
  ASSERT_TRUE(restore(whole).ok()) << restore(whole);
  int refused = 0;
  for (int i = 0; i < whole.records_size(); ++i) {
    v1::Snapshot twice = whole;
    *twice.add_records() = whole.records(i);
    EXPECT_EQ(restore(twice).code(), absl::StatusCode::kDataLoss) << "record " << i << " twice";
    v1::Snapshot without = whole;
    without.mutable_records()->DeleteSubrange(i, 1);
    refused += !restore(without).ok();
  }
  EXPECT_GT(refused, 4) << "what others hang on cannot be missing";
  v1::Snapshot newer = whole;
  newer.mutable_records(0)->mutable_header()->set_machine_version(kMachineVersion + 1);
  EXPECT_EQ(restore(newer).code(), absl::StatusCode::kUnimplemented);
  v1::Snapshot unknown = whole;
  unknown.mutable_records(1)
      ->GetReflection()
      ->MutableUnknownFields(unknown.mutable_records(1))
      ->AddVarint(99, 1);
  EXPECT_EQ(restore(unknown).code(), absl::StatusCode::kUnimplemented);
}

TEST_F(SnapshotTest, ARaisedVersionIsStateLikeAnyOther) {
  Client client = Open();
  Command acquire = client.Next(AcquireLock{"a", 0, ""});
  acquire.machine_version = kMachineVersion + 1;
  EXPECT_EQ(Do(acquire).code, ReplyCode::kVersion);
  const std::uint64_t before = machine.StateHash();
  machine.RaiseVersion(kMachineVersion + 1);
  const std::uint64_t raised = machine.StateHash();
  EXPECT_NE(raised, before);
  machine.RaiseVersion(kMachineVersion);
  EXPECT_EQ(machine.version(), kMachineVersion + 1) << "it never falls";
  EXPECT_EQ(machine.StateHash(), raised);
  EXPECT_EQ(Do(acquire).code, ReplyCode::kOk);
  const std::string bytes = Snapshot(machine);
  EXPECT_EQ(Restore(bytes).status().code(), absl::StatusCode::kUnimplemented);
  SnapshotWriter newer(kMachineVersion + 1);
  ASSERT_TRUE(newer.Add(bytes).ok());
  const absl::StatusOr<Machine> restored = newer.Finish();
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->version(), kMachineVersion + 1);
  EXPECT_EQ(restored->StateHash(), machine.StateHash());
}

TEST_F(SnapshotTest, X2_ALengthAllocatesNothing) {
  const std::string header = Snapshot(machine).substr(0, 2);
  for (const std::string& head :
       {std::string("\x0a\xff\xff\xff\x1f", 5), std::string("\x0a\xff\xff\xff\xff\x0f", 6),
        std::string("\x0a\xff\xff\xff\xff\xff\xff\x7f", 8)}) {
    SnapshotWriter writer;
    const std::uint64_t before = AllocatedBytes();
    absl::Status status = writer.Add(head);
    for (int i = 0; i < 100 && status.ok(); ++i) status = writer.Add("some more bytes");
    EXPECT_LT(AllocatedBytes() - before, 50'000u);
    EXPECT_FALSE(writer.Finish().ok());
  }
}

TEST_F(SnapshotTest, GarbageNeverCrashes) {
  Fill();
  const std::string whole = Snapshot(machine);
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = whole;
    for (std::uint32_t n = 1 + random() % 3; n > 0; --n) {
      const std::size_t at = random() % bytes.size();
      if (random() % 2 == 0) {
        bytes[at] = static_cast<char>(random());
      } else {
        bytes.erase(at, random() % 8);
      }
    }
    EXPECT_EQ(Restore(bytes).ok(), bytes == whole);
  }
}

// Allocations stand for steps: every thing that is copied or encoded makes some.
TEST_F(SnapshotTest, FreezingAndEachStepCostTheSameWhateverTheState) {
  if (testing::kSanitized) GTEST_SKIP() << "costs are judged without sanitizers";
  struct Cost {
    std::uint64_t freeze, next, apply;
  };
  const auto measure = [this](int locks) {
    Start();
    AcquireMany(locks);
    Client other = Open(60);
    // Once before: what is allocated for the first time only is nobody's cost.
    Snapshot(machine);
    Cost cost{};
    std::uint64_t before = Allocations();
    const std::unique_ptr<SnapshotReader> reader = machine.Freeze();
    cost.freeze = Allocations() - before;
    std::string chunk;
    for (int i = 0; i < 50; ++i) {
      other.acknowledged_through = other.last;
      const Command command = other.Next(AcquireLock{"lock" + std::to_string(i), 0, ""});
      before = Allocations();
      machine.Apply(now, {command});
      cost.apply = std::max<std::uint64_t>(cost.apply, Allocations() - before);
      before = Allocations();
      EXPECT_TRUE(reader->Next(64, &chunk));
      cost.next = std::max<std::uint64_t>(cost.next, Allocations() - before);
    }
    return cost;
  };
  const Cost small = measure(200), large = measure(100'000);
  EXPECT_EQ(large.freeze, small.freeze);
  EXPECT_LE(large.next, small.next + 4);
  EXPECT_LE(large.apply, small.apply + 4);
  EXPECT_LT(large.freeze, 100u);
  RecordProperty("allocations_to_freeze", static_cast<int>(large.freeze));
}

}  // namespace
}  // namespace tenure::machine
