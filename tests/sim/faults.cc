#include "tests/sim/faults.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tenure::sim {

using testing::Clock;
using testing::LinkOptions;
using testing::VirtualNode;

Faults::Faults(Scene& scene, Members& members, Clients& clients, Operator& operator_of,
               checker::LockHistory& history)
    : scene_(scene),
      members_(members),
      clients_(clients),
      operator_(operator_of),
      history_(history) {
  for (int i = 0; i < kFaults; ++i) {
    const auto fault = static_cast<Fault>(i);
    if (scene.plan.On(fault)) enabled_.push_back(fault);
  }
}

void Faults::Prepare() {
  scene_.world.network().set_stream_timeout(absl::Seconds(1));
  scene_.world.network().SetDefaults(scene_.plan.link);
  if (scene_.plan.On(Fault::kNoise)) Noise();
}
void Faults::SetClocks() {
  for (int i = 0; i < members_.size(); ++i) ChangeClock(members_.machine(i), /*holder=*/false);
  for (int i = 0; i < clients_.size(); ++i) ChangeClock(clients_.machine(i), /*holder=*/true);
}

int Faults::AMember() {
  const int leader = members_.Leader();
  if (leader >= 0 && scene_.world.Chance(0.4)) return leader;
  return static_cast<int>(scene_.world.RandomBelow(static_cast<std::uint64_t>(members_.size())));
}
int Faults::AClient() {
  return static_cast<int>(scene_.world.RandomBelow(static_cast<std::uint64_t>(clients_.size())));
}
std::string Faults::AddressOf(int node) const {
  return node < members_.size() ? members_.address(node) : clients_.name(node - members_.size());
}
// Mostly short, now and then up to the longest.
absl::Duration Faults::AWhile(absl::Duration longest) {
  const absl::Duration shorter = scene_.world.Chance(0.6) ? longest / 8 : longest;
  return scene_.world.RandomDuration(absl::Milliseconds(10), shorter);
}
void Faults::Later(absl::Duration delay, absl::AnyInvocable<void()> mend) {
  scene_.world.After(delay, [this, era = era_, mend = std::move(mend)]() mutable {
    if (era == era_) mend();
  });
}

void Faults::Next() {
  if (enabled_.empty()) return;
  Do(enabled_[scene_.world.RandomBelow(enabled_.size())]);
}

void Faults::Do(Fault fault) {
  const bool done = DoToNetwork(fault) || DoToMember(fault, AMember()) ||
                    DoToDisk(fault, AMember()) || DoToClient(fault, AClient());
  if (!done) return;  // not now
  ++scene_.counts.faults;
  scene_.marks.Visit(absl::StrCat("fault: ", NameOf(fault)));
}

// ---- The network
// --------------------------------------------------------------------------------

void Faults::Noise() {
  LinkOptions link = scene_.plan.link;
  const auto sometimes = [&](double p, double most) {
    return scene_.world.Chance(p)
               ? most * static_cast<double>(1 + scene_.world.RandomBelow(100)) / 100
               : 0;
  };
  link.loss = sometimes(0.5, 0.2);
  link.duplication = sometimes(0.5, 0.2);
  link.duplicate_delay = scene_.world.Chance(0.3) ? absl::Seconds(6) : absl::Milliseconds(50);
  link.reordering = sometimes(0.5, 0.3);
  if (scene_.world.Chance(0.3))
    link.latency_max = scene_.world.RandomDuration(absl::Milliseconds(5), absl::Milliseconds(120));
  scene_.world.network().SetDefaults(link);
}

void Faults::Partition() {
  std::vector<bool> side(static_cast<std::size_t>(members_.size()));
  if (scene_.world.Chance(0.5)) {
    side[static_cast<std::size_t>(AMember())] = true;
  } else {
    for (std::size_t i = 0; i < side.size(); ++i) side[i] = scene_.world.Chance(0.5);
  }
  std::string text;
  for (int i = 0; i < members_.size(); ++i) {
    if (side[static_cast<std::size_t>(i)]) absl::StrAppend(&text, " ", members_.name(i));
    for (int j = 0; j < i; ++j) {
      if (side[static_cast<std::size_t>(i)] != side[static_cast<std::size_t>(j)])
        scene_.world.network().SetLinks(members_.address(i), members_.address(j), false);
    }
  }
  scene_.line.Say(absl::StrCat("partition: on one side", text));
  scene_.partitioned = true;
  Later(AWhile(absl::Seconds(8)), [this] {
    scene_.partitioned = false;
    scene_.line.Say("all links are whole");
    scene_.world.network().MendAll();
  });
}

