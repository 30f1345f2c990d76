#include "tests/sim/run.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/checker/lock_history.h"
#include "tests/sim/clients.h"
#include "tests/sim/faults.h"
#include "tests/sim/members.h"
#include "tests/sim/operator.h"
#include "tests/sim/rough_start.h"

namespace tenure::sim {
namespace {

// How often the run looks up from the world's events.
constexpr absl::Duration kSlice = absl::Milliseconds(20);

class Run {
 public:
  Run(const Plan& plan, bool verbose)
      : scene_(plan, verbose),
        members_(scene_),
        clients_(scene_, members_, history_),
        operator_(scene_, members_),
        rough_start_(scene_, members_),
        faults_(scene_, members_, clients_, operator_, history_) {}

  Outcome Go() {
    scene_.line.Say(scene_.plan.Describe());
    if (Begin() && Chaos() && Heal() && Upgrade() && Serve() &&
        (!scene_.plan.restless || Restless()) && Quiesce())
      CheckHistory();
    return Take();
  }

 private:
  // Runs until `done`, a violation, or `limit`: then that is one.
  template <typename Done>
  bool Await(Done done, absl::Duration limit, absl::string_view what) {
    const absl::Duration until = scene_.world.now() + limit;
    while (scene_.ok() && !done()) {
      if (scene_.world.now() >= until) {
        scene_.Violated("convergence", absl::StrCat("not within ", absl::FormatDuration(limit),
                                                    ": ", what, " (", Describe(), ")"));
        return false;
      }
      // A write that was handed to a disk before it was mended may still fail it, and a majority
      // that lost its memory at the first start starts anew.
      faults_.ReviveMembers();
      scene_.world.RunFor(kSlice);
    }
    return scene_.ok();
  }
  std::string Describe() const;
  bool Fail(absl::string_view invariant, absl::string_view what) {
    scene_.Violated(invariant, what);
    return false;
  }

  bool Begin();
  bool Chaos();
  bool Heal();
  bool Upgrade();
  bool Serve();
  bool Restless();
  bool Quiesce();
  void CheckHistory();
  Outcome Take();

