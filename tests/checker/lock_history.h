// What clients asked of each lock and were told, for the linearizability checker.
#ifndef TENURE_TESTS_CHECKER_LOCK_HISTORY_H_
#define TENURE_TESTS_CHECKER_LOCK_HISTORY_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tenure/types.h"
#include "tests/checker/lock_model.h"

namespace tenure::checker {

// In one time for all clients: a simulator's true one, or that of a machine that they share.
class LockHistory {
 public:
  using Id = std::size_t;

  // A wait for the lock, to have it alone or to share it, begins. Unless it is granted it may have
  // been, and have been given back.
  Id Asked(const std::string& lock, SessionId session, absl::Duration now, bool to_share = false);
  absl::Duration asked(Id wait) const { return absl::Nanoseconds(waits_[wait].asked); }
  void Granted(Id wait, Revision token, absl::Duration now) { Granted(wait, token, false, now); }
  void GrantedShare(Id wait, Revision token, absl::Duration now) {
    Granted(wait, token, true, now);
  }

  // Unless it is answered it may or may not have taken effect.
  Id Unlocking(const std::string& lock, Revision token, absl::Duration now);
  void Unlocked(Id unlock, bool held, absl::Duration now);
  // One that has it alone becomes one that shares it: likewise.
  Id Downgrading(const std::string& lock, Revision token, absl::Duration now);
  void Downgraded(Id downgrade, bool held, absl::Duration now) { Unlocked(downgrade, held, now); }
  // From `when` on, `token` may be over, by whatever end: dropped, its session lost, its holder
  // dead.
  void MayEnd(const std::string& lock, Revision token, absl::Duration when);
  // The cluster was wiped: all tokens may be over.
  void AllMayEnd(absl::Duration now);

  Id Reading(const std::string& lock, absl::Duration now);
  void Read(Id read, Revision holder, SessionId session, absl::Duration now);
  struct Sharer {
    Revision token = 0;
    SessionId session = 0;
  };
  // Who share it, by their tokens; one at least.
  void ReadShared(Id read, const std::vector<Sharer>& sharers, absl::Duration now);

  // Empty if every lock's history is linearizable; otherwise which is not. Counts the calls, and
  // the locks that needed a search.
  std::string Check(std::uint64_t* operations, std::uint64_t* slow) const;

 private:
  using Calls = std::vector<Call<LockOperation>>;
  struct Wait {
    std::string lock;
    SessionId session = 0;
    std::int64_t asked = 0;
    Revision token = 0;  // 0: not granted, as far as the client knows
    bool to_share = false;
  };
  struct Open {
    std::string lock;
    Revision token = 0;
    std::int64_t start = 0;
    std::size_t place = 0;  // in of_[lock], of an unlock or a downgrade
  };
  // By a read.
  struct Seen {
    SessionId session = 0;
    bool shares = false;
    std::int64_t end = 0;  // of the read
  };
  using Asker = std::pair<SessionId, bool>;  // to share

  void Granted(Id wait, Revision token, bool shared, absl::Duration now);
  Id Changing(const std::string& lock, const LockOperation& operation, absl::Duration now);
  // Adds what no client was told of; what is wrong with that.
  std::string AddUntold(const std::string& lock, Calls* calls) const;

  std::vector<Wait> waits_;
  std::vector<Open> open_;
  std::vector<std::int64_t> wipes_;
  std::map<std::string, Calls> of_;
  std::map<std::string, std::map<Revision, std::vector<Seen>>> seen_;
};

}  // namespace tenure::checker

#endif  // TENURE_TESTS_CHECKER_LOCK_HISTORY_H_