bool Faults::DoToNetwork(Fault fault) {
  testing::VirtualNetwork& network = scene_.world.network();
  const int a = AMember();
  int b = static_cast<int>(scene_.world.RandomBelow(static_cast<std::uint64_t>(members_.size())));
  if (fault == Fault::kNoise) {
    Noise();
    return true;
  }
  if (fault == Fault::kCutClient) {
    const int client = AClient();
    const bool all = scene_.world.Chance(0.5);
    scene_.line.Say(absl::StrCat(clients_.name(client), " is cut off from ",
                                 all ? "everybody" : members_.name(a)));
    for (int i = 0; i < members_.size(); ++i) {
      if (!all && i != a) continue;
      network.SetLinks(clients_.name(client), members_.address(i), false);
    }
    Later(AWhile(absl::Seconds(8)), [this, client] {
      scene_.line.Say(absl::StrCat(clients_.name(client), " is there again"));
      for (int i = 0; i < members_.size(); ++i)
        scene_.world.network().SetLinks(clients_.name(client), members_.address(i), true);
    });
    return true;
  }
  if (fault != Fault::kPartition && fault != Fault::kOneWay && fault != Fault::kBrokenLink &&
      fault != Fault::kClog) {
    return false;
  }
  if (members_.size() == 1) return false;
  if (a == b) b = (a + 1) % members_.size();
  const std::string from = members_.address(a);
  const std::string to = members_.address(b);
  switch (fault) {
    case Fault::kPartition:
      Partition();
      break;
    case Fault::kOneWay:
      if (scene_.world.Chance(0.5)) {
        scene_.line.Say(absl::StrCat(from, " to ", to, " is cut"));
        network.SetLink(from, to, false);
        Later(AWhile(absl::Seconds(8)),
              [this, from, to] { scene_.world.network().SetLink(from, to, true); });
      } else {
        const bool deaf = scene_.world.Chance(0.5);
        scene_.line.Say(absl::StrCat(from, deaf ? " is deaf" : " is dumb"));
        for (int i = 0; i < members_.size(); ++i) {
          if (i != a)
            network.SetLink(deaf ? members_.address(i) : from, deaf ? from : members_.address(i),
                            false);
        }
        Later(AWhile(absl::Seconds(8)), [this] { scene_.world.network().MendAll(); });
      }
      break;
    case Fault::kBrokenLink:
      scene_.line.Say(absl::StrCat(from, " and ", to, " do not hear each other"));
      network.SetLinks(from, to, false);
      Later(AWhile(absl::Seconds(10)),
            [this, from, to] { scene_.world.network().SetLinks(from, to, true); });
      break;
    default:
      scene_.line.Say(absl::StrCat(from, " to ", to, " is clogged"));
      network.SetClogged(from, to, true);
      Later(AWhile(absl::Seconds(4)),
            [this, from, to] { scene_.world.network().SetClogged(from, to, false); });
  }
  return true;
}

// ---- Members and their disks
// -----------------------------------------------------------------------

void Faults::ReviveMembers() {
  for (int i = 0; i < members_.size(); ++i) {
    if (members_.out(i) || (members_.running(i) && members_.stopped(i).ok())) continue;
    scene_.line.Say(absl::StrCat(members_.name(i), " starts again"));
    scene_.marks.Visit(scene_.plan.durable ? "restart with its memory"
                                           : "restart as another incarnation");
    members_.Start(i);
    ++scene_.counts.restarts;
  }
}