  Scene scene_;
  checker::LockHistory history_;
  Members members_;
  Clients clients_;
  Operator operator_;
  RoughStart rough_start_;
  Faults faults_;
  std::uint64_t checked_calls_ = 0;
  std::uint64_t searches_ = 0;
};

std::string Run::Describe() const {
  std::string text = absl::StrCat("leader ", members_.Leader());
  for (int i = 0; i < members_.size(); ++i) {
    absl::StrAppend(&text, "; ", members_.name(i), " ");
    if (!members_.running(i)) {
      absl::StrAppend(&text, "down");
      continue;
    }
    const ClusterStatus status = members_.Status(i);
    absl::StrAppend(&text, "term ", status.term, " applied ", status.applied, " of ", status.commit,
                    " leader ", status.leader.name, " ", status.message);
  }
  return absl::StrCat(text, "; ", clients_.WhoIsStuck());
}

// The first start; other faults wait, but for what the plan's links and clocks do.
bool Run::Begin() {
  faults_.Prepare();
  if (scene_.plan.rough_start) {
    rough_start_.Begin();
    scene_.world.RunFor(RoughStart::kLasts);
    rough_start_.End();
    faults_.ReviveMembers();
  } else {
    members_.StartAll();
  }
  // Noise may keep the last of them out for long, where nobody was lost.
  const bool all = scene_.plan.rough_start;
  if (!Await([&] { return members_.Converged() && (!all || members_.AllIn()); }, absl::Seconds(120),
             "a first leader")) {
    return false;
  }
  faults_.SetClocks();
  for (int i = 0; i < clients_.size(); ++i) clients_.Start(i);
  return true;
}

bool Run::Chaos() {
  const absl::Duration end = scene_.world.now() + scene_.plan.chaos;
  absl::Duration next = scene_.world.now();
  while (scene_.ok() && scene_.world.now() < end) {
    if (scene_.world.now() >= next) {
      faults_.Next();
      next = scene_.world.now() +
             scene_.world.RandomDuration(absl::Milliseconds(5), scene_.plan.fault_gap_max);
    }
    scene_.world.RunFor(std::min(kSlice, end - scene_.world.now()));
  }
  return scene_.ok();
}

// Everything is well again, so within a bounded time everybody agrees.
bool Run::Heal() {
  faults_.Heal();
  scene_.faulty = false;
  operator_.Finish();
  return Await([this] { return operator_.Done() && members_.Converged() && members_.AllIn(); },
               absl::Seconds(20) + 10 * scene_.plan.election_max + faults_.PutBack(),
               "all members are in, and agree");
}

// One member after another, as an operator does, unless the upgrade is given up halfway. The newer
// version is active once all have it, and not before.
bool Run::Upgrade() {
  if (!scene_.plan.On(Fault::kUpgrade)) return true;
  const absl::Duration limit = absl::Seconds(20) + 10 * scene_.plan.election_max;
  const bool all = scene_.world.Chance(0.7);
  bool done = true;
  for (int i = 0; i < members_.size(); ++i) {
    if (!members_.upgraded(i) && all) {
      if (!Await([&] { return members_.MayForget(i); }, limit, "one may be upgraded")) return false;
      scene_.line.Say(absl::StrCat(members_.name(i), " is upgraded"));
      members_.Upgrade(i);
      members_.Start(i);
      if (!Await([this] { return members_.Converged(); }, limit, "who was upgraded follows"))
        return false;
    }
    done = done && members_.upgraded(i);
  }
  scene_.marks.Visit(done ? "upgrade done" : "upgrade given up halfway");
  return Await([&] { return members_.Active(kMachineVersion + (done ? 1 : 0)); }, limit,
               "the version of all members' programs is active");
}

// And is answered.
bool Run::Serve() {
  // Whatever was held by who is gone is free after a TTL, and a new cluster grants after the
  // longest.
  clients_.BeginRound();
  return Await([&] { return clients_.AllMadeProgress(); },
               3 * scene_.plan.ttl_max + absl::Seconds(20) + faults_.PutBack(),
               "every client has taken a lock");
}

// A holder is gone, and leaders do not stay: whoever waits still gets the lock in bounded time
// (PITFALLS L2, T6; DESIGN section 4, rule 1).
bool Run::Restless() {
  const absl::Duration ttl = scene_.world.RandomDuration(absl::Seconds(2), absl::Seconds(3));
  const int holder = 0;
  const int waiter = 1;
  Revision held = 0;
  Revision taken = 0;
  clients_.Quiesce();  // so that nobody else's entries carry the time
  if (!Await([&] { return clients_.Idle(); }, absl::Seconds(30), "idle")) return false;
  clients_.TakeAndKeep(holder, "restless", ttl, [&](Revision token) { held = token; });
  if (!Await([&] { return held != 0; }, absl::Seconds(30), "a holder")) return false;
  // Its own session may be lost while nobody leads: then it asks again.
  bool asking = false;
  const auto ask = [&] {
    if (asking || taken != 0) return;
    asking = true;
    clients_.TakeAndKeep(waiter, "restless", scene_.plan.ttl_max, [&](Revision token) {
      asking = false;
      taken = token;
    });
  };
  ask();
  scene_.world.RunFor(ttl);
  SessionId session = 0;
  for (const Hold* hold : clients_.Holds())
    session = hold->client == holder ? hold->session : session;
  if (session == 0) return Fail("bounded take-over", "the holder lost its lock without any fault");
  clients_.Kill(holder);
  const absl::Duration dead = scene_.world.now();
  // Time in which nobody leads does not count, nor, for each change, one heartbeat and what a
  // client needs to find the new leader.
  absl::Duration leaderless = absl::ZeroDuration();
  absl::Duration led_since = dead;
  int paused = 0;
  // Priorities may hand on what was just won, so each pause may be two of them.
  int leaders = 1;
  int last_leader = members_.Leader();
  const absl::Duration base = ttl * ((1 + scene_.plan.drift_max) / (1 - scene_.plan.drift_max));
  const absl::Duration change =
      scene_.plan.heartbeat + 2 * kSlice + 8 * scene_.plan.link.latency_max +
      3 * scene_.plan.disk_latency_max + 20 * scene_.plan.member_turn_cost;
  while (scene_.ok() && !scene_.facts.ended.contains(session)) {
    ask();
    scene_.world.RunFor(kSlice);
    const int leader = members_.Leader();
    const absl::Duration now = scene_.world.now();
    if (leader < 0) leaderless += kSlice;
    if (leader != last_leader) led_since = now;
    if (leader >= 0 && leader != last_leader) ++leaders;
    last_leader = leader;
    if (leader >= 0 && now - led_since >= ttl / 3) {
      ++paused;
      testing::VirtualNode& machine = members_.machine(leader);
      machine.Pause();
      scene_.world.After(3 * scene_.plan.election_max, [&machine] { machine.Resume(); });
    }
    if (now - dead > base + leaderless + leaders * change) {
      scene_.Violated("bounded take-over",
                      absl::StrCat("a holder with a TTL of ", absl::FormatDuration(ttl),
                                   " is gone for ", absl::FormatDuration(now - dead), " over ",
                                   leaders - 1, " changes of leader, of which nobody led for ",
                                   absl::FormatDuration(leaderless), ", and its session lives"));
    }
  }
  if (!Await(
          [&] {
            ask();
            return taken != 0;
          },
          2 * scene_.plan.ttl_max + absl::Seconds(10), "the waiter got the lock"))
    return false;
  if (!scene_.ok()) return false;
  scene_.marks.Visit("take-over under restless leaders", static_cast<std::uint64_t>(paused));
  scene_.world.RunFor(4 * scene_.plan.election_max);
  clients_.Start(holder);
  clients_.Resume();
  return true;
}

// Nobody wants anything any more: so nothing is held or waited for (no ghost, PITFALLS L14, T14),
// and all states are equal.
bool Run::Quiesce() {
  clients_.Quiesce();
  if (!Await([&] { return clients_.Idle(); }, 2 * scene_.plan.ttl_max + absl::Seconds(20),
             "all guards and waits are given up")) {
    return false;
  }
  // Of processes that were killed, and of sessions that are being closed, a TTL remains; whatever a
  // living session holds has to be gone by then, too.
  bool free = false;
  bool asking = false;
  LockList last;
  const auto empty = [&] {
    if (free || asking) return free;
    asking = true;
    clients_.List(0, [&](absl::StatusOr<LockList> list) {
      asking = false;
      free = list.ok() && list->locks.empty();
      if (list.ok()) last = *std::move(list);
    });
    return false;
  };
  const absl::Duration limit = 2 * scene_.plan.ttl_max + absl::Seconds(15);
  const absl::Duration until = scene_.world.now() + limit;
  while (scene_.ok() && !empty() && scene_.world.now() < until) scene_.world.RunFor(kSlice);
  if (scene_.ok() && !free) {
    std::string locks;
    for (const LockDescription& lock : last.locks) {
      absl::StrAppend(&locks, " ", lock.name, " (token ", lock.holder.token, " of session ",
                      lock.holder.session, ", ", lock.waiting, " waiting)");
    }
    scene_.Violated("no ghost", absl::StrCat("nobody wants anything for ",
                                             absl::FormatDuration(limit), ", and still:", locks));
  }
  return scene_.ok() && Await([this] { return members_.Converged(); }, absl::Seconds(10),
                              "all members agree in the end");
}

void Run::CheckHistory() {
  const std::string wrong = history_.Check(&checked_calls_, &searches_);
  if (!wrong.empty()) scene_.Violated("linearizability", wrong);
}

Outcome Run::Take() {
  Outcome outcome;
  outcome.plan = scene_.plan;
  outcome.violations = scene_.violations;
  outcome.last_lines.assign(scene_.line.last().begin(), scene_.line.last().end());
  outcome.trace_hash = scene_.world.trace_hash();
  outcome.events = scene_.world.events();
  outcome.simulated = scene_.world.now();
  outcome.leader_changes = scene_.facts.leader_changes;
  for (const auto& [id, cluster] : scene_.facts.clusters) {
    if (!id.empty()) outcome.entries += cluster.last_committed();
  }
  outcome.checked_calls = checked_calls_;
  outcome.searches = searches_;
  outcome.counts = scene_.counts;
  outcome.marks = scene_.marks;
  return outcome;
}

}  // namespace

Outcome RunSeed(std::uint64_t seed, const RunOptions& options) {
  return RunPlan(DrawPlan(seed), options);
}

Outcome RunPlan(const Plan& plan, const RunOptions& options) {
  return std::make_unique<Run>(plan, options.verbose)->Go();
}

}  // namespace tenure::sim
