// A second machine for all that locks can do, and attempts with and without them, written for
// obviousness: one list of requests in the order in which they came, searched from its beginning
// for whatever there is to know. It knows nothing of budgets.
#ifndef TENURE_TESTS_MACHINE_LOCK_MODEL_H_
#define TENURE_TESTS_MACHINE_LOCK_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tenure/command.h"

namespace tenure::machine {

class LockModel {
 public:
  struct Part {
    std::string name;
    LockMode mode;
    bool held = false;
    std::uint64_t seat = 0;
    std::uint64_t holds = 1;
  };
  struct Request {
    std::size_t client;
    Sequence sequence;
    std::vector<Part> parts;
    std::uint64_t permits, total;
    std::int64_t delay;
    std::string owner;
    std::int64_t deadline;
    std::optional<Begin> begin = {};  // it wants an attempt as one with its lock
    bool waiting = true;
    Revision token = 0;  // as the machine had it
  };
  struct Granted {
    std::size_t client;
    Sequence sequence;
    std::vector<std::uint64_t> seats;
    std::vector<std::string> shared;  // whose fences are to be those of their first sharers
  };
  struct Attempt {
    std::size_t client;
    Sequence sequence;
    std::string lock;  // that is one with it; empty: none
    std::int64_t lasts, deadline;
    Revision token = 0;  // as the machine had it
  };
  // Who waits for a key without a lock, to attempt it or for its outcome.
  struct KeyWait {
    std::size_t client;
    Sequence sequence;
    std::int64_t deadline;
    std::int64_t attempt_lasts;
  };
  struct Record {
    std::string fingerprint, point, response;
    bool done = false, failed = false;
    std::uint64_t attempts = 0;
    std::int64_t retention = 0;
    std::int64_t expires = kWaitForever;  // while nobody attempts it
    std::optional<Attempt> attempt;
    std::list<KeyWait> queue, awaiting;
  };

  std::int64_t now = 0;
  std::list<Request> requests;
  std::map<std::string, std::int64_t> delays;  // until when
  std::map<std::string, Revision> first;       // the token of the first who shares
  std::map<std::string, Record> records;       // by key; no lock has the name of a key
  std::map<std::size_t, std::int64_t> dues;    // when each client's session ends by itself
  // What the last step told.
  std::vector<Granted> granted;
  std::set<std::string> told;

  // The request that holds `name` exclusively, or any that has something of it.
  Request* Holder(const std::string& name, std::optional<LockMode> mode);
  std::size_t Waiting(const std::string& name, const Request* before = nullptr);
  std::uint64_t Taken(const std::string& name);
  bool Overdue(const Record& record) const {
    return record.attempt && record.attempt->deadline <= now;
  }
  // The first thing that time brings, if any.
  std::int64_t NextDue() const;

  // What the machine should answer.
  std::string Acquire(Request request, std::int64_t wait, bool reentrant);
  std::string Release(std::size_t client, const std::string& name, Revision token);
  std::string Downgrade(std::size_t client, const std::string& name, Revision token);
  std::string Break(const std::string& name, Revision token);
  std::string EndDelay(const std::string& name);
  std::string Cancel(std::size_t client, Sequence sequence);
  std::string Ask(std::size_t client, Sequence sequence, const Begin& begin);
  std::string Store(std::size_t client, const Checkpoint& checkpoint);
  std::string Lengthen(std::size_t client, const Extend& extend);
  std::string Finish(std::size_t client, const FinishAttempt& finish);
  std::string Await(std::size_t client, Sequence sequence, const AwaitOperation& await);
  std::string Remove(const std::string& key);

  void End(std::size_t client, bool expired);
  void PassTo(std::int64_t time);
  // The machine's token of what was asked for by that.
  void Take(std::size_t client, Sequence sequence, Revision token);

 private:
  // ---- locks
  bool Sharing(std::size_t client, const std::string& owner, const std::string& name);
  Part* Held(std::optional<std::size_t> client, const std::string& name, Revision token,
             Request** of);
  bool Free(const Request& request, const Part& part);
  bool Ready(const Request& request);
  bool IsOfAnotherKind(const Request& request, const Part& part);
  void Grant(Request& request);
  // Ends what the request has of that, and the attempt that is one with it.
  void Drop(Request& request, Part& part, bool uncleanly);

  // ---- attempts
  enum class Chance { kFree, kDone, kMismatch, kElsewhere };
  Chance ChanceOf(const Begin& begin);
  // With or without a lock, which is the request's already.
  std::string Start(std::size_t client, Sequence sequence, const Begin& begin);
  std::string Start(const std::string& key, const KeyWait& wait);
  void StartAnew(Record& record, Attempt attempt);
  // What is one with it ends too.
  void EndAttempt(Record& record);
  void Overtake(Record& record);
  Record* Attempted(std::size_t client, const std::string& key, Revision token);
  std::string Progress(const Record* record) const;
  std::string ProgressUnder(const std::string& lock);
  std::string Outcome(const Record& record) const;
  std::int64_t After(std::int64_t time) const {
    return time == kWaitForever ? kWaitForever : now + time;
  }

  // ---- both
  // Whoever can have something has it: first of these locks and keys, which were named or left.
  void Settle(const std::vector<std::string>& names);
  bool SettleLock(const std::string& name);
  bool SettleKey(const std::string& key);
  void Forget();
};

}  // namespace tenure::machine

#endif  // TENURE_TESTS_MACHINE_LOCK_MODEL_H_
