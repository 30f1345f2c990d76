// The cluster under test: real member code on virtual machines, with everything that crosses a seam
// seen on its way.
#ifndef TENURE_TESTS_SIM_MEMBERS_H_
#define TENURE_TESTS_SIM_MEMBERS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "member/node.h"
#include "tenure/testing/world.h"
#include "tests/sim/scene.h"

namespace tenure::sim {

class Member;

class Members {
 public:
  explicit Members(Scene& scene);
  ~Members();
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  int size() const { return static_cast<int>(members_.size()); }
  std::string name(int i) const;
  std::string address(int i) const;
  testing::VirtualNode& machine(int i);
  // Where the plan has priorities; some have the same.
  std::uint32_t Priority(absl::string_view name) const;

  void StartAll();
  void Start(int i);
  void Kill(int i);
  // When it hands its disk the `writes`-th write from now, or when that has become durable: within
  // the very turn.
  void KillAtWrite(int i, int writes, bool once_durable, std::size_t keep);
  // The next write fails, so the member stops itself; OK: not any more.
  void FailNextWrite(int i, absl::Status why);
  // Likewise of a sync, or of whatever else is written, also by those that start, until it is not
  // full any more.
  void FailNextSync(int i);
  void SetFull(int i, bool full);
  bool running(int i) const;
  // It runs, nobody paused it, and it did not stop by itself.
  bool well(int i) const;
  // Stopped by itself: its storage failed, or it was declared lost.
  absl::Status stopped(int i) const;
  ClusterStatus Status(int i) const;
  MemberId id(int i) const;

  // The member that leads in the greatest term, as itself believes; -1: none.
  int Leader() const;
  // One leads, and everybody who runs and belongs to its cluster follows it and has applied what it
  // has, or nearly.
  bool Converged() const;
  // The leader's configuration has everybody who is to be in, in its present incarnation, as a
  // voter.
  bool AllIn() const;
  // Whether the cluster, were the member killed and so forget, could still form a quorum. Always,
  // with a disk.
  bool MayForget(int i) const;
  // The configuration of its cluster is settled, and all voters are there and remember.
  bool AllRemember(int i) const;

  // Starts it from the older copy that is kept of its disk; it ends by itself if that matters. From
  // then until that is known, nobody else may be killed: the others know what it lost.
  void GoBack(int i);
  bool going_back() const;
  // Keeps the copy.
  void CopyDisk(int i);
  // Since then it never led: what it counted of its own disk just before it ended, nobody heard.
  bool FollowedSinceCopy(int i) const;
  // Whether its program is the newer one, which has a machine version more. It is from its next
  // start on; never again the older one.
  bool upgraded(int i) const;
  void Upgrade(int i);
  // All that run and are members have that version active.
  bool Active(std::uint32_t machine_version) const;
  // Whether it could lose its last transaction and be found out: it was written as a follower, and
  // whoever heard of it remembers.
  bool MayDamage(int i) const;
  // Kills it and starts it from what is left of its disk, as GoBack if that misses something.
  void Damage(int i);
  // Processes that ended so far.
  std::uint64_t ended() const { return ended_; }

  // Out of the cluster: killed, with nothing left on its disk, until it is brought in again.
  void TakeOut(int i);
  void BringIn(int i);
  bool out(int i) const;
  // An operator's change of members is under way: nobody may forget.
  void set_changing(bool value) { changing_ = value; }

  // The next starts do not assert that no earlier holder lives.
  void set_assert_new(bool value) { assert_new_ = value; }

 private:
  // The newest configuration that is committed in that member's cluster; null: none, or it is down.
  const raft::Configuration* Committed(int i) const;
  // It runs, as that incarnation, and nothing is about to end it.
  bool Remembers(const MemberId& voter) const;

  friend class Member;
  void WentBack(const Member& member);

  Scene& scene_;
  bool assert_new_;
  bool changing_ = false;
  int back_ = -1;  // who went back last
  std::uint64_t ended_ = 0;
  std::vector<std::unique_ptr<Member>> members_;
};

}  // namespace tenure::sim

#endif  // TENURE_TESTS_SIM_MEMBERS_H_
