// Runs a scenario: a text of commands, each followed by what came of it, indented by two blanks.
//
//   cluster n1 n2 n3             voters; each starts with entry 1, term 1, incarnation 1
//   member n1 log=1,1,2 term=3 vote=n2 may-vote=600ms
//                                before the start: terms of its log from entry 1 on, its hard
//                                state, and when it may first vote
//   spare n4 n5                  members of the same cluster that nothing names yet
//   options entries=2 bytes=9 inflight=1 heartbeat=100ms min=300ms max=600ms       before the start
//   show results|all|nothing     roles, commits and reads; or writes and messages too; or neither
//   auto on|off                  whether disks and network act at once, which at first they do not
//   apply on|off                 whether what is committed is applied at once, which at first it is
//   advance 100ms                time passes, timers fire
//   skip 100ms                   time passes, timers are late
//   timer n1                     it wakes now
//   elect n1                     a long silence, then n1 campaigns and everything settles
//   campaign n1                  the same, but stops once it leads
//   settle                       disks and network act until there is nothing left
//   deliver [n1->n2]             what is on the network (on one link) now, and nothing that follows
//   drop [n1->n2]                loses it
//   stash a n1->n2               takes the oldest message of a link off it, under a name
//   replay a                     delivers it, as often as it is said
//   send n2#7->n1 MESSAGE        delivers what nobody sent; see message_text.h
//   durable n1 [count]           the disk completes its writes, or the oldest ones
//   fail n1                      a write fails
//   propose n1 x [stamp]         propose-many n1 COUNT BYTES
//   read n1 7                    read number 7
//   configure n1 n1,n2,n4 [n5]   the voters, and the learners, that shall be
//   lost n1 n2                   n2's loss is attested to n1
//   transfer n1 [n2]             n1 hands over
//   applied n1 [index]           with apply off
//   snapshot n1                  n1 takes a snapshot of what it applied
//   cut n1->n2, cut n1 n2, isolate n1, heal
//   crash n1, restart n1         loses what was not durable; starts again, bound to its first
//   silence restart-free n1              starts again, and may vote at once (which is wrong outside
//   tests) status, progress n1, log n1, members n1, lease n1, snapshots n1
#ifndef TENURE_TESTS_RAFT_SCENARIO_H_
#define TENURE_TESTS_RAFT_SCENARIO_H_

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/raft/cluster.h"

namespace tenure::raft {

class Scenario {
 public:
  Scenario();

  // The scenario with the output that it has now.
  std::string Run(const std::string& text);

 private:
  using Words = std::vector<std::string>;
  enum class Show { kNothing, kResults, kAll };

  void Execute(const Words& words);
  bool SetUp(const Words& words);
  bool ActOnNetwork(const Words& words);
  bool ActOnMember(const Words& words);
  bool ActOnTime(const Words& words);
  void Inspect(const Words& words);

  void SetOption(const std::string& key, const std::string& value);
  void DescribeMember(const Words& words);
  void StartAll();
  void Settle(const Cluster::Node* until_it_leads = nullptr);
  // Delivers, or loses, what is under way on `link` or, if it is empty, everywhere.
  void Move(const std::string& link, bool deliver);
  void Deliver(Cluster::Flight flight);
  void Advance(std::int64_t ns);
  void ApplyEverywhere();
  void OnStep(const Cluster::Node& node, const Output& out);
  void PrintStatus(Cluster::Node& node);
  void PrintProgress(Cluster::Node& node);
  void Print(const std::string& line) { output_ += "  " + line + "\n"; }

  Cluster cluster_;
  Options options_;
  std::vector<MemberId> voters_;
  bool started_ = false;
  std::map<std::string, Instant> may_vote_;
  Show show_ = Show::kResults;
  bool auto_ = false;
  bool apply_ = true;
  std::set<std::pair<std::string, std::string>> cut_;
  std::map<std::string, Cluster::Flight> stash_;
  std::string output_;
};

}  // namespace tenure::raft

#endif  // TENURE_TESTS_RAFT_SCENARIO_H_