// Everybody forgets everything at once: another cluster, which does not overlap the old one.
void Faults::Wipe() {
  wiped_ = true;
  members_.set_assert_new(false);
  history_.AllMayEnd(scene_.world.now());
  if (scene_.world.Chance(0.5)) {
    // Somebody who does not hear of it, and goes on believing.
    const int client = AClient();
    for (int i = 0; i < members_.size(); ++i)
      scene_.world.network().SetLinks(clients_.name(client), members_.address(i), false);
    Later(scene_.plan.ttl_max, [this] { scene_.world.network().MendAll(); });
  }
  for (int i = 0; i < members_.size(); ++i) members_.Kill(i);
  if (!scene_.plan.durable) operator_.PutIn();  // a new cluster is of all that are listed
  scene_.line.Say("everybody is killed");
  scene_.marks.Visit(scene_.plan.durable ? "all killed at once" : "cluster wiped");
  Later(AWhile(absl::Seconds(3)), [this] { ReviveMembers(); });
}

bool Faults::Upgrade(int i) {
  if (members_.upgraded(i) || !members_.running(i) || !members_.MayForget(i)) return false;
  scene_.line.Say(absl::StrCat(members_.name(i), " is killed, and starts with a newer program"));
  members_.Upgrade(i);
  members_.Kill(i);
  Later(AWhile(absl::Seconds(3)), [this] { ReviveMembers(); });
  return true;
}

bool Faults::DoToMember(Fault fault, int i) {
  VirtualNode& machine = members_.machine(i);
  switch (fault) {
    case Fault::kKill:
    case Fault::kKillAtWrite:
      if (!members_.running(i) || !members_.MayForget(i)) return false;
      if (fault == Fault::kKill) {
        scene_.line.Say(absl::StrCat(members_.name(i), " is killed"));
        machine.disk().KeepAtNextCrash(scene_.world.RandomBelow(4));
        members_.Kill(i);
      } else {
        members_.KillAtWrite(i, 1 + static_cast<int>(scene_.world.RandomBelow(6)),
                             scene_.world.Chance(0.4), scene_.world.RandomBelow(4));
      }
      Later(AWhile(absl::Seconds(6)), [this] { ReviveMembers(); });
      return true;
    case Fault::kKillAll:
      if (members_.going_back()) return false;
      if (!scene_.plan.durable && (wiped_ || scene_.world.Chance(0.5))) return false;
      Wipe();
      return true;
    case Fault::kPause:
    case Fault::kSuspend: {
      if (!members_.running(i) || machine.paused()) return false;
      const absl::Duration how_long = AWhile(absl::Seconds(12));
      scene_.line.Say(absl::StrCat(members_.name(i),
                                   fault == Fault::kPause ? " is paused" : " is suspended", " for ",
                                   absl::FormatDuration(how_long)));
      if (fault == Fault::kPause) {
        machine.Pause();
      } else {
        machine.Suspend();
      }
      Later(how_long, [&machine] { machine.Resume(); });
      return true;
    }
    case Fault::kMembers:
      return operator_.Replace(i, AWhile(absl::Seconds(10)));
    case Fault::kUpgrade:
      return Upgrade(i);
    case Fault::kSlow:
      machine.SetTurnCost(
          scene_.world.RandomDuration(absl::Milliseconds(1), absl::Milliseconds(60)));
      Later(AWhile(absl::Seconds(6)),
            [this, &machine] { machine.SetTurnCost(scene_.plan.member_turn_cost); });
      return true;
    case Fault::kClockDrift:
    case Fault::kClockJump: {
      const bool holder = scene_.world.Chance(0.5);
      const int client = holder ? AClient() : -1;
      VirtualNode& whose = holder ? clients_.machine(client) : machine;
      if (whose.paused()) return false;
      if (holder) clients_.Look(client);
      if (fault == Fault::kClockDrift) {
        ChangeClock(whose, holder);
      } else if (holder && scene_.plan.On(Fault::kSuspendClient) && !scene_.plan.wild_clocks) {
        return false;  // see ChangeClock
      } else {
        JumpClock(whose);
      }
      return true;
    }
    default:
      return false;
  }
}

