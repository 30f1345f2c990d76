// A real state machine behind a network that a test commands.
#ifndef TENURE_TESTS_CLIENT_FAULTY_BACKEND_H_
#define TENURE_TESTS_CLIENT_FAULTY_BACKEND_H_

#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "backends/local.h"
#include "tenure/backend.h"
#include "tenure/command.h"

namespace tenure::client {

enum class Fate {
  kPass,         // applied and answered at once
  kHold,         // neither, until Release()
  kHoldReply,    // applied at once; the answer waits for Release()
  kLoseRequest,  // not applied; kUnavailable
  kLoseReply,    // applied; kUnknown
  kTimeOut,      // not applied, but nobody knows: kDeadlineExceeded
  kRefuse,       // not applied; kUnimplemented
};

template <typename T>
bool Is(const Command& command) {
  return std::holds_alternative<T>(command.operation);
}

class FaultyBackend final : public Backend {
 public:
  FaultyBackend(Loop* loop, std::shared_ptr<Backend> machine)
      : loop_(loop), machine_(std::move(machine)) {}

  // Decides what becomes of each command; kPass without it.
  std::function<Fate(const Command&)> fate;
  // Keeps events back until it is false and ReleaseEvents() is called.
  bool hold_events = false;
  std::vector<Command> sent;

  template <typename T>
  std::size_t Count() const {
    std::size_t count = 0;
    for (const Command& command : sent) count += Is<T>(command) ? 1 : 0;
    return count;
  }
  std::size_t held() const { return held_.size(); }
  // Lets the oldest held command, or answer, go on.
  void Release() {
    Held next = std::move(held_.front());
    held_.pop_front();
    if (next.reply.ok()) return std::move(next.done)(*std::move(next.reply));
    machine_->Call(std::move(next.command), {}, std::move(next.done));
  }
  // Drops the oldest held command without an answer, as a backend does that is destroyed.
  void Drop() { held_.pop_front(); }
  void ReleaseEvents() {
    hold_events = false;
    for (auto& [sink, event] : std::exchange(held_events_, {})) sink->OnEvent(std::move(event));
  }

  void Call(Command command, CallOptions options, Done done) override {
    sent.push_back(command);
    const Fate what = fate ? fate(command) : Fate::kPass;
    switch (what) {
      case Fate::kPass:
        return machine_->Call(std::move(command), options, std::move(done));
      case Fate::kHold:
        held_.push_back({std::move(command), absl::UnknownError("held"), std::move(done)});
        return;
      case Fate::kHoldReply:
        held_.push_back({Command(), Apply(std::move(command)), std::move(done)});
        return;
      case Fate::kLoseRequest:
        return Fail(std::move(done), absl::UnavailableError("the request was lost"));
      case Fate::kLoseReply:
        Apply(std::move(command)).IgnoreError();
        return Fail(std::move(done), absl::UnknownError("the reply was lost"));
      case Fate::kTimeOut:
        return Fail(std::move(done), absl::DeadlineExceededError("no answer in time"));
      case Fate::kRefuse:
        return Fail(std::move(done), absl::UnimplementedError("refused"));
    }
  }
  void Listen(SessionId session, Revision after, std::shared_ptr<EventSink> sink) override {
    machine_->Listen(session, after, std::make_shared<Sink>(this, std::move(sink)));
  }
  void Unlisten(SessionId session) override { machine_->Unlisten(session); }
  Loop& loop() override { return *loop_; }
  void Shutdown() override {}

 private:
  struct Held {
    Command command;
    absl::StatusOr<Reply> reply;  // not OK: not applied yet
    Done done;
  };
  class Sink final : public EventSink {
   public:
    Sink(FaultyBackend* backend, std::shared_ptr<EventSink> sink)
        : backend_(backend), sink_(std::move(sink)) {}
    void OnEvent(SessionEvent event) override {
      if (!backend_->hold_events) return sink_->OnEvent(std::move(event));
      backend_->held_events_.emplace_back(sink_, std::move(event));
    }

   private:
    FaultyBackend* const backend_;
    const std::shared_ptr<EventSink> sink_;
  };

  absl::StatusOr<Reply> Apply(Command command) {
    absl::StatusOr<Reply> out = absl::InternalError("not answered");
    machine_->Call(std::move(command), {}, [&out](absl::StatusOr<Reply> reply) { out = reply; });
    return out;
  }
  void Fail(Done done, absl::Status why) {
    loop_->Post([done = std::move(done), why = std::move(why)]() mutable { std::move(done)(why); });
  }

  Loop* const loop_;
  const std::shared_ptr<Backend> machine_;
  std::deque<Held> held_;
  std::vector<std::pair<std::shared_ptr<EventSink>, SessionEvent>> held_events_;
};

}  // namespace tenure::client

#endif  // TENURE_TESTS_CLIENT_FAULTY_BACKEND_H_
