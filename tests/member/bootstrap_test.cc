// The protocol of first start: each row of its table of looser variants, and random runs.
#include "member/bootstrap.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "raft/prng.h"
#include "tests/testing/sanitized.h"

namespace tenure::member {
namespace {

constexpr std::int64_t kMs = 1'000'000;

struct Free {
  MemberId id;
  std::unique_ptr<Bootstrap> bootstrap;
  std::optional<Bootstrap::Entering> entering;
  bool invited = false;
  ClusterId in;
  Instant deadline;
  std::vector<std::string> log;
};

struct Mail {
  ClusterId cluster;
  MemberId from;
  MemberId to;
  Handshake body;
};

// Members without machinery: what each says lies in `mail` until the test delivers it.
class Village {
 public:
  explicit Village(int size) : size_(size) {
    for (int i = 0; i < size; ++i) peers_.push_back({Name(i), absl::StrCat("h:", i)});
    members_.resize(static_cast<std::size_t>(size));
  }

  static std::string Name(int i) { return absl::StrCat("n", i + 1); }
  Instant Now() const { return Instant::FromReadings(now_ * kMs, now_ * kMs); }
  void Pass(std::int64_t ms) { now_ += ms; }

  void Start(int i, bool asserts_new = false, std::uint64_t digest = 1) {
    Free& member = members_[i];
    member = Free{};
    member.id = {Name(i), ++last_incarnation_};
    BootstrapOptions options;
    options.self = member.id;
    options.members = peers_;
    options.config_digest = digest;
    options.assert_new = asserts_new;
    options.seed = last_incarnation_ * 7919;
    options.machine_version = 7;
    options.make_genesis = [](bool all_new, std::uint32_t) -> absl::StatusOr<std::string> {
      return std::string(all_new ? "new" : "old");
    };
    options.check_genesis = [](absl::string_view) { return absl::OkStatus(); };
    member.bootstrap = std::make_unique<Bootstrap>(std::move(options), Now());
    Take(i, member.bootstrap->Timer(Now()));
  }

  void Take(int i, Bootstrap::Output output) {
    Free& member = members_[i];
    member.deadline = output.deadline;
    for (std::string& line : output.log) member.log.push_back(std::move(line));
    for (Bootstrap::Message& m : output.messages) {
      mail.push_back({m.cluster, member.id, std::move(m.to), std::move(m.body)});
    }
    if (!output.entering.has_value()) return;
    // Durable at once.
    member.in = output.entering->cluster;
    member.invited = output.entering->invited;
    member.entering = std::move(output.entering);
    configurations[member.in] = *member.entering->first.configuration;
    Take(i, member.bootstrap->Entered(Now()));
  }

  void Deliver(const Mail& m) {
    for (int i = 0; i < size_; ++i) {
      Free& member = members_[i];
      if (member.bootstrap == nullptr || member.id.name != m.to.name) continue;
      if (m.to.incarnation != 0 && m.to.incarnation != member.id.incarnation) continue;
      Take(i, member.bootstrap->Received(Now(), m.cluster, m.from, m.body));
    }
  }
  // Delivers everything, and what follows from it.
  void DeliverAll() {
    while (!mail.empty()) {
      std::vector<Mail> now;
      now.swap(mail);
      for (const Mail& m : now) Deliver(m);
    }
  }
  // Takes from the mail what is of this kind; the rest stays.
  template <typename T>
  std::vector<Mail> Pick(int from) {
    std::vector<Mail> picked;
    std::vector<Mail> rest;
    for (Mail& m : mail) {
      const bool yes = std::holds_alternative<T>(m.body) && m.from.name == Name(from);
      (yes ? picked : rest).push_back(std::move(m));
    }
    mail = std::move(rest);
    return picked;
  }
  void Tick(int i) {
    if (members_[i].bootstrap != nullptr) Take(i, members_[i].bootstrap->Timer(Now()));
  }
  // Delivers Hellos alone, so that everybody knows of everybody; what else was said waits.
  void Greet() {
    for (int round = 0; round < 2; ++round) {
      std::vector<Mail> now;
      now.swap(mail);
      for (Mail& m : now) {
        if (std::holds_alternative<Hello>(m.body)) {
          Deliver(m);
        } else {
          mail.push_back(std::move(m));
        }
      }
    }
  }
  Free& at(int i) { return members_[i]; }
  int size() const { return size_; }
  bool In(int i) const { return !members_[i].in.empty(); }
  int CountIn(const ClusterId& cluster) const {
    int count = 0;
    for (const Free& m : members_) {
      if (m.bootstrap == nullptr || m.in != cluster) continue;
      ++count;
    }
    return count;
  }