bool Faults::DoToDisk(Fault fault, int i) {
  testing::VirtualDisk& disk = members_.machine(i).disk();
  switch (fault) {
    case Fault::kDiskSlow:
      disk.SetLatency(absl::Milliseconds(1),
                      scene_.world.RandomDuration(absl::Milliseconds(5), absl::Milliseconds(200)));
      Later(AWhile(absl::Seconds(6)),
            [this, &disk] { disk.SetLatency(absl::ZeroDuration(), scene_.plan.disk_latency_max); });
      return true;
    case Fault::kDiskStall:
      scene_.line.Say(absl::StrCat("the disk of ", members_.name(i), " stalls"));
      disk.Stall();
      Later(AWhile(absl::Seconds(6)), [&disk] { disk.Resume(); });
      return true;
    case Fault::kDiskFail:
      if (!members_.running(i) || !members_.MayForget(i)) return false;
      scene_.line.Say(absl::StrCat("the next write of ", members_.name(i), " fails"));
      members_.FailNextWrite(i, absl::DataLossError("the disk is broken"));
      Later(AWhile(absl::Seconds(6)), [this] { ReviveMembers(); });
      return true;
    case Fault::kDiskSync:
      if (!members_.running(i) || !members_.MayForget(i)) return false;
      scene_.line.Say(absl::StrCat("the next sync of ", members_.name(i), " fails"));
      members_.FailNextSync(i);
      Later(AWhile(absl::Seconds(6)), [this] { ReviveMembers(); });
      return true;
    case Fault::kDiskFull:
      if (!members_.running(i) || !members_.MayForget(i)) return false;
      scene_.line.Say(absl::StrCat("the disk of ", members_.name(i), " is full"));
      members_.SetFull(i, true);
      Later(AWhile(absl::Seconds(6)), [this, i] {
        scene_.line.Say(absl::StrCat("the disk of ", members_.name(i), " has room again"));
        members_.SetFull(i, false);
        ReviveMembers();
      });
      return true;
    case Fault::kDiskRot:
      // Of those that have one that can.
      i = static_cast<int>(
          scene_.world.RandomBelow(static_cast<std::uint64_t>(scene_.plan.byte_disks)));
      if (!members_.MayDamage(i)) return false;
      members_.Damage(i);
      Later(AWhile(absl::Seconds(8)), [this] { ReviveMembers(); });
      return true;
    case Fault::kDiskOlder:
      return GoBackLater(i);
    case Fault::kDiskEmpty:
      if (!scene_.plan.durable || !members_.running(i) || members_.going_back() ||
          !members_.AllRemember(i))
        return false;
      scene_.line.Say(absl::StrCat(members_.name(i), " is killed and loses its disk"));
      members_.Kill(i);
      disk.Wipe();
      Later(AWhile(absl::Seconds(6)), [this] { ReviveMembers(); });
      return true;
    default:
      return false;
  }
}

// Within what may be survived: whoever heard what the disk then loses is there, and was all the
// time.
bool Faults::GoBackLater(int i) {
  const auto may = [this, i] {
    return scene_.plan.durable && members_.running(i) && !members_.going_back() &&
           members_.AllRemember(i);
  };
  if (!may()) return false;
  members_.CopyDisk(i);
  Later(AWhile(absl::Seconds(4)), [this, i, may, ended = members_.ended()] {
    if (!may() || members_.ended() != ended || !members_.FollowedSinceCopy(i)) return;
    scene_.line.Say(absl::StrCat(members_.name(i), " is killed and starts from an older disk"));
    scene_.marks.Visit("started from an older disk");
    members_.GoBack(i);
    Later(AWhile(absl::Seconds(8)), [this] { ReviveMembers(); });
  });
  return true;
}

// ---- Clients
// ------------------------------------------------------------------------------------

bool Faults::DoToClient(Fault fault, int i) {
  VirtualNode& machine = clients_.machine(i);
  if (!clients_.running(i)) return false;
  switch (fault) {
    case Fault::kPauseClient:
    case Fault::kSuspendClient: {
      if (machine.paused()) return false;
      const absl::Duration how_long = AWhile(scene_.plan.ttl_max * 1.5);
      scene_.line.Say(
          absl::StrCat(clients_.name(i), " is paused for ", absl::FormatDuration(how_long)));
      if (fault == Fault::kPauseClient) {
        machine.Pause();
      } else {
        machine.Suspend();
      }
      Later(how_long, [&machine] { machine.Resume(); });
      return true;
    }
    case Fault::kKillClient:
      scene_.line.Say(absl::StrCat(clients_.name(i), " is killed"));
      clients_.Kill(i);
      Later(AWhile(absl::Seconds(5)), [this, i] {
        if (!clients_.running(i)) clients_.Start(i);
      });
      return true;
    default:
      return false;
  }
}

