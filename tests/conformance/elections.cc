// Elections: who leads, who follows, and who is told.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/conformance.h"
#include "gmock/gmock.h"
#include "tenure/election.h"
#include "tenure/errors.h"
#include "tenure/session.h"

namespace tenure::conformance {
namespace {

using Lead = absl::StatusOr<Leadership>;
using Told = absl::StatusOr<News>;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(20);
constexpr std::int64_t kTtlNs = 20'000'000'000;

// Campaigns where nobody stands in the way.
Leadership Win(Coordinator& coordinator, const std::string& value) {
  Lead lead = coordinator.election("e").Campaign(value);
  EXPECT_TRUE(lead.ok()) << lead.status();
  return lead.ok() ? *std::move(lead) : Leadership();
}

// Returns once that many wait.
void AwaitCandidates(Coordinator& coordinator, std::size_t count) {
  for (;;) {
    const auto seen = coordinator.election("e").Describe(kLong);
    ASSERT_TRUE(seen.ok()) << seen.status();
    if (seen->waiting == count) return;
  }
}

TEST_P(Conformance, OneLeadsAndTheNextFollows) {
  Leadership first = Win(one(), "one");
  EXPECT_TRUE(first.Valid());
  EXPECT_EQ(first.name(), "e");
  const Lead refused = two().election("e").Campaign({.wait = absl::ZeroDuration()});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kAborted) << refused.status();
  EXPECT_THAT(refused.status().message(), HasSubstr("e is led by"));
  Awaited<Lead> second;
  two().election("e").Campaign({.value = "two"}, second.Callback());
  AwaitCandidates(one(), 1);
  EXPECT_FALSE(second.IsHere());
  const Revision term = first.term();
  EXPECT_TRUE(first.Resign(kLong).ok());
  EXPECT_FALSE(first.Valid());
  const Lead next = second.Get();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_GT(next->term(), term);
  const auto seen = one().election("e").Describe(kLong);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->leader.token, next->term());
  EXPECT_EQ(seen->leader.value, "two");
}

TEST_P(Conformance, ElectionsAndLocksOfOneNameAreApart) {
  const absl::StatusOr<LockGuard> lock = one().mutex("e").Lock({.wait = kLong});
  ASSERT_TRUE(lock.ok()) << lock.status();
  const Leadership lead = Win(one(), "");
  EXPECT_GT(lead.term(), lock->token()) << "and yet their tokens are of one order";
}

TEST_P(Conformance, TheGreaterPriorityIsElectedFirst) {
  Leadership leader = Win(one(), "one");
  std::vector<Awaited<Lead>> waits(3);
  const std::uint32_t priorities[] = {1, 9, 9};
  for (std::size_t i = 0; i < 3; ++i) {
    two().election("e").Campaign({.value = std::to_string(i), .priority = priorities[i]},
                                 waits[i].Callback());
    AwaitCandidates(one(), i + 1);
  }
  const auto seen = one().election("e").Describe(kLong);
  ASSERT_TRUE(seen.ok()) << seen.status();
  ASSERT_EQ(seen->candidates.size(), 3u);
  EXPECT_EQ(seen->candidates[0].value, "1");
  EXPECT_EQ(seen->candidates[2].value, "0");
  EXPECT_TRUE(leader.Valid()) << "nobody is deposed for a greater one";
  leader = Leadership();
  for (const std::size_t next : {std::size_t{1}, std::size_t{2}, std::size_t{0}}) {
    Lead lead = waits[next].Get();
    ASSERT_TRUE(lead.ok()) << lead.status();
    for (const std::size_t later : {std::size_t{1}, std::size_t{2}, std::size_t{0}}) {
      EXPECT_TRUE(later != 0 || next == 0 || !waits[later].IsHere());
    }
    EXPECT_TRUE(lead->Resign(kLong).ok());
  }
}