  std::vector<Mail> mail;
  std::map<ClusterId, raft::Configuration> configurations;

 private:
  const int size_;
  std::vector<Peer> peers_;
  std::vector<Free> members_;
  std::int64_t now_ = 1000;
  std::uint64_t last_incarnation_ = 100;
};

template <typename T>
const T& Body(const Mail& m) {
  return std::get<T>(m.body);
}

TEST(Bootstrap, TheSmallestNameProposesAndAllGetIn) {
  for (int size : {1, 2, 3, 5, 7}) {
    Village village(size);
    for (int i = size - 1; i >= 0; --i) village.Start(i);
    village.DeliverAll();
    for (int i = 0; i < size; ++i) {
      ASSERT_TRUE(village.In(i)) << size << " " << i;
      EXPECT_EQ(village.at(i).in, village.at(0).in);
      EXPECT_FALSE(village.at(i).invited);
    }
    const raft::Entry& first = village.at(0).entering->first;
    EXPECT_EQ(first.index, 1u);
    EXPECT_EQ(first.term, 1u);
    EXPECT_EQ(first.configuration->voters.size(), static_cast<std::size_t>(size));
  }
}

TEST(Bootstrap, NewMeansThatEveryVoterSaysSo) {
  Village some(3);
  for (int i = 0; i < 3; ++i) some.Start(i, /*asserts_new=*/i != 1);
  some.DeliverAll();
  ASSERT_TRUE(some.In(0));
  EXPECT_EQ(*some.at(0).entering->first.payload, "old");
  Village all(3);
  for (int i = 0; i < 3; ++i) all.Start(i, true);
  all.DeliverAll();
  EXPECT_EQ(*all.at(0).entering->first.payload, "new");
}

// Another process under its name may have another program.
TEST(Bootstrap, WhatAProgramHasIsKnownOfThatIncarnationAlone) {
  Village village(3);
  for (int i = 0; i < 3; ++i) village.Start(i);
  village.Greet();
  const Bootstrap& first = *village.at(0).bootstrap;
  const MemberId second = village.at(1).id;
  EXPECT_EQ(first.MachineVersionOf(second, village.Now()), 7u);
  EXPECT_EQ(first.MachineVersionOf({second.name, second.incarnation + 1}, village.Now()), 0u);
  EXPECT_EQ(first.MachineVersionOf({"n9", 1}, village.Now()), 0u);
  const MemberId again = second;
  village.Pass(60'000);
  EXPECT_EQ(first.MachineVersionOf(again, village.Now()), 0u) << "it may have another by now";
}

TEST(Bootstrap, WhoHasAnotherListIsNamed) {
  Village village(3);
  village.Start(0);
  village.Start(1, false, /*digest=*/2);
  village.Start(2);
  village.DeliverAll();
  EXPECT_FALSE(village.In(0) || village.In(1) || village.In(2));
  EXPECT_TRUE(absl::StrContains(village.at(0).bootstrap->Trouble(village.Now()),
                                "n2 was started with another"));
  EXPECT_FALSE(village.at(0).log.empty());
}

TEST(Bootstrap, SaysWhomItWaitsFor) {
  Village village(3);
  village.Start(0);
  village.DeliverAll();
  // Or it is to be added to a cluster that they are.
  EXPECT_EQ(village.at(0).bootstrap->Trouble(village.Now()),
            "waiting for n2, n3 to start, or to let n1 in");
  village.Start(2);
  village.DeliverAll();
  EXPECT_EQ(village.at(0).bootstrap->Trouble(village.Now()), "waiting for n2 to start");
}

// T17, row 1: a majority of acceptances starts the cluster.
TEST(Bootstrap, T17AMajorityOfAcceptancesStartsNothing) {
  Village village(3);
  for (int i = 0; i < 3; ++i) village.Start(i);
  village.Greet();
  const auto proposals = village.Pick<BootstrapPropose>(0);
  ASSERT_EQ(proposals.size(), 2u);
  village.mail.clear();
  village.Deliver(proposals[0]);
  village.DeliverAll();
  EXPECT_FALSE(village.In(0));
  village.Deliver(proposals[1]);
  village.DeliverAll();
  EXPECT_TRUE(village.In(0) && village.In(1) && village.In(2));
}

// T17, row 2: acceptance is for ever.
TEST(Bootstrap, T17AnAcceptanceDoesNotBindForEver) {
  Village village(3);
  for (int i = 0; i < 3; ++i) village.Start(i);
  village.Greet();
  for (const Mail& m : village.Pick<BootstrapPropose>(0)) village.Deliver(m);  // accepted by both
  village.mail.clear();  // but nobody hears of it
  village.Start(0);      // and the proposer is gone
  for (int round = 0; round < 40 && !village.In(0); ++round) {
    village.Pass(200);
    for (int i = 0; i < 3; ++i) village.Tick(i);
    village.DeliverAll();
  }
  EXPECT_TRUE(village.In(0) && village.In(1) && village.In(2));
}

// T17, row 3: acceptance may be replaced, without numbers; the late Start of a dead proposer.
TEST(Bootstrap, T17ALateStartOfADeadProposerIsIgnored) {
  Village village(3);
  for (int i = 0; i < 3; ++i) village.Start(i);
  village.Greet();
  for (const Mail& m : village.Pick<BootstrapPropose>(0)) village.Deliver(m);
  const auto accept1 = village.Pick<BootstrapAccept>(1);
  const auto accept2 = village.Pick<BootstrapAccept>(2);
  ASSERT_EQ(accept1.size(), 1u);
  village.Deliver(accept1[0]);
  village.Deliver(accept2[0]);
  ASSERT_TRUE(village.In(0));
  const ClusterId dead = village.at(0).in;
  const auto late = village.Pick<BootstrapStart>(0);
  ASSERT_EQ(late.size(), 2u);
  village.mail.clear();

  village.Start(0);  // without its memory; the Starts are still on their way
  village.Pass(10);
  village.Greet();
  const auto second = village.Pick<BootstrapPropose>(0);
  ASSERT_EQ(second.size(), 2u);
  for (const Mail& m : second) village.Deliver(m);
  for (const Mail& m : late) village.Deliver(m);
  EXPECT_FALSE(village.In(1));
  EXPECT_FALSE(village.In(2));
  village.DeliverAll();
  ASSERT_TRUE(village.In(0) && village.In(1) && village.In(2));
  EXPECT_NE(village.at(1).in, dead);
  EXPECT_EQ(village.at(1).in, village.at(0).in);
}

// Also of one and the same proposal, an older number starts nothing.
TEST(Bootstrap, T17OnlyTheNewestNumberStarts) {
  Village village(2);
  for (int i = 0; i < 2; ++i) village.Start(i);
  village.Greet();
  const auto proposals = village.Pick<BootstrapPropose>(0);
  ASSERT_EQ(proposals.size(), 1u);
  village.Deliver(proposals[0]);
  const auto first = village.Pick<BootstrapAccept>(1);
  village.Deliver(proposals[0]);  // a repeated message
  const auto second = village.Pick<BootstrapAccept>(1);
  ASSERT_EQ(first.size(), 1u);
  ASSERT_EQ(second.size(), 1u);
  EXPECT_GT(Body<BootstrapAccept>(second[0]).number, Body<BootstrapAccept>(first[0]).number);
  village.mail.clear();
  village.Deliver(first[0]);
  ASSERT_TRUE(village.In(0));
  village.DeliverAll();
  EXPECT_FALSE(village.In(1));
  village.Deliver(second[0]);  // it is in, and answers with the number that it received (rule 7)
  village.DeliverAll();
  EXPECT_TRUE(village.In(1));
  EXPECT_EQ(village.at(1).in, village.at(0).in);
}

// T17, row 4: anyone may find that all have accepted.
TEST(Bootstrap, T17TheProposerAloneCounts) {
  Village village(3);
  for (int i = 0; i < 3; ++i) village.Start(i);
  village.Greet();
  for (const Mail& m : village.Pick<BootstrapPropose>(0)) village.Deliver(m);
  auto accepts = village.Pick<BootstrapAccept>(1);
  for (Mail& m : village.Pick<BootstrapAccept>(2)) accepts.push_back(m);
  village.mail.clear();
  for (Mail m : accepts) {
    m.to = village.at(1).id;
    if (m.from.name != "n2") village.Deliver(m);
    m.to = village.at(2).id;
    if (m.from.name != "n3") village.Deliver(m);
  }
  EXPECT_FALSE(village.In(1) || village.In(2));
}

// T17, row 5: a proposer completes a proposal that it abandoned.
TEST(Bootstrap, T17AnAbandonedProposalIsNeverCompleted) {
  Village village(2);
  village.Start(0);
  village.Start(1);
  village.Greet();
  const auto first = village.Pick<BootstrapPropose>(0);
  village.mail.clear();
  // The second proposes, too, in its time.
  std::vector<Mail> second;
  for (int round = 0; round < 60 && second.empty(); ++round) {
    village.Pass(100);
    village.Tick(1);
    for (const Mail& m : village.Pick<Hello>(1)) village.Deliver(m);
    for (const Mail& m : village.Pick<Hello>(0)) village.Deliver(m);
    second = village.Pick<BootstrapPropose>(1);
  }
  ASSERT_FALSE(second.empty());
  village.mail.clear();
  village.Deliver(second[0]);  // n1 accepts n2's, which voids its own
  const auto accept_second = village.Pick<BootstrapAccept>(0);
  ASSERT_EQ(accept_second.size(), 1u);
  village.Deliver(first[0]);  // n2 accepts n1's, which voids its own
  const auto accept_first = village.Pick<BootstrapAccept>(1);
  ASSERT_EQ(accept_first.size(), 1u);
  village.Deliver(accept_first[0]);
  village.Deliver(accept_second[0]);
  EXPECT_FALSE(village.In(0));
  EXPECT_FALSE(village.In(1));
}

// T17, row 6: a member is bound only at its first vote or entry.
TEST(Bootstrap, T17WhoIsInNeverChangesCluster) {
  Village village(2);
  village.Start(0);
  village.Start(1);
  village.DeliverAll();
  ASSERT_TRUE(village.In(1));
  const ClusterId cluster = village.at(1).in;
  raft::Entry other = village.at(0).entering->first;
  const ClusterId another{1, 2};
  village.Deliver(
      {{}, village.at(0).id, village.at(1).id, BootstrapPropose{another, other, false}});
  EXPECT_TRUE(village.Pick<BootstrapAccept>(1).empty());
  village.Deliver({another, village.at(0).id, village.at(1).id, BootstrapStart{another, 3}});
  EXPECT_EQ(village.at(1).in, cluster);
}

// T17, row 8: a loss attested without naming the lost incarnation. Said once, it can be heard again
// when the younger one has taken the place.
TEST(Bootstrap, T17ALossIsOfTheIncarnationThatItNames) {
  Village village(2);
  village.Start(0);
  village.Start(1);
  village.DeliverAll();
  ASSERT_TRUE(village.In(0));
  const ClusterId cluster = village.at(0).in;
  const MemberId old = village.at(1).id;
  village.Start(1);  // without its memory
  const MemberId young = village.at(1).id;
  village.mail.clear();
  village.Deliver({cluster, village.at(0).id, young, LostQuery{old}});
  const std::vector<Mail> said = village.Pick<Lost>(1);
  ASSERT_EQ(said.size(), 1u);
  const auto hear = [&village, &said] {
    return village.at(0)
        .bootstrap->Received(village.Now(), said[0].cluster, said[0].from, said[0].body)
        .lost;
  };
  EXPECT_EQ(hear(), std::vector<MemberId>{old});
  auto exchanged = std::make_shared<raft::Configuration>(village.configurations[cluster]);
  exchanged->voters[1].id = young;
  village.at(0).bootstrap->SetConfiguration(exchanged);
  EXPECT_EQ(hear(), std::vector<MemberId>{old});
  // Nor does it say so of itself.
  village.Deliver({cluster, village.at(0).id, young, LostQuery{young}});
  EXPECT_TRUE(village.Pick<Lost>(1).empty());
}

TEST(Bootstrap, WhoHoldsACommandIsToldToWhoAsksAndNotByTheWay) {
  Village village(3);
  for (int i = 0; i < 3; ++i) village.Start(i);
  village.DeliverAll();
  ASSERT_TRUE(village.In(0));
  Bootstrap& n1 = *village.at(0).bootstrap;
  const auto ask = [&](std::uint64_t number) {
    village.Take(0, n1.AskWhoHolds(village.Now(), number, {"n3"}));
  };
  const auto nobody_holds = [&n1](std::uint64_t number, const std::set<std::string>& names) {
    return n1.NobodyHolds(Bootstrap::What::kCommands, number, names);
  };
  EXPECT_FALSE(nobody_holds(1, {}));
  ask(1);
  village.DeliverAll();
  EXPECT_TRUE(nobody_holds(1, {}));
  EXPECT_FALSE(n1.NobodyHolds(Bootstrap::What::kALog, 1, {}))
      << "the others are in, and were told who is";
  EXPECT_FALSE(nobody_holds(2, {})) << "another question";
  EXPECT_FALSE(nobody_holds(1, {"n4"})) << "who was not asked";
  // One does by now: an older answer that comes late is none.
  ask(2);
  std::vector<Mail> late;
  for (int i = 1; i < 3; ++i) {
    for (const Mail& m : village.Pick<Hello>(0)) village.Deliver(m);
    for (Mail& m : village.Pick<Hello>(i)) late.push_back(std::move(m));
  }
  ASSERT_EQ(late.size(), 2u);
  village.at(2).bootstrap->SetHoldsCommands(true);
  ask(3);
  village.DeliverAll();
  for (const Mail& m : late) village.Deliver(m);
  EXPECT_FALSE(nobody_holds(3, {}));
  EXPECT_FALSE(nobody_holds(2, {}));
  // Its next incarnation does not, and has to be asked itself.
  village.Start(2);
  for (const Mail& m : village.Pick<Hello>(2)) village.Deliver(m);
  EXPECT_FALSE(nobody_holds(3, {}));
  ask(4);
  village.DeliverAll();
  EXPECT_TRUE(nobody_holds(4, {}));
}

// PITFALLS T11, at the first start: an acceptance by an earlier incarnation counts for nothing.
TEST(Bootstrap, T11AnEarlierIncarnationsAcceptanceCountsForNothing) {
  Village village(2);
  village.Start(0);
  village.Start(1);
  village.Greet();
  for (const Mail& m : village.Pick<BootstrapPropose>(0)) village.Deliver(m);
  auto accept = village.Pick<BootstrapAccept>(1);
  ASSERT_EQ(accept.size(), 1u);
  accept[0].from.incarnation += 1000;
  village.Deliver(accept[0]);
  EXPECT_FALSE(village.In(0));
}

// Rule 7: who missed the Start is invited by whoever is in.
TEST(Bootstrap, WhoMissedItsStartIsInvitedAlsoByOthersThanTheProposer) {
  Village village(3);
  for (int i = 0; i < 3; ++i) village.Start(i);
  village.Greet();
  for (const Mail& m : village.Pick<BootstrapPropose>(0)) village.Deliver(m);
  for (const Mail& m : village.Pick<BootstrapAccept>(1)) village.Deliver(m);
  for (const Mail& m : village.Pick<BootstrapAccept>(2)) village.Deliver(m);
  for (const Mail& m : village.Pick<BootstrapStart>(0)) {
    if (m.to.name == "n2") village.Deliver(m);
  }
  village.mail.clear();
  ASSERT_TRUE(village.In(0) && village.In(1) && !village.In(2));
  village.Start(0);  // the proposer is gone
  village.mail.clear();
  village.Pass(5000);
  village.Tick(2);
  village.DeliverAll();
  ASSERT_TRUE(village.In(2));
  EXPECT_TRUE(village.at(2).invited);
  EXPECT_EQ(village.at(2).in, village.at(1).in);
  // And the one that lost its memory is told why it is not counted.
  village.Tick(0);
  village.DeliverAll();
  EXPECT_FALSE(village.In(0));
  EXPECT_TRUE(absl::StrContains(village.at(0).bootstrap->Trouble(village.Now()),
                                "restarted without its memory"));
}

// Loss, repetition, reordering, and restarts at any step.
TEST(Bootstrap, RandomRunsNeverSplitAndAlwaysEnd) {
  std::uint64_t entered = 0;
  constexpr std::uint64_t kRuns = testing::kSanitized ? 30 : 300;
  for (std::uint64_t seed = 1; seed <= kRuns; ++seed) {
    raft::Prng random(seed);
    const int size = 1 + static_cast<int>(random.Below(5));
    Village village(size);
    std::vector<std::pair<std::int64_t, Mail>> network;
    int restarts = static_cast<int>(random.Below(6));
    for (int i = 0; i < size; ++i) village.Start(i);
    std::map<MemberId, ClusterId> bound;
    const std::uint64_t loss = random.Below(30);
    for (int step = 0; step < 4000; ++step) {
      village.Pass(10);
      const bool healed = step > 1500;
      for (Mail& m : village.mail) {
        if (!healed && random.Below(100) < loss) continue;
        const std::int64_t delay = 1 + static_cast<std::int64_t>(random.Below(healed ? 3 : 40));
        if (!healed && random.Below(10) == 0) network.emplace_back(step + delay + 60, m);
        network.emplace_back(step + delay, std::move(m));
      }
      village.mail.clear();
      std::vector<Mail> due;
      std::erase_if(network, [&](auto& pair) {
        if (pair.first > step) return false;
        due.push_back(std::move(pair.second));
        return true;
      });
      for (const Mail& m : due) village.Deliver(m);
      if (!healed && restarts > 0 && random.Below(100) == 0) {
        --restarts;
        village.Start(static_cast<int>(random.Below(static_cast<std::uint64_t>(size))));
      }
      for (int i = 0; i < size; ++i) village.Tick(i);

      std::set<ClusterId> viable;
      for (const auto& [cluster, configuration] : village.configurations) {
        int in = 0;
        for (const raft::Server& server : configuration.voters) {
          for (int i = 0; i < size; ++i)
            in += village.at(i).id == server.id && village.at(i).in == cluster;
        }
        if (in > size / 2) viable.insert(cluster);
      }
      ASSERT_LE(viable.size(), 1u) << "split at seed " << seed;
      for (int i = 0; i < size; ++i) {
        if (!village.In(i)) continue;
        const auto [it, fresh] = bound.try_emplace(village.at(i).id, village.at(i).in);
        ASSERT_EQ(it->second, village.at(i).in) << "changed cluster at seed " << seed;
      }
    }
    // Whoever lives and is named by a cluster that anyone is in, is in it; if nobody is in,
    // something is stuck.
    ClusterId cluster;
    for (int i = 0; i < size; ++i) {
      if (village.In(i)) cluster = village.at(i).in;
    }
    ASSERT_FALSE(cluster.empty()) << "stuck at seed " << seed;
    for (const raft::Server& server : village.configurations[cluster].voters) {
      for (int i = 0; i < size; ++i) {
        if (village.at(i).id == server.id) {
          EXPECT_EQ(village.at(i).in, cluster) << seed;
        }
      }
    }
    entered += village.CountIn(cluster) == size;
  }
  EXPECT_GT(entered, kRuns * 2 / 5);  // most restarts come before anybody is in
}

}  // namespace
}  // namespace tenure::member