// ---- Clocks
// --------------------------------------------------------------------------------------

// Within the bound, CLOCK_MONOTONIC_RAW keeps it, and CLOCK_BOOTTIME may be slewed by a time daemon
// (chrony's greatest rate is 8.3 %): holders believe the faster and leaders the slower of them.
// What a holder cannot bear is both at once: the one clock stands still in suspend, and the other
// is slow.
void Faults::ChangeClock(VirtualNode& machine, bool holder) {
  const Plan& plan = scene_.plan;
  // Often as far off as is allowed: that is where a margin shows.
  const auto within = [this](double bound) {
    if (scene_.world.Chance(0.5)) return scene_.world.Chance(0.5) ? bound : -bound;
    return bound * (static_cast<double>(scene_.world.RandomBelow(2001)) / 1000 - 1);
  };
  double raw = within(plan.drift_max * 0.99);
  const bool slew = !(holder && plan.On(Fault::kSuspendClient)) && scene_.world.Chance(0.2);
  double boot = within(slew ? 0.083 : plan.drift_max * 0.99);
  if (plan.wild_clocks && scene_.world.Chance(0.5)) {
    raw = scene_.world.Chance(0.2) ? -1 : within(0.5);
    boot = scene_.world.Chance(0.2) ? -1 : within(0.5);
    if (raw == -1 || boot == -1) scene_.marks.Visit("clock stands still");
  }
  machine.SetClockDrift(Clock::kMonotonicRaw, raw);
  machine.SetClockDrift(Clock::kBoottime, boot);
}

void Faults::JumpClock(VirtualNode& machine) {
  const absl::Duration by = scene_.world.RandomDuration(absl::Milliseconds(1), absl::Seconds(10)) *
                            (scene_.world.Chance(0.5) ? 1 : -1);
  machine.JumpClock(Clock::kBoottime, by);
  Jumped& jumped = jumped_[&machine];
  jumped.by += by;
  jumped.most = std::max(jumped.most, jumped.by);
  if (scene_.plan.wild_clocks) machine.JumpClock(Clock::kMonotonicRaw, by);
}

absl::Duration Faults::PutBack() const {
  absl::Duration most;
  const auto look_at = [&](const VirtualNode& machine) {
    const auto it = jumped_.find(&machine);
    if (it != jumped_.end()) most = std::max(most, it->second.most - it->second.by);
  };
  for (int i = 0; i < members_.size(); ++i) look_at(members_.machine(i));
  for (int i = 0; i < clients_.size(); ++i) look_at(clients_.machine(i));
  return most;
}

// ---- The end of it
// ---------------------------------------------------------------------------------

void Faults::Heal() {
  ++era_;
  scene_.line.Say("all faults end");
  scene_.partitioned = false;
  scene_.world.network().MendAll();
  LinkOptions link = scene_.plan.link;
  link.loss = link.duplication = link.reordering = 0;
  scene_.world.network().SetDefaults(link);
  const auto heal = [](VirtualNode& machine) {
    machine.Resume();
    machine.SetClockDrift(Clock::kBoottime, 0);
    machine.SetClockDrift(Clock::kMonotonicRaw, 0);
  };
  for (int i = 0; i < members_.size(); ++i) {
    VirtualNode& machine = members_.machine(i);
    heal(machine);
    machine.SetTurnCost(scene_.plan.member_turn_cost);
    machine.disk().SetLatency(absl::ZeroDuration(), scene_.plan.disk_latency_max);
    machine.disk().Resume();
    members_.KillAtWrite(i, 0, false, 0);
    members_.SetFull(i, false);
    members_.FailNextWrite(i, absl::OkStatus());
  }
  for (int i = 0; i < clients_.size(); ++i) {
    heal(clients_.machine(i));
    if (!clients_.running(i)) clients_.Start(i);
  }
  ReviveMembers();
}

}  // namespace tenure::sim