TEST_P(Conformance, ALeaderHandsOverToWhomItNames) {
  Leadership leader = Win(one(), "one");
  std::vector<Awaited<Lead>> waits(2);
  for (std::size_t i = 0; i < 2; ++i) {
    two().election("e").Campaign({.value = std::to_string(i)}, waits[i].Callback());
    AwaitCandidates(one(), i + 1);
  }
  const auto seen = one().election("e").Describe(kLong);
  ASSERT_TRUE(seen.ok()) << seen.status();
  Candidate nobody = seen->candidates[1];
  nobody.campaign += 1000;
  EXPECT_EQ(leader.HandOver(nobody, kLong).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(leader.Valid());
  EXPECT_TRUE(leader.HandOver(seen->candidates[1], kLong).ok());
  EXPECT_FALSE(leader.Valid());
  const Lead next = waits[1].Get();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_FALSE(waits[0].IsHere());
}

TEST_P(Conformance, ACampaignEndsInTimeOrByCancel) {
  const Leadership leader = Win(one(), "one");
  std::stop_source stop;
  Awaited<Lead> waiting;
  two().election("e").Campaign({.cancel = stop.get_token()}, waiting.Callback());
  stop.request_stop();
  EXPECT_EQ(waiting.Get().status().code(), absl::StatusCode::kCancelled);
  const Lead late = two().election("e").Campaign({.wait = absl::Milliseconds(1)});
  EXPECT_FALSE(late.ok());
  EXPECT_EQ(two().election("e").Campaign({.wait = -kLong}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(two().election("e").Campaign({.wait = kLong, .priority = 256}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(two().election("").Campaign({.wait = kLong}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(Conformance, ObserversAreToldEachChangeInItsOrder) {
  Observer observer = two().election("e").Observe();
  const Told first = observer.Next(kLong);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->initial);
  EXPECT_EQ(first->holder.session, 0u);
  const Told nothing = observer.Next(absl::ZeroDuration());
  EXPECT_EQ(nothing.status().code(), absl::StatusCode::kAborted) << nothing.status();
  {
    Leadership leader = Win(one(), "a");
    EXPECT_TRUE(leader.Proclaim("b", kLong).ok());
    EXPECT_TRUE(leader.Proclaim("c", kLong).ok());
    EXPECT_TRUE(leader.Resign(kLong).ok());
  }
  const ChangeKind kinds[] = {ChangeKind::kGranted, ChangeKind::kValue, ChangeKind::kValue,
                              ChangeKind::kReleased};
  const char* const values[] = {"a", "b", "c", ""};
  Revision last = first->change.revision;
  Revision middle = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const Told news = observer.Next(kLong);
    ASSERT_TRUE(news.ok()) << news.status();
    EXPECT_FALSE(news->initial);
    EXPECT_FALSE(news->gap);
    EXPECT_EQ(news->change.kind, kinds[i]) << i;
    EXPECT_EQ(news->holder.value, values[i]) << i;
    EXPECT_GT(news->change.revision, last);
    last = news->change.revision;
    EXPECT_EQ(observer.revision(), last);
    if (i == 1) middle = last;
  }
  // Another one goes on where that one was.
  Observer later = one().election("e").Observe(middle);
  const Told again = later.Next(kLong);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->change.value, "c");
}

TEST_P(Conformance, AnObserverThatIsSlowIsToldOfTheGap) {
  Observer observer = two().election("e").Observe();
  ASSERT_TRUE(observer.Next(kLong).ok());
  Leadership leader = Win(one(), "0");
  for (int i = 1; i <= 40; ++i) ASSERT_TRUE(leader.Proclaim(std::to_string(i), kLong).ok());
  const Told news = observer.Next(kLong);
  ASSERT_TRUE(news.ok()) << news.status();
  EXPECT_TRUE(news->gap);
  Told last = news;
  while (last->holder.value != "40") {
    last = observer.Next(kLong);
    ASSERT_TRUE(last.ok()) << last.status();
    EXPECT_FALSE(last->gap);
  }
}

TEST_P(Conformance, AnObserverWaitsWithoutAThreadAndEndsWithItsHandle) {
  Awaited<Told> waiting;
  {
    Observer observer = two().election("e").Observe();
    ASSERT_TRUE(observer.Next(kLong).ok());
    observer.Next(absl::InfiniteDuration(), waiting.Callback());
    EXPECT_EQ(observer.Next(kLong).status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_FALSE(waiting.IsHere());
  }
  EXPECT_EQ(waiting.Get().status().code(), absl::StatusCode::kCancelled);
}

TEST_P(Conformance, ACancelledNextLosesNothing) {
  Leadership leader = Win(one(), "a");
  Observer observer = two().election("e").Observe();
  ASSERT_TRUE(observer.Next(kLong).ok());
  std::stop_source stop;
  Awaited<Told> waiting;
  observer.Next(absl::InfiniteDuration(), stop.get_token(), waiting.Callback());
  EXPECT_FALSE(waiting.IsHere());
  stop.request_stop();
  EXPECT_EQ(waiting.Get().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(observer.Next(kLong, stop.get_token()).status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(leader.Proclaim("b", kLong).ok());
  const Told told = observer.Next(kLong, std::stop_token());
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(told->change.value, "b");
}

// E2: whoever resigns late ends nobody else's term.
TEST_P(Conformance, E2ALateResignLeavesTheSuccessorAlone) {
  RawClient late(one(), {1, 1});
  const SessionId session = late.Get<SessionOpened>(OpenSession{kTtlNs, "late"}).session;
  const Revision term = late.Get<LockGranted>(Campaign{"e", 0, "", 0}, session, 1).token;
  late.Get<LockReleased>(Resign{"e", term}, session, 2);
  const Leadership next = Win(two(), "next");
  late.Get<LockReleased>(Resign{"e", term}, session, 2);
  EXPECT_EQ(late.Do(Resign{"e", term}, session, 3).code, ReplyCode::kNotHeld);
  EXPECT_EQ(late.Do(Proclaim{"e", term, "late"}, session, 4).code, ReplyCode::kNotHeld);
  const auto seen = one().election("e").Describe(kLong);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->leader.token, next.term());
  EXPECT_EQ(seen->leader.value, "next");
}

// E4: a campaign that is sent again, also over another connection, makes one leader of one term.
TEST_P(Conformance, E4ARepeatedCampaignMakesOneLeader) {
  RawClient client(one(), {1, 1});
  const SessionId session = client.Get<SessionOpened>(OpenSession{kTtlNs, "twice"}).session;
  const Campaign campaign{"e", kWaitForever, "", 0};
  const Revision term = client.Get<LockGranted>(campaign, session, 1).token;
  EXPECT_EQ(client.Get<LockGranted>(campaign, session, 1).token, term);
  EXPECT_EQ(RawClient(two(), {1, 1}).Get<LockGranted>(campaign, session, 1).token, term);
  const auto seen = one().election("e").Describe(kLong);
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->leader.token, term);
  EXPECT_EQ(seen->waiting, 0u);
}

// E5: loss is told to one that led, once, and to no candidate.
TEST_P(Conformance, E5OnlyALeaderIsToldThatItLost) {
  constexpr std::uint64_t kSeed = 5;
  Coordinator doomed = fixture().Connect({.seed = kSeed});
  absl::StatusOr<Session> session = doomed.OpenSession();
  ASSERT_TRUE(session.ok()) << session.status();
  Lead leader = session->election("e").Campaign({.wait = kLong});
  ASSERT_TRUE(leader.ok()) << leader.status();
  Awaited<Lead> candidate;
  session->election("e").Campaign({}, candidate.Callback());
  std::atomic<int> told = 0;
  Awaited<int> lost;
  const std::stop_callback on_lost(leader->lost(), [&] {
    ++told;
    lost.Callback()(1);
  });
  // The cluster ends its session.
  RawClient(two(), FirstKey(kSeed)).Get<SessionClosed>(CloseSession{}, session->id());
  lost.Get();
  EXPECT_EQ(candidate.Get().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(leader->Valid());
  *leader = Leadership();
  EXPECT_EQ(told, 1);
  // Who resigns has not lost.
  Leadership other = Win(two(), "");
  const std::stop_callback never(other.lost(), [&told] { ++told; });
  EXPECT_TRUE(other.Resign(kLong).ok());
  EXPECT_EQ(told, 1);
}

TEST_P(Conformance, RunLeadsAgainUntilItIsStopped) {
  std::stop_source stop;
  int rounds = 0;
  Revision last = 0;
  const absl::Status ran = one().election("e").Run({.value = "again", .cancel = stop.get_token()},
                                                   [&](Leadership& leadership) {
                                                     EXPECT_TRUE(leadership.Valid());
                                                     EXPECT_GT(leadership.term(), last);
                                                     last = leadership.term();
                                                     if (++rounds == 3) stop.request_stop();
                                                   });
  EXPECT_TRUE(ran.ok()) << ran;
  EXPECT_EQ(rounds, 3);
  EXPECT_EQ(one().election("").Run({}, [](Leadership&) {}).code(),
            absl::StatusCode::kInvalidArgument);
}

// E4, E5: a loss is told by the one term that was lost, once, and then comes the next term.
TEST_P(Conformance, E5RunLeadsAgainAfterALossThatIsToldOnce) {
  constexpr std::uint64_t kSeed = 45;
  Coordinator doomed = fixture().Connect({.seed = kSeed});
  std::stop_source stop;
  std::atomic<int> told = 0;
  Awaited<SessionId> leads;
  std::vector<Revision> terms;
  std::thread thief([&] {
    // The cluster ends the session under which it leads.
    RawClient(two(), FirstKey(kSeed)).Get<SessionClosed>(CloseSession{}, leads.Get());
  });
  const absl::Status ran = doomed.election("e").Run(
      {.value = "again", .cancel = stop.get_token()}, [&](Leadership& leadership) {
        terms.push_back(leadership.term());
        if (terms.size() == 2) {
          EXPECT_TRUE(leadership.Valid());
          stop.request_stop();
          return;
        }
        Awaited<int> lost;
        const std::stop_callback on_lost(leadership.lost(), [&] {
          ++told;
          lost.Callback()(1);
        });
        const auto seen = one().election("e").Describe(kLong);
        ASSERT_TRUE(seen.ok()) << seen.status();
        EXPECT_EQ(seen->leader.token, leadership.term());
        leads.Callback()(seen->leader.session);
        lost.Get();
        EXPECT_FALSE(leadership.Valid());
      });
  thief.join();
  EXPECT_TRUE(ran.ok()) << ran;
  ASSERT_EQ(terms.size(), 2u);
  EXPECT_GT(terms[1], terms[0]);
  EXPECT_EQ(told, 1);
}

// The same with callbacks: three terms, each kept until somebody else ends it, or dropped.
TEST_P(Conformance, RunByCallbacksLeadsAgainUntilItIsStopped) {
  std::stop_source stop;
  std::vector<Revision> terms;
  Awaited<Leadership> second;
  Awaited<bool> resigned;
  Election::Again after_second;
  Awaited<absl::Status> ran;
  one().election("e").Run(
      {.value = "again", .cancel = stop.get_token()},
      [&](Leadership leadership, Election::Again again) {
        EXPECT_TRUE(leadership.Valid());
        terms.push_back(leadership.term());
        if (terms.size() == 1) return;  // both are dropped
        if (terms.size() == 3) {
          stop.request_stop();
          return std::move(again)();
        }
        after_second = std::move(again);
        second.Callback()(std::move(leadership));
      },
      ran.Callback());
  Leadership kept = second.Get();
  Lead other = two().election("e").Campaign({.wait = absl::ZeroDuration()});
  EXPECT_EQ(other.status().code(), absl::StatusCode::kAborted) << "the second term lasts";
  EXPECT_TRUE(kept.Resign(kLong).ok());
  std::move(after_second)();
  EXPECT_TRUE(ran.Get().ok());
  ASSERT_EQ(terms.size(), 3u);
  EXPECT_GT(terms[1], terms[0]);
  EXPECT_GT(terms[2], terms[1]);
  Awaited<absl::Status> refused;
  one().election("").Run(
      {}, [](const Leadership&, Election::Again) {}, refused.Callback());
  EXPECT_EQ(refused.Get().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(Conformance, EachElectionCallHasACallbackForm) {
  Awaited<Lead> won;
  one().election("e").Campaign({.value = "a", .wait = kLong}, won.Callback());
  Lead leader = won.Get();
  ASSERT_TRUE(leader.ok()) << leader.status();
  EXPECT_EQ(leader->value(), "a");
  Awaited<absl::Status> proclaimed;
  leader->Proclaim("b", kLong, proclaimed.Callback());
  EXPECT_TRUE(proclaimed.Get().ok());
  EXPECT_EQ(leader->value(), "b");
  Awaited<Lead> next;
  two().election("e").Campaign({.value = "c"}, next.Callback());
  AwaitCandidates(one(), 1);
  Awaited<absl::StatusOr<ElectionDescription>> described;
  one().election("e").Describe(kLong, described.Callback());
  const auto seen = described.Get();
  ASSERT_TRUE(seen.ok()) << seen.status();
  Awaited<absl::Status> handed;
  leader->HandOver(seen->candidates.at(0), kLong, handed.Callback());
  EXPECT_TRUE(handed.Get().ok());
  EXPECT_FALSE(leader->Valid());
  Lead successor = next.Get();
  ASSERT_TRUE(successor.ok()) << successor.status();
  EXPECT_EQ(successor->value(), "c");
  Awaited<absl::Status> resigned;
  successor->Resign(kLong, resigned.Callback());
  EXPECT_TRUE(resigned.Get().ok());
  Observer observer = two().election("e").Observe();
  Awaited<Told> told;
  observer.Next(kLong, told.Callback());
  const Told news = told.Get();
  ASSERT_TRUE(news.ok()) << news.status();
  EXPECT_EQ(news->holder.session, 0u);
}

TEST_P(Conformance, ElectionsAreListed) {
  std::vector<Lead> leads;
  for (const char* name : {"b", "a", "c"}) {
    leads.push_back(one().election(name).Campaign({.value = name, .wait = kLong}));
    ASSERT_TRUE(leads.back().ok()) << leads.back().status();
  }
  const auto page = two().ListElections("", 2, kLong);
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->elections.size(), 2u);
  EXPECT_EQ(page->elections[0].name, "a");
  EXPECT_TRUE(page->more);
  Awaited<absl::StatusOr<ElectionList>> next;
  two().ListElections("b", 2, kLong, next.Callback());
  const auto rest = next.Get();
  ASSERT_TRUE(rest.ok()) << rest.status();
  ASSERT_EQ(rest->elections.size(), 1u);
  EXPECT_EQ(rest->elections[0].leader.value, "c");
}

TEST_P(Conformance, EmptyElectionHandlesRefuse) {
  EXPECT_EQ(Election().Campaign().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Leadership().Resign().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Leadership().Proclaim("x").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Leadership().HandOver(Candidate()).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Leadership().value(), "");
  EXPECT_EQ(Observer().Next().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(Leadership().Valid());
  Awaited<absl::Status> ran;
  Election().Run(
      {}, [](const Leadership&, Election::Again) {}, ran.Callback());
  EXPECT_EQ(ran.Get().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Coordinator().election("e").Describe().status().code(),
            absl::StatusCode::kFailedPrecondition);
}

// A child leads nothing, whatever it has copies of, and resigns from nothing when it ends.
TEST_P(Conformance, AForkedChildLeadsNothing) {
  Coordinator third = fixture().Connect();
  Lead leader = third.election("e").Campaign({.value = "parent", .wait = kLong});
  ASSERT_TRUE(leader.ok()) << leader.status();
  Observer observer = third.election("e").Observe();
  ASSERT_TRUE(observer.Next(kLong).ok());
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    const auto refused = absl::StatusCode::kFailedPrecondition;
    absl::Status proclaimed;
    leader->Proclaim("child", kLong, [&](absl::Status status) { proclaimed = std::move(status); });
    const bool answers = !leader->Valid() && proclaimed.code() == refused &&
                         leader->Proclaim("child").code() == refused &&
                         leader->HandOver(Candidate()).code() == refused &&
                         third.election("e").Campaign().status().code() == refused &&
                         third.election("e").Describe().status().code() == refused &&
                         third.election("e").Run({}, [](Leadership&) {}).code() == refused &&
                         observer.Next().status().code() == refused &&
                         leader->Resign().code() == refused;
    *leader = Leadership();
    observer = Observer();
    third = Coordinator();
    _exit(answers ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
  EXPECT_TRUE(leader->Valid());
  EXPECT_EQ(two().election("e").Campaign({.wait = absl::ZeroDuration()}).status().code(),
            absl::StatusCode::kAborted);
  EXPECT_TRUE(leader->Resign(kLong).ok());
}

// E3: a renewal that nobody answers does not outlast the lease.
TEST_P(Conformance, E3LeadershipEndsByItsOwnDeadlineThoughNobodyAnswers) {
  NEEDS(Capability::kOutage);
  Coordinator third = fixture().Connect();
  absl::StatusOr<Session> session = third.OpenSession({.ttl = absl::Seconds(1)});
  ASSERT_TRUE(session.ok()) << session.status();
  const Lead leader = session->election("e").Campaign({.wait = kLong});
  ASSERT_TRUE(leader.ok()) << leader.status();
  Awaited<int> lost;
  const std::stop_callback on_lost(leader->lost(), [&] { lost.Callback()(1); });
  fixture().TakeDown();
  lost.Get();
  EXPECT_FALSE(leader->Valid());
}

TEST_P(Conformance, ALeaderKeepsItsTermWhenTheClustersLeaderDies) {
  NEEDS(Capability::kLeaderKill);
  Leadership leader = Win(one(), "a");
  Observer observer = two().election("e").Observe();
  const Told first = observer.Next(kLong);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->holder.token, leader.term());
  Awaited<Told> news;
  observer.Next(absl::InfiniteDuration(), news.Callback());
  Awaited<Lead> candidate;
  two().election("e").Campaign({.value = "b"}, candidate.Callback());
  AwaitCandidates(one(), 1);
  fixture().KillLeader();
  EXPECT_TRUE(leader.Valid());
  EXPECT_TRUE(leader.Proclaim("still a", kLong).ok());
  Told told = news.Get();
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(told->holder.value, "still a");
  const Revision term = leader.term();
  EXPECT_TRUE(leader.Resign(kLong).ok());
  const Lead next = candidate.Get();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_GT(next->term(), term);
  told = observer.Next(kLong);
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(told->change.kind, ChangeKind::kReleased);
  told = observer.Next(kLong);
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(told->holder.value, "b");
}

}  // namespace
}  // namespace tenure::conformance
