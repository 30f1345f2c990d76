// A second machine, written for obviousness: plain lists, linear searches, everything at once. It
// knows nothing of budgets: whoever compares gives the real one a budget that is never exhausted.
#ifndef TENURE_TESTS_MACHINE_MODEL_H_
#define TENURE_TESTS_MACHINE_MODEL_H_

#include <cstdint>
#include <list>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tenure/command.h"

namespace tenure::machine {

class Model {
 public:
  // A grant is known by who asked for it. Which token it got is the machine's affair; whoever
  // compares tells the model by `grants`.
  using GrantId = std::pair<SessionId, Sequence>;
  struct Waiter {
    GrantId who;
    std::int64_t deadline;
    std::uint64_t order;
    std::uint32_t priority;
  };
  struct Happened {
    ChangeKind kind;
    SessionId session;
    Revision revision = 0;  // set by whoever compares
  };
  struct Observer {
    GrantId who;
    std::size_t seen;  // how many changes it has seen
  };
  struct Lock {
    GrantId holder;  // {0, 0}: nobody
    std::list<Waiter> queue;
    bool election = false;  // then it is never forgotten, and has the rest
    std::vector<Happened> changes;
    std::list<Observer> observers;
  };
  struct Attempter {
    GrantId who;
    std::int64_t deadline;
    std::uint64_t order;
    std::int64_t attempt;
  };
  struct Record {
    std::string fingerprint, point, response;
    bool done = false, failed = false, overdue = false;
    GrantId holder;
    std::uint64_t attempts = 0;
    std::int64_t retention = 0;
    std::int64_t attempt = kWaitForever, deadline = kWaitForever, expires = kWaitForever;
    std::uint64_t deadline_order = 0, expiry_order = 0;
    std::list<Attempter> queue, awaiting;
  };
  struct Session {
    InstanceKey key;
    std::int64_t ttl = 0;
    std::int64_t due = 0;
    bool alive = true;
    SessionEnd end = SessionEnd::kExpired;
    Sequence floor = 0;
    std::set<Sequence> acknowledged;
    std::map<Sequence, std::string> replies;
  };

  Model(std::int64_t grants_from, std::uint64_t window)
      : grants_from_(grants_from), window_(window) {}

  void PassTime(std::int64_t now);
  // What the machine should answer, as Show() has it. `opened` is the id that it gave to a new
  // session.
  std::string Run(const Command& command, SessionId opened);

  static std::string Show(const Reply& reply);
  static std::string Show(const SessionEvent& event);

  // What the entry told, in order, as Show() has it. Whoever compares clears it.
  std::vector<std::string> told;
  // Held or waited for, and elections. Names of the two must differ: the model has one table.
  std::map<std::string, Lock> locks;
  std::map<std::string, Record> operations;  // by key; the model has one scope
  std::map<SessionId, Session> sessions;
  std::map<Revision, GrantId> grants;

 private:
  void End(SessionId id, SessionEnd reason);
  void Estate(SessionId dead);
  // The timer that is due first, if one is due, and what it does.
  bool RunFirstTimer();
  void Settle(const std::string& name);
  void Tidy();
  void Happen(const std::string& name, ChangeKind kind, SessionId session);
  void TellObservers(std::uint64_t most);
  void Acknowledge(Session& session, const Command& command);
  std::string Open(const Command& command, SessionId opened);
  std::string Once(Session& session, const Command& command);
  std::string Execute(Session& session, const Command& command);
  std::string Acquire(const Command& command, const std::string& name, std::int64_t wait_ns,
                      bool election, std::uint32_t priority);
  // Null if the command's session does not hold it so.
  Lock* Held(const Command& command, const std::string& name, Revision token, bool election);
  std::string Release(const Command& command, const std::string& name, Revision token,
                      bool election);
  std::string Choose(const Command& command, const HandOver& hand_over);
  std::string Watch(const Command& command, const Observe& observe);
  std::string Operate(const Command& command);
  std::string Ask(const Command& command, const Begin& begin);
  std::string Finish(const Command& command, const FinishAttempt& finish);
  std::string Remove(const std::string& key);
  Record* Attempted(const Command& command, const std::string& key, Revision token);
  void Start(Record& record, GrantId who, std::int64_t attempt);
  void Vacate(Record& record);
  void Overtake(const std::string& key, Record& record);
  void SettleRecord(const std::string& key);
  bool Awaited(const std::string& key);
  std::string Progress(const Record* record) const;
  std::string Outcome(const Record& record) const;
  void Expire(const std::string& key);
  std::string Cancel(Session& session, const Command& command, const CancelWait& cancel);

  std::int64_t now_ = 0;
  std::int64_t grants_from_;
  std::uint64_t window_;
  std::uint64_t order_ = 0;
  std::vector<std::string> untold_;     // elections whose observers are to be told
  std::vector<std::string> held_back_;  // locks waited for before grants began, in that order
};

}  // namespace tenure::machine

#endif  // TENURE_TESTS_MACHINE_MODEL_H_
