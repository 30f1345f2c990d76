// A machine to try things on: one command an entry, time in seconds, events gathered.
#ifndef TENURE_TESTS_MACHINE_FIXTURE_H_
#define TENURE_TESTS_MACHINE_FIXTURE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gtest/gtest.h"
#include "machine/machine.h"
#include "tenure/command.h"

namespace tenure::machine {

inline constexpr std::int64_t kSecond = 1'000'000'000;

// A session as its client knows it: it numbers its commands and acknowledges nothing by itself.
struct Client {
  SessionId session = 0;
  InstanceKey key;
  Sequence last = 0;
  Sequence acknowledged_through = 0;
  Revision events_seen_through = 0;

  Command Make(Operation operation, Sequence sequence) const {
    Command command;
    command.session = session;
    command.key = key;
    command.sequence = sequence;
    command.acknowledged_through = acknowledged_through;
    command.events_seen_through = events_seen_through;
    command.operation = std::move(operation);
    return command;
  }
  Command Next(Operation operation) { return Make(std::move(operation), ++last); }
  Command Plain(Operation operation) const { return Make(std::move(operation), 0); }
};

class MachineTest : public ::testing::Test {
 protected:
  void Start(Genesis genesis = {}) {
    machine = Machine();
    now = 0;
    events.clear();
    ASSERT_TRUE(machine.Start(genesis, now).ok());
  }
  void SetUp() override { Start(); }

  // Appends an entry at the present cluster time.
  std::vector<Reply> Apply(const std::vector<Command>& commands) {
    Applied applied = machine.Apply(now, commands);
    EXPECT_EQ(applied.replies.size(), commands.size());
    last_events = applied.events;
    for (SessionEvent& event : applied.events) events.push_back(std::move(event));
    return std::move(applied.replies);
  }
  Reply Do(const Command& command) { return Apply({command}).at(0); }
  // An entry without commands, `seconds` later.
  void Pass(double seconds) {
    now += static_cast<std::int64_t>(seconds * static_cast<double>(kSecond));
    Apply({});
  }

  Client Open(double ttl_seconds = 10, std::string label = "host:1") {
    Client client;
    client.key = {7, ++keys};
    client.session = Session(Do(client.Plain(
        OpenSession{static_cast<std::int64_t>(ttl_seconds * kSecond), std::move(label)})));
    return client;
  }
  Reply Acquire(Client& client, const std::string& name, std::int64_t wait_ns = 0,
                const std::string& value = "") {
    return Do(client.Next(AcquireLock{name, wait_ns, value}));
  }
  Reply Release(Client& client, const std::string& name, Revision token) {
    return Do(client.Next(ReleaseLock{name, token}));
  }
  Reply Cancel(Client& client, Sequence acquire) { return Do(client.Next(CancelWait{acquire})); }
  Reply Renew(const Client& client, std::uint64_t attempt = 1) {
    return Do(client.Plain(RenewSession{attempt}));
  }
  Reply Close(const Client& client) { return Do(client.Plain(CloseSession{})); }

  static SessionId Session(const Reply& reply) {
    EXPECT_TRUE(Is<SessionOpened>(reply)) << reply.message;
    return Is<SessionOpened>(reply) ? std::get<SessionOpened>(reply.result).session : 0;
  }
  static Revision Token(const Reply& reply) {
    EXPECT_TRUE(Is<LockGranted>(reply)) << reply.message;
    return Is<LockGranted>(reply) ? std::get<LockGranted>(reply.result).token : 0;
  }
  template <typename T>
  static bool Is(const Reply& reply) {
    return reply.code == ReplyCode::kOk && std::holds_alternative<T>(reply.result);
  }

  // Events of the last entry for `client`, of one kind.
  template <typename T>
  std::vector<T> Told(const Client& client) const {
    std::vector<T> told;
    for (const SessionEvent& event : last_events) {
      if (event.session != client.session) continue;
      if (const T* body = std::get_if<T>(&event.body)) told.push_back(*body);
    }
    return told;
  }
  // The token that the last entry granted to `client` by an event; 0 if it did not.
  Revision Granted(const Client& client) const {
    const std::vector<LockGrantedEvent> told = Told<LockGrantedEvent>(client);
    EXPECT_LE(told.size(), 1u);
    return told.empty() ? 0 : told[0].token;
  }
  static Revision Attempt(const Reply& reply) {
    EXPECT_TRUE(Is<AttemptStarted>(reply)) << reply.message;
    return Is<AttemptStarted>(reply) ? std::get<AttemptStarted>(reply.result).token : 0;
  }
  // The attempt that the last entry started for `client` by an event; token 0 if it did not.
  AttemptStartedEvent Begun(const Client& client) const {
    const std::vector<AttemptStartedEvent> told = Told<AttemptStartedEvent>(client);
    EXPECT_LE(told.size(), 1u);
    return told.empty() ? AttemptStartedEvent{} : told[0];
  }
  LockDescription Look(const std::string& name) const {
    return std::get<LockDescription>(machine.Query(GetLock{name}).result);
  }

  Machine machine;
  std::int64_t now = 0;
  std::vector<SessionEvent> events;
  std::vector<SessionEvent> last_events;
  std::uint64_t keys = 0;
};

}  // namespace tenure::machine

#endif  // TENURE_TESTS_MACHINE_FIXTURE_H_
