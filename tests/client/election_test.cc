// Elections over a network that fails. Names are lines of PITFALLS.md.
#include "tenure/election.h"

#include <utility>
#include <vector>

#include "client/fixture.h"
#include "gmock/gmock.h"

namespace tenure::client {
namespace {

class ElectionTest : public ClientTest {
 protected:
  using Lead = absl::StatusOr<Leadership>;

  template <typename Handle>  // a Session or a Coordinator
  Lead Campaign(Handle& on, CampaignOptions options = {}) {
    Caught<Lead> got;
    on.election("e").Campaign(std::move(options), got.Callback());
    EXPECT_TRUE(world_.RunUntil([&] { return got.here(); }, absl::Hours(1)));
    return std::move(*got);
  }
  absl::StatusOr<News> Next(Observer& observer, absl::Duration wait = absl::Minutes(1)) {
    Caught<absl::StatusOr<News>> got;
    observer.Next(wait, got.Callback());
    EXPECT_TRUE(world_.RunUntil([&] { return got.here(); }, absl::Hours(1)));
    return *got;
  }
  ElectionDescription Seen() { return *rival_.election("e").Describe(); }
};

// Whoever was paused past its lease knows by its clocks that it leads no more, though nobody told
// it and its name is still the one that it last saw.
TEST_F(ElectionTest, E1LeadershipIsJudgedByTimeNotByNames) {
  Session session = Open();
  const Lead paused = Campaign(session, {.value = "same name"});
  ASSERT_TRUE(paused.ok());
  EXPECT_TRUE(paused->Valid());
  net_->hold_events = true;  // nor is it told anything
  node_.Pause();
  const Lead next = Campaign(rival_, {.value = "same name"});
  ASSERT_TRUE(next.ok());
  EXPECT_FALSE(paused->Valid());
  EXPECT_GT(next->term(), paused->term());
  EXPECT_EQ(Seen().leader.value, "same name");
}

// The lease was over before the successor was elected, also where every renewal hangs.
TEST_F(ElectionTest, E3ARenewalThatHangsDoesNotOutlastTheLease) {
  Session session = Open();
  const Lead leader = Campaign(session);
  ASSERT_TRUE(leader.ok());
  Only<RenewSession>(Fate::kHold);
  Caught<Lead> next;
  rival_.election("e").Campaign({}, next.Callback());
  while (!next.here()) {
    const bool leads = leader->Valid();
    world_.RunFor(absl::Milliseconds(1));
    EXPECT_TRUE(!leads || !leader->Valid() || !next.here()) << "two leaders at once";
  }
  EXPECT_FALSE(leader->Valid());
  // An answer that comes now changes nothing.
  while (net_->held() > 0) net_->Release();
  world_.RunFor(absl::Seconds(1));
  EXPECT_FALSE(leader->Valid());
}

TEST_F(ElectionTest, E4AGrantThatIsToldTwiceIsOneTerm) {
  Lead first = Campaign(rival_);
  Session session = Open();
  int called = 0;
  Revision term = 0;
  Leadership kept;
  session.election("e").Campaign({}, [&](Lead lead) {
    ++called;
    kept = *std::move(lead);
    term = kept.term();
  });
  First<tenure::Campaign>(1, Fate::kPass);
  net_->hold_events = true;
  *first = Leadership();
  EXPECT_EQ(called, 0);
  // Delivered as after a reconnect: what was held back, and once more from the start.
  net_->ReleaseEvents();
  EXPECT_EQ(called, 1);
  world_.RunFor(absl::Seconds(5));
  EXPECT_EQ(called, 1);
  EXPECT_EQ(Seen().leader.token, term);
}

TEST_F(ElectionTest, E5LossIsToldToNobodyWhoNeverLed) {
  const Lead leader = Campaign(rival_);
  Session session = Open();
  Caught<Lead> candidate;
  session.election("e").Campaign({}, candidate.Callback());
  CutOff();
  ASSERT_TRUE(world_.RunUntil([&] { return candidate.here(); }, absl::Minutes(1)));
  EXPECT_EQ(candidate->status().code(), absl::StatusCode::kFailedPrecondition)
      << "its campaign has ended; there was no lead to lose";
  EXPECT_TRUE(leader->Valid());
}

TEST_F(ElectionTest, ProclamationsNeverOvertakeOneAnother) {
  Session session = Open();
  Lead leader = Campaign(session, {.value = "zero"});
  Only<Proclaim>(Fate::kTimeOut);
  Caught<absl::Status> first;
  leader->Proclaim("one", absl::Seconds(1), first.Callback());
  ASSERT_TRUE(world_.RunUntil([&] { return first.here(); }, absl::Minutes(1)));
  EXPECT_EQ(first->code(), absl::StatusCode::kDeadlineExceeded);
  Caught<absl::Status> second;
  leader->Proclaim("two", absl::Seconds(1), second.Callback());
  ASSERT_TRUE(second.here());
  EXPECT_EQ(second->code(), absl::StatusCode::kUnavailable);
  Heal();
  world_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Seen().leader.value, "one");
  Caught<absl::Status> third;
  leader->Proclaim("three", absl::Seconds(1), third.Callback());
  ASSERT_TRUE(third.here());
  EXPECT_TRUE(third->ok()) << *third;
  EXPECT_EQ(Seen().leader.value, "three");
}

// The successor may lead before the answer is here: nobody must think of two.
TEST_F(ElectionTest, E1WhoHandsOverLeadsNoMoreBeforeTheAnswer) {
  Session session = Open();
  Lead leader = Campaign(session);
  Caught<Lead> next;
  rival_.election("e").Campaign({}, next.Callback());
  First<HandOver>(1, Fate::kHoldReply);
  Caught<absl::Status> handed;
  leader->HandOver(Seen().candidates.at(0), absl::Seconds(5), handed.Callback());
  ASSERT_TRUE(next.here());
  EXPECT_TRUE((*next)->Valid());
  EXPECT_FALSE(handed.here());
  EXPECT_FALSE(leader->Valid());
  net_->Release();
  ASSERT_TRUE(handed.here());
  EXPECT_TRUE(handed->ok()) << *handed;
  EXPECT_FALSE(leader->Valid());
  *leader = Leadership();
  EXPECT_EQ(net_->Count<Resign>(), 0u) << "there was nothing left to resign";
  EXPECT_TRUE((*next)->Valid());
}

// No answer in time: it leads on only once the machine has said that nothing came of it.
TEST_F(ElectionTest, AHandOverWithoutAnAnswerLeavesNobodyValid) {
  Session session = Open();
  Lead leader = Campaign(session);
  Caught<Lead> next;
  std::stop_source stop;
  rival_.election("e").Campaign({.cancel = stop.get_token()}, next.Callback());
  const Candidate candidate = Seen().candidates.at(0);
  Only<HandOver>(Fate::kTimeOut);
  Caught<absl::Status> handed;
  leader->HandOver(candidate, absl::Seconds(1), handed.Callback());
  ASSERT_TRUE(world_.RunUntil([&] { return handed.here(); }, absl::Minutes(1)));
  EXPECT_EQ(handed->code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(leader->Valid());
  Caught<absl::Status> again;
  leader->HandOver(candidate, absl::Seconds(1), again.Callback());
  EXPECT_EQ(again->code(), absl::StatusCode::kFailedPrecondition);
  stop.request_stop();  // the candidate goes, and nothing comes of it
  Heal();
  world_.RunFor(absl::Seconds(1));
  EXPECT_TRUE(leader->Valid());
  EXPECT_EQ(Seen().leader.token, leader->term());
}

TEST_F(ElectionTest, AHandOverThatComesToNothingForOneThatIsGoneResigns) {
  Session session = Open();
  Lead leader = Campaign(session);
  Caught<Lead> next;
  std::stop_source stop;
  rival_.election("e").Campaign({.cancel = stop.get_token()}, next.Callback());
  const Candidate candidate = Seen().candidates.at(0);
  stop.request_stop();
  First<HandOver>(1, Fate::kHold);
  Caught<absl::Status> handed;
  leader->HandOver(candidate, absl::Seconds(5), handed.Callback());
  *leader = Leadership();
  EXPECT_EQ(net_->Count<Resign>(), 0u);
  EXPECT_NE(Seen().leader.session, 0u);
  net_->Release();
  EXPECT_EQ(handed->code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(net_->Count<Resign>(), 1u);
  EXPECT_EQ(Seen().leader.session, 0u);
}

TEST_F(ElectionTest, AHandOverThatTheBackendRefusesChangesNothing) {
  Session session = Open();
  Lead leader = Campaign(session);
  Only<HandOver>(Fate::kRefuse);
  Caught<absl::Status> handed;
  leader->HandOver(Candidate(), absl::Seconds(5), handed.Callback());
  ASSERT_TRUE(world_.RunUntil([&] { return handed.here(); }, absl::Minutes(1)));
  EXPECT_EQ(handed->code(), absl::StatusCode::kUnimplemented);
  EXPECT_TRUE(leader->Valid());
}

TEST_F(ElectionTest, ALeaderKnowsWhatItLastProclaimed) {
  Session session = Open();
  Lead leader = Campaign(session, {.value = "zero"});
  EXPECT_EQ(leader->value(), "zero");
  Caught<absl::Status> proclaimed;
  leader->Proclaim("one", absl::Seconds(1), proclaimed.Callback());
  EXPECT_TRUE(proclaimed->ok());
  EXPECT_EQ(leader->value(), "one");
  Leadership& self = *leader;
  *leader = std::move(self);
  EXPECT_TRUE(leader->Valid()) << "what is moved onto itself stays";
  EXPECT_EQ(Leadership().value(), "");
}

// E4: the connection breaks and comes back twice at the very moment of the election, and neither
// the campaign's answer nor its event arrives at once.
TEST_F(ElectionTest, E4TwoQuickReconnectsMakeOneLeader) {
  Lead first = Campaign(rival_);
  Session session = Open();
  First<tenure::Campaign>(2, Fate::kLoseReply);
  int called = 0;
  Leadership kept;
  session.election("e").Campaign({}, [&](Lead lead) {
    ++called;
    ASSERT_TRUE(lead.ok()) << lead.status();
    kept = *std::move(lead);
  });
  net_->hold_events = true;
  *first = Leadership();
  net_->ReleaseEvents();
  world_.RunFor(absl::Seconds(3));
  EXPECT_EQ(called, 1);
  EXPECT_TRUE(kept.Valid());
  EXPECT_EQ(Seen().leader.token, kept.term());
  EXPECT_EQ(Seen().waiting, 0u) << "no campaign of its own stands behind it";
}

// E2: a resignation that the network kept back meets the successor's term, of the same session.
TEST_F(ElectionTest, E2AResignationThatIsLateEndsNoLaterTerm) {
  Session session = Open();
  Lead first = Campaign(session);
  First<Resign>(1, Fate::kLoseReply);
  Caught<absl::Status> resigned;
  first->Resign(absl::Seconds(5), resigned.Callback());
  const Lead second = Campaign(session);
  ASSERT_TRUE(second.ok());
  ASSERT_TRUE(world_.RunUntil([&] { return resigned.here(); }, absl::Seconds(6)));
  EXPECT_TRUE(resigned->ok()) << *resigned;
  EXPECT_EQ(net_->Count<Resign>(), 2u);
  EXPECT_TRUE(second->Valid());
  EXPECT_EQ(Seen().leader.token, second->term());
}

TEST_F(ElectionTest, ALateElectionIsGivenBack) {
  server_.SetClockDrift(tenure::testing::Clock::kBoottime, -0.005);
  server_.SetClockDrift(tenure::testing::Clock::kMonotonicRaw, -0.005);
  Lead leader = Campaign(rival_);
  Session session = Open();
  net_->hold_events = true;
  Only<CancelWait>(Fate::kHold);
  EXPECT_FALSE(Campaign(session, {.wait = absl::Seconds(2)}).ok());
  *leader = Leadership();  // the machine elects the one that has left
  EXPECT_NE(Seen().leader.session, 0u);
  Heal();
  net_->ReleaseEvents();
  EXPECT_EQ(net_->Count<Resign>(), 1u);
  EXPECT_EQ(Seen().leader.session, 0u);
}

// With the implicit session an observer survives the session.
TEST_F(ElectionTest, AnObserverGoesOnOverALostSession) {
  Observer observer = client_.election("e").Observe();
  const absl::StatusOr<News> first = Next(observer);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->initial);
  Caught<absl::StatusOr<News>> waiting;
  observer.Next(absl::InfiniteDuration(), waiting.Callback());
  CutOff();
  world_.RunFor(absl::Seconds(20));
  EXPECT_FALSE(waiting.here());
  Lead leader = Campaign(rival_, {.value = "a"});
  Heal();
  ASSERT_TRUE(world_.RunUntil([&] { return waiting.here(); }, absl::Minutes(1)));
  ASSERT_TRUE(waiting->ok()) << waiting->status();
  EXPECT_EQ((*waiting)->change.kind, ChangeKind::kGranted);
  EXPECT_EQ((*waiting)->holder.value, "a");
  EXPECT_FALSE((*waiting)->gap);
  // With a session of its own it ends with that.
  Session session = Open();
  Observer own = session.election("e").Observe();
  ASSERT_TRUE(Next(own).ok());
  Caught<absl::StatusOr<News>> ended;
  own.Next(absl::InfiniteDuration(), ended.Callback());
  CutOff();
  ASSERT_TRUE(world_.RunUntil([&] { return ended.here(); }, absl::Minutes(1)));
  EXPECT_EQ(ended->status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ElectionTest, AnObserverWaitsNoLongerThanItIsAsked) {
  Observer observer = client_.election("e").Observe();
  ASSERT_TRUE(Next(observer).ok());
  const Instant start = node_.loop().Now();
  EXPECT_EQ(Next(observer, absl::Seconds(3)).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(node_.loop().Now().HolderElapsedNs(start), 3'000'000'000);
  // It has missed nothing meanwhile, nor is anything told to the wait that was left.
  const Lead leader = Campaign(rival_, {.value = "a"});
  const absl::StatusOr<News> news = Next(observer);
  ASSERT_TRUE(news.ok()) << news.status();
  EXPECT_EQ(news->holder.value, "a");
}

// Run by callbacks tries again what passes, a lost session of its coordinator among it.
TEST_F(ElectionTest, E4RunByCallbacksCampaignsAgain) {
  Lead rival = Campaign(rival_);
  ASSERT_TRUE(rival.ok());
  std::stop_source stop;
  std::vector<Leadership> terms;
  std::vector<Election::Again> again;
  Caught<absl::Status> ran;
  client_.election("e").Run(
      {.cancel = stop.get_token()},
      [&](Leadership leadership, Election::Again then) {
        terms.push_back(std::move(leadership));
        again.push_back(std::move(then));
      },
      ran.Callback());
  world_.RunFor(absl::Seconds(5));
  EXPECT_EQ(net_->Count<tenure::Campaign>(), 1u);
  CutOff();
  world_.RunFor(absl::Minutes(1));  // its session is gone meanwhile
  EXPECT_FALSE(ran.here());
  EXPECT_TRUE(terms.empty());
  Heal();
  rival = Leadership();
  ASSERT_TRUE(world_.RunUntil([&] { return terms.size() == 1; }, absl::Seconds(20)));
  EXPECT_TRUE(terms[0].Valid());
  const std::size_t campaigns = net_->Count<tenure::Campaign>();
  EXPECT_GT(campaigns, 1u);
  world_.RunFor(absl::Minutes(1));
  EXPECT_EQ(net_->Count<tenure::Campaign>(), campaigns) << "its term lasts";
  terms[0] = Leadership();
  again.clear();
  ASSERT_TRUE(world_.RunUntil([&] { return terms.size() == 2; }, absl::Seconds(20)));
  // It is over only when the last term is.
  stop.request_stop();
  world_.RunFor(absl::Seconds(5));
  EXPECT_FALSE(ran.here());
  terms.clear();
  std::move(again[0])();
  ASSERT_TRUE(world_.RunUntil([&] { return ran.here(); }, absl::Seconds(1)));
  EXPECT_TRUE(ran->ok()) << *ran;
}

// Whether it campaigns or pauses, it ends when it is stopped.
TEST_F(ElectionTest, RunByCallbacksEndsWhenItIsStopped) {
  const Lead rival = Campaign(rival_);
  const auto nothing = [](const Leadership&, const Election::Again&) {};
  for (const bool answers : {true, false}) {
    for (int ms = 0; ms < 3'000; ms += 37) {
      Heal();
      Session session = Open();
      if (!answers) First<tenure::Campaign>(1'000, Fate::kLoseRequest);
      std::stop_source stop;
      Caught<absl::Status> ran;
      session.election("e").Run({.cancel = stop.get_token()}, nothing, ran.Callback());
      world_.RunFor(absl::Milliseconds(ms));
      EXPECT_FALSE(ran.here()) << *ran;
      stop.request_stop();
      ASSERT_TRUE(world_.RunUntil([&] { return ran.here(); }, absl::Milliseconds(10))) << ms;
      EXPECT_TRUE(ran->ok()) << *ran;
    }
  }
  Heal();
  // What does not pass is returned: its own session is over, or its wait.
  Session session = Open();
  Caught<absl::Status> waited;
  session.election("e").Run({.wait = absl::Seconds(1)}, nothing, waited.Callback());
  ASSERT_TRUE(world_.RunUntil([&] { return waited.here(); }, absl::Seconds(10)));
  EXPECT_EQ(waited->code(), absl::StatusCode::kAborted) << *waited;
  session.Close(absl::Seconds(1), [](const absl::Status&) {});
  world_.RunFor(absl::Seconds(1));
  Caught<absl::Status> over;
  session.election("e").Run({}, nothing, over.Callback());
  ASSERT_TRUE(world_.RunUntil([&] { return over.here(); }, absl::Seconds(10)));
  EXPECT_EQ(over->code(), absl::StatusCode::kFailedPrecondition) << *over;
}

}  // namespace
}  // namespace tenure::client
